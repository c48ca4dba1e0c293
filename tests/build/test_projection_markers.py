import pytest
from hypothesis import given
from hypothesis import strategies as st

from babelens.build.projection_markers import STYLES, find, wrap

TEXT = "Anna met Bo in Rome."
SPANS = [(0, 4), (9, 11), (15, 19)]


def said(marked):
    return {number: marked.text[start:end] for number, (start, end) in marked.spans.items()}


def test_what_a_marked_text_looks_like():
    assert wrap(TEXT, SPANS, STYLES["tags"]) == "<e1>Anna</e1> met <e2>Bo</e2> in <e3>Rome</e3>."
    assert wrap(TEXT, SPANS, STYLES["brackets"]) == "[1: Anna] met [2: Bo] in [3: Rome]."
    assert wrap(TEXT, SPANS, STYLES["square"]) == "[Anna] met [Bo] in [Rome]."
    assert wrap(TEXT, SPANS, STYLES["quotes"]) == '"Anna" met "Bo" in "Rome".'


# Letters of several scripts, marks, joiners, emoji, digits and blanks, but no sign that a marker is made of.
LETTERS = st.text(st.sampled_from("abéß 東京مرحبا\u0301\u200d👩🏽🇫🇷. ,7"), max_size=12)
NAMES = st.text(st.sampled_from("abéß東京مر\u0301👩🏽🇫7"), min_size=1, max_size=6)


@given(st.lists(st.tuples(LETTERS, NAMES), max_size=5), LETTERS, st.sampled_from(sorted(STYLES)))
def test_markers_that_came_through_are_found_and_nothing_else_changes(parts, rest, name):
    text, spans = "", []
    for before, entity in parts:
        spans.append((len(text + before), len(text + before + entity)))
        text += before + entity
    text += rest
    style = STYLES[name]
    assert style.fits(text)
    marked = find(wrap(text, spans, style), style, len(spans))
    assert marked.text == text
    assert (dict(enumerate(spans)) if style.numbered else tuple(spans)) == (
        marked.spans if style.numbered else marked.pairs
    )
    assert not marked.faults
    assert marked.stray == 0
    assert not marked.reordered


@pytest.mark.parametrize(
    ("style", "translation", "text", "spans"),
    [
        ("tags", "< E1 > Anna </ e1 > a vu <e2>Bo</e2>.", "Anna a vu Bo.", {0: "Anna", 1: "Bo"}),
        ("tags", "＜e1＞Anna＜／e1＞ 见到 <e2>Bo</e2>", "Anna 见到 Bo", {0: "Anna", 1: "Bo"}),
        ("tags", "<e1 Anna</e1 a vu e2>Bo/e2>.", "Anna a vu Bo.", {0: "Anna", 1: "Bo"}),
        ("tags", "à<e1> Rome </e1>et<e2> Bo</e2>", "à Rome et Bo", {0: "Rome", 1: "Bo"}),
        ("tags", "d'<e1>Anna</e1> et l’<e2>Aar</e2>", "d'Anna et l’Aar", {0: "Anna", 1: "Aar"}),
        ("brackets", "[ 1 : Anna ] a vu 【2：Bo】", "Anna a vu Bo", {0: "Anna", 1: "Bo"}),
        ("brackets", "[2: Bo] traf [1: Anna]", "Bo traf Anna", {0: "Anna", 1: "Bo"}),
    ],
)
def test_hurt_markers_are_still_markers(style, translation, text, spans):
    marked = find(translation, STYLES[style], 2)
    assert marked.text == text
    assert said(marked) == spans
    assert not marked.faults


@pytest.mark.parametrize(
    ("translation", "faults", "stray"),
    [
        ("Anna a vu <e2>Bo</e2>", {0: "lost"}, 0),
        ("<e1>Anna a vu <e2>Bo</e2>", {0: "half"}, 0),
        ("</e1>Anna<e1> a vu <e2>Bo</e2>", {0: "half"}, 0),
        ("<e1>Anna</e1>, <e1>Anna</e1> et <e2>Bo</e2>", {0: "doubled"}, 0),
        ("<e1>Anna a vu <e2>Bo</e2></e1>", {0: "crossed"}, 0),
        ("<e1>Anna a vu <e2>Bo</e1></e2>", {0: "crossed", 1: "crossed"}, 0),
        ("<e1> </e1>Anna a vu <e2>Bo</e2>", {0: "empty"}, 0),
        ("<e1>Anna</e1> a vu <e2>Bo</e2> <e7>Cy</e7> e9>", {}, 3),
    ],
)
def test_broken_markers_are_told_and_taken_out(translation, faults, stray):
    marked = find(translation, STYLES["tags"], 2)
    assert marked.faults == faults
    assert set(marked.spans) == {0, 1} - set(faults)
    assert marked.stray == stray
    assert "e1" not in marked.text
    assert not {"<", ">"} & set(marked.text)


def test_another_order_is_no_fault():
    marked = find("<e2>Bo</e2> und <e1>Anna</e1>", STYLES["tags"], 2)
    assert marked.reordered
    assert said(marked) == {0: "Anna", 1: "Bo"}


def test_brackets_without_a_number_belong_to_no_entity():
    marked = find("[1: Anna] [Bo] ]", STYLES["brackets"], 2)
    assert said(marked) == {0: "Anna"}
    assert marked.faults == {1: "lost"}
    assert marked.stray == 3


def test_quotes_of_any_language_are_pairs():
    for text in ('"Anna" „Bo“', "« Anna » »Bo«", "''Anna'' “Bo”"):
        marked = find(text, STYLES["quotes"], 2)
        assert [marked.text[start:end] for start, end in marked.pairs] == ["Anna", "Bo"]
        assert marked.text == "Anna Bo"
        assert not marked.faults


def test_pairs_that_are_not_as_many_as_the_entities_tell_nothing():
    marked = find("[Anna] [Bo", STYLES["square"], 2)
    assert marked.faults == {0: "lost", 1: "lost"}
    assert marked.stray == 1


@pytest.mark.parametrize(
    ("text", "fitting"),
    [
        ("see <e3> or", {"brackets", "square", "quotes"}),
        ("[sic] he said", {"tags", "quotes"}),
        ('"x" [1: a] <e1>', set()),
        ("a < b, it's E 1", {"tags", "brackets", "square", "quotes"}),
    ],
)
def test_a_style_that_stands_in_the_text_does_not_fit(text, fitting):
    assert {name for name, style in STYLES.items() if style.fits(text)} == fitting


def test_an_empty_translation():
    for style in STYLES.values():
        marked = find("", style, 1)
        assert (marked.text, marked.spans, marked.faults) == ("", {}, {0: "lost"})
