import re
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from babelens.data.words import split_words
from babelens.schema import read_tags


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in split_words(text)]


@pytest.mark.parametrize(
    "expected",
    [
        # English clitics, names with an apostrophe, plural possessives
        "It|'s Anna|'s book|, I don|'t know|, y'all|.",
        "O'Neill|’s dog and the kids|' rock'n'roll",
        "What|'s on in the what's-his-name café|?",
        # French and Italian elision
        "L'|Équipe d'|Italie n’|a qu'|un but|; c'|est aujourd'hui l'|an 2000|.",
        "dell'|arte all’|Opera quest'|anno un'|altra O'Brien",
        "Jean-Paul|'s Côte-d'Or main-d’œuvre",
        # signs without blanks
        "Hello|,|world|!|(|so|)|[|it|]|goes|/|went|;|«|ici|» „|da|“|.",
        "¿|Qué|? ¡|Sí|! ‘|x|’ “|y|”",
        "wait|... no|!|!|! a|--|b …",
        # social media
        "RT @|History_In_Pics|: #|BLM #|Münster2016|!",
        "see http://t.co/2A5bM9PDML|. (|https://x.org/a_(b)?c=d&e=1#f|)|, www.example.org/|!",
        "on IGN.com|: bbc.co.uk/news|, mail first.last+tag@example.org|.",
        "salt &amp; pepper &#39;",
        # numbers, currency, abbreviations
        "1,000.50 3:2 10:30pm 5|/|2 $|5.00 100|% €|1.000,50 2003|–|04 20th v2.0|.",
        "U.S. e.g. J.-C. Ph.D. Dr. Who St. Louis J.K. Rowling No. 5 R&B AT&T etc.",
        "J. Smith met Smith Jr|. in Main St|.",
        "He said No|. Then he left Plan b|.",
        "t-shirt well-known Rems-Murr-Kreis -|5 one-of-a-kind",
        # scripts
        "日|本|語|の|テ|ス|ト|で|す ABC|中|文|。",
        "ภ|า|ษ|า|ไ|ท|ย",
        "नमस्ते दुनिया|। 한국어 입니다|. مرحبا|، שלום צה״ל",
        "cafe\u0301 Zoe\u0308|'s col\u00b7legi",
        # emoji: joined families, skin tones, flags, keycaps, selectors, tags
        "👨‍👩‍👧‍👦|👍🏽|🇫🇷|🇩🇪|1️⃣|2️⃣|❤️|🏴󠁧󠁢󠁥󠁮󠁧󠁿|😀|😀 Paris|🗼",
        # format and control characters
        "\u200b a\u200bb soft\u00adhyphen \u200eleft|,\u200f \x01 don\x92t \ufeffBOM",
        "\ufffd \uf0d8 \ufe0f",
    ],
)
def test_words_are_those_between_the_bars(expected: str) -> None:
    assert words(expected.replace("|", "")) == expected.replace("|", " ").split()


@pytest.mark.parametrize("blank", [" ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\x85", "\x1c"])
def test_every_blank_separates(blank: str) -> None:
    assert words(f"{blank}New{blank}York{blank}{blank},") == ["New", "York", ","]


def test_nothing_gives_no_words() -> None:
    assert split_words("") == split_words(" \n\u00a0") == []


def test_offsets_count_code_points() -> None:
    assert split_words("😀 Zoe\u0308") == [(0, 1), (2, 6)]


TEXT = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("aZéß09 .,:;!?'’\"-_@#&/()\n\u0301\u200b\u200d\ufe0f\u20e3\x01\x1f👍🏽❤🇫🇷中のไ한"),
    ),
    max_size=60,
)


@given(TEXT)
@example("a\u0600 b")
@example(" \u0301")
@example("http://")
@example("\ud800")
def test_every_code_point_that_is_no_blank_lies_in_exactly_one_word(text: str) -> None:
    spans = split_words(text)
    assert all(start < end for start, end in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    inside = {place for start, end in spans for place in range(start, end)}
    assert inside == {place for place, character in enumerate(text) if not character.isspace()}


@given(TEXT, TEXT)
def test_a_line_end_keeps_texts_apart(first: str, second: str) -> None:
    # An initial, a title and "No." look past blanks at the next word; nothing else does.
    assume(not first.rstrip().endswith("."))
    assert words(f"{first}\n\n{second}") == words(first) + words(second)


@pytest.mark.parametrize("piece", ["a.", "a+", "a-", "a'", "http://(a", "www.", "1,", "(", "\u0301", "d\u200b", "x.co"])
def test_hostile_texts_take_linear_time(piece: str) -> None:
    def seconds(times: int) -> float:
        text = piece * times
        start = time.process_time()
        split_words(text)
        return time.process_time() - start

    seconds(10)
    short, long = min(seconds(1_000) for _ in range(3)), min(seconds(16_000) for _ in range(2))
    assert long < max(64 * short, 0.05)


def join(tokens: list[str]) -> tuple[str, list[tuple[int, int]]]:
    """Tokens as the text that they may have come from (blanks where writers put them), and their places in it."""
    text, places, glued, within_quotes = "", [], True, False
    for place, token in enumerate(tokens):
        before, after = tokens[place - 1] if place else "", tokens[place + 1] if place + 1 < len(tokens) else ""
        left = glued or re.fullmatch(r"[.,!?;:)\]}»…%”]+|['’](s|m|re|ve|ll|d|t)|n['’]t", token, re.IGNORECASE)
        right = re.fullmatch(r"[(\[{«“‘¿¡#@$£€/]|\w+['’]", token) or (
            token in ".,:" and before[-1:] + after[:1] in DIGITS
        )
        left = left or token == "/" or (before in ("'", "’") and token in CLITICS)
        if token in ("'", "’") and (after in CLITICS or before.lower() in ("l", "d", "s", "n", "c", "qu")):
            left = right = True
        if token in ('"', "''", "``"):
            left, right, within_quotes = left or within_quotes, not within_quotes, not within_quotes
        text += "" if left else " "
        places.append((len(text), len(text) + len(token)))
        text, glued = text + token, bool(right)
    return text, places


CLITICS = {"s", "t", "m", "re", "ve", "ll", "d"}
DIGITS = {f"{first}{second}" for first in range(10) for second in range(10)}


@pytest.mark.shared
@pytest.mark.parametrize("name", ["mmnerd-en/valid.txt", "wikineural/fr/valid.txt", "wikineural/de/valid.txt"])
def test_words_agree_with_the_tokens_of_real_corpora(shared: Path, name: str) -> None:
    both = ours = theirs = cut = entities = 0
    for block in (shared / name).read_text(encoding="utf-8").strip("\n").split("\n\n")[:3000]:
        rows = [line.split("\t") for line in block.split("\n") if not line.startswith("IMGID:")]
        text, places = join([row[0] for row in rows])
        spans = split_words(text)
        found, wanted = {edge for span in spans for edge in span}, {edge for span in places for edge in span}
        both, ours, theirs = both + len(found & wanted), ours + len(found), theirs + len(wanted)
        for entity in read_tags([row[1] for row in rows]).entities:
            entities += 1
            cut += not {places[entity.start][0], places[entity.end - 1][1]} <= found
    assert both / ours > 0.998, "boundaries that the corpus does not have"
    assert both / theirs > 0.994, "boundaries that were not found"
    assert cut / entities < 0.002, "entities that start or end inside a word"
