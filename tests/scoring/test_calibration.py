import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babelens.schema import Entity
from babelens.scoring.calibration import ReliabilityBin, counts_at, judge, reliability
from babelens.scoring.outcomes import Outcome
from babelens.scoring.scores import Counts, score

FEW = settings(max_examples=60, deadline=None)
HERE, THERE = Entity(0, 1, "PER"), Entity(2, 3, "LOC")


def outcome(found: list[tuple[Entity, float]], gold: tuple[Entity, ...] = (HERE,)) -> Outcome:
    entities, scores = tuple(entity for entity, _ in found), tuple(score for _, score in found)
    return Outcome("1", ("a", "b", "c"), gold, entities, scores, 0)


def outcomes_of(judged: list[tuple[float, bool]]) -> list[Outcome]:
    """A row for each score: an entity that is right, or one that is spurious."""
    return [outcome([(HERE if right else THERE, score)]) for score, right in judged]


JUDGED = [(0.95, True), (0.9, True), (0.85, False), (0.7, True), (0.65, False), (0.2, False)]


def test_entities_are_judged_by_words_and_type() -> None:
    scores, right = judge(
        [
            outcome([(HERE, 0.9), (Entity(0, 1, "LOC"), 0.8)]),
            outcome([]),
            outcome([(Entity(0, 2, "PER"), 0.7), (HERE, 0.3), (HERE, 0.4)]),
        ]
    )
    assert scores.tolist() == [0.9, 0.8, 0.7, 0.4]
    assert right.tolist() == [True, False, False, True]


def test_a_case_counted_by_hand() -> None:
    found = reliability(outcomes_of(JUDGED), bins=5)
    assert found is not None
    assert (found.count, found.accuracy) == (6, 0.5)
    assert found.score == pytest.approx(4.25 / 6)
    # (0.6, 0.8] holds 0.65 and 0.7, (0.8, 1] the three above; 0.2 belongs to the first.
    assert [(bin_.low, bin_.high, bin_.count) for bin_ in found.bins] == [(0, 0.2, 1), (0.6, 0.8, 2), (0.8, 1, 3)]
    assert [bin_.score for bin_ in found.bins] == pytest.approx([0.2, 0.675, 0.9])
    assert [bin_.accuracy for bin_ in found.bins] == pytest.approx([0, 0.5, 2 / 3])
    assert found.ece == pytest.approx((1 * 0.2 + 2 * 0.175 + 3 * (0.9 - 2 / 3)) / 6)
    assert found.brier == pytest.approx((0.05**2 + 0.1**2 + 0.85**2 + 0.3**2 + 0.65**2 + 0.2**2) / 6)
    assert found.nll == pytest.approx(-math.log(0.95 * 0.9 * 0.15 * 0.7 * 0.35 * 0.8) / 6)


def test_adaptive_bins_hold_as_many_each() -> None:
    found = reliability(outcomes_of(JUDGED), bins=3)
    assert found is not None
    assert [(bin_.low, bin_.high, bin_.count) for bin_ in found.adaptive] == [
        (0.2, 0.65, 2),
        (0.7, 0.85, 2),
        (0.9, 0.95, 2),
    ]
    # Bins of one size: the unweighted mean of Nixon et al.
    assert found.ace == pytest.approx((0.425 + 0.275 + 0.075) / 3)


def test_equal_scores_stay_together_in_any_order() -> None:
    judged = [(1.0, True), (1.0, False), (0.5, True), (1.0, True), (1.0, True), (0.4, False)]
    found, turned = reliability(outcomes_of(judged), bins=3), reliability(outcomes_of(judged[::-1]), bins=3)
    assert found is not None
    assert turned is not None
    assert [(bin_.low, bin_.high, bin_.count) for bin_ in found.adaptive] == [(0.4, 0.5, 2), (1.0, 1.0, 4)]
    assert found.adaptive == turned.adaptive
    assert found.ace == pytest.approx((2 * abs(0.45 - 0.5) + 4 * 0.25) / 6)


@given(
    st.lists(
        st.tuples(st.one_of(st.floats(0, 1), st.sampled_from([k / 10 for k in range(11)])), st.booleans()), min_size=1
    ),
    st.integers(1, 12),
)
@FEW
def test_errors_equal_loops(judged: list[tuple[float, bool]], bins: int) -> None:
    found = reliability(outcomes_of(judged), bins=bins)
    assert found is not None
    expected = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [(s, r) for s, r in judged if low < s <= high or (s == 0 and number == 0)]
        expected += abs(sum(s for s, _ in inside) - sum(r for _, r in inside)) / len(judged)
    assert found.ece == pytest.approx(expected, abs=1e-9)
    for parts in (found.bins, found.adaptive):
        assert sum(bin_.count for bin_ in parts) == len(judged)
        assert all(bin_.count for bin_ in parts)
        assert len(parts) <= bins
        # The mean gap of one bin over all is the least that any bins can show.
        assert sum(bin_.count * bin_.gap for bin_ in parts) / len(judged) >= abs(found.score - found.accuracy) - 1e-9
    lows = [bin_.low for bin_ in found.adaptive]
    highs = [bin_.high for bin_ in found.adaptive]
    assert all(high < low for high, low in zip(highs[:-1], lows[1:], strict=True))


@given(st.sets(st.floats(0, 1), min_size=1, max_size=40), st.integers(1, 12))
@FEW
def test_adaptive_bins_differ_by_one_at_most_without_ties(scores: set[float], bins: int) -> None:
    found = reliability(outcomes_of([(score, True) for score in scores]), bins=bins)
    assert found is not None
    sizes = [bin_.count for bin_ in found.adaptive]
    assert len(sizes) == min(bins, len(scores))
    assert max(sizes) - min(sizes) <= 1


def test_equals_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    calibration = pytest.importorskip("sklearn.calibration")
    random = np.random.default_rng(0)
    scores = random.random(500)
    right = random.random(500) < scores**2
    found = reliability(outcomes_of(list(zip(scores.tolist(), right.tolist(), strict=True))))
    assert found is not None
    assert found.brier == pytest.approx(metrics.brier_score_loss(right, scores))
    assert found.nll == pytest.approx(metrics.log_loss(right, scores))
    for strategy, ours in (("uniform", found.bins), ("quantile", found.adaptive)):
        accuracy, mean = calibration.calibration_curve(right, scores, n_bins=10, strategy=strategy)
        assert [bin_.accuracy for bin_ in ours] == pytest.approx(accuracy.tolist())
        assert [bin_.score for bin_ in ours] == pytest.approx(mean.tolist())


def test_scores_that_are_certain_and_wrong_stay_finite() -> None:
    found = reliability(outcomes_of([(1.0, False), (0.0, True), (1.0, True)]))
    assert found is not None
    assert found.nll == pytest.approx(-(2 * math.log(1e-6) + math.log(1 - 1e-6)) / 3)
    assert found.bins == (ReliabilityBin(0.0, 0.1, 1, 0.0, 1.0), ReliabilityBin(0.9, 1.0, 2, 1.0, 0.5))


def test_without_predicted_entities_there_is_nothing_to_measure() -> None:
    assert reliability([outcome([])]) is None
    assert counts_at([outcome([])], [0.5]) == {0.5: Counts(0, 0, 1)}


def test_counts_by_threshold() -> None:
    rows = [outcome([(HERE, 0.9), (THERE, 0.5)]), outcome([(HERE, 0.4)], gold=(HERE, THERE)), outcome([], gold=(HERE,))]
    found = counts_at(rows, [0.0, 0.4, 0.5, 0.6, 0.9, 0.95])
    assert found == {
        0.0: Counts(2, 1, 2),
        0.4: Counts(2, 1, 2),
        0.5: Counts(1, 1, 3),
        0.6: Counts(1, 0, 3),
        0.9: Counts(1, 0, 3),
        0.95: Counts(0, 0, 4),
    }
    for threshold, counts in found.items():
        kept = [[e for e, s in zip(row.found, row.scores, strict=True) if s >= threshold] for row in rows]
        assert counts == score([row.gold for row in rows], kept).micro


def test_what_is_no_probability_is_refused() -> None:
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=f"expected scores from 0 to 1, found {wrong} in row 1"):
            reliability([outcome([(HERE, wrong)])])
    with pytest.raises(ValueError, match="expected scores for the 1 entities found in row 1, found 0"):
        reliability([Outcome("1", ("a",), (), (HERE,), (), 0)])
    with pytest.raises(ValueError, match="expected at least one bin, found 0"):
        reliability([], bins=0)
