"""What the card of a data set counts, and the rows that it shows."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from babelens.build.choose import draw_of
from babelens.build.markdown import escape
from babelens.data.corpus import Corpus
from babelens.data.reading import read_corpus
from babelens.data.statistics import Statistics, statistics
from babelens.prediction.rows import join_words
from babelens.schema import Example
from babelens.scoring.scores import UNNAMED

_ORDER = ("PER", "LOC", "ORG", "MISC")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LONGEST = 300


@dataclass(frozen=True)
class Compared:
    """A data set beside others. `files` are the pictures that were there, of the `pictures` that rows name."""

    name: str
    digest: str
    languages: list[str]
    sentences: int
    words: int
    entities: dict[str, int]
    with_picture: int
    pictures: int
    files: int


def compare(name: str, place: Path | Corpus) -> Compared:
    """Count a data set, given as a corpus or as a place on disk.

    Raises:
        DataError: it cannot be read.
    """
    corpus = place if isinstance(place, Corpus) else read_corpus(place)
    found = statistics(corpus)
    keys = {key for row in range(len(corpus)) for key in corpus.picture_keys(row)}
    files = sum(corpus.picture_size(key) is not None for key in keys)
    return Compared(
        name,
        corpus.digest,
        sorted(language or UNNAMED for language in found.languages),
        found.sentences,
        found.words,
        found.entities,
        found.with_pictures,
        found.pictures,
        files,
    )


def count_parts(parts: Mapping[str, Corpus]) -> dict[str, dict[str, Statistics]]:
    """The statistics of each language in each part."""
    found = {}
    for name, corpus in parts.items():
        rows: dict[str, list[int]] = {}
        for row, example in enumerate(corpus):
            rows.setdefault(example.language or UNNAMED, []).append(row)
        found[name] = {language: statistics(corpus.select(np.array(own))) for language, own in sorted(rows.items())}
    return found


def languages_of(corpus: Corpus) -> list[str]:
    """The languages of the rows, sorted."""
    return sorted({example.language or UNNAMED for example in corpus})


def sources_of(corpus: Corpus) -> dict[str, tuple[int, list[str]]]:
    """The sources of the rows by name: how many rows, and in which languages."""
    rows: Counter[str] = Counter()
    languages: dict[str, set[str]] = {}
    for example in corpus:
        source = example.source or UNNAMED
        rows[source] += 1
        languages.setdefault(source, set()).add(example.language or UNNAMED)
    return {source: (rows[source], sorted(languages[source])) for source in sorted(rows)}


def order_types(types: Iterable[str]) -> list[str]:
    """Types in the order of the paper's tables; others follow by name."""
    found = set(types)
    return [type_ for type_ in _ORDER if type_ in found] + sorted(found - set(_ORDER))


def size_category(rows: int) -> str:
    """What the hub calls a data set of so many rows."""
    return next((name for limit, name in _SIZES if rows < limit), "1M<n<10M" if rows < 10_000_000 else "n>10M")


def examples(corpus: Corpus, seed: int, number: int) -> list[list[str]]:
    """So many rows of each source and language, as cells: source, language, text with its entities, picture.

    Rows with a picture come first, then those with entities, then by a draw.
    """
    groups: dict[tuple[str, str], list[tuple[bool, bool, int, int]]] = {}
    for row, example in enumerate(corpus):
        key = (example.source or UNNAMED, example.language or UNNAMED)
        found = groups.setdefault(key, [])
        found.append((not example.images, not example.entities, draw_of(seed, example.id), row))
    cells = []
    for (source, language), rows in sorted(groups.items()):
        for *_, row in sorted(rows)[:number]:
            example = corpus[row]
            pictures = " ".join(f"![{escape(image)}](images/{image})" for image in example.images)
            cells.append([escape(source), escape(language), _marked(example), pictures])
    return cells


def _marked(example: Example) -> str:
    """The text of a row as Markdown, its entities in bold letters with their types."""
    text, places = example.text, example.offsets
    if text is None or places is None:
        text, places = join_words(example.words)
    shown, at = "", 0
    for entity in example.entities:
        start, end = places[entity.start][0], places[entity.end - 1][1]
        shown += f"{_piece(text[at:start])}**{escape(text[start:end])}** ({escape(entity.type)})"
        at = end
        if at > _LONGEST:
            return f"{shown} ..."
    return (shown + _piece(text[at:])).strip()


def _piece(text: str) -> str:
    """A piece of a text, escaped, with the blanks at each of its ends as one."""
    plain = escape(text)
    if not plain:
        return " " if text else ""
    return f"{' ' if text[0].isspace() else ''}{plain}{' ' if text[-1].isspace() else ''}"
