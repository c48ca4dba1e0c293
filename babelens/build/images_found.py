"""Where pictures come from: what a source of pictures can be asked, and what it answers."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from babelens.build.images_failures import Status
from babelens.build.rows import Row
from babelens.data.images import ImageStore
from babelens.data.problems import fault


@dataclass(frozen=True)
class Found:
    """A picture that a source knows of: a piece of a file, or why there is none.

    `name` tells people where it lies; two of one name are the same. `size` is in bytes; it is all of the file where
    `start` is None. `status` and `fault` stand in the place of the bytes where a download has failed. `downloaded` is
    the SHA-256 of the bytes as they came, where it is known.
    """

    name: str
    path: Path
    start: int | None = None
    size: int = 0
    status: Status | None = None
    fault: str | None = None
    downloaded: str | None = None

    def read(self) -> bytes:
        """The bytes.

        Raises:
            DataError: the file cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                file.seek(self.start or 0)
                return file.read(self.size)
        except OSError as error:
            raise fault(self.path, "a file that can be read", error.strerror or str(error)) from error


@runtime_checkable
class Finder(Protocol):
    """Finds the pictures of rows. A row has the name of its picture in `image`, and maybe its `url`."""

    def find(self, row: Row) -> Found | None:
        """The picture of a row, or None where nothing is known of it."""
        ...


@runtime_checkable
class Source(Protocol):
    """Pictures to be looked through. `folders` are those that they lie in; `facts` say what is there."""

    folders: Sequence[Path]

    def facts(self) -> Mapping[str, Any]:
        """What is there, in terms of JSON, so that a change is noticed; without any path."""
        ...

    def opened(self, index: Path) -> AbstractContextManager[Finder]:
        """Make it ready; an index may be put on the disk there, and is used again by a run that goes on."""
        ...


class Folder:
    """Pictures as files in folders, found as `babelens.data.images` finds them: by name, with or without ending."""

    def __init__(self, folders: Sequence[Path]) -> None:
        for folder in folders:
            if not folder.is_dir():
                raise fault(folder, "a folder of pictures", "no such folder")
        self.folders = folders
        self._store = ImageStore(folders)

    def facts(self) -> Mapping[str, Any]:
        """The number of files, and a digest of their names and sizes."""
        return {"from": "folder", **census(self.folders)}

    @contextmanager
    def opened(self, index: Path) -> Iterator["Folder"]:
        """Nothing is to be made ready."""
        yield self

    def find(self, row: Row) -> Found | None:
        """The file of a row's picture."""
        path = self._store.find(row["image"])
        if path is None:
            return None
        key = f"file:{path}"
        return Found(self._store.names(key)[0], path, None, path.stat().st_size)


def census(folders: Iterable[Path], endings: tuple[str, ...] = ("",)) -> dict[str, Any]:
    """How many files there are below some folders, and a digest of their names and sizes that hangs on no order.

    Files count whose names have one of the `endings`.
    """
    files = total = 0
    for number, folder in enumerate(folders):
        for place, _, names in os.walk(folder):
            below = os.path.relpath(place, folder)
            for name in names:
                if name.endswith(endings):
                    size = _size(os.path.join(place, name))
                    told = f"{number}\0{below}\0{name}\0{size}".encode("utf-8", "surrogateescape")
                    total += int.from_bytes(blake2b(told, digest_size=16).digest(), "big")
                    files += 1
    return {"files": files, "digest": f"{total % (1 << 128):032x}"}


def _size(path: str) -> int:
    """The bytes of a file, or -1 of a link that leads nowhere."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return -1
