import pytest
from hypothesis import given
from hypothesis import strategies as st

from babelens.models.batch import Row
from babelens.prediction.rows import RowError, example_row, fields_row, join_words, text_row
from babelens.schema import Example


def attach(field):
    return (), (), None


def row(fields) -> Row:
    return fields_row(fields, "9", attach)


@given(st.lists(st.text(max_size=6), max_size=8))
def test_joined_words_stand_where_the_offsets_say(words):
    text, offsets = join_words(words)
    assert [text[start:end] for start, end in offsets] == words
    assert text == " ".join(words)


def test_a_text_is_split_into_words_with_their_places():
    example = text_row("Anna's à Köln!", language="de", id="x").example
    assert example.text == "Anna's à Köln!"
    assert [example.text[start:end] for start, end in example.offsets] == list(example.words)
    assert example.words == ("Anna", "'s", "à", "Köln", "!") and (example.language, example.id) == ("de", "x")


def test_tokens_are_found_in_a_text_that_comes_with_them():
    example = row({"text": "Anna,  Köln (Köln)", "tokens": ["Anna", ",", "Köln", "(", "Köln", ")"]}).example
    assert example.offsets == ((0, 4), (4, 5), (7, 11), (12, 13), (13, 17), (17, 18))
    with pytest.raises(RowError, match="expected tokens that stand in the text in their order, found 'Bonn'"):
        row({"text": "Anna in Köln", "tokens": ["Anna", "Bonn"]})


def test_fields_give_id_and_language_and_defaults():
    assert row({"text": "a", "id": 7, "language": "fr"}).example.id == "7"
    assert row({"text": "a", "id": None, "language": None}).example.id == "9"
    assert row({"words": ["a b", ""]}).example.words == ("a b", "")
    assert row({"text": "a", "id": 0}).example.id == "0"


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ([1], r"an object with text or tokens, found \[1\]"),
        ("text", "an object with text or tokens, found 'text'"),
        ({}, "text or tokens, found neither"),
        ({"txt": "a", "id": 1}, "text or tokens, found txt, id"),
        ({"text": 3}, "a text, found 3"),
        ({"tokens": "abc"}, "a list of tokens, found 'abc'"),
        ({"tokens": ["a", 4]}, "tokens that are texts, found 4"),
        ({"tokens": ["a", None]}, "tokens that are texts, found None"),
        ({"tokens": {"a": 1}}, "a list of tokens"),
        ({"text": "a", "language": 3}, "a language code or null, found 3"),
    ],
)
def test_fields_that_cannot_be_read(fields, found):
    with pytest.raises(RowError, match=f"expected .*{found}"):
        row(fields)


def test_half_a_surrogate_pair_keeps_its_place():
    example = row({"text": "a \ud83db c"}).example
    assert example.text == "a \ud83db c"
    assert "".join(example.words).encode() and [end - start for start, end in example.offsets] == [1, 1, 1, 1]


def test_an_example_without_text_gets_its_words_joined():
    made = example_row(Example("i", ("New", "York"), language="en", images=("7",)), ("k",), lambda key: None)
    assert (made.example.text, made.example.offsets) == ("New York", ((0, 3), (4, 8)))
    assert (made.keys, made.example.images, made.example.language) == (("k",), ("7",), "en")
    known = Example("i", ("New", "York"), text="New  York", offsets=((0, 3), (5, 9)))
    assert example_row(known, (), lambda key: None).example.offsets == ((0, 3), (5, 9))
