"""babelens data: fetch, check, count, audit, convert and split corpora."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from babelens.cli.boxes import boxes as find_boxes
from babelens.cli.corpora import Boxes
from babelens.cli.fetch import fetch
from babelens.cli.progress import bars

if TYPE_CHECKING:
    from babelens.data.check import PartReport, Report
    from babelens.data.corpus import Corpus
    from babelens.data.reading import Reading

app = typer.Typer(
    help="Fetch, check, count, audit, convert and split corpora.", no_args_is_help=True, rich_markup_mode=None
)
app.command("boxes")(find_boxes)
app.command("fetch")(fetch)


class Scheme(StrEnum):
    """A tag scheme, as a choice on the command line."""

    iob1 = "iob1"
    iob2 = "iob2"
    bioes = "bioes"
    bilou = "bilou"


class Kind(StrEnum):
    """A kind of file, as a choice on the command line."""

    conll = "conll"
    jsonl = "jsonl"
    parquet = "parquet"


Place = Annotated[
    str, typer.Argument(metavar="PATH", help="A file or a data directory; LANGUAGE=PATH names its language.")
]
Types = Annotated[list[str] | None, typer.Option(help="Rename an entity type: OTHER=MISC; OTHER=O leaves it out.")]
Images = Annotated[Path | None, typer.Option(help="The folder of pictures, where it is not `images` beside the file.")]
SchemeIn = Annotated[Scheme | None, typer.Option(help="The tag scheme of the files [default: found out].")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def check(
    path: Place,
    types: Types = None,
    images: Images = None,
    scheme: SchemeIn = None,
    boxes: Boxes = None,
    pictures: Annotated[bool, typer.Option(help="Open every picture.")] = True,
    strict: Annotated[bool, typer.Option(help="Tags that break their scheme give exit code 1.")] = False,
    strict_images: Annotated[bool, typer.Option(help="Missing or unreadable pictures give exit code 1.")] = False,
    json: Json = False,
) -> None:
    """Tell everything that is wrong or odd in a corpus; exit code 1 if it cannot be used."""
    import msgspec

    from babelens.data.check import check as run
    from babelens.data.places import find_all

    how, folder = _how(path, types, images, scheme, boxes)
    with bars() as progress:
        report = run(find_all(folder), how, pictures=pictures, progress=progress)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        _print_report(report)
    if report.faulty or (strict and report.violations) or (strict_images and report.bad_pictures):
        raise typer.Exit(1)


@app.command()
def stats(path: Place, types: Types = None, images: Images = None, scheme: SchemeIn = None, json: Json = False) -> None:
    """Count sentences, words, entities, languages and pictures, part by part."""
    import msgspec
    from rich.console import Console

    from babelens.data.statistics import as_data, as_table, statistics

    counts = {name: statistics(corpus) for name, corpus in _read_parts(path, types, images, scheme).items()}
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(as_data(counts))).decode())
    else:
        Console(width=None if _is_terminal() else 40 + 20 * len(counts)).print(as_table(counts))


@app.command()
def audit(
    path: Place,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="Another corpus to look for common rows in; can be given several times."),
    ] = None,
    types: Types = None,
    images: Images = None,
    scheme: SchemeIn = None,
    near: Annotated[bool, typer.Option(help="Also look for texts that are nearly the same.")] = True,
    json: Json = False,
) -> None:
    """Tell what repeats in a corpus, which labels disagree, and what it shares with others.

    The parts of MMNERD are counted beside the figures of the 2M-NER paper.
    """
    import msgspec
    from rich.console import Console

    from babelens.data.audit import audit as run
    from babelens.data.audit_tables import as_tables

    others: dict[str, dict[str, Corpus]] = {}
    for other in against or []:
        name = other.partition("=")[2] or other
        name = Path(name).resolve().name
        # Two folders may have one name.
        others[other if name in others else name] = _read_parts(other, types, None, scheme)
    found = run(_read_parts(path, types, images, scheme), others, near)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    console = Console(width=None if _is_terminal() else 160, highlight=False)
    for shown in as_tables(found):
        console.print(shown, soft_wrap=isinstance(shown, str))
        console.print()


@app.command()
def convert(
    path: Place,
    out: Annotated[Path, typer.Argument(help="The file to write (.txt, .jsonl, .parquet), or a folder with --to.")],
    to: Annotated[Kind | None, typer.Option(help="The kind to write [default: that of OUT's ending].")] = None,
    write_scheme: Annotated[Scheme, typer.Option(help="The tag scheme to write.")] = Scheme.iob2,
    types: Types = None,
    images: Images = None,
    scheme: SchemeIn = None,
) -> None:
    """Write a corpus as CoNLL, JSONL or Parquet.

    A folder becomes a folder: its parts keep their names, and its pictures are copied to OUT/images (Parquet holds them
    itself).
    """
    from babelens.data import Corpus
    from babelens.data.convert import write_corpus, write_pictures
    from babelens.data.places import KINDS
    from babelens.data.problems import fault

    parts = _read_parts(path, types, images, scheme)
    kind = None if to is None else to.value
    if out.suffix:
        written = Corpus.concatenate(list(parts.values()))
        typer.echo(f"{write_corpus(written, out, kind, write_scheme.value):,} rows in {out}")
        return
    if kind is None:
        raise fault(out, "--to conll, jsonl or parquet with a folder", "neither an ending nor --to")
    for name, corpus in parts.items():
        target = out / f"{name}{KINDS[kind][0]}"
        typer.echo(f"{write_corpus(corpus, target, kind, write_scheme.value):,} rows in {target}")
    if kind != "parquet":
        _copy_pictures(list(parts.values()), out, write_pictures)


@app.command()
def split(
    path: Place,
    out: Annotated[Path, typer.Argument(help="The folder to write train, valid and test to.")],
    shares: Annotated[str, typer.Option(help="Shares of train, valid and test.")] = "8:1:1",
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    to: Annotated[Kind, typer.Option(help="The kind of file to write.")] = Kind.conll,
    types: Types = None,
    images: Images = None,
    scheme: SchemeIn = None,
) -> None:
    """Split a corpus into train, valid and test; rows that share a picture, a group or a text stay together."""
    from babelens.data import Corpus
    from babelens.data.convert import write_corpus, write_pictures
    from babelens.data.places import KINDS, SPLITS
    from babelens.data.problems import fault
    from babelens.data.split import leaks
    from babelens.data.split import split as divide

    corpus = Corpus.concatenate(list(_read_parts(path, types, images, scheme).values()))
    parts = dict(zip(SPLITS, divide(corpus, _shares(shares), seed=seed), strict=True))
    found = leaks(parts)
    if found:
        raise fault(path, "parts that share nothing", ", ".join(f"{leak.count} x {leak.kind}" for leak in found))
    for name, part in parts.items():
        target = out / f"{name}{KINDS[to.value][0]}"
        typer.echo(f"{write_corpus(part, target, to.value):,} rows in {target}")
    typer.echo("shared by two parts: 0 pictures, 0 groups, 0 texts")
    if to != Kind.parquet:
        _copy_pictures([corpus], out, write_pictures)


def _copy_pictures(corpora: "list[Corpus]", out: Path, write: Callable[..., int]) -> None:
    with bars() as progress:
        total = sum(write(corpus, out / "images", progress) for corpus in corpora if corpus.picture_numbers.any())
    if total:
        typer.echo(f"{total:,} pictures in {out / 'images'}")


def _shares(given: str) -> list[float]:
    try:
        shares = [float(share) for share in given.split(":")]
    except ValueError:
        shares = []
    if len(shares) != 3 or min(shares) < 0 or not 0 < sum(shares) < float("inf"):
        raise typer.BadParameter(f"expected three shares such as 8:1:1, found {given!r}", param_hint="--shares")
    return shares


def _how(
    path: str, types: list[str] | None, images: Path | None, scheme: Scheme | None, boxes: list[Path] | None = None
) -> "tuple[Reading, Path]":
    from babelens.cli.corpora import type_map
    from babelens.data.places import parse_spec
    from babelens.data.reading import make_reading

    language, folder = parse_spec(path)
    tags = scheme.value if scheme else None
    return make_reading(language, None, type_map(types or []), images, False, tags, boxes or None), folder


def _read_parts(path: str, types: list[str] | None, images: Path | None, scheme: Scheme | None) -> "dict[str, Corpus]":
    from babelens.data.places import find_all
    from babelens.data.reading import read_places

    how, folder = _how(path, types, images, scheme)
    return read_places(find_all(folder), how)


def _is_terminal() -> bool:
    import sys

    return sys.stdout.isatty()


def _print_report(report: "Report") -> None:
    for part in report.parts:
        _print_part(part)
    for name, types in report.unknown_types.items():
        typer.echo(
            f"error: types of {name} that do not occur in train: {', '.join(types)} (--types OLD=NEW renames one)"
        )
    for line in report.shared:
        typer.echo(f"warning: {line}")
    if report.unknown_boxed:
        first = report.unknown_boxed_examples[0]
        typer.echo(f"warning: {report.unknown_boxed:,} pictures with boxes that no row names (first: {first})")
    verdict = "cannot be used as it is" if report.faulty else "can be used"
    typer.echo(f"{len(report.parts)} file{'s' if len(report.parts) != 1 else ''} checked: the corpus {verdict}")


def _print_part(part: "PartReport") -> None:
    if part.fault_total:
        typer.echo(f"{part.path}: {part.fault_total:,} error{'s' if part.fault_total != 1 else ''}")
        for line in part.faults:
            typer.echo(f"  {line}")
        if part.fault_total > len(part.faults):
            typer.echo(f"  ... and {part.fault_total - len(part.faults):,} more")
        return
    entities = ", ".join(f"{name} {count:,}" for name, count in part.entities.items()) or "none"
    scheme = f" ({part.scheme})" if part.scheme else ""
    typer.echo(f"{part.path}: {part.rows:,} sentences, {part.words:,} words, entities{scheme}: {entities}")
    odd: list[tuple[int, str, list[str]]] = [
        (
            part.violations,
            "tags that break their scheme (an I- that continues nothing starts an entity)",
            part.violation_examples,
        ),
        (part.widened, "entities that start or end inside a word, widened to the whole word", []),
        (part.empty_rows, "sentences without words", []),
        (
            part.lost_words,
            f"words of characters that tokenizers drop ({_counts(part.lost_characters)})",
            part.lost_examples,
        ),
        (part.repeated_ids, "ids that occur again", []),
        (part.repeated_texts, "texts that occur again in the same file", []),
        (
            sum(part.pictures.values()) - part.pictures.get("used", 0),
            f"pictures that cannot be used ({_counts(part.pictures)})",
            part.picture_examples,
        ),
    ]
    for count, what, examples in odd:
        if count:
            typer.echo(f"  warning: {count:,} {what}")
            for line in examples:
                typer.echo(f"    {line}")
            if examples and count > len(examples):
                typer.echo(f"    ... and {count - len(examples):,} more")
    used = part.pictures.get("used", 0)
    if used:
        typer.echo(f"  {used:,} pictures found")
    if part.boxed:
        typer.echo(f"  {part.boxed:,} distinct pictures with boxes")


def _counts(counts: dict[str, int]) -> str:
    shown = [f"{count:,} {name}" for name, count in list(counts.items())[:6]]
    return ", ".join([*shown, "..."] if len(counts) > len(shown) else shown)
