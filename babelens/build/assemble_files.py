"""The files of a data set: rows with all that is known of them, CoNLL, Parquet, and the checksums of all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import file_digest
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from babelens.build.assemble_inputs import Kept
from babelens.build.rows import Row
from babelens.data.conll import DOCUMENT
from babelens.data.convert import write_corpus
from babelens.data.corpus import Corpus
from babelens.data.jsonl import record_of
from babelens.schema import Example

if TYPE_CHECKING:
    import pyarrow as pa

CONLL, PARQUET, SUMS = "conll", "parquet", "SHA256SUMS"
MISSING = "missing_images"


def fits(example: Example) -> bool:
    """Whether all of the formats can hold the words of a row."""
    return (
        bool(example.words)
        and example.words[0] != DOCUMENT
        and not any(not word or "\t" in word or "\n" in word or word.endswith("\r") for word in example.words)
    )


def make_row(example: Example, id: str, images: Sequence[str], missing: Sequence[str], kept: Kept | None) -> Row:
    """A row of the data set.

    A row that has no text of its own gets its words with blanks between them. Fields that babelens does not know
    remain, those of entities too; `missing_images` are the ids of pictures that were not there or cannot be read.
    """
    if example.text is None or example.offsets is None:
        ends = np.cumsum([len(word) + 1 for word in example.words]).tolist()
        places = tuple((start, end - 1) for start, end in pairwise([0, *ends]))
        example = replace(example, text=" ".join(example.words), offsets=places)
    row = record_of(replace(example, id=id, images=tuple(images)))
    if kept is not None:
        for entity in row["entities"]:
            entity.update(kept.entities.get((entity["start"], entity["end"]), {}))
        row.update((name, value) for name, value in kept.fields.items() if name not in row)
    if missing:
        row[MISSING] = list(missing)
    return row


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write objects as JSONL."""
    encode = msgspec.json.Encoder().encode
    with open(path, "wb") as file:
        for row in rows:
            file.write(encode(row) + b"\n")


def write_conll(parts: Mapping[str, Corpus], folder: Path) -> None:
    """Write each part as CoNLL with `IMGID:` lines."""
    for name, corpus in parts.items():
        write_corpus(corpus, folder / f"{name}.txt", "conll")


def write_parquet(parts: Mapping[str, Corpus], folder: Path, *, embed: bool, place: str) -> None:
    """Write each part as Parquet with the same columns and tags in all.

    Pictures are in them with their bytes (`embed`), or named by their path, `place` and their id.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from babelens.data.tables import features_of, to_batches

    every = Corpus.concatenate(list(parts.values()))
    schema = features_of(every)
    batches = to_batches(every, schema, embed=embed)
    folder.mkdir(exist_ok=True)
    batch = pa.RecordBatch.from_pylist([], schema=schema)
    for name, corpus in parts.items():
        left = len(corpus)
        with pq.ParquetWriter(folder / f"{name}.parquet", schema) as writer:
            while left:
                if not batch.num_rows:
                    batch = next(batches)
                taken = batch.slice(0, left)
                batch = batch.slice(taken.num_rows)
                left -= taken.num_rows
                writer.write_batch(taken if embed else _relative(taken, place))


def _relative(batch: "pa.RecordBatch", place: str) -> "pa.RecordBatch":
    """A batch with the paths of its pictures made relative to the folder of the data set."""
    import pyarrow as pa

    rows = batch.to_pylist()
    for row in rows:
        for picture in filter(None, [row.get("image"), *(row.get("images") or ())]):
            picture["path"] = f"{place}/{Path(picture['path']).name}"
    return pa.RecordBatch.from_pylist(rows, schema=batch.schema)


def write_sums(folder: Path) -> None:
    """Write `SHA256SUMS` of all files in a folder, as `sha256sum --check` reads it."""
    lines = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with open(path, "rb") as file:
                lines.append(f"{file_digest(file, 'sha256').hexdigest()}  {path.relative_to(folder).as_posix()}\n")
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def wrong_sums(folder: Path) -> list[str]:
    """The files that are not as `SHA256SUMS` has them: changed, or gone."""
    found = []
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file():
            found.append(name)
            continue
        with open(path, "rb") as file:
            if file_digest(file, "sha256").hexdigest() != digest:
                found.append(name)
    return found
