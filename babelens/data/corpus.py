"""A corpus: rows in memory-mapped Arrow files, chosen and joined by index, and the pictures that belong to them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from babelens.data.boxes import BoxFile
from babelens.data.images import ImageStore, Picture, Status
from babelens.data.problems import Problem
from babelens.data.rows import Row, RowFile
from babelens.schema import Box, Entity, Example

if TYPE_CHECKING:
    from datasets import Dataset

NO_TYPE = "O"
# In the place of a picture's number: a row with all its pictures.
ALL = -1


@dataclass(frozen=True)
class Part:
    """One file of a corpus: its rows, and what the reader was told about them.

    `language` and `source` stand in where a row names none. `types` renames entity types; a type renamed to "O" is left
    out. `name` begins the ids of rows that have none.
    """

    rows: RowFile
    digest: str
    path: Path
    images: ImageStore
    name: str
    language: str | None = None
    source: str | None = None
    types: Mapping[str, str] = field(default_factory=dict)

    def example(self, row: Row, number: int, picture: int = ALL) -> Example:
        """A row as the rest of the package sees it, with all its pictures or with one of them."""
        entities = row.entities
        if self.types:
            renamed = (
                Entity(entity.start, entity.end, self.types.get(entity.type, entity.type)) for entity in entities
            )
            entities = [entity for entity in renamed if entity.type != NO_TYPE]
        name = row.id if row.id is not None else f"{self.name}:{number + 1}"
        return Example(
            id=name if picture == ALL else f"{name}/{picture + 1}",
            words=tuple(row.words),
            entities=tuple(entities),
            images=tuple(row.images) if picture == ALL else (row.images[picture],),
            text=row.text,
            offsets=None if row.offsets is None else tuple(row.offsets),
            language=row.language or self.language,
            source=row.source or self.source,
            group=row.group,
        )


class Corpus:
    """Rows of one or more files, in order. Memory holds twelve bytes a row; the rest stays on disk until it is read.

    A corpus can be pickled (as a path and an index) and be read by many processes and threads.
    """

    def __init__(self, parts: Sequence[Part], index: np.ndarray | None = None) -> None:
        self.parts = tuple(parts)
        if index is None:
            sizes = [len(part.rows) for part in self.parts]
            index = np.empty((sum(sizes), 3), np.int32)
            index[:, 0] = np.repeat(np.arange(len(sizes)), sizes)
            index[:, 1] = np.concatenate([np.arange(size) for size in sizes]) if sizes else 0
            index[:, 2] = ALL
        self._index = index

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, i: int) -> Example:
        part, row = self._locate(i)
        return part.example(part.rows[row], row, int(self._index[i, 2]))

    def __iter__(self) -> Iterator[Example]:
        for (part, row, number), picture in zip(self._rows(), self._index[:, 2].tolist(), strict=True):
            yield part.example(row, number, picture)

    def _locate(self, i: int) -> tuple[Part, int]:
        part, row = self._index[i, :2]
        return self.parts[part], int(row)

    def _rows(self) -> Iterator[tuple[Part, Row, int]]:
        """All rows with their part and number; runs of neighbouring rows are read together."""
        part_of, row_of = self._index[:, 0], self._index[:, 1]
        breaks = np.flatnonzero((np.diff(part_of) != 0) | (np.diff(row_of) != 1)) + 1
        edges = [0, *breaks.tolist(), len(self)] if len(self) else []
        for start, stop in pairwise(edges):
            part, first = self.parts[part_of[start]], int(row_of[start])
            for number, row in enumerate(part.rows.read(first, first + stop - start), first):
                yield part, row, number

    @cached_property
    def lengths(self) -> np.ndarray:
        """Words per row, as 32-bit integers (rows)."""
        return self._counts("words")

    def _counts(self, column: str) -> np.ndarray:
        counts = np.zeros(len(self), np.int32)
        for number, part in enumerate(self.parts):
            mine = self._index[:, 0] == number
            if mine.any():
                counts[mine] = part.rows.counts(column)[self._index[mine, 1]]
        return counts

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The entity types that occur, sorted."""
        found: set[str] = set()
        for number, part in enumerate(self.parts):
            rows = np.unique(self._index[self._index[:, 0] == number, 1])
            for raw in _distinct(part.rows.column("types"), rows, len(part.rows)):
                found.add(part.types.get(raw, raw))
        return tuple(sorted(found - {NO_TYPE}))

    @cached_property
    def digest(self) -> str:
        """A digest of the content: of the files and their boxes, of how they were read, and of the rows chosen."""
        digest = blake2b(digest_size=16)
        for part in self.parts:
            boxes = [file.path.stem for file in part.images.box_files]  # named by their content
            told = (part.digest, part.name, part.language, part.source, sorted(part.types.items()), *boxes)
            digest.update(repr(told).encode())
        digest.update(np.ascontiguousarray(self._index).tobytes())
        return digest.hexdigest()

    def select(self, indices: Iterable[int] | np.ndarray) -> "Corpus":
        """The rows of these indices, in their order; an index may occur more than once.

        Raises:
            IndexError: an index outside the corpus.
        """
        chosen = np.asarray(indices if isinstance(indices, np.ndarray) else list(indices), np.int64)
        return Corpus(self.parts, self._index[chosen])

    def pairs(self) -> "Corpus":
        """Rows of several pictures as so many pairs of the sentence with one of them, as the 2M-NER paper has them.

        Their ids end in /1, /2, ...; rows of no picture or of one stay what they are. All else, duplicates in counts of
        sentences included, is as if the file held the pairs.
        """
        numbers = np.where(self._index[:, 2] == ALL, self._counts("images"), 1)
        repeated = np.repeat(self._index, np.maximum(numbers, 1), axis=0)
        several = np.repeat(numbers > 1, np.maximum(numbers, 1))
        starts = np.repeat(np.cumsum(np.maximum(numbers, 1)) - np.maximum(numbers, 1), np.maximum(numbers, 1))
        repeated[several, 2] = (np.arange(len(repeated)) - starts)[several]
        return Corpus(self.parts, repeated)

    @staticmethod
    def concatenate(corpora: Sequence["Corpus"]) -> "Corpus":
        """The rows of several corpora, one after the other."""
        parts: list[Part] = []
        indices: list[np.ndarray] = []
        for corpus in corpora:
            indices.append(corpus._index + np.array([len(parts), 0, 0], np.int32))
            parts.extend(corpus.parts)
        return Corpus(parts, np.concatenate(indices) if indices else None)

    @property
    def violations(self) -> int:
        """How many tags break their scheme (an I- that continues nothing, in IOB2)."""
        return int(self._counts("violations").sum())

    def violation_places(self) -> Iterator[Problem]:
        """Where tags break their scheme, as file and line."""
        for part, row, _ in self.select(np.flatnonzero(self._counts("violations")))._rows():
            for word in row.violations:
                yield Problem(part.path, row.line + word, "a tag that its scheme allows here", f"{row.words[word]!r}")

    @property
    def widened(self) -> int:
        """How many entities were given by character offsets inside a word, and widened to the whole word."""
        total = 0
        for number, part in enumerate(self.parts):
            mine = self._index[self._index[:, 0] == number, 1]
            total += int(np.asarray(part.rows.column("widened").to_numpy())[mine].sum())
        return total

    def line(self, i: int) -> tuple[Path, int]:
        """The file of a row and the line of its first word (CoNLL), of the row (JSONL), or its number (tables)."""
        part, row = self._locate(i)
        return part.path, part.rows[row].line

    def picture_keys(self, i: int) -> tuple[str, ...]:
        """One key for each picture of a row; equal keys are the same picture. Opens no picture."""
        part, row = self._locate(i)
        images, embedded = part.rows.images(row)
        if (chosen := int(self._index[i, 2])) != ALL:
            images, embedded = images[chosen : chosen + 1], embedded[chosen : chosen + 1]
        if embedded:
            return tuple(part.images.key(image, digest) for image, digest in zip(images, embedded, strict=True))
        return tuple(part.images.key(image) for image in images)

    def picture(self, key: str) -> Picture:
        """Open a picture by its key, and count it by status.

        Raises:
            ImageError: the picture is missing or unreadable, and the corpus was read with strict pictures.
        """
        return self._owner(key).open(key)

    def _owner(self, key: str) -> ImageStore:
        stores = self._stores
        return next((store for store in stores if store.holds(key)), stores[0] if stores else ImageStore())

    def boxes(self, key: str) -> tuple[Box, ...]:
        """The boxes known of a picture; opens no picture."""
        return self._owner(key).boxes(key)

    def box_names(self, key: str) -> tuple[str, ...]:
        """What boxes may call a picture."""
        return self._owner(key).names(key)

    @property
    def box_files(self) -> tuple[BoxFile, ...]:
        """The files of boxes that belong to the corpus."""
        return tuple({file.source: file for store in self._stores for file in store.box_files}.values())

    def picture_content(self, key: str) -> bytes | None:
        """The bytes of a picture as they are, or None where it is missing."""
        return self._owner(key).content(key)

    def content_digest(self, key: str) -> bytes | None:
        """16 bytes that stand for the content of a picture, wherever it lies; None where it cannot be read."""
        return self._owner(key).digest(key)

    def picture_source(self, key: str) -> Path | bytes | None:
        """The file of a picture, or its bytes where it has none of its own, or None where it is missing."""
        store = self._owner(key)
        return store.file(key) or store.content(key)

    def pictures_digest(self) -> str:
        """A digest of the names in their folders and the sizes in bytes of all pictures; opens none.

        What a file shows may change without its size: that is not noticed.
        """
        told = []
        for key in {key for number in range(len(self)) for key in self.picture_keys(number)}:
            store = self._owner(key)
            file = store.file(key)
            told.append((store.names(key)[0], -1 if file is None else file.stat().st_size))
        return blake2b(repr(sorted(told)).encode(), digest_size=16).hexdigest()

    @cached_property
    def picture_numbers(self) -> np.ndarray:
        """Pictures per row, as 32-bit integers (rows)."""
        return np.where(self._index[:, 2] == ALL, self._counts("images"), 1).astype(np.int32)

    @cached_property
    def _stores(self) -> list[ImageStore]:
        return list({id(part.images): part.images for part in self.parts}.values())

    @property
    def picture_counts(self) -> dict[Status, int]:
        """How many pictures were opened in this process, by status, and in others that were counted in."""
        total: Counter[Status] = Counter()
        for store in self._stores:
            total.update(store.counts)
        return dict(total)

    def count_pictures(self, opened: Mapping[Status, int]) -> None:
        """Count in the pictures that a copy of the corpus in another process opened, by status."""
        if self._stores:
            self._stores[0].count(opened)

    def to_dataset(self) -> "Dataset":
        """The rows as a memory-mapped Hugging Face data set: tokens, ner_tags (IOB2) and images, not decoded."""
        from babelens.data.tables import to_dataset

        return to_dataset(self)


def _distinct(column: pa.ChunkedArray, rows: np.ndarray, total: int) -> list[str]:
    """The distinct strings in a column of lists; of all rows without copying, of some by their numbers."""
    if len(rows) < total:
        column = pa.chunked_array([_taken(column, rows)], column.type)
    return pc.unique(pc.list_flatten(column)).to_pylist()  # pyright: ignore[reportAttributeAccessIssue]


def _taken(column: pa.ChunkedArray, rows: np.ndarray) -> pa.Array:
    taken = column.take(pa.array(rows))
    return pa.concat_arrays(taken.chunks) if taken.num_chunks else pa.array([], column.type)
