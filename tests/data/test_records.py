import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from babelens.data import DataError, read_corpus
from babelens.data.jsonl import record_of, write_jsonl
from babelens.data.records import RecordError, read_record
from babelens.schema import Entity, Example

TEXT = "Zoë 👩‍🚀 met New York-based Ana in Köln."


def entity(start, end, type_="PER", **more):
    return {"start": start, "end": end, "type": type_, **more}


def span(text, part):
    start = text.index(part)
    return start, start + len(part)


def test_entities_stand_at_code_points_of_the_text():
    row = read_record({"text": TEXT, "entities": [entity(*span(TEXT, "Köln"), "LOC", text="Köln"), entity(0, 3)]}, 1)
    assert [(row.words[e.start : e.end], e.type) for e in row.entities] == [(["Zoë"], "PER"), (["Köln"], "LOC")]
    assert row.widened == 0
    assert [TEXT[start:end] for start, end in row.offsets] == row.words


def test_entities_inside_a_word_are_widened_and_counted():
    row = read_record({"text": TEXT, "entities": [entity(*span(TEXT, "New York"), "LOC")]}, 1)
    (only,) = row.entities
    assert row.words[only.start : only.end] == ["New", "York-based"]
    assert row.widened == 1


def test_given_words_are_kept():
    row = read_record({"text": "New York-based", "offsets": [[0, 3], [4, 8], [8, 14]], "entities": [entity(0, 8)]}, 1)
    assert row.words == ["New", "York", "-based"]
    assert (row.entities, row.widened) == ([Entity(0, 2, "PER")], 0)
    row = read_record({"text": "don't", "tokens": ["do", "n't"], "ner_tags": ["O", "B-X"]}, 1)
    assert row.offsets == [(0, 2), (2, 5)]


def test_tags_may_be_numbers_with_names():
    row = read_record({"tokens": ["a", "b"], "ner_tags": [0, 2]}, 1, names=["O", "B-PER", "I-PER"])
    assert (row.entities, row.violations) == ((Entity(1, 2, "PER"),), (1,))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "expected an object with text or tokens, found []"),
        ({"id": 1}, "expected text or tokens, found id"),
        ({"text": 3}, "expected a text, found 3"),
        ({"tokens": "abc"}, "expected tokens as a list of strings, found 'abc'"),
        ({"tokens": ["a", 1]}, "expected tokens as a list of strings, found ['a', 1]"),
        ({"tokens": ["a"], "ner_tags": ["O", "O"]}, "expected as many tags as words (1), found 2"),
        ({"tokens": ["a"], "ner_tags": [1]}, "expected tags by name, found [1]"),
        ({"tokens": ["a"], "ner_tags": ["PER"]}, "expected O or one of I-TYPE, B-TYPE (iob2) for word 1, found 'PER'"),
        ({"tokens": ["a"], "entities": [entity(0, 1)]}, "expected a text beside entities with character offsets"),
        ({"text": "ab", "tokens": ["b", "a"]}, "expected tokens that stand in the text in their order, found 'a'"),
        ({"text": "ab", "offsets": [[1, 0]]}, "expected offsets in order and within 0..2, found [1, 0]"),
        ({"text": "ab", "offsets": [[0]]}, "expected offsets as pairs of numbers, found [0]"),
        ({"text": "a", "entities": [entity(0, 2)]}, "expected an entity within 0..1, found [0, 2]"),
        ({"text": "a", "entities": [entity(0, 0)]}, "expected an entity within 0..1, found [0, 0]"),
        ({"text": "a", "entities": [entity(True, 1)]}, "expected an entity with start, end and type"),
        ({"text": "a", "entities": [{"start": 0, "end": 1}]}, "expected an entity with start, end and type"),
        ({"text": "a", "entities": {"start": 0}}, "expected entities as a list of objects"),
        ({"text": "a b", "entities": [entity(1, 2)]}, "expected an entity with at least one word, found ' '"),
        ({"text": "👍 ab", "entities": [entity(3, 4, text="ab")]}, "expected 'ab' at 3..4 (offsets count Unicode code"),
        ({"text": "ab", "entities": [entity(0, 1), entity(1, 2)]}, "expected entities that share no word, found 'ab'"),
        ({"text": "a", "image": 1.5}, "expected a picture id, or an object with bytes or path, found 1.5"),
        ({"text": "a", "language": ["en"]}, "expected a string as language, found ['en']"),
    ],
)
def test_faulty_records_are_refused(record, message):
    with pytest.raises(RecordError) as caught:
        read_record(record, 1)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("given", "images", "pictures"),
    [
        ({}, [], []),
        ({"image": None}, [], []),
        ({"image": ""}, [], []),
        ({"image": "a"}, ["a"], []),
        ({"image": 7}, ["7"], []),
        ({"images": ["a", "b.png"]}, ["a", "b.png"], []),
        ({"image": {"bytes": None, "path": "p.jpg"}}, ["p.jpg"], []),
        ({"image": {"bytes": b"x", "path": None}}, ["row-4-1"], [b"x"]),
        ({"images": [{"bytes": b"x", "path": "p"}, "q"]}, ["p", "q"], [b"x", None]),
    ],
)
def test_pictures_are_ids_or_bytes(given, images, pictures):
    row = read_record({"text": "a", **given}, 4)
    assert (row.images, row.pictures) == (images, pictures)


tokens = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4), max_size=5)


@given(words=tokens, raw=st.booleans(), data=st.data())
def test_what_record_of_writes_is_read_back(words, raw, data):
    cut = data.draw(st.integers(0, len(words)))
    entities = tuple(Entity(a, b, "PER") for a, b in ((0, cut), (cut, len(words))) if a < b)
    text = offsets = None
    if raw:
        text, offsets, at = " ".join(words), [], 0
        for word in words:
            offsets.append((at, at + len(word)))
            at += len(word) + 1
        offsets = tuple(offsets)
    example = Example("7", tuple(words), entities, ("a", "b"), text, offsets, "en", "s", "g")
    row = read_record(json.loads(json.dumps(record_of(example))), 1)
    assert (tuple(row.words), tuple(row.entities), tuple(row.images)) == (example.words, entities, example.images)
    assert row.text == text
    assert row.offsets is None or tuple(row.offsets) == offsets
    assert (row.id, row.language, row.source, row.group) == ("7", "en", "s", "g")


def test_a_file_with_faults_is_refused_in_one_go(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n\n{"text": \n[1]\n{"text": "\xff"}\n{"text": "\\ud800"}\n' + b"[" * 5000 + b"\n")
    with pytest.raises(DataError) as caught:
        read_corpus(path)
    assert [problem.line for problem in caught.value.problems] == [3, 4, 5, 6, 7]
    assert caught.value.problems[1].expected == "an object with text or tokens"


def test_a_json_list_is_no_jsonl(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[\n{"text": "a"}]')
    with pytest.raises(DataError, match="expected one JSON object a line"):
        read_corpus(path)


def test_rows_of_jsonl_keep_their_fields(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [
        {"id": "x", "text": TEXT, "image": "p", "language": "fr", "group": "g", "unknown": {"a": [1]}},
        {"tokens": ["U.N.", "Ana"], "ner_tags": ["S-ORG", "S-PER"]},
        {"text": ""},
    ]
    path.write_text("\ufeff" + "\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    corpus = read_corpus(path, language="en")
    first, second, third = corpus
    assert (first.id, first.images, first.language, first.group) == ("x", ("p",), "fr", "g")
    assert (second.id, second.language, second.source) == ("en/a:2", "en", tmp_path.name)
    assert second.entities == (Entity(0, 1, "ORG"), Entity(1, 2, "PER"))
    assert (third.words, third.text) == ((), "")
    again = tmp_path / "b.jsonl"
    with open(again, "w", encoding="utf-8") as file:
        assert write_jsonl(corpus, file) == 3
    assert list(read_corpus(again)) == list(corpus)
