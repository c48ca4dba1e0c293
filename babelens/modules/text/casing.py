"""The casing class of a word: what its letters, digits and signs look like, whatever they spell.

Uncased encoders lose what tells a name from a noun; a class per word gives it back (Collobert et al., 2011, section
6.1, used four classes; tweets and prices ask for more).
"""

import re
from enum import IntEnum

_NUMBER = re.compile(r"[\d.,:/+%\-]*\d[\d.,:/+%\-]*")
_ADDRESS = re.compile(r"(https?://|www\.|\w+://)", re.IGNORECASE)


class Casing(IntEnum):
    """The classes. `NONE` is the class of places where no word stands (padding, [CLS], [SEP])."""

    NONE = 0
    LOWER = 1
    INITIAL = 2
    SINGLE = 3
    UPPER = 4
    MIXED = 5
    CASELESS = 6
    NUMBER = 7
    DIGITS = 8
    SIGN = 9
    HASHTAG = 10
    MENTION = 11
    ADDRESS = 12
    OTHER = 13


def casing_of(word: str) -> Casing:
    """The class of a word: a link, #tag or @name first, then digits, then letters; `OTHER` where nothing is visible."""
    if len(word) > 1 and word[0] in "#＃":
        return Casing.HASHTAG
    if len(word) > 1 and word[0] in "@＠":
        return Casing.MENTION
    if _ADDRESS.match(word):
        return Casing.ADDRESS
    if _NUMBER.fullmatch(word):
        return Casing.NUMBER
    if any(character.isdigit() for character in word):
        return Casing.DIGITS
    letters = [character for character in word if character.isalpha()]
    if letters:
        return _casing_of_letters(letters)
    return (
        Casing.SIGN if any(character.isprintable() and not character.isspace() for character in word) else Casing.OTHER
    )


def _casing_of_letters(letters: list[str]) -> Casing:
    upper = [character.isupper() or character.istitle() for character in letters]
    if not any(upper):
        return Casing.LOWER if any(character.islower() for character in letters) else Casing.CASELESS
    if all(upper):
        return Casing.SINGLE if len(letters) == 1 else Casing.UPPER
    return Casing.INITIAL if upper[0] and not any(upper[1:]) else Casing.MIXED
