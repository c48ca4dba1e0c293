"""One row of JSONL or of a table: named fields with a text and character offsets, or with tokens and tags.

The fields that are read, all but the first optional: `text` or `tokens` (or `words`, or both); `entities`
(`[{"start", "end", "type", "text"?}]`, offsets in Unicode code points) or `ner_tags` (or `tags`); `offsets` of the
words in the text; `id`; `image` or `images`; `language`, `source`, `group`. Others are left alone.

Words of a text come from `offsets`, from `tokens` that stand in it in their order, or else from `split_words`. An
entity that starts or ends inside a word is widened to the whole word, and counted: cutting the word instead would show
a model where the gold entity ends.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NoReturn, TypeGuard

from babelens.data.problems import quote
from babelens.data.rows import Row
from babelens.data.words import split_words
from babelens.schema import Entity, Scheme, TagError, read_tags

FIELDS = (
    "id", "text", "tokens", "words", "offsets", "entities", "ner_tags", "tags", "image", "images",
    "language", "source", "group",
)  # fmt: skip

_Offsets = Sequence[tuple[int, int]]


class RecordError(ValueError):
    """A field that cannot be read: what was expected and what was found."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found


def _refuse(expected: str, found: object) -> NoReturn:
    raise RecordError(expected, quote(found))


def read_record(record: object, line: int, scheme: Scheme = "iob2", names: Sequence[str] | None = None) -> Row:
    """Read the fields of a row. `names` are the names of tags that are given as numbers.

    Raises:
        RecordError: a field is missing or cannot be read.
    """
    if not isinstance(record, Mapping):
        _refuse("an object with text or tokens", record)
    text = record.get("text")
    if text is not None and not isinstance(text, str):
        _refuse("a text", text)
    words, offsets = _read_words(record, text)
    tags = _first(record, "ner_tags", "tags")
    entities: Sequence[Entity] = ()
    violations: Sequence[int] = ()
    widened = 0
    if tags is not None:
        try:
            entities, violations = read_tags(_named(tags, len(words), names), scheme)
        except TagError as error:
            expected, _, found = str(error).removeprefix("expected ").rpartition(", found ")
            raise RecordError(f"{expected} for word {error.position + 1}", found) from None
    elif record.get("entities"):
        if text is None or offsets is None:
            raise RecordError("a text beside entities with character offsets", "none")
        entities, widened = _place_entities(record["entities"], text, offsets)
    images, pictures = _read_images(_first(record, "images", "image"), line)
    name = record.get("id")
    return Row(
        words=words,
        entities=entities,
        images=images,
        line=line,
        violations=violations,
        widened=widened,
        id=None if name is None else str(name),
        text=text,
        offsets=offsets,
        language=_string(record, "language"),
        source=_string(record, "source"),
        group=_string(record, "group"),
        pictures=pictures,
    )


def _first(record: Mapping[Any, Any], *names: str) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _string(record: Mapping[Any, Any], name: str) -> str | None:
    value = record.get(name)
    if value is not None and not isinstance(value, str | int):
        _refuse(f"a string as {name}", value)
    return None if value is None else str(value)


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _read_words(record: Mapping[Any, Any], text: str | None) -> tuple[Sequence[str], _Offsets | None]:
    tokens, given = _first(record, "tokens", "words"), record.get("offsets")
    if tokens is not None and not (_is_list(tokens) and all(isinstance(token, str) for token in tokens)):
        _refuse("tokens as a list of strings", tokens)
    if text is None:
        if tokens is None:
            raise RecordError("text or tokens", ", ".join(map(str, record)) or "no field")
        return tokens, None
    if given is not None:
        offsets = _read_offsets(given, len(text))
    elif tokens is not None:
        offsets = _place_words(tokens, text)
    else:
        offsets = split_words(text)
    if tokens is not None:
        if len(tokens) != len(offsets):
            raise RecordError(f"offsets for {len(tokens)} tokens", str(len(offsets)))
        return tokens, offsets
    return [text[start:end] for start, end in offsets], offsets


def _read_offsets(given: object, length: int) -> _Offsets:
    offsets: list[tuple[int, int]] = []
    before = 0
    for pair in given if isinstance(given, Sequence) else [given]:
        if not (_is_list(pair) and len(pair) == 2 and all(type(at) is int for at in pair)):
            _refuse("offsets as pairs of numbers", pair)
        start, end = pair
        if not before <= start < end <= length:
            _refuse(f"offsets in order and within 0..{length}", [start, end])
        offsets.append((start, end))
        before = end
    return offsets


def _place_words(tokens: Sequence[str], text: str) -> _Offsets:
    offsets: list[tuple[int, int]] = []
    end = 0
    for token in tokens:
        start = text.find(token, end)
        if start < 0 or not token:
            _refuse("tokens that stand in the text in their order", token)
        end = start + len(token)
        offsets.append((start, end))
    return offsets


def _named(tags: Any, length: int, names: Sequence[str] | None) -> Sequence[str]:
    if not _is_list(tags):
        _refuse("tags as a list", tags)
    if len(tags) != length:
        raise RecordError(f"as many tags as words ({length})", str(len(tags)))
    if all(isinstance(tag, str) for tag in tags):
        return list(tags)
    if names is None:
        _refuse("tags by name", tags)
    numbers: Sequence[Any] = tags
    for tag in numbers:
        if type(tag) is not int or not 0 <= tag < len(names):
            _refuse(f"tags as numbers from 0 to {len(names) - 1}", tag)
    return [str(names[number]) for number in numbers]


def _place_entities(given: object, text: str, offsets: _Offsets) -> tuple[list[Entity], int]:
    """Entities at words, and how many had to be moved to word boundaries."""
    if not _is_list(given):
        _refuse("entities as a list of objects", given)
    starts, ends = [start for start, _ in offsets], [end for _, end in offsets]
    entities: list[Entity] = []
    widened = 0
    for field in given:
        start, end, type_ = _read_entity(field, text)
        first, last = bisect_right(ends, start), bisect_left(starts, end)
        if first >= last:
            _refuse("an entity with at least one word", text[start:end])
        widened += (starts[first], ends[last - 1]) != (start, end)
        entities.append(Entity(first, last, type_))
    entities.sort()
    for one, other in pairwise(entities):
        if other.start < one.end:
            word = text[starts[other.start] : ends[other.start]]
            _refuse("entities that share no word", word)
    return entities, widened


def _read_entity(field: object, text: str) -> tuple[int, int, str]:
    if not isinstance(field, Mapping):
        _refuse("an entity as an object", field)
    start, end, type_ = field.get("start"), field.get("end"), _first(field, "type", "label")
    if type(start) is not int or type(end) is not int or not isinstance(type_, str) or not type_:
        _refuse("an entity with start, end and type", field)
    if not 0 <= start < end <= len(text):
        _refuse(f"an entity within 0..{len(text)}", [start, end])
    said = field.get("text")
    if said is not None and said != text[start:end]:
        raise RecordError(
            f"{quote(said)} at {start}..{end} (offsets count Unicode code points)", quote(text[start:end])
        )
    return start, end, type_


def _read_images(given: Any, line: int) -> tuple[list[str], list[bytes | None]]:
    """Picture ids, and the bytes of those that the row holds itself."""
    images: list[str] = []
    pictures: list[bytes | None] = []
    for field in given if _is_list(given) else [given]:
        content, name = None, field
        if isinstance(field, Mapping):
            content, name = field.get("bytes"), field.get("path")
        elif isinstance(field, bytes):
            content, name = field, None
        if content is None and name in (None, ""):
            continue
        if (name is not None and not isinstance(name, str | int)) or not isinstance(content, bytes | None):
            _refuse("a picture id, or an object with bytes or path", field)
        images.append(str(name) if name not in (None, "") else f"row-{line}-{len(images) + 1}")
        pictures.append(content)
    return images, pictures if any(content is not None for content in pictures) else []
