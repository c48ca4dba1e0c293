import pytest
from hypothesis import given
from hypothesis import strategies as st

from babelens.build.annotation.faults import Faults
from babelens.build.annotation.spans import Span, cut, read_spans, snap
from babelens.data.records import read_record
from babelens.data.words import split_words
from babelens.schema import InputError


@pytest.mark.parametrize(
    ("text", "marked", "snapped"),
    [
        ("in New York today", "ew Yor", "New York"),
        ("in New York today", " New York ", "New York"),
        ("Anna's café", "Anna", "Anna"),
        ("Anna's café", "Anna'", "Anna's"),
        ("vive L'Italie !", "Ital", "Italie"),
        ("👩🏽‍🚒 Paris 🇫🇷", "👩", "👩🏽‍🚒"),
        ("👩🏽‍🚒 Paris 🇫🇷", "aris 🇫", "Paris 🇫🇷"),
        ("cafe\u0301 e\u0301te\u0301", "e\u0301t", "e\u0301te\u0301"),
        ("cafe\u0301 bar", "cafe", "cafe\u0301"),
        ("東京タワー", "京", "京"),
        ("#Paris", "Paris", "Paris"),
        ("a  b", "  ", None),
    ],
)
def test_spans_are_moved_to_words(text, marked, snapped):
    start = text.index(marked)
    found = snap(text, cut(text, start, start + len(marked), "X"), split_words(text))
    assert (None if found is None else found.text) == snapped


@given(st.text(st.sampled_from("ab 'é\u0301😀👩\u200d🚒.-\n東"), min_size=1, max_size=25), st.data())
def test_snapping_is_what_a_corpus_does_when_it_is_read(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    words = split_words(text)
    found = snap(text, cut(text, start, end, "X"), words)
    if found is None:
        assert not any(word[0] < end and start < word[1] for word in words)
        return
    assert found.text == text[found.start : found.end]
    # The reader of corpora gives words, not characters.
    entity = {"start": start, "end": end, "type": "X"}
    (read,) = read_record({"text": text, "entities": [entity]}, 1).entities
    assert (words[read.start][0], words[read.end - 1][1]) == (found.start, found.end)
    assert snap(text, found, words) == found


def test_entities_of_a_row_are_read_in_order_and_scores_left_aside():
    row = {"id": "x", "text": "Anna in Rome", "entities": [
        {"start": 8, "end": 12, "text": "Rome", "type": "LOC", "score": 0.5}, {"start": 0, "end": 4, "type": "PER"},
    ]}  # fmt: skip
    faults = Faults()
    assert read_spans(row, faults, "row x") == (Span(0, 4, "Anna", "PER"), Span(8, 12, "Rome", "LOC"))
    assert read_spans({"id": "y", "text": "none"}, faults, "row y") == ()
    faults.raise_if_any()


def test_what_is_wrong_with_entities_is_told_in_one_go():
    entities = [
        {"start": 0, "end": 4, "text": "Bo", "type": "PER"},
        {"start": 0, "end": 99, "type": "PER"},
        {"start": 0, "end": 4},
        {"start": 5, "end": 12, "type": "LOC"},
        {"start": 8, "end": 12, "type": "LOC"},
    ]
    faults = Faults()
    read_spans({"id": "x", "text": "Anna in Rome", "entities": entities}, faults, "row x")
    with pytest.raises(InputError) as error:
        faults.raise_if_any()
    assert str(error.value).split("\n") == [
        "row x: expected 'Bo' at 0..4 (Unicode code points), found 'Anna'",
        "row x: expected an entity within 0..12, found 0..99",
        "row x: expected an entity with start, end and type, found {'start': 0, 'end': 4}",
        "row x: expected entities that do not overlap, found 'in Rome' 5..12 LOC and 'Rome' 8..12 LOC",
    ]


def test_many_faults_are_counted():
    faults = Faults()
    for number in range(60):
        faults.add(f"row {number}", "a", "b")
    with pytest.raises(InputError, match=r"and 40 more$"):
        faults.raise_if_any()
