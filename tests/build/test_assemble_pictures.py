import io
import json
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from babelens.build.assemble_pictures import (
    Usable,
    choose_pictures,
    difference_hash,
    distances,
    find_usable,
    name_pictures,
    near_marks,
    near_pictures,
    put_picture,
    tell_near,
)
from babelens.data.reading import read_corpus


def scene(seed, size=(160, 120)):
    """A picture of some smooth shapes."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def corpus_of(folder, pictures):
    """A row for each picture (name, bytes or None), in a folder of its own."""
    (folder / "images").mkdir()
    rows = []
    for number, (name, content) in enumerate(pictures):
        if content is not None:
            (folder / "images" / name).write_bytes(content)
        rows.append({"id": f"r{number}", "text": f"row {number}", "image": name})
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_corpus(folder / "rows.jsonl")


def test_the_hash_tells_where_it_gets_darker():
    rising = np.tile(np.arange(17, dtype=np.uint8) * 10, (16, 1))
    image = Image.fromarray(rising)
    assert np.bitwise_count(difference_hash(image)).sum() == 256
    assert np.bitwise_count(difference_hash(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))).sum() == 0
    rising[3, 5] = 255  # the pixel to its right is darker now
    assert np.bitwise_count(difference_hash(Image.fromarray(rising))).sum() == 255


def test_rescaled_copies_are_near_and_others_are_not():
    for seed in range(8):
        image = scene(seed)
        small = Image.open(io.BytesIO(encoded(image.resize((80, 60)), "JPEG", quality=50)))
        here, there, other = (difference_hash(one)[None] for one in (image, small, scene(seed + 100)))
        assert distances(here, there).item() <= 32
        assert distances(here, other).item() > 32


def test_pairs_are_those_of_counting_bits(monkeypatch):
    draw = np.random.default_rng(1)
    hashes = draw.integers(0, 1 << 64, (40, 4), np.uint64)
    for number in range(0, 40, 5):
        hashes[number + 1] = hashes[number]
        hashes[number + 1, number % 4] ^= np.uint64(draw.integers(1, 1 << 9))
    whole = [int.from_bytes(row.tobytes(), "little") for row in hashes]
    expected = [[i, j] for i, j in combinations(range(40), 2) if (whole[i] ^ whole[j]).bit_count() <= 9]
    assert len(expected) >= 8
    assert near_pictures(hashes, 9).tolist() == expected
    monkeypatch.setattr("babelens.build.assemble_pictures._PAIRS", 90)
    assert near_pictures(hashes, 9).tolist() == expected


def test_usable_pictures(tmp_path):
    one = encoded(scene(1))
    pictures = [("a.png", one), ("b.png", one), ("gone.png", None), ("bad.png", b"no picture"), ("flat.png", None)]
    pictures[4] = ("flat.png", encoded(Image.new("RGB", (50, 50), "white")))
    corpus = corpus_of(tmp_path, pictures)
    told = []
    usable = find_usable(corpus, told.append)
    names = {key.rpartition("/")[2]: own for key, own in usable.items()}
    assert set(names) == {"a.png", "b.png", "flat.png"}
    assert names["a.png"] is names["b.png"]
    assert (names["a.png"].pixels, names["a.png"].size) == (160 * 120, len(one))
    assert names["a.png"].bits is not None
    assert names["flat.png"].bits is None
    assert told == [1, 2, 3]


def test_white_pictures_are_not_near_one_another(tmp_path):
    pictures = [(f"{size}.png", encoded(Image.new("RGB", (size, size), "white"))) for size in (40, 50)]
    assert tell_near(find_usable(corpus_of(tmp_path, pictures))) == []


def test_the_best_of_near_pictures_and_whose_rows_are_tied(tmp_path):
    image = scene(3)
    pictures = [
        ("small.jpg", encoded(image.resize((80, 60)), "JPEG")),
        ("other.png", encoded(scene(4))),
        ("large.png", encoded(image)),
        ("again.png", encoded(scene(4))),
    ]
    corpus = corpus_of(tmp_path, pictures)
    usable = find_usable(corpus)
    pairs = tell_near(usable)
    assert [{one.key.rpartition("/")[2], other.key.rpartition("/")[2]} for one, other in pairs] == [
        {"small.jpg", "large.png"}
    ]
    chosen = choose_pictures(usable, pairs)
    shown = {name: chosen[usable[corpus.picture_keys(row)[0]].digest] for row, (name, _) in enumerate(pictures)}
    assert {name: own.key.rpartition("/")[2] for name, own in shown.items()} == {
        "small.jpg": "large.png",
        "large.png": "large.png",
        "other.png": "other.png",
        "again.png": "other.png",
    }
    rows, marks = near_marks(corpus, usable, pairs)
    groups = {frozenset(rows[marks == mark].tolist()) for mark in set(marks.tolist())}
    assert {group for group in groups if len(group) > 1} == {frozenset({0, 2}), frozenset({1, 3})}


def test_a_chain_of_near_pictures_is_not_one_picture():
    """a is near b, and b near c; a and c are not near, so c stands for itself."""
    one, two, three = (
        Usable(f"file:{name}", name.encode() * 16, size, 1, None) for name, size in (("a", 9), ("b", 5), ("c", 7))
    )
    chosen = choose_pictures({own.key: own for own in (one, two, three)}, [(one, two), (two, three)])
    assert {digest[:1]: own.key for digest, own in chosen.items()} == {b"a": "file:a", b"b": "file:a", b"c": "file:c"}


def test_names(tmp_path):
    folders = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        content = encoded(scene(number))
        folders.append(corpus_of(folder, [("27.png", content), (f"odd name ({number})", encoded(scene(9), "JPEG"))]))
    from babelens.data.corpus import Corpus

    corpus = Corpus.concatenate(folders)
    usable = find_usable(corpus)
    names = name_pictures(corpus, usable, {own.digest for own in usable.values()})
    first, second = (usable[corpus.picture_keys(row)[0]].digest for row in (0, 2))
    assert sorted(names.values()) == sorted(
        [f"27-{first.hex()[:8]}.png", f"27-{second.hex()[:8]}.png", "odd_name_0_.jpg"]
    )


@pytest.mark.parametrize("link", [False, True])
def test_pictures_are_copied_or_linked(tmp_path, link):
    corpus = corpus_of(tmp_path, [("a.png", encoded(scene(1)))])
    (key,) = corpus.picture_keys(0)
    put_picture(corpus, key, tmp_path / "b.png", link)
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "images" / "a.png").read_bytes()
    assert (tmp_path / "b.png").samefile(tmp_path / "images" / "a.png") == link
