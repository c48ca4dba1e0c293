"""What was fetched into a data directory, with checksums: `fetch.lock.json` beside the data.

Where a recipe knows the checksum of a published file, the file is held to it. Where it does not, that of the first
download is written down here, and later ones are held to that.
"""

from pathlib import Path
from typing import Literal

import msgspec

from babelens.data.journal import write_whole
from babelens.data.problems import fault

LOCK = "fetch.lock.json"


class Taken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published file as it came, and what it became: checksums are SHA-256, `size` is in bytes, `rows` sentences.

    `trust` says what the checksum of the published file rests on: `recipe` (it stood in the recipe), `result` (that of
    what it becomes did) or `first` (neither; it is that of the first download).
    """

    url: str
    size: int
    sha256: str
    trust: Literal["recipe", "result", "first"]
    result: str
    rows: int


class Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that was fetched of a set, by the name in the data directory."""

    name: str
    files: dict[str, Taken] = {}

    def adding(self, target: str, taken: Taken) -> "Lock":
        """The same with one file more, or another in its place."""
        return Lock(self.name, dict(sorted({**self.files, target: taken}.items())))


def read_lock(folder: Path, name: str) -> Lock:
    """What was fetched into a folder; nothing where there is no such file.

    Raises:
        DataError: it cannot be read, or another set was fetched there.
    """
    path = folder / LOCK
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Lock(name)
    try:
        lock = msgspec.json.decode(content, type=Lock)
    except msgspec.DecodeError as error:
        raise fault(path, "what babelens data fetch wrote", str(error)) from error
    if lock.name != name:
        raise fault(path, f"the set {name}, or a folder of its own for it", f"the set {lock.name}")
    return lock


def write_lock(folder: Path, lock: Lock) -> None:
    """Write what was fetched, whole or not at all."""
    write_whole(folder / LOCK, msgspec.json.format(msgspec.json.encode(lock), indent=2) + b"\n")
