"""How alike two names are, and which runs of words in a translation are like a name."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from babelens.data.words import split_words

LEAST = 0.45
"""The least similarity at which a run of words is thought to be a name. Germany is 0.45 like Alemania."""

_CASE, _MARKS, _ANAGRAM, _SPELLING, _LOWER = 0.98, 0.96, 0.8, 0.9, 0.8
_SHORT = 3  # characters; shorter names are equal or they are not
_LONGEST = 12  # words
# Letters that Unicode does not take for a letter with a mark.
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "’": "'", "‐": "-", "‑": "-"}
)

Words = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Run:
    """Words `start` up to `end` of a text, and how like a name they are (0 to 1)."""

    start: int
    end: int
    similarity: float


def plain_form(text: str) -> str:
    """A name without case and marks (ß as ss, é as e, ø as o), as names are compared."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in apart if not unicodedata.combining(character)).translate(_PLAIN)


def similarity(one: str, other: str) -> float:
    """How alike two names are, from 0 to 1.

    1 if they are equal; 0.98 if so but for case; 0.96 if so but for case and marks; 0.8 for two acronyms of the same
    letters (NATO and OTAN, EU and UE); else 0.9 times the larger of two measures of their plain forms: one less the
    Levenshtein distance over the longer length, and the Dice coefficient of their bigrams. Names of up to three
    characters that are not equal in one of these ways are not alike at all.
    """
    if one == other:
        return 1.0
    if one.casefold() == other.casefold():
        return _CASE
    first, second = _form(one), _form(other)
    if first.plain == second.plain:
        return _MARKS if first.plain else 0.0
    if one.isupper() and other.isupper() and first.letters == second.letters and len(first.plain) <= 6:
        return _ANAGRAM
    if min(len(first.plain), len(second.plain)) <= _SHORT:
        return 0.0
    return _SPELLING * max(_dice(first, second), _edits(first.plain, second.plain))


def runs(text: str, words: Words, forms: Iterable[str], least: float = LEAST) -> list[Run]:
    """The runs of words that are at least so similar to one of the forms that a name may have; the best comes first.

    A run in which no word has a capital is less like a form in which one has (by a fifth), unless that is the only
    difference. A run begins and ends with a letter, a digit or a symbol, unless the form does not, and is at most two
    words longer than the form. Of runs that are equally alike the shorter one, then the first, comes first.
    """
    found: dict[tuple[int, int], float] = {}
    for form in dict.fromkeys(forms):
        if not form.strip():
            continue
        own = split_words(form)
        longest = min(_LONGEST, len(own) + 2)
        signs = [_is_sign(form[start:end]) for start, end in own]
        edges = [_is_sign(text[start:end]) for start, end in words]
        for first in range(len(words)):
            if edges[first] and not signs[0]:
                continue
            for last in range(first, min(len(words), first + longest)):
                if edges[last] and not signs[-1]:
                    continue
                said = text[words[first][0] : words[last][1]]
                alike = similarity(form, said)
                if alike < _MARKS and not form.islower() and said.islower():
                    alike *= _LOWER
                key = (first, last + 1)
                if alike >= least and alike > found.get(key, 0.0):
                    found[key] = alike
    every = [Run(start, end, alike) for (start, end), alike in found.items()]
    return sorted(every, key=lambda run: (-run.similarity, run.end - run.start, run.start))


@dataclass(frozen=True)
class _Form:
    """A name as it is compared."""

    plain: str
    letters: tuple[str, ...]
    pairs: Counter[str]
    count: int


@lru_cache(maxsize=1 << 16)
def _form(text: str) -> _Form:
    plain = plain_form(text)
    padded = f" {plain} "
    pairs = Counter(padded[at : at + 2] for at in range(len(padded) - 1))
    return _Form(plain, tuple(sorted(plain)), pairs, sum(pairs.values()))


def _dice(first: _Form, second: _Form) -> float:
    small, large = (first.pairs, second.pairs) if len(first.pairs) < len(second.pairs) else (second.pairs, first.pairs)
    common = sum(min(count, large[pair]) for pair, count in small.items() if pair in large)
    return 2 * common / (first.count + second.count)


def _edits(one: str, other: str) -> float:
    """One less the Levenshtein distance over the longer length; 0 where the lengths alone make it less than a third."""
    longer = max(len(one), len(other))
    if 3 * abs(len(one) - len(other)) > 2 * longer:
        return 0.0
    row = list(range(len(other) + 1))
    for number, character in enumerate(one, 1):
        corner, row[0] = row[0], number
        for place, against in enumerate(other, 1):
            corner, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, corner + (character != against))
    return 1 - row[-1] / longer


def _is_sign(word: str) -> bool:
    """Whether a word is punctuation and nothing else."""
    return all(unicodedata.category(character)[0] in "PZC" for character in word)
