"""From a picture to the pixels that a region encoder reads, and from its regions back to the picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn
from transformers import AutoImageProcessor, CLIPImageProcessorPil, ViTImageProcessorPil

from babelens.modules.shapes import Bytes, Pixels
from babelens.schema import Box

Fit = Literal["crop", "pad", "random"]

# A strip is cut to this many times its short side before it is resized: the centre crop sees none of what goes, and a
# scan of 1 x 50,000 pixels would otherwise be blown up to gigabytes.
_LONGEST = 16


@dataclass(frozen=True)
class PictureTransform:
    """Resize a picture and cut out the square that an encoder reads. Picklable, so that data workers can hold it.

    `processor` is the PIL image processor of transformers that belongs to the encoder; it decides size, filter, mean
    and standard deviation. `fit="crop"` does what it does (short side to size, centre crop). `fit="pad"` shows the
    whole picture instead: long side to size, the rest filled with the mean colour, which normalises to zero.
    `fit="random"` cuts a square anywhere out of the picture at its own size and mirrors every other one (the published
    code of 2M-NER does so to its ResNet's pictures, in evaluation too); a picture with a side that is too short is
    stretched to the square. `augmented` pictures are cut by "random" in training and by `fit` in evaluation.

    Raises:
        ValueError: the processor does not end in a square of one size.
    """

    processor: Any
    fit: Fit = "crop"
    augmented: bool = False

    def __post_init__(self) -> None:
        width, height = self._plan((640, 480))[1]
        if (width, height) != self._plan((480, 640))[1] or width != height:
            raise ValueError(
                f"expected image preprocessing that ends in a square of one size, found size {self.processor.size}, "
                f"crop {getattr(self.processor, 'crop_size', None)}"
            )

    @classmethod
    def read(cls, name: str | Path, fit: Fit, augmented: bool = False) -> "PictureTransform":
        """The transform that `preprocessor_config.json` describes, in a folder or in a repository of the hub.

        Raises:
            OSError: there is none.
        """
        return cls(_processor(str(name)), fit, augmented)

    @classmethod
    def sized(cls, size: int, fit: Fit, augmented: bool = False) -> "PictureTransform":
        """The transform of a new encoder: short side to `size` pixels, centre crop, mean and deviation of CLIP."""
        crop = {"height": size, "width": size}
        return cls(CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size=crop), fit, augmented)

    @cached_property
    def size(self) -> int:
        """The side of the square in pixels."""
        return self._plan((640, 480))[1][0]

    def __call__(self, picture: Image.Image, boxes: Sequence[Box] = (), draw: int = 0) -> UInt8[Tensor, "3 size size"]:
        """The square of an RGB picture, not normalised. It reads no boxes.

        `draw` seeds place and mirroring where they are random; with 0 nothing is drawn (see `draws`).
        """
        if self._random(draw):
            pixels = self._drawn(picture, draw)
        else:
            pixels = self._padded(picture) if self.fit == "pad" else self._cropped(picture)
        return torch.from_numpy(np.ascontiguousarray(pixels))

    def draws(self, training: bool) -> bool:
        """Whether the square is left to chance, in training or in evaluation."""
        return self.fit == "random" or (training and self.augmented)

    def covered(self, size: tuple[int, int], draw: int = 0) -> tuple[float, float, float, float]:
        """What the square shows of a picture of `size` (width, height): left, top, right, bottom in its pixels.

        With `fit="pad"` it reaches beyond the picture. The left edge of a mirrored square lies right of its right one.
        """
        if self._random(draw):
            left, top, mirrored = self._place(size, draw)
            width, height = size if min(size) < self.size else (self.size, self.size)
            edges = (left + width, left) if mirrored else (left, left + width)
            return float(edges[0]), float(top), float(edges[1]), float(top + height)
        if self.fit == "pad":
            resized, window, left, top = self._fitted(size), (self.size, self.size), 0, 0
            kept = size
        else:
            left, top, kept = self._kept(size)
            resized, window = self._plan(kept)
        edges = []
        for offset, whole, scaled, seen in zip((left, top), kept, resized, window, strict=True):
            # The processor's centre crop rounds down; pasting rounds down too, with the sign turned.
            start = (scaled - seen) // 2 if scaled >= seen else -((seen - scaled) // 2)
            edges.append((offset + start * whole / scaled, offset + (start + seen) * whole / scaled))
        (left_edge, right_edge), (top_edge, bottom_edge) = edges
        return left_edge, top_edge, right_edge, bottom_edge

    def _random(self, draw: int) -> bool:
        return self.fit == "random" or (self.augmented and draw != 0)

    def _drawn(self, picture: Image.Image, draw: int) -> np.ndarray:
        left, top, mirrored = self._place(picture.size, draw)
        if min(picture.size) < self.size:
            square = picture.resize((self.size, self.size), resample=self.processor.resample)
        else:
            square = picture.crop((left, top, left + self.size, top + self.size))
        if mirrored:
            square = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return self._channels(square)

    def _place(self, size: tuple[int, int], draw: int) -> tuple[int, int, bool]:
        """Left and top of a random square, and whether it is mirrored; without a draw, the middle as it is."""
        stretched = min(size) < self.size
        across, down = (0 if stretched else side - self.size for side in size)
        if draw == 0:
            return across // 2, down // 2, False
        generator = np.random.default_rng(draw)
        return int(generator.integers(across + 1)), int(generator.integers(down + 1)), bool(generator.integers(2))

    def _cropped(self, picture: Image.Image) -> np.ndarray:
        left, top, (width, height) = self._kept(picture.size)
        if (width, height) != picture.size:
            picture = picture.crop((left, top, left + width, top + height))
        # EfficientNet's processor normalises twice; the second time is asked for by a name of its own.
        twice = {"include_top": False} if hasattr(self.processor, "include_top") else {}
        return self.processor(picture, do_rescale=False, do_normalize=False, **twice)["pixel_values"][0]

    def _padded(self, picture: Image.Image) -> np.ndarray:
        width, height = self._fitted(picture.size)
        canvas = Image.new("RGB", (self.size, self.size), self.mean_colour)
        resized = picture.resize((width, height), resample=self.processor.resample)
        canvas.paste(resized, ((self.size - width) // 2, (self.size - height) // 2))
        return self._channels(canvas)

    def _channels(self, square: Image.Image) -> np.ndarray:
        """Red, green and blue, or in the order that the processor puts them."""
        pixels = np.asarray(square).transpose(2, 0, 1)
        return pixels[::-1] if getattr(self.processor, "do_flip_channel_order", False) else pixels

    @property
    def mean_colour(self) -> tuple[int, int, int]:
        """The colour that normalises to zero, rounded to bytes."""
        means, _ = _statistics(self.processor)
        red, green, blue = (round(mean / self.processor.rescale_factor) for mean in means)
        return red, green, blue

    def _fitted(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size of a picture whose long side fits the square."""
        width, height = (max(1, round(self.size * side / max(size))) for side in size)
        return width, height

    def _kept(self, size: tuple[int, int]) -> tuple[int, int, tuple[int, int]]:
        """What is resized at all of a picture to be cropped: left, top and (width, height)."""
        width, height = size
        _, (seen, _) = resized, _ = self._plan(size)
        if max(size) <= _LONGEST * min(size) or max(resized) <= seen:
            return 0, 0, size
        kept = min(width, _LONGEST * height), min(height, _LONGEST * width)
        return (width - kept[0]) // 2, (height - kept[1]) // 2, kept

    def _plan(self, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """The (width, height) to which the processor resizes a picture, and of what it then cuts from the centre."""
        processor: Any = self.processor
        edge: Any = processor.size.shortest_edge
        share: float | None = getattr(processor, "crop_pct", None)
        resized: tuple[int, int]
        if not processor.do_resize:
            resized = size
        elif edge is None:
            resized = int(processor.size.width), int(processor.size.height)
        elif share is not None and edge >= 384:
            # ConvNeXT's processor stretches from this size on, and crops below it.
            resized = edge, edge
        else:
            short = edge if share is None else int(edge / share)
            width, height = (short if side == min(size) else int(short * side / min(size)) for side in size)
            resized = width, height
        if processor.do_center_crop:
            return resized, (processor.crop_size.width, processor.crop_size.height)
        if processor.do_resize and share is not None and edge is not None:
            return resized, (edge, edge)
        return resized, resized


def _processor(name: str) -> Any:
    """The PIL image processor of a model; that of DINOv3, which needs torchvision, in its like for Pillow.

    It resizes numbers where this one resizes bytes: they differ by a rounding.
    """
    try:
        return AutoImageProcessor.from_pretrained(name, backend="pil")
    except (ValueError, ImportError):
        fields, _ = ViTImageProcessorPil.get_image_processor_dict(name)
        if not str(fields.get("image_processor_type")).startswith("DINOv3ViT"):
            raise
        return ViTImageProcessorPil.from_dict(fields)


def _statistics(processor: Any) -> tuple[list[float], list[float]]:
    """What is taken from numbers that are scaled already, and what the rest is divided by."""
    mean, deviation = [0.0] * 3, [1.0] * 3
    if processor.do_normalize:
        mean, deviation = list(processor.image_mean), list(processor.image_std)
    if getattr(processor, "rescale_offset", False):
        mean = [value + 1 for value in mean]
    if getattr(processor, "include_top", False):
        deviation = [value * own for value, own in zip(deviation, processor.image_std, strict=True)]
    return mean, deviation


class Normalisation(nn.Module):
    """Bytes to the numbers that an encoder was trained on: scaled, less the mean, over the standard deviation."""

    mean: Float[Tensor, "channel 1 1"]
    deviation: Float[Tensor, "channel 1 1"]

    def __init__(self, transform: PictureTransform) -> None:
        super().__init__()
        processor = transform.processor
        self.scale = float(processor.rescale_factor) if processor.do_rescale else 1.0
        mean, deviation = _statistics(processor)
        # They come with the preprocessor's configuration, so they are no part of the weights.
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(-1, 1, 1), persistent=False)

    def forward(self, pixels: Bytes) -> Pixels:
        """Normalise pictures of bytes (0 to 255)."""
        return (pixels.float() * self.scale - self.mean) / self.deviation
