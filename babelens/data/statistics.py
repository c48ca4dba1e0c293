"""Counts of a corpus: sentences, words, entities by type, lengths, languages and pictures, part by part."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from babelens.data.corpus import Corpus


@dataclass(frozen=True)
class Lengths:
    """Words a sentence."""

    mean: float
    median: float
    longest: int


@dataclass(frozen=True)
class Statistics:
    """What one part of a corpus holds.

    `entities` and `languages` count by type and by language ("" where it is not known), the most frequent first;
    `entity_lengths` counts entities by their number of words. `violations` are tags that break their scheme.
    `with_pictures` counts sentences that name a picture, `pictures` the distinct pictures named, here or not.
    """

    sentences: int
    words: int
    entities: dict[str, int]
    without_entities: int
    violations: int
    lengths: Lengths
    entity_lengths: dict[int, int]
    languages: dict[str, int]
    with_pictures: int
    pictures: int


def statistics(corpus: Corpus) -> Statistics:
    """Count a corpus; every row is read once, no picture is opened."""
    types: Counter[str] = Counter()
    sizes: Counter[int] = Counter()
    languages: Counter[str] = Counter()
    pictures: set[str] = set()
    bare = 0
    for number, example in enumerate(corpus):
        types.update(entity.type for entity in example.entities)
        sizes.update(entity.end - entity.start for entity in example.entities)
        languages[example.language or ""] += 1
        bare += not example.entities
        if example.images:
            pictures.update(corpus.picture_keys(number))
    words = corpus.lengths
    lengths = (
        Lengths(float(words.mean()), float(np.median(words)), int(words.max())) if len(words) else Lengths(0, 0, 0)
    )
    return Statistics(
        sentences=len(corpus),
        words=int(words.sum()),
        entities=dict(types.most_common()),
        without_entities=bare,
        violations=corpus.violations,
        lengths=lengths,
        entity_lengths=dict(sorted(sizes.items())),
        languages=dict(languages.most_common()),
        with_pictures=int((corpus.picture_numbers > 0).sum()),
        pictures=len(pictures),
    )


def as_data(parts: Mapping[str, Statistics]) -> dict[str, Any]:
    """Statistics by part as plain data for JSON."""
    import msgspec

    return {name: msgspec.to_builtins(part, str_keys=True) for name, part in parts.items()}


def as_table(parts: Mapping[str, Statistics]) -> Table:
    """Statistics as a table: a column for each part, a row for each count."""
    table = Table("", *parts, box=None, header_style="bold")
    for _ in parts:
        table.columns[-1].justify = "right"
    for column in table.columns[1:]:
        column.justify = "right"
    types: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    for part in parts.values():
        types.update(part.entities)
        languages.update(part.languages)

    def add(name: str, values: list[int | float]) -> None:
        table.add_row(name, *(f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" for value in values))

    every = list(parts.values())
    add("sentences", [part.sentences for part in every])
    add("words", [part.words for part in every])
    add("entities", [sum(part.entities.values()) for part in every])
    for type_, _ in types.most_common():
        add(f"  {type_}", [part.entities.get(type_, 0) for part in every])
    add("sentences without entities", [part.without_entities for part in every])
    add("scheme violations", [part.violations for part in every])
    add("words a sentence: mean", [part.lengths.mean for part in every])
    add("  median", [part.lengths.median for part in every])
    add("  longest", [part.lengths.longest for part in every])
    if set(languages) - {""}:
        for language, _ in languages.most_common():
            add(f"language {language or 'not known'}", [part.languages.get(language, 0) for part in every])
    add("sentences with a picture", [part.with_pictures for part in every])
    add("distinct pictures", [part.pictures for part in every])
    return table
