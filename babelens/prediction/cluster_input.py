"""Rows on any disk that fsspec reaches, cut into shards that each worker reads for itself.

Only JSONL and Parquet: a piece of them can be found without reading what stands before.
"""

import posixpath
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from babelens.data.images import ImageStore
from babelens.data.places import JSONL, PARQUET
from babelens.data.problems import listing
from babelens.data.reading import HUB, box_files, boxes_beside
from babelens.models.batch import Row
from babelens.prediction.cluster_disk import ClusterError, Disk, is_remote
from babelens.prediction.cluster_pictures import RemoteStore
from babelens.prediction.hub_rows import COLUMNS, TEXT
from babelens.prediction.inputs import STANDARD_INPUT, Attach, files_of, read_fields, read_line
from babelens.prediction.rows import Unread

_BLANKS = b" \t\r\n"
_BUFFER = 1 << 20
_ROWS_AT_ONCE = 256


class File(msgspec.Struct, frozen=True):
    """A file of rows: what it is called in messages, and where workers find it."""

    name: str
    place: str

    @property
    def parquet(self) -> bool:
        """Whether it is Parquet; else it is JSONL."""
        return self.name.endswith(PARQUET)


class Piece(msgspec.Struct, frozen=True):
    """`rows` rows of the file of that number, after `before` lines and `byte` bytes; of Parquet, after so many rows."""

    file: int
    before: int
    byte: int
    rows: int


class Shard(msgspec.Struct, frozen=True):
    """Rows that one worker reads, answers and writes; shards are numbered from 0 in the order of the rows."""

    number: int
    pieces: tuple[Piece, ...]


class Pictures(msgspec.Struct, frozen=True):
    """Where pictures lie: a folder, or None for that beside the input; and the boxes known in them, as for `Rows`."""

    folder: str | None = None
    strict: bool = False
    boxes: tuple[str, ...] | None = None


def find_files(place: str) -> list[File]:
    """The files of an input: one file, a folder of them, or all that a pattern with * stands for.

    A folder of this machine is read in the order of `Rows`; one elsewhere, and a pattern, by name.

    Raises:
        DataError: a folder of this machine has nothing to read.
        ClusterError: there is nothing, or something that is neither JSONL nor Parquet.
    """
    if place == STANDARD_INPUT or place.startswith(HUB):
        raise ClusterError(f"{place}: expected JSONL or Parquet files for --engine ray, found another kind of input")
    disk = Disk(place)
    if disk.is_folder() and not is_remote(place):
        found = [(str(path), Disk(str(path))) for path in files_of(Path(place.removeprefix("file://")))]
    elif disk.is_folder():
        inside = [name for name in disk.names() if name.endswith((*JSONL, *PARQUET))]
        found = [((disk / name).place, disk / name) for name in inside]
    elif disk.is_file():
        found = [(place, disk)]
    else:
        found = [(one.place, one) for one in disk.matching()] if "*" in place else []
    if not found:
        raise ClusterError(f"{place}: expected a file or a folder of JSONL or Parquet files, found none")
    return [_file(name, disk) for name, disk in found]


def _file(name: str, disk: Disk) -> File:
    if not name.endswith((*JSONL, *PARQUET)):
        raise ClusterError(
            f"{name}: expected a name that ends in {listing([*JSONL, *PARQUET])} for --engine ray, found another"
        )
    if not disk.size():
        raise ClusterError(f"{name}: expected at least one row, found an empty file")
    return File(name, disk.place)


def cut_rows(files: Sequence[File], rows: int, limit: int | None = None) -> tuple[list[Shard], list[str]]:
    """Cut the rows of files, or the first `limit`, into shards of so many rows; and digests of what was read for it.

    The files are read once from their beginning, but the rows in them are not. Of Parquet all is digested.

    Raises:
        ClusterError: a file is a JSON list, or no Parquet file with text.
    """
    cutter = _Cutter(rows, limit)
    digests: list[str] = []
    for number, file in enumerate(files):
        digest = blake2b(digest_size=16)
        with Disk(file.place).open() as opened:
            if file.parquet:
                while chunk := opened.read(_BUFFER):
                    digest.update(chunk)
                cutter.add_table(number, _parquet(file, opened).metadata.num_rows)
            else:
                for before, line in enumerate(opened):
                    if before == 0 and line.lstrip(b"\xef\xbb\xbf \t").startswith(b"["):
                        raise ClusterError(f"{file.name}:1: expected one JSON object a line (JSONL), found a JSON list")
                    digest.update(line)
                    cutter.add_line(number, before, line)
                    if cutter.full:
                        break
        digests.append(digest.hexdigest())
        cutter.end_file()
        if cutter.full:
            break
    return cutter.finish(), digests


class _Cutter:
    """Counts rows into pieces, and pieces into shards."""

    def __init__(self, rows: int, limit: int | None) -> None:
        self._rows = rows
        self._left = limit
        self._shards: list[Shard] = []
        self._pieces: list[Piece] = []
        self._held = 0  # rows of the shard that is being cut, those of the piece included
        self._start: tuple[int, int, int] | None = None
        self._count = 0
        self._byte = 0

    @property
    def full(self) -> bool:
        """Whether there are as many rows as were asked for."""
        return self._left is not None and self._left <= 0

    def add_line(self, file: int, before: int, line: bytes) -> None:
        """Count a line, which may be blank."""
        if line.strip(_BLANKS):
            self._add((file, before, self._byte), 1)
        self._byte += len(line)

    def add_table(self, file: int, rows: int) -> None:
        """Count the rows of a table."""
        before = 0
        while before < rows and not self.full:
            taken = min(self._rows - self._held, rows - before, rows if self._left is None else self._left)
            self._add((file, before, 0), taken)
            before += taken

    def end_file(self) -> None:
        """What follows is of another file."""
        self._end_piece()
        self._byte = 0

    def finish(self) -> list[Shard]:
        """All shards."""
        self._end_shard()
        return self._shards

    def _add(self, start: tuple[int, int, int], rows: int) -> None:
        self._start = self._start or start
        self._count += rows
        self._held += rows
        if self._left is not None:
            self._left -= rows
        if self._held == self._rows:
            self._end_shard()

    def _end_piece(self) -> None:
        if self._start is not None:
            self._pieces.append(Piece(*self._start, self._count))
        self._start, self._count = None, 0

    def _end_shard(self) -> None:
        self._end_piece()
        if self._pieces:
            self._shards.append(Shard(len(self._shards), tuple(self._pieces)))
        self._pieces, self._held = [], 0


class ShardReader:
    """Reads the rows of shards, each time as if all that stands before had been read too."""

    def __init__(self, files: Sequence[File], pictures: Pictures) -> None:
        self._files = files
        self._pictures = pictures
        self._attaching: dict[str, Attach] = {}

    def rows(self, shard: Shard) -> Iterator[Row | Unread]:
        """The rows of a shard, in order; what cannot be read is among them.

        Raises:
            ClusterError: a file cannot be read, or is not what it was when its rows were counted.
        """
        for piece in shard.pieces:
            file, count = self._files[piece.file], 0
            try:
                for row in self._table(file, piece) if file.parquet else self._lines(file, piece):
                    count += 1
                    yield row
            except (pa.ArrowInvalid, OSError) as error:
                raise ClusterError(f"{file.name}: expected rows that can be read, found: {error}") from error
            if count != piece.rows:
                raise ClusterError(f"{file.name}: expected {piece.rows:,} rows in a piece, found {count:,}")

    def _lines(self, file: File, piece: Piece) -> Iterator[Row | Unread]:
        with Disk(file.place).open() as opened:
            opened.seek(piece.byte)
            lines = enumerate(opened, piece.before + 1)
            full = ((number, line) for number, line in lines if line.strip(_BLANKS))
            for number, line in islice(full, piece.rows):
                yield read_line(line, f"{file.name}:{number}", str(number), self._attach(file))

    def _table(self, file: File, piece: Piece) -> Iterator[Row | Unread]:
        with Disk(file.place).open() as opened, _parquet(file, opened) as table:
            columns = [name for name in table.schema_arrow.names if name in COLUMNS]
            groups, first = [], 0
            for group in range(table.metadata.num_row_groups):
                end = first + table.metadata.row_group(group).num_rows
                if first < piece.before + piece.rows and end > piece.before:
                    groups.append((group, first))
                first = end
            number = groups[0][1]
            batches = table.iter_batches(_ROWS_AT_ONCE, row_groups=[group for group, _ in groups], columns=columns)
            for batch in batches:
                for fields in batch.to_pylist():
                    number += 1
                    if piece.before < number <= piece.before + piece.rows:
                        yield read_fields(fields, f"{file.name}:{number}", str(number), self._attach(file))

    def _attach(self, file: File) -> Attach:
        folder = posixpath.dirname(file.place)
        if folder not in self._attaching:
            self._attaching[folder] = Attach(self._store(folder))
        return self._attaching[folder]

    def _store(self, folder: str) -> ImageStore:
        own = self._pictures
        folders = [f"{folder}/images", folder] if own.folder is None else [own.folder]
        if is_remote(folders[0]):
            return RemoteStore(folders, strict=own.strict)
        known = boxes_beside(Path(folder)) if own.boxes is None else box_files(own.boxes)
        return ImageStore([Path(one) for one in folders], strict=own.strict, boxes=known)


def _parquet(file: File, opened: Any) -> Any:
    try:
        table = pq.ParquetFile(opened)
    except pa.ArrowInvalid as error:
        raise ClusterError(f"{file.name}: expected a Parquet file, found: {str(error).splitlines()[0]}") from error
    if not TEXT & set(table.schema_arrow.names):
        names = listing(table.schema_arrow.names)
        raise ClusterError(f"{file.name}: expected a column text or tokens, found {names}")
    return table
