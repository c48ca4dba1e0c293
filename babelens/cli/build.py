"""babelens build: making a data set, one verb for each step."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from babelens.build.step import Summary

app = typer.Typer(
    help="Make a data set, step by step; every step can be stopped, and goes on when it is run again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Person(StrEnum):
    """What becomes of captions with <PERSON>, as a choice on the command line."""

    drop = "drop"
    keep = "keep"
    mask = "mask"


class Method(StrEnum):
    """How entities are carried over into a translation, as a choice on the command line."""

    both = "both"
    markers = "markers"
    likeness = "likeness"


Out = Annotated[Path, typer.Option("-o", "--out", help="The folder to write: rows, provenance and step.json.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that cannot be read, and record them.")]


@app.command()
def captions(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="TSV, CSV, JSONL (also .gz), Parquet, a labelled corpus or hub:NAME; en=SOURCE names its language.",
        ),
    ],
    out: Out,
    languages: Annotated[str | None, typer.Option(help="Keep only these: en,fr [default: all].")] = None,
    person: Annotated[Person, typer.Option(help="Captions in which <PERSON> stands for a name.")] = Person.drop,
    min_words: Annotated[int, typer.Option(min=1, help="The fewest words of a caption.")] = 3,
    max_words: Annotated[int, typer.Option(min=1, help="The most words of a caption.")] = 128,
    types: Annotated[
        list[str] | None, typer.Option(help="Rename an entity type: OTHER=MISC; OTHER=O leaves it out.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="The column of a field: text=TITLE; also id, language, image, url, group, source."),
    ] = None,
    header: Annotated[str | None, typer.Option(help="The columns of tables without a header: url,caption.")] = None,
    quotes: Annotated[bool, typer.Option(help="Quotation marks in tables are those of spreadsheets.")] = True,
    source: Annotated[str | None, typer.Option(help="What the rows' source is called [default: the file].")] = None,
    skip_bad: SkipBad = False,
) -> None:
    """Read captions or tweets, clean them, and leave out what is not fit for labelling."""
    from babelens.build.caption_fields import Layout
    from babelens.build.caption_readers import read_captions
    from babelens.build.captions import Rules, take_captions
    from babelens.cli.corpora import type_map

    if min_words > max_words:
        raise typer.BadParameter(f"expected at least {min_words}, found {max_words}", param_hint="--max-words")
    wanted = None if languages is None else _languages(languages)
    rules = Rules(wanted, person.value, min_words, max_words, type_map(types or []))
    columns = _pairs(column, "--column", "text=TITLE")
    names = None if header is None else tuple(name.strip() for name in header.split(","))
    captions = read_captions(sources, Layout(columns, names, quotes, source))
    with counting("captions") as tell:
        summary = take_captions(captions, out, rules, skip_bad=skip_bad, tell=tell)
    tell_summary(summary)


@app.command()
def choose(
    source: Annotated[Path, typer.Argument(metavar="IN", help="The folder of a step, or a JSONL file.")],
    out: Out,
    number: Annotated[str, typer.Option(help="So many rows of each language: en=30000,fr=5000.")],
    entities: Annotated[int, typer.Option(min=0, help="Only rows with at least so many entities.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    skip_bad: SkipBad = False,
) -> None:
    """Draw so many rows of each language by a seed, in the order of the input."""
    from babelens.build.choose import Wish, choose_rows
    from babelens.build.rows import read_input

    wish = Wish(_numbers(number), entities, seed)
    with counting("rows") as tell:
        choice = choose_rows(read_input(source), out, wish, skip_bad=skip_bad, tell=tell)
    tell_summary(choice.summary)
    for language, chosen in choice.chosen.items():
        asked = wish.numbers[language]
        typer.echo(f"  {language}: {chosen:,}" + (f" of the {asked:,} asked for" if chosen < asked else ""))
    lacking = [language for language, chosen in choice.chosen.items() if chosen < wish.numbers[language]]
    if lacking:
        fit = f"with at least {entities} entities" if entities else "at all"
        typer.echo(f"warning: there are no more rows {fit} of {', '.join(lacking)}", err=True)


@app.command()
def translate(
    source: Annotated[Path, typer.Argument(metavar="IN", help="The folder of a step, or a JSONL file.")],
    to: Annotated[list[str], typer.Option(help="A language to translate into; can be given several times.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The folder to write: rows, provenance and step.json.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A hub id or folder; with {source} and {target} in it, a model for each pair.")
    ] = None,
    export: Annotated[Path | None, typer.Option(help="Only write the texts, for a service outside.")] = None,
    translations: Annotated[Path | None, typer.Option(help="That file with its translations filled in.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Some translations may be missing.")] = False,
    method: Annotated[Method, typer.Option(help="How entities are carried over.")] = Method.both,
    language: Annotated[str | None, typer.Option(help="The language of rows that name none.")] = None,
    vectors: Annotated[
        str | None, typer.Option(help="A multilingual encoder (hub id or folder), for words that mean the same.")
    ] = None,
    keep: Annotated[bool, typer.Option(help="Write the rows themselves beside their translations.")] = True,
    beams: Annotated[int, typer.Option(min=1, help="Beams of the search; 1 is greedy.")] = 4,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1.")] = "cpu",
    skip_bad: SkipBad = False,
) -> None:
    """Translate rows, by a model here or a service outside, and carry their entities over."""
    from babelens.build.projection_vectors import encoder_vectors
    from babelens.build.rows import Bad, digest_of, read_input
    from babelens.build.step import Step, run_step
    from babelens.build.translate import BLOCK, translation_step
    from babelens.build.translate_handoff import read_translations, requests, write_requests
    from babelens.build.translate_texts import METHODS
    from babelens.build.translators import load_translator

    if sum(given is not None for given in (model, export, translations)) != 1:
        raise typer.BadParameter("expected one of --model, --export and --translations")
    if (out is None) != (export is not None):
        raise typer.BadParameter("expected --out, but with --export, which writes one file only", param_hint="--out")
    given, carrying = read_input(source), METHODS[method.value]
    rows = (row for row in given.rows() if not isinstance(row, Bad))
    if export is not None:
        written = write_requests(export, requests(rows, to, carrying=carrying, language=language))
        typer.echo(f"{written:,} texts in {export}")
        return
    options: dict[str, object] = {
        "to": to,
        "method": method.value,
        "language": language,
        "vectors": vectors,
        "keep": keep,
    }
    versions: dict[str, str] = {}
    if translations is not None:
        asked = requests(rows, to, carrying=carrying, language=language)
        translator = read_translations(translations, asked, partial=partial)
        options |= {"translations": digest_of(translations), "partial": partial}
    else:
        from importlib.metadata import version

        translator = load_translator(str(model), device=device, beams=beams)
        options |= {"model": model, "beams": beams}
        versions = {name: version(name) for name in ("torch", "transformers")}
    meaning = None if vectors is None else encoder_vectors(vectors, device=device)
    take = translation_step(translator, to, carrying=carrying, language=language, vectors=meaning, keep=keep)
    with counting("rows") as tell:
        summary = run_step(
            Step("translate", options, versions), given, Path(str(out)), take, skip_bad=skip_bad, block=BLOCK, tell=tell
        )
    tell_summary(summary)


@app.command()
def agreement(
    source: Annotated[Path, typer.Argument(metavar="ANNOTATIONS", help="JSONL: what one person marked in one row.")],
    out: Out,
    rows: Annotated[Path | None, typer.Option(help="The rows they belong to: a step's folder, or JSONL.")] = None,
    batches: Annotated[
        int | None, typer.Option(min=1, help="Batches over time [default: up to 8 of 25 rows or more].")
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Draws of the bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    plots: Annotated[bool, typer.Option(help="Draw plots (needs the extra `experiments`).")] = True,
) -> None:
    """Tell how far annotators agree: overall, by type, language and pair of people, and over time."""
    from rich.console import Console

    from babelens.build.agreement import measure_agreement, write_agreement
    from babelens.build.agreement_plots import write_agreement_plots
    from babelens.build.agreement_rows import read_annotations
    from babelens.build.agreement_tables import as_tables

    report = measure_agreement(read_annotations(source, rows), number=batches, draws=draws, seed=seed)
    written = write_agreement(report, out) + (write_agreement_plots(report, out) if plots else [])
    console = Console(highlight=False)
    for shown in as_tables(report):
        console.print(shown, soft_wrap=isinstance(shown, str), markup=not isinstance(shown, str))
        console.print()
    typer.echo(f"{len(written)} files in {out}")


@app.command()
def audit(
    source: Annotated[Path, typer.Argument(metavar="IN", help="The folder of a step, or a JSONL file.")],
    out: Out,
    sentences: Annotated[int, typer.Option("-n", "--sentences", min=1, help="Sentences to draw.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    by_language: Annotated[bool, typer.Option(help="Each language has its share of the sample.")] = False,
    images: Annotated[Path | None, typer.Option(help="The folder of pictures, for the page.")] = None,
) -> None:
    """Draw a random sample of sentences for a person to look at: a sheet for spreadsheets, and a page."""
    from babelens.build.audit_sample import PAGE, SHEET, draw_sample, write_sample

    sample = draw_sample(source, sentences, seed=seed, by_language=by_language)
    new = write_sample(sample, out, images)
    typer.echo(f"{len(sample.rows):,} of {sample.population:,} sentences ({sample.name}): {out / SHEET}, {out / PAGE}")
    if not new:
        typer.echo("the sample was drawn before, and nothing was changed")


@app.command("audit-result")
def audit_result(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `audit` has written.")],
    sheet: Annotated[Path | None, typer.Option(help="The filled sheet [default: DIR/sheet.csv].")] = None,
) -> None:
    """Read the filled sheet of an audit, and tell how much is right."""
    from babelens.build.audit_sample import SHEET, judge_sample, read_sample, told, write_result
    from babelens.build.audit_sheet import read_sheet

    sample = read_sample(folder)
    result = judge_sample(sample, read_sheet(sheet or folder / SHEET, sample))
    write_result(result, folder)
    typer.echo("\n".join(told(result)))


def tell_summary(summary: "Summary") -> None:
    """Print what became of the rows of a step."""
    counts = summary.counts
    typer.echo(
        f"{counts['rows']:,} rows in {summary.folder}, of {counts['read']:,} read"
        + ("; this was done before, and nothing is left to do" if summary.before else "")
    )
    for did, whys in counts["did"].items():
        reasons = ", ".join(f"{number:,} {why}" for why, number in whys.items() if why)
        typer.echo(f"  {did}: {sum(whys.values()):,}" + (f" ({reasons})" if reasons else ""))


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """A line with the number of things done, as a step tells it: after about two seconds, and on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} {task.description}"), TimeElapsedColumn())
    shown = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = shown.add_task(what, total=None)

    def tell(done: int) -> None:
        shown.start()
        shown.update(task, completed=done)

    try:
        yield tell
    finally:
        shown.stop()


def _languages(given: str) -> tuple[str, ...]:
    from babelens.build.language_codes import language_of

    names = [name.strip() for name in given.split(",") if name.strip()]
    found = {name: language_of(name) for name in names}
    unknown = [name for name, language in found.items() if language is None]
    if unknown or not names:
        raise typer.BadParameter(
            f"expected codes of languages such as en,fr, found {', '.join(unknown) or 'none'}", param_hint="--languages"
        )
    return tuple(language for language in found.values() if language is not None)


def _numbers(given: str) -> dict[str, int]:
    pairs = _pairs(given.split(","), "--number", "en=30000,fr=5000")
    numbers = {language: int(number) for language, number in pairs.items() if number.isdecimal()}
    wrong = [f"{language}={number}" for language, number in pairs.items() if language not in numbers]
    wrong += [language for language in pairs if _languages(language) != (language,)]
    if wrong:
        raise typer.BadParameter(f"expected en=30000,fr=5000, found {', '.join(wrong)}", param_hint="--number")
    return numbers


def _pairs(given: list[str] | None, option: str, example: str) -> Mapping[str, str]:
    """NAME=VALUE, each as often as it likes."""
    pairs: dict[str, str] = {}
    for pair in given or []:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (name and equals and value):
            raise typer.BadParameter(f"expected {example}, found {pair!r}", param_hint=option)
        pairs[name] = value
    return pairs
