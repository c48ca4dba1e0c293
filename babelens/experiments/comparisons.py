"""Differences between cells with their intervals and p-values, in the families that an experiment declares."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from babelens.experiments.plan import Experiment, Family, PlanError, points
from babelens.experiments.results import Cell, Comparison
from babelens.scoring.outcomes import Outcome, clean
from babelens.scoring.significance import compare_pairs, holm, seed_counts

Outcomes = Callable[[Cell, str], list[list[Outcome]]]
"""The outcomes of a cell on a test part, those of each seed apart; an empty list where there are none."""


def compare_families(experiment: Experiment, cells: Sequence[Cell], outcomes: Outcomes) -> list[Comparison]:
    """All comparisons that an experiment declares, as far as their cells have been run.

    Families of one name are one family: Holm's correction is over all of them. What is compared is made on all rows,
    and once more on those that share nothing with training, where there are others; the two are corrected apart.
    """
    found: list[Comparison] = []
    for name in dict.fromkeys(family.name for family in experiment.families):
        members = [family for family in experiment.families if family.name == name]
        for cleaned in (False, True):
            made = [one for family in members for one in _compare(family, cells, outcomes, cleaned)]
            # What is declared and was not run counts as not significant: leaving cells out makes nothing more so.
            missing = sum(map(_declared, members, [experiment] * len(members))) - len(made)
            adjusted = holm([*(comparison.p for comparison in made), *[1.0] * missing])[: len(made)]
            found += [_adjusted(one, value) for one, value in zip(made, adjusted, strict=True)]
    return found


def _declared(family: Family, experiment: Experiment) -> int:
    """How many comparisons a family declares."""
    if family.against is not None:
        return len(family.against)
    cells = [point.labels for point in points(experiment)]
    return sum(family.where.items() <= cell.items() and family.axis in cell for cell in cells) - 1


def _compare(family: Family, cells: Sequence[Cell], outcomes: Outcomes, cleaned: bool) -> list[Comparison]:
    own = [cell for cell in cells if family.where.items() <= cell.labels.items() and family.axis in cell.labels]
    read = {cell.labels[family.axis]: (cell, outcomes(cell, family.test)) for cell in own}
    wanted = family.against or [name for name in read if name != family.subject]
    names = [name for name in (family.subject, *wanted) if name in read and read[name][1]]
    if family.subject not in names or len(names) < 2:
        return []
    runs = [read[name][1] for name in names]
    rows = [[(outcome.id, outcome.unit, outcome.gold) for outcome in seeds[0]] for seeds in runs]
    if any(other != rows[0] for other in rows):
        raise PlanError(f"family {family.name}: expected cells that are read on the same rows of {family.test}")
    if cleaned:
        kept = [[list(clean(run)) for run in seeds] for seeds in runs]
        if not kept[0][0] or len(kept[0][0]) == len(runs[0][0]):
            return []
        runs = kept
    pairs = [(0, place) for place in range(1, len(names))]
    differences = compare_pairs([seed_counts(seeds) for seeds in runs], pairs)
    return [
        Comparison(
            system=read[family.subject][0].labels,
            baseline=read[name][0].labels,
            test=family.test,
            difference=one.difference,
            low=one.low,
            high=one.high,
            p=one.p,
            adjusted=one.p,
            family=family.name,
            units=one.units,
            cleaned=cleaned,
        )
        for name, one in zip(names[1:], differences, strict=True)
    ]


def _adjusted(comparison: Comparison, value: float) -> Comparison:
    return replace(comparison, adjusted=value)
