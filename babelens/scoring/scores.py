"""Exact-match precision, recall and F1 of entities, overall, by type, without types, and by groups of rows."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from babelens.schema import Entity

Entities = Sequence[Collection[Entity]]

UNNAMED = "unknown"


@dataclass(frozen=True, slots=True)
class Counts:
    """Right (`tp`), spurious (`fp`) and missed (`fn`) entities, and the rates in per cent that follow from them.

    A rate whose denominator is 0 is 0.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

    @property
    def precision(self) -> float:
        """Right among predicted, in per cent (2M-NER, Eq. 19)."""
        return _percent(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Right among gold, in per cent (2M-NER, Eq. 20)."""
        return _percent(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, in per cent (2M-NER, Eq. 21)."""
        return _percent(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def support(self) -> int:
        """The number of gold entities."""
        return self.tp + self.fn

    @property
    def predicted(self) -> int:
        """The number of predicted entities."""
        return self.tp + self.fp


@dataclass(frozen=True, slots=True)
class Average:
    """Unweighted mean of the rates of several types, in per cent."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of predicted entities: `types` by name, `micro` over all, `boundaries` with the types ignored."""

    types: Mapping[str, Counts]
    micro: Counts
    boundaries: Counts

    @property
    def macro(self) -> Average:
        """Mean over the types that gold or prediction holds; F1 is the mean of the F1s, as in seqeval."""
        counts = self.types.values()
        if not counts:
            return Average(0.0, 0.0, 0.0, 0)
        return Average(
            fmean(count.precision for count in counts),
            fmean(count.recall for count in counts),
            fmean(count.f1 for count in counts),
            self.micro.support,
        )

    def to_dict(self, **groups: Mapping[str, "Scores"]) -> dict[str, dict]:
        """The scores as plain data for JSON, in per cent; `groups` such as `languages` give their micro rates."""
        return {
            "micro": rates(self.micro),
            "macro": rates(self.macro),
            "boundaries": rates(self.boundaries),
            "types": {type_: rates(count) for type_, count in self.types.items()},
            **{kind: {name: rates(part.micro) for name, part in parts.items()} for kind, parts in groups.items()},
        }


def rates(counts: Counts | Average) -> dict[str, float | int]:
    """Precision, recall, F1 (per cent) and support as plain data."""
    return {
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "support": counts.support,
    }


def score(gold: Entities, predicted: Entities) -> Scores:
    """Compare the predicted entities of each row with its gold entities: right is the same words and the same type.

    Equal to seqeval in its default, conlleval-like mode when the entities were read from tags by `schema.read_tags`. An
    entity that is given twice in one row counts once.

    Raises:
        ValueError: gold and prediction have different numbers of rows.
    """
    _check_rows(gold, predicted=predicted)
    right, spurious, missed = Counter[str](), Counter[str](), Counter[str]()
    spans = [0, 0, 0]
    for gold_row, predicted_row in zip(gold, predicted, strict=True):
        wanted, found = set(gold_row), set(predicted_row)
        right.update(entity.type for entity in wanted & found)
        spurious.update(entity.type for entity in found - wanted)
        missed.update(entity.type for entity in wanted - found)
        wanted_spans = {(entity.start, entity.end) for entity in wanted}
        found_spans = {(entity.start, entity.end) for entity in found}
        spans[0] += len(wanted_spans & found_spans)
        spans[1] += len(found_spans - wanted_spans)
        spans[2] += len(wanted_spans - found_spans)
    types = sorted({*right, *spurious, *missed})
    return Scores(
        {type_: Counts(right[type_], spurious[type_], missed[type_]) for type_ in types},
        Counts(right.total(), spurious.total(), missed.total()),
        Counts(*spans),
    )


def score_groups(gold: Entities, predicted: Entities, labels: Sequence[str | None]) -> dict[str, Scores]:
    """Scores of the rows of each label (language, source, picture status), by label in alphabetical order.

    Rows whose label is None go by the name "unknown".

    Raises:
        ValueError: gold, prediction and labels have different numbers of rows.
    """
    _check_rows(gold, predicted=predicted, labels=labels)
    rows: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        rows.setdefault(UNNAMED if label is None else label, []).append(row)
    return {
        label: score([gold[row] for row in members], [predicted[row] for row in members])
        for label, members in sorted(rows.items())
    }


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def _check_rows(gold: Entities, **others: Sequence[object]) -> None:
    for name, other in others.items():
        if len(other) != len(gold):
            raise ValueError(f"expected {name} for the {len(gold)} rows of gold, found {len(other)}")
