"""Pictures that are handed in as they are: a path, the bytes of a file, or an open Pillow image."""

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from PIL import Image

from babelens.data.images import ImageError, Picture, UnreadableError, decode, upright_rgb
from babelens.data.problems import Problem

Given = str | os.PathLike[str] | bytes | Image.Image
Images = Given | Sequence[Given] | None


class GivenPictures:
    """Opens pictures by the keys that it gives them; equal keys are the same picture.

    A picture that is missing or cannot be read is no error, unless `strict` is set.
    """

    def __init__(self, images: Images, *, strict: bool = False) -> None:
        if images is None:
            listed = []
        elif isinstance(images, str | os.PathLike | bytes | Image.Image):
            listed = [images]
        else:
            listed = list(images)
        self._held = {_key(image): image for image in listed}
        self._strict = strict

    @property
    def keys(self) -> tuple[str, ...]:
        """One key for each picture, in order."""
        return tuple(self._held)

    def open(self, key: str) -> Picture:
        """Open a picture by its key.

        Raises:
            ImageError: the picture is missing or unreadable, and pictures are strict.
        """
        picture = _open(key, self._held[key])
        if self._strict and picture.status != "used":
            raise ImageError([Problem(Path(key), None, "a readable picture", picture.reason)])
        return picture


def _key(image: Given) -> str:
    if isinstance(image, bytes):
        return f"sha256:{sha256(image).hexdigest()}"
    if isinstance(image, Image.Image):
        # Its pixels may change between two calls, and its address may be that of another one by then.
        return f"image:{uuid4().hex}"
    return f"file:{os.path.join(os.getcwd(), image)}"


def _open(key: str, image: Given) -> Picture:
    try:
        if isinstance(image, Image.Image):
            return Picture(key, upright_rgb(image), "used")
        return Picture(key, decode(image if isinstance(image, bytes) else Path(image)), "used")
    except (FileNotFoundError, NotADirectoryError):
        return Picture(key, None, "missing", "no such picture")
    except (UnreadableError, OSError) as error:
        return Picture(key, None, "unreadable", str(error))
    except ValueError as error:
        # A name that no file can have (a null byte), or an image that was closed.
        return Picture(key, None, "missing" if isinstance(image, str) else "unreadable", str(error))
