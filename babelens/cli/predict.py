"""babelens predict: texts and their pictures in, entities out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from babelens.cli.cluster_options import Actors, Address, CpusPerActor, Engine, Format, GpusPerActor
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
        str | None,
        typer.Option("-o", "--out", help="The JSONL file to write [default: standard output]; with ray a folder."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print the texts with their entities in colour, instead of JSON.")
    ] = False,
    images: Annotated[
        str | None, typer.Option(help="The folder of pictures, where it is not images/ beside the input.")
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
    engine: Annotated[Engine, typer.Option(help="Here, or on a Ray cluster, into shards.")] = Engine.local,
    actors: Actors = 1,
    cpus_per_actor: CpusPerActor = 1,
    gpus_per_actor: GpusPerActor = 0.0,
    address: Address = None,
    format: Annotated[Format, typer.Option(help="With ray: what the shards are.")] = Format.jsonl,
    blocks: Annotated[int, typer.Option(min=1, help="With ray: a shard has so many times 16 batches of rows.")] = 2,
) -> None:
    """Find the entities in texts; one line of JSON a row, in the order of the input; or coloured text with --show.

    A row of JSONL has "text" or "tokens", and "id", "image" (a name in the folder of pictures, or several) and
    "language" where it likes. A row that cannot be read is answered with "error", and counted at the end. A run that
    was stopped goes on where it was with the same command. With --engine ray input, pictures and output may lie on any
    disk that fsspec reaches (s3://...).
    """
    from itertools import islice
    from time import perf_counter

    from rich.console import Console

    import babelens
    from babelens.prediction.ask import Ask
    from babelens.prediction.bulk import answer_file
    from babelens.prediction.cluster import predict_on_ray
    from babelens.prediction.cluster_actors import Cluster
    from babelens.prediction.cluster_input import Pictures
    from babelens.prediction.inputs import Rows
    from babelens.prediction.output import Tally, show_answers, write_answers
    from babelens.prediction.stream import Pace, stream_answers

    if show and out is not None:
        raise typer.BadParameter(f"expected no --out beside it, found {out}", param_hint="--show")
    if anew and out is None:
        raise typer.BadParameter("expected --out, whose stopped run is forgotten, found none", param_hint="--anew")
    ray = engine is Engine.ray
    if ray and (out is None or show or device is not None or workers is not None):
        raise typer.BadParameter(
            "expected --out, the folder of shards, and no --show, --device or --workers", param_hint="--engine ray"
        )
    console = Console(stderr=True)
    place = None if out is None else Path(out)
    folder = None if images is None else Path(images)
    rows = None if ray else Rows(source, images=folder, strict_images=strict_images, boxes=boxes or None)
    predictor = babelens.load(model, "cpu" if ray else device)
    if target_precision is not None:
        min_score = max(min_score, predictor.min_score(target_precision))
    ask = Ask(alternatives=alternatives, image_effect=image_effect, regions=regions, min_score=min_score, model=True)
    pace = Pace(batch, words, workers)
    started = perf_counter()
    total = limit if rows is None else rows.total()
    seen = out is not None or not sys.stdout.isatty()  # a bar would stand among the answers
    with _Progress(console, total if limit is None or total is None else min(limit, total), seen) as progress:
        if rows is None:
            done = predict_on_ray(
                model,
                predictor.digest,
                source,
                str(out),
                cluster=Cluster(actors, cpus_per_actor, gpus_per_actor, address),
                pictures=Pictures(images, strict_images, tuple(str(path.absolute()) for path in boxes or ()) or None),
                pace=pace,
                ask=ask,
                limit=limit,
                format=format.value,
                blocks=blocks,
                anew=anew,
                tell=progress.show,
            )
        elif place is not None and rows.repeatable and (place.is_dir() or place.is_file() or not place.exists()):
            done = answer_file(predictor, rows, place, pace=pace, ask=ask, limit=limit, anew=anew, tell=progress.show)
        else:
            answers = stream_answers(predictor, islice(rows, limit), pace, ask)
            progress.show(Tally())
            done = show_answers(answers, progress.show) if show else write_answers(answers, place, progress.show)
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
            f"warning: {done.errors:,} {'row' if done.errors == 1 else 'rows'} could not be read; "
            + ("the reasons stand in their places" if show else "the field error says why"),
            highlight=False,
            soft_wrap=True,
        )


class _Progress:
    """Rows, rows a second and the time left, where they are to be `seen` and on a terminal only."""

    def __init__(self, console: Any, total: int | None, seen: bool) -> None:
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
            disable=not (seen and console.is_terminal),
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
