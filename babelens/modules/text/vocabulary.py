"""The words and characters that a recurrent encoder knows, and the hashed character n-grams of any word."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from babelens.schema import InputError

FILE = "vocabulary.json"
PADDING, UNKNOWN = 0, 1
_FIRST = 2


@dataclass(frozen=True)
class Vocabulary:
    """Words with the number of times that each was seen in training, and characters, most frequent first.

    Number 0 is padding, 1 the unknown word or character, 2 the first of the list. The last `vectored` words came with a
    vector from a file (`vectors`); those that the training text has not are counted 0 times.
    """

    words: tuple[str, ...]
    counts: tuple[int, ...]
    characters: tuple[str, ...]
    vectored: int = 0
    _words: dict[str, int] = field(init=False, repr=False, compare=False)
    _characters: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_words", {word: n for n, word in enumerate(self.words, _FIRST)})
        object.__setattr__(self, "_characters", {letter: n for n, letter in enumerate(self.characters, _FIRST)})

    @property
    def word_rows(self) -> int:
        """Rows of a table of words, padding and unknown included."""
        return len(self.words) + _FIRST

    @property
    def character_rows(self) -> int:
        """Rows of a table of characters, padding and unknown included."""
        return len(self.characters) + _FIRST

    def number(self, word: str) -> int:
        """A word's number: as it is written, else in lower case, else with each digit as 0, else both; else unknown."""
        for form in forms(word):
            number = self._words.get(form)
            if number is not None:
                return number
        return UNKNOWN

    def spell(self, word: str) -> list[int]:
        """The numbers of a word's characters; the unknown character for a word of none."""
        return [self._characters.get(character, UNKNOWN) for character in word] or [UNKNOWN]

    def save(self, folder: Path) -> None:
        """Write `vocabulary.json`."""
        plain = {"words": self.words, "counts": self.counts, "characters": self.characters, "vectored": self.vectored}
        # Escapes keep half surrogate pairs and line separators, which plain UTF-8 would not.
        (folder / FILE).write_text(json.dumps(plain), encoding="ascii")

    @classmethod
    def load(cls, folder: Path) -> "Vocabulary":
        """Read `vocabulary.json`.

        Raises:
            InputError: it is not there or not what `save` writes.
        """
        path = folder / FILE
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            words, counts, characters = (tuple(plain[name]) for name in ("words", "counts", "characters"))
            made = cls(words, counts, characters, int(plain.get("vectored", 0)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: expected words, counts and characters as JSON, found: {error!r}") from error
        if len(made.words) != len(made.counts):
            raise InputError(f"{path}: expected {len(made.words)} counts, one a word, found {len(made.counts)}")
        if not 0 <= made.vectored <= len(made.words):
            raise InputError(f"{path}: expected at most {len(made.words)} words of vectors, found {made.vectored}")
        return made

    @classmethod
    def learn(cls, sentences: Iterable[Sequence[str]], limit: int) -> "Vocabulary":
        """Collect the most frequent words, at most `limit`, and all characters.

        Words with digits are counted with each digit as 0, so that numbers never seen find a row that was trained.
        """
        seen = Counter(word for sentence in sentences for word in sentence)
        ranked = rank_words(seen, limit)
        return cls(tuple(ranked), tuple(ranked.values()), rank_characters(seen))


def rank_words(seen: Mapping[str, int], limit: int) -> dict[str, int]:
    """The most frequent words, at most `limit`, with their counts, each digit as 0."""
    words: Counter[str] = Counter()
    for word, count in seen.items():
        words[zero_digits(word)] += count
    return {word: words[word] for word in sorted(words, key=lambda word: (-words[word], word))[:limit]}


def rank_characters(seen: Mapping[str, int]) -> tuple[str, ...]:
    """All characters of words, most frequent first."""
    characters: Counter[str] = Counter()
    for word, count in seen.items():
        for character in word:
            characters[character] += count
    return tuple(sorted(characters, key=lambda character: (-characters[character], character)))


def forms(word: str) -> tuple[str, str, str, str]:
    """How a word is looked up, in this order: as it is written, in lower case, with each digit as 0, and both."""
    lower = word.lower()
    return word, lower, zero_digits(word), zero_digits(lower)


def zero_digits(word: str) -> str:
    """The word with each of its decimal digits as 0."""
    if word.isalpha():
        return word
    return "".join("0" if character.isdecimal() else character for character in word)


def hash_grams(word: str, buckets: int, shortest: int = 3, longest: int = 5) -> list[int]:
    """Buckets of a word's character n-grams, its ends marked (Bojanowski et al., 2017); the same in every process."""
    marked = f"<{word}>"
    return [
        crc32(marked[start : start + size].encode("utf-8", "surrogatepass")) % buckets
        for size in range(shortest, longest + 1)
        for start in range(len(marked) - size + 1)
    ]
