"""How sure a figure or a difference is: a bootstrap over units and seeds, and p-values of a family after Holm.

Rows that share a picture, a text or its translation are not independent, so what is drawn is their unit. Each draw
takes as many units as there are, with replacement, the same for all systems and seeds, and as many seeds of each system
as it has, with replacement and for each system apart. The F1 of a system and seed comes from the counts of the drawn
units added up; the figure of the system is the mean of these F1s over its drawn seeds. Seeds are never pooled as rows.

Units and seeds are crossed, and both are drawn: the pigeonhole bootstrap (Owen, 2007). What hangs on unit and seed
together it counts up to three times, so it is careful where seeds differ little as a whole. The variance between S
seeds it draws too small by the factor (S - 1) / S, so it is bold where seeds are few and differ much. With a single
seed on a side only units are drawn there: the result then speaks of that one trained model, not of its way of training.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real

from babelens.scoring.draws import bounds, seed_draws, unit_draws
from babelens.scoring.outcomes import Outcome
from babelens.scoring.scores import Entities

DRAWS = 10_000

SeedCounts = Int[np.ndarray, "_ _ 3"]
"""Right, spurious and missed entities of one system: (seed, unit, 3)."""

# Weights of units held at once, in numbers of 8 bytes.
_BLOCK = 4_000_000
# Sums of the same F1s in another order differ by rounding (per cent); what differs by less is a tie.
_TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure (per cent, mean over seeds), its 95 % percentile interval, and the number of units it rests on."""

    figure: float
    low: float
    high: float
    units: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A system's figure less its baseline's, in points, its 95 % percentile interval, its two-sided p and the units."""

    difference: float
    low: float
    high: float
    p: float
    units: int


def unit_counts(
    gold: Entities, predicted: Entities, units: Sequence[int], types: Collection[str] | None = None
) -> Int[np.ndarray, "unit 3"]:
    """Right, spurious and missed entities of each unit (unit, 3), in the order of the units' numbers.

    `units` has a number for each row, from 0 on. Numbers that no row has (a part of the rows was chosen) are left out,
    so what is compared must be counted over the same rows. `types` restricts to entities of these types; units without
    any keep their place. An entity that is given twice in one row counts once.

    Raises:
        ValueError: gold, prediction and units have different numbers of rows.
    """
    for name, other in (("predicted", predicted), ("units", units)):
        if len(other) != len(gold):
            raise ValueError(f"expected {name} for the {len(gold)} rows of gold, found {len(other)}")
    rows = np.zeros((len(gold), 3), np.int64)
    for row, (gold_row, predicted_row) in enumerate(zip(gold, predicted, strict=True)):
        wanted = {entity for entity in gold_row if types is None or entity.type in types}
        found = {entity for entity in predicted_row if types is None or entity.type in types}
        rows[row] = len(wanted & found), len(found - wanted), len(wanted - found)
    numbers, places = np.unique(np.asarray(units, np.int64), return_inverse=True)
    counts = np.zeros((len(numbers), 3), np.int64)
    np.add.at(counts, places, rows)
    return counts


def seed_counts(runs: Sequence[Sequence[Outcome]], types: Collection[str] | None = None) -> SeedCounts:
    """The counts (seed, unit, 3) of one system from the outcomes of its runs, one for each seed, over the same rows.

    Raises:
        ValueError: there are no runs, or two differ in rows, units or gold.
    """
    if not runs:
        raise ValueError("expected the outcomes of at least one run, found none")
    first, *others = [[(outcome.id, outcome.unit, outcome.gold) for outcome in run] for run in runs]
    for number, other in enumerate(others, 1):
        if other != first:
            raise ValueError(f"expected runs over the same rows, found others in run {number} than in run 0")
    return np.stack(
        [
            unit_counts(
                [outcome.gold for outcome in run],
                [outcome.found for outcome in run],
                [outcome.unit for outcome in run],
                types,
            )
            for run in runs
        ]
    )


def bootstrap(counts: Sequence[SeedCounts], draws: int = DRAWS, seed: int = 0) -> Float[np.ndarray, "draw system"]:
    """Draw the mean micro F1 (per cent) of systems by units and seeds: (draw, system).

    `counts` are (seed, unit, 3) for each system, with the same units and any number of seeds. The same `seed` gives the
    same draws of units whichever systems there are.

    Raises:
        ValueError: there are no systems, seeds, units or draws, or systems differ in their number of units.
    """
    return _draw([_f1(system) for system in counts], draws, seed)


def interval(counts: SeedCounts, *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """The micro F1 of one system with its 95 % interval; `counts` are (seed, unit, 3).

    Raises:
        ValueError: there are no seeds, units or draws.
    """
    return _interval(_f1(counts), draws, seed)


def clustered_interval(
    parts: Real[np.ndarray, "seed unit"], wholes: Real[np.ndarray, "seed unit"], *, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """A rate with its 95 % interval: `parts` over `wholes`, each added up over the units, in per cent, mean over seeds.

    2 tp over 2 tp + fp + fn is F1, tp over tp + fn recall, tp over tp + fp precision. A rate whose denominator is 0,
    of all units or of those drawn, is 0. For a group of rows (a source) hand in the units of that group alone.

    Raises:
        ValueError: there are no seeds, units or draws.
    """
    return _interval(_Rate(parts, wholes), draws, seed)


def compare(counts: SeedCounts, baseline: SeedCounts, *, draws: int = DRAWS, seed: int = 0) -> Difference:
    """Compare the mean micro F1 of a system with that of a baseline; both are (seed, unit, 3) over the same units.

    See `compare_pairs`, which this is for one pair.

    Raises:
        ValueError: there are no seeds, units or draws, or the numbers of units differ.
    """
    return compare_pairs([counts, baseline], [(0, 1)], draws=draws, seed=seed)[0]


def compare_pairs(
    counts: Sequence[SeedCounts], pairs: Sequence[tuple[int, int]], *, draws: int = DRAWS, seed: int = 0
) -> list[Difference]:
    """Compare systems, by their places in `counts`, with baselines over the same draws of units and seeds.

    With d the difference and d* that of a draw, p is the share of draws in which d* is at least as far from d as d is
    from 0: (1 + #{|d* - d| >= |d|}) / (1 + draws). That is the test of d = 0 with the draws moved to the null (Efron
    and Tibshirani, 1993, chapter 16), and with the 1 that keeps p from being 0 (Davison and Hinkley, 1997, 4.2).
    The interval is that of percentiles: where the draws are skewed, it may hold 0 while p is below 0.05, or not hold it
    while p is above.

    Raises:
        ValueError: there are no systems, seeds, units or draws, or systems differ in their number of units.
    """
    rates = [_f1(system) for system in counts]
    drawn = _draw(rates, draws, seed)
    observed = [_observe(rate) for rate in rates]
    units = rates[0].parts.shape[1]
    found = []
    for system, baseline in pairs:
        difference = observed[system] - observed[baseline]
        found.append(judge(difference, drawn[:, system] - drawn[:, baseline], units))
    return found


def judge(difference: float, drawn: Float[np.ndarray, " draw"], units: int) -> Difference:
    """A difference with the interval and the two-sided p of its draws, as `compare_pairs` says.

    Draws in which it is not defined (NaN) count as extreme ones.
    """
    extreme = len(drawn) - int(np.count_nonzero(np.abs(drawn - difference) < abs(difference) - _TIE))
    return Difference(difference, *bounds(drawn), (1 + extreme) / (1 + len(drawn)), units)


def holm(p: Sequence[float]) -> list[float]:
    """Adjust the p-values of a family step down (Holm, 1979), in their order: monotone, and at most 1.

    Raises:
        ValueError: a value is not a probability.
    """
    for value in p:
        if not 0 <= value <= 1:
            raise ValueError(f"expected p-values from 0 to 1, found {value}")
    adjusted = [0.0] * len(p)
    running = 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda place: p[place])):
        running = max(running, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = running
    return adjusted


class _Rate(NamedTuple):
    """What is added up over units above and below the line of a rate: (seed, unit) each."""

    parts: np.ndarray
    wholes: np.ndarray


def _f1(counts: np.ndarray) -> _Rate:
    right, spurious, missed = np.moveaxis(counts, 2, 0)
    return _Rate(2 * right, 2 * right + spurious + missed)


def _draw(rates: Sequence[_Rate], draws: int, seed: int) -> np.ndarray:
    """The mean over drawn seeds of each rate of drawn units, in per cent: (draw, rate)."""
    units = _check(rates, draws)
    # Whole numbers in double precision: the sums are exact, so they are the same on every machine.
    columns = np.concatenate([part for side in zip(*rates, strict=True) for part in side]).T.astype(np.float64)
    blocks = unit_draws(units, draws, seed, max(1, _BLOCK // units))
    percents = np.concatenate([_percent(*np.split(weights @ columns, 2, axis=1)) for weights in blocks])
    found = np.empty((draws, len(rates)))
    begin = 0
    for number, chosen in enumerate(seed_draws([len(rate.parts) for rate in rates], draws, seed)):
        own = percents[:, begin : begin + chosen.shape[1]]
        found[:, number] = np.take_along_axis(own, chosen, axis=1).mean(axis=1)
        begin += chosen.shape[1]
    return found


def _check(rates: Sequence[_Rate], draws: int) -> int:
    """The number of units that all rates have."""
    if not rates:
        raise ValueError("expected the counts of at least one system, found none")
    if draws < 1:
        raise ValueError(f"expected at least one draw, found {draws}")
    units = rates[0].parts.shape[1]
    for rate in rates:
        if 0 in rate.parts.shape:
            raise ValueError("expected at least one seed and one unit, found {} and {}".format(*rate.parts.shape))
        if rate.parts.shape[1] != units:
            raise ValueError(f"expected counts over the same {units} units, found {rate.parts.shape[1]}")
    return units


def _interval(rate: _Rate, draws: int, seed: int) -> Interval:
    drawn = _draw([rate], draws, seed)[:, 0]
    return Interval(_observe(rate), *bounds(drawn), rate.parts.shape[1])


def _observe(rate: _Rate) -> float:
    return float(_percent(rate.parts.sum(axis=1), rate.wholes.sum(axis=1)).mean())


def _percent(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    return 100 * np.divide(parts, wholes, out=np.zeros(parts.shape), where=wholes != 0)
