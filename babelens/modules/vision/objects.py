"""The objects of a picture as crops: where they are, and how they are cut out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from babelens.modules.declaration import DeclarationError
from babelens.modules.vision.transform import PictureTransform
from babelens.schema import Box

Source = Literal["grid", "boxes"]


class Objects(msgspec.Struct, frozen=True, tag="objects", forbid_unknown_fields=True):
    """Which crops of a picture are read: always `count`, of a grid or of the boxes that are known in it.

    The grid is the most square split of the picture into `count` cells (4 is 2 x 2, 6 is 2 rows of 3, a prime number
    one row), in reading order. It asks for no detector; the models that use it were published with boxes.

    Of the boxes, those of `group` are taken (None: of all groups). With `labels` each label has one crop, its box of
    the best score; without, the `count` boxes of the best scores are taken, best first. Boxes without a score come
    last, in their order. Labels are compared without regard to case. Where a box is lacking, `missing` says what is
    read instead: the "whole" picture, or a "zero" crop, which normalises to zero.

    Raises:
        DeclarationError: a count below 1, or labels that are not `count` different ones.
    """

    count: int = 4
    source: Source = "grid"
    labels: tuple[str, ...] = ()
    group: str | None = None
    missing: Literal["whole", "zero"] = "whole"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise DeclarationError(f"objects.count: expected at least 1, found {self.count}")
        different = {label.casefold() for label in self.labels}
        if self.labels and len(different) != self.count:
            raise DeclarationError(
                f"objects.labels: expected {self.count} different labels, as many as objects.count, "
                f"found {', '.join(self.labels)}"
            )
        if self.labels and len(self.labels) != self.count:
            raise DeclarationError(f"objects.labels: expected no label twice, found {', '.join(self.labels)}")

    @property
    def split(self) -> tuple[int, int]:
        """The rows and columns of the grid."""
        rows = next(rows for rows in range(math.isqrt(self.count), 0, -1) if self.count % rows == 0)
        return rows, self.count // rows

    def places(self, size: tuple[int, int], boxes: Sequence[Box]) -> list[Box | None]:
        """The crops of a picture of `size` (width, height) in whole pixels within it; None where a box is lacking.

        Edges are rounded outwards and every crop has at least one pixel. What reaches beyond the picture is clipped. A
        box without extent, or wholly outside, is no box.
        """
        if self.source == "grid":
            return [*self._cells(size)]
        clipped = (clip(box, size) for box in boxes if self.reads(box))
        known = sorted((box for box in clipped if box is not None), key=_rank)
        if not self.labels:
            return [*known[: self.count], *[None] * (self.count - len(known))]
        best: dict[str, Box] = {}
        for box in known:
            best.setdefault(_label(box), box)
        return [best.get(label.casefold()) for label in self.labels]

    def reads(self, box: Box) -> bool:
        """Whether a box is of the group, and of one of the labels, that are read; none is for a grid."""
        if self.source == "grid" or (self.group is not None and box.group != self.group):
            return False
        return not self.labels or _label(box) in {label.casefold() for label in self.labels}

    def _cells(self, size: tuple[int, int]) -> list[Box]:
        rows, columns = self.split
        across, down = _edges(size[0], columns), _edges(size[1], rows)
        return [Box(left, top, right, bottom) for top, bottom in down for left, right in across]


def clip(box: Box, size: tuple[int, int]) -> Box | None:
    """The part of a box that lies in a picture of `size` (width, height), in whole pixels; None where nothing does."""
    width, height = size
    if not all(map(math.isfinite, (box.left, box.top, box.right, box.bottom))):
        return None
    left, right = max(box.left, 0), min(box.right, width)
    top, bottom = max(box.top, 0), min(box.bottom, height)
    if left >= right or top >= bottom:
        return None
    return replace(
        box,
        left=float(math.floor(left)),
        top=float(math.floor(top)),
        right=float(math.ceil(right)),
        bottom=float(math.ceil(bottom)),
    )


def _label(box: Box) -> str:
    return (box.label or "").casefold()


def _rank(box: Box) -> float:
    return math.inf if box.score is None else -box.score


def _edges(length: int, count: int) -> list[tuple[float, float]]:
    """Where equal parts of a length start and end; parts of a length too short share pixels."""
    starts = [length * part // count for part in range(count)]
    return [(float(start), float(max(start + 1, length * (part + 1) // count))) for part, start in enumerate(starts)]


@dataclass(frozen=True)
class CropTransform:
    """Cut the crops out of a picture, each as `cut` would cut a whole picture. Picklable, as `cut` is."""

    objects: Objects
    cut: PictureTransform

    def __call__(
        self, picture: Image.Image, boxes: Sequence[Box] = (), draw: int = 0
    ) -> UInt8[Tensor, "crop 3 size size"]:
        """The crops of an RGB picture, not normalised."""
        places = self.objects.places(picture.size, boxes)
        lacking = None
        if None in places:
            lacking = self._blank() if self.objects.missing == "zero" else self.cut(picture, draw=draw)
        crops = [lacking if place is None else self._crop(picture, place, draw) for place in places]
        return torch.stack([crop for crop in crops if crop is not None])

    def draws(self, training: bool) -> bool:
        """Whether crops are cut at random, in training or in evaluation: as `cut` is."""
        return self.cut.draws(training)

    @property
    def size(self) -> int:
        """The side of a crop in pixels."""
        return self.cut.size

    def covered(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """What the grid of crops shows of a picture: all of it, but for what `cut` leaves out of each cell."""
        return 0.0, 0.0, float(size[0]), float(size[1])

    def _crop(self, picture: Image.Image, place: Box, draw: int) -> Tensor:
        edges = (int(place.left), int(place.top), int(place.right), int(place.bottom))
        return self.cut(picture.crop(edges), draw=draw)

    def _blank(self) -> Tensor:
        # Published code pads with zeros after normalisation; in bytes that is the mean colour, not black.
        colour = torch.tensor(self.cut.mean_colour, dtype=torch.uint8)
        return colour[:, None, None].expand(3, self.size, self.size).contiguous()
