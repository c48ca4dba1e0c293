"""A corpus with wrong pictures on purpose: none, blank, those of other rows, or spoilt by noise or blur.

The controls show what a model takes from its pictures; the share of misleading pictures is the noise that training
meets where pictures were collected and not chosen.
"""

import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from babelens.data.corpus import Corpus
from babelens.data.images import ImageStore, UnreadableError, decode, digest_content
from babelens.data.split import tie_rows
from babelens.schema import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

TRUE = "true"
CONTROLS = (TRUE, "none", "blank", "shuffled", "misleading:SHARE", "noise:SEVERITY", "blur:SEVERITY")
_SEVERITIES = ("1", "2", "3", "4", "5")


def disguise(corpus: Corpus, control: str, seed: int = 0) -> Corpus:
    """The same rows with other pictures; what a row names as its pictures, their keys and boxes are those it shows.

    - "true": the corpus itself.
    - "none": rows name no picture.
    - "blank": every picture is grey, of its own size.
    - "shuffled": every row gets the pictures of another row, never a picture of its own where that can be avoided; each
      row's pictures go to one row (a permutation, drawn by the seed).
    - "misleading:0.4": 40 per cent of the rows with pictures, drawn by the seed, get those that they would get if all
      were shuffled. The rows of a smaller share are among those of a larger one.
    - "noise:3", "blur:2": pictures are spoilt by a severity from 1 to 5 (see `postcards.controls.corrupt`); a picture
      has the same noise wherever and whenever it is opened, whatever the seed.

    Rows without pictures stay so. A spoilt picture keeps its boxes. A corpus that is disguised can be disguised again.

    Raises:
        InputError: an unknown control.
    """
    kind, _, degree = control.partition(":")
    if control == TRUE:
        return corpus
    if control == "none":
        return corpus.with_pictures_of(np.full(len(corpus), -1))
    if control == "shuffled":
        return corpus.with_pictures_of(_shuffled(corpus, seed))
    if control == "blank" or (kind in ("noise", "blur") and degree in _SEVERITIES):
        return corpus.with_stores(partial(SpoiltStore, spoil=Spoil(kind, int(degree or 0))))
    if kind == "misleading" and (share := _share(degree)) is not None:
        donors = _misleading(corpus, share, seed)
        return corpus if (donors == np.arange(len(corpus))).all() else corpus.with_pictures_of(donors)
    raise InputError(
        f"pictures: expected one of {', '.join(CONTROLS)} (SHARE from 0 to 1, SEVERITY from 1 to 5), found {control!r}"
    )


def _share(degree: str) -> float | None:
    try:
        share = float(degree)
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None


def _shuffled(corpus: Corpus, seed: int) -> np.ndarray:
    """The row (rows) whose pictures each row gets: itself where it has none."""
    donors = np.arange(len(corpus))
    rows = np.flatnonzero(corpus.picture_numbers)
    group = _groups(corpus)[rows]
    sizes = np.bincount(group) if len(rows) else np.zeros(1, int)
    # In a circle where the rows of a picture stand together, a turn by the largest such group leads out of each.
    drawn = np.random.default_rng([seed, 1]).permutation(len(rows))
    place = np.random.default_rng([seed, 2]).permutation(len(sizes))
    circle = rows[drawn[np.argsort(place[group[drawn]], kind="stable")]]
    donors[circle] = np.roll(circle, -int(sizes.max()))
    return donors


def _groups(corpus: Corpus) -> np.ndarray:
    """The number of each row (rows); rows that have a picture in common, directly or through others, have the same."""
    known: dict[str, int] = {}
    pairs = [
        (row, known.setdefault(key, len(known)))
        for row in np.flatnonzero(corpus.picture_numbers).tolist()
        for key in corpus.picture_keys(row)
    ]
    rows, marks = np.array(pairs, np.int64).reshape(-1, 2).T
    return tie_rows([(rows, marks)], len(corpus))


def _misleading(corpus: Corpus, share: float, seed: int) -> np.ndarray:
    """The row (rows) whose pictures each row gets: itself, but for a share of those that have any."""
    donors = np.arange(len(corpus))
    rows = np.flatnonzero(corpus.picture_numbers)
    misled = np.random.default_rng([seed, 3]).permutation(rows)[: round(share * len(rows))]
    donors[misled] = _shuffled(corpus, seed)[misled]
    return donors


@dataclass(frozen=True)
class Spoil:
    """What is done to a picture: it is made "blank", or "noise" or "blur" of a severity from 1 to 5 spoils it."""

    kind: str
    severity: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.severity}" if self.severity else self.kind

    def __call__(self, picture: "Image", content: bytes) -> "Image":
        """Spoil a picture; the same `content` (the bytes of its file) gives the same noise."""
        from babelens.data.postcards.controls import blank, corrupt

        if self.kind == "blank":
            return blank(picture)
        kind = "noise" if self.kind == "noise" else "blur"
        return corrupt(picture, kind, self.severity, digest_content(content).hex())


class SpoiltStore(ImageStore):
    """The pictures of another store, spoilt when they are opened; nothing is written.

    A spoilt picture has a key of its own, and bytes (a PNG file) of its own, so that nothing takes it for the true one.
    Its names and boxes are those of the true one.
    """

    def __init__(self, store: ImageStore, spoil: Spoil) -> None:
        super().__init__(store.folders, strict=store.strict, boxes=store.box_files)
        self._store = store
        self._spoil = spoil
        self._mark = f"{spoil} "

    @property
    def spoil(self) -> str:
        """What is done to pictures before they are shown."""
        return f"{self._mark}{self._store.spoil}"

    def key(self, image: str, digest: str | None = None) -> str:
        """The key of the spoilt picture."""
        return self._mark + self._store.key(image, digest)

    def find(self, image: str) -> Path | None:
        """The file of the true picture, or None."""
        return self._store.find(image)

    def holds(self, key: str) -> bool:
        """Whether a key is of a spoilt picture of the store."""
        return key.startswith(self._mark) and self._store.holds(self._true(key))

    def names(self, key: str) -> tuple[str, ...]:
        """What boxes may call the true picture."""
        return self._store.names(self._true(key))

    def file(self, key: str) -> None:
        """None: spoilt pictures lie in no file."""
        return None

    def trace(self, key: str) -> tuple[str, int]:
        """The name of the true picture with how it is spoilt, and the size of its file."""
        name, size = self._store.trace(self._true(key))
        return self._mark + name, size

    def content(self, key: str) -> bytes | None:
        """The bytes of a spoilt picture as a PNG file; None where the true one is missing, its own if no picture."""
        content = self._store.content(self._true(key))
        if content is None:
            return None
        try:
            spoilt = self._spoil(decode(content), content)
        except UnreadableError:
            return content
        written = io.BytesIO()
        spoilt.save(written, "PNG", compress_level=0)  # noise does not grow smaller, and trying takes long
        return written.getvalue()

    def digest(self, key: str) -> bytes | None:
        """What stands for the bytes of a spoilt picture; None where it is missing or cannot be read."""
        try:
            content = self.content(key)
        except OSError:
            return None
        return None if content is None else digest_content(content)

    def _image(self, key: str) -> "Image | None":
        content = self._store.content(self._true(key))
        return None if content is None else self._spoil(decode(content), content)

    def _true(self, key: str) -> str:
        return key.removeprefix(self._mark)
