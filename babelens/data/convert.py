"""Writes corpora as CoNLL, JSONL or Parquet, whole or not at all, with their pictures beside them."""

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from babelens.data.conll import write_conll
from babelens.data.corpus import Corpus
from babelens.data.images import ENDINGS
from babelens.data.jsonl import write_jsonl
from babelens.data.places import KINDS, Kind, kind_of_name
from babelens.data.problems import fault
from babelens.schema import Scheme


def write_corpus(corpus: Corpus, path: Path, kind: Kind | None = None, scheme: Scheme = "iob2") -> int:
    """Write a corpus to a file, by default of the kind that its ending says; give the number of rows.

    The file appears when it is complete. Parquet holds the pictures; CoNLL and JSONL name them (see
    `write_pictures`). CoNLL keeps neither raw texts nor ids.

    Raises:
        DataError: the kind is not known.
        InputError: a row that the format cannot hold.
    """
    kind = kind or kind_of_name(path)
    if kind is None:
        endings = ", ".join(ends[0] for ends in KINDS.values())
        raise fault(path, f"a file that ends in one of {endings}", path.suffix or "no ending")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        total = _write(corpus, beside, kind, scheme)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return total


def _write(corpus: Corpus, path: Path, kind: Kind, scheme: Scheme) -> int:
    if kind == "parquet":
        from babelens.data.tables import write_parquet

        return write_parquet(corpus, path)
    write = write_conll if kind == "conll" else write_jsonl
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        return write(corpus, file, scheme)


def write_pictures(corpus: Corpus, folder: Path, progress: Callable[[str, int, int], object] = lambda *_: None) -> int:
    """Put the pictures of a corpus into a folder under their ids; give the number of files written.

    Files are copied as they are, and never linked, so that a change to one folder leaves the other alone. Ids that lead
    out of the folder and pictures that are missing are left out, as they are when the corpus is read.

    Raises:
        DataError: a file of that name is there and is another picture.
    """
    done: set[str] = set()
    for number, example in enumerate(corpus):
        progress("pictures", number + 1, len(corpus))
        if not example.images:
            continue
        for image, key in zip(example.images, corpus.picture_keys(number), strict=True):
            target = _target(corpus, folder, image, key)
            if target is not None and str(target) not in done:
                done.add(str(target))
                _put(corpus, key, target)
    return len(done)


def _target(corpus: Corpus, folder: Path, image: str, key: str) -> Path | None:
    content = corpus.picture_source(key)
    name = os.path.normpath(image)
    if content is None or os.path.isabs(name) or name.split(os.sep)[0] in ("..", "."):
        return None
    ending = content.suffix if isinstance(content, Path) else _ending(content)
    return folder / (name if name.endswith(ENDINGS[1:]) or ending not in ENDINGS else f"{name}{ending}")


def _ending(content: bytes) -> str:
    for start, ending in ((b"\xff\xd8\xff", ".jpg"), (b"\x89PNG", ".png"), (b"GIF8", ".gif"), (b"RIFF", ".webp")):
        if content.startswith(start):
            return ending
    return ""


def _put(corpus: Corpus, key: str, target: Path) -> None:
    source = corpus.picture_source(key)
    if target.exists():
        if target.read_bytes() != corpus.picture_content(key):
            raise fault(target, "one picture of this id", "two that differ")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{uuid.uuid4().hex}")
    try:
        if isinstance(source, Path):
            shutil.copyfile(source, beside)
        else:
            beside.write_bytes(source or b"")
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
