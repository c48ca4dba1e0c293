"""How the four languages put names, roles and binding cues into a frame.

A frame is a line of words with slots. `{x}` takes the mentions of an ambiguous row, `{0}` and `{1}` those of an
unambiguous one. `{x:de}` puts a preposition before each mention (with elision and contraction), `{0:acc}` and `{0:dat}`
ask for a German case. `[is|are]` takes its first form beside one mention and its second beside two.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LANGUAGES = ("en", "fr", "de", "es")

_NUMBER = re.compile(r"\[([^|\]]*)\|([^\]]*)\]")
_SLOT = re.compile(r"\{(\w)(?::(\w+))?\}")
_CONTRACTIONS = {
    "fr": {("de", "le"): ("du",), ("à", "le"): ("au",)},
    "es": {("de", "el"): ("del",), ("a", "el"): ("al",)},
    "de": {("von", "dem"): ("vom",)},
    "en": {},
}
_GERMAN_ARTICLES = {
    "die": {"acc": "die", "dat": "der"},
    "das": {"acc": "das", "dat": "dem"},
    "der": {"acc": "den", "dat": "dem"},
}
_AND = {"en": "and", "fr": "et", "de": "und", "es": "y"}


@dataclass(frozen=True)
class Mention:
    """One name in a sentence: its words, its number in the row, and the words before and after it."""

    entity: int
    name: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sentence:
    """The words of a sentence and, for each mention in the order of its number, its (start, end) in words."""

    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]


# A word of a sentence and the number of the mention whose name it belongs to, -1 for none.
_Marked = tuple[str, int]


def realise(frame: str, language: str, slots: Mapping[str, Sequence[Mention]]) -> Sentence:
    """Fill the slots of a frame with mentions, inflect, and start the sentence with a capital.

    Raises:
        KeyError: the frame has a slot that `slots` does not fill.
    """
    plural = any(len(mentions) > 1 for mentions in slots.values())
    marked: list[_Marked] = []
    for token in _NUMBER.sub(r"\2" if plural else r"\1", frame).split():
        slot = _SLOT.fullmatch(token)
        if slot is None:
            marked.append((token, -1))
        else:
            marked.extend(_join(slots[slot[1]], slot[2] or "", language))
    marked = _contract(marked, language)
    first, entity = marked[0]
    marked[0] = (first[0].upper() + first[1:], entity)
    entities = [entity for _, entity in marked]
    spans = tuple(
        (entities.index(number), len(entities) - entities[::-1].index(number)) for number in range(max(entities) + 1)
    )
    return Sentence(tuple(word for word, _ in marked), spans)


def _join(mentions: Sequence[Mention], form: str, language: str) -> list[_Marked]:
    """One mention, or two joined by "and", each behind the preposition or in the case that the slot asks for."""
    joined: list[_Marked] = []
    for position, mention in enumerate(mentions):
        words = _mark(mention, form, language)
        if position:
            joined.append((conjunction(language, words[0][0]), -1))
        joined.extend(words)
    return joined


def _mark(mention: Mention, form: str, language: str) -> list[_Marked]:
    before = list(mention.before)
    if language == "de" and form in ("acc", "dat"):
        if before:
            before[0] = _GERMAN_ARTICLES[before[0]][form]
    elif form:
        before.insert(0, form)
    return [
        *((word, -1) for word in before),
        *((word, mention.entity) for word in mention.name),
        *((word, -1) for word in mention.after),
    ]


def conjunction(language: str, following: str) -> str:
    """The word for "and": Spanish says "e" before a word that starts with the sound i."""
    if language == "es" and following.lower().startswith(("i", "hi")):
        return "e"
    return _AND[language]


def _contract(marked: Sequence[_Marked], language: str) -> list[_Marked]:
    """Contract preposition and article (du, au, del, al, vom) and elide French "de" before a vowel."""
    table = _CONTRACTIONS[language]
    result: list[_Marked] = []
    for word, entity in marked:
        if result and result[-1][1] < 0 and entity < 0 and (result[-1][0], word) in table:
            contracted = table[result[-1][0], word]
            result[-1:] = [(short, -1) for short in contracted]
            continue
        if language == "fr" and result and result[-1] == ("de", -1) and word[0].lower() in "aeéèêiou":
            result[-1] = ("d'", -1)
        result.append((word, entity))
    return result
