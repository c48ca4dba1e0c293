import numpy as np
import pytest

from babelens.scoring.draws import bounds, seed_draws, unit_draws
from babelens.scoring.significance import bootstrap, compare, judge


def test_draws_are_those_of_the_bootstrap() -> None:
    counts = [np.random.default_rng(number).integers(0, 4, (seeds, 9, 3)) for number, seeds in enumerate((3, 2))]
    weights = np.concatenate(list(unit_draws(9, 50, seed=6, block=7)))
    assert weights.shape == (50, 9)
    assert (weights.sum(axis=1) == 9).all()
    expected = bootstrap(counts, draws=50, seed=6)
    for system, chosen, column in zip(counts, seed_draws([3, 2], 50, seed=6), expected.T, strict=True):
        right, spurious, missed = np.einsum("du,suk->kds", weights, system)
        f1 = 100 * 2 * right / (2 * right + spurious + missed)
        assert column == pytest.approx(np.take_along_axis(f1, chosen, axis=1).mean(axis=1))


def test_a_difference_is_judged_as_two_systems_are() -> None:
    one, other = (np.random.default_rng(number).integers(0, 4, (3, 20, 3)) for number in (1, 2))
    expected = compare(one, other, draws=400, seed=2)
    drawn = bootstrap([one, other], draws=400, seed=2)
    assert judge(expected.difference, drawn[:, 0] - drawn[:, 1], 20) == expected


def test_draws_without_a_figure_are_left_out_of_the_bounds_and_speak_against_a_difference() -> None:
    drawn = np.array([9.0, 10.0, np.nan, 11.0, np.nan])
    assert bounds(drawn) == pytest.approx(tuple(np.percentile([9, 10, 11], [2.5, 97.5])))
    assert judge(10.0, drawn, 4).p == (1 + 2) / (1 + 5)
    assert judge(0.0, drawn[:2], 4).p == 1
