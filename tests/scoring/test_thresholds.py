"""Bounds on the precision above a score: against scipy, by hand, and in repeated draws from a known truth."""

import numpy as np
import pytest
from scipy.stats import beta

from babelens.scoring.thresholds import Bound, bound_precision, lowest_score


def bounds_of(scores, right, units=None, **settings):
    units = np.arange(len(scores)) if units is None else np.array(units)
    return bound_precision(np.array(scores, float), np.array(right, bool), units, **settings)


def test_the_grid_is_chosen_by_scores_alone_and_counts_are_those_above():
    scores = [0.9, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    right = [1, 1, 1, 0, 1, 0, 0, 0]
    found = bounds_of(scores, right, steps=4)
    assert [(bound.score, bound.entities, bound.right) for bound in found] == [
        (0.9, 2, 2),
        (0.7, 4, 3),
        (0.5, 6, 4),
        (0.3, 8, 4),
    ]
    assert [bound.score for bound in bounds_of(scores, [0] * 8, steps=4)] == [0.9, 0.7, 0.5, 0.3]
    assert bounds_of([], []) == []
    assert [bound.entities for bound in bounds_of([0.5, 0.5, 0.5], [1, 1, 0])] == [3]


@pytest.mark.parametrize(("count", "steps", "level"), [(1, 1, 0.95), (60, 1, 0.95), (200, 20, 0.95), (200, 5, 0.9)])
def test_where_all_are_right_the_bound_is_that_of_clopper_and_pearson(count, steps, level):
    *_, last = bounds_of(np.linspace(1, 0.5, count), np.ones(count), steps=steps, level=level)
    assert last.low == pytest.approx(beta.ppf((1 - level) / steps, count, 1), abs=1e-9)


def test_single_entities_are_bounded_as_by_clopper_and_pearson_but_for_degrees_of_freedom():
    generator = np.random.default_rng(4)
    scores = generator.random(2000)
    right = generator.random(2000) < scores
    for bound in bounds_of(scores, right, steps=4):
        exact = beta.ppf(0.05 / 4, bound.right, bound.entities - bound.right + 1)
        assert exact - 0.002 < bound.low <= exact + 1e-9


def test_entities_that_come_together_count_for_less():
    right = np.array([1] * 180 + [0] * 20)
    scores = np.full(200, 0.8)
    (alone,) = bounds_of(scores, right)
    (tied,) = bounds_of(scores, right, np.arange(200) // 10)
    assert tied.low < alone.low - 0.05 and (tied.entities, tied.right) == (alone.entities, alone.right)


def test_the_lowest_score_that_is_enough_is_taken():
    bounds = [Bound(0.9, 10, 10, 0.8), Bound(0.8, 20, 19, 0.79), Bound(0.7, 30, 28, 0.81), Bound(0.6, 40, 30, 0.7)]
    assert lowest_score(bounds, 0.8) == bounds[2]
    assert lowest_score(bounds, 0.82) is None and lowest_score([], 0.1) is None


def test_a_threshold_seldom_promises_too_much():
    generator = np.random.default_rng(11)
    failures = chosen = 0
    for _ in range(25):
        # Of a score s, s^2 are right: scores that promise too much. The entities of a unit are right or wrong together.
        of_unit = generator.random(200)
        units = np.repeat(np.arange(200), 3)
        scores = of_unit[units]
        right = np.repeat(generator.random(200) < of_unit**2, 3)
        best = lowest_score(bound_precision(scores, right, units, steps=5), 0.6)
        if best is not None:
            chosen += 1
            # The mean of s^2 from t to 1.
            failures += (1 - best.score**3) / (3 * (1 - best.score)) < 0.6
    assert chosen > 12 and failures <= 2
