"""Files of one JSON object a line: typed records and plain rows."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from babelens.build.annotation.faults import SHOWN
from babelens.build.rows import Bad, Row, read_input
from babelens.data.journal import write_whole
from babelens.data.problems import DataError, Problem, Problems, fault, quote

_Record = TypeVar("_Record", bound=msgspec.Struct)


def read_records(path: Path, kind: type[_Record]) -> list[_Record]:
    """Read a file of records of one kind.

    Raises:
        DataError: the file is not there, or lines are no such records; the first twenty are told.
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
    _raise_if_any(problems.kept, problems.total)
    return found


def read_rows(place: Path) -> list[Row]:
    """All rows of a step's folder, or of a JSONL file.

    Raises:
        DataError: there is no such file, or rows cannot be read; the first twenty are told.
    """
    found = list(read_input(place).rows())
    bad = [row.problem for row in found if isinstance(row, Bad)]
    _raise_if_any(bad, len(bad))
    return [row for row in found if not isinstance(row, Bad)]


def _raise_if_any(problems: Sequence[Problem], total: int) -> None:
    if total:
        raise DataError(problems[:SHOWN], total)


def write_lines(path: Path, items: Iterable[Any]) -> int:
    """Write records or rows, one a line, beside the file and then in its place; give their number.

    Raises:
        OSError: the file cannot be written; one that stood there stays.
    """
    encode = msgspec.json.Encoder().encode
    lines = [encode(item) + b"\n" for item in items]
    write_file(path, b"".join(lines))
    return len(lines)


def write_json(path: Path, value: Any) -> None:
    """Write one JSON value, indented, beside the file and then in its place.

    Raises:
        OSError: as for `write_lines`.
    """
    write_file(path, msgspec.json.format(msgspec.json.encode(value)) + b"\n")


def write_file(path: Path, content: bytes) -> None:
    """Write a file beside and then in its place; its folder is made.

    Raises:
        OSError: as for `write_lines`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
