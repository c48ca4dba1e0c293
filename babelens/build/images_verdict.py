"""What the bytes of a picture are worth, and whether they are still those that a row was made with."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from babelens.build.assemble_pictures import THRESHOLD, difference_hash
from babelens.build.images_failures import Status
from babelens.data.images import UnreadableError, decode
from babelens.data.problems import quote
from babelens.schema import InputError

MOST_BYTES = 64 << 20
"""A file of more bytes than this is not read."""

_KINDS = (
    (b"\xff\xd8\xff", "JPEG", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", "PNG", ".png"),
    (b"GIF87a", "GIF", ".gif"),
    (b"GIF89a", "GIF", ".gif"),
    (b"II*\0", "TIFF", ".tif"),
    (b"MM\0*", "TIFF", ".tif"),
    # Pictures, too, though of kinds that are not read.
    (b"<svg", "SVG", ""),
    (b"8BPS", "PSD", ""),
    (b"\0\0\1\0", "ICO", ""),
    (b"\0\0\0\x0cjP  ", "JPEG 2000", ""),
    (b"\0\0\0\x0cJXL ", "JPEG XL", ""),
    (b"\xff\x0a", "JPEG XL", ""),
)
_ISO = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF"}
_PAGE = re.compile(rb"<(!doctype html|html|head|body|title|script|meta)\b", re.IGNORECASE)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HASH = re.compile(r"[0-9a-f]{64}")  # 256 bits, too
_FEWEST = 32
_LOOKED_AT = 1024


@dataclass(frozen=True)
class Verdict:
    """What bytes are worth: `status` is "ok", "changed" (no picture), "corrupt" or "too small", with the `fault` in
    words.

    `sha256` is that of the bytes, `hash` the difference hash (256 bits, in hexadecimal digits; None where it would say
    nothing), `ending` that of the kind of picture, `size` its width and height in pixels (None if not known).
    """

    status: Status
    fault: str | None
    sha256: str
    size: tuple[int, int] | None = None
    hash: str | None = None
    ending: str = ""


def judge(content: bytes, min_size: int) -> Verdict:
    """What the bytes of a file are worth. A picture with a short side of fewer pixels than `min_size` is too small.

    Bytes that cannot be decoded are "corrupt" if they begin as a picture of any kind does, and else "changed": a page,
    or something else that is no picture, stands in its place.
    """
    digest = sha256(content).hexdigest()
    kind = kind_of(content)
    try:
        image = decode(content)
    except UnreadableError as error:
        if kind is None and content:
            return Verdict("changed", f"no picture but {_what(content)}", digest)
        words = _ADDRESS.sub("", str(error))
        return Verdict("corrupt", words if kind is None else f"{kind[0]}: {words}", digest)
    ending = "" if kind is None else kind[1]
    size = (image.width, image.height)
    if min(size) < min_size:
        return Verdict("too small", f"{size[0]} x {size[1]} pixels", digest, size, None, ending)
    return Verdict("ok", None, digest, size, _telling(difference_hash(image)), ending)


def kind_of(content: bytes) -> tuple[str, str] | None:
    """The kind of picture as which bytes begin, and the ending of its files ("" of kinds that are not read)."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP", ".webp"
    if content[:2] == b"BM" and content[6:10] == bytes(4):  # two letters alone may begin a text
        return "BMP", ".bmp"
    if content[4:8] == b"ftyp" and content[8:12] in _ISO:
        return _ISO[content[8:12]], ""
    head = content[:_LOOKED_AT].lstrip()
    if head.startswith(b"<?xml") and b"<svg" in head:
        return "SVG", ""
    for start, name, ending in _KINDS:
        # A file may be cut within its very first bytes.
        if content.startswith(start) or (1 < len(content) < len(start) and start.startswith(content)):
            return name, ending
    return None


def _what(content: bytes) -> str:
    head = content[:_LOOKED_AT]
    if _PAGE.search(head):
        return "a web page"
    text = head.decode("utf-8", "ignore")
    return "text" if len(text.encode()) > len(head) - 4 and "\0" not in text else "bytes of no known kind"


def _telling(bits: np.ndarray) -> str | None:
    """A hash in digits, or None where the picture has too little in it (see `assemble_pictures`)."""
    count = int(np.bitwise_count(bits).sum())
    return bits.tobytes().hex() if _FEWEST <= count <= 8 * bits.nbytes - _FEWEST else None


def change(row: Mapping[str, Any], verdict: Verdict, downloaded: str | None = None) -> str | None:
    """How a picture differs from the one that the row was made with, in words; None if it does not, or nobody knows.

    What is compared is the row's `sha256` with that of the bytes (or of the bytes as they were `downloaded`, before
    img2dataset encoded them anew), then its `image_hash`: bytes may differ where the picture is nearly the same.

    Raises:
        InputError: a digest in the row is none.
    """
    before = _digits(row, "sha256", _SHA256)
    if before is not None and before in (verdict.sha256, downloaded):
        return None
    hash = _digits(row, "image_hash", _HASH)
    if hash is not None and verdict.hash is not None:
        differing = (int(hash, 16) ^ int(verdict.hash, 16)).bit_count()
        return f"another picture: {differing} of 256 bits of the hash differ" if differing > THRESHOLD else None
    return None if before is None else "other bytes: the SHA-256 differs"


def _digits(row: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not form.fullmatch(value.lower()):
        raise InputError(f"row {row['id']}: expected {name} as 64 hexadecimal digits, found {quote(value)}")
    return value.lower()
