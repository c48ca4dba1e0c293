"""How far annotators agree, with the uncertainty of each figure: over all rows, by type, by pair, by group of rows.

`agreement_figures` says what each figure is and what its sets of words are; `MEASURES` lists them. Every one comes with
a 95 % percentile interval of a bootstrap over units, the groups of rows that are not independent of each other.

Kappa and alpha are fractions (1 is full agreement, 0 that of chance), F1 is in per cent. A figure that is not defined
is None, never 0 and never NaN: where nobody labels anything, words are all O and neither F1 nor kappa nor alpha says
anything; where all labels are one and the same, kappa and alpha have nothing that chance could get wrong. Rows that one
annotator alone has read take no part; an annotator without rows in common with others belongs to no pair.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

from babelens.schema import TagSet
from babelens.scoring.agreement_counts import (
    OUTSIDE,
    Annotated,
    Counted,
    check_rows,
    comparable,
    count_coincidences,
    count_spans,
    count_words,
    entity_types,
)
from babelens.scoring.agreement_figures import Figures, Kept, Sums, alpha, f1, f1_spans, kappa, keep, merge
from babelens.scoring.draws import bounds, unit_draws

DRAWS = 1000

# Weights of units and counts of draws held at once, each in numbers of 8 bytes.
_BLOCK = 4_000_000

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % percentile interval over draws of units.

    `figure` is None where it is not defined; `low` and `high` are None there too, and where there are fewer than two
    units to draw. `cases` is what was compared: pairs of labels of a word or span, by two annotators (for alpha words,
    times their annotators). `undefined` counts draws in which the figure is not defined; the interval leaves them out.
    """

    figure: float | None
    low: float | None
    high: float | None
    cases: int
    units: int
    undefined: int = 0


class Measure(NamedTuple):
    """One way to tell agreement: what is counted, whether tags are merged into types, which cases, which figure."""

    counted: str
    types: bool
    kept: Kept
    figure: Callable[[Sums], Figures]


MEASURES: Mapping[str, Measure] = {
    "f1": Measure("spans", False, "any", f1),
    "f1_spans": Measure("spans", False, "any", f1_spans),
    "kappa_tags": Measure("words", False, "all", kappa),
    "kappa_tags_any": Measure("words", False, "any", kappa),
    "kappa_tags_both": Measure("words", False, "both", kappa),
    "kappa_types": Measure("words", True, "all", kappa),
    "kappa_types_any": Measure("words", True, "any", kappa),
    "kappa_types_both": Measure("words", True, "both", kappa),
    "kappa_spans": Measure("spans", False, "any", kappa),
    "alpha_tags": Measure("coincidences", False, "all", alpha),
    "alpha_tags_any": Measure("labelled coincidences", False, "all", alpha),
    "alpha_types": Measure("coincidences", True, "all", alpha),
    "alpha_types_any": Measure("labelled coincidences", True, "all", alpha),
}
"""All figures by name: F1 (`f1_spans`: types ignored), kappa and alpha over tags, types and spans.

`any` and `both` are the sets of words of `agreement_figures`; for alpha, `any` are the words that at least one of all
annotators of the row labels.
"""

# With one type there is nothing to ignore: F1 without types would be F1 again.
TYPE_MEASURES = tuple(name for name in MEASURES if name != "f1_spans")

Agreement = dict[str, Estimate]
"""Estimates by the names of `MEASURES`."""


def agreement(rows: Sequence[Annotated], *, draws: int = DRAWS, seed: int = 0) -> Agreement:
    """All figures over all rows and all pairs of annotators.

    Raises:
        ValueError: an entity lies outside its row or shares words with another of the same annotator.
    """
    check_rows(rows)
    return _estimate(rows, {"": None}, tuple(MEASURES), draws, seed)[""]


def agreement_by_type(rows: Sequence[Annotated], *, draws: int = DRAWS, seed: int = 0) -> dict[str, Agreement]:
    """The figures of each type against the rest, by type in alphabetical order.

    The words and spans are those of `agreement`, and all other types become O. F1 is that of the spans of this type;
    what one annotator gives another type is a disagreement of both types.

    Raises:
        ValueError: as `agreement`.
    """
    check_rows(rows)
    return _estimate(rows, {type_: type_ for type_ in entity_types(comparable(rows))}, TYPE_MEASURES, draws, seed)


def agreement_by_pair(
    rows: Sequence[Annotated], *, draws: int = DRAWS, seed: int = 0
) -> dict[tuple[str, str], Agreement]:
    """The figures of each two annotators who have rows in common, names and pairs in alphabetical order.

    Raises:
        ValueError: as `agreement`.
    """
    pairs = sorted({pair for row in rows for pair in combinations(sorted(row.entities), 2)})
    found = {}
    for pair in pairs:
        shared = [
            Annotated(row.words, {name: row.entities[name] for name in pair}, row.unit)
            for row in rows
            if all(name in row.entities for name in pair)
        ]
        found[pair] = agreement(shared, draws=draws, seed=seed)
    return found


def agreement_by_group(
    rows: Sequence[Annotated], labels: Sequence[_Key], *, draws: int = DRAWS, seed: int = 0
) -> dict[_Key, Agreement]:
    """The figures of the rows of each label (a language, a batch), in the order in which labels are first met.

    Raises:
        ValueError: as `agreement`, and where rows and labels differ in number.
    """
    if len(labels) != len(rows):
        raise ValueError(f"expected labels for the {len(rows)} rows, found {len(labels)}")
    groups: dict[_Key, list[Annotated]] = {}
    for row, label in zip(rows, labels, strict=True):
        groups.setdefault(label, []).append(row)
    return {label: agreement(own, draws=draws, seed=seed) for label, own in groups.items()}


def batches(places: Sequence[int | float], number: int) -> list[int]:
    """The batch of each row, from 0 on: rows in the order of their places, in so many batches of equal size.

    Where rows do not divide evenly the first batches have one more. Rows with one and the same place go by their order;
    where there are fewer rows than batches, each is a batch of its own.

    Raises:
        ValueError: the number of batches is below 1.
    """
    if number < 1:
        raise ValueError(f"expected at least one batch, found {number}")
    found = [0] * len(places)
    order = sorted(range(len(places)), key=lambda row: places[row])
    for batch, members in enumerate(np.array_split(np.array(order, np.int64), number)):
        for row in members:
            found[int(row)] = batch
    return found


def _estimate(
    rows: Sequence[Annotated], wanted: Mapping[str, str | None], measures: Sequence[str], draws: int, seed: int
) -> dict[str, Agreement]:
    """Estimates under each key of `wanted`: of one type against the rest, or (None) of all types."""
    if draws < 1:
        raise ValueError(f"expected at least one draw, found {draws}")
    tags = TagSet(entity_types(rows))
    tables = {
        "words": count_words(rows, tags),
        "spans": count_spans(rows, tags.types),
        "coincidences": count_coincidences(rows, tags),
        "labelled coincidences": count_coincidences(rows, tags, labelled=True),
    }
    units = len({row.unit for row in comparable(rows)})
    observed = _figures(tables, tags, wanted, measures, np.ones((1, units)))
    largest = max(1, units, *(table.layers * table.labels**2 for table in tables.values()))
    drawn = unit_draws(units, draws, seed, max(1, _BLOCK // largest)) if units > 1 else ()
    blocks = [_figures(tables, tags, wanted, measures, weights) for weights in drawn]
    found: dict[str, Agreement] = {key: {} for key in wanted}
    for (key, name), (figures, cases) in observed.items():
        values = np.concatenate([np.zeros(0), *(block[key, name][0] for block in blocks)])
        found[key][name] = _interval(float(figures[0]), values, cases, units)
    return found


def _figures(
    tables: Mapping[str, Counted],
    tags: TagSet,
    wanted: Mapping[str, str | None],
    measures: Sequence[str],
    weights: Float[np.ndarray, "draw unit"],
) -> dict[tuple[str, str], tuple[Figures, int]]:
    """Each figure in each draw, and the number of cases in the first."""
    sums = {name: table.sums(weights) for name, table in tables.items()}
    found = {}
    for key, type_ in wanted.items():
        for name in measures:
            measure = MEASURES[name]
            groups = _groups(tags, type_, spans=measure.counted == "spans", types=measure.types)
            merged = merge(keep(sums[measure.counted], measure.kept), groups)
            found[key, name] = measure.figure(merged), round(float(merged[0].sum()))
    return found


def _groups(tags: TagSet, type_: str | None, *, spans: bool, types: bool) -> list[int]:
    """What each label becomes: tags or types stay what they are, or only those of one type do."""
    numbers = [number for number, own in enumerate(tags.types) if type_ is None or own == type_]
    size = len(tags.types) + 1 if spans else len(tags)
    groups = [OUTSIDE] * size
    for place, number in enumerate(numbers):
        if spans:
            groups[number + 1] = place + 1
        else:
            groups[1 + 2 * number] = place + 1 if types else 1 + 2 * place
            groups[2 + 2 * number] = place + 1 if types else 2 + 2 * place
    return groups


def _interval(figure: float, drawn: Figures, cases: int, units: int) -> Estimate:
    if np.isnan(figure):
        return Estimate(None, None, None, cases, units)
    undefined = int(np.isnan(drawn).sum())
    if undefined == len(drawn):
        return Estimate(figure, None, None, cases, units, undefined)
    return Estimate(figure, *bounds(drawn), cases, units, undefined)
