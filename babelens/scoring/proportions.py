"""How sure a share is that was counted in a sample: exact intervals, for single cases and for cases in clusters.

Standard library only; the quantiles of beta and t that are needed are computed here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.95

_TERMS = 100_000
# What stands for 0 where one divides by it.
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Share:
    """So many of a sample, as a share in per cent with two 95 % intervals.

    `low` and `high` are those of Clopper and Pearson, `cluster_low` and `cluster_high` take into account that the cases
    come in `clusters` (see `share_in_clusters`). All of them are None where there are no cases.
    """

    part: int
    total: int
    clusters: int
    share: float | None
    low: float | None
    high: float | None
    cluster_low: float | None
    cluster_high: float | None


def share_in_clusters(parts: Sequence[int], totals: Sequence[int], level: float = LEVEL) -> Share:
    """The share of `parts` in `totals`, both by cluster (the right among the entities of each sentence).

    The interval for clusters is that of Korn and Graubard (1998): Clopper and Pearson with as many independent cases as
    would give the variance between clusters (linearised), less what its degrees of freedom cost. Never more than
    there are cases, so it is no narrower than the one for single cases. Where all cases are alike the variance says
    nothing; then every cluster counts as a single case, the most careful reading. Clusters without cases are left out.

    Raises:
        ValueError: parts and totals differ in number, or a part is not within its total.
    """
    if len(parts) != len(totals) or any(not 0 <= part <= total for part, total in zip(parts, totals, strict=True)):
        raise ValueError("expected parts within the totals of as many clusters")
    counted = [(part, total) for part, total in zip(parts, totals, strict=True) if total]
    part, total = sum(part for part, _ in counted), sum(total for _, total in counted)
    if not counted:
        return Share(0, 0, 0, None, None, None, None, None)
    share = part / total
    cases = _effective_cases(counted, share, total, level)
    single, clustered = clopper_pearson(part, total, level), clopper_pearson(share * cases, cases, level)
    return Share(part, total, len(counted), *(100 * value for value in (share, *single, *clustered)))


def clopper_pearson(part: int | float, total: int | float, level: float = LEVEL) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson, 1934), as fractions; counts need not be whole numbers.

    Raises:
        ValueError: the total is not above 0, or the part not within it.
    """
    if not (0 <= part <= total and total > 0):
        raise ValueError(f"expected a part of a total above 0, found {part} of {total}")
    tail = (1 - level) / 2
    rest = total - part
    low = 0.0 if part == 0 else beta_quantile(tail, part, rest + 1)
    high = 1.0 if rest == 0 else beta_quantile(1 - tail, part + 1, rest)
    return low, high


def beta_quantile(probability: float, a: int | float, b: int | float) -> float:
    """Where the beta distribution has so much probability below it, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        if beta_below(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def beta_below(x: float, a: int | float, b: int | float) -> float:
    """The regularised incomplete beta function, by the continued fraction of DLMF 8.17.22 (Lentz's evaluation)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    # The fraction converges fast on this side only.
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_below(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    fraction, above, below = 1.0, 1.0, 0.0
    for term in range(_TERMS):
        half = term // 2
        if term == 0:
            factor = 1.0
        elif term % 2 == 0:
            factor = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        else:
            factor = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        below = 1 / (1 + factor * below or _TINY)
        above = 1 + factor / above or _TINY
        fraction *= above * below
        if abs(above * below - 1) < 1e-16:
            break
    return front * (fraction - 1)


def _effective_cases(counted: Sequence[tuple[int, int]], share: float, total: int, level: float) -> float:
    """How many independent cases would say as much as the clusters do."""
    clusters = len(counted)
    if clusters == 1 or share in (0, 1):
        return float(clusters)
    spread = sum((part - share * own) ** 2 for part, own in counted)
    variance = clusters / (clusters - 1) * spread / total**2
    if variance == 0:
        return float(total)
    cost = _t_quantile(total - 1, level) / _t_quantile(clusters - 1, level)
    return min(float(total), share * (1 - share) / variance * cost**2)


def _t_quantile(freedom: int, level: float) -> float:
    """The value that Student's t exceeds, in either direction, with a probability of 1 - `level`."""
    x = beta_quantile(1 - level, freedom / 2, 0.5)
    return math.sqrt(freedom * (1 - x) / x)
