import itertools
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from babelens.schema import Entity, write_tags
from babelens.scoring.agreement import (
    MEASURES,
    TYPE_MEASURES,
    Agreement,
    agreement,
    agreement_by_group,
    agreement_by_pair,
    agreement_by_type,
    batches,
)
from babelens.scoring.agreement_counts import Annotated
from babelens.scoring.scores import score

FEW = settings(max_examples=40, deadline=None)
TYPES = ("LOC", "ORG", "PER")
EXACT = 1e-9
# Checked types draw at random, which a strategy must not, so rows are made in the tests.
Plain = tuple[int, dict[str, tuple[Entity, ...]], int]


@st.composite
def entities(draw: st.DrawFn, words: int) -> tuple[Entity, ...]:
    places = sorted(draw(st.sets(st.integers(0, words), max_size=6)))
    found = [(start, end) for start, end in itertools.pairwise(places) if draw(st.booleans())]
    return tuple(Entity(start, end, draw(st.sampled_from(TYPES))) for start, end in found)


@st.composite
def annotated(draw: st.DrawFn, names: Sequence[str], least: int) -> list[Plain]:
    """What rows are made of, with entities that often agree: half of the annotators copy the first one's."""
    rows = []
    for unit in range(draw(st.integers(1, 6))):
        words = draw(st.integers(1, 7))
        first = draw(entities(words))
        readers = draw(st.lists(st.sampled_from(names), min_size=least, unique=True))
        own = {name: first if draw(st.booleans()) else draw(entities(words)) for name in readers}
        rows.append((words, own, unit // 2))
    return rows


PAIRS = annotated(("a", "b"), 2)
MANY = annotated(("a", "b", "c", "d"), 1)


def labels_of(rows: Sequence[Annotated], name: str, types: bool, only: str | None = None) -> list[str]:
    found = []
    for row in rows:
        tags = write_tags(row.entities[name], row.words)
        tags = [tag if only is None or tag[2:] == only else "O" for tag in tags]
        found += [tag[2:] or "O" if types else tag for tag in tags]
    return found


def sklearn_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """None where scikit-learn gives NaN, and where there is nothing that it could be asked about."""
    if not pairs:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = cohen_kappa_score(*map(list, zip(*pairs, strict=True)))
    return None if np.isnan(found) else float(found)


def figures(found: Agreement) -> dict[str, float | None]:
    return {name: estimate.figure for name, estimate in found.items()}


def close(one: float | None, other: float | None) -> bool:
    return one is other is None or (one is not None and other is not None and abs(one - other) <= EXACT)


def quick(rows: Sequence[Annotated]) -> dict[str, float | None]:
    return figures(agreement(rows, draws=1))


@given(PAIRS, st.sampled_from([None, *TYPES]))
@FEW
def test_kappa_over_words_is_that_of_scikit_learn(drawn: list[Plain], only: str | None) -> None:
    rows = [Annotated(*row) for row in drawn]
    if only is None:
        found = quick(rows)
    else:
        by_type = agreement_by_type(rows, draws=1)
        if only not in by_type:
            return
        found = figures(by_type[only])
    plain = list(zip(*(labels_of(rows, name, True) for name in "ab"), strict=True))
    for types, name in ((False, "kappa_tags"), (True, "kappa_types")):
        given = list(zip(*(labels_of(rows, own, types, only) for own in "ab"), strict=True))
        kept = list(zip(given, plain, strict=True))
        assert close(found[name], sklearn_kappa(given))
        assert close(found[f"{name}_any"], sklearn_kappa([own for own, all_ in kept if all_ != ("O", "O")]))
        assert close(found[f"{name}_both"], sklearn_kappa([own for own, all_ in kept if "O" not in all_]))


@given(PAIRS)
@FEW
def test_kappa_over_spans_is_that_of_scikit_learn_on_the_union_of_spans(drawn: list[Plain]) -> None:
    rows = [Annotated(*row) for row in drawn]
    cases = []
    for row in rows:
        one, other = ({(own.start, own.end): own.type for own in row.entities[name]} for name in "ab")
        cases += [(one.get(span, "none"), other.get(span, "none")) for span in sorted({*one, *other})]
    assert close(quick(rows)["kappa_spans"], sklearn_kappa(cases))
    for type_, found in agreement_by_type(rows, draws=1).items():
        alone = [(str(one == type_), str(other == type_)) for one, other in cases]
        assert close(found["kappa_spans"].figure, sklearn_kappa(alone))


@given(PAIRS)
@FEW
def test_f1_is_the_micro_f1_with_either_annotator_as_gold(drawn: list[Plain]) -> None:
    rows = [Annotated(*row) for row in drawn]
    one, other = ([row.entities[name] for row in rows] for name in "ab")
    found = quick(rows)
    for scores in (score(one, other), score(other, one)):
        if not any(one) and not any(other):
            assert found["f1"] is None and found["f1_spans"] is None
            continue
        assert close(found["f1"], scores.micro.f1)
        assert close(found["f1_spans"], scores.boundaries.f1)
        by_type = agreement_by_type(rows, draws=1)
        assert by_type.keys() == scores.types.keys()
        assert all(close(by_type[type_]["f1"].figure, counts.f1) for type_, counts in scores.types.items())


def krippendorff_alpha(rows: Sequence[Annotated], types: bool, labelled: bool) -> float | None:
    names = sorted({name for row in rows for name in row.entities})
    words = []
    for row in rows:
        given = {name: labels_of([row], name, types) for name in row.entities}
        for word in range(row.words):
            column = [given[name][word] if name in given else None for name in names]
            if not labelled or any(label not in (None, "O") for label in column):
                words.append(column)
    known = sorted({label for column in words for label in column if label is not None})
    numbers: dict[str | None, float] = {label: float(number) for number, label in enumerate(known)}
    pairable = {label for column in words if len(column) - column.count(None) > 1 for label in column} - {None}
    if len(pairable) < 2:
        return None
    data = np.array([[numbers.get(label, np.nan) for label in column] for column in words]).T
    return float(krippendorff.alpha(data, level_of_measurement="nominal"))


@given(MANY)
@FEW
def test_alpha_is_that_of_the_krippendorff_package(drawn: list[Plain]) -> None:
    rows = [Annotated(*row) for row in drawn]
    found = quick(rows)
    # What one annotator alone has read is no word that at least one of several labels.
    shared = [row for row in rows if len(row.entities) > 1]
    for types, name in ((False, "alpha_tags"), (True, "alpha_types")):
        assert close(found[name], krippendorff_alpha(rows, types, False))
        assert close(found[f"{name}_any"], krippendorff_alpha(shared, types, True))


@given(MANY)
@FEW
def test_several_pairs_are_a_mean_weighted_by_what_chance_would_get_wrong(drawn: list[Plain]) -> None:
    rows = [Annotated(*row) for row in drawn]
    pairs = agreement_by_pair(rows, draws=1)
    names = {name for row in rows for name in row.entities}
    assert list(pairs) == [
        pair
        for pair in itertools.combinations(sorted(names), 2)
        if any(set(pair) <= row.entities.keys() for row in rows)
    ]
    above, below = 0.0, 0.0
    for (one, other), found in pairs.items():
        shared = [row for row in rows if {one, other} <= row.entities.keys()]
        tags = [labels_of(shared, name, False) for name in (one, other)]
        assert close(found["kappa_tags"].figure, sklearn_kappa(list(zip(*tags, strict=True))))
        total = len(tags[0])
        assert found["kappa_tags"].cases == total
        first, second = map(Counter, tags)
        expected = total - sum(first[tag] * second[tag] for tag in first) / total
        if (kappa := found["kappa_tags"].figure) is not None:
            above, below = above + kappa * expected, below + expected
    overall = quick(rows)["kappa_tags"]
    assert close(overall, above / below if below else None)


def test_a_case_by_hand() -> None:
    """Ten words, read by two.

    a  PER PER O O O LOC O O O O
    b  PER PER O O O ORG O O LOC O

    8 of 10 words agree. By chance: O 7 x 6, B-PER 1, I-PER 1, LOC 1 x 1, ORG 0, so 45 of 100: kappa (80 - 45) / 55.
    Of the 4 words that at least one labels 2 agree; chance: B-PER 1, I-PER 1, LOC 1 x 1, O 1 x 0: 3 of 16.
    Of the 3 that both label 2 agree; chance: 1 + 1 of 9. Spans: 3 cases, 1 agrees; chance PER 1, LOC 1 x 1: 2 of 9.
    F1 is 2 x 1 of 5; without types 2 x 2 of 5.
    """
    one = (Entity(0, 2, "PER"), Entity(5, 6, "LOC"))
    other = (Entity(0, 2, "PER"), Entity(5, 6, "ORG"), Entity(8, 9, "LOC"))
    found = quick([Annotated(10, {"a": one, "b": other}, 0)])
    assert found["kappa_tags"] == pytest.approx(35 / 55, abs=EXACT)
    assert found["kappa_tags_any"] == pytest.approx((2 / 4 - 3 / 16) / (1 - 3 / 16), abs=EXACT)
    assert found["kappa_tags_both"] == pytest.approx((2 / 3 - 2 / 9) / (1 - 2 / 9), abs=EXACT)
    assert found["kappa_spans"] == pytest.approx((1 / 3 - 2 / 9) / (1 - 2 / 9), abs=EXACT)
    assert found["f1"] == pytest.approx(40, abs=EXACT)
    assert found["f1_spans"] == pytest.approx(80, abs=EXACT)
    # Types: 20 labels, O 13, PER 4, LOC 2, ORG 1; 4 of them stand in words that differ.
    chance = 20 * 20 - (13 * 13 + 4 * 4 + 2 * 2 + 1)
    assert found["alpha_types"] == pytest.approx(1 - 19 * 4 / chance, abs=EXACT)


def test_alpha_of_the_published_example() -> None:
    """Krippendorff (2011), "Computing Krippendorff's alpha-reliability", section C: 4 observers, 12 units, 0.743."""
    rows = ["123321412***", "1233224125*3", "*3332342251*", "12332441251*"]
    units = []
    for word in range(12):
        own = {str(reader): (Entity(0, 1, row[word]),) for reader, row in enumerate(rows) if row[word] != "*"}
        units.append(Annotated(1, own, word))
    assert quick(units)["alpha_types"] == pytest.approx(0.743, abs=5e-4)


def test_nobody_labels_anything() -> None:
    rows = [Annotated(5, {"a": (), "b": ()}, unit) for unit in range(3)]
    found = agreement(rows, draws=20)
    assert set(figures(found).values()) == {None}
    assert all(estimate.low is estimate.high is None for estimate in found.values())
    assert found["kappa_tags"].cases == 15 and found["kappa_tags_any"].cases == 0 and found["f1"].units == 3
    assert agreement_by_type(rows) == {}


def test_a_single_label_throughout_leaves_nothing_to_chance() -> None:
    rows = [Annotated(1, {"a": (Entity(0, 1, "PER"),), "b": (Entity(0, 1, "PER"),)}, unit) for unit in range(3)]
    found = figures(agreement(rows, draws=20))
    assert found.pop("f1") == found.pop("f1_spans") == 100
    assert set(found.values()) == {None}


def test_without_rows_in_common_there_are_no_figures() -> None:
    alone = [Annotated(3, {"a": (Entity(0, 1, "PER"),)}, 0), Annotated(3, {"b": ()}, 1), Annotated(2, {}, 2)]
    for rows in ([], alone):
        assert set(figures(agreement(rows, draws=5)).values()) == {None}
        assert agreement_by_pair(rows) == agreement_by_type(rows) == {}
    both = Annotated(3, {"a": (Entity(0, 1, "PER"),), "c": (Entity(0, 1, "PER"),)}, 3)
    assert list(agreement_by_pair([*alone, both], draws=5)) == [("a", "c")]
    assert agreement([*alone, both], draws=5) == agreement([both], draws=5)


def test_more_words_outside_bring_kappa_over_spans_to_f1() -> None:
    """The reason why F1 is the figure for spans (Hripcsak and Rothschild, 2005), with candidates that both refuse."""
    both, one, other = 60, 15, 25
    f1 = 2 * both / (2 * both + one + other)
    kappas = []
    for neither in (0, 1000, 1_000_000):
        cases = [("x", "x")] * both + [("x", "-")] * one + [("-", "x")] * other
        weights = [1.0] * len(cases) + [float(neither)] * (neither > 0)
        cases += [("-", "-")] * (neither > 0)
        kappas.append(cohen_kappa_score(*map(list, zip(*cases, strict=True)), sample_weight=weights))
    assert kappas[0] < 0 < kappas[1] < kappas[2] < f1
    assert kappas[2] == pytest.approx(f1, abs=1e-4)
    pair = {"a": tuple(Entity(at, at + 1, "X") for at in range(both + one))}
    pair["b"] = pair["a"][:both] + tuple(Entity(at, at + 1, "X") for at in range(both + one, both + one + other))
    found = quick([Annotated(100, pair, 0)])
    assert close(found["kappa_spans"], kappas[0]) and close(found["f1"], 100 * f1)


def loop_bootstrap(rows: Sequence[Annotated], draws: int, seed: int) -> dict[str, tuple[float, float]]:
    """Figures of rows put together anew for each draw."""
    units = sorted({row.unit for row in rows if len(row.entities) > 1})
    stream = np.random.default_rng(seed).spawn(1)[0]
    drawn: dict[str, list[float]] = {name: [] for name in MEASURES}
    for _ in range(draws):
        chosen = stream.integers(len(units), size=len(units))
        again = [row for number in chosen for row in rows if row.unit == units[number]]
        for name, figure in quick(again).items():
            drawn[name] += [] if figure is None else [figure]
    return {name: tuple(np.percentile(values, [2.5, 97.5])) for name, values in drawn.items() if values}


def simulate(rows: int, readers: int, seed: int, noise: float = 0.15) -> list[Annotated]:
    stream = np.random.default_rng(seed)
    found = []
    for row in range(rows):
        gold = [Entity(at, at + 2, TYPES[stream.integers(3)]) for at in range(0, 9, 3) if stream.random() < 0.6]
        own = {}
        for reader in sorted(stream.choice(5, readers, replace=False)):
            seen = [entity for entity in gold if stream.random() > noise]
            own[f"r{reader}"] = tuple(
                Entity(one.start, one.end, TYPES[stream.integers(3)]) if stream.random() < noise else one
                for one in seen
            )
        found.append(Annotated(10, own, row // 2))
    return found


def test_intervals_are_those_of_drawn_units() -> None:
    rows = simulate(14, 3, 1)
    found = agreement(rows, draws=60, seed=4)
    for name, (low, high) in loop_bootstrap(rows, 60, 4).items():
        assert found[name].low == pytest.approx(low, abs=EXACT)
        assert found[name].high == pytest.approx(high, abs=EXACT)
        assert found[name].units == 7
    assert found == agreement(rows, draws=60, seed=4)


def test_blocks_of_draws_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = simulate(14, 3, 1)
    whole = agreement(rows, draws=50), agreement_by_type(rows, draws=50)
    monkeypatch.setattr("babelens.scoring.agreement._BLOCK", 7)
    assert whole == (agreement(rows, draws=50), agreement_by_type(rows, draws=50))


def test_an_interval_needs_two_units() -> None:
    [row] = simulate(1, 2, 3)
    found = agreement([row, row], draws=20)
    assert found["kappa_tags"].units == 1
    assert found["kappa_tags"].figure is not None and found["kappa_tags"].low is None


def test_draws_in_which_a_figure_is_not_defined_are_counted_and_left_out() -> None:
    empty = Annotated(2, {"a": (), "b": ()}, 0)
    full = Annotated(2, {"a": (Entity(0, 1, "PER"),), "b": (Entity(0, 1, "PER"),)}, 1)
    found = agreement([empty, full], draws=400)["f1"]
    assert found.figure == found.low == found.high == 100
    # A quarter of the draws takes the row without entities twice.
    assert 60 < found.undefined < 140


def test_groups_and_batches() -> None:
    rows = simulate(20, 2, 5)
    labels = ["de" if number % 3 else "en" for number in range(20)]
    found = agreement_by_group(rows, labels, draws=9)
    assert list(found) == ["en", "de"]
    assert found["de"] == agreement([row for row, own in zip(rows, labels, strict=True) if own == "de"], draws=9)
    with pytest.raises(ValueError, match="expected labels for the 20 rows, found 1"):
        agreement_by_group(rows, ["en"])
    assert batches([5, 1, 4, 2, 3], 2) == [1, 0, 1, 0, 0]
    assert batches([7, 7, 7, 7], 2) == [0, 0, 1, 1]
    assert batches([2, 1], 4) == [1, 0]
    with pytest.raises(ValueError, match="at least one batch, found 0"):
        batches([1], 0)


def test_types_have_all_figures_but_f1_without_types() -> None:
    found = agreement_by_type(simulate(8, 2, 7), draws=5)
    assert list(found) == list(TYPES)
    assert all(tuple(own) == TYPE_MEASURES for own in found.values())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"a": (Entity(2, 4, "PER"),)}, "within the 3 words of row 0, found Entity"),
        ({"a": (Entity(1, 1, "PER"),)}, "within the 3 words"),
        ({"a": (), "b": (Entity(0, 2, "PER"), Entity(1, 3, "LOC"))}, "of b that share no word in row 0"),
    ],
)
def test_entities_that_cannot_be(given: Mapping[str, Sequence[Entity]], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        agreement([Annotated(3, given, 0)])
