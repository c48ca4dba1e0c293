import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from babelens.scoring.proportions import beta_below, beta_quantile, clopper_pearson, share_in_clusters

FEW = settings(max_examples=40, deadline=None)


@given(st.integers(1, 3000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
@FEW
def test_clopper_and_pearson_are_those_of_scipy(total: int, share: float, level: float) -> None:
    part = round(share * total)
    expected = stats.binomtest(part, total).proportion_ci(level, "exact")
    assert clopper_pearson(part, total, level) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.floats(0.5, 5000), st.floats(0.5, 5000), st.floats(0.001, 0.999))
@FEW
def test_beta_is_that_of_scipy(a: float, b: float, x: float) -> None:
    assert beta_below(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), abs=1e-9)
    assert beta_quantile(x, a, b) == pytest.approx(stats.beta.ppf(x, a, b), abs=1e-9)


def test_the_audit_of_the_paper() -> None:
    """626 of 631: the limits satisfy the definition, tails of 2.5 % each."""
    low, high = clopper_pearson(626, 631)
    assert stats.binom.sf(625, 631, low) == pytest.approx(0.025, abs=1e-9)
    assert stats.binom.cdf(626, 631, high) == pytest.approx(0.025, abs=1e-9)
    assert (round(100 * low, 2), round(100 * high, 2)) == (98.16, 99.74)


def test_edges_have_closed_forms() -> None:
    assert clopper_pearson(0, 20) == pytest.approx((0, 1 - 0.025 ** (1 / 20)), abs=1e-12)
    assert clopper_pearson(20, 20) == pytest.approx((0.025 ** (1 / 20), 1), abs=1e-12)
    for part, total in ((1, 0), (-1, 5), (6, 5), (math.nan, 5)):
        with pytest.raises(ValueError, match="expected a part of a total above 0"):
            clopper_pearson(part, total)


def test_an_interval_for_clusters_by_hand() -> None:
    """Korn and Graubard: p = 12/16, deviations 1, -2, 1, 0 of the parts from p x 4, 6/256 x 4/3 their variance."""
    parts, totals = [4, 1, 4, 3], [4, 4, 4, 4]
    found = share_in_clusters(parts, totals)
    variance = 4 / 3 * (1 + 4 + 1 + 0) / 16**2
    cases = 0.75 * 0.25 / variance * (stats.t.ppf(0.975, 15) / stats.t.ppf(0.975, 3)) ** 2
    part = 0.75 * cases
    assert found.cluster_low == pytest.approx(100 * stats.beta.ppf(0.025, part, cases - part + 1), abs=1e-7)
    assert found.cluster_high == pytest.approx(100 * stats.beta.ppf(0.975, part + 1, cases - part), abs=1e-7)
    assert (found.part, found.total, found.clusters, found.share) == (12, 16, 4, 75)


def test_clusters_that_are_all_right_count_once_each() -> None:
    found = share_in_clusters([3, 2, 5, 0], [3, 2, 5, 0])
    assert found.clusters == 3 and found.share == 100
    assert found.low == pytest.approx(100 * 0.025 ** (1 / 10), abs=1e-9)
    assert found.cluster_low == pytest.approx(100 * 0.025 ** (1 / 3), abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30))
@FEW
def test_clusters_never_make_an_interval_narrower(drawn: list[tuple[int, int]]) -> None:
    totals = [part + rest for part, rest in drawn]
    found = share_in_clusters([part for part, _ in drawn], totals)
    if not any(totals):
        assert (found.share, found.low, found.high, found.cluster_low, found.cluster_high) == (None,) * 5
        return
    assert found.share is not None and found.cluster_low is not None and found.cluster_high is not None
    assert found.low is not None and found.high is not None
    assert 0 <= found.cluster_low <= found.low + 1e-9
    assert found.low - 1e-9 <= found.share <= found.high + 1e-9
    assert found.high - 1e-9 <= found.cluster_high <= 100


def test_single_cases_are_their_own_clusters() -> None:
    found = share_in_clusters([1] * 95 + [0] * 5, [1] * 100)
    assert found.low is not None and found.high is not None
    # The variance of a sample has 99 where that of a binomial has 100.
    cases = 99
    expected = clopper_pearson(0.95 * cases, cases)
    assert (found.cluster_low, found.cluster_high) == pytest.approx([100 * value for value in expected], abs=1e-7)


def test_parts_that_cannot_be() -> None:
    for parts, totals in (([1], [1, 2]), ([3], [2]), ([-1], [2])):
        with pytest.raises(ValueError, match="expected parts within the totals"):
            share_in_clusters(parts, totals)
