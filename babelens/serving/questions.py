"""What is asked for: rows of a request, from JSON, with all limits seen to."""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from babelens.data.problems import quote
from babelens.data.words import split_words
from babelens.prediction.ask import PLAIN, Ask
from babelens.serving.refusal import Refusal
from babelens.serving.settings import Limits

T = TypeVar("T")

_TEXT = Meta(description="The text; entities are counted in its Unicode code points.")
_TOKENS = Meta(description="Its words, where they are known: alone, or beside the text that they stand in.")
_ID = Meta(description="Comes back in the answer.")
_LANGUAGE = Meta(description="A language code such as de; comes back in the answer.")
_IMAGE = Meta(description="A picture, or several: the bytes of a JPEG, PNG, WebP or GIF file in base64.")
_URL = Meta(description="A picture, or several, to be fetched; only from hosts that the service allows.")
_ASK = Meta(description="What the answer says beyond entities, types and scores.")


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One row: a text or its tokens, and what else is known of it."""

    text: Annotated[str | None, _TEXT] = None
    tokens: Annotated[list[str] | None, _TOKENS] = None
    id: Annotated[str | None, _ID] = None
    language: Annotated[str | None, _LANGUAGE] = None
    image: Annotated[str | list[str] | None, _IMAGE] = None
    image_url: Annotated[str | list[str] | None, _URL] = None
    ask: Annotated[Ask, _ASK] = PLAIN


class Asked(msgspec.Struct, frozen=True):
    """A row that keeps to the limits: its fields, its pictures' bytes, the URLs of others, and how many words it has.

    `words` are at least 1, for a row costs something even where there is nothing to read.
    """

    text: str | None
    tokens: list[str] | None
    id: str | None
    language: str | None
    pictures: tuple[bytes, ...]
    urls: tuple[str, ...]
    words: int
    ask: Ask


_DECODER = msgspec.json.Decoder(Question | list[Question])


def read_questions(body: bytes, limits: Limits) -> tuple[list[Asked | Refusal], bool]:
    """The rows of a JSON body and whether it was a list of them.

    A row that is beyond a limit stands in a list as its refusal.

    Raises:
        Refusal: the body is no JSON (400), not of the shape that is documented (422), or has too many rows (413); or
            its only row is refused.
    """
    try:
        found = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise Refusal(422, f"the request: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, f"expected JSON in UTF-8, found something else: {error}") from None
    if isinstance(found, Question):
        return [check_question(found, limits)], False
    if not 0 < len(found) <= limits.rows:
        status = 413 if found else 422
        raise Refusal(status, f"expected 1 to {limits.rows} rows in a request, found {len(found)}")
    return [_refused(row, limits) for row in found], True


def _refused(row: Question, limits: Limits) -> Asked | Refusal:
    try:
        return check_question(row, limits)
    except Refusal as refusal:
        return refusal


def check_question(row: Question, limits: Limits, pictures: Sequence[bytes] = ()) -> Asked:
    """A row with its limits seen to; `pictures` came beside its fields.

    Raises:
        Refusal: there is neither text nor tokens, or base64 that is none (422); it is too long, or has too many
            pictures (413).
    """
    if row.text is None and row.tokens is None:
        raise Refusal(422, "expected text or tokens, found neither")
    _check_length("text", len(row.text or ""), limits)
    _check_length("tokens", sum(map(len, row.tokens or ())), limits)
    _check_length("list of tokens", len(row.tokens or ()), limits)
    for name, value in (("id", row.id), ("language", row.language)):
        if value is not None and len(value) > _LONGEST_NAME:
            raise Refusal(413, f"{name}: expected at most {_LONGEST_NAME} characters, found {len(value):,}")
    coded, urls = _listed(row.image), _listed(row.image_url)
    count = len(coded) + len(urls) + len(pictures)
    if count > limits.pictures:
        raise Refusal(413, f"expected at most {limits.pictures} pictures with a row, found {count}")
    if any(len(url) > _LONGEST_URL for url in urls):
        raise Refusal(413, f"image_url: expected at most {_LONGEST_URL:,} characters")
    words = len(split_words(row.text or "") if row.tokens is None else row.tokens)
    own = (*pictures, *map(_picture, coded))
    return Asked(row.text, row.tokens, row.id, row.language, own, tuple(urls), max(words, 1), row.ask)


def _check_length(name: str, length: int, limits: Limits) -> None:
    if length > limits.characters:
        raise Refusal(413, f"expected a {name} of at most {limits.characters:,} characters, found {length:,}")


def _picture(coded: str) -> bytes:
    try:
        return b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(422, f"image: expected base64, found {quote(coded)}") from None


def _listed(value: T | list[T] | None) -> list[T]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


_LONGEST_NAME = 200
_LONGEST_URL = 2_000
