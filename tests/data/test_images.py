import io
import os
import pickle
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from babelens.data import ImageError
from babelens.data.images import ImageStore, UnreadableError, decode, digest_content

RED = (255, 0, 0)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixel(content, at=(0, 0)):
    image = decode(content)
    assert image.mode == "RGB"
    return image.getpixel(at)


def huge_header():
    """A PNG that says it is 10,000 x 10,000 pixels and holds none."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0),
        b"IDAT": zlib.compress(b""),
        b"IEND": b"",
    }
    parts = [
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (4, 3), RED).save(images / "a.jpg")
    Image.new("RGBA", (4, 3), (0, 0, 0, 0)).save(images / "alpha.jpg", "PNG")
    (images / "empty.jpg").write_bytes(b"")
    (images / "cut.png").write_bytes(encoded(Image.effect_noise((64, 64), 50))[:900])
    (images / "text.jpg").write_text("no picture")
    (images / "huge.png").write_bytes(huge_header())
    (images / "folder.jpg").mkdir()
    (tmp_path / "secret.jpg").write_bytes(encoded(Image.new("RGB", (2, 2))))
    return images


def test_alpha_lies_on_white():
    assert pixel(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 0)))) == (255, 255, 255)
    assert pixel(encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 255)))) == RED
    assert pixel(encoded(Image.new("LA", (2, 2), (0, 0)))) == (255, 255, 255)


def test_half_transparent_is_mixed_with_white():
    assert pixel(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 51)))) == (204, 204, 204)


def test_palettes_and_their_transparency():
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((1, 0), 1)
    assert pixel(encoded(image), (1, 0)) == RED
    content = encoded(image, transparency=0)
    assert (pixel(content), pixel(content, (1, 0))) == ((255, 255, 255), RED)
    assert pixel(encoded(image, transparency=bytes([0, 255])), (1, 0)) == RED
    assert pixel(encoded(image, "GIF", transparency=0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_become_eight(kind):
    values = np.array([[0, 257 * 100, 65535]], np.uint16)
    image = decode(encoded(Image.fromarray(values), kind))
    assert [image.getpixel((x, 0))[0] for x in range(3)] == [0, 100, 255]


def test_floats_and_wide_integers():
    image = decode(encoded(Image.fromarray(np.array([[-1.0, 0.0, 1.0]], np.float32)), "TIFF"))
    assert [image.getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]
    image = decode(encoded(Image.fromarray(np.array([[0, 255]], np.int32)), "TIFF"))
    assert [image.getpixel((x, 0))[0] for x in range(2)] == [0, 255]


def test_cmyk_grey_and_bits():
    assert pixel(encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG")) == (255, 255, 255)
    assert pixel(encoded(Image.new("L", (2, 2), 7))) == (7, 7, 7)
    assert pixel(encoded(Image.new("1", (2, 2), 1))) == (255, 255, 255)


def test_pictures_are_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.new("RGB", (40, 20), RED), "JPEG", exif=exif.tobytes())
    assert decode(content).size == (20, 40)


def test_broken_exif_is_no_reason_to_refuse():
    content = encoded(Image.new("RGB", (8, 8), RED), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert decode(content).size == (8, 8)


def test_the_first_frame_of_many():
    frames = [Image.new("RGB", (2, 2), colour) for colour in (RED, (0, 255, 0))]
    assert pixel(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])) == RED


def test_large_pictures_are_refused_by_their_header():
    with pytest.raises(UnreadableError, match="10000 x 10000 pixels, more than 25 megapixels"):
        decode(huge_header())
    assert decode(encoded(Image.new("1", (5000, 5000)))).size == (5000, 5000)
    with pytest.raises(UnreadableError, match="megapixels"):
        decode(encoded(Image.new("1", (5001, 5000))))


STARTS = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF", b"II*\0"]


@given(st.binary(max_size=200), st.sampled_from(STARTS))
def test_noise_is_unreadable_and_never_more(noise, start):
    with pytest.raises(UnreadableError):
        decode(start + noise)


@given(st.data())
def test_damaged_pictures_are_read_or_unreadable(data):
    content = bytearray(DAMAGED)
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert decode(bytes(content)).mode == "RGB"
    except UnreadableError as error:
        assert str(error)


DAMAGED = encoded(Image.effect_noise((24, 24), 50), "JPEG")


@pytest.mark.parametrize(
    ("image", "status", "reason"),
    [
        ("a", "used", ""),
        ("a.jpg", "used", ""),
        ("alpha", "used", ""),
        ("./a", "used", ""),
        ("empty", "unreadable", "an empty file"),
        ("cut", "unreadable", "truncated"),
        ("text", "unreadable", "not a picture of a known format"),
        ("huge", "unreadable", "megapixels"),
        ("none", "missing", "no such picture"),
        ("folder.jpg", "missing", "no such picture"),
        ("../secret", "missing", "no such picture"),
        ("../secret.jpg", "missing", "no such picture"),
        ("x/../../secret", "missing", "no such picture"),
        ("../images/a", "used", ""),
        ("/etc/passwd", "missing", "no such picture"),
        ("a\0b", "missing", "no such picture"),
        ("x" * 5000, "missing", "no such picture"),
        ("..", "missing", "no such picture"),
    ],
)
def test_what_became_of_a_picture(folder, image, status, reason):
    store = ImageStore([folder])
    picture = store.open(store.key(image))
    assert (picture.status, picture.image is not None) == (status, status == "used")
    assert reason in picture.reason
    assert store.counts == {status: 1}


def test_no_key_leads_out_of_the_folders(folder):
    store = ImageStore([folder])
    for key in (f"file:{folder.parent}/secret.jpg", f"file:{folder}/../secret.jpg", "file:secret.jpg", "sha256:00"):
        assert store.open(key).status == "missing"


def test_equal_keys_are_the_same_file(folder, tmp_path):
    store = ImageStore([folder])
    assert store.key("a") == store.key("a.jpg") == ImageStore([tmp_path, folder]).key("a")
    os.symlink(folder, tmp_path / "link")
    assert ImageStore([tmp_path / "link"]).key("a") == store.key("a")
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.jpg").write_bytes((folder / "a.jpg").read_bytes())
    assert ImageStore([other]).key("a") != store.key("a")
    assert store.key("none") != store.key("none2")
    assert store.key("none") == ImageStore([folder]).key("none")


def test_strict_stores_name_the_file(folder):
    store = ImageStore([folder], strict=True)
    assert store.open(store.key("a")).status == "used"
    with pytest.raises(ImageError) as caught:
        store.open(store.key("empty"))
    assert str(caught.value) == f"{folder}/empty.jpg: expected a readable picture, found an empty file"
    with pytest.raises(ImageError, match="none: expected a readable picture, found no such picture"):
        store.open(store.key("none"))


def test_threads_count_together(folder):
    store = ImageStore([folder])
    keys = [store.key("a"), store.key("none"), store.key("empty"), store.key("cut")] * 50
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.open, keys))
    assert store.counts == {"used": 50, "missing": 50, "unreadable": 100}


def test_a_store_can_be_pickled(folder):
    store = ImageStore([folder])
    copy = pickle.loads(pickle.dumps(store))
    assert copy.open(store.key("a")).status == "used"
    assert store.counts == {}


def test_a_digest_is_of_the_content_alone(folder, tmp_path):
    content = encoded(Image.new("RGB", (3, 2), RED))
    digest = sha256(content).digest()[:16]
    for place in (folder, tmp_path / "other"):
        place.mkdir(exist_ok=True)
        (place / "any.png").write_bytes(content)
    stores = [ImageStore([folder]), ImageStore([tmp_path / "other"])]
    assert [store.digest(store.key("any")) for store in stores] == [digest, digest]
    assert stores[0].digest(stores[0].key("x", sha256(content).hexdigest())) == digest == digest_content(content)
    assert stores[0].digest(stores[0].key("nowhere")) is None
    assert stores[0].digest(stores[1].key("any")) is None, "a file outside the folders"
    (folder / "any.png").write_bytes(content + b" ")
    assert stores[0].digest(stores[0].key("any")) != digest
