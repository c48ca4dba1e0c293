import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from babelens.prediction.answer import Answer, Mention
from babelens.prediction.rendering import DARK, LIGHT, colour_of, to_html, to_text


def answer_of(text, *places, language=None):
    found = tuple(Mention(start, end, text[start:end], type_, 0.987) for start, end, type_ in places)
    return Answer(text, found, language=language)


KOELN = answer_of("Köln & <b>Ulm</b>", (0, 4, "LOC"), (10, 13, "A<b>"), language="de")


class Reader(HTMLParser):
    """Reads back the text, the marked parts, and every tag with its attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.marks, self.tags = [], "", [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open or "small" in self.open:
            return
        self.text += data
        if "mark" in self.open:
            self.marks.append(data)


def read(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def test_text_and_entities_are_read_back_as_they_were():
    reader = read(KOELN.html())
    assert reader.text == KOELN.text and reader.marks == ["Köln", "Ulm"]
    assert {tag for tag, _ in reader.tags} == {"style", "div", "p", "mark", "bdi", "small"}
    assert ("p", {"dir": "auto", "lang": "de"}) in reader.tags
    assert "LOC 99 %" in KOELN.html() and "A&lt;b&gt; 99 %" in KOELN.html()


texts = st.text(st.characters(codec=None), max_size=30) | st.text("<>&'\"/script \n\u202e\u05d0\ud800\x00", max_size=30)


@given(texts, st.data())
def test_no_text_becomes_markup(text, data):
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    spans = [(start, end, "ORG") for start, end in zip(places[::2], places[1::2], strict=False) if start < end]
    html = answer_of(text, *spans).html()
    html.encode()  # a page is UTF-8, which has no place for half a surrogate pair
    reader = read(html)
    assert {tag for tag, _ in reader.tags} <= {"style", "div", "p", "mark", "bdi", "small"}
    shown = reader.text.replace("\ufffd", "?")
    forbidden = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")
    assert shown == forbidden.sub("?", text)


def test_a_page_is_whole_and_asks_for_nothing():
    page = to_html([KOELN, Answer("", error="row <3>: broken")], page=True, title="A & B")
    assert page.startswith("<!doctype html>") and "<title>A &amp; B</title>" in page
    assert not re.search(r"https?:|src=|url\(|@import|<script|<link", page)
    assert "row &lt;3&gt;: broken" in page
    assert answer_of("")._repr_html_() == to_html(answer_of(""))


def luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("pair", [*LIGHT, *DARK])
def test_colours_can_be_read(pair):
    low, high = sorted(map(luminance, pair))
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_types_keep_their_colours():
    assert [colour_of(type_) for type_ in ("PER", "LOC", "ORG", "MISC")] == [0, 1, 2, 3]
    assert colour_of("ACT") == colour_of("ACT") and 4 <= colour_of("ACT") < len(LIGHT)


def test_a_terminal_gets_the_text_in_colour_and_no_controls():
    text = "\x1b[31mKöln\u202e and Ulm"
    console = Console(force_terminal=True, color_system="truecolor", width=200, record=True)
    with console.capture() as captured:
        console.print(answer_of(text, (5, 9, "LOC")))
    shown = captured.get()
    assert "\x1b[31m" not in shown and "\u202e" not in shown and "48;2;27;81;48" in shown
    assert to_text(answer_of(text, (5, 9, "LOC"))).plain == "\ufffd[31m Köln LOC 99 % \ufffd and Ulm"
    assert to_text(Answer("", error="broken")).plain == "broken"
