"""A corpus: rows in memory-mapped Arrow files, chosen and joined by index, and the pictures that belong to them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
# In the place of a part: a row whose pictures are not shown.
NOWHERE = -1


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

    def example(self, row: Row, number: int, picture: int = ALL, images: Sequence[str] | None = None) -> Example:
        """A row as the rest of the package sees it, with all its pictures, one of them, or these `images` of others."""
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
            images=tuple(_one(row.images, picture) if images is None else images),
            text=row.text,
            offsets=None if row.offsets is None else tuple(row.offsets),
            language=row.language or self.language,
            source=row.source or self.source,
            group=row.group,
        )


class Corpus:
    """Rows of one or more files, in order. Memory holds twelve bytes a row; the rest stays on disk until it is read.

    A corpus can be pickled (as a path and an index) and be read by many processes and threads. `index` (row, 3) says of
    each row its part, its number there, and which of its pictures it has; `shown` (row, 3) says the same of the row
    whose pictures it shows, where these are not its own (see `with_pictures_of`): twelve more bytes a row.
    """

    def __init__(self, parts: Sequence[Part], index: np.ndarray | None = None, shown: np.ndarray | None = None) -> None:
        self.parts = tuple(parts)
        if index is None:
            sizes = [len(part.rows) for part in self.parts]
            index = np.empty((sum(sizes), 3), np.int32)
            index[:, 0] = np.repeat(np.arange(len(sizes)), sizes)
            index[:, 1] = np.concatenate([np.arange(size) for size in sizes]) if sizes else 0
            index[:, 2] = ALL
        self._index = index
        self._shown = shown

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, i: int) -> Example:
        part, row = self._locate(i)
        images = None if self._shown is None else self._images(i)[0]
        return part.example(part.rows[row], row, int(self._index[i, 2]), images)

    def __iter__(self) -> Iterator[Example]:
        for i, (part, row, number) in enumerate(self._rows()):
            images = None if self._shown is None else self._images(i)[0]
            yield part.example(row, number, int(self._index[i, 2]), images)

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
        return self._counts("words", self._index)

    def _counts(self, column: str, index: np.ndarray) -> np.ndarray:
        counts = np.zeros(len(index), np.int32)
        for number, part in enumerate(self.parts):
            mine = index[:, 0] == number
            if mine.any():
                counts[mine] = part.rows.counts(column)[index[mine, 1]]
        return counts

    @property
    def _pictured(self) -> np.ndarray:
        """Of each row (row, 3), the row whose pictures it shows: mostly itself."""
        return self._index if self._shown is None else self._shown

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
        """A digest of the content: of the files and their boxes, of how they were read, and of the rows chosen.

        Rows that show other pictures than their own, or spoilt ones, have another digest.
        """
        digest = blake2b(digest_size=16)
        for part in self.parts:
            boxes = [file.path.stem for file in part.images.box_files]  # named by their content
            told = (part.digest, part.name, part.language, part.source, sorted(part.types.items()), *boxes)
            digest.update(repr(told).encode() + part.images.spoil.encode())
        digest.update(np.ascontiguousarray(self._index).tobytes())
        if self._shown is not None:
            digest.update(np.ascontiguousarray(self._shown).tobytes())
        return digest.hexdigest()

    def select(self, indices: Iterable[int] | np.ndarray) -> "Corpus":
        """The rows of these indices, in their order; an index may occur more than once.

        Raises:
            IndexError: an index outside the corpus.
        """
        chosen = np.asarray(indices if isinstance(indices, np.ndarray) else list(indices), np.int64)
        return Corpus(self.parts, self._index[chosen], None if self._shown is None else self._shown[chosen])

    def with_pictures_of(self, rows: np.ndarray) -> "Corpus":
        """The same rows, each with the pictures that the row of this number (rows) shows; -1 is none.

        A picture keeps its key, its name and its boxes.

        Raises:
            IndexError: a number outside the corpus, or not one for each row.
        """
        if len(rows) != len(self) or (len(rows) and not -1 <= rows.min() <= rows.max() < len(self)):
            raise IndexError(f"expected the numbers of {len(self)} rows, or -1, one for each row")
        none = np.array([NOWHERE, 0, ALL], np.int32)
        shown = np.concatenate([self._pictured, none[None]])[np.where(rows < 0, len(self), rows)]
        return Corpus(self.parts, self._index, shown)

    def with_stores(self, change: Callable[[ImageStore], ImageStore]) -> "Corpus":
        """The same rows, their pictures found and opened by other stores; each store is changed once."""
        stores = {id(store): change(store) for store in self._stores}
        parts = [replace(part, images=stores[id(part.images)]) for part in self.parts]
        return Corpus(parts, self._index, self._shown)

    def pairs(self) -> "Corpus":
        """Rows of several pictures as so many pairs of the sentence with one of them, as the 2M-NER paper has them.

        Their ids end in /1, /2, ...; rows of no picture or of one stay what they are. All else, duplicates in counts of
        sentences included, is as if the file held the pairs.
        """
        numbers = self.picture_numbers
        times = np.maximum(numbers, 1)
        repeated = np.repeat(self._index, times, axis=0)
        shown = None if self._shown is None else np.repeat(self._shown, times, axis=0)
        several = np.repeat(numbers > 1, times)
        starts = np.repeat(np.cumsum(times) - times, times)
        for index in (repeated, shown):
            if index is not None:
                index[several, 2] = (np.arange(len(repeated)) - starts)[several]
        return Corpus(self.parts, repeated, shown)

    @staticmethod
    def concatenate(corpora: Sequence["Corpus"]) -> "Corpus":
        """The rows of several corpora, one after the other."""
        parts: list[Part] = []
        indices: list[np.ndarray] = []
        shown: list[np.ndarray] = []
        for corpus in corpora:
            indices.append(corpus._index + np.array([len(parts), 0, 0], np.int32))
            own = corpus._pictured
            shown.append(np.where(own[:, :1] == NOWHERE, own, own + np.array([len(parts), 0, 0], np.int32)))
            parts.extend(corpus.parts)
        if not indices:
            return Corpus(parts)
        disguised = any(corpus._shown is not None for corpus in corpora)
        return Corpus(parts, np.concatenate(indices), np.concatenate(shown) if disguised else None)

    @property
    def violations(self) -> int:
        """How many tags break their scheme (an I- that continues nothing, in IOB2)."""
        return int(self._counts("violations", self._index).sum())

    def violation_places(self) -> Iterator[Problem]:
        """Where tags break their scheme, as file and line."""
        for part, row, _ in self.select(np.flatnonzero(self._counts("violations", self._index)))._rows():
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
        images, embedded = self._images(i)
        if not images:
            return ()
        store = self.parts[self._pictured[i, 0]].images
        if embedded:
            return tuple(store.key(image, digest) for image, digest in zip(images, embedded, strict=True))
        return tuple(store.key(image) for image in images)

    def _images(self, i: int) -> tuple[Sequence[str], Sequence[str | None]]:
        """The ids of the pictures that a row shows, and the digests of those that its file holds itself."""
        part, row, picture = self._pictured[i].tolist()
        if part == NOWHERE:
            return (), ()
        images, embedded = self.parts[part].rows.images(row)
        return _one(images, picture), _one(embedded, picture)

    def picture_folders(self, i: int) -> tuple[Path, ...]:
        """Where the pictures of a row are looked for; nowhere if it shows none."""
        part = int(self._pictured[i, 0])
        return () if part == NOWHERE else self.parts[part].images.folders

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

    def picture_size(self, key: str) -> int | None:
        """The bytes that a picture takes, or None where it is missing."""
        return self._owner(key).size(key)

    def pictures_digest(self) -> str:
        """A digest of the names in their folders and the sizes in bytes of all pictures; opens none.

        What a file shows may change without its size: that is not noticed, nor is what changes after the first asking.
        Where rows show other pictures than their own, which ones is part of it; so is how pictures are spoilt.
        """
        return self._pictures_digest

    @cached_property
    def _pictures_digest(self) -> str:
        keys = {key for number in range(len(self)) for key in self.picture_keys(number)}
        digest = blake2b(repr(sorted(self._owner(key).trace(key) for key in keys)).encode(), digest_size=16)
        if self._shown is not None:
            digest.update(np.ascontiguousarray(self._shown).tobytes())
        return digest.hexdigest()

    @cached_property
    def picture_numbers(self) -> np.ndarray:
        """Pictures per row, as 32-bit integers (rows)."""
        pictured = self._pictured
        one = (pictured[:, 2] != ALL) & (pictured[:, 0] != NOWHERE)
        return np.where(one, 1, self._counts("images", pictured)).astype(np.int32)

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


def _one(items: Sequence[Any], picture: int) -> Sequence[Any]:
    """What a row has of each picture, for all of them or for one."""
    return items if picture == ALL else items[picture : picture + 1]


def _distinct(column: pa.ChunkedArray, rows: np.ndarray, total: int) -> list[str]:
    """The distinct strings in a column of lists; of all rows without copying, of some by their numbers."""
    if len(rows) < total:
        column = pa.chunked_array([_taken(column, rows)], column.type)
    return pc.unique(pc.list_flatten(column)).to_pylist()  # pyright: ignore[reportAttributeAccessIssue]


def _taken(column: pa.ChunkedArray, rows: np.ndarray) -> pa.Array:
    taken = column.take(pa.array(rows))
    return pa.concat_arrays(taken.chunks) if taken.num_chunks else pa.array([], column.type)
