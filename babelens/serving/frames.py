"""Bytes between processes: a length, then as many bytes. Nothing is pickled."""

import struct
from io import BufferedIOBase, RawIOBase

_LENGTH = struct.Struct(">Q")
LONGEST = 1 << 32

Stream = RawIOBase | BufferedIOBase


def read_frame(stream: Stream) -> bytearray | None:
    """The next frame, or None where the other side has closed.

    Raises:
        EOFError: the stream ends within a frame.
        ValueError: the length is beyond all measure; the other side speaks something else.
    """
    head = _read(stream, _LENGTH.size)
    if not head:
        return None
    if len(head) < _LENGTH.size:
        raise EOFError("expected a frame, found the end of the stream")
    (length,) = _LENGTH.unpack(head)
    if length > LONGEST:
        raise ValueError(f"expected a frame of at most {LONGEST} bytes, found one of {length}")
    content = _read(stream, length)
    if len(content) < length:
        raise EOFError(f"expected {length} bytes, found {len(content)}")
    return content


def write_frame(stream: Stream, *parts: bytes | bytearray | memoryview) -> None:
    """Write one frame of several parts."""
    for part in (_LENGTH.pack(sum(len(part) for part in parts)), *parts):
        left = memoryview(part)
        while left:
            left = left[stream.write(left) or 0 :]  # an unbuffered stream may take a part of it
    stream.flush()


def _read(stream: Stream, length: int) -> bytearray:
    content = bytearray(length)
    view, filled = memoryview(content), 0
    while filled < length:
        count = stream.readinto(view[filled:])
        if not count:
            break
        filled += count
    view.release()
    del content[filled:]
    return content
