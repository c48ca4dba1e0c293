"""Pictures of a corpus: found by id in folders, opened late, and never a reason to stop unless that is asked for."""

import io
import os
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

from babelens.data.boxes import BoxFile
from babelens.data.problems import ImageError, Problem
from babelens.schema import Box

if TYPE_CHECKING:
    from PIL.Image import Image

Status = Literal["used", "missing", "unreadable"]
ENDINGS = ("", ".jpg", ".jpeg", ".png", ".webp", ".gif")
MAX_PIXELS = 25_000_000
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_FILE = "file:"
_BYTES = "sha256:"
_DIGEST = 16


@dataclass(frozen=True)
class Picture:
    """A picture as it was found. `image` is RGB, upright and without alpha; None unless `status` is "used".

    `reason` says why a picture is missing or unreadable. `boxes` are the objects known in it.
    """

    key: str
    image: "Image | None"
    status: Status
    reason: str = ""
    boxes: tuple[Box, ...] = ()


def digest_content(content: bytes) -> bytes:
    """What stands for the bytes of a picture: the first 16 bytes of their SHA-256."""
    return sha256(content).digest()[:_DIGEST]


class UnreadableError(ValueError):
    """Bytes that are no picture we can show."""


def decode(source: Path | bytes) -> "Image":
    """Open a picture as upright RGB: first frame, alpha on white, EXIF rotation applied, 16 bits cut to 8.

    The format is told by the content, not by the name. The size is read from the header before anything is decoded.

    Raises:
        UnreadableError: the picture is empty, truncated, of an unknown format, or larger than 25 megapixels.
        FileNotFoundError: there is no such file.
    """
    from PIL import Image

    if (len(source) if isinstance(source, bytes) else source.stat().st_size) == 0:
        raise UnreadableError("an empty file")
    # Broken files make Pillow raise nearly every kind of error there is, and any of them means the same to us.
    try:
        with _QUIET, Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableError(f"{width} x {height} pixels, more than {MAX_PIXELS // 1_000_000} megapixels")
            return upright_rgb(image)
    except UnreadableError:
        raise
    except Image.UnidentifiedImageError:
        raise UnreadableError("not a picture of a known format") from None
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableError(str(error) or type(error).__name__) from error


class _Quiet:
    """Keeps Pillow's warnings (on odd EXIF data, on sizes that we check ourselves) off the log while pictures are read.

    The filters of warnings belong to the process, so they are changed by the first thread that comes in and put back by
    the last that goes.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._filters: warnings.catch_warnings[None] = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\b")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)


_QUIET = _Quiet()


def upright_rgb(image: "Image") -> "Image":
    """An open picture as upright RGB: EXIF rotation applied, alpha on white, 16 bits cut to 8.

    Raises:
        OSError: the picture is truncated.
        ValueError: it was closed.
    """
    from PIL import ImageOps

    image.load()
    return _rgb(_upright(image, ImageOps.exif_transpose))


def _upright(image: "Image", transpose: Callable[..., "Image | None"]) -> "Image":
    # A picture with broken EXIF data is still a picture: it is then shown as it lies.
    try:
        return transpose(image) or image
    except Exception:
        return image


def _rgb(image: "Image") -> "Image":
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: "Image") -> "Image":
    """Grey pictures of 16 or 32 bits: integers above 255 are read as 16 bits, floats between their extremes."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image).astype(np.float64)
    if image.mode == "F":
        low, high = np.nanmin(values), np.nanmax(values)
        values = np.nan_to_num((values - low) / max(high - low, 1e-12) * 255)
    elif image.mode.startswith("I;16") or values.max() > 255:
        values = values / 257
    return Image.fromarray(np.clip(values.round(), 0, 255).astype(np.uint8))


class ImageStore:
    """Finds and opens the pictures of a corpus in folders, or by their bytes, and counts what it found by status.

    The picture of an id is the file `<id>`, `<id>.jpg`, `.jpeg`, `.png`, `.webp` or `.gif` in the first folder that
    has one. An id never leads out of its folder. With `strict` a missing or unreadable picture is an error. Counting is
    safe among threads; a copy in another process counts for itself (see `count`). `boxes` are files of the objects
    known in pictures.
    """

    def __init__(
        self,
        folders: Sequence[Path] = (),
        *,
        strict: bool = False,
        content: Callable[[str], bytes | None] | None = None,
        boxes: Sequence[BoxFile] = (),
    ) -> None:
        self.folders = tuple(Path(os.path.realpath(folder)) for folder in folders)
        self._places = tuple(os.path.join(folder, "") for folder in self.folders)
        self.strict = strict
        self.box_files = tuple(boxes)
        self._content = content
        self._counts: Counter[Status] = Counter()
        self._lock = Lock()

    @property
    def spoil(self) -> str:
        """What is done to pictures before they are shown (see `disguise`); "" for nothing."""
        return ""

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "_lock"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._lock = Lock()

    @property
    def counts(self) -> dict[Status, int]:
        """How many pictures were opened, by status."""
        with self._lock:
            return dict(self._counts)

    def count(self, opened: Mapping[Status, int]) -> None:
        """Add the pictures that a copy in another process opened, by status."""
        with self._lock:
            self._counts.update(opened)

    def key(self, image: str, digest: str | None = None) -> str:
        """The key of a picture: equal keys are the same picture. `digest` is that of its bytes, where known."""
        if digest is not None:
            return _BYTES + digest
        found = self.find(image)
        if found is not None:
            return f"{_FILE}{found}"
        folder = self.folders[0] if self.folders else Path()
        return f"{_FILE}{folder}/{image}"

    def find(self, image: str) -> Path | None:
        """The file of a picture id, or None. A full path is one of those that lie in a folder of the store."""
        if not image or "\0" in image:
            return None
        for folder in self.folders:
            path = os.path.normpath(f"{folder}/{image}" if not os.path.isabs(image) else image)
            if not path.startswith(f"{folder}{os.sep}"):
                continue
            for ending in ENDINGS:
                if os.path.isfile(path + ending):
                    return Path(path + ending)
        return None

    def open(self, key: str) -> Picture:
        """Open a picture by its key.

        Raises:
            ImageError: the picture is missing or unreadable, and the store is strict.
        """
        picture = self._read(key)
        with self._lock:
            self._counts[picture.status] += 1
        if self.strict and picture.status != "used":
            path = Path(key.removeprefix(_FILE))
            found = picture.reason if picture.status == "unreadable" else "no such picture"
            raise ImageError([Problem(path, None, "a readable picture", found)])
        return picture

    def _read(self, key: str) -> Picture:
        try:
            image = self._image(key)
            if image is None:
                return Picture(key, None, "missing", "no such picture")
            return Picture(key, image, "used", boxes=self.boxes(key))
        except FileNotFoundError:
            return Picture(key, None, "missing", "no such picture")
        except (UnreadableError, OSError) as error:
            return Picture(key, None, "unreadable", str(error))

    def _image(self, key: str) -> "Image | None":
        source = self._embedded(key) if key.startswith(_BYTES) else self.file(key)
        return None if source is None else decode(source)

    def holds(self, key: str) -> bool:
        """Whether a key is of a place that this store may look at: inside its folders, or among its own bytes."""
        if key.startswith(_BYTES):
            return self._embedded(key) is not None
        path = key.removeprefix(_FILE)
        return "/../" not in f"{path}/" and any(path.startswith(folder) for folder in self._places)

    def boxes(self, key: str) -> tuple[Box, ...]:
        """The boxes known of a picture, under any of its names; opens no picture."""
        names = self.names(key) if self.box_files else ()
        return tuple(box for file in self.box_files for name in names for box in file.boxes(name))

    def names(self, key: str) -> tuple[str, ...]:
        """What boxes may call a picture: its path in its folder, with and without its ending; its key, if it has none.

        The key of a picture that is no file is "sha256:" and the digest of its bytes.
        """
        path = key.removeprefix(_FILE)
        place = next((place for place in self._places if path.startswith(place)), None)
        if not key.startswith(_FILE) or place is None:
            return (key,)
        name = path.removeprefix(place)
        ending = os.path.splitext(name)[1]
        return (name, name.removesuffix(ending)) if ending and ending in ENDINGS else (name,)

    def file(self, key: str) -> Path | None:
        """The file of a key, or None where there is none."""
        path = key.removeprefix(_FILE)
        return Path(path) if key.startswith(_FILE) and self.holds(key) and os.path.isfile(path) else None

    def content(self, key: str) -> bytes | None:
        """The bytes of a picture as they are, or None where it is missing."""
        path = self.file(key)
        return self._embedded(key) if path is None else path.read_bytes()

    def size(self, key: str) -> int | None:
        """The bytes that a picture takes, or None where it is missing."""
        path = self.file(key)
        if path is not None:
            return path.stat().st_size
        content = self.content(key)
        return None if content is None else len(content)

    def trace(self, key: str) -> tuple[str, int]:
        """The name of a picture and the size of its file, by which a change is noticed; -1 where there is no file."""
        path = self.file(key)
        return self.names(key)[0], -1 if path is None else path.stat().st_size

    def digest(self, key: str) -> bytes | None:
        """What stands for the bytes of a picture (see `digest_content`); None where it is missing or cannot be read.

        A key that is the digest of bytes is taken at its word.
        """
        if key.startswith(_BYTES):
            return bytes.fromhex(key.removeprefix(_BYTES))[:_DIGEST]
        path = self.file(key)
        if path is None:
            return None
        try:
            with open(path, "rb") as file:
                return file_digest(file, "sha256").digest()[:_DIGEST]
        except OSError:
            return None

    def _embedded(self, key: str) -> bytes | None:
        if self._content is None or not key.startswith(_BYTES):
            return None
        return self._content(key.removeprefix(_BYTES))
