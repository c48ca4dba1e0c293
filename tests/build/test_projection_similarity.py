from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from babelens.build.projection_similarity import LEAST, plain_form, runs, similarity
from babelens.data.words import split_words

NAMES = st.text(st.sampled_from("abcdeéßABC -東م"), max_size=10)


@given(NAMES, NAMES)
def test_similarity_is_a_symmetric_share(one, other):
    alike = similarity(one, other)
    assert 0 <= alike <= 1
    assert alike == pytest.approx(similarity(other, one))
    assert (alike == 1) == (one == other)


@given(st.text("abcde", min_size=4, max_size=8), st.text("abcde", min_size=4, max_size=8))
def test_similarity_is_the_larger_of_edits_and_bigrams(one, other):
    if one == other:
        return

    @cache
    def distance(i, j):
        if not (i and j):
            return i + j
        change = distance(i - 1, j - 1) + (one[i - 1] != other[j - 1])
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, change)

    edits = 1 - distance(len(one), len(other)) / max(len(one), len(other))
    first = [f" {one} "[at : at + 2] for at in range(len(one) + 1)]
    left = [f" {other} "[at : at + 2] for at in range(len(other) + 1)]
    total = len(first) + len(left)
    common = 0
    for pair in first:
        if pair in left:
            left.remove(pair)
            common += 1
    assert similarity(one, other) == pytest.approx(0.9 * max(edits, 2 * common / total))


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Paris", "Paris", 1.0),
        ("Union Européenne", "Union européenne", 0.98),
        ("STRASSE", "Straße", 0.98),
        ("Paris", "París", 0.96),
        ("Malmø", "MALMO", 0.96),
        ("e\u0301", "é", 0.96),
        ("NATO", "OTAN", 0.8),
        ("EU", "UE", 0.8),
        ("UN", "ONU", 0.0),
        ("Eu", "Ue", 0.0),
        ("Köln", "Kölns", 0.9 * 0.8),
        ("", "", 1.0),
        ("\u0301", "\u0302", 0.0),
    ],
)
def test_likeness_of_names(one, other, alike):
    assert similarity(one, other) == pytest.approx(alike)


def test_names_of_another_origin_are_not_alike():
    for one, other in (("Germany", "Allemagne"), ("Wien", "Venedig"), ("WHO", "OMS"), ("Japan", "日本")):
        assert similarity(one, other) < LEAST


def test_plain_form():
    assert plain_form("Ångström-Œuvre") == "angstrom-oeuvre"


def found(text, *forms):
    words = split_words(text)
    return [
        (text[words[run.start][0] : words[run.end - 1][1]], round(run.similarity, 2))
        for run in runs(text, words, forms)
    ]


def test_runs_of_words_come_with_the_most_alike_first():
    assert found("Pariser Platz, Paris", "Paris")[:2] == [("Paris", 1.0), ("Pariser", 0.64)]
    assert found("L'OTAN, l'UE", "NATO", "UE")[:2] == [("UE", 1.0), ("OTAN", 0.8)]


def test_a_run_does_not_begin_or_end_with_a_sign_unless_the_name_does():
    assert found("(Rome)", "Rome") == [("Rome", 1.0)]
    assert ("Yahoo!", 1.0) in found("Yahoo! won", "Yahoo!")
    assert found("😀 won", "😀") == [("😀", 1.0)]


def test_a_run_without_a_capital_is_less_like_a_name():
    (name, lower), *_ = found("the mercury rose", "Mercure")
    (_, upper), *_ = found("the Mercury rose", "Mercure")
    assert (name, lower) == ("mercury", pytest.approx(0.8 * upper, abs=0.01))


def test_nothing_is_like_nothing():
    assert found("", "Rome") == []
    assert found("Rome", "", " ") == []
