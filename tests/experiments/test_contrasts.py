import itertools
from statistics import fmean

import msgspec
import numpy as np
import pytest

from babelens.experiments.contrasts import Contrast, Estimate, Term, estimate_contrasts
from babelens.experiments.plan import points, read_experiment
from babelens.experiments.results import Cell, Leaks, Reading, Run
from babelens.schema import Entity, InputError
from babelens.scoring.outcomes import Outcome
from babelens.scoring.scores import Counts
from babelens.scoring.significance import compare, seed_counts

FAMILIES = ({"English", "German"}, {"French", "Spanish"})


def row(number: int, unit: int, generator: np.random.Generator, rate: float, leaks: tuple[str, ...] = ()) -> Outcome:
    gold = tuple(Entity(place, place + 1, "PER") for place in range(0, 8, 2))
    found = [entity for entity in gold if generator.random() < rate]
    found += [Entity(place, place + 1, "LOC") for place in range(1, 8, 2) if generator.random() < 0.2]
    return Outcome(str(number), ("a",) * 8, gold, tuple(found), (0.5,) * len(found), unit, leaks)


def run_of(seed: int, tests: tuple[str, ...]) -> Run:
    reading = Reading(0, "", {}, None, Leaks(0), 0.0)
    return Run(seed, 0.0, 1, 1, 0.0, 0, dict.fromkeys(tests, reading))


class Grid:
    """Cells with outcomes of random models; rows of a test are fixed by `units`, their number of each row."""

    def __init__(self, units: dict[str, list[int]], cells: dict[str, tuple[tuple[str, ...], int, float]]) -> None:
        self.cells, self.read = [], {}
        for number, (name, (tests, seeds, rate)) in enumerate(cells.items()):
            self.cells.append(Cell({"training": name}, [run_of(seed, tests) for seed in range(seeds)]))
            for seed, test in itertools.product(range(seeds), tests):
                generator = np.random.default_rng([number, seed, len(test)])
                rows = [
                    row(place, unit, generator, rate, ("text",) if place % 3 == 0 else ())
                    for place, unit in enumerate(units[test])
                ]
                self.read.setdefault((name, test), []).append(rows)

    def outcomes(self, cell: Cell, test: str) -> list[list[Outcome]]:
        return self.read[cell.labels["training"], test]


def term(name: str, test: str = "test") -> Term:
    return Term({"training": name}, test)


def estimate(contrast: Contrast, grid: Grid, **how) -> Estimate:
    return estimate_contrasts([contrast], grid.cells, grid.outcomes, **how)[0]


def test_one_cell_less_another_is_the_comparison_of_two_systems() -> None:
    units = [0, 0, 1, 2, 4, 4, 5, 7, 7, 7]
    grid = Grid({"test": units}, {"one": (("test",), 3, 0.8), "other": (("test",), 4, 0.5)})
    found = estimate(Contrast("c", (term("one"),), (term("other"),)), grid, draws=500, seed=3)
    expected = compare(
        seed_counts(grid.read["one", "test"]), seed_counts(grid.read["other", "test"]), draws=500, seed=3
    )
    assert found.difference == pytest.approx(expected.difference, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert (found.p, found.adjusted, found.units) == (expected.p, expected.p, expected.units)


def loop_f1(rows: list[Outcome], times: dict[int, int]) -> float:
    """Micro F1 with the rows of each unit so many times."""
    tp = fp = fn = 0
    for outcome in rows:
        gold, found, often = set(outcome.gold), set(outcome.found), times.get(outcome.unit, 0)
        tp, fp, fn = tp + often * len(gold & found), fp + often * len(found - gold), fn + often * len(gold - found)
    return Counts(tp, fp, fn).f1


def test_units_are_shared_by_tests_and_seeds_by_the_tests_of_a_cell() -> None:
    # Translations: both tests have units 0 to 3; units 8 and 9 are in one of them alone.
    units = {"German": [0, 0, 1, 2, 3, 8], "Spanish": [3, 2, 2, 1, 0, 9, 9]}
    both = ("German", "Spanish")
    cells = {"a": (both, 3, 0.9), "b": (("German",), 2, 0.4), "c": (("Spanish",), 1, 0.6), "d": (both, 4, 0.5)}
    grid = Grid(units, cells)
    plus = (term("a", "German"), term("a", "Spanish"), term("d", "German"))
    minus = (term("b", "German"), term("c", "Spanish"))
    draws, seed = 200, 11
    found = estimate(Contrast("c", plus, minus), grid, draws=draws, seed=seed)

    numbers = sorted({unit for every in units.values() for unit in every})
    order = ["a", "d", "b", "c"]
    unit_stream, *streams = np.random.default_rng(seed).spawn(5)
    chosen = {
        name: stream.integers(cells[name][1], size=(draws, cells[name][1])).tolist()
        for name, stream in zip(order, streams, strict=True)
    }

    def value(times: dict[int, int], seeds: dict[str, list[int]]) -> float:
        def mean(terms: tuple[Term, ...]) -> float:
            return fmean(
                fmean(loop_f1(grid.read[name, one.test][number], times) for number in seeds[name])
                for one in terms
                for name in [one.labels["training"]]
            )

        return mean(plus) - mean(minus)

    drawn = []
    for draw in range(draws):
        times: dict[int, int] = {}
        for number in unit_stream.integers(len(numbers), size=len(numbers)).tolist():
            times[numbers[number]] = times.get(numbers[number], 0) + 1
        drawn.append(value(times, {name: chosen[name][draw] for name in order}))
    observed = value(dict.fromkeys(numbers, 1), {name: list(range(cells[name][1])) for name in order})
    extreme = sum(abs(one - observed) >= abs(observed) - 1e-9 for one in drawn)
    assert found.difference == pytest.approx(observed, abs=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=1e-9)
    assert found.p == (1 + extreme) / (1 + draws)
    assert found.units == len(numbers)
    assert [round(one.weight, 9) for one in found.terms] == [0.333333333] * 3 + [-0.5] * 2
    assert [one.seeds for one in found.terms] == [3, 3, 4, 2, 1]
    assert sum(one.weight * one.f1 for one in found.terms) == pytest.approx(observed)


def test_the_same_answers_in_two_tests_of_translations_have_no_spread() -> None:
    grid = Grid({"x": [0, 1, 2, 3]}, {"one": (("x",), 2, 0.5)})
    grid.cells.append(Cell({"training": "two"}, [run_of(0, ("y",))]))
    grid.read["two", "y"] = [grid.read["one", "x"][0]]
    grid.read["one", "x"] = [grid.read["one", "x"][0]] * 2
    contrast = Contrast("c", (term("one", "x"),), (term("two", "y"),))
    found = estimate(contrast, grid, draws=300)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)
    # As two corpora they have units of their own.
    apart = estimate(contrast, grid, parts={"y": "another corpus"}, draws=300)
    assert apart.difference == 0
    assert apart.low is not None and apart.low < 0
    assert apart.units == 8


def test_rows_that_share_something_with_training_can_be_left_out() -> None:
    grid = Grid({"test": list(range(9))}, {"one": (("test",), 2, 0.8), "other": (("test",), 2, 0.3)})
    contrast = Contrast("c", (term("one"),), (term("other"),))
    found = estimate(contrast, grid, cleaned=True, draws=100)
    kept = [[[row for row in run if not row.leaks] for run in grid.read[name, "test"]] for name in ("one", "other")]
    means = [fmean(loop_f1(run, dict.fromkeys(range(9), 1)) for run in runs) for runs in kept]
    assert found.units == 6
    assert found.difference == pytest.approx(means[0] - means[1])


def test_holm_is_over_the_contrasts_that_were_run_and_the_others_say_why_not() -> None:
    units = list(range(30))
    cells = {"good": (("test",), 3, 0.9), "bad": (("test",), 3, 0.4), "like": (("test",), 3, 0.9)}
    grid = Grid({"test": units}, cells)
    grid.cells += [Cell({"training": "failed"}, [], "no French rows"), Cell({"training": "waiting"}, [])]
    contrasts = [
        Contrast("clear", (term("good"),), (term("bad"),)),
        Contrast("failed", (term("good"),), (term("failed"), term("waiting"))),
        Contrast("unclear", (term("good"),), (term("like"),)),
        Contrast("waiting", (term("waiting"),), (term("good"),)),
        Contrast("unread", (term("good", "French"),), (term("bad"),)),
        Contrast("absent", (term("good"),), (term("best"),)),
        Contrast("several", (Term({}, "test"),), (term("bad"),)),
    ]
    found = {one.name: one for one in estimate_contrasts(contrasts, grid.cells, grid.outcomes, draws=200)}
    assert list(found) == [one.name for one in contrasts]
    clear, unclear = found["clear"], found["unclear"]
    assert clear.p == 1 / 201 and clear.adjusted == 2 / 201
    assert unclear.p is not None and unclear.adjusted == unclear.p > 0.05
    assert found["failed"].reason == "training = failed, on test: no French rows (and 1 more)"
    assert found["waiting"].reason == "training = waiting, on test: not run yet"
    assert found["unread"].reason == "training = good, on French: not read with seed 0, 1, 2"
    assert found["absent"].reason == "training = best, on test: there is no such cell"
    assert found["several"].reason is not None and "5 cells" in found["several"].reason
    assert found["failed"].p is None and found["failed"].adjusted is None and not found["failed"].terms
    assert msgspec.json.decode(msgspec.json.encode(found["clear"].to_dict()))["adjusted"] == 2 / 201


def test_runs_over_other_rows_are_told_of() -> None:
    grid = Grid({"test": [0, 1, 2]}, {"one": (("test",), 2, 0.5), "other": (("test",), 1, 0.5)})
    grid.read["one", "test"][1].pop()
    with pytest.raises(InputError, match=r"training.*one.*same rows"):
        estimate(Contrast("c", (term("one"),), (term("other"),)), grid, draws=10)


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"name": "c", "plus": [], "minus": [{"labels": {}}]}, "at least one term in plus"),
        ({"name": "c", "plus": [{"labels": {}}], "minus": []}, "at least one term in minus"),
        ({"name": "c", "plus": [{"labels": {"a": "b"}}], "minus": [{"labels": {"a": "b"}}]}, "once.*a = b, on test"),
        ({"name": "c", "plus": [{"label": {}}], "minus": [{"labels": {}}]}, "label"),
    ],
)
def test_a_contrast_that_makes_no_sense_is_told_of(declared: dict, told: str) -> None:
    with pytest.raises((InputError, msgspec.ValidationError), match=told):
        msgspec.convert(declared, Contrast)


@pytest.mark.parametrize("name", ["table6", "languages"])
def test_the_contrasts_of_languages_are_those_declared(name: str) -> None:
    experiment, _ = read_experiment(name)
    cells = {point.labels["training"]: point.variant for point in points(experiment)}
    for contrast in experiment.contrasts:
        for one, weight in contrast.weighted():
            assert one.test in (cells[one.labels["training"]].tests or {})
            assert abs(weight) in (1 / len(contrast.plus), 1 / len(contrast.minus))
        assert sum(weight for _, weight in contrast.weighted()) == pytest.approx(0)
    family, more = experiment.contrasts
    pairs = set(itertools.permutations(("English", "French", "Spanish", "German"), 2))

    def added(terms: tuple[Term, ...]) -> list[tuple[str, str]]:
        """Which language a test is of, and which was added to half of it."""
        labels = [(one.test, one.labels["training"].removeprefix(f"half of {one.test} + ")) for one in terms]
        return [(test, label.split(" as ")[-1]) for test, label in labels]

    assert all({*pair} in FAMILIES for pair in added(family.plus))
    assert not any({*pair} in FAMILIES for pair in added(family.minus))
    assert len(family.plus) == 4 and len(family.minus) == 8
    assert {*added(family.plus), *added(family.minus)} == pairs
    assert added(more.plus) == added(more.minus) and len(more.plus) == 12 and {*added(more.plus)} == pairs
    assert all("as much" in one.labels["training"] for one in more.minus)
    assert not any("as much" in one.labels["training"] for one in (*more.plus, *family.plus, *family.minus))
