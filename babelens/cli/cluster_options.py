"""What the commands that can run on a Ray cluster have in common."""

from enum import StrEnum
from typing import Annotated

import typer


class Engine(StrEnum):
    """Where rows are read, as a choice on the command line."""

    local = "local"
    ray = "ray"


Actors = Annotated[int, typer.Option(min=1, help="With ray: so many processes, each with a model.")]
CpusPerActor = Annotated[int, typer.Option(min=1, help="With ray: the cores of each.")]
GpusPerActor = Annotated[float, typer.Option(min=0, help="With ray: the GPUs of each; 0.5 shares one.")]
Address = Annotated[
    str | None, typer.Option(help="With ray: auto or HOST:PORT of a cluster [default: one of this machine].")
]


class Format(StrEnum):
    """What shards of answers are, as a choice on the command line."""

    jsonl = "jsonl"
    parquet = "parquet"
