import pytest
from hypothesis import given
from hypothesis import strategies as st

from babelens.schema import Entity
from babelens.scoring.errors import EntityError, count_errors, find_errors
from babelens.scoring.scores import score

ROW = st.lists(
    st.builds(
        lambda start, length, type_: Entity(start, start + length, type_),
        st.integers(0, 8),
        st.integers(1, 4),
        st.sampled_from(["PER", "LOC"]),
    ),
    max_size=5,
)


def only(gold: list[Entity], predicted: list[Entity]) -> list[EntityError]:
    return find_errors([gold], [predicted])


def test_each_kind_of_error() -> None:
    person = Entity(2, 4, "PER")
    assert only([person], [person]) == []
    assert only([person], []) == [EntityError(0, "missed", person, None)]
    assert only([], [person]) == [EntityError(0, "spurious", None, person)]
    for kind, found in [
        ("type", Entity(2, 4, "LOC")),
        ("boundary", Entity(3, 4, "PER")),
        ("both", Entity(3, 6, "LOC")),
    ]:
        assert only([person], [found]) == [EntityError(0, kind, person, found)]
    beside = Entity(4, 5, "PER")
    assert only([person], [beside]) == [
        EntityError(0, "missed", person, None),
        EntityError(0, "spurious", None, beside),
    ]


def test_the_better_pair_wins_and_the_rest_stays_alone() -> None:
    gold = Entity(0, 4, "PER")
    assert only([gold], [Entity(0, 1, "PER"), Entity(1, 4, "PER")]) == [
        EntityError(0, "spurious", None, Entity(0, 1, "PER")),
        EntityError(0, "boundary", gold, Entity(1, 4, "PER")),
    ]
    assert [error.kind for error in only([gold], [Entity(1, 4, "PER"), Entity(0, 4, "LOC")])] == ["type", "spurious"]


def test_an_exact_match_is_never_part_of_an_error() -> None:
    gold = [Entity(0, 2, "PER"), Entity(2, 4, "PER")]
    assert only(gold, [Entity(0, 2, "PER"), Entity(1, 4, "PER")]) == [
        EntityError(0, "boundary", Entity(2, 4, "PER"), Entity(1, 4, "PER"))
    ]


@given(st.lists(st.tuples(ROW, ROW), max_size=4))
def test_errors_add_up_to_the_scores(rows: list[tuple[list[Entity], list[Entity]]]) -> None:
    gold, predicted = [row[0] for row in rows], [row[1] for row in rows]
    errors, micro = find_errors(gold, predicted), score(gold, predicted).micro
    assert sum(error.gold is not None for error in errors) == micro.fn
    assert sum(error.predicted is not None for error in errors) == micro.fp
    assert sum(count_errors(errors).values()) == len(errors)
    assert [error.row for error in errors] == sorted(error.row for error in errors)


def test_rows_must_pair_up() -> None:
    with pytest.raises(ValueError, match="expected predicted for the 1 rows of gold, found 0"):
        find_errors([[]], [])
