"""Where a model is right and wrong: counts by length, frequency, picture, source and type, and types that it confuses.

Each breakdown is a mapping of labels, in their order, to `Counts`, and its counts add up to those of all rows. An
entity that is given twice in one row counts once.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from babelens.schema import Entity
from babelens.scoring.errors import find_errors
from babelens.scoring.outcomes import Outcome, founds, golds
from babelens.scoring.scores import UNNAMED, Counts, score_groups

ENTITY_LENGTHS = (1, 2, 3, 4, 5)
SENTENCE_LENGTHS = (1, 11, 21, 31, 41)
FREQUENCIES = (0, 1, 2, 5, 20)
STATUSES = ("used", "missing", "unreadable", "none")
NONE = "none"
"""The label of what no entity stands against, in a confusion."""

_Verdict = Literal["tp", "fp", "fn"]


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often an entity of one type was found as another: `counts[gold][predicted]`, both in the order of `labels`.

    `labels` are the types that gold or prediction holds, in alphabetical order, and "none" at the end: its row are
    entities found where there is none, its column those missed. On the diagonal stand entities found with their type;
    `boundaries` says, for each type, how many of these were found over other words and are thus no exact matches. The
    row of a type adds up to its gold entities, the column to its predicted ones.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    boundaries: tuple[int, ...]


def by_entity_length(outcomes: Iterable[Outcome], starts: Sequence[int] = ENTITY_LENGTHS) -> dict[str, Counts]:
    """Counts by the length of entities in words; `starts` are the shortest of each bin.

    Right and missed entities are in the bin of the gold entity, spurious ones in that of their own length.
    """
    bins = _Bins(starts)
    return _count(
        bins.labels,
        (
            (bins.label(entity.end - entity.start), verdict)
            for outcome in outcomes
            for entity, verdict in _judge(outcome)
        ),
    )


def by_sentence_length(outcomes: Iterable[Outcome], starts: Sequence[int] = SENTENCE_LENGTHS) -> dict[str, Counts]:
    """Counts by the length of sentences in words; `starts` are the shortest of each bin."""
    bins = _Bins(starts)
    return _count(
        bins.labels,
        ((bins.label(len(outcome.words)), verdict) for outcome in outcomes for _, verdict in _judge(outcome)),
    )


def by_frequency(outcomes: Iterable[Outcome], starts: Sequence[int] = FREQUENCIES) -> dict[str, Counts]:
    """Right and missed entities by how often their words are an entity in the training part; their recall.

    A spurious entity has no gold frequency, so `fp` is 0 and precision and F1 mean nothing here.

    Raises:
        ValueError: a row has more or fewer frequencies than gold entities.
    """
    bins = _Bins(starts)
    return _count(bins.labels, ((bins.label(frequency), verdict) for frequency, verdict in _judge_gold(outcomes)))


def by_novelty(outcomes: Iterable[Outcome]) -> dict[str, Counts]:
    """Right and missed entities by whether their words are an entity in the training part ("seen") or not ("unseen").

    As in `by_frequency`, `fp` is 0 and only recall has a meaning.

    Raises:
        ValueError: a row has more or fewer frequencies than gold entities.
    """
    return _count(
        ("seen", "unseen"),
        (("seen" if frequency else "unseen", verdict) for frequency, verdict in _judge_gold(outcomes)),
    )


def by_status(outcomes: Sequence[Outcome]) -> dict[str, Counts]:
    """Counts by what became of the rows' pictures, in the order of `STATUSES`; statuses of no row are left out."""
    groups = score_groups(golds(outcomes), founds(outcomes), [outcome.status for outcome in outcomes])
    order = [*(status for status in STATUSES if status in groups), *(name for name in groups if name not in STATUSES)]
    return {status: groups[status].micro for status in order}


def by_source_and_type(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], Counts]:
    """Counts by (source, type), each source with every type, both in alphabetical order.

    Rows without a source go by the name "unknown". A source that has no entities of a type has counts of 0 there.
    """
    groups = score_groups(golds(outcomes), founds(outcomes), [outcome.source or UNNAMED for outcome in outcomes])
    types = sorted({type_ for scores in groups.values() for type_ in scores.types})
    return {(source, type_): scores.types.get(type_, Counts()) for source, scores in groups.items() for type_ in types}


def confusion(outcomes: Sequence[Outcome]) -> Confusion:
    """Count which types were taken for which, with entities paired as `errors.find_errors` does.

    A gold and a predicted entity that share words are one case of (gold type, predicted type), whatever their
    boundaries: the question is the type alone. A boundary error thus stands on the diagonal, and is told apart from
    exact matches by `Confusion.boundaries`.
    """
    cells, boundaries = Counter[tuple[str | None, str | None]](), Counter[str]()
    for outcome in outcomes:
        cells.update((entity.type, entity.type) for entity in set(outcome.gold) & set(outcome.found))
    for error in find_errors(golds(outcomes), founds(outcomes)):
        gold, predicted = error.gold and error.gold.type, error.predicted and error.predicted.type
        cells[gold, predicted] += 1
        if gold is not None and error.kind == "boundary":
            boundaries[gold] += 1
    types = sorted({type_ for cell in cells for type_ in cell if type_ is not None})
    # None, not the label, stands for no entity while counting: a corpus may have a type of that name.
    sides = (*types, None)
    return Confusion(
        labels=(*types, NONE),
        counts=tuple(tuple(cells[gold, predicted] for predicted in sides) for gold in sides),
        boundaries=tuple(boundaries[type_] for type_ in types),
    )


class _Bins:
    """Ranges of whole numbers by the least of each, the last one open; labels such as "1", "2-4", "5+"."""

    def __init__(self, starts: Sequence[int]) -> None:
        if not starts or any(low >= high for low, high in pairwise(starts)):
            raise ValueError(f"expected the starts of bins in rising order, found {tuple(starts)}")
        self.starts = starts
        ranges = [str(low) if high == low + 1 else f"{low}-{high - 1}" for low, high in pairwise(starts)]
        self.labels = (*ranges, f"{starts[-1]}+")

    def label(self, value: int) -> str:
        if value < self.starts[0]:
            raise ValueError(f"expected values from {self.starts[0]} on, found {value}")
        return self.labels[bisect_right(self.starts, value) - 1]


def _judge(outcome: Outcome) -> Iterator[tuple[Entity, _Verdict]]:
    """Each gold and predicted entity of a row once, and whether it is right, spurious or missed."""
    gold, found = set(outcome.gold), set(outcome.found)
    for entity in gold | found:
        yield entity, "fp" if entity not in gold else "tp" if entity in found else "fn"


def _judge_gold(outcomes: Iterable[Outcome]) -> Iterator[tuple[int, _Verdict]]:
    """The frequency of each gold entity, and whether it was found."""
    for outcome in outcomes:
        if len(outcome.frequencies) != len(outcome.gold):
            raise ValueError(
                f"expected frequencies for the {len(outcome.gold)} gold entities of row {outcome.id}, "
                f"found {len(outcome.frequencies)}"
            )
        found = set(outcome.found)
        for entity, frequency in dict(zip(outcome.gold, outcome.frequencies, strict=True)).items():
            yield frequency, "tp" if entity in found else "fn"


def _count(labels: Sequence[str], judged: Iterable[tuple[str, _Verdict]]) -> dict[str, Counts]:
    counts = Counter(judged)
    return {label: Counts(counts[label, "tp"], counts[label, "fp"], counts[label, "fn"]) for label in labels}
