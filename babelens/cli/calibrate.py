"""babelens calibrate: how far the scores of a model are to be believed, and from which on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from babelens.cli.corpora import Boxes

if TYPE_CHECKING:
    from rich.table import Table

    from babelens.models.calibration import Calibration


def calibrate(
    model: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="A model folder; it gets a calibration.json.")],
    data: Annotated[
        list[str],
        typer.Option(
            help="A data directory whose rows had no part in training nor in the choice of the model; LANGUAGE=DIR "
            "names its language. Can be given several times."
        ),
    ],
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "valid",
    target_precision: Annotated[
        list[float] | None,
        typer.Option(min=0.0, max=1.0, help="Find the least score of this precision; can be given several times."),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="The folder of pictures, where it is not DIR/images.")] = None,
    boxes: Boxes = None,
    types: Annotated[
        list[str] | None, typer.Option(help="Rename an entity type of the data: OTHER=MISC; OTHER=O leaves it out.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="By which the rows are divided into halves.")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Rows that the model reads at once.")] = 64,
    limit: Annotated[int | None, typer.Option(min=1, help="Take only the first N rows.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 [default: the best there is].")] = None,
    strict_images: Annotated[bool, typer.Option(help="A missing or unreadable picture is an error.")] = False,
) -> None:
    """Fit the temperature of a model's scores, and find the least scores of target precisions; entities stay the same.

    On one half of the rows the temperature is fitted; on the other, all figures are measured and thresholds are found.
    Rows that share a picture, a text or a translation stay together. The calibration is written into the model folder,
    in place of one that is there. Whether the rows had a part in the choice of the model cannot be seen, so the
    calibration says which they were.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from babelens.cli.corpora import type_map
    from babelens.data import read_split
    from babelens.data.reading import SPLITS
    from babelens.evaluation.evaluate import check_types
    from babelens.models.calibrating import calibrate as fit
    from babelens.models.calibration import write_calibration
    from babelens.models.checkpoint import load_tagger, read_config
    from babelens.models.memory import keep_freed_memory
    from babelens.prediction.predictor import choose_device

    if not any(split in names for names in SPLITS.values()):
        raise typer.BadParameter(f"expected {', '.join(SPLITS)}, found {split!r}", param_hint="--split")
    read_config(model)
    place = choose_device(device)
    renamed = type_map(types or [])
    corpus = read_split(data, split, types=renamed, images=images, strict_images=strict_images, boxes=boxes or None)
    if limit is not None:
        corpus = corpus.select(range(min(limit, len(corpus))))
    tagger = load_tagger(model).to(place)
    check_types(tagger, corpus)
    keep_freed_memory()
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("reading"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    facts = {
        "by": "babelens calibrate",
        "data": [Path(name.partition("=")[2] or name).name for name in data],
        "split": split,
        "digest": corpus.digest,
        "held_out": "unproven: whether the rows had a part in training or in the choice of the model is not known",
    }
    with bar:
        task = bar.add_task("", total=len(corpus))
        targets = tuple(dict.fromkeys(target_precision or ()))
        made = fit(
            tagger,
            corpus,
            targets=targets,
            seed=seed,
            batch=batch,
            facts=facts,
            step=lambda done: bar.advance(task, done),
        )
    write_calibration(model, made)
    if json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(made), indent=2).decode())
        return
    out = Console()
    out.print(measure_table(made))
    for line in verdicts(made):
        out.print(line, highlight=False, soft_wrap=True)
    out.print(f"written to {model / 'calibration.json'}", highlight=False, soft_wrap=True)


def measure_table(calibration: "Calibration") -> "Table":
    """How far scores are true before and after, over all candidate spans and by language and picture."""
    from rich import box
    from rich.table import Table

    rows = calibration.facts["rows"]
    title = (
        f"temperature {calibration.temperature:.3f}, fitted on {rows['fitted']:,} rows, measured on {rows['held']:,} "
        "others\n(before / after)"
    )
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for name in ("spans", "NLL", "Brier", "ACE"):
        table.add_column(name, justify="right", no_wrap=True)
    measures = calibration.facts["measures"]
    parts: dict[str, Any] = {
        "all candidates": measures["all"],
        **{f"language {name}": part for name, part in measures["languages"].items()},
        **{f"picture {name}": part for name, part in measures["images"].items()},
        "found entities alone": measures["found"],
    }
    for name, part in parts.items():
        if part is None:
            table.add_row(name, "0", "-", "-", "-")
            continue
        before, after = part["before"], part["after"]
        figures = (f"{before[key]:.3f} / {after[key]:.3f}" for key in ("nll", "brier", "ace"))
        table.add_row(name, f"{before['spans']:,}", *figures)
    return table


def verdicts(calibration: "Calibration") -> list[str]:
    """For each target precision the score from which on it holds, or that it was not reached."""
    search = calibration.facts["search"]
    found = {threshold.target: threshold for threshold in calibration.thresholds}
    lines: list[str] = []
    for target in search["targets"]:
        one = found.get(target)
        if one is None:
            lines.append(
                f"precision {target:g}: not shown at any score on these rows (the best bound is "
                f"{search['highest_bound']:.3f}; more rows raise it)"
            )
        else:
            lines.append(
                f"precision {target:g}: from score {one.score:.4f} on ({one.right:,} of {one.entities:,} right; at "
                f"least {one.low:.3f} with {100 * one.level:g} % confidence)"
            )
    return lines
