"""babelens train: a model or a recipe on one's own data."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from babelens.cli.corpora import Boxes

if TYPE_CHECKING:
    from babelens.data import Corpus
    from babelens.modules.vision.objects import Objects


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="MODEL_OR_RECIPE",
            help="A model (2m-ner, bert-crf, ...; -text added: without pictures) or a recipe file.",
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="A data directory (train, valid, test, images), or LANGUAGE=DIR; can be given several times."
        ),
    ] = None,
    train_file: Annotated[
        list[str] | None, typer.Option("--train", help="A training file, or a share of one: FILE:0.9.")
    ] = None,
    valid_file: Annotated[
        list[str] | None, typer.Option("--valid", help="A validation file, or a share of one: FILE:0.1.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="The folder of pictures, where it is not DIR/images.")] = None,
    boxes: Boxes = None,
    types: Annotated[list[str] | None, typer.Option(help="Rename an entity type: OTHER=MISC.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the run is kept [default: runs/NAME].")] = None,
    encoders: Annotated[
        str | None,
        typer.Option(help="pretrained (default), compact (small, from scratch) or random (full size, untrained)."),
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Change a field: training.rate=3e-5.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the run in --out.")] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 [default: the best there is].")] = None,
    limit: Annotated[int | None, typer.Option(help="Take only the first N rows of each part.")] = None,
    strict_images: Annotated[bool, typer.Option(help="A missing or unreadable picture is an error.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Show shapes, parameters and a timed step; train nothing.")] = False,
) -> None:
    """Train a model; the one of the best validation F1 is left in OUT/model. Test data is never read."""
    from rich.console import Console

    from babelens.cli.corpora import parts
    from babelens.models.encoders import ENCODERS
    from babelens.training.recipe import RecipeError, read_recipe

    if encoders is not None and encoders not in ENCODERS:
        raise RecipeError(f"--encoders: expected one of {', '.join(ENCODERS)}, found {encoders!r}")
    chosen = read_recipe(recipe, encoders=encoders, settings=settings or (), seed=seed)
    out = out or Path("runs") / Path(recipe).stem
    training, validation = parts(
        data or [],
        train_file or [],
        valid_file or [],
        images=images,
        boxes=boxes or None,
        types=types or [],
        seed=chosen.training.seed,
        limit=limit,
        strict_images=strict_images,
    )
    console = Console(stderr=True, quiet=os.environ.get("RANK", "0") != "0")  # one of several processes speaks
    console.print(
        f"training on {len(training):,} rows, choosing on {len(validation):,}; types {', '.join(training.types)}",
        highlight=False,
    )
    for objects in chosen.model.backbone.objects:
        if objects.source == "boxes" and not _boxed(objects, training):
            console.print(
                f"warning: the model reads boxes{_wanted(objects)}, and no picture of the training part has such "
                "(--boxes names a file of some, babelens data boxes finds some)",
                highlight=False,
            )
    if dry_run:
        from babelens.training.rehearsal import rehearse

        rehearse(chosen, training, console, device=device)
        return
    from babelens.training.loop import train as run
    from babelens.training.progress import ConsoleReport

    done = run(chosen, training, validation, out, device=device, resume=resume, report=ConsoleReport(Path(recipe).stem))
    counts = ", ".join(f"{count:,} {status}" for status, count in validation.picture_counts.items())
    console.print(
        f"best validation F1 {done.best:.2f} in epoch {done.epoch}; model: {done.model}"
        + (f"; pictures opened for validation: {counts}" if counts else ""),
        highlight=False,
    )
    console.print(f"next: babelens evaluate {done.model} --data {(data or ['DIR'])[0]}", highlight=False)


def _boxed(objects: "Objects", corpus: "Corpus") -> bool:
    """Whether any picture of a corpus has a box that is read; opens no picture."""
    keys = (key for number in range(len(corpus)) for key in corpus.picture_keys(number))
    return bool(corpus.box_files) and any(objects.reads(box) for key in keys for box in corpus.boxes(key))


def _wanted(objects: "Objects") -> str:
    group = "" if objects.group is None else f" of the group {objects.group}"
    return group + (f" labelled {', '.join(objects.labels)}" if objects.labels else "")
