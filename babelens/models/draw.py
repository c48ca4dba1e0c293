"""What is drawn at random of a picture: a function of the picture, and in training of seed and epoch."""

from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

from PIL import Image


class Epoch(NamedTuple):
    """One pass of training over its rows: the seed of the run and the number of the pass, from 0."""

    seed: int
    number: int


def draw_of(picture: Image.Image, epoch: Epoch | None) -> int:
    """The number that seeds what is random about cutting a picture; in evaluation (no epoch) the same each time.

    It is made of what the picture shows and not of where it lies, so that a run can be repeated in another folder; a
    picture of several rows is cut alike in all of them within an epoch.
    """
    mark = f"{crc32(picture.tobytes())} {picture.size}"
    if epoch is not None:
        mark = f"{mark} {epoch.seed} {epoch.number}"
    return int.from_bytes(blake2b(mark.encode(), digest_size=8).digest())
