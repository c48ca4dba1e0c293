"""What the first bytes of a picture say of it, read without a decoder: its format and its size."""

import struct
from typing import NamedTuple

from babelens.serving.refusal import Refusal

_PNG = b"\x89PNG\r\n\x1a\n"
# Start-of-frame markers of JPEG; C4, C8 and CC are none (ITU T.81, table B.1).
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})


class Header(NamedTuple):
    """A picture's format ("JPEG", "PNG", "WEBP", "GIF") and its size in pixels as its header has it."""

    format: str
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Its area."""
        return self.width * self.height


def read_header(content: bytes | memoryview) -> Header:
    """The header of a picture.

    Raises:
        Refusal: it is empty, its header is cut off or has no size (422), or it is of another format (415).
    """
    content = memoryview(content)
    if not len(content):
        raise Refusal(422, "expected a picture, found no bytes")
    name = _format(bytes(content[:12]))
    if name is None:
        raise Refusal(415, "expected a picture that is JPEG, PNG, WebP or GIF, found something else")
    try:
        width, height = _SIZES[name](content)
    except (struct.error, IndexError, ValueError):
        raise Refusal(422, f"expected a whole {name} picture, found a header that is cut off or broken") from None
    if not width or not height:
        raise Refusal(422, f"expected a picture with pixels, found {width} x {height}")
    return Header(name, width, height)


def _format(start: bytes) -> str | None:
    if start[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if start[:8] == _PNG:
        return "PNG"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    return "GIF" if start[:6] in (b"GIF87a", b"GIF89a") else None


def _png(content: memoryview) -> tuple[int, int]:
    length, kind, width, height = struct.unpack_from(">I4sII", content, 8)
    if kind != b"IHDR" or length != 13:
        raise ValueError
    return width, height


def _gif(content: memoryview) -> tuple[int, int]:
    return struct.unpack_from("<HH", content, 6)


def _webp(content: memoryview) -> tuple[int, int]:
    """RFC 9649: the chunk that comes first says which of three headers it is."""
    kind = bytes(content[12:16])
    if kind == b"VP8X":
        wide, high = bytes(content[24:27]), bytes(content[27:30])
        if len(high) < 3:
            raise ValueError
        return int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1
    if kind == b"VP8L":
        mark, bits = struct.unpack_from("<BI", content, 20)
        if mark != 0x2F:
            raise ValueError
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        mark, width, height = struct.unpack_from("<3sHH", content, 23)
        if mark != b"\x9d\x01\x2a":
            raise ValueError
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError


def _jpeg(content: memoryview) -> tuple[int, int]:
    place = 2
    while True:
        if content[place] != 0xFF:
            raise ValueError
        while content[place] == 0xFF:  # fill bytes
            place += 1
        marker = content[place]
        place += 1
        if marker in _ALONE:
            continue
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", content, place + 3)
            return width, height
        (length,) = struct.unpack_from(">H", content, place)
        if length < 2 or marker in (0xD9, 0xDA):  # the end, or pixels before a frame
            raise ValueError
        place += length


_SIZES = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "GIF": _gif}
