import pytest

from babelens.build.translate_texts import METHODS, Carrying, read_source
from babelens.schema import InputError

ROW = {
    "id": "r",
    "text": "Anna met Bo [sic]",
    "language": "en",
    "entities": [
        {"start": 9, "end": 11, "text": "Bo", "type": "PER"},
        {"start": 0, "end": 4, "text": "Anna", "type": "PER"},
    ],
}


def test_entities_come_in_the_order_of_the_text():
    text = read_source(ROW)
    assert text.names == ["Anna", "Bo"]
    assert text.spans == [(0, 4), (9, 11)]
    assert text.refusal("en") == "the row is in this language"
    assert text.refusal("fr") is None


def test_all_texts_that_may_be_asked_for():
    text = read_source(ROW)
    marked = "<e1>Anna</e1> met <e2>Bo</e2> [sic]"
    carrying = Carrying(styles=("brackets", "tags", "quotes"))
    plain = {"plain": ROW["text"], "tags": marked, "name-1": "Anna", "name-2": "Bo"}
    assert text.wanted(carrying, all_styles=False) == plain
    assert text.wanted(carrying, all_styles=True) == plain | {"quotes": '"Anna" met "Bo" [sic]'}
    assert text.wanted(METHODS["markers"], all_styles=True) == {"tags": marked}
    # Where no marker fits, or there is nothing to mark, the text itself is needed.
    assert text.wanted(Carrying(("square",), plain=False, alone=False), all_styles=True) == {"plain": ROW["text"]}
    bare = read_source({"id": "r", "text": "it rains"}, "en")
    assert bare.wanted(METHODS["markers"], all_styles=True) == {"plain": "it rains"}


def test_what_cannot_be_translated():
    assert read_source({"id": "r", "text": "\u2009\n"}, "en").refusal("fr") == "the text is empty"
    overlap = ROW | {"entities": [*ROW["entities"], {"start": 3, "end": 6, "text": "a m", "type": "X"}]}
    assert read_source(overlap).refusal("fr") == "two entities overlap"
    with pytest.raises(InputError, match="row 'r': expected a language, in the row or for all, found 7"):
        read_source(ROW | {"language": 7})
