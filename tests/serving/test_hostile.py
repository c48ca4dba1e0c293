"""Pictures and texts made to harm: none ends the service or fills its memory, each is refused or rightly answered."""

import base64
import io
import json
import os
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from babelens.prediction.predictor import Predictor
from babelens.serving.decoding import Decoders
from babelens.serving.refusal import Refusal
from babelens.serving.settings import Limits

GROWTH = 100 << 20


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def photo(size=(64, 48)) -> Image.Image:
    rows, columns = np.mgrid[: size[1], : size[0]]
    return Image.fromarray(np.stack([rows * 5 % 256, columns * 3 % 256, rows * columns % 256], 2).astype(np.uint8))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, pixels: bytes, *more: bytes, depth: int = 8, color: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """Zeros, compressed; made in pieces, for the test's own memory counts too."""
    deflate = zlib.compressobj(1)
    return (
        b"".join(deflate.compress(bytes(min(1 << 20, count - at))) for at in range(0, count, 1 << 20)) + deflate.flush()
    )


def gif(width: int, height: int, frame: Image.Image) -> bytes:
    """A GIF whose screen has another size than its only frame."""
    whole = bytearray(saved(frame, "GIF"))
    struct.pack_into("<HH", whole, 6, width, height)
    return bytes(whole)


def jpeg_sized(width: int, height: int) -> bytes:
    """A JPEG that says that it is larger than it is."""
    content = bytearray(saved(photo(), "JPEG"))
    struct.pack_into(">HH", content, content.index(b"\xff\xc0") + 5, height, width)
    return bytes(content)


def exif(orientation: int) -> Image.Exif:
    told = Image.Exif()
    told[0x0112] = orientation
    return told


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (64, 48), (number * 4, 255 - number * 4, 30)) for number in range(60)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=20)


def refused() -> dict[str, tuple[bytes, set[int]]]:
    whole = {"JPEG": saved(photo(), "JPEG"), "PNG": saved(photo(), "PNG"), "GIF": saved(photo(), "GIF")}
    whole["WEBP"] = saved(photo(), "WEBP")
    page = b"<html><script>alert(1)</script>"
    found: dict[str, tuple[bytes, set[int]]] = {
        "PNG bomb of 100 gigapixels": (png(400_000, 250_000, zeros(1 << 20)), {413}),
        "PNG of 2**31 pixels a side": (png(2**31 - 1, 2**31 - 1, zeros(10)), {413}),
        "PNG with negative sides": (png(2**32 - 1, 2**32 - 1, zeros(10)), {413}),
        "PNG just above the limit": (png(5001, 5000, zeros(1 << 16)), {413}),
        "PNG without pixels": (png(0, 10, zeros(10)), {422}),
        "GIF bomb": (gif(65_535, 65_535, Image.new("P", (8, 8))), {413}),
        "JPEG bomb": (jpeg_sized(65_500, 65_500), {413}),
        "more bytes than allowed": (whole["PNG"] + bytes(10_000_000), {413}),
        "BMP": (saved(photo(), "BMP"), {415}),
        "TIFF": (saved(photo(), "TIFF"), {415}),
        "TIFF that is said to be huge": (b"II*\0" + bytes(100), {415}),
        "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", {415}),
        "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", {415}),
        "HTML": (page, {415}),
        "HTML that begins as a GIF": (b"GIF89a" + page, {413, 422}),
        "GIF with a screen smaller than its frame": (gif(8, 8, Image.new("P", (4000, 4000))), {422}),
        "a zip": (b"PK\3\4" + bytes(60), {415}),
        "random bytes": (np.random.default_rng(1).bytes(5000), {415}),
        "APNG text bomb": (png(8, 8, zeros(200), chunk(b"zTXt", b"a\0\0" + zeros(100 << 20))), {422, 413, 200}),
        "ICC profile bomb": (png(8, 8, zeros(200), chunk(b"iCCP", b"a\0\0" + zeros(100 << 20))), {422, 413, 200}),
        "JPEG of markers alone": (b"\xff\xd8" + b"\xff\xe0\0\2" * 200_000, {422}),
        "JPEG of fill bytes": (b"\xff\xd8" + b"\xff" * 500_000, {422}),
        "JPEG with a segment of no length": (b"\xff\xd8\xff\xe0\0\0", {422}),
        "WebP with another chunk": (b"RIFF\x20\0\0\0WEBPABCD" + bytes(30), {422}),
        "WebP that says it is huge": (
            b"RIFF" + struct.pack("<I", 26) + b"WEBPVP8X\x0a\0\0\0\2\0\0\0\xff\xff\xff\xff\xff\xff" + bytes(8),
            {413},
        ),
        "WebP canvas without a frame": (
            b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X\x0a\0\0\0\2\0\0\0\x3f\0\0\x3f\0\0",
            {422},
        ),
    }
    for kind, content in whole.items():
        found[f"{kind} cut in two"] = (content[: len(content) // 2], {422})
        found[f"{kind} cut in its header"] = (content[:13], {422})
        broken = bytearray(content)
        broken[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
        found[f"{kind} that ends in zeros"] = (bytes(broken), {422, 200})
    return found


def answered() -> dict[str, bytes]:
    image = photo()
    gray = Image.fromarray((np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 21).astype(np.uint16))
    return {
        "as large as allowed": png(5000, 5000, zeros(15_001 * 5000)),
        "CMYK": saved(image.convert("CMYK"), "JPEG"),
        "16 bits": saved(gray, "PNG"),
        "one bit": saved(image.convert("1"), "PNG"),
        "palette with transparency": saved(image.convert("P"), "PNG", transparency=3),
        "gray with alpha": saved(image.convert("LA"), "PNG"),
        "alpha": saved(image.convert("RGBA"), "WEBP", lossless=True),
        "progressive": saved(image, "JPEG", progressive=True),
        "lossy WebP": saved(image, "WEBP"),
        "one pixel": saved(Image.new("RGB", (1, 1)), "PNG"),
        "very wide": saved(Image.new("RGB", (20_000, 1), (9, 99, 200)), "PNG"),
        "animated GIF": animated("GIF"),
        "animated WebP": animated("WEBP"),
        "animated PNG": animated("PNG"),
        "a zip behind a JPEG": saved(image, "JPEG") + b"PK\3\4" + bytes(100),
        "a page in a comment": saved(image, "JPEG", comment=b"<script>alert(1)</script>"),
        "broken EXIF": saved(image, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(20)),
        **{f"EXIF orientation {turn}": saved(image, "JPEG", exif=exif(turn)) for turn in (3, 5, 6, 8)},
    }


TEXTS = {
    "empty": "",
    "blanks": " \t\r\n\u2003\u00a0",
    "control characters": "".join(map(chr, range(1, 32))) + "Anna\x00Paris\x7f\x9f",
    "bidi overrides": "\u202eanna\u202c \u2066Paris\u2069 \u200f\u061c\u202a\u202b\u202d Lyon",
    "combining marks": "a" + "\u0301" * 99_999,
    "only emoji": "👩🏽\u200d🚀🇩🇪👍🏿🏳️\u200d🌈1️⃣" * 200,
    "joiners": "\u200d" * 5_000,
    "one word": "a" * 100_000,
    "noncharacters": "\ufffe\uffff\U0010ffff x",
    "a script": "<script>alert('Anna')</script> in Paris",
    "elisions": "l'" * 4_000,
    "dots": "a." * 30_000,
}


def coded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def resident(process: int) -> int:
    """Bytes that a process and all that it started hold."""
    total, left = 0, [process]
    while left:
        number = left.pop()
        for line in Path(f"/proc/{number}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                total += int(line.split()[1]) << 10
        for task in Path(f"/proc/{number}/task").iterdir():
            left += map(int, (task / "children").read_text().split())
    return total


@pytest.fixture(scope="module")
def predictor(tiny_tagger):
    return Predictor(tiny_tagger)


@pytest.fixture(scope="module")
def corpus():
    return refused(), answered()


def test_hostile_pictures_are_refused_or_rightly_answered(server, predictor, corpus):
    bad, good = corpus
    text = "Anna Lindqvist visited Paris."
    for name, (content, statuses) in bad.items():
        status, answer = server.predict({"text": text, "image": coded(content)})
        assert status in statuses, (name, status, answer)
        assert status == 200 or answer["error"], name
    for name, content in good.items():
        status, answer = server.predict({"text": text, "image": coded(content)})
        expected = predictor.predict(text, content)
        assert (status, answer["image_status"], expected.image_status) == (200, "used", "used"), name
        scores = [mention.score for mention in expected.entities]
        assert [mention["score"] for mention in answer["entities"]] == pytest.approx(scores, abs=1e-5), name
    before = resident(server.process)
    for content in [*(content for content, _ in bad.values()), good["as large as allowed"], good["animated GIF"]]:
        assert server.predict({"text": text, "image": coded(content)})[0] < 500
    assert resident(server.process) - before < GROWTH
    assert "babelens_decoder_restarts 0.0" in server.ask("GET", "/metrics")[2].decode()


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_texts_are_rightly_answered(server, predictor, name):
    before = resident(server.process)
    status, answer = server.predict({"text": TEXTS[name]})
    assert status == 200 and answer["text"] == TEXTS[name]
    expected = predictor.predict(TEXTS[name])
    assert [(one["start"], one["end"], one["type"]) for one in answer["entities"]] == [
        (one.start, one.end, one.type) for one in expected.entities
    ]
    assert resident(server.process) - before < GROWTH


@pytest.mark.parametrize("body", [b'{"text": "\\ud800"}', b'{"text": "\xed\xa0\x80"}', b'{"text": "a\\udc00 b"}'])
def test_half_a_surrogate_pair_is_refused(server, body):
    status, answer = server.predict(body)
    assert status == 400 and answer["error"]


def test_a_decoder_may_die_and_the_next_picture_is_opened(server):
    decoders = [
        number
        for task in Path(f"/proc/{server.process}/task").iterdir()
        for number in map(int, (task / "children").read_text().split())
        if b"babelens.serving.decoder" in Path(f"/proc/{number}/cmdline").read_bytes()
    ]
    assert len(decoders) == 2
    for number in decoders:
        os.kill(number, 9)
    row = {"text": "a", "image": coded(saved(photo(), "PNG"))}
    statuses = [server.predict(row)[0] for _ in range(4)]
    assert statuses == [413, 413, 200, 200]


def test_a_decoder_is_held_to_its_memory_and_goes_on():
    decoders = Decoders(1, Limits(decode_memory=40 << 20))
    decoders.start()
    try:
        with pytest.raises(Refusal, match="memory") as found:
            decoders._decode(png(5000, 5000, zeros(15_001 * 5000)))
        assert found.value.status == 413
        small = decoders._decode(saved(photo(), "PNG"))
        assert (small.width, small.height, bytes(small.rgb)) == (64, 48, photo().tobytes())
    finally:
        decoders.close()


def test_a_decoder_is_held_to_its_time():
    program = "from babelens.serving.decoder import _limit_seconds\n_limit_seconds(0.1)\nwhile True: pass"
    done = subprocess.run([sys.executable, "-c", program], timeout=60)
    assert done.returncode == -signal.SIGXCPU


def test_the_json_of_a_refusal_never_holds_the_picture(server):
    status, answer = server.predict({"text": "a", "image": "A" * 5_000 + "!"})
    assert status == 422 and len(json.dumps(answer)) < 300
