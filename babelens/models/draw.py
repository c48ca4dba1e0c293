"""What is drawn at random of a picture: a function of the picture, and in training of seed and epoch."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

from PIL import Image
from torch import Tensor

from babelens.modules.backbone import Chance, Transform
from babelens.schema import Box


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


def chancy(transform: Transform, training: bool) -> bool:
    """Whether a transform leaves something to chance, in training or in evaluation."""
    return isinstance(transform, Chance) and transform.draws(training)


def cut(
    picture: Image.Image, boxes: Sequence[Box], transforms: Sequence[Transform], epoch: Epoch | None
) -> list[Tensor]:
    """What each transform makes of a picture, in training (which `epoch`) or in evaluation (None)."""
    random = [chancy(transform, epoch is not None) for transform in transforms]
    draw = draw_of(picture, epoch) if any(random) else 0
    return [transform(picture, boxes, draw if own else 0) for transform, own in zip(transforms, random, strict=True)]
