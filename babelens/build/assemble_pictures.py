"""The pictures of a data set to be: which can be used, which are the same or nearly, what they are called.

Two pictures are nearly the same if their difference hashes (N. Krawetz, "Kind of like that", 2013) differ in few bits.
The hash is of 256 bits: the picture in grey, 17 x 16 pixels, and of each but the last of a row whether it is darker
than the one to its right. In 68 photos of tweets, copies of half the size and JPEG quality 50 differ from the original
in at most 19 bits. On 2,400 crops of scanned directories, which all look alike, every two differ in more than 51 bits;
hashes of 64 bits take some of these for one another at 8. Half-size copies of such crops differ in up to 49 bits, so
copies of scanned text may be missed: the threshold of 32 lies between. Mirrored, rotated and cropped copies are not
found.

A picture of which fewer than 32 bits are set, or not set, has too little in it for its hash to tell anything, and is
nearly the same as none. The package `imagehash` would bring SciPy and PyWavelets for twenty lines.
"""

import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from babelens.data.corpus import Corpus
from babelens.data.images import UnreadableError, decode
from babelens.data.picture_marks import Marks

if TYPE_CHECKING:
    from PIL.Image import Image

THRESHOLD = 32
"""Bits, of 256, in which the hashes of two pictures that are nearly the same differ at most."""

_SIDE = 16
_FEWEST = 32
_THREADS = 4
_PAIRS = 1 << 22
_MAGIC = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG", ".png"),
    (b"GIF8", ".gif"),
    (b"RIFF", ".webp"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
)
_ODD = re.compile(r"[^\w.-]+")
_LONGEST = 100


@dataclass(frozen=True)
class Usable:
    """A picture that can be used: its digest, its size in pixels and bytes, and its hash (None: it says nothing).

    `key` is that of its first copy.
    """

    key: str
    digest: bytes
    pixels: int
    size: int
    bits: np.ndarray | None


def difference_hash(image: "Image") -> np.ndarray:
    """The hash (4) of a picture, as unsigned integers of 64 bits."""
    from PIL import Image

    grey = np.asarray(image.convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.LANCZOS), np.int16)
    return np.packbits(grey[:, 1:] > grey[:, :-1]).view(np.uint64)


def find_usable(corpus: Corpus, tell: Callable[[int], object] = lambda done: None) -> dict[str, Usable]:
    """The pictures of a corpus that are there and can be read, by key; those of the same bytes are one `Usable`."""
    keys = list(dict.fromkeys(key for row in range(len(corpus)) for key in corpus.picture_keys(row)))
    contents: dict[bytes, list[str]] = defaultdict(list)
    with ThreadPoolExecutor(_THREADS) as pool:
        for key, digest in zip(keys, pool.map(corpus.content_digest, keys), strict=True):
            if digest is not None:
                contents[digest].append(key)
        found: dict[str, Usable] = {}
        looked = pool.map(lambda digest: _look(corpus, contents[digest][0], digest), contents)
        for done, (own, usable) in enumerate(zip(contents.values(), looked, strict=True), 1):
            tell(done)
            if usable is not None:
                found.update(dict.fromkeys(own, usable))
    return found


def _look(corpus: Corpus, key: str, digest: bytes) -> Usable | None:
    source = corpus.picture_source(key)
    if source is None:
        return None
    try:
        image = decode(source)
    except (UnreadableError, OSError):
        return None
    bits = difference_hash(image)
    count = int(np.bitwise_count(bits).sum())
    tells = _FEWEST <= count <= _SIDE * _SIDE - _FEWEST
    return Usable(key, digest, image.width * image.height, corpus.picture_size(key) or 0, bits if tells else None)


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The bits in which hashes (a, 4) and (b, 4) differ: (a, b)."""
    found = np.zeros((len(one), len(other)), np.uint16)
    for word in range(one.shape[1]):
        found += np.bitwise_count(one[:, None, word] ^ other[None, :, word])
    return found


def near_pictures(hashes: np.ndarray, threshold: int = THRESHOLD) -> np.ndarray:
    """The pairs (pair, 2) of hashes (n, 4) that differ in no more bits than that; the smaller number first, sorted.

    Each is compared with each, so the time grows with the square of their number.
    """
    pairs = [np.empty((0, 2), np.int64)]
    start = 0
    while start < len(hashes):
        rows = max(1, _PAIRS // len(hashes))
        one, other = np.nonzero(distances(hashes[start : start + rows], hashes[start:]) <= threshold)
        later = other > one
        pairs.append(np.stack([one[later], other[later]], axis=1) + start)
        start += rows
    return np.concatenate(pairs)


def tell_near(usable: Mapping[str, Usable], threshold: int = THRESHOLD) -> list[tuple[Usable, Usable]]:
    """The pairs of different pictures that are nearly the same."""
    telling = [own for own in {own.digest: own for own in usable.values()}.values() if own.bits is not None]
    if not telling:
        return []
    pairs = near_pictures(np.stack([own.bits for own in telling if own.bits is not None]), threshold)
    return [(telling[one], telling[other]) for one, other in pairs.tolist()]


def near_marks(corpus: Corpus, usable: Mapping[str, Usable], pairs: Sequence[tuple[Usable, Usable]]) -> Marks:
    """The rows that show the same picture, or nearly the same ones."""
    rows: dict[bytes, list[int]] = defaultdict(list)
    for row in range(len(corpus)):
        for key in corpus.picture_keys(row):
            if key in usable:
                rows[usable[key].digest].append(row)
    groups = [*rows.values(), *(rows[one.digest] + rows[other.digest] for one, other in pairs)]
    found = [(row, number) for number, group in enumerate(groups) for row in group]
    return Marks(*np.array(found, np.int64).reshape(-1, 2).T)


def choose_pictures(usable: Mapping[str, Usable], pairs: Sequence[tuple[Usable, Usable]]) -> dict[bytes, Usable]:
    """The picture that is shown in the place of each, by digest: itself, or one that is nearly the same and better.

    Better is more pixels, then more bytes, then an earlier row. Each picture is the same or nearly the same as the one
    that stands for it, not only through others.
    """
    own = list({one.digest: one for one in usable.values()}.values())
    near: dict[bytes, set[bytes]] = defaultdict(set)
    for one, other in pairs:
        near[one.digest].add(other.digest)
        near[other.digest].add(one.digest)
    chosen: dict[bytes, Usable] = {}
    best: dict[bytes, Usable] = {}
    for one in sorted(own, key=lambda one: (-one.pixels, -one.size)):
        found = next((better for digest, better in best.items() if digest in near[one.digest]), one)
        chosen[one.digest] = found
        if found is one:
            best[one.digest] = one
    return chosen


def name_pictures(corpus: Corpus, usable: Mapping[str, Usable], wanted: set[bytes]) -> dict[bytes, str]:
    """The file names of the pictures with these digests: the id in the first row, with the ending of its kind.

    Signs other than letters, digits, ".", "_" and "-" become "_". Where two pictures would have one name (letter case
    aside), each gets eight digits of its digest.
    """
    names: dict[bytes, str] = {}
    for row, example in enumerate(corpus):
        for image, key in zip(example.images, corpus.picture_keys(row), strict=True):
            own = usable.get(key)
            if own is not None and own.digest in wanted and own.digest not in names:
                names[own.digest] = _name(image, _ending(corpus, own.key))
    times = Counter(name.casefold() for name in names.values())
    for digest, name in names.items():
        if times[name.casefold()] > 1:
            path = Path(name)
            names[digest] = f"{path.stem}-{digest.hex()[:8]}{path.suffix}"
    return names


def _name(image: str, ending: str) -> str:
    name = Path(image).name
    known = [*(own for _, own in _MAGIC), ".jpeg", ".tiff"]
    if Path(name).suffix.lower() in known:
        name = Path(name).stem
    stem = _ODD.sub("_", name)[:_LONGEST].strip(".") or "picture"
    return f"{stem}{ending}"


def _ending(corpus: Corpus, key: str) -> str:
    source = corpus.picture_source(key)
    if isinstance(source, Path):
        with open(source, "rb") as file:
            source = file.read(16)
    return next((ending for start, ending in _MAGIC if (source or b"").startswith(start)), ".jpg")


def put_picture(corpus: Corpus, key: str, target: Path, link: bool) -> None:
    """Write a picture; with `link` as a second name of its file, where the file system allows that."""
    source = corpus.picture_source(key)
    if not isinstance(source, Path):
        target.write_bytes(source or b"")
        return
    # What cannot be written to cannot be made sure of on disk either.
    if link and os.access(source, os.W_OK):
        try:
            os.link(source, target)
            return
        except OSError:
            pass
    shutil.copyfile(source, target)
