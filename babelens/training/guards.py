"""What a run is guarded against: signals that would end it between two writes, and a disk that fills."""

import errno
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from babelens.training.errors import DiskFull
from babelens.training.state import saved_steps


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or termination signal into a question asked between steps; a second Ctrl-C ends at once.

    A launcher of several processes passes on the signal that they have got already, while the state is being saved.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if received.count(signal.SIGINT) > 1:
            raise KeyboardInterrupt

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # signals can be had in the main thread only
        before = {}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def room(out: Path) -> Iterator[None]:
    """Say of a disk that fills what is lost and what is whole.

    Raises:
        DiskFull: instead of the system's error.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        steps = saved_steps(out)
        kept = (
            f"the state of step {steps[-1]} is whole" if steps else "no state was saved before, so that it begins anew"
        )
        raise DiskFull(
            f"the disk is full: {error.filename or out} could not be written; {kept}: make room, then run the same "
            "command with --resume"
        ) from error
