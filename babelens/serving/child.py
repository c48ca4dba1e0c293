"""A program in a process of its own that answers one frame at a time, and may die without taking us along."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from io import RawIOBase
from threading import Timer
from typing import cast

from babelens.serving.frames import read_frame, write_frame

_PIPE = 1 << 20


class ChildGone(RuntimeError):
    """The process ended, or was ended for taking too long, before it answered."""


class Child:
    """A running program. Its standard input and output carry frames; what it writes to standard error is as ours.

    It is asked by one thread at a time; `kill` may be called from any.
    """

    def __init__(self, command: Sequence[str], *, quiet: bool = False, environment: Mapping[str, str] = {}) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            bufsize=0,
            env={**os.environ, **environment},
            start_new_session=True,  # a Ctrl-C is for us: we still need the child to answer what was taken
        )
        self._input = cast(RawIOBase, self._process.stdin)
        self._output = cast(RawIOBase, self._process.stdout)
        if sys.platform == "linux":  # pictures go through in a few pieces instead of hundreds
            for pipe in (self._input, self._output):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)

    @property
    def id(self) -> int:
        """The number of the process."""
        return self._process.pid

    def receive(self) -> bytearray:
        """The next frame.

        Raises:
            ChildGone: it has ended.
        """
        try:
            frame = read_frame(self._output)
        except (OSError, EOFError, ValueError) as error:
            raise ChildGone(str(error)) from error
        if frame is None:
            raise ChildGone("the process has ended")
        return frame

    def ask(self, *parts: bytes | bytearray | memoryview, seconds: float | None = None) -> bytearray:
        """Send a frame and return the one that answers it; past `seconds` the process is killed.

        Raises:
            ChildGone: it has ended, or was killed.
        """
        timer = None if seconds is None else Timer(seconds, self.kill)
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            write_frame(self._input, *parts)
            return self.receive()
        except OSError as error:
            raise ChildGone(str(error)) from error
        finally:
            if timer is not None:
                timer.cancel()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self, seconds: float = 5.0) -> None:
        """Close its input, by which it knows that it is to end; what does not end is killed."""
        try:
            self._input.close()
            self._process.wait(seconds)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._output.close()
