"""Files, folders, data sets of the hub and standard input to rows, one after the other: memory does not grow."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b, file_digest
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from babelens.data.corpus import Corpus
from babelens.data.images import ImageStore, Picture
from babelens.data.languages import is_language
from babelens.data.places import BOXES, CONLL, JSONL, PARQUET, SPLITS
from babelens.data.problems import DataError, Problem, fault, listing, quote
from babelens.data.reading import HUB, box_files, boxes_beside, read_corpus
from babelens.models.batch import Row
from babelens.prediction.hub_rows import COLUMNS, TEXT, open_hub
from babelens.prediction.pictures import GivenPictures
from babelens.prediction.rows import RowError, Unread, example_row, fields_row

STANDARD_INPUT = "-"
_ROWS_AT_ONCE = 256
_BLANKS = b" \t\r\n"
_CHUNK = 1 << 20

# A row that has been found, but not yet read: what is skipped costs no more than finding it.
_Found = Callable[[], Row | Unread]


class Rows:
    """The rows of a JSONL, CoNLL or Parquet file, of all such files of a folder, of `hub:NAME`, or of standard input.

    A folder is read in the order train, valid, test where it has such files, itself or in folders per language; else
    all of its files by name. Picture ids are files, with or without their ending, in `images`; without it in the
    folder `images` beside the input, or in the input's own folder. `boxes` are the objects known in the pictures;
    None are those of `boxes.jsonl`, or of a folder `boxes` of XML files, beside the input. A row of JSONL or
    Parquet that cannot be read is answered as such; ids that are missing are the number of the line. `hub:NAME` or
    `hub:NAME:CONFIGURATION` is streamed, all its parts, with the pictures that are in it. "-" is JSONL from standard
    input.

    Raises:
        DataError: there is nothing to read, or a CoNLL file or boxes cannot be read.
        ImageError: a picture is missing or unreadable, and pictures are strict (when its batch is made).
    """

    def __init__(
        self,
        place: str,
        *,
        images: Path | None = None,
        strict_images: bool = False,
        boxes: Sequence[Path] | None = None,
    ) -> None:
        if images is not None and not images.is_dir():
            raise fault(images, "a folder of pictures", "a file" if images.exists() else "no such folder")
        self.place = place
        self._images = images
        self._strict = strict_images
        self._boxes = None if boxes is None else box_files(boxes)
        self._hub = open_hub(place) if place.startswith(HUB) else None
        self._files: list[Path] = []
        self._corpora: dict[Path, Corpus] = {}
        if self._hub is None and place != STANDARD_INPUT:
            path = Path(place)
            self._files = files_of(path) if path.is_dir() else [path]
            for file in self._files:
                _check(file)

    def __iter__(self) -> Iterator[Row | Unread]:
        return self.rows()

    @property
    def repeatable(self) -> bool:
        """Whether the same rows can be read again: those of standard input and of pipes cannot."""
        return self._hub is not None or (bool(self._files) and all(file.is_file() for file in self._files))

    def facts(self) -> dict[str, Any]:
        """What the rows are, with digests of the files (BLAKE2b, 128 bits): inputs of equal facts have equal rows.

        What is in the folder of pictures is not looked at, only which one it is.
        """
        settings = {
            "images": None if self._images is None else str(self._images.resolve()),
            "strict_images": self._strict,
            "boxes": None if self._boxes is None else [_digest(file.source) for file in self._boxes],
        }
        if self._hub is not None:
            return {"input": self.place, "digest": self._hub.digest, **settings}
        return {"input": [{"file": str(file.resolve()), "digest": _digest(file)} for file in self._files], **settings}

    def total(self) -> int | None:
        """How many rows there are, as far as that can be told at once: blank lines of JSONL count as well."""
        if not self.repeatable or self._hub is not None:
            return None if self._hub is None else self._hub.total
        return sum(self._count(file) for file in self._files)

    def rows(self, start: int = 0) -> Iterator[Row | Unread]:
        """The rows, from the one with that number (from 0) on."""
        return (read() for read in islice(self._found(), start, None))

    def _found(self) -> Iterator[_Found]:
        if self._hub is not None:
            attach = Attach(ImageStore([], strict=self._strict))
            for number, fields in enumerate(self._hub.fields(), 1):
                yield partial(read_fields, fields, f"{self.place}:{number}", str(number), attach)
        elif not self._files:
            folders = [self._images] if self._images else [Path("images"), Path()]
            attach = Attach(ImageStore(folders, strict=self._strict, boxes=self._boxes or ()))
            yield from _jsonl(sys.stdin.buffer, "standard input", attach)
        for file in self._files:
            yield from self._file(file)

    def _file(self, path: Path) -> Iterator[_Found]:
        kind = _kind(path)
        if kind == "conll":
            corpus = self._corpus(path)
            for number in range(len(corpus)):
                yield partial(_example, corpus, number)
            return
        folder = path.resolve().parent
        folders = [self._images] if self._images else [folder / "images", folder]
        known = boxes_beside(folder) if self._boxes is None else self._boxes
        attach = Attach(ImageStore(folders, strict=self._strict, boxes=known))
        if kind == "parquet":
            yield from _parquet(path, attach)
            return
        with open(path, "rb") as file:
            yield from _jsonl(file, str(path), attach)

    def _corpus(self, path: Path) -> Corpus:
        if path not in self._corpora:
            folder = path.resolve().parent.name
            try:
                self._corpora[path] = read_corpus(
                    path,
                    images=self._images,
                    strict_images=self._strict,
                    language=folder if is_language(folder) else None,
                    boxes=None if self._boxes is None else [file.source for file in self._boxes],
                )
            except DataError as error:
                if all((problem.path, problem.line) != (path, 1) for problem in error.problems):
                    raise
                expected = 'words and tags (CoNLL); texts go into JSONL, {"text": "..."} a line'
                raise DataError([Problem(path, None, expected, "lines of another kind"), *error.problems]) from error
        return self._corpora[path]

    def _count(self, path: Path) -> int:
        kind = _kind(path)
        if kind == "conll":
            return len(self._corpus(path))
        if kind == "parquet":
            import pyarrow.parquet as pq
            from pyarrow import ArrowInvalid

            try:
                return pq.read_metadata(path).num_rows
            except ArrowInvalid as error:
                raise _no_parquet(path, error) from error
        with open(path, "rb") as file:
            lines, last = 0, b"\n"
            while chunk := file.read(_CHUNK):
                lines, last = lines + chunk.count(b"\n"), chunk[-1:]
        return lines + (last != b"\n")


def files_of(folder: Path) -> list[Path]:
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
    if path.suffix == ".csv" and path.is_file():
        raise fault(path, "JSONL (a JSON object a line), CoNLL or Parquet", "a table of comma-separated values")


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


def _example(corpus: Corpus, number: int) -> Row:
    return example_row(corpus[number], corpus.picture_keys(number), corpus.picture)


def _jsonl(lines: BinaryIO | Iterable[bytes], name: str, attach: "Attach") -> Iterator[_Found]:
    for number, line in enumerate(lines, 1):
        if not line.strip(_BLANKS):
            continue
        if number == 1 and line.lstrip(b"\xef\xbb\xbf \t").startswith(b"["):
            raise fault(name, "one JSON object a line (JSONL)", "a JSON list", line=1)
        yield partial(read_line, line, f"{name}:{number}", str(number), attach)


def read_line(line: bytes, place: str, id: str, attach: "Attach") -> Row | Unread:
    """The row of a line of JSONL; `place` is told where it cannot be read, and `id` stands in where it has none."""
    try:
        fields = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Unread(id, f"{place}: expected UTF-8, found the byte 0x{line[error.start]:02X}")
    except (ValueError, RecursionError) as error:
        reason = "too many levels" if isinstance(error, RecursionError) else str(error)
        return Unread(id, f"{place}: expected a JSON object, found {quote(line.strip().decode())} ({reason})")
    return read_fields(fields, place, id, attach)


def read_fields(fields: object, place: str, id: str, attach: "Attach") -> Row | Unread:
    """The row of named fields, as `read_line` reads it."""
    try:
        return fields_row(fields, id, attach)
    except RowError as error:
        named = fields.get("id") if isinstance(fields, Mapping) else None
        return Unread(id if named is None else str(named), f"{place}: {error}")


def _parquet(path: Path, attach: "Attach") -> Iterator[_Found]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = [name for name in file.schema_arrow.names if name in COLUMNS]
            if not TEXT & set(columns):
                raise fault(path, "a column text or tokens", listing(file.schema_arrow.names))
            number = 0
            for table in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
                for fields in table.to_pylist():
                    number += 1
                    yield partial(read_fields, fields, f"{path}:{number}", str(number), attach)
    except pa.ArrowInvalid as error:
        raise _no_parquet(path, error) from error


def _no_parquet(path: Path, error: Exception) -> DataError:
    return fault(path, "a Parquet file", str(error).splitlines()[0])


def _digest(path: Path) -> str:
    if path.is_dir():
        return " ".join(_digest(file) for file in sorted(path.iterdir()) if file.is_file())
    with open(path, "rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()


class Attach:
    """Makes ids, keys and an opener of what stands in the image field of a row."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store

    def __call__(self, field: Any) -> tuple[tuple[str, ...], tuple[str, ...], Callable[[str], Picture] | None]:
        """The ids, the keys and an opener of the pictures of a field."""
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
