"""Captions in files: tables parted by tabs or commas, JSONL, Parquet; one row after the other, however many."""

import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from babelens.build.caption_fields import Layout, add_picture, row_of, with_further_fields
from babelens.build.rows import Bad, Row, unreadable
from babelens.data.problems import Problem, fault, listing, quote

_ROWS_AT_ONCE = 4096
_BLANKS = b" \t\r\n"
_MARK = b"\xef\xbb\xbf"


@contextmanager
def _opened(path: Path) -> Iterator[Iterable[bytes]]:
    """The lines of a file, unpacked where its name ends in .gz.

    Raises:
        DataError: it is damaged.
    """
    if path.suffix != ".gz":
        with open(path, "rb") as file:
            yield file
        return
    try:
        with gzip.open(path) as file:
            yield file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise fault(path, "a whole gzip file", str(error)) from error


class _Lines:
    """The lines of a file as text; `faults` are those that are not UTF-8, by their number, until they are asked for."""

    def __init__(self, file: Iterable[bytes]) -> None:
        self.faults: dict[int, tuple[str, str]] = {}
        self._file = file

    def __iter__(self) -> Iterator[str]:
        for number, line in enumerate(self._file, 1):
            if number == 1:
                line = line.removeprefix(_MARK)
            try:
                yield line.decode()
            except UnicodeDecodeError as error:
                self.faults[number] = unreadable(line, error)
                yield line.decode("utf-8", "replace")


def _reader(lines: _Lines, delimiter: str, layout: Layout) -> Any:
    quoting = csv.QUOTE_MINIMAL if layout.quotes else csv.QUOTE_NONE
    return csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)


def table_columns(path: Path, delimiter: str, layout: Layout, language: str | None = None) -> dict[str, str]:
    """The column of each field of a table. `language` is that of all rows, where it is known.

    Raises:
        DataError: the table is empty, or has no column with texts or with languages.
    """
    if layout.header is not None:
        return layout.find(layout.header, path, language)
    with _opened(path) as file:
        try:
            header = next(_reader(_Lines(file), delimiter, layout), None)
        except csv.Error as error:
            raise fault(path, "a line with the names of the columns", str(error), line=1) from error
    if not header:
        raise fault(path, "a line with the names of the columns", "an empty line" if header == [] else "an empty file")
    return layout.find(header, path, language)


def read_table(
    path: Path, name: str, delimiter: str, columns: Mapping[str, str], layout: Layout
) -> Iterator[Row | Bad]:
    """The rows of a table; they are called by `name` and their line, where there is no column of ids.

    Lines end with a line feed and nothing else. A record with quotation marks may go over several.
    """
    with _opened(path) as file:
        lines = _Lines(file)
        reader = _reader(lines, delimiter, layout)
        header = layout.header or next(reader)
        places = {field: header.index(column) for field, column in columns.items()}
        text, id, image, url = (places.get(field) for field in ("text", "id", "image", "url"))
        names = [(field, places[field]) for field in ("language", "group", "source") if field in places]
        if (shared := _translations(columns)) is not None:
            names.append(("group", header.index(shared)))
        assert text is not None
        while True:
            line = reader.line_num + 1
            called = f"{name}:{line}"
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                hint = f"{error}; --no-quotes reads quotation marks as they stand" if layout.quotes else str(error)
                yield Bad(called, Problem(path, line, f"a record of {len(header)} columns", hint))
                continue
            if lines.faults and (wrong := _fault(lines, line, reader.line_num)) is not None:
                yield Bad(called, Problem(path, line, *wrong))
                continue
            if len(cells) != len(header):
                if cells:  # an empty line is none
                    yield Bad(called, Problem(path, line, f"{len(header)} columns", str(len(cells))))
                continue
            row: Row = {"id": cells[id] or called if id is not None else called, "text": cells[text]}
            for field, place in names:
                if cells[place]:
                    row[field] = cells[place]
            add_picture(row, None if image is None else cells[image], None if url is None else cells[url])
            yield row


def _translations(columns: Mapping[str, str]) -> str | None:
    """The column that ties translations in the multilingual Conceptual 12M: all captions of a picture are of one."""
    made_by_them = columns.get("image") == "image_file" and columns.get("language") == "lang_id"
    return "image_file" if made_by_them and "group" not in columns else None


def _fault(lines: _Lines, first: int, last: int) -> tuple[str, str] | None:
    """What was wrong with the bytes of some lines, or None; it is forgotten."""
    found = [lines.faults.pop(number) for number in sorted(lines.faults) if first <= number <= last]
    return found[0] if found else None


def read_jsonl(path: Path, name: str, layout: Layout) -> Iterator[Row | Bad]:
    """The rows of a JSONL file, with all their fields; without ids they are called by `name` and their line."""
    decode = msgspec.json.Decoder().decode
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(_MARK)
            if not line.strip(_BLANKS):
                continue
            called = f"{name}:{number}"
            row = _json_row(line, called, layout, decode, path)
            yield row if isinstance(row, dict) else Bad(called, Problem(path, number, *row))


def _json_row(line: bytes, called: str, layout: Layout, decode: Any, path: Path) -> Row | tuple[str, str]:
    try:
        record = decode(line)
    except (ValueError, RecursionError) as error:
        return unreadable(line, error)
    if not isinstance(record, dict):
        return "a JSON object", quote(record)
    missing = [one for one in layout.columns.values() if one not in record]
    try:
        columns = layout.find([*record, *missing, "language"], path)
    except ValueError:
        return "a caption or a text", listing(record)
    row = row_of(record, columns, called)
    return with_further_fields(row, record, columns) if isinstance(row, dict) else row


def parquet_columns(path: Path, layout: Layout, language: str | None = None) -> dict[str, str]:
    """The column of each field of a Parquet file. `language` is that of all rows, where it is known.

    Raises:
        DataError: it is none, or has no column with texts or with languages.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return layout.find(pq.read_schema(path).names, path, language)
    except pa.ArrowInvalid as error:
        raise fault(path, "a Parquet file", str(error).splitlines()[0]) from error


def read_parquet(path: Path, name: str, columns: Mapping[str, str]) -> Iterator[Row | Bad]:
    """The rows of a Parquet file; they are called by `name` and their number from 1 where there is no column of ids.

    Raises:
        DataError: the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(columns.values())):
                for record in batch.to_pylist():
                    number += 1
                    yield record_row(record, columns, name, number, path)
    except (pa.ArrowInvalid, OSError) as error:
        raise fault(path, "a Parquet file", str(error).splitlines()[0]) from error


def record_row(record: dict[str, Any], columns: Mapping[str, str], name: str, number: int, path: Path) -> Row | Bad:
    """The row of a record of a table whose columns have types."""
    called = f"{name}:{number}"
    shared = _translations(columns)
    row = row_of(record, columns if shared is None else {**columns, "group": shared}, called)
    return row if isinstance(row, dict) else Bad(called, Problem(path, number, *row))
