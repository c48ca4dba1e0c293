"""Contrasts declared before any result is seen: the mean F1 of some cells and tests less that of others."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import msgspec
import numpy as np

from babelens.experiments.results import Cell
from babelens.schema import InputError
from babelens.scoring.draws import seed_draws
from babelens.scoring.outcomes import Outcome, clean
from babelens.scoring.scores import Counts
from babelens.scoring.significance import DRAWS, SeedCounts, bootstrap, holm, judge, seed_counts

Outcomes = Callable[[Cell, str], Sequence[Sequence[Outcome]]]
"""The outcomes of a cell on the test of that name, those of each of its runs apart."""


class Term(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The mean micro F1 (over seeds) of the cell with these labels on the test of that name."""

    labels: dict[str, str]
    test: str = "test"

    def __str__(self) -> str:
        return f"{', '.join(f'{axis} = {label}' for axis, label in self.labels.items())}, on {self.test}"


class Contrast(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The mean of the terms of `plus` less the mean of those of `minus`, each term with the same weight in its mean."""

    name: str
    plus: tuple[Term, ...]
    minus: tuple[Term, ...]

    def __post_init__(self) -> None:
        for side, terms in (("plus", self.plus), ("minus", self.minus)):
            if not terms:
                raise InputError(f"contrast {self.name}: expected at least one term in {side}, found none")
        terms = [*self.plus, *self.minus]
        for number, term in enumerate(terms):
            if term in terms[:number]:
                raise InputError(f"contrast {self.name}: expected each term once, found twice: {term}")

    def weighted(self) -> Iterator[tuple[Term, float]]:
        """The terms with their weights, which add up to 0."""
        yield from ((term, 1 / len(self.plus)) for term in self.plus)
        yield from ((term, -1 / len(self.minus)) for term in self.minus)


class TermFigure(msgspec.Struct, frozen=True):
    """A term of a contrast: its weight, its mean F1 (per cent) and the number of seeds that is the mean of."""

    labels: dict[str, str]
    test: str
    weight: float
    f1: float
    seeds: int


class Estimate(msgspec.Struct, frozen=True):
    """What a contrast came to, in points, with its 95 % percentile interval and two-sided p; `adjusted` is by Holm.

    `reason` says why it was not run; there are no figures then. The `units` are those of all terms together.
    """

    name: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    adjusted: float | None = None
    units: int = 0
    terms: list[TermFigure] = []
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The estimate as plain data for JSON."""
        return msgspec.to_builtins(self)


def estimate_contrasts(
    contrasts: Sequence[Contrast],
    cells: Sequence[Cell],
    outcomes: Outcomes,
    *,
    parts: Mapping[str, str] | None = None,
    cleaned: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Estimate]:
    """Estimate contrasts by the bootstrap of `scoring.significance`; Holm's correction is over all that could be run.

    The units of all terms of a contrast are drawn together, so that rows and their translations, which are one unit in
    the tests of several languages, stay together. Seeds are drawn once for each cell, on whichever tests it is read,
    and apart from those of other cells. A cell that has fewer runs than were asked for counts with those it has.

    `parts` names the corpora of tests that do not read the test part: units have numbers of their own in each corpus.
    `cleaned` leaves out the rows that share something with the training part.

    Raises:
        InputError: the runs of a cell have read different rows.
    """
    counted: dict[tuple[int, str], _Counted | str] = {}
    found = []
    for contrast in contrasts:
        terms, missing = [], []
        for term, weight in contrast.weighted():
            place, reason = _place(term, cells)
            if place is None:
                missing.append(f"{term}: {reason}")
                continue
            key = (place, term.test)
            if key not in counted:
                part = (parts or {}).get(term.test, "")
                counted[key] = _count(cells[place], place, term.test, outcomes, part, cleaned)
            one = counted[key]
            if isinstance(one, str):
                missing.append(f"{term}: {one}")
            else:
                terms.append((term, weight, one))
        if missing:
            others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            found.append(Estimate(contrast.name, reason=missing[0] + others))
        else:
            found.append(_estimate(contrast.name, terms, draws, seed))
    return _adjust(found)


@dataclass(frozen=True)
class _Counted:
    """The counts of one cell on one test, and the units they are of, as (corpus, number), in their order."""

    cell: int
    units: list[tuple[str, int]]
    counts: SeedCounts


def _place(term: Term, cells: Sequence[Cell]) -> tuple[int | None, str]:
    """Which cell a term speaks of, or None and why there is not one."""
    places = [place for place, cell in enumerate(cells) if term.labels.items() <= cell.labels.items()]
    if len(places) == 1:
        return places[0], ""
    return None, f"{len(places)} cells have these labels" if places else "there is no such cell"


def _count(cell: Cell, place: int, test: str, outcomes: Outcomes, part: str, cleaned: bool) -> _Counted | str:
    """What the runs of a cell made of a test, or why nothing."""
    if not cell.runs:
        return cell.reason or "not run yet"
    if unread := [run.seed for run in cell.runs if test not in run.readings]:
        return f"not read with seed {', '.join(map(str, unread))}"
    runs = outcomes(cell, test)
    if cleaned:
        runs = [list(clean(run)) for run in runs]
    if not runs[0]:
        return "no rows are left"
    try:
        counts = seed_counts(runs)
    except ValueError as error:
        raise InputError(f"{cell.labels}, on {test}: {error}") from error
    units = sorted({outcome.unit for outcome in runs[0]})
    return _Counted(place, [(part, unit) for unit in units], counts)


def _estimate(name: str, terms: Sequence[tuple[Term, float, _Counted]], draws: int, seed: int) -> Estimate:
    numbers = {unit: number for number, unit in enumerate(sorted({unit for *_, one in terms for unit in one.units}))}
    # Each seed is a system of its own here, so that seeds can be drawn for a cell instead of a cell and test.
    systems: list[SeedCounts] = []
    for *_, one in terms:
        spread = np.zeros((len(one.counts), len(numbers), 3), np.int64)
        spread[:, [numbers[unit] for unit in one.units]] = one.counts
        systems.extend(spread[number : number + 1] for number in range(len(spread)))
    percents = bootstrap(systems, draws, seed)
    cells = {one.cell: len(one.counts) for *_, one in terms}
    chosen = dict(zip(cells, seed_draws(list(cells.values()), draws, seed), strict=True))
    difference, drawn, begin, figures = 0.0, np.zeros(draws), 0, []
    for term, weight, one in terms:
        seeds = len(one.counts)
        f1 = _f1(one.counts)
        difference += weight * f1
        drawn += weight * np.take_along_axis(percents[:, begin : begin + seeds], chosen[one.cell], axis=1).mean(axis=1)
        figures.append(TermFigure(term.labels, term.test, weight, f1, seeds))
        begin += seeds
    judged = judge(difference, drawn, len(numbers))
    return Estimate(name, difference, judged.low, judged.high, judged.p, None, judged.units, figures)


def _f1(counts: SeedCounts) -> float:
    return fmean(Counts(*totals).f1 for totals in counts.sum(axis=1).tolist())


def _adjust(estimates: Sequence[Estimate]) -> list[Estimate]:
    adjusted = iter(holm([one.p for one in estimates if one.p is not None]))
    return [one if one.p is None else msgspec.structs.replace(one, adjusted=next(adjusted)) for one in estimates]
