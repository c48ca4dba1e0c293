"""babelens evaluate: the scores of a model on labelled data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from babelens.cli.corpora import Boxes

if TYPE_CHECKING:
    from rich.table import Table

    from babelens.evaluation.evaluate import Evaluation


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL_DIR", help="A model folder, or the id of one on the hub.")],
    data: Annotated[
        list[str], typer.Option(help="A data directory; LANGUAGE=DIR names its language. Can be given several times.")
    ],
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    images: Annotated[Path | None, typer.Option(help="The folder of pictures, where it is not DIR/images.")] = None,
    boxes: Boxes = None,
    types: Annotated[
        list[str] | None, typer.Option(help="Rename an entity type of the data: OTHER=MISC; OTHER=O leaves it out.")
    ] = None,
    pictures: Annotated[
        str, typer.Option(help="Rows of several pictures: join (all at once) or pairs (a row for each picture).")
    ] = "join",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    batch: Annotated[int, typer.Option(min=1, help="Rows that the model reads at once.")] = 64,
    limit: Annotated[int | None, typer.Option(min=1, help="Take only the first N rows.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that open pictures and make batches.")] = 0,
    precision: Annotated[
        str, typer.Option(help="fp32, bf16, fp16, or auto: bf16 where the machine is made for it.")
    ] = "auto",
    region_cache: Annotated[
        str, typer.Option(help="Keep what the encoders see in pictures on disk, for the next time: auto, bf16, fp16.")
    ] = "off",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 [default: the best there is].")] = None,
    strict_images: Annotated[bool, typer.Option(help="A missing or unreadable picture is an error.")] = False,
) -> None:
    """Score a model: exact-match precision, recall and F1 in per cent, over all and by type, language and picture."""
    from functools import partial
    from json import dumps
    from typing import cast

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from babelens.cli.corpora import type_map
    from babelens.data import read_split
    from babelens.data.reading import SPLITS
    from babelens.evaluation.evaluate import evaluate as run
    from babelens.models.checkpoint import load_tagger
    from babelens.models.memory import keep_freed_memory
    from babelens.models.precision import PRECISIONS, Precision, resolve
    from babelens.models.regions import WISHES, Wish, prepare
    from babelens.prediction.predictor import choose_device

    if not any(split in names for names in SPLITS.values()):
        raise typer.BadParameter(f"expected {', '.join(SPLITS)}, found {split!r}", param_hint="--split")
    if pictures not in ("join", "pairs"):
        raise typer.BadParameter(f"expected join or pairs, found {pictures!r}", param_hint="--pictures")
    for name, value, known in (("precision", precision, PRECISIONS), ("region-cache", region_cache, WISHES)):
        if value not in known:
            raise typer.BadParameter(f"expected {', '.join(known)}, found {value!r}", param_hint=f"--{name}")
    place = choose_device(device)
    renamed = type_map(types or [])
    corpus = read_split(data, split, types=renamed, images=images, strict_images=strict_images, boxes=boxes or None)
    if pictures == "pairs":
        corpus = corpus.pairs()
    if limit is not None:
        corpus = corpus.select(range(min(limit, len(corpus))))
    tagger = load_tagger(model).to(place)
    tagger.precision = resolve(cast(Precision, precision), tagger, place)
    keep_freed_memory()
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("evaluating"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with bar:
        look = bar.add_task("", total=None)
        kept = prepare(
            tagger,
            [corpus],
            cast(Wish, region_cache),
            use="evaluation",
            autocast=tagger.precision,
            step=lambda done, total: bar.update(look, completed=done, total=total),
        )
        bar.remove_task(look)
        if kept.note:
            console.print(kept.note, highlight=False)
        task = bar.add_task("", total=len(corpus))
        advance = partial(bar.advance, task)
        found = run(tagger, corpus, batch=batch, workers=workers, regions=kept.cache, step=advance)
    if json:
        print(dumps(found.to_dict(), indent=2, ensure_ascii=False))
        return
    out = Console()
    for table in tables(found, f"{model} on {split}: {len(corpus):,} rows"):
        out.print(table)
    counts = ", ".join(f"{count:,} {status}" for status, count in found.pictures.items())
    out.print(f"rows by picture: {counts}", highlight=False)
    if found.objects == "grid":
        out.print("objects: a grid of crops, not the boxes of a detector", highlight=False)
    elif found.objects == "boxes":
        out.print(f"objects: boxes, known of {found.boxed:,} pictures", highlight=False)


def tables(found: "Evaluation", title: str) -> "list[Table]":
    """The scores by type and over all, and by language, source and picture where there is more than one."""
    from rich.table import Table

    from babelens.scoring.scores import Average, Counts

    made: list[Table] = []

    def table(title: str, rows: dict[str, "Counts | Average"], parted: int) -> None:
        new = Table("", title=title, title_justify="left")
        for name in ("precision", "recall", "F1", "support"):
            new.add_column(name, justify="right")
        for number, (name, part) in enumerate(rows.items()):
            figures = (f"{value:.2f}" for value in (part.precision, part.recall, part.f1))
            new.add_row(name, *figures, f"{part.support:,}", end_section=number + 1 == parted)
        made.append(new)

    scores = found.scores
    whole = {"micro": scores.micro, "macro": scores.macro, "boundaries alone": scores.boundaries}
    table(title, {**scores.types, **whole}, len(scores.types))
    groups = {"language": found.languages, "source": found.sources, "picture": found.images}
    for name, parts in groups.items():
        if len(parts) > 1:
            table(f"by {name}", {label: part.micro for label, part in parts.items()}, 0)
    return made
