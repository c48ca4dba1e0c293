"""Folders and files on any disk that fsspec reaches: this machine's, a network's, or an object store's."""

import io
import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from babelens.schema import InputError

_BUFFER = 1 << 20


class ClusterError(InputError):
    """What keeps prediction on a cluster from being done: the message says where, what was expected and found.

    `exit_code` is 3 where a disk had no room.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def is_remote(place: str) -> bool:
    """Whether a place has a protocol (s3://, gs://, memory://, ...) and is not a path of this machine."""
    return "://" in place and not place.startswith("file://")


class Disk:
    """One folder or file: `place` is a path of this machine, or an address that fsspec understands.

    Raises:
        ClusterError: no library is installed that knows the protocol, or it refuses.
    """

    def __init__(self, place: str) -> None:
        import fsspec

        self.place = place if is_remote(place) else os.path.abspath(place.removeprefix("file://"))
        try:
            self._files, self._path = fsspec.core.url_to_fs(self.place)
        except (ImportError, ValueError) as error:
            raise ClusterError(f"{place}: expected a disk that fsspec reaches, found: {error}") from error

    def __truediv__(self, name: str) -> "Disk":
        return Disk(f"{self.place.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """The last part of the place."""
        return posixpath.basename(self._path.rstrip("/"))

    def is_folder(self) -> bool:
        """Whether it is a folder. Object stores have those only where something is in them."""
        with self._within_reach():
            return self._files.isdir(self._path)

    def is_file(self) -> bool:
        """Whether it is a file."""
        with self._within_reach():
            return self._files.isfile(self._path)

    def size(self) -> int:
        """The bytes of a file."""
        return self._files.size(self._path) or 0

    def names(self) -> list[str]:
        """The names of the files in a folder, sorted; none where there is no such folder."""
        try:
            with self._within_reach():
                found = self._files.ls(self._path, detail=True, refresh=True)
        except FileNotFoundError:
            return []
        return sorted(posixpath.basename(entry["name"]) for entry in found if entry["type"] == "file")

    def matching(self) -> list["Disk"]:
        """The files that the place, a pattern with *, stands for, by name."""
        return [Disk(str(self._files.unstrip_protocol(path))) for path in sorted(self._files.glob(self._path))]

    def open(self) -> io.BufferedReader:
        """The file, to be read.

        Raises:
            FileNotFoundError: there is none.
        """
        with self._within_reach():
            file: Any = io.FileIO(self._path) if not is_remote(self.place) else self._files.open(self._path, "rb")
        return io.BufferedReader(file, _BUFFER)

    def read(self) -> bytes:
        """The bytes of the file.

        Raises:
            FileNotFoundError: there is none.
        """
        with self._within_reach():
            return self._files.cat_file(self._path)

    def write(self, content: bytes) -> None:
        """Write the file under another name and rename it: whoever looks sees it whole or not at all.

        Raises:
            OSError: the disk is full or does not allow writing.
        """
        folder, name = posixpath.split(self._path)
        beside = f"{folder}/.{name}.{uuid4().hex}"
        if is_remote(self.place):
            with self._within_reach():
                self._files.makedirs(folder, exist_ok=True)
                self._files.pipe_file(beside, content)
                self._files.mv(beside, self._path)
            return
        os.makedirs(folder, exist_ok=True)
        try:
            with open(beside, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self._path)
        except BaseException:
            if os.path.exists(beside):
                os.unlink(beside)
            raise

    def remove(self) -> None:
        """Remove the file, if it is there."""
        if self._files.exists(self._path):
            self._files.rm_file(self._path)

    @contextmanager
    def _within_reach(self) -> Iterator[None]:
        """What libraries raise of their own kinds (no credentials, no such host) is told in words."""
        try:
            yield
        except OSError:
            raise
        except Exception as error:
            reason = next(iter(str(error).splitlines()), "no reason")
            raise ClusterError(
                f"{self.place}: expected a disk within reach, found: {type(error).__name__}: {reason}"
            ) from error
