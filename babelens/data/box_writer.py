"""Writes boxes of pictures as JSONL, line by line, so that an interrupted run goes on where it was."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from babelens.data.boxes import fields_of, read_jsonl
from babelens.data.problems import Problems, fault
from babelens.schema import Box


class BoxWriter:
    """Adds the boxes of one `group` to a JSONL file, which other groups may be in already.

    Lines go to a file of the same name with `.part`, which begins as a copy of what is there and takes its place at the
    end of the `with` block. Where a run ended early, the next one goes on with the `.part`. `done` are the pictures
    that have a line of the group; a line of a picture without boxes counts, too.

    Raises:
        DataError: `path` is a folder, or what is there cannot be read as boxes.
    """

    def __init__(self, path: Path, group: str | None) -> None:
        if path.is_dir():
            raise fault(path, "the name of a file to write", "a folder")
        self.path = Path(os.path.realpath(path))
        self.group = group
        self.part = self.path.with_name(f"{self.path.name}.part")
        if self.part.exists():
            _drop_half_line(self.part)
        self.done = self._read_done()
        self._file: BinaryIO | None = None

    def write(self, image: str, boxes: Sequence[Box]) -> None:
        """Add the line of a picture; it is on disk when the call returns."""
        if self._file is None:
            self._file = self._begin()
        fields = [fields_of(box) for box in boxes]
        for own in fields:
            own.pop("group", None)
        group = {} if self.group is None else {"group": self.group}
        self._file.write(msgspec.json.encode({"image": image, **group, "boxes": fields}) + b"\n")
        self._file.flush()
        self.done.add(image)

    def __enter__(self) -> "BoxWriter":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Put the file in its place; after an error its `.part` is left for the next run."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if error is None and self.part.exists():
            os.replace(self.part, self.path)

    def _read_done(self) -> set[str]:
        path = self.part if self.part.exists() else self.path
        if not path.exists():
            return set()
        problems = Problems(path)
        done: set[str] = set()
        for line in read_jsonl(path, problems):
            groups = {box.group for box in line.boxes} | ({line.group} if not line.boxes else set())
            if self.group in groups:
                done.add(line.image)
        problems.raise_if_any()
        return done

    def _begin(self) -> BinaryIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.part.exists() and self.path.exists():
            # Under a third name first: a half copy must not be taken for the work of a run that ended early.
            copy = self.part.with_name(f".{self.part.name}.{os.getpid()}")
            content = self.path.read_bytes()
            copy.write_bytes(content if content.endswith(b"\n") or not content else content + b"\n")
            os.replace(copy, self.part)
        return open(self.part, "ab")


def _drop_half_line(path: Path) -> None:
    """Cut what follows the last end of a line: the run was ended while it was written."""
    with open(path, "rb+") as file:
        whole = sum(len(line) for line in file if line.endswith(b"\n"))
        file.truncate(whole)
