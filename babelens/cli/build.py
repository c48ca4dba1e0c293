"""babelens build: making a data set, one verb for each step."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from babelens.cli import annotate, build_gold, build_images
from babelens.cli.build_options import Out, SkipBad, Source, check_folder, counting, pairs, tell_summary
from babelens.cli.cluster_options import Actors, Address, CpusPerActor, Engine, GpusPerActor

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
    columns = pairs(column, "--column", "text=TITLE")
    names = None if header is None else tuple(name.strip() for name in header.split(","))
    captions = read_captions(sources, Layout(columns, names, quotes, source))
    with counting("captions") as tell:
        summary = take_captions(captions, out, rules, skip_bad=skip_bad, tell=tell)
    tell_summary(summary)


@app.command()
def choose(
    source: Source,
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
def preannotate(
    source: Source,
    out: Out,
    pipeline: Annotated[
        list[str] | None,
        typer.Option(help="A spaCy pipeline, by name or folder, for a language: en=en_core_web_sm; one for each."),
    ] = None,
    model: Annotated[Path | None, typer.Option(help="A babelens model's folder, in place of pipelines.")] = None,
    images: Annotated[Path | None, typer.Option(help="The folder of pictures, for a model that sees.")] = None,
    types: Annotated[
        list[str] | None, typer.Option(help="Name the type of a label: NORP=ORG; LAW=O leaves it out.")
    ] = None,
    numbers: Annotated[bool, typer.Option(help="Numbers, amounts, dates and times are MISC.")] = True,
    replace: Annotated[bool, typer.Option("--replace", help="Put new entities in the place of those there.")] = False,
    skip_languages: Annotated[
        bool, typer.Option("--skip-languages", help="Hand on rows in languages without a pipeline as they are.")
    ] = False,
    all_components: Annotated[
        bool, typer.Option("--all-components", help="Run pipelines whole, with tagger, parser and so on.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="So many processes, each with all pipelines.")] = 1,
    batch: Annotated[int | None, typer.Option(min=1, help="Texts read at once [default: 256; a model: 32].")] = None,
    device: Annotated[str | None, typer.Option(help="Of a model: cpu, cuda, cuda:1 [default: the best].")] = None,
    engine: Annotated[Engine, typer.Option(help="Read rows here, or on a Ray cluster; the same is written.")] = (
        Engine.local
    ),
    actors: Actors = 1,
    cpus_per_actor: CpusPerActor = 1,
    gpus_per_actor: GpusPerActor = 0.0,
    address: Address = None,
    skip_bad: SkipBad = False,
) -> None:
    """Find entities with spaCy pipelines or a model, for people to correct."""
    from functools import partial

    from babelens.build import preannotate_model, preannotate_pipelines
    from babelens.build.preannotate import preannotate_rows
    from babelens.build.preannotate_cluster import ClusterAnnotator, absolute_name
    from babelens.build.preannotate_labels import Labels
    from babelens.build.rows import read_input
    from babelens.cli.corpora import type_map
    from babelens.prediction.cluster_actors import Cluster

    names = pairs(pipeline, "--pipeline", "en=en_core_web_sm")
    for language in names:
        if _languages(language) != (language,):
            raise typer.BadParameter(f"expected en=NAME, found {language}=...", param_hint="--pipeline")
    if (model is None) == (not names):
        found = "both" if names else "none"
        raise typer.BadParameter(f"expected one of both, found {found}", param_hint="--pipeline, --model")
    check_folder(images, "--images")
    rows = read_input(source)
    if engine is Engine.ray and (processes != 1 or device is not None):
        raise typer.BadParameter("--processes and --device are of the local engine", param_hint="--engine ray")
    cluster = Cluster(actors, cpus_per_actor, gpus_per_actor, address)
    if model is not None:
        make = partial(
            preannotate_model.ModelAnnotator,
            model if engine is Engine.local else model.absolute(),
            images=images if images is None or engine is Engine.local else images.absolute(),
            device=cluster.device if engine is Engine.ray else device,
            batch=batch or preannotate_model.BATCH,
        )
    else:
        make = partial(
            preannotate_pipelines.Pipelines,
            names if engine is Engine.local else {language: absolute_name(name) for language, name in names.items()},
            processes=processes,
            batch=batch or preannotate_pipelines.BATCH,
            whole=all_components,
        )
    annotator = ClusterAnnotator(make, cluster) if engine is Engine.ray else make()
    with counting("rows") as tell:
        done = preannotate_rows(
            rows,
            out,
            annotator,
            Labels(type_map(types or []), numbers),
            replace=replace,
            skip_languages=skip_languages,
            skip_bad=skip_bad,
            tell=tell,
        )
    tell_summary(done.summary)
    if done.rows:
        typer.echo(
            f"  {done.rows:,} rows read in {done.seconds:,.1f} s: {done.rows / done.seconds:,.0f} rows/s, "
            f"{done.rows / max(done.core_seconds, 1e-9):,.0f} rows/s per core"
        )


@app.command()
def translate(
    source: Source,
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
    from babelens.build.gate import refuse_bad_rows
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
    to = [code for language_ in to for code in _languages(language_, "--to")]
    if language is not None:
        (language,) = _languages(language, "--language")
    given, carrying = read_input(source), METHODS[method.value]
    rows = (row for row in given.rows() if not isinstance(row, Bad))
    if export is not None:
        if not skip_bad:
            refuse_bad_rows(given)
        written = write_requests(export, requests(rows, to, carrying=carrying, language=language))
        typer.echo(f"{written:,} texts in {export}")
        typer.echo(
            "when each line has its translation: the same command, with --translations FILE --out OUT in place of "
            "--export"
        )
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


def _languages(given: str, option: str = "--languages") -> tuple[str, ...]:
    from babelens.build.language_codes import language_of

    names = [name.strip() for name in given.split(",") if name.strip()]
    found = {name: language_of(name) for name in names}
    unknown = [name for name, language in found.items() if language is None]
    if unknown or not names:
        raise typer.BadParameter(
            f"expected codes of languages such as en,fr, found {', '.join(unknown) or 'none'}", param_hint=option
        )
    return tuple(language for language in found.values() if language is not None)


def _numbers(given: str) -> dict[str, int]:
    asked = pairs(given.split(","), "--number", "en=30000,fr=5000")
    numbers = {language: int(number) for language, number in asked.items() if number.isdecimal()}
    wrong = [f"{language}={number}" for language, number in asked.items() if language not in numbers]
    wrong += [language for language in asked if _languages(language) != (language,)]
    if wrong:
        raise typer.BadParameter(f"expected en=30000,fr=5000, found {', '.join(wrong)}", param_hint="--number")
    return numbers


app.command()(build_images.images)
app.add_typer(annotate.app, name="annotate")
app.command()(build_gold.agreement)
app.command()(build_gold.audit)
app.command("audit-result")(build_gold.audit_result)
app.command()(build_gold.assemble)
