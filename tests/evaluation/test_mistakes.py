from collections import Counter
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from babelens.evaluation.mistakes import (
    EFFECTS,
    Case,
    Verdict,
    count_effects,
    count_kinds,
    group_cases,
    judge,
    sample_cases,
    sign_test,
)
from babelens.schema import Entity, InputError
from babelens.scoring.errors import KINDS, count_errors, find_errors
from babelens.scoring.outcomes import Outcome

PER, LOC, ORG = Entity(0, 2, "PER"), Entity(3, 4, "LOC"), Entity(6, 8, "ORG")
ENTITIES = st.lists(
    st.builds(
        lambda start, length, type_: Entity(start, start + length, type_),
        st.integers(0, 6),
        st.integers(1, 3),
        st.sampled_from(["PER", "LOC"]),
    ),
    max_size=4,
    unique=True,
).map(tuple)


def row(found: tuple[Entity, ...], gold: tuple[Entity, ...] = (PER, LOC, ORG), **parts: object) -> Outcome:
    facts = {"id": "r", "unit": 0, "words": tuple("abcdefghij")} | parts
    scores = tuple(0.5 + 0.01 * entity.start for entity in found)
    return Outcome(gold=gold, found=found, scores=scores, **facts)  # pyright: ignore


def seen(case: Case) -> tuple:
    return case.gold, case.model.kind, case.twin and case.twin.kind, case.effect


def test_each_gold_entity_is_judged_with_and_without_the_picture() -> None:
    wrong_type, cut = Entity(3, 4, "MISC"), Entity(7, 8, "ORG")
    cases = judge([row((PER, wrong_type), frequencies=(0, 4, 1))], [row((LOC, cut))])
    assert [seen(case) for case in cases] == [
        (PER, None, "missed", "helped"),
        (LOC, "type", None, "hurt"),
        (ORG, "missed", "boundary", "both wrong"),
    ]
    assert [case.kind for case in cases] == ["missed", "type", "missed"]
    assert [case.wrong for case in cases] == [None, wrong_type, None]
    assert cases[1].model == Verdict("type", wrong_type, 0.53)
    assert cases[1].twin == Verdict(None, LOC, 0.53)
    assert [case.frequency for case in cases] == [0, 4, 1]


def test_what_both_get_right_is_a_case_without_a_kind() -> None:
    [case] = judge([row((PER,), (PER,))], [row((PER,), (PER,))])
    assert (case.kind, case.effect, case.wrong) == (None, "both right", None)


def test_spurious_entities_are_found_with_the_picture_or_without_or_both_ways() -> None:
    both, mine, other = Entity(2, 3, "PER"), Entity(4, 5, "PER"), Entity(9, 10, "LOC")
    cases = judge([row((both, mine), ())], [row((both, other), ())])
    assert [(case.entity, case.effect, case.wrong) for case in cases] == [
        (both, "with and without", both),
        (mine, "only with", mine),
        (other, "only without", other),
    ]
    assert cases[2].model == Verdict(None) and cases[2].twin == Verdict("spurious", other, 0.59)
    retyped = judge([row((both,), ())], [row((Entity(2, 3, "LOC"),), ())])
    assert [case.effect for case in retyped] == ["only without", "only with"]


def test_what_both_found_is_no_difference_where_one_of_them_confused_it_with_gold() -> None:
    # The twin found ORG too, so that the longer entity stands beside it; the model found the longer one alone.
    longer = Entity(5, 8, "ORG")
    cases = judge([row((longer,), (ORG,))], [row((ORG, longer), (ORG,))])
    assert [seen(case) for case in cases] == [(ORG, "boundary", None, "hurt")]
    cases = judge([row((ORG, longer), (ORG,))], [row((longer,), (ORG,))])
    assert [seen(case) for case in cases] == [
        (None, "spurious", "spurious", "with and without"),
        (ORG, None, "boundary", "helped"),
    ]


def test_without_a_twin_there_is_no_effect() -> None:
    cases = judge([row((PER,))])
    assert {case.effect for case in cases} == {None}
    assert sum(count_effects(cases).counts.values()) == 0


@pytest.mark.parametrize(
    ("twin", "message"),
    [
        ([], "same 1 rows, found 0"),
        ([row((), id="s")], "row 1: expected the text-only twin's outcome of 'r', found 's'"),
        ([row((), (PER,))], "row 1: expected the same words and gold entities .* of 'r'"),
        ([row((), words=("x",) * 10)], "row 1: expected the same words and gold entities .* of 'r'"),
    ],
)
def test_the_twin_must_have_read_the_same_rows(twin: list[Outcome], message: str) -> None:
    with pytest.raises(InputError, match=message):
        judge([row(())], twin)


@given(st.lists(st.tuples(ENTITIES, ENTITIES, ENTITIES), max_size=4))
def test_cases_add_up_to_the_errors_of_each_model(rows: list[tuple]) -> None:
    model = [row(found, gold) for gold, found, _ in rows]
    twin = [row(found, gold) for gold, _, found in rows]
    cases = judge(model, twin)
    tally, effects = count_kinds(cases), count_effects(cases)
    assert tally.kinds == count_errors(find_errors([r[0] for r in rows], [r[1] for r in rows]))
    assert tally.gold == sum(len(gold) for gold, _, _ in rows)
    assert tally.right == sum(len(set(gold) & set(found)) for gold, found, _ in rows)
    assert tally.mistakes == sum(tally.kinds.values())
    counts = effects.counts
    assert counts["both right"] + counts["helped"] == tally.right
    assert counts["both right"] + counts["hurt"] == sum(len(set(gold) & set(found)) for gold, _, found in rows)
    assert sum(counts[effect] for effect in EFFECTS[:4]) == tally.gold
    assert counts["only with"] + counts["with and without"] == tally.kinds["spurious"]
    mirrored = count_effects(judge(twin, model)).counts
    assert (mirrored["helped"], mirrored["hurt"]) == (counts["hurt"], counts["helped"])


def test_units_are_counted_by_the_balance_of_their_entities() -> None:
    # Unit 1: two helped, one hurt, over two rows. Unit 2: one each. Unit 3: one hurt. Unit 4: nothing changed.
    model = [row((PER, LOC), unit=1), row((), (PER,), unit=1), row((PER,), (PER, LOC), unit=2)]
    twin = [row((), unit=1), row((PER,), (PER,), unit=1), row((LOC,), (PER, LOC), unit=2)]
    model += [row((), (PER,), unit=3), row((PER,), (PER,), unit=4)]
    twin += [row((PER,), (PER,), unit=3), row((PER,), (PER,), unit=4)]
    effects = count_effects(judge(model, twin))
    assert (effects.counts["helped"], effects.counts["hurt"], effects.net) == (3, 3, 0)
    assert (effects.units_helped, effects.units_hurt) == (1, 1)
    assert effects.p == 1.0


def test_the_sign_test_is_that_of_all_ways_the_signs_could_fall() -> None:
    for won, lost in product(range(6), repeat=2):
        trials = won + lost
        ways = [abs(2 * sum(signs) - trials) for signs in product((0, 1), repeat=trials)]
        as_uneven = sum(way >= abs(won - lost) for way in ways)
        assert sign_test(won, lost) == pytest.approx(as_uneven / 2**trials)
    assert sign_test(1, 9) == pytest.approx(22 / 1024)
    assert sign_test(5_000, 4_000) < 1e-20


def test_rates_are_per_cent_of_the_gold() -> None:
    tally = count_kinds(judge([row((PER,))]))
    assert (tally.gold, tally.right, tally.recall) == (3, 1, pytest.approx(100 / 3))
    assert count_kinds([]).recall is None


def test_groups_are_in_order_and_leave_out_what_has_no_label() -> None:
    cases = judge([row((PER,))])
    groups = group_cases(cases, lambda case: None if case.gold == PER else case.entity.type)
    assert list(groups) == ["LOC", "ORG"]


def many(rows: int) -> list[Case]:
    """Rows that miss three entities each, every second one of which the twin found."""
    model = [row((), id=f"r{number}") for number in range(rows)]
    return judge(model, [row((PER, LOC, ORG) if number % 2 else (), id=f"r{number}") for number in range(rows)])


def test_the_sample_takes_so_many_of_each_group_and_one_of_a_row() -> None:
    cases = many(40)
    drawn = sample_cases(cases, 5, seed=3)
    assert Counter((case.kind, case.effect) for case in drawn) == {("missed", "hurt"): 5, ("missed", "both wrong"): 5}
    assert len({case.row for case in drawn}) == 10
    assert len(sample_cases(cases, 100)) == 40  # rows, not entities
    assert sample_cases(cases, 0) == []
    assert sample_cases(judge([row((PER, LOC, ORG))]), 5) == []
    order = [(EFFECTS.index(case.effect), KINDS.index(case.kind)) for case in drawn if case.effect and case.kind]
    assert order == sorted(order)


def test_the_sample_hangs_on_the_seed_and_on_no_other_row() -> None:
    cases = many(40)
    drawn = {case.outcome.id for case in sample_cases(cases, 5, seed=3)}
    assert drawn == {case.outcome.id for case in sample_cases(cases[::-1], 5, seed=3)}
    assert drawn != {case.outcome.id for case in sample_cases(cases, 5, seed=4)}
    fewer = [case for case in cases if case.outcome.id in drawn or case.row > 30]
    assert drawn == {case.outcome.id for case in sample_cases(fewer, 5, seed=3)}


def test_every_row_is_as_likely_to_be_drawn() -> None:
    cases = many(10)
    counts = Counter(case.row for seed in range(400) for case in sample_cases(cases, 1, seed=seed))
    # 400 draws of one in five rows: 80 each, give or take four standard deviations (8).
    assert all(48 <= counts[number] <= 112 for number in range(10))
