"""Files, folders and standard input to rows, one after the other, so that memory does not grow with the input."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from babelens.data.boxes import BoxFile
from babelens.data.images import ImageStore, Picture
from babelens.data.languages import is_language
from babelens.data.places import BOXES, CONLL, JSONL, PARQUET, SPLITS
from babelens.data.problems import fault, listing, quote
from babelens.data.reading import box_files, boxes_beside, read_corpus
from babelens.models.batch import Row
from babelens.prediction.pictures import GivenPictures
from babelens.prediction.rows import RowError, Unread, example_row, fields_row

STANDARD_INPUT = "-"
_ROWS_AT_ONCE = 256
_BLANKS = b" \t\r\n"


def read_rows(
    place: str, *, images: Path | None = None, strict_images: bool = False, boxes: Sequence[Path] | None = None
) -> Iterator[Row | Unread]:
    """The rows of a JSONL, CoNLL or Parquet file, of all such files of a folder, or of JSONL at standard input ("-").

    A folder is read in the order train, valid, test where it has such files, itself or in folders per language; else
    all of its files by name. Picture ids are files, with or without their ending, in `images`; without it in the
    folder `images` beside the input, or in the input's own folder. `boxes` are the objects known in the pictures;
    None are those of `boxes.jsonl`, or of a folder `boxes` of XML files, beside the input. A row of JSONL or
    Parquet that cannot be read is answered as such; ids that are missing are the number of the line.

    Raises:
        DataError: there is nothing to read, or a CoNLL file or boxes cannot be read.
        ImageError: a picture is missing or unreadable, and pictures are strict.
    """
    if images is not None and not images.is_dir():
        raise fault(images, "a folder of pictures", "a file" if images.exists() else "no such folder")
    given = None if boxes is None else box_files(boxes)
    if place == STANDARD_INPUT:
        folders = [images] if images else [Path("images"), Path()]
        attach = _Attach(ImageStore(folders, strict=strict_images, boxes=given or ()))
        return _jsonl(sys.stdin.buffer, "standard input", attach)
    path = Path(place)
    files = _files(path) if path.is_dir() else [path]
    for file in files:
        _check(file)
    return (row for file in files for row in _read_file(file, images, strict_images, given))


def _files(folder: Path) -> list[Path]:
    """The files of a data directory, in order."""
    endings = (*CONLL, *JSONL, *PARQUET)
    languages = sorted(entry for entry in folder.iterdir() if entry.is_dir() and is_language(entry.name))
    places = [folder, *languages]
    names = [name for split in SPLITS.values() for name in split]
    found = [place / f"{name}{ending}" for name in names for place in places for ending in endings]
    found = [file for file in found if file.is_file()]
    # Tables of ids and the like end in .tsv too: only what is named as a part is taken for a corpus.
    readable = [file for file in sorted(folder.iterdir()) if file.suffix in endings]
    others = [file for file in readable if file.suffix != ".tsv" and file.name != BOXES]
    if not found and not others:
        contents = listing(sorted(entry.name for entry in folder.iterdir())[:10])
        raise fault(folder, "files that end in .txt, .conll, .jsonl or .parquet", contents)
    return found or others


def _check(path: Path) -> None:
    if not path.exists():
        raise fault(path, "a file or a data directory", "no such file or directory")
    if path.is_file() and path.stat().st_size == 0:
        raise fault(path, "at least one row", "an empty file")


def _read_file(
    path: Path, images: Path | None, strict: bool, boxes: Sequence[BoxFile] | None
) -> Iterator[Row | Unread]:
    kind = _kind(path)
    if kind == "conll":
        yield from _conll(path, images, strict, None if boxes is None else [file.source for file in boxes])
        return
    folder = path.resolve().parent
    folders = [images] if images else [folder / "images", folder]
    known = boxes_beside(folder) if boxes is None else boxes
    attach = _Attach(ImageStore(folders, strict=strict, boxes=known))
    if kind == "parquet":
        yield from _parquet(path, attach)
        return
    with open(path, "rb") as file:
        yield from _jsonl(file, str(path), attach)


def _kind(path: Path) -> str:
    """What a file is: by its ending, else by its first bytes. What is no regular file (a pipe) is JSONL."""
    for kind, endings in (("conll", CONLL), ("jsonl", JSONL), ("parquet", PARQUET)):
        if path.suffix in endings:
            return kind
    if not path.is_file():
        return "jsonl"
    with open(path, "rb") as file:
        start = file.read(64).lstrip()
    if start.startswith(b"PAR1"):
        return "parquet"
    return "jsonl" if start.startswith(b"{") else "conll"


def _conll(path: Path, images: Path | None, strict: bool, boxes: Sequence[Path] | None) -> Iterator[Row]:
    folder = path.resolve().parent.name
    language = folder if is_language(folder) else None
    corpus = read_corpus(path, images=images, strict_images=strict, language=language, boxes=boxes)
    for number in range(len(corpus)):
        yield example_row(corpus[number], corpus.picture_keys(number), corpus.picture)


def _jsonl(lines: BinaryIO | Iterable[bytes], name: str, attach: "_Attach") -> Iterator[Row | Unread]:
    for number, line in enumerate(lines, 1):
        if not line.strip(_BLANKS):
            continue
        if number == 1 and line.lstrip(b"\xef\xbb\xbf \t").startswith(b"["):
            raise fault(name, "one JSON object a line (JSONL)", "a JSON list", line=1)
        yield _row(line, f"{name}:{number}", str(number), attach)


def _row(line: bytes, place: str, id: str, attach: "_Attach") -> Row | Unread:
    try:
        fields = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Unread(id, f"{place}: expected UTF-8, found the byte 0x{line[error.start]:02X}")
    except (ValueError, RecursionError) as error:
        reason = "too many levels" if isinstance(error, RecursionError) else str(error)
        return Unread(id, f"{place}: expected a JSON object, found {quote(line.strip().decode())} ({reason})")
    return _fields(fields, place, id, attach)


def _fields(fields: object, place: str, id: str, attach: "_Attach") -> Row | Unread:
    try:
        return fields_row(fields, id, attach)
    except RowError as error:
        named = fields.get("id") if isinstance(fields, Mapping) else None
        return Unread(id if named is None else str(named), f"{place}: {error}")


def _parquet(path: Path, attach: "_Attach") -> Iterator[Row | Unread]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            known = ("id", "text", "tokens", "words", "image", "images", "language")
            columns = [name for name in file.schema_arrow.names if name in known]
            if not {"text", "tokens", "words"} & set(columns):
                raise fault(path, "a column text or tokens", listing(file.schema_arrow.names))
            number = 0
            for table in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
                for fields in table.to_pylist():
                    number += 1
                    yield _fields(fields, f"{path}:{number}", str(number), attach)
    except pa.ArrowInvalid as error:
        raise fault(path, "a Parquet file", str(error).splitlines()[0]) from error


class _Attach:
    """Makes ids, keys and an opener of what stands in the image field of a row."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store

    def __call__(self, field: Any) -> tuple[tuple[str, ...], tuple[str, ...], Callable[[str], Picture] | None]:
        values = field if isinstance(field, list | tuple) else [field]
        ids: list[str] = []
        content: list[bytes] = []
        for value in values:
            if isinstance(value, Mapping):
                value = value.get("bytes") or value.get("path")
            if isinstance(value, bytes):
                content.append(value)
            elif isinstance(value, str | int) and value != "":
                ids.append(str(value))
            elif value is not None and value != "":
                raise RowError(f"expected a picture id or a list of them, found {quote(value)}")
        if content:
            given = GivenPictures([*content, *map(self._file, ids)], strict=self._store.strict)
            return tuple(ids), given.keys, given.open
        return tuple(ids), tuple(self._store.key(self._inside(name)) for name in ids), self._store.open

    def _file(self, name: str) -> Path:
        return self._store.find(self._inside(name)) or Path(self._store.key(name).removeprefix("file:"))

    def _inside(self, name: str) -> str:
        """A full path as one relative to the folder of pictures that it lies in; others as they are."""
        if os.path.isabs(name):
            for folder in self._store.folders:
                if Path(name).is_relative_to(folder):
                    return str(Path(name).relative_to(folder))
        return name
