"""Spans on words: moved to word boundaries, freed of articles, carried from one wording of a sentence to another."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from difflib import SequenceMatcher

from babelens.build.projection_similarity import Words

Span = tuple[int, int]

# What a marker may have taken in before a name, in the four languages of the paper, and behind it.
_ARTICLES = """
    the a an of in at to from le la les l' l’ un une des du de d' d’ à au aux en der die das den dem des ein eine einen
    einem einer eines im am zum zur vom von in aus el los las una del al a
"""
_BEFORE = frozenset(_ARTICLES.split())
_BEHIND = frozenset(("'s", "’s"))


def word_span(words: Words, span: Span) -> tuple[Span, bool] | None:
    """The words that a span of characters touches, and whether it had to be widened to have them whole.

    None where it touches no word.
    """
    first = bisect_right([end for _, end in words], span[0])
    last = bisect_left([start for start, _ in words], span[1])
    if first >= last:
        return None
    return (first, last), words[first][0] < span[0] or words[last - 1][1] > span[1]


def trim_span(text: str, words: Words, span: Span, name: str) -> Span:
    """Words without the signs, articles, prepositions and English 's at their ends that the source's name has not.

    An article with a capital is only taken off at the start of the text; a name that has an article keeps all. A name
    of a single word with a capital also loses words without one, before and behind, if a capital is left ("danseuse
    Urba", "Urba ist"); longer names may have them ("Coupe du monde"). At least one word is left.
    """
    first, last = span
    said = [text[start:end] for start, end in words]
    named = name.split()[0].casefold() if name.split() else ""
    keeps = named in _BEFORE or any(named.startswith(word) for word in _BEFORE if word[-1] in "'’")
    while first + 1 < last and not _holds(said[first]) and _holds(name[:1]):
        first += 1
    while first + 1 < last and not _holds(said[last - 1]) and _holds(name[-1:]):
        last -= 1
    while first + 1 < last and not keeps and said[first].casefold() in _BEFORE:
        if first and not said[first].islower():
            break
        first += 1
    if len(name.split()) == 1 and name[0].isupper() and any(word[0].isupper() for word in said[first:last]):
        while said[first].islower() and said[first].isalpha():
            first += 1
        while said[last - 1].islower() and said[last - 1].isalpha():
            last -= 1
    while first + 1 < last and said[last - 1].casefold() in _BEHIND and not name.endswith(tuple(_BEHIND)):
        last -= 1
    return first, last


def carry_spans(one: Sequence[str], other: Sequence[str], spans: dict[int, Span]) -> dict[int, Span]:
    """Spans of words of one wording in another, for those whose words stand unchanged, in the same order, in both."""
    blocks = SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    carried: dict[int, Span] = {}
    for number, (start, end) in spans.items():
        for block in blocks:
            if block.a <= start and end <= block.a + block.size:
                carried[number] = (start - block.a + block.b, end - block.a + block.b)
    return carried


def capital_runs(said: Sequence[str]) -> list[Span]:
    """The longest runs of words that begin with a capital.

    The first word of the text is no part of a longer run, and no run where it is an article or a preposition.
    """
    spans: list[Span] = []
    for place, word in enumerate(said):
        if not word[:1].isupper() or (not place and word.casefold() in _BEFORE):
            continue
        if spans and spans[-1][1] == place and spans[-1][0]:
            spans[-1] = (spans[-1][0], place + 1)
        else:
            spans.append((place, place + 1))
    return spans


def _holds(text: str) -> bool:
    return any(character.isalnum() for character in text)
