"""From a text, or its tokens, to a row that the model reads: words with their places in the text, and pictures."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from babelens.data.images import Picture
from babelens.data.problems import quote
from babelens.data.words import split_words
from babelens.models.batch import Row
from babelens.prediction.pictures import GivenPictures, Images
from babelens.schema import Example, InputError

_SURROGATE = re.compile("[\ud800-\udfff]")

Offsets = tuple[tuple[int, int], ...]
Attach = Callable[[Any], tuple[tuple[str, ...], tuple[str, ...], Callable[[str], Picture] | None]]


class RowError(InputError):
    """A row that cannot be read: the message says what was expected and what was found."""


@dataclass(frozen=True)
class Unread:
    """A row that could not be read keeps its place among the others: its id, or its number, and why."""

    id: str | None
    error: str


def text_row(
    text_or_tokens: str | Sequence[str], image: Images = None, language: str | None = None, id: str = ""
) -> Row:
    """A row of a text, which is split into words, or of tokens, which are its words as they are.

    Raises:
        RowError: what was given is neither a text nor a list of texts.
    """
    pictures = GivenPictures(image)
    if isinstance(text_or_tokens, str):
        text, words, offsets = _read_words(text_or_tokens, None)
    else:
        text, words, offsets = _read_words(None, text_or_tokens)
    example = Example(id, words, images=(), text=text, offsets=offsets, language=language)
    return Row(example, pictures.keys, pictures.open)


def fields_row(fields: object, id: str, attach: Attach) -> Row:
    """A row of named fields: `text` or `tokens` (or both), and `id`, `image` or `images`, `language` if there are any.

    `id` stands in where the fields have none. `attach` makes ids, keys and an opener of what stands in the image
    field. Other fields are not read.

    Raises:
        RowError: a field is missing or of another kind.
    """
    if not isinstance(fields, Mapping):
        raise RowError(f"expected an object with text or tokens, found {quote(fields)}")
    tokens = fields.get("tokens", fields.get("words"))
    text, words, offsets = _read_words(fields.get("text"), tokens, ", ".join(map(str, fields)))
    language = fields.get("language")
    if language is not None and not isinstance(language, str):
        raise RowError(f"expected a language code or null, found {quote(language)}")
    images, keys, opener = attach(fields.get("image", fields.get("images")))
    named = fields.get("id")
    example = Example(id if named is None else str(named), words, (), images, text, offsets, language)
    return Row(example, keys, opener)


def example_row(example: Example, keys: tuple[str, ...], opener: Callable[[str], Picture]) -> Row:
    """A row of an example of a corpus; where its text is not known, its words joined by blanks are."""
    text, offsets = example.text, example.offsets
    if text is None or offsets is None:
        text, offsets = join_words(example.words)
    plain = Example(example.id, example.words, (), example.images, text, offsets, example.language)
    return Row(plain, keys, opener)


def join_words(words: Sequence[str]) -> tuple[str, Offsets]:
    """Words joined by single blanks, and where each stands."""
    offsets: list[tuple[int, int]] = []
    start = 0
    for word in words:
        offsets.append((start, start + len(word)))
        start += len(word) + 1
    return " ".join(words), tuple(offsets)


def _read_words(text: object, tokens: object, found: str = "") -> tuple[str, tuple[str, ...], Offsets]:
    """The text, its words and their places."""
    if text is not None and not isinstance(text, str):
        raise RowError(f"expected a text, found {quote(text)}")
    if tokens is None:
        if text is None:
            raise RowError(f"expected text or tokens, found {found or 'neither'}")
        offsets = tuple(split_words(text))
        return text, tuple(_readable(text[start:end]) for start, end in offsets), offsets
    if isinstance(tokens, str | bytes) or not isinstance(tokens, Sequence):
        raise RowError(f"expected a text or a list of tokens, found {quote(tokens)}")
    strange = next((token for token in tokens if not isinstance(token, str)), None)
    if strange is not None or None in tokens:
        raise RowError(f"expected tokens that are texts, found {quote(strange)}")
    words = tuple(tokens)
    text, offsets = join_words(words) if text is None else (text, _place(words, text))
    return text, tuple(_readable(word) for word in words), offsets


def _place(words: Sequence[str], text: str) -> Offsets:
    """Where words stand in their text, one after the other."""
    offsets: list[tuple[int, int]] = []
    end = 0
    for word in words:
        start = text.find(word, end)
        if start < 0:
            raise RowError(f"expected tokens that stand in the text in their order, found {quote(word)} out of it")
        end = start + len(word)
        offsets.append((start, end))
    return tuple(offsets)


def _readable(word: str) -> str:
    """A word that tokenizers take: half a surrogate pair (JSON can hold one) is no character."""
    return _SURROGATE.sub("\ufffd", word)
