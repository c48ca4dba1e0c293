import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from babelens.data import read_corpus
from babelens.data.mmnerd import mmnerd_source
from babelens.experiments.sources import SourceComparison, SourceDifference, SourceFigure, compare_sources
from babelens.schema import Entity, InputError
from babelens.scoring.outcomes import Outcome
from babelens.scoring.scores import score
from babelens.scoring.significance import holm, interval, seed_counts

TYPES = ("LOC", "ORG", "PER")
LENGTHS, DENSITIES = (1, 6), (0, 2)


def random_runs(seed: int, rows: int, seeds: int, sources: Sequence[str] = ("a", "b")) -> list[list[Outcome]]:
    """Rows of sources, several in a unit; PER stands in the first source alone."""
    generator = np.random.default_rng(seed)
    fixed = []
    for number in range(rows):
        source = sources[int(generator.integers(len(sources)))]
        length = int(generator.integers(3, 12))
        types = TYPES if source == sources[0] else TYPES[:2]
        places = generator.choice(length, size=int(generator.integers(1, 4)), replace=False).tolist()
        gold = tuple(Entity(place, place + 1, types[int(generator.integers(len(types)))]) for place in places)
        unit = int(generator.integers(rows * 2 // 3))
        fixed.append(Outcome(str(number), ("w",) * length, gold, (), (), unit, source=source))
    return [[answer(row, generator, 0.6) for row in fixed] for _ in range(seeds)]


def answer(row: Outcome, generator: np.random.Generator, rate: float) -> Outcome:
    """Each gold entity is found at a rate; sometimes there are others of any type."""
    found = [entity for entity in row.gold if generator.random() < rate]
    if generator.random() < 0.5:
        found.append(Entity(0, 2, TYPES[int(generator.integers(3))]))
    return replace(row, found=tuple(found), scores=(0.5,) * len(found))


def stratum_of(row: Outcome, lengths: Sequence[int], densities: Sequence[int]) -> tuple[int, int]:
    return (
        sum(len(row.words) >= start for start in lengths),
        sum(len(row.gold) >= start for start in densities),
    )


def loop_weights(rows: Sequence[Outcome], lengths: Sequence[int], densities: Sequence[int]) -> list[Fraction]:
    """The weight of each row by its definition, in fractions."""
    names = {row.source for row in rows}
    where = [stratum_of(row, lengths, densities) for row in rows]
    common = {
        place
        for place in where
        if {row.source for row, other in zip(rows, where, strict=True) if other == place} == names
    }
    total = sum(place in common for place in where)
    weights = []
    for row, place in zip(rows, where, strict=True):
        own = sum(other.source == row.source and there == place for other, there in zip(rows, where, strict=True))
        pooled = sum(there == place for there in where)
        weights.append(Fraction(pooled, total) / own if place in common else Fraction(0))
    return weights


def loop_f1(rows: Sequence[Outcome], weights: Sequence[Fraction | int], source: str, type_: str) -> float:
    """F1 (per cent) of weighted counts, row by row."""
    tp = fp = fn = Fraction(0)
    for row, weight in zip(rows, weights, strict=True):
        if row.source == source:
            gold = {entity for entity in row.gold if entity.type == type_}
            found = {entity for entity in row.found if entity.type == type_}
            tp, fp, fn = (
                tp + weight * len(gold & found),
                fp + weight * len(found - gold),
                fn + weight * len(gold - found),
            )
    whole = 2 * tp + fp + fn
    return float(100 * 2 * tp / whole) if whole else 0.0


def loop_figures(
    runs: Sequence[Sequence[Outcome]], names: Sequence[str], compared: Sequence[str]
) -> dict[tuple[bool, str, str | None], float]:
    """F1 by (held, source, type), mean over runs; None is the mean over the compared types."""
    found = {}
    held_weights = loop_weights(runs[0], LENGTHS, DENSITIES)
    for held, weights in ((False, [1] * len(runs[0])), (True, held_weights)):
        for name in names:
            for type_ in TYPES:
                found[held, name, type_] = fmean(loop_f1(run, weights, name, type_) for run in runs)
            found[held, name, None] = fmean(found[held, name, type_] for type_ in compared)
    return found


def figures_of(comparison: SourceComparison) -> dict[tuple[str, str | None], SourceFigure]:
    return {(one.source, one.type): one for one in comparison.figures}


def differences_of(comparison: SourceComparison) -> dict[tuple[bool, str | None], SourceDifference]:
    return {(one.held, one.type): one for one in comparison.differences}


def test_a_tiny_part_by_hand() -> None:
    loc = (Entity(0, 1, "LOC"),)

    def row(number: int, length: int, source: str, found: tuple[Entity, ...]) -> Outcome:
        return Outcome(str(number), ("w",) * length, loc, found, (0.5,) * len(found), number, source=source)

    # Short rows: one of a (right), two of b (right, missed). Long: three of a (one right), one of b (right).
    # Very long: one of b (missed), which has no counterpart.
    rows = [
        row(0, 3, "a", loc),
        row(1, 3, "b", loc),
        row(2, 3, "b", ()),
        row(3, 20, "a", loc),
        row(4, 20, "a", ()),
        row(5, 20, "a", ()),
        row(6, 20, "b", loc),
        row(7, 60, "b", ()),
    ]
    found = compare_sources([rows], lengths=(1, 10, 50), densities=(0,), draws=50)
    a, b = found.sources
    assert (found.strata, found.common) == (3, 2)
    assert (a.rows, a.common, b.rows, b.common) == (4, 100, 4, 75)
    # The mixture is 3/7 short and 4/7 long: weights 3/7 and 3 times 4/21; 2 times 3/14 and 4/7.
    assert a.effective == pytest.approx(1 / (9 / 49 + 3 * 16 / 441))
    assert b.effective == pytest.approx(1 / (2 * 9 / 196 + 16 / 49))
    assert a.words == 63 / 4 and b.words == 86 / 4
    assert a.held_words == pytest.approx(3 * 3 / 7 + 20 * 4 / 7) == b.held_words
    assert (a.entities, a.held_entities, b.entities) == pytest.approx((1, 1, 1))
    figures = figures_of(found)
    # a: tp 3/7 + 4/21 = 13/21 of 1. b: tp 3/14 + 4/7 = 11/14 of 1. F1 = 2 tp / (tp + 1).
    held = {"a": 100 * 2 * (13 / 21) / (13 / 21 + 1), "b": 100 * 2 * (11 / 14) / (11 / 14 + 1)}
    raw = {"a": 100 * 4 / 6, "b": 100 * 4 / 6}
    for name in "ab":
        one = figures[name, "LOC"]
        assert one.raw is not None and one.raw.figure == pytest.approx(raw[name])
        assert one.held is not None and one.held.figure == pytest.approx(held[name])
    assert (figures["b", "LOC"].support, figures["b", "LOC"].held_support) == (4, 3)
    differences = differences_of(found)
    assert differences[False, "LOC"].difference == pytest.approx(0)
    assert differences[True, "LOC"].difference == pytest.approx(held["a"] - held["b"])


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c")])
def test_figures_and_all_draws_are_those_of_loops(names: tuple[str, ...]) -> None:
    draws, seed, compared = 40, 5, TYPES[:2]
    runs = random_runs(len(names), 36, 3, names)
    found = compare_sources(runs, lengths=LENGTHS, densities=DENSITIES, draws=draws, seed=seed)
    assert found.types == found.held_types == compared
    observed = loop_figures(runs, names, compared)
    unit_stream, seed_stream = np.random.default_rng(seed).spawn(2)
    units = sorted({row.unit for row in runs[0]})
    seeds = seed_stream.integers(3, size=(draws, 3)).tolist()
    drawn = []
    for draw in range(draws):
        chosen = [units[number] for number in unit_stream.integers(len(units), size=len(units)).tolist()]
        rows = [place for unit in chosen for place, row in enumerate(runs[0]) if row.unit == unit]
        drawn.append(loop_figures([[runs[one][place] for place in rows] for one in seeds[draw]], names, compared))
    for one in found.figures:
        for held, interval_ in ((False, one.raw), (True, one.held)):
            if one.type == "PER" and one.source != "a":
                assert interval_ is None
                continue
            assert interval_ is not None
            key = (held, one.source, one.type)
            assert interval_.figure == pytest.approx(observed[key])
            bounds = tuple(np.percentile([figures[key] for figures in drawn], [2.5, 97.5]))
            assert (interval_.low, interval_.high) == pytest.approx(bounds)
    keys = [
        (held, one, other, type_)
        for one, other in combinations(names, 2)
        for held in (False, True)
        for type_ in (*compared, None)
    ]
    assert keys == [(one.held, one.source, one.other, one.type) for one in found.differences]
    for (held, one, other, type_), judged in zip(keys, found.differences, strict=True):
        spread = [figures[held, one, type_] - figures[held, other, type_] for figures in drawn]
        difference = observed[held, one, type_] - observed[held, other, type_]
        extreme = sum(abs(value - difference) >= abs(difference) - 1e-9 for value in spread)
        assert judged.difference == pytest.approx(difference)
        assert (judged.low, judged.high) == pytest.approx(tuple(np.percentile(spread, [2.5, 97.5])))
        assert judged.p == (1 + extreme) / (1 + draws)
    assert [one.adjusted for one in found.differences] == holm([one.p for one in found.differences])


def test_a_single_source_has_the_interval_of_significance_and_nothing_to_compare() -> None:
    runs = random_runs(1, 60, 3, ("a",))
    found = compare_sources(runs, draws=300, seed=4)
    assert found.differences == ()
    for type_ in TYPES:
        one = figures_of(found)["a", type_]
        expected = interval(seed_counts(runs, {type_}), draws=300, seed=4)
        assert one.raw == expected
        # There is no other mixture than its own.
        assert one.held is not None
        assert (one.held.figure, one.held.low, one.held.high) == pytest.approx(
            (expected.figure, expected.low, expected.high)
        )
        gold = [[entity for entity in row.gold if entity.type == type_] for row in runs[0]]
        assert one.support == score(gold, gold).micro.support
    assert found.sources[0].common == 100 and found.sources[0].effective == pytest.approx(60)


def test_units_of_a_figure_are_those_of_its_rows() -> None:
    runs = random_runs(3, 50, 1)
    found = compare_sources(runs, lengths=LENGTHS, densities=DENSITIES, draws=20)
    units = {name: {row.unit for row in runs[0] if row.source == name} for name in "ab"}
    assert [one.units for one in found.sources] == [len(units["a"]), len(units["b"])]
    assert differences_of(found)[False, None].units == len(units["a"] | units["b"])
    assert [one.rows for one in found.sources] == [sum(row.source == name for row in runs[0]) for name in "ab"]


def longer_source(seed: int, rows: int = 1500) -> list[list[Outcome]]:
    """Whether an entity is found hangs on the length of the sentence alone; those of b are mostly long."""
    generator = np.random.default_rng(seed)
    runs: list[list[Outcome]] = [[], [], []]
    for number in range(rows):
        source = "ab"[int(generator.integers(2))]
        long = generator.random() < (0.8 if source == "b" else 0.2)
        length = int(generator.integers(31, 40)) if long else int(generator.integers(1, 11))
        gold = (Entity(0, 1, TYPES[int(generator.integers(2))]),)
        for run in runs:
            found = gold if generator.random() < (0.4 if long else 0.9) else ()
            run.append(Outcome(str(number), ("w",) * length, gold, found, (0.5,) * len(found), number, source=source))
    return runs


def test_a_source_that_is_harder_for_its_length_alone_is_not_harder_with_length_held() -> None:
    found = compare_sources(longer_source(1), draws=1000)
    differences = differences_of(found)
    for type_ in ("LOC", "ORG", None):
        assert differences[False, type_].low > 10
        assert differences[False, type_].adjusted < 0.05
        assert differences[True, type_].low < 0 < differences[True, type_].high
        assert abs(differences[True, type_].difference) < 4
        assert differences[True, type_].p > 0.05
    a, b = found.sources
    assert b.words - a.words > 10
    assert a.held_words is not None and b.held_words is not None and abs(a.held_words - b.held_words) < 1
    assert a.effective < a.rows * 0.8


def test_p_of_equal_sources_is_about_uniform() -> None:
    values: dict[bool, list[float]] = {False: [], True: []}
    for number in range(100):
        generator = np.random.default_rng(number)
        rows = [
            Outcome(str(place), ("w",) * int(generator.integers(1, 40)), (Entity(0, 1, "LOC"),), (), (), place)
            for place in range(150)
        ]
        rows = [replace(row, source="ab"[int(generator.integers(2))]) for row in rows]
        found = compare_sources([[answer(row, generator, 0.7) for row in rows]], lengths=(1, 20), draws=200)
        for one in found.differences:
            if one.type == "LOC":
                values[one.held].append(one.p)
    for found in values.values():
        shares = np.histogram(found, bins=4, range=(0, 1))[0] / len(found)
        assert shares == pytest.approx([0.25] * 4, abs=0.15)
        assert np.mean(np.array(found) < 0.05) < 0.13


def test_sources_without_common_strata_are_compared_raw_alone() -> None:
    runs = [
        [replace(row, words=("w",) * (4 if row.source == "a" else 40)) for row in run] for run in random_runs(2, 40, 2)
    ]
    runs = [[replace(row, gold=row.gold[:1], found=row.gold[:1], scores=(1.0,)) for row in run] for run in runs]
    found = compare_sources(runs, draws=50)
    assert found.common == 0 and found.held_types == ()
    assert {one.held for one in found.differences} == {False}
    assert all(one.held is None and one.held_support == 0 for one in found.figures)
    assert [(one.common, one.effective, one.held_words) for one in found.sources] == [(0, 0, None)] * 2


def test_a_type_without_entities_in_common_strata_is_not_compared_held() -> None:
    def row(number: int, length: int, source: str, type_: str) -> Outcome:
        gold = (Entity(0, 1, type_),)
        return Outcome(str(number), ("w",) * length, gold, gold, (1.0,), number, source=source)

    kinds = [(3, "a", "LOC"), (3, "b", "LOC"), (60, "a", "ORG"), (3, "b", "ORG")]
    found = compare_sources([[row(number, *kind) for number, kind in enumerate(kinds * 5)]], draws=50)
    assert (found.types, found.held_types) == (("LOC", "ORG"), ("LOC",))
    assert figures_of(found)["a", "ORG"].held is None and figures_of(found)["b", "ORG"].held is not None
    assert (True, "ORG") not in differences_of(found)


def test_rows_that_name_no_source_are_left_out() -> None:
    runs = random_runs(5, 40, 2)
    known = compare_sources(runs, draws=50)
    nameless = [[replace(row, source=None) for row in run] for run in random_runs(6, 7, 2)]
    found = compare_sources([[*more, *run] for run, more in zip(runs, nameless, strict=True)], draws=50)
    assert found == replace(known, unnamed=7)


def test_the_comparison_is_plain_data() -> None:
    found = compare_sources(random_runs(0, 80, 2), lengths=LENGTHS, densities=DENSITIES, draws=50)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["types"] == ["LOC", "ORG"] and plain["seeds"] == 2
    assert [one["raw"] and one["raw"]["figure"] for one in plain["figures"]] == [
        one.raw and one.raw.figure for one in found.figures
    ]


def test_what_cannot_be_compared_is_told_of() -> None:
    runs = random_runs(0, 20, 2)
    with pytest.raises(InputError, match="20 rows"):
        compare_sources([[replace(row, source=None) for row in run] for run in runs])
    with pytest.raises(InputError, match="entities"):
        compare_sources([[replace(row, gold=()) for row in run] for run in runs])
    with pytest.raises(ValueError, match="at least one run"):
        compare_sources([])
    with pytest.raises(ValueError, match="same 20 rows"):
        compare_sources([runs[0], runs[1][:-1]])
    with pytest.raises(ValueError, match="same rows"):
        compare_sources([runs[0], runs[1][::-1]], draws=10)


@pytest.mark.shared
def test_mmnerd_has_persons_in_tweets_alone(shared: Path) -> None:
    rows = read_corpus(shared / "mmnerd-en" / "test.txt")
    generator = np.random.default_rng(0)
    run = [
        answer(
            Outcome(example.id, example.words, example.entities, (), (), number, source=mmnerd_source(example)),
            generator,
            0.8,
        )
        for number, example in enumerate(rows)
    ]
    found = compare_sources([run], draws=20)
    assert found.types == found.held_types == ("LOC", "MISC", "ORG")
    assert found.unnamed == 0
    assert [one.source for one in found.sources] == ["caption", "tweet"]
    figures = figures_of(found)
    assert (figures["caption", "PER"].support, figures["tweet", "PER"].support) == (0, 431)
    assert figures["caption", "MISC"].support + figures["tweet", "MISC"].support == 3214
    assert all(one.common > 99 for one in found.sources)
