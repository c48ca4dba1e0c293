"""Parquet files and Hugging Face data sets: tokens, ner_tags (numbers or names) and pictures that are never decoded."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from babelens.data.cache import cached_stream, digest_names
from babelens.data.conll import guess_scheme
from babelens.data.corpus import Corpus
from babelens.data.problems import Problems, listing
from babelens.data.records import FIELDS, RecordError, read_record
from babelens.data.rows import Row
from babelens.schema import Scheme, TagSet

if TYPE_CHECKING:
    from datasets import Dataset

_ROWS = 512
_BATCH_BYTES = 64 << 20
_METADATA = b"huggingface"


def read_parquet(path: Path, problems: Problems, scheme: Scheme | None = None) -> Iterator[Row]:
    """Read the rows of a Parquet file batch by batch; faults are noted in `problems`. Lines are row numbers."""
    try:
        with pq.ParquetFile(path) as file:
            columns = [name for name in file.schema_arrow.names if name in FIELDS]
            if not {"text", "tokens", "words"} & set(columns):
                problems.add(None, "a column text, tokens or words", listing(file.schema_arrow.names))
                return
            names = tag_names(file.schema_arrow)
            yield from read_batches(file.iter_batches(_ROWS, columns=columns), names, problems, scheme)
    except (pa.ArrowInvalid, OSError) as error:
        problems.add(None, "a Parquet file", str(error).splitlines()[0])


def read_dataset(dataset: "Dataset", problems: Problems, scheme: Scheme | None = None) -> Iterator[Row]:
    """Read the rows of a Hugging Face data set batch by batch, from its Arrow tables; no picture is decoded."""
    columns = [name for name in dataset.column_names if name in FIELDS]
    if not {"text", "tokens", "words"} & set(columns):
        problems.add(None, "a column text, tokens or words", listing(dataset.column_names))
        return
    names = tag_names(dataset.features.arrow_schema)
    tables = dataset.select_columns(columns).with_format("arrow").iter(_ROWS)
    batches = (batch for table in tables for batch in table.to_batches())  # pyright: ignore[reportAttributeAccessIssue]
    yield from read_batches(batches, names, problems, scheme)


def read_batches(
    batches: Iterable[pa.RecordBatch], names: list[str] | None, problems: Problems, scheme: Scheme | None
) -> Iterator[Row]:
    """Read rows of Arrow batches. Without a scheme it is found out from the names of the tags, or the first batch."""
    number = 0
    for batch in batches:
        records = batch.to_pylist()
        if scheme is None:
            scheme = guess_scheme(names) if names else _guess(records)
        for record in records:
            number += 1
            try:
                yield read_record(record, number, scheme, names)
            except RecordError as error:
                problems.add(number, error.expected, error.found)


def _guess(records: list[dict[str, Any]]) -> Scheme:
    found = [record.get("ner_tags") or record.get("tags") or [] for record in records]
    return guess_scheme([tag for tags in found for tag in [*tags, "O"] if isinstance(tag, str)])


def tag_names(schema: pa.Schema) -> list[str] | None:
    """The names of the tags that a Hugging Face schema (ClassLabel) gives, or None."""
    kept = (schema.metadata or {}).get(_METADATA)
    features = json.loads(kept).get("info", {}).get("features", {}) if kept else {}
    found = _names(features.get("ner_tags") or features.get("tags"))
    return found


def _names(feature: object) -> list[str] | None:
    if isinstance(feature, list):
        return next((names for names in map(_names, feature) if names), None)
    if not isinstance(feature, Mapping):
        return None
    return feature["names"] if feature.get("names") else _names(feature.get("feature"))


def features_of(corpus: Corpus) -> pa.Schema:
    """The Arrow schema of a corpus, with the features that Hugging Face reads from it.

    `image` is one picture a row; a corpus with more than one in a row has `images`.
    """
    from datasets import ClassLabel, Features, Image, List, Value

    columns: dict[str, Any] = {"id": Value("string"), "tokens": List(Value("string"))}
    columns["ner_tags"] = List(ClassLabel(names=list(TagSet(corpus.types).tags)))
    pictures = corpus.picture_numbers
    if len(pictures) and pictures.max() > 1:
        columns["images"] = List(Image(decode=False))
    elif len(pictures) and pictures.max() == 1:
        columns["image"] = Image(decode=False)
    columns["text"] = Value("string")
    columns["offsets"] = List(List(Value("int32")))
    columns |= {name: Value("string") for name in ("language", "source", "group")}
    return Features(columns).arrow_schema


def to_batches(corpus: Corpus, schema: pa.Schema, *, embed: bool) -> Iterator[pa.RecordBatch]:
    """The rows of a corpus as Arrow batches; with `embed`, the bytes of the pictures that are there are in them."""
    tags = TagSet(corpus.types)
    batch: list[dict[str, Any]] = []
    size = 0
    for number, example in enumerate(corpus):
        pictures = []
        if example.images:
            pairs = zip(example.images, corpus.picture_keys(number), strict=True)
            pictures = [_picture(corpus, image, key, embed) for image, key in pairs]
        batch.append(
            {
                "id": example.id,
                "tokens": example.words,
                "ner_tags": tags.encode(example.entities, len(example.words)),
                "image": pictures[0] if pictures else None,
                "images": pictures,
                "text": example.text,
                "offsets": example.offsets,
                "language": example.language,
                "source": example.source,
                "group": example.group,
            }
        )
        size += sum(len(picture["bytes"] or b"") for picture in pictures)
        if len(batch) == _ROWS or size >= _BATCH_BYTES:
            yield pa.RecordBatch.from_pylist(batch, schema=schema)
            batch, size = [], 0
    if batch:
        yield pa.RecordBatch.from_pylist(batch, schema=schema)


def _picture(corpus: Corpus, image: str, key: str, embed: bool) -> dict[str, Any]:
    """A picture as Hugging Face keeps it, undecoded: its bytes and its id, or the path of its file."""
    source = corpus.picture_source(key)
    if isinstance(source, Path):
        return {"bytes": source.read_bytes(), "path": image} if embed else {"bytes": None, "path": str(source)}
    return {"bytes": source, "path": image}


def write_parquet(corpus: Corpus, path: Path) -> int:
    """Write a corpus as Parquet with its pictures inside, as the hub has it; give the number of rows."""
    schema = features_of(corpus)
    with pq.ParquetWriter(path, schema) as writer:
        for batch in to_batches(corpus, schema, embed=True):
            writer.write_batch(batch)
    return len(corpus)


def to_dataset(corpus: Corpus) -> "Dataset":
    """A corpus as a memory-mapped Hugging Face data set. Pictures in files are named by their path, not copied."""
    from datasets import Dataset

    schema = features_of(corpus)

    def write(path: Path) -> None:
        with pa.OSFile(str(path), "wb") as sink, ipc.new_stream(sink, schema) as writer:
            for batch in to_batches(corpus, schema, embed=False):
                writer.write_batch(batch)

    name = digest_names(corpus.digest, *(str(folder) for part in corpus.parts for folder in part.images.folders))
    return Dataset.from_file(str(cached_stream(name, write)))
