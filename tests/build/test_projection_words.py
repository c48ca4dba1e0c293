import pytest

from babelens.build.projection_words import capital_runs, carry_spans, trim_span, word_span
from babelens.data.words import split_words


def test_spans_are_widened_to_words():
    text = "die Pariser Oper, d'Orléans"
    words = split_words(text)

    def at(name):
        start = text.index(name)
        found = word_span(words, (start, start + len(name)))
        assert found is not None
        (first, last), widened = found
        return text[words[first][0] : words[last - 1][1]], widened

    assert at("Paris") == ("Pariser", True)
    assert at("Pariser") == ("Pariser", False)
    assert at("Pariser ") == ("Pariser", False)
    assert at("riser Op") == ("Pariser Oper", True)
    assert at("Orléans") == ("Orléans", False)
    assert word_span(words, (3, 4)) is None


@pytest.mark.parametrize(
    ("text", "span", "name", "left"),
    [
        ("vers la France", (1, 3), "France", "France"),
        ("à l'Allemagne", (0, 3), "Germany", "Allemagne"),
        ("(Londres),", (0, 4), "London", "Londres"),
        ("in Den Haag", (1, 3), "The Hague", "Den Haag"),
        ("bei Le Monde", (1, 3), "Zeitung", "Le Monde"),
        ("La Haye", (0, 2), "The Hague", "La Haye"),
        ("Le Royaume-Uni part", (0, 2), "United Kingdom", "Royaume-Uni"),
        ("John's", (0, 2), "Jean", "John"),
        ("McDonald's", (0, 2), "McDonald's", "McDonald's"),
        ("Yahoo!", (0, 2), "Yahoo!", "Yahoo!"),
        ("la", (0, 1), "Anna", "la"),
        ("danseuse Urba rit", (0, 3), "Urba", "Urba"),
        ("Coupe du monde", (0, 3), "World Cup", "Coupe du monde"),
        ("coupe du monde", (0, 3), "Weltmeisterschaft", "coupe du monde"),
    ],
)
def test_what_a_name_does_not_have_is_taken_off(text, span, name, left):
    words = split_words(text)
    first, last = trim_span(text, words, span, name)
    assert text[words[first][0] : words[last - 1][1]] == left


def test_spans_are_carried_where_the_words_are_unchanged():
    one = ["Le", "maire", "de", "Lyon", "habite", "à", "Lyon", "."]
    other = ["Le", "bon", "maire", "de", "Lyon", "vit", "à", "Lyon", "."]
    assert carry_spans(one, other, {0: (3, 4), 1: (6, 7), 2: (3, 5), 3: (4, 5)}) == {0: (4, 5), 1: (7, 8)}
    assert carry_spans(one, [], {0: (3, 4)}) == {}


def test_runs_of_capitals():
    assert capital_runs(["El", "Real", "Madrid", "ganó", "en", "Roma"]) == [(1, 3), (5, 6)]
    assert capital_runs(["Anna", "Lindqvist", "singt"]) == [(0, 1), (1, 2)]
    assert capital_runs(["東京", "に", "行く"]) == []
