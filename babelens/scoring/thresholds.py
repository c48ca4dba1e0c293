"""From which score on entities are right often enough, with a bound that was not found by searching until it fits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from babelens.scoring.proportions import share_in_clusters

LEVEL = 0.95
STEPS = 20
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Bound:
    """Of `entities` with this score or more, `right` are; `low` is the least precision (a share) that is believed."""

    score: float
    entities: int
    right: int
    low: float


def bound_precision(
    scores: Float[np.ndarray, " entity"],
    right: Bool[np.ndarray, " entity"],
    units: Int[np.ndarray, " entity"],
    *,
    level: float = LEVEL,
    steps: int = STEPS,
) -> list[Bound]:
    """The precision above each of `steps` scores, from the highest to the lowest, each with its lower bound.

    The scores are those that 1/steps, 2/steps, ... of all entities reach, so they are chosen without a look at what is
    right. All bounds hold together with a confidence of `level`: each is one-sided at 1 - (1 - level) / steps
    (Bonferroni; Dunn, 1961), so that whichever of them one takes, and for however many target precisions, the search
    costs nothing more. (This is the fixed grid of Angelopoulos et al., 2021, "Learn then Test".)

    The bound is that of Clopper and Pearson (1934). It takes cases for independent, which the entities of one sentence,
    or of sentences that share a picture, are not; so `units` names the group of each, and the bound is that of Korn and
    Graubard (1998) with as many cases as the variance between groups leaves (see `proportions.share_in_clusters`):
    never higher than that of single cases. With one entity a unit it is that but for the degrees of freedom.
    """
    two_sided = 1 - 2 * (1 - level) / steps
    ordered = np.sort(scores)[::-1]
    places = [math.ceil(len(ordered) * step / steps) - 1 for step in range(1, steps + 1)] if len(ordered) else []
    grid = sorted({math.floor(float(ordered[place]) * 10**_DIGITS) / 10**_DIGITS for place in places}, reverse=True)
    numbers = np.unique(units, return_inverse=True)[1]
    bounds: list[Bound] = []
    for score in grid:
        kept = scores >= score
        totals = np.bincount(numbers[kept])
        parts = np.bincount(numbers[kept], weights=right[kept]).astype(int)
        share = share_in_clusters(parts.tolist(), totals.tolist(), two_sided)
        low = 0.0 if share.cluster_low is None else share.cluster_low / 100
        bounds.append(Bound(score, int(kept.sum()), int(right[kept].sum()), low))
    return bounds


def lowest_score(bounds: Sequence[Bound], target: float) -> Bound | None:
    """The lowest score at which the precision is believed to be at least the target (a share); None where none is."""
    enough = [bound for bound in bounds if bound.low >= target]
    return min(enough, key=lambda bound: bound.score) if enough else None
