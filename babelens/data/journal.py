"""Several output files that grow together, in checkpoints, so that a killed process loses little and doubles nothing.

Beside the goal `rows.jsonl` stands `.rows.jsonl.part` while it is written, and beside the first goal a journal,
`.rows.jsonl.journal`: what is being made (the identity), how many rows of the input are done, how many bytes of each
part belong to them, and a small state of the writer. A checkpoint first brings the parts to the disk, then replaces the
journal. Whoever opens the same goals again cuts the parts to what the journal says, and goes on with the next row.
"""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from babelens.schema import InputError

_BUFFER = 1 << 20
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class JournalError(InputError):
    """Output that cannot be gone on with: it is being written by another process, is another output, or is damaged."""


class DiskFull(InputError):
    """A disk that has no room; the message says what could not be written and what is kept."""

    exit_code = 3


class Interrupted(InputError):
    """Work that was stopped from outside; the message says what is kept and how to go on."""

    exit_code = 130


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    """What a journal says. `whole` is set once all is written and only the names are left to be changed."""

    identity: dict[str, Any]
    done: int = 0
    sizes: list[int] = []
    state: dict[str, Any] = {}
    whole: bool = False


class Journal:
    """The files `goals`, written together for an input of which `done` rows are consumed.

    `identity` says what is made of what (options, digest of the input; anything that JSON holds): only the same can be
    gone on with. `state` is what the last checkpoint was given. Leaving the `with` block without `finish` keeps the
    last checkpoint, whatever the reason.

    Raises:
        JournalError: another process writes these files, other things were being made there, or parts are missing.
        DiskFull: instead of the system's error, here and in all that writes.
    """

    def __init__(self, goals: Sequence[Path], identity: Mapping[str, Any]) -> None:
        self.goals = tuple(goals)
        self.parts = tuple(goal.with_name(f".{goal.name}.part") for goal in goals)
        self.path = goals[0].with_name(f".{goals[0].name}.journal")
        self._record = _Record(_plain({**identity, "files": [goal.name for goal in goals]}))
        self._buffers = [bytearray() for _ in goals]
        self._files: list[int] = []
        self._full: OSError | None = None
        self._held = ExitStack()

    @property
    def done(self) -> int:
        """Rows of the input that the last checkpoint holds."""
        return self._record.done

    @property
    def state(self) -> dict[str, Any]:
        """What the last checkpoint was given; empty at the start."""
        return self._record.state

    @property
    def whole(self) -> bool:
        """Whether everything was written when this was opened, and the goals were only to be put in their place."""
        return self._record.whole

    def write(self, goal: int, content: bytes) -> None:
        """Add bytes to a goal, by its number. They count once a checkpoint is made."""
        buffer = self._buffers[goal]
        buffer += content
        if len(buffer) >= _BUFFER:
            self._flush(goal)

    def checkpoint(self, done: int, state: Mapping[str, Any] | None = None) -> None:
        """Make sure of all that was written: it is what becomes of the first `done` rows of the input."""
        sizes = self._bring_to_disk()
        self._put(msgspec.structs.replace(self._record, done=done, sizes=sizes, state=_plain(state or {})))

    def finish(self) -> None:
        """Put the goals in their places, in their order, so that the last one is there only when all are.

        What was written since the last checkpoint is part of them.
        """
        if not self._record.whole:
            # In one with the last rows: a kill before it goes on from the checkpoint before.
            sizes = self._bring_to_disk()
            self._put(msgspec.structs.replace(self._record, sizes=sizes, whole=True))
        self._close()
        for part, goal in zip(self.parts, self.goals, strict=True):
            # A part that is not there was renamed before this process was started.
            with suppress(FileNotFoundError):
                os.replace(part, goal)
        sync_folder(self.path.parent)
        self.path.unlink()

    def discard(self) -> None:
        """Remove all that was written: nothing can be gone on with."""
        self.path.unlink(missing_ok=True)
        for part in self.parts:
            part.unlink(missing_ok=True)

    def __enter__(self) -> "Journal":
        with ExitStack() as stack:
            with self._room():
                stack.enter_context(locked(self.goals[0]))
            stack.callback(self._close)
            self._open()
            self._held = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def _open(self) -> None:
        before = self._read()
        if before is not None:
            if changes := differences(before.identity, self._record.identity):
                raise JournalError(
                    f"{self.path}: expected what was being made there, found other options or another input "
                    f"({'; '.join(changes[:4])}); repeat that command to finish it, or choose another output"
                )
            self._record = before
            if before.whole:
                return
        with self._room():
            for part in self.parts:
                self._files.append(os.open(part, os.O_RDWR | os.O_CREAT | _BINARY, 0o666))
        sizes = self._record.sizes or [0] * len(self.parts)
        for file, part, size in zip(self._files, self.parts, sizes, strict=True):
            found = os.fstat(file).st_size
            if found < size:
                raise JournalError(
                    f"{part}: expected at least {size:,} bytes, found {found:,}; remove {self.path} to start anew"
                )
            os.ftruncate(file, size)
            os.lseek(file, size, os.SEEK_SET)
        if before is None:
            self._put(self._record)

    def _read(self) -> _Record | None:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=_Record)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise JournalError(f"{self.path}: expected a journal, found {error}; remove it to start anew") from error

    def _put(self, record: _Record) -> None:
        with self._room():
            write_whole(self.path, msgspec.json.encode(record))
        self._record = record

    def _flush(self, goal: int) -> None:
        if self._full is not None:
            raise self._no_room(self._full) from self._full
        buffer = self._buffers[goal]
        with self._room():
            with memoryview(buffer) as view:
                written = 0
                while written < len(view):
                    written += os.write(self._files[goal], view[written:])
            buffer.clear()

    def _bring_to_disk(self) -> list[int]:
        """Write what is still in memory, wait until the disk has it, and give the sizes of the parts."""
        for goal in range(len(self.goals)):
            self._flush(goal)
        with self._room():
            for file in self._files:
                os.fsync(file)
        return [os.fstat(file).st_size for file in self._files]

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _FULL:
                raise
            # What stands in a part is now of unknown length: only opening it again makes sure of it.
            self._full = error
            raise self._no_room(error) from error

    def _no_room(self, error: OSError) -> DiskFull:
        place = error.filename or self.path.parent
        return DiskFull(
            f"{place}: the disk is full; what was made of the first {self.done:,} rows is kept: make room, then run "
            "the same command to go on"
        )

    def _close(self) -> None:
        for file in self._files:
            os.close(file)
        self._files = []


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Keep other processes from writing a file or folder; however this one ends, the system lets go of it.

    The lock is that of a file beside, `.NAME.lock`, which is removed at the end.

    Raises:
        JournalError: another process has the lock.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    path = place.with_name(f".{place.name}.lock")
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if not _take(file):
            os.close(file)
            raise JournalError(f"{place}: another process is writing this; wait for its end, or choose another output")
        # Between the opening and the locking another process may have ended and removed the file.
        if _stands(file, path):
            break
        os.close(file)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(file)


def _take(file: int) -> bool:
    """Whether the lock of an open file could be had."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # some network disks know no locks: there one goes on without
    return True


def _stands(file: int, path: Path) -> bool:
    """Whether a name still stands for an open file."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def differences(before: object, now: object, path: str = "") -> list[str]:
    """What differs between two nested dictionaries, by its path: `languages: ['en'], was ['fr']`."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = {**before, **now}
        inner = {name: f"{path}.{name}" if path else str(name) for name in names}
        return [change for name in names for change in differences(before.get(name), now.get(name), inner[name])]
    return [] if before == now else [f"{path}: {now!r}, was {before!r}"]


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside and rename it into place; it is on the disk when the call returns.

    Raises:
        OSError: the disk is full or does not allow writing; a file that stood there stays.
    """
    beside = path.with_name(f".{path.name.lstrip('.')}.new")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder lie on the disk, where the system can say so of folders."""
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _plain(value: Any) -> Any:
    """A value as it is read back from JSON."""
    return msgspec.json.decode(msgspec.json.encode(value))
