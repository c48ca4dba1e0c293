"""babelens demo: the main job on the built-in corpus, from nothing to a report."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Where corpus, models and report go.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of the corpus and of training.")] = 1,
    rows: Annotated[int, typer.Option(help="Training rows; validation and test shrink with them.")] = 20_000,
    epochs: Annotated[int | None, typer.Option(help="Epochs of the model with pictures.")] = None,
) -> None:
    """Train a compact 2M-NER and its text-only twin on the built-in corpus and show what the pictures are worth."""
    from rich.console import Console

    from babelens.evaluation.demo import run_demo

    run_demo(out, Console(), seed=seed, rows=rows, epochs=epochs)
