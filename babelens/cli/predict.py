"""babelens predict: texts and their pictures in, entities out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from babelens.cli.corpora import Boxes

if TYPE_CHECKING:
    from babelens.prediction.output import Tally


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL_DIR", help="A model folder, or the id of one on the hub.")],
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A JSONL, CoNLL or Parquet file, a data directory, hub:NAME, or - for JSONL from standard input.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The JSONL file to write [default: standard output].")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="The folder of pictures, where it is not images/ beside the input.")
    ] = None,
    boxes: Boxes = None,
    alternatives: Annotated[
        int, typer.Option(min=0, help="Of each entity, so many other types that it might have.")
    ] = 0,
    image_effect: Annotated[
        bool, typer.Option("--image-effect", help="What changes when the picture is taken away.")
    ] = False,
    regions: Annotated[bool, typer.Option("--regions", help="Where in the picture the model looked.")] = False,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Leave out entities of a lower score.")] = 0.0,
    target_precision: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Leave out what makes it less precise, as `babelens calibrate` found."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="At most so many rows are read at once.")] = 32,
    words: Annotated[int, typer.Option(min=1, help="At most so many words at once, with their padding.")] = 16_384,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Threads that cut texts and pictures ahead [default: as cores allow].")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Answer only the first N rows.")] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Forget what a stopped run has left beside the output.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 [default: the best there is].")] = None,
    strict_images: Annotated[bool, typer.Option(help="A missing or unreadable picture is an error.")] = False,
) -> None:
    """Find the entities in texts; one line of JSON a row, in the order of the input.

    A row of JSONL has "text" or "tokens", and "id", "image" (a name in the folder of pictures, or several) and
    "language" where it likes. A row that cannot be read is answered with "error", and counted at the end. A run that
    was stopped goes on where it was with the same command.
    """
    from itertools import islice
    from time import perf_counter

    from rich.console import Console

    import babelens
    from babelens.prediction.ask import Ask
    from babelens.prediction.bulk import answer_file
    from babelens.prediction.inputs import Rows
    from babelens.prediction.output import Tally, write_answers
    from babelens.prediction.stream import Pace, stream_answers

    console = Console(stderr=True)
    rows = Rows(source, images=images, strict_images=strict_images, boxes=boxes or None)
    predictor = babelens.load(model, device)
    if target_precision is not None:
        min_score = max(min_score, predictor.min_score(target_precision))
    ask = Ask(alternatives=alternatives, image_effect=image_effect, regions=regions, min_score=min_score, model=True)
    pace = Pace(batch, words, workers)
    started = perf_counter()
    total = rows.total()
    with _Progress(console, total if limit is None or total is None else min(limit, total)) as progress:
        if out is not None and rows.repeatable and (out.is_dir() or out.is_file() or not out.exists()):
            done = answer_file(predictor, rows, out, pace=pace, ask=ask, limit=limit, anew=anew, tell=progress.show)
        else:
            answers = stream_answers(predictor, islice(rows, limit), pace, ask)
            progress.show(Tally())
            done = write_answers(answers, out, progress.show)
    rate = (done.rows - progress.before) / max(perf_counter() - started, 1e-9)
    pictures = ", ".join(f"{count:,} {status}" for status, count in sorted(done.pictures.items()))
    console.print(
        f"{done.rows:,} rows, {done.entities:,} entities"
        + (f"; pictures: {pictures}" if pictures else "")
        + (f"; {progress.before:,} rows were done before" if progress.before else "")
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


class _Progress:
    """Rows, rows a second and the time left, on a terminal only."""

    def __init__(self, console: Any, total: int | None) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.before = 0
        self._begun = False
        self._bar = Progress(
            TextColumn("predicting"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} rows"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=total, rate="")

    def __enter__(self) -> "_Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, tally: "Tally") -> None:
        """Show what has been written; what the first call tells of was done before."""
        if not self._begun:
            self.before, self._begun = tally.rows, True
        speed = self._bar.tasks[0].speed
        rate = "" if speed is None else f"{speed:,.0f} rows/s"
        self._bar.update(self._task, completed=tally.rows, rate=rate)
