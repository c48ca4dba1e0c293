import io
import struct
import zlib
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from babelens.build.images_verdict import change, judge
from babelens.schema import InputError


def scene(seed=0, size=(160, 120)):
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def encoded(image, kind="JPEG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_of(width, height):
    """A PNG that says it is so large, of a few bytes."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


GOOD = encoded(scene())


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("JPEG", ".jpg"), ("PNG", ".png"), ("GIF", ".gif"), ("WEBP", ".webp"), ("BMP", ".bmp"), ("TIFF", ".tif")],
)
def test_a_good_picture(kind, ending):
    content = encoded(scene(), kind)
    verdict = judge(content, 64)
    assert (verdict.status, verdict.fault, verdict.size, verdict.ending) == ("ok", None, (160, 120), ending)
    assert verdict.sha256 == sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("content", "status", "fault"),
    [
        (b"", "corrupt", "an empty file"),
        (GOOD[: len(GOOD) // 2], "corrupt", "JPEG: image file is truncated"),
        (GOOD[:2], "corrupt", "JPEG: "),
        (encoded(scene(), "PNG")[:200], "corrupt", "PNG: "),
        (png_of(100_000, 100_000), "corrupt", "PNG: Image size (10000000000 pixels) exceeds limit"),
        (png_of(5_000, 5_001), "corrupt", "more than 25 megapixels"),
        (b"\0\0\0\x1cftypavif" + bytes(50), "corrupt", "AVIF: not a picture of a known format"),
        (b"<?xml version='1.0'?><svg/>", "corrupt", "SVG: "),
        (b"\n<!DOCTYPE html><p>gone</p>", "changed", "no picture but a web page"),
        (b"\xef\xbb\xbf<html><body>", "changed", "no picture but a web page"),
        (b'{"error": "gone"}', "changed", "no picture but text"),
        (b"BMW " * 300, "changed", "no picture but text"),
        ("é".encode() * 900, "changed", "no picture but text"),
        (b"%PDF-1.4\n\xd0\xd4\xff\0", "changed", "no picture but bytes of no known kind"),
        (encoded(scene(size=(640, 63))), "too small", "640 x 63 pixels"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_what_is_no_good_picture(content, status, fault):
    verdict = judge(content, 64)
    assert verdict.status == status
    assert fault in (verdict.fault or "")


def test_the_short_side_counts_as_it_is_shown():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    content = encoded(scene(size=(100, 64)), exif=exif)
    assert judge(content, 64).size == (64, 100)
    assert (judge(content, 64).status, judge(content, 65).status) == ("ok", "too small")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.integers(0, len(GOOD)))
def test_any_bytes_get_a_verdict_without_an_address_of_memory(rest, cut):
    for content in (rest, GOOD[:cut] + rest):
        verdict = judge(content, 1)
        assert verdict.status in ("ok", "changed", "corrupt")
        assert "0x" not in (verdict.fault or "")
        assert judge(content, 1) == verdict


def row(**fields):
    return {"id": "r", "text": "", **fields}


def test_a_picture_without_anything_to_compare_has_not_changed():
    assert change(row(), judge(GOOD, 1)) is None
    assert change(row(sha256=None, image_hash=None), judge(GOOD, 1)) is None


def test_the_same_bytes_and_the_same_picture_encoded_anew():
    before = judge(GOOD, 1)
    known = row(sha256=before.sha256.upper(), image_hash=before.hash)
    assert change(known, before) is None
    again = judge(encoded(scene(), quality=50), 1)
    assert again.sha256 != before.sha256
    assert change(known, again) is None
    assert change(row(sha256=before.sha256), again) == "other bytes: the SHA-256 differs"
    assert change(row(sha256=before.sha256), again, downloaded=before.sha256) is None


def test_another_picture():
    one, other = judge(GOOD, 1), judge(encoded(scene(1)), 1)
    assert one.hash is not None and other.hash is not None
    bits = [np.unpackbits(np.frombuffer(bytes.fromhex(told), np.uint8)) for told in (one.hash, other.hash)]
    differing = int((bits[0] != bits[1]).sum())
    told = change(row(sha256=one.sha256, image_hash=one.hash), other)
    assert told == f"another picture: {differing} of 256 bits of the hash differ"


def test_a_picture_with_nothing_in_it_is_compared_by_its_bytes():
    white = judge(encoded(Image.new("RGB", (80, 80), "white")), 1)
    assert (white.status, white.hash) == ("ok", None)
    one = judge(GOOD, 1)
    assert change(row(sha256=one.sha256, image_hash=one.hash), white) == "other bytes: the SHA-256 differs"
    assert change(row(image_hash=one.hash), white) is None


@pytest.mark.parametrize("digest", ["abc", 5, "g" * 64, ""])
def test_a_digest_that_is_none(digest):
    with pytest.raises(InputError, match="row r: expected sha256 as 64 hexadecimal digits, found"):
        change(row(sha256=digest), judge(GOOD, 1))
