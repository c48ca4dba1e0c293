"""Answers to JSONL: one object a line, and never half a file."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from babelens.data.problems import fault
from babelens.prediction.answer import Answer


@dataclass
class Tally:
    """What was written: rows, entities, rows that could not be read, and rows by what became of their pictures."""

    rows: int = 0
    entities: int = 0
    errors: int = 0
    pictures: Counter[str] = field(default_factory=Counter)

    def add(self, answer: Answer) -> None:
        """Count an answer."""
        self.rows += 1
        self.entities += len(answer.entities)
        if answer.error is not None:
            self.errors += 1
        else:
            self.pictures[answer.image_status] += 1


def write_answers(answers: Iterable[Answer], out: Path | None, step: Callable[[Tally], None] | None = None) -> Tally:
    """Write answers to a file, or to standard output without one; `step` is called after each.

    A file is written under another name beside its place and renamed when it is whole.

    Raises:
        DataError: `out` is a folder.
        OSError: the disk is full or does not allow writing; nothing is left half-written.
    """
    tally = Tally()
    with _opened(out) as file:
        for answer in answers:
            file.write(line(answer))
            tally.add(answer)
            if step is not None:
                step(tally)
    return tally


def show_answers(answers: Iterable[Answer], step: Callable[[Tally], None] | None = None) -> Tally:
    """Print answers in colour to standard output, a paragraph each; `step` is called after each.

    Where that is no terminal, the same comes without colours.
    """
    from rich.console import Console

    tally = Tally()
    console = Console()
    for answer in answers:
        console.print(answer, end="\n\n", soft_wrap=True)
        tally.add(answer)
        if step is not None:
            step(tally)
    return tally


def make_parent(out: Path) -> None:
    """Make the folder that a file is to stand in.

    Raises:
        DataError: something that is no folder stands in the way.
        OSError: it may not be made there.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise fault(out.parent, "a folder to write to", "a file in its way") from error


def line(answer: Answer) -> bytes:
    """An answer as a line of JSONL in UTF-8."""
    row = answer.to_dict()
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        # Half a surrogate pair has no place in UTF-8; as an escape it comes out as it came in.
        return json.dumps(row).encode() + b"\n"


@contextmanager
def _opened(out: Path | None) -> Iterator[BinaryIO]:
    if out is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if out.is_dir():
        raise fault(out, "the name of a file to write", "a folder")
    place = Path(os.path.realpath(out))
    if place.exists() and not place.is_file():
        # A device or a pipe is written to; renaming a file over it would replace it.
        with open(place, "wb") as file:
            yield file
        return
    make_parent(place)
    beside = place.with_name(f".{place.name[:100]}.{uuid4().hex}")
    try:
        with open(beside, "xb") as file:
            yield file
        os.replace(beside, place)
    except BaseException:
        with suppress(FileNotFoundError):
            beside.unlink()
        raise
