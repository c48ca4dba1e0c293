"""Where captions come from: files, labelled corpora and data sets of the hub, one after the other, row by row.

What a reader gives is a row with `id`, `text`, and where the source has them `language` (as it is written there),
`image`, `url`, `group` and `source`. A row without an id of its own is called by its file and its line (in Parquet and
in data sets of the hub its number from 1).

The multilingual captions of Conceptual 12M (flax-community/conceptual-12m-mbart-50-multilingual) are tables with tabs,
a header `image_file, caption, url, lang_id`, languages written en, fr, de, es, and quotation marks as spreadsheets set
them, as the script of its makers has it (gchhablani/multilingual-image-captioning, data/translate_cc12m_MBart50.py).
There the name of the picture ties a caption to its translations: it is also the `group`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelens.build.caption_fields import Layout
from babelens.build.caption_files import (
    parquet_columns,
    read_jsonl,
    read_parquet,
    read_table,
    record_row,
    table_columns,
)
from babelens.build.rows import Bad, Input, Row, digest_of
from babelens.build.seen import Seen
from babelens.data.places import CONLL, JSONL, PARQUET, SPLITS, parse_spec
from babelens.data.problems import Problem, fault, listing, quote
from babelens.data.reading import HUB, parse_hub, unreached

if TYPE_CHECKING:
    from babelens.data import Corpus

TABLES = {".tsv": "\t", ".csv": ","}


@dataclass(frozen=True)
class _Source:
    """One source: its name, the language it was given, its digest, whether its rows have ids of their own, its rows."""

    name: str
    language: str | None
    digest: str
    ids: bool
    read: Callable[[], Iterator[Row | Bad]]


def read_captions(sources: Sequence[str], layout: Layout | None = None) -> Input:
    """The captions of one or more sources, one after the other.

    A source is a file (.tsv, .csv, .jsonl, .parquet; tables and JSONL also with .gz), a labelled corpus with its
    entities (a directory, or a CoNLL file: Twitter-2015, Twitter-2017), or `hub:NAME` or `hub:NAME:CONFIGURATION`.
    `en=SOURCE` names its language.

    Raises:
        DataError: there is no such source, it has no column with texts, two have one name, or a labelled corpus cannot
            be read.
    """
    layout = layout or Layout()
    opened = [_open(spec, layout) for spec in sources]
    names = sorted(source.name for source in opened)
    if len(set(names)) < len(names):
        raise fault(sources[0], "sources of different names, for rows are called by them", listing(names))
    facts = {
        "sources": [{"name": one.name, "language": one.language, "digest": one.digest} for one in opened],
        "columns": dict(sorted(layout.columns.items())),
        "header": layout.header,
        "quotes": layout.quotes,
        "source": layout.source,
    }
    return Input(facts, partial(_rows, opened, layout.source))


def _rows(sources: Sequence[_Source], name: str | None) -> Iterator[Row | Bad]:
    ids = Seen() if any(source.ids for source in sources) else None
    for source in sources:
        given = name or source.name
        for number, row in enumerate(source.read(), 1):
            if isinstance(row, Bad):
                yield row
                continue
            if ids is not None and not ids.add(row["id"]):
                problem = Problem(Path(source.name), None, "an id that no other row has", quote(row["id"]))
                yield Bad(f"{source.name}:repeated:{number}", problem)
                continue
            if source.language is not None:
                row["language"] = source.language
            row.setdefault("source", given)
            yield row


def _open(spec: str, layout: Layout) -> _Source:
    language, path = parse_spec(spec)
    if str(path).startswith(HUB):
        return _open_hub(str(path), language, layout)
    if not path.exists():
        raise fault(path, "a file, a data directory or hub:NAME", "no such file or directory")
    ending = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    name = path.name.removesuffix(".gz").removesuffix(ending)
    if path.is_dir() or (ending in CONLL and ending not in TABLES):
        return _open_corpus(path, language)
    if ending in TABLES:
        columns = table_columns(path, TABLES[ending], layout, language)
        read = partial(read_table, path, name, TABLES[ending], columns, layout)
        return _Source(name, language, digest_of(path), "id" in columns, read)
    if ending in JSONL:
        return _Source(name, language, digest_of(path), True, partial(read_jsonl, path, name, layout))
    if ending in PARQUET:
        columns = parquet_columns(path, layout, language)
        return _Source(name, language, digest_of(path), "id" in columns, partial(read_parquet, path, name, columns))
    known = listing([*TABLES, *JSONL, *PARQUET, *(one for one in CONLL if one not in TABLES)])
    raise fault(path, f"a directory, or a file that ends in {known}", path.suffix or "no ending")


def _open_corpus(path: Path, language: str | None) -> _Source:
    from babelens.data import read_corpus

    corpus = read_corpus(path, language=language)
    name = path.resolve().name if path.is_dir() else path.stem
    return _Source(name, language, corpus.digest, True, partial(_labelled, corpus, name))


def _labelled(corpus: "Corpus", name: str) -> Iterator[Row | Bad]:
    """The rows of a labelled corpus; where it has words only, the text is these with blanks between them."""
    for example in corpus:
        text, offsets = example.text, example.offsets
        if text is None or offsets is None:
            text, offsets = " ".join(example.words), []
            end = -1
            for word in example.words:
                offsets.append((end + 1, end + 1 + len(word)))
                end = offsets[-1][1]
        spans = [(offsets[one.start][0], offsets[one.end - 1][1], one.type) for one in example.entities]
        row: Row = {"id": f"{name}:{example.id}", "text": text}
        for field in ("language", "source", "group"):
            if (value := getattr(example, field)) is not None:
                row[field] = value
        if example.images:
            row |= {"image": example.images[0]} if len(example.images) == 1 else {"images": list(example.images)}
        row["entities"] = [
            {"start": start, "end": end, "text": text[start:end], "type": type_} for start, end, type_ in spans
        ]
        yield row


def _open_hub(spec: str, language: str | None, layout: Layout) -> _Source:
    from datasets import load_dataset_builder
    from datasets.exceptions import DatasetsError

    name, configuration = parse_hub(spec)
    try:
        builder = load_dataset_builder(name, configuration)
        parts = builder.as_streaming_dataset()
    except (DatasetsError, OSError, ValueError) as error:
        raise unreached(spec, error) from error
    # The parts in the order train, valid, test, then others by name.
    known = [part for names in SPLITS.values() for part in names if part in parts]
    order = [*known, *sorted(str(part) for part in parts if part not in known)]
    columns = layout.find(next(iter(parts[order[0]])), spec, language)
    short = Path(name).name
    read = partial(_streamed, [(part, parts[part]) for part in order], columns, short, Path(spec))
    return _Source(short, language, str(builder.hash), "id" in columns, read)


def _streamed(parts: Sequence[tuple[str, Any]], columns: dict[str, str], name: str, path: Path) -> Iterator[Row | Bad]:
    for part, rows in parts:
        kept = rows.select_columns(list(columns.values())).decode(False)
        for number, record in enumerate(kept, 1):
            yield record_row(record, columns, f"{name}:{part}", number, path)
