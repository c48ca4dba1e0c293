from xml.etree import ElementTree

import pytest

from babelens.build.annotation.interface import contrast, ink, make_interface
from babelens.schema import InputError


def test_types_text_and_picture_are_declared():
    view = ElementTree.fromstring(make_interface(["PER", "LOC", 'A "B" & <C>']))
    labels = view.find(".//Labels")
    assert labels is not None and labels.get("toName") == "text"
    assert [label.get("value") for label in labels] == ["PER", "LOC", 'A "B" & <C>']
    assert [label.get("hotkey") for label in labels] == ["1", "2", "3"]
    text = view.find(".//Text")
    assert text is not None
    assert (text.get("value"), text.get("valueType"), text.get("granularity")) == ("$text", "text", "symbol")
    picture = view.find(".//Image")
    assert picture is not None and picture.get("value") == "$image"
    assert view.find(".//Header") is None
    style = view.findtext("Style") or ""
    assert "white-space:pre-wrap" in style and "unicode-bidi:plaintext" in style


def test_granularity_and_note_are_a_choice():
    view = ElementTree.fromstring(make_interface(["PER"], granularity="word", note=True))
    text, header = view.find(".//Text"), view.find(".//Header")
    assert text is not None and text.get("granularity") == "word"
    assert header is not None and header.get("value") == "$note"


@pytest.mark.parametrize(
    # Worked by hand from the definition: white on black is 21, and #767676 on white is known to be just above 4.5.
    ("one", "other", "ratio"),
    [("#000000", "#FFFFFF", 21.0), ("#FFFFFF", "#FFFFFF", 1.0), ("#767676", "#FFFFFF", 4.54)],
)
def test_contrast_is_that_of_wcag(one, other, ratio):
    assert contrast(one, other) == pytest.approx(ratio, abs=0.005)


def test_labels_can_be_read_and_told_apart():
    view = ElementTree.fromstring(make_interface([f"T{number}" for number in range(7)]))
    colours = [label.get("background") or "" for label in view.iter("Label")]
    assert len(set(colours)) == 7
    for label in view.iter("Label"):
        background, letters = label.get("background") or "", label.get("selectedColor") or ""
        assert letters == ink(background)
        assert contrast(background, letters) >= 4.5


@pytest.mark.parametrize("types", [[], ["PER", "PER"], ["PER", " "]])
def test_types_must_be_different_names(types):
    with pytest.raises(InputError, match="types: expected different names"):
        make_interface(types)
