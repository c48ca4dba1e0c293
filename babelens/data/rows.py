"""Rows of a corpus in an Arrow file: written in batches as they are read, then mapped into memory and never loaded."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc as ipc

from babelens.schema import Entity

BATCH = 2048
_BATCH_BYTES = 64 << 20

_STRINGS = pa.list_(pa.string())
_NUMBERS = pa.list_(pa.int32())
SCHEMA = pa.schema(
    [
        ("words", _STRINGS),
        ("starts", _NUMBERS),
        ("ends", _NUMBERS),
        ("types", _STRINGS),
        ("images", _STRINGS),
        ("embedded", _STRINGS),
        ("violations", _NUMBERS),
        ("offsets", _NUMBERS),
        ("line", pa.int64()),
        ("widened", pa.int32()),
        ("id", pa.string()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("source", pa.string()),
        ("group", pa.string()),
    ]
)
_PICTURES = pa.schema([("hash", pa.string()), ("bytes", pa.large_binary())])


class Row(NamedTuple):
    """One row as a reader gives it.

    `line` is the line of the first word (CoNLL) or of the row (JSONL), or the number of the row (tables), from 1.
    `violations` are the words whose tag breaks the scheme; `widened` counts entities that were widened to whole words.
    `pictures` are the bytes of the pictures where the file holds any itself, one for each of `images` (or None).
    """

    words: Sequence[str]
    entities: Sequence[Entity] = ()
    images: Sequence[str] = ()
    line: int = 0
    violations: Sequence[int] = ()
    widened: int = 0
    id: str | None = None
    text: str | None = None
    offsets: Sequence[tuple[int, int]] | None = None
    language: str | None = None
    source: str | None = None
    group: str | None = None
    pictures: Sequence[bytes | None] = ()


def write_rows(rows: Iterable[Row], path: Path, pictures: Path) -> int:
    """Write rows to an Arrow file, and the pictures in them (each once) to another; give the number of rows.

    The file of pictures is only made where there are any. At no time is more than one batch in memory.
    """
    total = 0
    with _PictureWriter(pictures) as store, pa.OSFile(str(path), "wb") as sink, ipc.new_file(sink, SCHEMA) as writer:
        batch: list[Row] = []
        embedded: list[list[str | None]] = []
        for row in rows:
            embedded.append([None if content is None else store.add(content) for content in row.pictures])
            batch.append(row._replace(pictures=()) if row.pictures else row)
            if len(batch) == BATCH:
                writer.write_batch(_arrow(batch, embedded))
                total += len(batch)
                batch, embedded = [], []
        if batch:
            writer.write_batch(_arrow(batch, embedded))
            total += len(batch)
    return total


def _arrow(rows: list[Row], embedded: list[list[str | None]]) -> pa.RecordBatch:
    return pa.record_batch(
        [
            _lists([row.words for row in rows], pa.string()),
            _lists([[entity.start for entity in row.entities] for row in rows], pa.int32()),
            _lists([[entity.end for entity in row.entities] for row in rows], pa.int32()),
            _lists([[entity.type for entity in row.entities] for row in rows], pa.string()),
            _lists([row.images for row in rows], pa.string()),
            _lists(embedded, pa.string()),
            _lists([row.violations for row in rows], pa.int32()),
            pa.array(
                [None if row.offsets is None else [at for pair in row.offsets for at in pair] for row in rows],
                _NUMBERS,
            ),
            *(pa.array([getattr(row, name) for row in rows], SCHEMA.field(name).type) for name in SCHEMA.names[8:]),
        ],
        schema=SCHEMA,
    )


def _lists(values: Sequence[Sequence[object]], type_: pa.DataType) -> pa.ListArray:
    """A column of lists from one flat array: several times faster than converting nested lists."""
    ends = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(value) for value in values], out=ends[1:])
    flat = [item for value in values for item in value]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(flat, type_))


class _PictureWriter:
    """Writes each distinct picture once; its name is the digest of its bytes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: set[bytes] = set()
        self._batch: list[tuple[str, bytes]] = []
        self._bytes = 0
        self._sink: pa.NativeFile | None = None
        self._writer: ipc.RecordBatchFileWriter | None = None

    def __enter__(self) -> "_PictureWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        if self._writer is not None and self._sink is not None:
            self._writer.close()
            self._sink.close()

    def add(self, content: bytes) -> str:
        digest = sha256(content)
        if digest.digest()[:16] not in self._known:
            self._known.add(digest.digest()[:16])
            self._batch.append((digest.hexdigest(), content))
            self._bytes += len(content)
            if self._bytes >= _BATCH_BYTES:
                self._flush()
        return digest.hexdigest()

    def _flush(self) -> None:
        if not self._batch:
            return
        if self._writer is None:
            self._sink = pa.OSFile(str(self._path), "wb")
            self._writer = ipc.new_file(self._sink, _PICTURES)
        names, contents = zip(*self._batch, strict=True)
        columns = [pa.array(names, pa.string()), pa.array(contents, pa.large_binary())]
        self._writer.write_batch(pa.record_batch(columns, schema=_PICTURES))
        self._batch, self._bytes = [], 0


class RowFile:
    """The rows of an Arrow file, mapped into memory. A pickled one carries its path, not its rows."""

    def __init__(self, path: Path, pictures: Path) -> None:
        self.path = path
        self.pictures_path = pictures
        reader = ipc.open_file(pa.memory_map(str(path)))
        self._batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        self._ends = list(np.cumsum([batch.num_rows for batch in self._batches], dtype=int)) if self._batches else []

    def __reduce__(self) -> tuple[type["RowFile"], tuple[Path, Path]]:
        return RowFile, (self.path, self.pictures_path)

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._ends else 0

    def __getitem__(self, number: int) -> Row:
        batch, row = self._locate(number)
        return _rows(batch.slice(row, 1))[0]

    def images(self, number: int) -> tuple[list[str], list[str | None]]:
        """The picture ids of a row, and the digests of the pictures where the file holds them itself."""
        batch, row = self._locate(number)
        return batch.column("images")[row].as_py(), batch.column("embedded")[row].as_py()

    def _locate(self, number: int) -> tuple[pa.RecordBatch, int]:
        place = bisect_right(self._ends, number)
        batch = self._batches[place]
        return batch, number - int(self._ends[place]) + batch.num_rows

    def read(self, start: int, stop: int) -> Iterator[Row]:
        """The rows from `start` up to, but without, `stop`, in order; faster than one at a time."""
        begin = 0
        for batch in self._batches:
            low, high = max(start - begin, 0), min(stop - begin, batch.num_rows)
            for at in range(low, high, 256):
                yield from _rows(batch.slice(at, min(256, high - at)))
            begin += batch.num_rows

    def column(self, name: str) -> pa.ChunkedArray:
        """A column of all rows; nothing is copied."""
        return pa.chunked_array([batch.column(name) for batch in self._batches], SCHEMA.field(name).type)

    def counts(self, name: str) -> np.ndarray:
        """How many items each row has in a column of lists, as 32-bit integers (rows)."""
        counted = pc.list_value_length(self.column(name)).to_numpy()  # pyright: ignore[reportAttributeAccessIssue]
        return np.asarray(counted, np.int32)

    @cached_property
    def _pictures(self) -> tuple[list[pa.RecordBatch], np.ndarray, np.ndarray, np.ndarray]:
        """The batches of pictures, the sorted first halves of their digests, and the batch and row of each."""
        reader = ipc.open_file(pa.memory_map(str(self.pictures_path)))
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        starts = [_short(name) for batch in batches for name in batch.column("hash").to_pylist()]
        short = np.array(starts, np.uint64)
        order = np.argsort(short, kind="stable")
        batch_of = np.repeat(np.arange(len(batches)), [batch.num_rows for batch in batches])
        row_of = np.concatenate([np.arange(batch.num_rows) for batch in batches])
        return batches, short[order], batch_of[order], row_of[order]

    def picture(self, digest: str) -> bytes | None:
        """The bytes of an embedded picture, or None where the file does not hold it."""
        if not self.pictures_path.exists():
            return None
        batches, short, batch_of, row_of = self._pictures
        wanted = np.uint64(_short(digest))
        for at in range(int(np.searchsorted(short, wanted)), len(short)):
            if short[at] != wanted:
                break
            batch, row = batches[batch_of[at]], int(row_of[at])
            if batch.column("hash")[row].as_py() == digest:
                return batch.column("bytes")[row].as_py()
        return None


def _short(digest: str) -> int:
    return int(digest[:16], 16)


def _rows(batch: pa.RecordBatch) -> list[Row]:
    columns = {name: batch.column(name).to_pylist() for name in SCHEMA.names}
    rows: list[Row] = []
    for number in range(batch.num_rows):
        offsets = columns["offsets"][number]
        rows.append(
            Row(
                words=columns["words"][number],
                entities=[
                    Entity(start, end, type_)
                    for start, end, type_ in zip(
                        columns["starts"][number], columns["ends"][number], columns["types"][number], strict=True
                    )
                ],
                images=columns["images"][number],
                line=columns["line"][number],
                violations=columns["violations"][number],
                widened=columns["widened"][number],
                id=columns["id"][number],
                text=columns["text"][number],
                offsets=None if offsets is None else list(zip(offsets[::2], offsets[1::2], strict=True)),
                language=columns["language"][number],
                source=columns["source"][number],
                group=columns["group"][number],
            )
        )
    return rows
