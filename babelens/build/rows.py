"""The rows that go from step to step, and what a step reads them from.

A row is a JSON object: `id` (a string, unique in its file) and `text`, and where they are known `language` (ISO 639-1),
`source`, `group` (ties translations and copies), `image` (the id of its picture: the name of a file, with or without
its ending), `url` (of the picture), and `entities`: `[{"start", "end", "text", "type", "score"?}]`, places in Unicode
code points. Fields that a step does not know it hands on as they are.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

import msgspec

from babelens.build.seen import Seen
from babelens.data.problems import Problem, fault, listing, quote

ROWS, PROVENANCE, STEP = "rows.jsonl", "provenance.jsonl", "step.json"
_BLANKS = b" \t\r\n"
_MARK = b"\xef\xbb\xbf"

Row = dict[str, Any]


@dataclass(frozen=True)
class Bad:
    """A row that cannot be read: an id that no other row has, and what is wrong with it."""

    id: str
    problem: Problem


@dataclass(frozen=True)
class Input:
    """What a step reads.

    `facts` say what it is, a digest of the content among them, in terms of JSON; two inputs of equal facts have equal
    rows. `rows()` reads it from the beginning, each time anew.
    """

    facts: Mapping[str, Any]
    rows: Callable[[], Iterator[Row | Bad]]


def read_input(place: Path) -> Input:
    """The rows of a step's folder, or of a JSONL file.

    Raises:
        DataError: there is no such file, or the step in the folder has not come to its end or is damaged.
    """
    if place.is_dir():
        if not (place / STEP).is_file():
            names = listing(sorted(entry.name for entry in place.iterdir())[:10])
            raise fault(place, f"the folder of a step that is done (with {STEP})", names)
        made = read_step(place)
        path = place / ROWS
        if not path.is_file():
            raise fault(place, f"the folder of a step, with {ROWS}", "none")
        return Input({"step": made["step"], "digest": digest_of(path)}, partial(_read_rows, path, False))
    if not place.is_file():
        raise fault(place, "the folder of a step, or a JSONL file", "no such file or directory")
    return Input({"file": place.name, "digest": digest_of(place)}, partial(_read_rows, place, True))


def read_step(folder: Path) -> dict[str, Any]:
    """What `step.json` says of the step in a folder.

    Raises:
        DataError: it cannot be read, or is not what a step has written.
        OSError: there is none.
    """
    path = folder / STEP
    try:
        made = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise fault(path, "what a step has written", str(error)) from error
    if not isinstance(made.get("step"), str) or not isinstance(made.get("counts"), dict):
        raise fault(path, "what a step has written, with step and counts", listing(made))
    return made


def digest_of(path: Path) -> str:
    """The digest of a file's content: BLAKE2b, 128 bits, in hexadecimal digits."""
    with open(path, "rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()


def _read_rows(path: Path, foreign: bool) -> Iterator[Row | Bad]:
    """The rows of a JSONL file. What a step has written is not checked for ids that repeat."""
    decode = msgspec.json.Decoder().decode
    ids = Seen() if foreign else None
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(_MARK)
            if not line.strip(_BLANKS):
                continue
            try:
                row = decode(line)
                wrong = row_fault(row)
            except (ValueError, RecursionError) as error:
                row, wrong = {}, unreadable(line, error)
            if wrong is None and ids is not None and not ids.add(row["id"]):
                wrong = "an id that no other row has", quote(row["id"])
            yield row if wrong is None else Bad(f"{path.stem}:{number}", Problem(path, number, *wrong))


def unreadable(line: bytes, error: Exception) -> tuple[str, str]:
    """Why a line is no JSON: what was expected and what was found."""
    if isinstance(error, UnicodeDecodeError):
        return "UTF-8", f"the byte 0x{error.object[error.start]:02X} at {error.start}"
    return "a JSON object", f"{quote(line.strip(_BLANKS).decode('utf-8', 'replace'))} ({error})"


def row_fault(row: object) -> tuple[str, str] | None:
    """What is wrong with a row: what was expected and what was found; None of a row as it should be."""
    if not isinstance(row, dict):
        return "a JSON object", quote(row)
    for name in ("id", "text"):
        value = row.get(name)
        if not isinstance(value, str) or (name == "id" and not value):
            return f"a string as {name}", quote(value) if name in row else listing(row)
    if not isinstance(row.get("language"), str | None):
        return "a string as language", quote(row["language"])
    if row.get("entities") is None:
        return None
    return entities_fault(row["entities"], row["text"])


def entities_fault(entities: object, text: str) -> tuple[str, str] | None:
    """What is wrong with entities in a text: what was expected and what was found, or None."""
    if not isinstance(entities, list):
        return "entities as a list", quote(entities)
    for entity in entities:
        if not isinstance(entity, dict):
            return "an entity as an object", quote(entity)
        start, end, type_ = entity.get("start"), entity.get("end"), entity.get("type")
        if type(start) is not int or type(end) is not int or not isinstance(type_, str) or not type_:
            return "an entity with start, end and type", quote(entity)
        if not 0 <= start < end <= len(text):
            return f"an entity within 0..{len(text)}", f"{start}..{end}"
        if entity.get("text") != text[start:end]:
            place = f"{quote(entity.get('text'))} at {start}..{end} (offsets count Unicode code points)"
            return place, quote(text[start:end])
    return None
