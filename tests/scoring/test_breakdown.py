from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babelens.schema import Entity
from babelens.scoring.breakdown import (
    by_entity_length,
    by_frequency,
    by_novelty,
    by_sentence_length,
    by_source_and_type,
    by_status,
    confusion,
)
from babelens.scoring.outcomes import Outcome
from babelens.scoring.scores import Counts, score

TYPES = ["LOC", "PER", "none"]
ROW = st.lists(
    st.builds(
        lambda start, length, type_: Entity(start, start + length, type_),
        st.integers(0, 8),
        st.integers(1, 7),
        st.sampled_from(TYPES),
    ),
    max_size=5,
    unique=True,
)
# Plain facts, of which the tests make outcomes: the checker of types draws random numbers, which strategies may not.
ROWS = st.lists(
    st.tuples(
        ROW,
        ROW,
        st.integers(15, 60),
        st.lists(st.integers(0, 30), min_size=5, max_size=5),
        st.sampled_from([None, "twitter", "caption"]),
        st.sampled_from(["used", "none", "unreadable", "other"]),
    ),
    max_size=4,
)
FEW = settings(max_examples=50, deadline=None)


def outcome(
    gold: list[Entity],
    found: list[Entity],
    words: int = 10,
    frequencies: tuple[int, ...] = (),
    source: str | None = None,
    status: str = "none",
) -> Outcome:
    scores = (0.5,) * len(found)
    facts = {"frequencies": frequencies, "source": source, "status": status}
    return Outcome("1", ("w",) * words, tuple(gold), tuple(found), scores, 0, **facts)


def outcomes_of(rows: list[tuple]) -> list[Outcome]:
    return [
        outcome(gold, found, words, tuple(frequencies[: len(gold)]), source, status)
        for gold, found, words, frequencies, source, status in rows
    ]


def span(start: int, length: int, type_: str = "PER") -> Entity:
    return Entity(start, start + length, type_)


def test_by_entity_length() -> None:
    found = by_entity_length(
        [
            outcome([span(0, 1), span(2, 2), span(4, 6)], [span(0, 1), span(2, 3), span(4, 6)]),
            outcome([span(0, 5)], [span(0, 4)]),
        ]
    )
    assert list(found) == ["1", "2", "3", "4", "5+"]
    assert list(found.values()) == [
        Counts(1, 0, 0),
        Counts(0, 0, 1),
        Counts(0, 1, 0),
        Counts(0, 1, 0),
        Counts(1, 0, 1),
    ]


def test_by_sentence_length() -> None:
    found = by_sentence_length(
        [
            outcome([span(0, 1)], [span(0, 1)], words=10),
            outcome([span(0, 1)], [], words=11),
            outcome([], [span(0, 1)], words=200),
        ]
    )
    assert list(found) == ["1-10", "11-20", "21-30", "31-40", "41+"]
    assert (found["1-10"], found["11-20"], found["41+"]) == (Counts(1, 0, 0), Counts(0, 0, 1), Counts(0, 1, 0))
    assert list(by_sentence_length([], starts=(1, 2, 4))) == ["1", "2-3", "4+"]


def test_by_frequency_and_novelty() -> None:
    gold = [span(place, 1) for place in range(9)]
    rows = [outcome(gold, [span(0, 1), span(3, 1), span(8, 1), span(0, 2)], frequencies=(0, 1, 2, 4, 5, 19, 20, 99, 0))]
    assert by_frequency(rows) == {
        "0": Counts(2, 0, 0),
        "1": Counts(0, 0, 1),
        "2-4": Counts(1, 0, 1),
        "5-19": Counts(0, 0, 2),
        "20+": Counts(0, 0, 2),
    }
    assert list(by_frequency(rows)) == ["0", "1", "2-4", "5-19", "20+"]
    assert by_novelty(rows) == {"seen": Counts(1, 0, 6), "unseen": Counts(2, 0, 0)}
    with pytest.raises(ValueError, match="expected frequencies for the 1 gold entities of row 1, found 0"):
        by_novelty([outcome([span(0, 1)], [])])


def test_by_status_in_its_order() -> None:
    one = [span(0, 1)]
    found = by_status(
        [
            outcome(one, [], status="none"),
            outcome(one, one, status="used"),
            outcome([], one, status="a new one"),
            outcome(one, one, status="unreadable"),
            outcome(one, one, status="used"),
        ]
    )
    assert list(found.items()) == [
        ("used", Counts(2, 0, 0)),
        ("unreadable", Counts(1, 0, 0)),
        ("none", Counts(0, 0, 1)),
        ("a new one", Counts(0, 1, 0)),
    ]


def test_by_source_and_type() -> None:
    found = by_source_and_type(
        [
            outcome([span(0, 1)], [span(0, 1, "LOC")], source="twitter"),
            outcome([span(0, 1)], [span(0, 1)], source="caption"),
            outcome([span(0, 1)], []),
        ]
    )
    assert list(found.items()) == [
        (("caption", "LOC"), Counts()),
        (("caption", "PER"), Counts(1, 0, 0)),
        (("twitter", "LOC"), Counts(0, 1, 0)),
        (("twitter", "PER"), Counts(0, 0, 1)),
        (("unknown", "LOC"), Counts()),
        (("unknown", "PER"), Counts(0, 0, 1)),
    ]


@pytest.mark.parametrize("part", [by_entity_length, by_sentence_length, by_status, by_source_and_type])
@given(rows=ROWS)
@FEW
def test_parts_add_up_to_the_whole(part: Callable[..., dict[object, Counts]], rows: list[tuple]) -> None:
    outcomes = outcomes_of(rows)
    micro = score([row.gold for row in outcomes], [row.found for row in outcomes]).micro
    counts = part(outcomes).values()
    assert Counts(*(sum(getattr(count, kind) for count in counts) for kind in ("tp", "fp", "fn"))) == micro


@pytest.mark.parametrize("part", [by_frequency, by_novelty])
@given(rows=ROWS)
@FEW
def test_parts_of_gold_add_up_to_gold(part: Callable[..., dict[str, Counts]], rows: list[tuple]) -> None:
    outcomes = outcomes_of(rows)
    micro = score([row.gold for row in outcomes], [row.found for row in outcomes]).micro
    counts = part(outcomes).values()
    assert sum(count.tp for count in counts) == micro.tp
    assert sum(count.fn for count in counts) == micro.fn
    assert all(count.fp == 0 for count in counts)


def test_an_entity_given_twice_counts_once() -> None:
    one = span(0, 1)
    rows = [outcome([one, one], [one, one], frequencies=(3, 3))]
    assert by_entity_length(rows)["1"] == by_frequency(rows)["2-4"] == Counts(1, 0, 0)
    assert confusion(rows).counts == ((1, 0), (0, 0))


def test_confusion_by_hand() -> None:
    found = confusion(
        [
            outcome([span(0, 2)], [span(0, 2)]),
            outcome([span(0, 2)], [span(1, 2)]),
            outcome([span(0, 2)], [span(0, 2, "LOC")]),
            outcome([span(0, 2, "LOC")], [span(1, 3, "PER")]),
            outcome([span(0, 2, "ORG")], []),
            outcome([], [span(0, 2, "ORG")]),
            outcome([span(0, 2, "ORG")], [span(5, 2, "ORG")]),
        ]
    )
    assert found.labels == ("LOC", "ORG", "PER", "none")
    assert found.counts == (
        (0, 0, 1, 0),
        (0, 0, 0, 2),
        (1, 0, 2, 0),
        (0, 2, 0, 0),
    )
    assert found.boundaries == (0, 0, 1)


def test_confusion_keeps_a_type_named_none_apart() -> None:
    found = confusion([outcome([span(0, 1, "none")], [])])
    assert (found.labels, found.counts) == (("none", "none"), ((0, 1), (0, 0)))
    assert confusion([]).counts == ((0,),)


@given(rows=ROWS)
@FEW
def test_confusion_adds_up_to_the_scores(rows: list[tuple]) -> None:
    outcomes = outcomes_of(rows)
    scores, found = score([row.gold for row in outcomes], [row.found for row in outcomes]), confusion(outcomes)
    assert found.labels == (*sorted(scores.types), "none")
    for place, type_ in enumerate(found.labels[:-1]):
        counts = scores.types[type_]
        assert sum(found.counts[place]) == counts.support
        assert sum(row[place] for row in found.counts) == counts.predicted
        assert found.counts[place][place] - found.boundaries[place] == counts.tp
    assert found.counts[-1][-1] == 0


def test_bins_must_rise_and_hold_all() -> None:
    for starts in ((), (1, 1), (2, 1)):
        with pytest.raises(ValueError, match="expected the starts of bins in rising order"):
            by_sentence_length([], starts)
    with pytest.raises(ValueError, match="expected values from 5 on, found 3"):
        by_sentence_length([outcome([span(0, 1)], [], words=3)], (5, 9))
