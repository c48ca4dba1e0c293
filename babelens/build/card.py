"""The card of a data set: README.md with front matter for the hub, tables as in the 2M-NER paper, and known limits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from babelens.build.agreement import read_agreement
from babelens.build.agreement_tables import FIGURES, SIMULATED, simulated, told
from babelens.build.assemble_files import CONLL, PARQUET
from babelens.build.assemble_leaks import Leaks
from babelens.build.card_making import tell_assembly, tell_leaks, tell_steps
from babelens.build.card_tables import (
    Compared,
    compare,
    count_parts,
    examples,
    languages_of,
    order_types,
    size_category,
    sources_of,
)
from babelens.build.markdown import escape, grid
from babelens.build.rows import STEP, digest_of, read_step
from babelens.data.corpus import Corpus
from babelens.data.languages import is_language
from babelens.data.problems import fault

CARD, STATISTICS = "README.md", "statistics.json"
_FIGURES = ("f1", "f1_spans", "kappa_tags", "kappa_tags_any", "alpha_tags")
_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
_TABLE_2 = "Wang et al., 2M-NER (2024), Table 2"


@dataclass(frozen=True)
class Card:
    """What the card says besides what the files tell.

    `licences` are those of sources, by name; `licence` that of the whole, as the hub calls it ("cc-by-4.0").
    `agreement` is an `agreement.json`; `compared` are other data sets on disk, by name; `steps` are the folders of the
    steps that came before the inputs, the first one first. `examples` are so many rows of each source and language.
    `limits` are sentences.
    """

    title: str = "Named entities in text with pictures"
    licence: str | None = None
    licences: Mapping[str, str] = field(default_factory=dict)
    agreement: Path | None = None
    compared: Mapping[str, Path] = field(default_factory=dict)
    steps: Sequence[Path] = ()
    examples: int = 2
    limits: Sequence[str] = ()

    def options(self) -> dict[str, Any]:
        """All of it in terms of JSON; files by their content.

        Raises:
            DataError: a file, or the folder of a step, is not there.
        """
        for folder in self.steps:
            if not (folder / STEP).is_file():
                raise fault(folder, f"the folder of a step that is done (with {STEP})", "none")
            read_step(folder)
        if self.agreement is not None and not self.agreement.is_file():
            raise fault(self.agreement, "an agreement.json", "no such file")
        return {
            "title": self.title,
            "licence": self.licence,
            "licences": dict(sorted(self.licences.items())),
            "agreement": None if self.agreement is None else digest_of(self.agreement),
            "compared": {name: compare(name, path).digest for name, path in self.compared.items()},
            "steps": [digest_of(folder / STEP) for folder in self.steps],
            "examples": self.examples,
            "limits": list(self.limits),
        }


def write_card(
    folder: Path,
    parts: Mapping[str, Corpus],
    counts: Mapping[str, Any],
    leaks: Sequence[Leaks],
    inputs: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any],
    card: Card,
) -> None:
    """Write `README.md` and `statistics.json` into the folder of a data set.

    `counts` and `options` are those of the step that assembles, `inputs` the `step.json` of inputs that have one.

    Raises:
        DataError: a data set to compare with, or the agreement, cannot be read.
    """
    every = Corpus.concatenate(list(parts.values()))
    compared = [compare(name, path) for name, path in card.compared.items()]
    own = compare(card.title, every)
    figures = {"parts": count_parts(parts), "comparison": [own, *compared]}
    (folder / STATISTICS).write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    sections = [
        _front(every, parts, own, card),
        f"# {escape(card.title)}",
        _opening(every, own, parts),
        "## Counts",
        _table_2(figures["parts"]),
        f"In the form of {_TABLE_2}. More figures stand in `{STATISTICS}`.",
        *_comparison([own, *compared]),
        *_examples(every, options["seed"], card.examples),
        "## Sources and licences",
        _licences(every, card),
        *_agreement(card),
        "## How it was made",
        tell_steps([*((folder.resolve().name, read_step(folder)) for folder in card.steps), *inputs.items()]),
        "\n".join(tell_assembly(counts, options)),
        "## No leakage",
        tell_leaks(leaks),
        "## Known limits",
        "\n".join(f"- {limit}" for limit in _limits(every, own, counts, card)),
        "## Files",
        _files(own, options["embed"]),
    ]
    (folder / CARD).write_text("\n\n".join(filter(None, sections)) + "\n", encoding="utf-8", newline="\n")


def _front(every: Corpus, parts: Mapping[str, Corpus], own: Compared, card: Card) -> str:
    from huggingface_hub import DatasetCardData

    codes = [language for language in languages_of(every) if is_language(language)]
    data = DatasetCardData(
        language=codes or None,
        license=card.licence or ("other" if card.licences else "unknown"),
        task_categories=["token-classification"],
        task_ids=["named-entity-recognition"],
        multilinguality="multilingual" if len(codes) > 1 else "monolingual",
        size_categories=size_category(own.sentences),
        pretty_name=card.title,
        tags=["named-entity-recognition", *(["multimodal", "image"] if own.with_picture else [])],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": _SPLITS[name], "path": f"{PARQUET}/{name}.parquet"} for name in parts],
            }
        ],
    )
    return f"---\n{data.to_yaml().strip()}\n---"


def _opening(every: Corpus, own: Compared, parts: Mapping[str, Corpus]) -> str:
    sizes = " / ".join(f"{len(corpus):,}" for corpus in parts.values())
    return (
        f"{own.sentences:,} sentences ({' / '.join(parts)}: {sizes}) in {', '.join(languages_of(every))}, with "
        f"{sum(own.entities.values()):,} entities of the types {', '.join(order_types(own.entities))}; "
        f"{own.with_picture:,} of the sentences have a picture ({own.pictures:,} different ones)."
    )


def _table_2(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """By language and type the entities of each part, and the sentences; after the paper's Table 2."""
    languages = list(dict.fromkeys(language for part in parts.values() for language in part))
    rows: list[Sequence[str]] = []
    for language in sorted(languages):
        found = [part.get(language) for part in parts.values()]
        types = order_types({type_: 1 for one in found if one for type_ in one.entities})
        for type_ in types:
            rows.append(_numbers(language, type_, [one.entities.get(type_, 0) if one else 0 for one in found]))
        rows.append(_numbers(language, "all entities", [sum(one.entities.values()) if one else 0 for one in found]))
        rows.append(_numbers(language, "sentences", [one.sentences if one else 0 for one in found]))
    return grid(["language", "", *parts, "all"], rows, left=2)


def _numbers(language: str, name: str, values: Sequence[int]) -> list[str]:
    return [language, name, *(f"{value:,}" for value in (*values, sum(values)))]


def _comparison(sets: Sequence[Compared]) -> Iterator[str]:
    if len(sets) < 2:
        return
    head = ["", "languages", "sentences", "with a picture", "picture files", "words", "entities", "a sentence", "types"]
    rows = [
        [
            one.name,
            ", ".join(one.languages),
            *(f"{value:,}" for value in (one.sentences, one.with_picture, one.files, one.words)),
            f"{sum(one.entities.values()):,}",
            f"{sum(one.entities.values()) / max(one.sentences, 1):.2f}",
            ", ".join(order_types(one.entities)),
        ]
        for one in sets
    ]
    yield "## Beside other data sets"
    yield grid(head, rows, left=2)
    yield "All figures are counted in files on disk; `picture files` are those that were there."


def _examples(every: Corpus, seed: int, number: int) -> Iterator[str]:
    found = examples(every, seed, number)
    if found:
        yield "## Examples"
        yield grid(["source", "language", "text", "picture"], found, left=4, ready=True)


def _licences(every: Corpus, card: Card) -> str:
    rows = [
        [source, card.licences.get(source, "not stated: ask before passing it on"), ", ".join(languages), f"{number:,}"]
        for source, (number, languages) in sources_of(every).items()
    ]
    return grid(["source", "licence", "languages", "sentences"], rows, left=3)


def _agreement(card: Card) -> Iterator[str]:
    if card.agreement is None:
        return
    try:
        report = read_agreement(card.agreement)
    except msgspec.MsgspecError as error:
        raise fault(card.agreement, "the report of an agreement", str(error)) from error
    yield "## Agreement of the annotators"
    yield (
        f"{report.annotations:,} annotations of {report.rows:,} rows by {len(report.people):,} annotators, before the "
        f"assembly; the figures rest on {report.shared:,} rows that two or more have read."
    )
    if simulated(report):
        yield f"**{SIMULATED}**"
    rows = [
        [FIGURES[name][0], FIGURES[name][2], told(name, report.overall[name])]
        for name in _FIGURES
        if name in report.overall
    ]
    yield grid(["figure", "what it tells", "value (95 % interval)"], rows, left=2)


def _limits(every: Corpus, own: Compared, counts: Mapping[str, Any], card: Card) -> Iterator[str]:
    yield from map(escape, card.limits)
    without = own.sentences - own.with_picture
    if without:
        yield f"{without:,} of {own.sentences:,} sentences have no picture."
    unstated = [source for source in sources_of(every) if source not in card.licences]
    if unstated:
        yield f"No licence is stated for {', '.join(map(escape, unstated))}."
    if differing := counts["labels_of_copies_that_differ"]:
        yield f"{differing:,} copies that were left out had other labels, so labels of one text are not certain."
    if card.agreement is None:
        yield "How far annotators agree on the labels was not told to whoever assembled the data set."
    yield (
        "Near copies are found by their characters and pictures by a hash: texts that say the same in other words, and "
        "pictures that were cropped, mirrored or rotated, may stand in two parts."
    )


def _files(own: Compared, embed: bool) -> str:
    rows = [
        ["`train.jsonl`, ...", "a row to a line, with places in characters and all fields that the sources had"],
        [f"`{CONLL}/train.txt`, ...", "words and IOB2 tags with `IMGID:` lines; no raw text, language or group"],
        [
            f"`{PARQUET}/train.parquet`, ...",
            "for `datasets`, " + ("pictures inside" if embed else "pictures by their path in this folder"),
        ],
        *([["`images/`", "the pictures"]] if own.with_picture else []),
        ["`provenance.jsonl`, `step.json`", "what became of each row read, and how"],
        [f"`leaks.json`, `{STATISTICS}`", "the figures above"],
        ["`SHA256SUMS`", "checksums: `sha256sum --check SHA256SUMS`"],
    ]
    return grid(["file", "what it holds"], rows, left=2, ready=True)
