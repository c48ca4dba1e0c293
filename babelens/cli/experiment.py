"""babelens experiment: the experiments of the paper and others, each by one command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from babelens.experiments.material import Material


# On the built-in corpus: what two cores can do with nine systems and three seeds in forty minutes.
BUILT_IN_ROWS, BUILT_IN_EPOCHS = 12_800, 3


def experiment(
    name: Annotated[
        str | None, typer.Argument(help="An experiment, or a TOML file of one; without it, what there is.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="A data directory (train, valid, test), or LANGUAGE=DIR; can be given several times [default: the "
            "built-in corpus, with compact encoders]."
        ),
    ] = None,
    train_file: Annotated[list[str] | None, typer.Option("--train", help="A training file, or FILE:0.9 of it.")] = None,
    valid_file: Annotated[list[str] | None, typer.Option("--valid", help="A validation file, or FILE:0.1.")] = None,
    test_file: Annotated[list[str] | None, typer.Option("--test", help="A test file.")] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(help="Another corpus to test on: NAME=DIR (its test part) or NAME=FILE; can be repeated."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where it is kept [default: runs/experiments/NAME].")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="How many seeds [default: the experiment's, mostly 5].")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Run only some values of an axis: system=bert,2m-ner; can be repeated.")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="The model or recipe file of an experiment that compares no systems.")
    ] = None,
    encoders: Annotated[str | None, typer.Option(help="pretrained, compact or random (see babelens train).")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Change a field: training.epochs=4.")] = None,
    types: Annotated[
        list[str] | None, typer.Option(help="Rename an entity type: OTHER=MISC; OTHER=O drops it.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="The folder of pictures, where it is not DIR/images.")] = None,
    rows: Annotated[int, typer.Option(min=8, help="Training rows of the built-in corpus.")] = BUILT_IN_ROWS,
    protocol: Annotated[
        str, typer.Option(help="ours, or published: also the best epoch on test, which published code reports.")
    ] = "ours",
    note: Annotated[
        list[str] | None, typer.Option(help="Something to be said with the results, such as what the labels are.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs side by side.")] = 1,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 [default: the best there is].")] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="Print a command for each run that is left; run none.")
    ] = False,
    run: Annotated[str | None, typer.Option(help="Carry out this one run (of --list) and no more.")] = None,
    summary: Annotated[bool, typer.Option(help="Only gather what there is: tables, plots, reports.")] = False,
    leaderboard: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Make the page PAGE from the result files in a FOLDER, and end.")
    ] = None,
) -> None:
    """Run an experiment: train, choose on validation, read test once, and make its tables, plots and reports.

    What is done is kept: the same command goes on where it stopped. Without --data the built-in corpus is used, on
    which compact models train for three epochs if --set training.epochs does not say otherwise.
    """
    from rich.console import Console

    console = Console(stderr=True, soft_wrap=True)
    if leaderboard is not None:
        _leaderboard(*leaderboard, console)
        return
    if name is None:
        _print_known()
        return
    from babelens.experiments.campaign import Campaign, this_command
    from babelens.experiments.plan import points, read_experiment
    from babelens.experiments.protocol import Protocol
    from babelens.models.encoders import ENCODERS
    from babelens.schema import InputError

    if protocol not in ("ours", "published"):
        raise typer.BadParameter(f"expected ours or published, found {protocol!r}", param_hint="--protocol")
    if encoders is not None and encoders not in ENCODERS:
        raise typer.BadParameter(f"expected one of {', '.join(ENCODERS)}, found {encoders!r}", param_hint="--encoders")
    chosen, file = read_experiment(name)
    if system is not None:
        from msgspec.structs import replace

        if any(value.model for grid in chosen.grids for axis in grid.axes for value in axis.variants()):
            raise InputError(f"--system: {chosen.name} names its systems itself; --only takes some of them")
        chosen = replace(chosen, base=replace(chosen.base, model=system))
    wanted = list(points(chosen, _only(only or [])))
    if not wanted:
        raise InputError(f"--only: expected values of one cell at least, found none with {' and '.join(only or [])}")
    place = out or Path("runs") / "experiments" / chosen.name
    if place.exists() and not place.is_dir():
        raise InputError(f"--out {place}: expected a folder, found a file")
    built_in = not (data or train_file or valid_file or test_file)
    options: dict[str, Any] = {
        "--data": data,
        "--train": train_file,
        "--valid": valid_file,
        "--test": test_file,
        "--also": also,
        "--out": [str(place)] if out else None,
        "--seeds": [str(seeds)] if seeds else None,
        "--only": only,
        "--system": [system] if system else None,
        "--encoders": [encoders] if encoders else None,
        "--set": settings,
        "--types": types,
        "--images": [str(images)] if images else None,
        "--rows": [str(rows)] if built_in and rows != BUILT_IN_ROWS else None,
        "--protocol": [protocol] if protocol != "ours" else None,
        "--device": [device] if device else None,
        "--note": note,
    }
    told = [
        "experiment",
        name,
        *(word for flag, values in options.items() for value in values or [] for word in (flag, value)),
    ]
    if built_in:
        _write_built_in(place, rows)
    campaign = Campaign(
        experiment=chosen,
        file=file,
        material=_material(place, data, train_file, valid_file, test_file, also, types, images, built_in),
        points=list(points(chosen)),
        chosen=wanted,
        seeds=range(1, (seeds or chosen.seeds) + 1),
        out=place,
        protocol=Protocol(device=device, published=protocol == "published"),
        settings=settings or (),
        defaults=[f"training.epochs={BUILT_IN_EPOCHS}"] if built_in else (),
        encoders=encoders if encoders else "compact" if built_in else None,  # pyright: ignore[reportArgumentType]
        command=["babelens", *told],
        notes=note or (),
    )
    campaign.check()
    campaign.claim()
    if listed:
        for line in campaign.commands(["babelens", *told]):
            typer.echo(line)
        return
    if run is not None:
        job = next((job for job in campaign.jobs() if job.key == run), None)
        if job is None:
            raise InputError(f"--run: expected one of the runs that --list shows, found {run!r}")
        campaign.run(job, console)
        return
    failed = 0
    if not summary:
        failed = campaign.run_beside(this_command(told), jobs, console) if jobs > 1 else campaign.run_all(console)
    from babelens.experiments.summary import summarise_campaign

    for line in summarise_campaign(campaign, console):
        console.print(line, highlight=False, markup=False)
    if failed:
        raise typer.Exit(1)


def _only(only: list[str]) -> dict[str, list[str]]:
    from babelens.schema import InputError

    wanted: dict[str, list[str]] = {}
    for entry in only:
        axis, equals, names = entry.partition("=")
        if not (axis and equals and names):
            raise InputError(f"--only: expected AXIS=VALUE,VALUE such as system=bert,2m-ner, found {entry!r}")
        wanted.setdefault(axis, []).extend(name.strip() for name in names.split(",") if name.strip())
    return wanted


def _write_built_in(place: Path, rows: int) -> None:
    """Draw the built-in corpus, once; runs that read it have their claim on it.

    Raises:
        InputError: runs stand there that read another one.
    """
    from babelens.data.postcards import write_postcards
    from babelens.evaluation.demo import sizes_for
    from babelens.experiments.folder_claim import CLAIM
    from babelens.schema import InputError
    from babelens.training.claim import locked

    corpus, size = place / "postcards", place / "postcards.rows"
    place.mkdir(parents=True, exist_ok=True)
    if (place / CLAIM).is_file():
        before = f"--rows {size.read_text(encoding='utf-8')}" if size.is_file() else "--data"
        if before != f"--rows {rows}":
            raise InputError(
                f"{place}: expected the data of the runs that stand here ({before}), found --rows {rows}; choose a new "
                "--out"
            )
        return
    with locked(place):
        write_postcards(corpus, seed=1, sizes=sizes_for(rows))
        size.write_text(str(rows), encoding="utf-8")


def _material(
    place: Path,
    data: list[str] | None,
    train_files: list[str] | None,
    valid_files: list[str] | None,
    test_files: list[str] | None,
    also: list[str] | None,
    types: list[str] | None,
    images: Path | None,
    built_in: bool,
) -> "Material":
    """The rows that the command line asks for; test parts stay sealed.

    Raises:
        InputError: a part is not given or cannot be read.
    """
    from functools import partial

    from babelens.cli.corpora import parts, type_map
    from babelens.data import Corpus, read_split
    from babelens.data.reading import read_corpus, read_share
    from babelens.experiments.material import Material, Sealed
    from babelens.schema import InputError

    postcards = place / "postcards"
    sources = [str(postcards)] if built_in else data or []
    training, validation = parts(
        sources,
        train_files or [],
        valid_files or [],
        images=images,
        boxes=None,
        types=types or [],
        seed=0,
        limit=None,
        strict_images=False,
    )
    how: dict[str, Any] = {"types": type_map(types or []), "images": images}
    ledger = place / "test-reads.jsonl"
    if test_files:
        reading = [partial(read_share, file, part="test", **how) for file in test_files]
        test = Sealed(lambda: Corpus.concatenate([read() for read in reading]), ledger)
    elif sources:
        test = Sealed(partial(read_split, sources, "test", **how), ledger)
    else:
        raise InputError("expected --data DIR or --test FILE, found neither")
    others: dict[str, Sealed] = {}
    for entry in also or []:
        name, equals, spec = entry.partition("=")
        if not (name and equals and spec) or "/" in name or name in others:
            raise InputError(f"--also: expected NAME=DIR or NAME=FILE, each NAME once, found {entry!r}")
        path = Path(spec.partition("=")[2] or spec)
        own: dict[str, Any] = {"types": how["types"]}
        read = partial(read_split, spec, "test", **own) if path.is_dir() else partial(read_corpus, spec, **own)
        others[name] = Sealed(read, ledger)
    facts: dict[str, Any] = {
        "training": {"rows": len(training), "digest": training.digest},
        "validation": {"rows": len(validation), "digest": validation.digest},
        "types": list(training.types),
        "name": "built-in corpus" if built_in else ", ".join(map(_named, [*sources, *(train_files or [])])),
    }
    return Material(training, validation, test, others, facts, cards=postcards if built_in else None)


def _named(spec: str) -> str:
    """A data directory, or a file with its folder, without where it lies."""
    language, equals, place = spec.rpartition("=")
    path = Path(place)
    return f"{language}{equals}{path.name if path.is_dir() else f'{path.parent.name}/{path.name}'}"


def _print_known() -> None:
    from rich.console import Console
    from rich.table import Table

    from babelens.experiments.plan import known_experiments, points, read_experiment

    table = Table("experiment", "what it asks", "cells", "seeds", box=None, header_style="bold")
    for name in known_experiments():
        found, _ = read_experiment(name)
        table.add_row(name, found.title, str(len(list(points(found)))), str(found.seeds))
    Console().print(table)


def _leaderboard(folder: Path, page: Path, console: "Console") -> None:
    from babelens.experiments.leaderboard import write_leaderboard
    from babelens.schema import InputError

    files = sorted(folder.glob("*.json"))
    if not files:
        raise InputError(f"{folder}: expected result files (*.json), found none")
    write_leaderboard(files, page)
    console.print(f"{page}: from {len(files)} result files", highlight=False)
