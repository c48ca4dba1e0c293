"""What a data set is assembled from: rows of several inputs as one corpus, with all that a corpus does not keep."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from babelens.build.rows import ROWS, STEP, Row, read_step
from babelens.data.corpus import Corpus
from babelens.data.places import kind_of
from babelens.data.problems import fault, listing
from babelens.data.reading import HUB, parse_spec, read_corpus
from babelens.data.records import FIELDS

PICTURES = "images"
_BLANKS = b" \t\r\n"
_MARK = b"\xef\xbb\xbf"
_LABELS = ("entities", "ner_tags", "tags")
_ENTITY = ("start", "end", "text", "type", "label")


@dataclass(frozen=True)
class Source:
    """An input: the folder of a step, a file, a data directory or `hub:NAME`.

    `language` stands in where a row names none. `images` are where its pictures lie if it has no folder `images` of its
    own.
    """

    place: str
    language: str | None = None
    images: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """What the input is called: its folder, or its file without the ending."""
        if self.place.startswith(HUB):
            return self.place.removeprefix(HUB)
        path = Path(self.place).resolve()
        return path.name if path.is_dir() else path.stem


@dataclass(frozen=True)
class Merged:
    """The rows of all inputs, one after the other.

    `names` are the inputs', each once, and `input_of` (rows) says of each row which it is from. `facts` tell the inputs
    apart by content. `steps` are the `step.json` of those inputs that a step has written, by name.
    """

    corpus: Corpus
    names: tuple[str, ...]
    input_of: np.ndarray
    facts: tuple[Mapping[str, Any], ...]
    steps: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Kept:
    """What a row of JSONL has besides the fields of a corpus; `entities` by their place. `labelled`: it has labels."""

    fields: Row
    entities: Mapping[tuple[int, int], Row]
    labelled: bool


def parse_source(spec: str, images: Sequence[Path] = ()) -> Source:
    """An input as it stands on a command line: `PATH`, or `en=PATH` that names its language."""
    language, path = parse_spec(spec)
    return Source(spec if language is None else str(path), language, tuple(images))


def merge(sources: Sequence[Source], types: Mapping[str, str] | None = None) -> Merged:
    """Read all inputs; `types` renames entity types ("O" leaves a type out).

    Raises:
        DataError: an input is not there, is the folder of a step that is not done, or cannot be read.
    """
    corpora = [_read(source, types or {}) for source in sources]
    names = _once([source.name for source in sources])
    facts, steps = [], {}
    for source, name, corpus in zip(sources, names, corpora, strict=True):
        facts.append({"name": name, "digest": corpus.digest, "pictures": corpus.pictures_digest()})
        if (Path(source.place) / STEP).is_file():
            steps[name] = read_step(Path(source.place))
    input_of = np.repeat(np.arange(len(corpora)), [len(corpus) for corpus in corpora])
    return Merged(Corpus.concatenate(corpora), names, input_of, tuple(facts), steps)


def _read(source: Source, types: Mapping[str, str]) -> Corpus:
    if source.place.startswith(HUB):
        return read_corpus(source.place, language=source.language, types=types, images=source.images)
    path = Path(source.place)
    if path.is_dir() and (path / ROWS).exists():
        if not (path / STEP).is_file():
            raise fault(path, f"the folder of a step that is done (with {STEP})", listing(sorted(_names(path))[:10]))
        path = path / ROWS
    folder = path if path.is_dir() else path.parent
    images = () if (folder / PICTURES).is_dir() else source.images
    return read_corpus(path, language=source.language, types=types, images=images)


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def _once(names: Sequence[str]) -> tuple[str, ...]:
    """Names made different where they are not: a, a-2."""
    found: dict[str, None] = {}
    for name in names:
        own, number = name, 1
        while own in found:
            number += 1
            own = f"{name}-{number}"
        found[own] = None
    return tuple(found)


def make_ids(merged: Merged) -> list[str]:
    """An id for each row that no other has: its own, or, where several rows have that, with the input's name before it.

    Rows of one input with the same id get a number from 2 behind it.
    """
    own = [example.id for example in merged.corpus]
    times = Counter(own)
    taken = {id for id, number in times.items() if number == 1}
    found = []
    for row, id in enumerate(own):
        if times[id] > 1:
            name, number = f"{merged.names[merged.input_of[row]]}/{id}", 1
            id = name
            while id in taken:
                number += 1
                id = f"{name}~{number}"
            taken.add(id)
        found.append(id)
    return found


def kept_fields(corpus: Corpus) -> dict[int, Kept]:
    """What rows of JSONL files have besides the fields that a corpus reads, by row; without rows that have nothing.

    The corpus is one of whole files, as `merge` makes it.
    """
    found: dict[int, Kept] = {}
    first = 0
    for part in corpus.parts:
        if part.path.is_file() and kind_of(part.path) == "jsonl":
            for number, row in enumerate(_objects(part.path)):
                kept = _kept(row)
                if kept.fields or kept.entities or not kept.labelled:
                    found[first + number] = kept
        first += len(part.rows)
    return found


def _objects(path: Path) -> Iterator[Row]:
    decode = msgspec.json.Decoder().decode
    with open(path, "rb") as file:
        for number, line in enumerate(file):
            line = line.removeprefix(_MARK) if number == 0 else line
            if line.strip(_BLANKS):
                yield decode(line)


def _kept(row: Row) -> Kept:
    more = {
        (entity["start"], entity["end"]): rest
        for entity in row.get("entities") or ()
        if (rest := {name: value for name, value in entity.items() if name not in _ENTITY})
    }
    fields = {name: value for name, value in row.items() if name not in FIELDS}
    return Kept(fields, more, any(row.get(name) is not None for name in _LABELS))
