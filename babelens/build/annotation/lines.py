"""Files of one JSON object a line: typed records and plain rows."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from babelens.build.rows import Bad, Row, read_input
from babelens.data.problems import DataError, Problems, fault, quote

_Record = TypeVar("_Record", bound=msgspec.Struct)


def read_records(path: Path, kind: type[_Record]) -> list[_Record]:
    """Read a file of records of one kind.

    Raises:
        DataError: the file is not there, or lines are no such records; all of them are told.
    """
    decoder = msgspec.json.Decoder(kind)
    if not path.is_file():
        raise fault(path, "a file of one JSON object a line", "no such file")
    problems = Problems(path)
    found: list[_Record] = []
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                found.append(decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                shown = quote(line.rstrip(b"\r\n").decode("utf-8", "replace"))
                problems.add(number, f"a record of {kind.__name__.lower()}", f"{shown} ({error})")
    problems.raise_if_any()
    return found


def read_rows(place: Path) -> list[Row]:
    """All rows of a step's folder, or of a JSONL file.

    Raises:
        DataError: there is no such file, or rows cannot be read; all of them are told.
    """
    found = list(read_input(place).rows())
    bad = [row.problem for row in found if isinstance(row, Bad)]
    if bad:
        raise DataError(bad)
    return [row for row in found if not isinstance(row, Bad)]


def write_lines(path: Path, items: Iterable[Any]) -> int:
    """Write records or rows, one a line, beside the file and then in its place; give their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    encode = msgspec.json.Encoder().encode
    total = 0
    with open(beside, "wb") as file:
        for item in items:
            file.write(encode(item) + b"\n")
            total += 1
    os.replace(beside, path)
    return total


def write_json(path: Path, value: Any) -> None:
    """Write one JSON value, indented, beside the file and then in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(value)) + b"\n")
    os.replace(beside, path)
