"""babelens build: how good annotations are, and the data set that is made of them."""

from pathlib import Path
from typing import Annotated

import typer

from babelens.cli.build_options import Out, Source, check_folder, counting, pairs, tell_summary


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

    from babelens.build.agreement import PAGE, measure_agreement, write_agreement
    from babelens.build.agreement_plots import write_agreement_plots
    from babelens.build.agreement_rows import read_annotations
    from babelens.build.agreement_tables import as_tables

    report = measure_agreement(read_annotations(source, rows), number=batches, draws=draws, seed=seed)
    written = write_agreement(report, out) + (write_agreement_plots(report, out) if plots else [])
    console = Console(highlight=False)
    for shown in as_tables(report):
        console.print(shown, soft_wrap=isinstance(shown, str), markup=not isinstance(shown, str))
        console.print()
    typer.echo(f"{len(written)} files in {out}; {out / PAGE} has all intervals, and what each figure tells")


def audit(
    source: Source,
    out: Out,
    sentences: Annotated[int, typer.Option("-n", "--sentences", min=1, help="Sentences to draw.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    by_language: Annotated[bool, typer.Option(help="Each language has its share of the sample.")] = False,
    images: Annotated[Path | None, typer.Option(help="The folder of pictures, for the page.")] = None,
) -> None:
    """Draw a random sample of sentences for a person to look at: a sheet for spreadsheets, and a page."""
    from babelens.build.audit_sample import PAGE, SHEET, draw_sample, write_sample

    check_folder(images, "--images")
    sample = draw_sample(source, sentences, seed=seed, by_language=by_language)
    new = write_sample(sample, out, images)
    typer.echo(f"{len(sample.rows):,} of {sample.population:,} sentences ({sample.name}): {out / SHEET}, {out / PAGE}")
    if new:
        typer.echo(f"when it is filled in: babelens build audit-result {out} (a sheet saved by the page: --sheet FILE)")
    else:
        typer.echo("the sample was drawn before, and nothing was changed")


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


def assemble(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="IN...",
            help="Folders of steps, JSONL, labelled corpora or hub:NAME, most trusted first; en=IN names a language.",
        ),
    ],
    out: Out,
    images: Annotated[
        list[Path] | None,
        typer.Option(help="Where pictures lie of inputs without a folder images; several times."),
    ] = None,
    types: Annotated[
        list[str] | None, typer.Option(help="Rename an entity type: OTHER=MISC; OTHER=O leaves it out.")
    ] = None,
    shares: Annotated[str, typer.Option(help="Shares of train, valid and test.")] = "8:1:1",
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    near_text: Annotated[
        float, typer.Option(min=0.05, max=1, help="The similarity from which a text is a copy of another.")
    ] = 0.8,
    same_text: Annotated[bool, typer.Option("--same-text", help="Only the same text is a copy.")] = False,
    near_picture: Annotated[
        int, typer.Option(min=0, max=128, help="Bits of 256 in which pictures nearly the same may differ.")
    ] = 32,
    one_picture: Annotated[
        bool, typer.Option("--one-picture", help="Show the best of pictures nearly the same for all of them.")
    ] = False,
    link: Annotated[bool, typer.Option("--link", help="Hard-link pictures where that is possible.")] = False,
    embed: Annotated[bool, typer.Option(help="Put the bytes of pictures into the Parquet files.")] = True,
    title: Annotated[str | None, typer.Option(help="What the card calls the data set.")] = None,
    licence: Annotated[
        list[str] | None, typer.Option(help="SOURCE=WORDS, or WORDS for the whole as the hub calls it (cc-by-4.0).")
    ] = None,
    agreement: Annotated[Path | None, typer.Option(help="An agreement.json, for the card.")] = None,
    compare: Annotated[list[str] | None, typer.Option(help="A data set to count beside this one: NAME=DIR.")] = None,
    step: Annotated[list[Path] | None, typer.Option(help="The folder of a step before the inputs, in order.")] = None,
    examples: Annotated[int, typer.Option(min=0, help="Rows shown in the card of each source and language.")] = 2,
    limit: Annotated[list[str] | None, typer.Option(help="A known limit, in words, for the card.")] = None,
) -> None:
    """Merge inputs into a data set: no copies, no leakage between its parts, all formats, a card and checksums."""
    from babelens.build.assemble import Wish
    from babelens.build.assemble import assemble as run
    from babelens.build.assemble_inputs import parse_source
    from babelens.build.card import Card
    from babelens.cli.corpora import type_map

    for folder in images or []:
        check_folder(folder, "--images")
    try:
        train, valid, test = map(float, shares.split(":"))
    except ValueError:
        raise typer.BadParameter(f"expected 8:1:1, found {shares!r}", param_hint="--shares") from None
    own = [entry for entry in licence or [] if "=" not in entry]
    if len(own) > 1:
        raise typer.BadParameter(f"expected one of the whole, found {', '.join(own)}", param_hint="--licence")
    wish = Wish(
        (train, valid, test),
        seed,
        None if same_text else near_text,
        near_picture,
        one_picture,
        link,
        embed,
        type_map(types or []),
    )
    card = Card(
        licence=own[0] if own else None,
        licences=pairs([entry for entry in licence or [] if "=" in entry], "--licence", "SOURCE=WORDS"),
        agreement=agreement,
        compared={name: Path(place) for name, place in pairs(compare, "--compare", "NAME=DIR").items()},
        steps=tuple(step or ()),
        examples=examples,
        limits=tuple(limit or ()),
        **({} if title is None else {"title": title}),
    )
    with counting("pictures") as tell:
        summary = run([parse_source(spec, images or ()) for spec in sources], out, wish, card, tell=tell)
    tell_summary(summary)
    typer.echo("  " + ", ".join(f"{name}: {rows:,}" for name, rows in summary.counts["parts"].items()))
    typer.echo(f"  {summary.counts['leaks']:,} rows share anything with another part")
