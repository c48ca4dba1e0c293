from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babelens.build.annotation.assign import Assignment, Person, assign
from babelens.build.annotation.compare import compare
from babelens.build.annotation.draws import source
from babelens.build.annotation.simulate import Errors, blur, simulate_annotators, simulate_inspectors
from babelens.build.annotation.spans import cut
from babelens.data.words import split_words
from babelens.schema import InputError

TYPES = ["PER", "LOC", "ORG"]
TEXT = "well Anna Lee met the Bank of England in old Rome today , it was said by many of them"
ENTITIES = [{"start": 5, "end": 13, "type": "PER"}, {"start": 22, "end": 37, "type": "ORG"},
            {"start": 45, "end": 49, "type": "LOC"}]  # fmt: skip
TEAM = [
    Assignment(id=str(number), annotators=("simulated-a", "simulated-b"), inspector="simulated-c", order=number)
    for number in range(300)
]
PEOPLE = [Person(name=f"simulated-{name}") for name in "abc"]


def rows(count):
    return [{"id": str(number), "text": TEXT, "entities": ENTITIES} for number in range(count)]


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        (Errors(missed=0.2), "missed"),
        (Errors(boundary=0.2), "boundary"),
        (Errors(type=0.2), "type"),
    ],
)
def test_errors_come_at_their_rate_and_of_their_kind(errors, kind):
    truth = tuple(cut(TEXT, entity["start"], entity["end"], entity["type"]) for entity in ENTITIES)
    found = Counter(
        disagreement.kind
        for version in simulate_annotators(rows(300), TEAM, TYPES, errors, seed=2)
        for disagreement in compare(truth, version.entities)
    )
    assert set(found) == {kind}
    # 1,800 entities: three standard deviations are 51.
    assert abs(found[kind] - 360) < 51


def test_invented_entities_come_at_their_rate_per_sentence():
    versions = simulate_annotators(rows(300), TEAM, TYPES, Errors(invented=0.3), seed=2)
    more = Counter(len(version.entities) - 3 for version in versions)
    assert set(more) == {0, 1} and abs(more[1] - 180) < 34


def test_without_errors_the_truth_comes_out():
    for version in simulate_annotators(rows(5), assign(rows(5), PEOPLE), TYPES, Errors()):
        assert [(span.start, span.end, span.type) for span in version.entities] == [(5, 13, "PER"), (22, 37, "ORG"),
                                                                                   (45, 49, "LOC")]  # fmt: skip


@given(st.data(), st.integers(0, 99))
@settings(deadline=None)
def test_what_comes_out_lies_on_words_and_never_overlaps(data, seed):
    text = data.draw(st.text(st.sampled_from("ab '😀é\u0301.-"), min_size=1, max_size=30))
    words = split_words(text)
    marks = data.draw(st.lists(st.integers(0, max(0, len(words) - 1)), unique=True, max_size=6).map(sorted))
    pairs = zip(marks[::2], marks[1::2], strict=False)
    truth = [cut(text, words[first][0], words[last - 1][1], "PER") for first, last in pairs if words]
    errors = Errors(missed=0.2, boundary=0.7, type=0.4, invented=0.7)
    found = blur(text, truth, TYPES, errors, source(seed, text))
    starts, ends = {start for start, _ in words}, {end for _, end in words}
    for one, other in pairwise(found):
        assert one.end <= other.start
    for span in found:
        assert span.start in starts and span.end in ends and span.text == text[span.start : span.end]


def test_a_row_is_annotated_alike_whatever_else_there_is():
    team = assign(rows(20), PEOPLE)
    errors = {person.name: Errors(missed=0.5) for person in PEOPLE}
    all_ = simulate_annotators(rows(20), team, TYPES, errors, seed=1)
    part = simulate_annotators(rows(20)[:7], team, TYPES, errors, seed=1)
    key = {(version.id, version.annotator): version.entities for version in all_}
    assert all(key[version.id, version.annotator] == version.entities for version in part) and len(part) == 14
    assert [version.order for version in all_ if version.annotator == "simulated-a"] == list(
        range(sum("simulated-a" in assignment.annotators for assignment in team))
    )


def test_inspectors_are_right_at_their_rate():
    queue = [(str(number), "simulated-c", (), ()) for number in range(1000)]
    decided = simulate_inspectors(rows(1000), queue, 0.9, seed=3)
    assert abs(sum(len(one.entities) == 3 for one in decided) - 900) < 29
    assert {len(one.entities) for one in decided} == {0, 3}


def test_simulated_people_are_named_as_such():
    team = [Assignment(id="0", annotators=("anna", "simulated-b"), inspector="simulated-c", order=0)]
    with pytest.raises(InputError, match="expected names that begin with 'simulated', found 'anna'"):
        simulate_annotators(rows(1), team, TYPES, Errors())
    with pytest.raises(InputError, match="found 'bo'"):
        simulate_inspectors(rows(1), [("0", "bo", (), ())], 1.0)


def test_rates_are_checked():
    with pytest.raises(InputError, match=r"expected missed from 0 to 1, found 1\.5"):
        Errors(missed=1.5)
    with pytest.raises(InputError, match="right: expected 0 to 1, found -1"):
        simulate_inspectors(rows(1), [], -1.0)
