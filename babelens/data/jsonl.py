"""JSONL files: one row a line, in the two shapes of `records`."""

from collections.abc import Iterable, Iterator
from io import TextIOBase
from pathlib import Path
from typing import Any

import msgspec

from babelens.data.conll import guess_scheme
from babelens.data.problems import Problems, quote
from babelens.data.records import RecordError, read_record
from babelens.data.rows import Row
from babelens.schema import Example, Scheme, write_tags

_SNIFFED = 1000
_BLANKS = b" \t\r\n"
_MARK = b"\xef\xbb\xbf"


def read_jsonl(path: Path, problems: Problems, scheme: Scheme | None = None) -> Iterator[Row]:
    """Read the rows of a JSONL file one by one; faults are noted in `problems` and reading goes on.

    The scheme of `ner_tags` is found out from the first thousand rows where it is not given.
    """
    decode = msgspec.json.Decoder().decode
    if scheme is None:
        scheme = _sniff(path)
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(_MARK)
            if not line.strip(_BLANKS):
                continue
            if number == 1 and line.lstrip(_BLANKS).startswith(b"["):
                problems.add(1, "one JSON object a line (JSONL)", "a JSON list")
                return
            try:
                yield read_record(decode(line), number, scheme)
            except RecordError as error:
                problems.add(number, error.expected, error.found)
            except UnicodeDecodeError as error:
                problems.add(number, "UTF-8", f"the byte 0x{error.object[error.start]:02X} at {error.start}")
            except (msgspec.DecodeError, RecursionError) as error:
                shown = quote(line.strip(_BLANKS).decode("utf-8", "replace"))
                problems.add(number, "a JSON object", f"{shown} ({error})")


def _sniff(path: Path) -> Scheme:
    tags: list[str] = []
    with open(path, "rb") as file:
        for line, _ in zip(file, range(_SNIFFED), strict=False):
            try:
                record = msgspec.json.decode(line.removeprefix(_MARK))
            except (ValueError, RecursionError):
                continue
            given = (record.get("ner_tags") or record.get("tags")) if isinstance(record, dict) else None
            if isinstance(given, list):
                tags.extend(tag for tag in given if isinstance(tag, str))
                tags.append("O")
    return guess_scheme(tags)


def record_of(example: Example, scheme: Scheme = "iob2") -> dict[str, Any]:
    """An example as the fields of a JSONL row, which `read_record` reads back as it was.

    Where the raw text is known, entities have character offsets and `offsets` keeps the words; else there are tokens
    and tags.
    """
    record: dict[str, Any] = {"id": example.id}
    if example.text is not None and example.offsets is not None:
        record["text"] = example.text
        places = example.offsets
        record["entities"] = [
            {
                "start": places[entity.start][0],
                "end": places[entity.end - 1][1],
                "text": example.text[places[entity.start][0] : places[entity.end - 1][1]],
                "type": entity.type,
            }
            for entity in example.entities
        ]
        record["offsets"] = places
        if any(example.text[start:end] != word for word, (start, end) in zip(example.words, places, strict=True)):
            record["tokens"] = example.words
    else:
        record["tokens"] = example.words
        record["ner_tags"] = write_tags(example.entities, len(example.words), scheme)
    if len(example.images) > 1:
        record["images"] = example.images
    elif example.images:
        record["image"] = example.images[0]
    for name in ("language", "source", "group"):
        value = getattr(example, name)
        if value is not None:
            record[name] = value
    return record


def write_jsonl(examples: Iterable[Example], file: TextIOBase, scheme: Scheme = "iob2") -> int:
    """Write examples as JSONL; give their number."""
    total = 0
    encode = msgspec.json.Encoder().encode
    for example in examples:
        file.write(encode(record_of(example, scheme)).decode() + "\n")
        total += 1
    return total
