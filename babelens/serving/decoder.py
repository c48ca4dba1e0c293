"""The program that opens pictures for the service, in a process of its own under limits of memory and time.

It reads frames with the bytes of a picture and answers each with one byte, then its width and height and its pixels as
RGB, or a message. It imports nothing that runs a model.
"""

import contextlib
import os
import resource
import struct
import sys
from importlib import import_module

from babelens.serving.frames import read_frame, write_frame

OPENED, UNREADABLE, TOO_MUCH = b"\0", b"\1", b"\2"
SIZE = struct.Struct(">II")


def main() -> None:
    """Answer frames until there are no more; arguments: memory (bytes) and processor seconds for a picture."""
    memory, seconds = int(sys.argv[1]), float(sys.argv[2])
    from babelens.data.images import decode

    decode(_SMALLEST)  # what is imported late, by Pillow or for 16 bits, is there before memory is limited
    import_module("numpy")
    _limit(memory)
    frames, answers = os.fdopen(0, "rb"), os.fdopen(1, "wb")
    while (content := read_frame(frames)) is not None:
        _limit_seconds(seconds)
        write_frame(answers, *_open(bytes(content)))
        del content


def _open(content: bytes) -> tuple[bytes, ...]:
    from babelens.data.images import UnreadableError, decode

    try:
        image = decode(content)
        return OPENED, SIZE.pack(*image.size), image.tobytes()
    except UnreadableError as error:
        return UNREADABLE, str(error).encode("utf-8", "replace")
    except MemoryError:
        return (TOO_MUCH,)


def _limit(memory: int) -> None:
    """Allow so many bytes more than are held now, no files and no core dumps."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    held = 0
    with contextlib.suppress(OSError), open("/proc/self/statm", encoding="ascii") as file:
        held = int(file.read().split()[0]) * resource.getpagesize()
    with contextlib.suppress(ValueError, OSError):  # macOS knows the limit and does not set it
        resource.setrlimit(resource.RLIMIT_AS, (held + memory, held + memory))


def _limit_seconds(seconds: float) -> None:
    """Allow so much processor time from now on; the system ends the process past it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime + seconds) + 1, hard))


# A GIF of one pixel.
_SMALLEST = bytes.fromhex("47494638396101000100800000000000ffffff2c00000000010001000002024401003b")

if __name__ == "__main__":
    main()
