"""What is counted of two or more annotators, unit by unit: who gave which label to the same word, or the same span.

All figures of agreement are functions of these counts added up, so that draws of units need no look at the rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from jaxtyping import Float, Int

from babelens.schema import Entity, TagSet

# The label of a word outside all entities (O), and of a span that one of two annotators does not mark.
OUTSIDE = 0


@dataclass(frozen=True, slots=True)
class Annotated:
    """One row as its annotators see it: the number of its words, and the entities of each who has read it.

    An annotator who is not among the keys has not seen the row; one with no entities has, and found none. `unit` is the
    number of the group of rows that are not independent (translations, copies), as in `Outcome`.
    """

    words: int
    entities: Mapping[str, Sequence[Entity]]
    unit: int


@dataclass(frozen=True)
class Counted:
    """How often each pair of labels was given, in each unit: (layer, label, label).

    Only what occurs is kept: entry `i` says that cell `cells[i]` was counted `counts[i]` times in unit `units[i]`. The
    units are numbered from 0 in the order of their own numbers. The layers are pairs of annotators, or just one layer.
    """

    labels: int
    layers: int
    units: Int[np.ndarray, " entry"]
    cells: Int[np.ndarray, " entry"]
    counts: Float[np.ndarray, " entry"]

    def sums(self, weights: Float[np.ndarray, "draw unit"]) -> Float[np.ndarray, "draw layer label label"]:
        """The counts of all units added up, each as often as it was drawn."""
        size = self.layers * self.labels**2
        found = np.empty((len(weights), size))
        for row, drawn in zip(found, weights, strict=True):
            row[:] = np.bincount(self.cells, self.counts * drawn[self.units], minlength=size)
        return found.reshape(len(weights), self.layers, self.labels, self.labels)


def comparable(rows: Sequence[Annotated]) -> list[Annotated]:
    """The rows that at least two annotators have read: the others say nothing of agreement."""
    return [row for row in rows if len(row.entities) > 1]


def entity_types(rows: Sequence[Annotated]) -> tuple[str, ...]:
    """All types of entities that anyone gave, in alphabetical order."""
    return tuple(sorted({entity.type for row in rows for own in row.entities.values() for entity in own}))


def check_rows(rows: Sequence[Annotated]) -> None:
    """See to it that no entity leaves its row or shares a word with another of the same annotator.

    Raises:
        ValueError: one does.
    """
    for place, row in enumerate(rows):
        for name, own in row.entities.items():
            entities = sorted(own)
            for entity in entities:
                if not 0 <= entity.start < entity.end <= row.words:
                    raise ValueError(f"expected entities within the {row.words} words of row {place}, found {entity}")
            for one, other in pairwise(entities):
                if other.start < one.end:
                    raise ValueError(f"expected entities of {name} that share no word in row {place}, found {other}")


def count_words(rows: Sequence[Annotated], tags: TagSet) -> Counted:
    """Which IOB2 tags two annotators gave to the same word, with a layer for each pair that has rows in common.

    The annotators of a pair stand in alphabetical order. Label 0 is O, the others are the numbers of `tags`.
    """

    def entries() -> Iterator[tuple[int, tuple[str, str], np.ndarray, np.ndarray]]:
        for unit, row in _placed(rows):
            given = {name: np.array(tags.encode(own, row.words), np.int64) for name, own in row.entities.items()}
            for one, other in combinations(sorted(given), 2):
                yield unit, (one, other), given[one], given[other]

    return _count_pairs(entries(), rows, len(tags))


def count_spans(rows: Sequence[Annotated], types: Sequence[str]) -> Counted:
    """Which types two annotators gave to the same words, over all spans that at least one of the two marks.

    Label 0 is no entity, label k + 1 is type number k. That both give it no entity never occurs: see
    `agreement_figures`. The layers are those of `count_words`.
    """
    numbers = {type_: number + 1 for number, type_ in enumerate(types)}

    def entries() -> Iterator[tuple[int, tuple[str, str], np.ndarray, np.ndarray]]:
        for unit, row in _placed(rows):
            given = {
                name: {(entity.start, entity.end): numbers[entity.type] for entity in own}
                for name, own in row.entities.items()
            }
            for one, other in combinations(sorted(given), 2):
                spans = given[one].keys() | given[other].keys()
                labels = [[given[name].get(span, OUTSIDE) for span in spans] for name in (one, other)]
                first, second = np.array(labels, np.int64).reshape(2, -1)
                yield unit, (one, other), first, second

    return _count_pairs(entries(), rows, len(types) + 1)


def count_coincidences(rows: Sequence[Annotated], tags: TagSet, *, labelled: bool = False) -> Counted:
    """Krippendorff's coincidences of IOB2 tags (2019, 12.3.1), in one layer.

    A word that m annotators of its row have read gives 1 / (m - 1) to the cell of each ordered pair of their tags, so m
    in all. With `labelled` words that all of them call O are left out.
    """
    size = len(tags)
    units, cells, counts = [], [], []
    for unit, row in _placed(rows):
        given = np.array([tags.encode(own, row.words) for own in row.entities.values()], np.int64)
        given = given[:, (given != OUTSIDE).any(axis=0)] if labelled else given
        readers = len(given)
        for one in range(readers):
            for other in range(readers):
                if one != other:
                    cells.append(given[one] * size + given[other])
        pairs = readers * (readers - 1) * given.shape[1]
        units.append(np.full(pairs, unit))
        counts.append(np.full(pairs, 1 / (readers - 1)))
    return _gather(size, 1, units, cells, counts)


def _count_pairs(
    entries: Iterator[tuple[int, tuple[str, str], np.ndarray, np.ndarray]], rows: Sequence[Annotated], size: int
) -> Counted:
    pairs = sorted({pair for row in rows for pair in combinations(sorted(row.entities), 2)})
    layers = {pair: layer for layer, pair in enumerate(pairs)}
    units, cells = [], []
    for unit, pair, first, second in entries:
        cells.append((layers[pair] * size + first) * size + second)
        units.append(np.full(len(first), unit))
    return _gather(size, len(pairs), units, cells, [np.ones(len(own)) for own in cells])


def _placed(rows: Sequence[Annotated]) -> Iterator[tuple[int, Annotated]]:
    """Each row that can be compared, with the place of its unit among their units."""
    kept = comparable(rows)
    places = {unit: place for place, unit in enumerate(sorted({row.unit for row in kept}))}
    for row in kept:
        yield places[row.unit], row


def _gather(
    size: int, layers: int, units: list[np.ndarray], cells: list[np.ndarray], counts: list[np.ndarray]
) -> Counted:
    """Entries of the same unit and cell made one."""
    empty = np.zeros(0, np.int64)
    unit, cell = (np.concatenate([empty, *some]) for some in (units, cells))
    key, place = np.unique(unit * (layers * size**2) + cell, return_inverse=True)
    total = np.bincount(place, np.concatenate([np.zeros(0), *counts]), minlength=len(key)).astype(np.float64)
    cell_count = max(1, layers * size**2)
    return Counted(size, layers, key // cell_count, key % cell_count, total)
