import itertools
from collections import Counter
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from babelens.schema import Entity
from babelens.scoring.outcomes import Outcome
from babelens.scoring.scores import Counts, score
from babelens.scoring.significance import (
    Interval,
    bootstrap,
    clustered_interval,
    compare,
    compare_pairs,
    holm,
    interval,
    seed_counts,
    unit_counts,
)

GOLD = [[Entity(0, 2, "PER"), Entity(3, 4, "LOC")], [Entity(0, 1, "ORG")], [], [Entity(1, 2, "LOC")]]
FOUND = [[Entity(0, 2, "PER"), Entity(3, 4, "ORG")], [Entity(0, 2, "ORG")], [Entity(5, 6, "PER")], []]


def counts_of(seed: int, seeds: int, units: int, top: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top, (seeds, units, 3))


def loop_f1(counts: np.ndarray, units: list[int]) -> float:
    """Micro F1 of one run over units with repetitions, by Python's whole numbers."""
    tp, fp, fn = (sum(int(counts[unit, kind]) for unit in units) for kind in range(3))
    return Counts(tp, fp, fn).f1


def loop_bootstrap(systems: list[np.ndarray], draws: int, seed: int) -> list[list[float]]:
    """The two levels of drawing, in loops over the same draws of random numbers."""
    stream, *streams = np.random.default_rng(seed).spawn(1 + len(systems))
    units = systems[0].shape[1]
    drawn_units = [stream.integers(units, size=units).tolist() for _ in range(draws)]
    drawn_seeds = [
        streams[number].integers(len(system), size=(draws, len(system))).tolist()
        for number, system in enumerate(systems)
    ]
    return [
        [
            fmean(loop_f1(system[seed_], drawn_units[draw]) for seed_ in drawn_seeds[number][draw])
            for number, system in enumerate(systems)
        ]
        for draw in range(draws)
    ]


def test_counts_by_unit() -> None:
    assert unit_counts(GOLD, FOUND, [1, 0, 1, 2]).tolist() == [[0, 1, 1], [1, 2, 1], [0, 0, 1]]
    assert unit_counts(GOLD, FOUND, [1, 0, 1, 2], types={"LOC"}).tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 1]]
    assert unit_counts(GOLD, FOUND, [7, 3, 7, 9]).tolist() == unit_counts(GOLD, FOUND, [1, 0, 1, 2]).tolist()
    assert unit_counts([[Entity(0, 1, "PER")]], [[Entity(0, 1, "PER")] * 2], [0]).tolist() == [[1, 0, 0]]
    assert unit_counts([], [], []).shape == (0, 3)


@given(st.lists(st.integers(0, 5), min_size=4, max_size=4))
def test_counts_of_units_add_up_to_the_score(units: list[int]) -> None:
    counts = unit_counts(GOLD, FOUND, units)
    assert len(counts) == len(set(units))
    assert Counts(*counts.sum(axis=0).tolist()) == score(GOLD, FOUND).micro


def test_counts_of_several_seeds() -> None:
    def run(found: list[list[Entity]], units: tuple[int, ...] = (1, 0, 1, 2)) -> list[Outcome]:
        return [
            Outcome(str(row), ("a",) * 6, tuple(GOLD[row]), tuple(found[row]), (0.5,) * len(found[row]), units[row])
            for row in range(4)
        ]

    counts = seed_counts([run(FOUND), run(GOLD)])
    assert counts[0].tolist() == unit_counts(GOLD, FOUND, [1, 0, 1, 2]).tolist()
    assert counts[1].tolist() == [[1, 0, 0], [2, 0, 0], [1, 0, 0]]
    assert seed_counts([run(FOUND)], types={"PER"}).tolist() == [[[0, 0, 0], [1, 1, 0], [0, 0, 0]]]
    with pytest.raises(ValueError, match="expected runs over the same rows, found others in run 1 than in run 0"):
        seed_counts([run(FOUND), run(FOUND, (0, 0, 1, 2))])
    with pytest.raises(ValueError, match="at least one run, found none"):
        seed_counts([])


def test_bootstrap_equals_loops_over_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    systems = [counts_of(1, 3, 7), counts_of(2, 1, 7), counts_of(3, 5, 7)]
    expected = np.array(loop_bootstrap(systems, 50, seed=11))
    np.testing.assert_allclose(bootstrap(systems, 50, seed=11), expected, rtol=0, atol=1e-10)
    # Blocks of one and of three draws, and a last one that is not full.
    for size in (1, 21):
        monkeypatch.setattr("babelens.scoring.significance._BLOCK", size)
        np.testing.assert_allclose(bootstrap(systems, 50, seed=11), expected, rtol=0, atol=1e-10)


def test_units_are_drawn_alike_whichever_systems_there_are() -> None:
    first, second = counts_of(1, 3, 9), counts_of(2, 2, 9)
    both = bootstrap([first, second], 100, seed=5)
    assert (bootstrap([first], 100, seed=5)[:, 0] == both[:, 0]).all()
    assert (bootstrap([first, second, first], 100, seed=5)[:, :2] == both).all()
    one = first[:1]
    same = bootstrap([one, second, one], 100, seed=5)
    assert (same[:, 0] == same[:, 2]).all()
    assert (bootstrap([first], 100, seed=6)[:, 0] != both[:, 0]).any()


def test_bootstrap_has_the_distribution_of_all_draws_of_three_units_and_two_seeds() -> None:
    system, baseline = counts_of(4, 2, 3, 6), counts_of(5, 1, 3, 6)
    exact = Counter[float]()
    for units in itertools.product(range(3), repeat=3):
        for seeds in itertools.product(range(2), repeat=2):
            ours = fmean(loop_f1(system[seed], list(units)) for seed in seeds)
            exact[round(ours - loop_f1(baseline[0], list(units)), 6)] += 1
    draws = 20_000
    drawn = bootstrap([system, baseline], draws, seed=0)
    found = Counter(np.round(drawn[:, 0] - drawn[:, 1], 6).tolist())
    assert found.keys() == exact.keys()
    assert len(exact) > 10
    for value, count in exact.items():
        assert found[value] / draws == pytest.approx(count / exact.total(), abs=0.015)

    # The p of the same draws, with the same moving to the null.
    observed = fmean(loop_f1(run, [0, 1, 2]) for run in system) - loop_f1(baseline[0], [0, 1, 2])
    p = sum(n for value, n in exact.items() if abs(value - observed) >= abs(observed) - 1e-5) / exact.total()
    result = compare(system, baseline, draws=draws)
    assert result.difference == pytest.approx(observed)
    assert result.p == pytest.approx(p, abs=0.015)
    assert result.units == 3
    ordered = sorted(exact.elements())
    assert ordered[0] <= result.low <= ordered[len(ordered) // 10]
    assert ordered[-len(ordered) // 10] <= result.high <= ordered[-1]


def test_percentiles_and_p_by_hand() -> None:
    system, baseline = counts_of(6, 2, 8), counts_of(7, 3, 8)
    drawn = sorted(row[0] - row[1] for row in loop_bootstrap([system, baseline], 401, seed=2))
    result = compare(system, baseline, draws=401, seed=2)
    # Of 401 values in order the 2.5th and 97.5th percentiles are those with the numbers 10 and 390, from 0.
    assert (result.low, result.high) == pytest.approx((drawn[10], drawn[390]))
    d = result.difference
    assert result.p == (1 + sum(abs(value - d) >= abs(d) for value in drawn)) / 402


def test_identical_systems_differ_by_nothing() -> None:
    for seeds in (1, 4):
        system = counts_of(8, seeds, 20)
        result = compare(system, system.copy(), draws=500)
        assert (result.difference, result.p) == (0, 1)
        assert result.low <= 0 <= result.high
        assert (result.low == result.high == 0) == (seeds == 1)


def test_a_clear_difference_has_the_least_p() -> None:
    right, wrong = np.zeros((2, 40, 3), int), np.zeros((2, 40, 3), int)
    right[:, :, 0], wrong[:, :, 2] = 1, 1
    result = compare(right, wrong, draws=199)
    assert (result.difference, result.low, result.high) == (100, 100, 100)
    assert result.p == 1 / 200
    assert compare(wrong, right, draws=199).difference == -100


def test_pairs_share_their_draws() -> None:
    systems = [counts_of(1, 2, 15), counts_of(2, 3, 15), counts_of(3, 1, 15)]
    drawn = bootstrap(systems, 300, seed=3)
    forth, back, other = compare_pairs(systems, [(0, 1), (1, 0), (2, 0)], draws=300, seed=3)
    assert (forth.difference, forth.p) == (-back.difference, back.p)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    assert (other.low, other.high) == pytest.approx(np.percentile(drawn[:, 2] - drawn[:, 0], [2.5, 97.5]))
    assert compare(systems[0], systems[1], draws=300, seed=3) == forth


def test_a_single_seed_leaves_only_units_to_draw() -> None:
    # Every unit is alike, so units make no difference, and what varies is the choice of seeds.
    alike = np.tile(np.array([[[1, 0, 1]], [[1, 1, 0]], [[0, 1, 1]]]), (1, 6, 1))
    one = bootstrap([alike[:1]], 200)[:, 0]
    assert one == pytest.approx(np.full(200, 200 / 3))
    several = bootstrap([alike], 200)[:, 0]
    assert {round(value, 6) for value in several.tolist()} == {round(k * 200 / 9, 6) for k in range(4)}


def test_an_interval_is_that_of_its_draws() -> None:
    system = counts_of(9, 4, 25)
    found = interval(system, draws=400, seed=1)
    drawn = bootstrap([system], 400, seed=1)[:, 0]
    assert found.figure == pytest.approx(fmean(loop_f1(run, list(range(25))) for run in system))
    assert (found.low, found.high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]))
    assert found.units == 25


def test_rates_of_any_kind_have_intervals() -> None:
    tp, fp, fn = np.moveaxis(counts_of(9, 4, 25), 2, 0)
    assert clustered_interval(2 * tp, 2 * tp + fp + fn, draws=400, seed=1) == interval(
        counts_of(9, 4, 25), draws=400, seed=1
    )
    recall = clustered_interval(tp, tp + fn, draws=400)
    found, missed = tp.sum(axis=1).tolist(), fn.sum(axis=1).tolist()
    assert recall.figure == pytest.approx(fmean(Counts(tp=r, fn=m).recall for r, m in zip(found, missed, strict=True)))
    assert recall.low < recall.figure < recall.high
    nothing = np.zeros((2, 3), int)
    assert clustered_interval(nothing, nothing, draws=10) == Interval(0.0, 0.0, 0.0, 3)


def test_an_interval_is_as_wide_as_theory_says() -> None:
    # Recall of one run over units of one entity each is a mean of independent 0s and 1s.
    right = (np.arange(400) % 10 < 7)[None].astype(int)
    found = clustered_interval(right, np.ones_like(right), draws=4000)
    spread = 100 * (0.7 * 0.3 / 400) ** 0.5
    assert (found.low, found.high) == pytest.approx((70 - 1.96 * spread, 70 + 1.96 * spread), abs=0.4)
    # Units of four equal rows: as many rows, half as sure.
    tied = clustered_interval(4 * right[:, ::4], 4 * np.ones((1, 100), int), draws=4000)
    assert tied.high - tied.low == pytest.approx(2 * (found.high - found.low), rel=0.1)


def test_a_true_null_is_rejected_as_often_as_it_should_be() -> None:
    random = np.random.default_rng(0)
    trials = 300
    rejected = 0
    for trial in range(trials):
        # Both find each entity with a chance that belongs to the unit, so rows of a unit go together.
        chance, entities = random.beta(3, 2, 60), random.integers(1, 4, 60)
        sides = []
        for _ in range(2):
            right = random.binomial(entities, chance)
            sides.append(np.stack([right, random.binomial(1, 0.3, 60), entities - right], axis=1)[None])
        rejected += compare(sides[0], sides[1], draws=299, seed=trial).p <= 0.05
    assert 0.02 <= rejected / trials <= 0.09


def test_holm_by_hand() -> None:
    # 4 x 0.005, 3 x 0.01, then 2 x 0.03, which 1 x 0.04 may not fall below.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.02, 0.02]) == [0.04, 0.04]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
    with pytest.raises(ValueError, match="expected p-values from 0 to 1, found nan"):
        holm([0.1, float("nan")])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_equals_the_closed_test_procedure(p: list[float]) -> None:
    # Holm is Bonferroni over all subsets (Marcus, Peritz and Gabriel, 1976): the largest |S| min p of those with i.
    places = range(len(p))
    subsets = [subset for size in range(1, len(p) + 1) for subset in itertools.combinations(places, size)]
    closed = [
        max(min(1.0, len(subset) * min(p[place] for place in subset)) for subset in subsets if number in subset)
        for number in places
    ]
    adjusted = holm(p)
    assert adjusted == pytest.approx(closed, abs=1e-12)
    assert all(value >= raw for value, raw in zip(adjusted, p, strict=True))


def test_holm_equals_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(0).random(12) ** 3
    assert holm(p.tolist()) == pytest.approx(multitest.multipletests(p, method="holm")[1].tolist())


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="expected predicted for the 1 rows of gold, found 0"):
        unit_counts([[]], [], [0])
    with pytest.raises(ValueError, match="expected units for the 1 rows of gold, found 2"):
        unit_counts([[]], [[]], [0, 1])
    with pytest.raises(ValueError, match="at least one system, found none"):
        bootstrap([])
    with pytest.raises(ValueError, match="at least one seed and one unit, found 0 and 4"):
        interval(np.zeros((0, 4, 3), int))
    with pytest.raises(ValueError, match="at least one seed and one unit, found 2 and 0"):
        interval(np.zeros((2, 0, 3), int))
    with pytest.raises(ValueError, match="at least one draw, found 0"):
        bootstrap([counts_of(0, 1, 4)], draws=0)
    with pytest.raises(ValueError, match="expected counts over the same 4 units, found 5"):
        compare(counts_of(0, 1, 4), counts_of(0, 1, 5))
