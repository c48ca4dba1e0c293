"""babelens predict: texts and their pictures in, entities out."""

from pathlib import Path
from typing import Annotated

import typer

from babelens.cli.corpora import Boxes


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL_DIR", help="A model folder, or the id of one on the hub.")],
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A JSONL, CoNLL or Parquet file, a data directory, or - for JSONL from standard input.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The JSONL file to write [default: standard output].")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="The folder of pictures, where it is not images/ beside the input.")
    ] = None,
    boxes: Boxes = None,
    batch: Annotated[int, typer.Option(min=1, help="Rows that the model reads at once.")] = 32,
    limit: Annotated[int | None, typer.Option(min=1, help="Answer only the first N rows.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 [default: the best there is].")] = None,
    strict_images: Annotated[bool, typer.Option(help="A missing or unreadable picture is an error.")] = False,
) -> None:
    """Find the entities in texts; one line of JSON a row, in the order of the input.

    A row of JSONL has "text" or "tokens", and "id", "image" (a name in the folder of pictures, or several) and
    "language" where it likes. A row that cannot be read is answered with "error", and counted at the end.
    """
    from itertools import islice
    from time import perf_counter

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    import babelens
    from babelens.prediction.inputs import read_rows
    from babelens.prediction.output import Tally, write_answers

    console = Console(stderr=True)
    rows = read_rows(source, images=images, strict_images=strict_images, boxes=boxes or None)
    predictor = babelens.load(model, device)
    started = perf_counter()
    bar = Progress(
        TextColumn("predicting"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} rows"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=limit)

        def step(tally: Tally) -> None:
            bar.update(task, completed=tally.rows)

        done = write_answers(predictor.predict_batch(islice(rows, limit), batch=batch), out, step)
    rate = done.rows / max(perf_counter() - started, 1e-9)
    pictures = ", ".join(f"{count:,} {status}" for status, count in sorted(done.pictures.items()))
    console.print(
        f"{done.rows:,} rows, {done.entities:,} entities"
        + (f"; pictures: {pictures}" if pictures else "")
        + f"; {rate:,.1f} rows/s"
        + (f"; written to {out}" if out is not None else ""),
        highlight=False,
        soft_wrap=True,
    )
    if done.errors:
        console.print(
            f"warning: {done.errors:,} rows could not be read; their answers say why in the field error",
            highlight=False,
            soft_wrap=True,
        )
