"""Regions of a picture from VGG-16 (Simonyan and Zisserman, 2015, configuration D), as AdaCAN reads them."""

import json
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from jaxtyping import Float
from torch import Tensor, nn
from transformers.initialization import no_init_weights

from babelens.modules.origin import Origin
from babelens.modules.shapes import Pixels, Regions
from babelens.modules.vision.grid_encoder import GridEncoder, Layout
from babelens.modules.vision.timm_checkpoint import Cut, Preprocessing, TimmCheckpoint, fill, width_of
from babelens.modules.vision.transform import PictureTransform

Widths = tuple[tuple[int, ...], ...]

_PUBLISHED: Widths = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_CONFIG = "config.json"


class Vgg(msgspec.Struct, frozen=True, tag="vgg", forbid_unknown_fields=True):
    """VGG-16 as a region encoder: at 224 pixels 7 x 7 regions of 512, what its last pooling gives.

    `name` is a repository of the hub or a folder that holds timm's vgg16 (with `normed`, its vgg16_bn: batch
    normalisation after each convolution). With `scratch` (`widths`, the channels of each convolution of each stage, and
    `size`, the side of the input in pixels; {} is VGG-16 at 224) nothing is loaded and the weights are random.

    `fit` says what becomes of a picture that is no square: "stretch" presses all of it into one, as AdaCAN does. With
    `trained` the encoder learns; AdaCAN read regions that were computed beforehand.

    AdaCAN took the weights of VGG's authors (channels blue to red, only their means subtracted, and that from unsigned
    bytes, where it wraps). Those of timm are torchvision's, trained anew; pictures are normalised as for their
    training, by ImageNet's mean and deviation.
    """

    part: ClassVar[str] = "vgg"

    name: str = "timm/vgg16.tv_in1k"
    scratch: dict[str, Any] | None = None
    fit: Cut = "stretch"
    normed: bool = False
    trained: bool = False

    def build(self, origin: Origin, dim: int | None) -> "VggEncoder":
        """The encoder, giving regions of width `dim` (None: of its own).

        Raises:
            OSError: name or folder holds no model that can be read.
            ValueError: it holds another kind of model or other weights, or `scratch` does not fit.
        """
        if origin.folder is not None:
            network = _hollow(_saved_widths(origin.folder), self.normed)
            transform = PictureTransform.read(origin.folder, "pad" if self.fit == "pad" else "crop")
        elif self.scratch is not None:
            widths, size = _declared(self.scratch)
            network = VggNetwork(widths, self.normed)
            network.start()
            transform = Preprocessing(size=size).transform(self.fit)
        else:
            network, preprocessing = _read(self.name, self.normed)
            transform = preprocessing.transform(self.fit)
        return VggEncoder(network, transform, dim, self.trained)


class VggNetwork(nn.Module):
    """The convolutions of a VGG: in each stage some of 3 x 3 with rectifiers, then pooling by 2 x 2.

    Its tensors have the names that torchvision and timm give them.
    """

    def __init__(self, widths: Widths, normed: bool) -> None:
        super().__init__()
        self.widths = widths
        layers: list[nn.Module] = []
        came = 3
        for stage in widths:
            for width in stage:
                layers.append(nn.Conv2d(came, width, kernel_size=3, padding=1))
                if normed:
                    layers.append(nn.BatchNorm2d(width))
                layers.append(nn.ReLU(inplace=True))
                came = width
            layers.append(nn.MaxPool2d(kernel_size=2))
        self.features = nn.Sequential(*layers)

    def forward(self, pixels: Pixels) -> Float[Tensor, "picture width cellrow cellcolumn"]:
        """The map that the last pooling gives."""
        return self.features(pixels)

    def start(self) -> None:
        """Let rectified units start with the variance that they get (He et al., 2015), and without a bias."""
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)


class VggEncoder(GridEncoder):
    """Pictures to regions: the last feature map of a VGG, one region per cell, projected to `dim`.

    `grid` is the rows and columns of cells; there is no class token (`prefix` 0).
    """

    def __init__(self, encoder: VggNetwork, transform: PictureTransform, dim: int | None, trained: bool) -> None:
        side = transform.size // 2 ** len(encoder.widths)
        if side < 1:
            raise ValueError(
                f"expected pictures of {2 ** len(encoder.widths)} pixels or more for {len(encoder.widths)} stages, "
                f"found {transform.size}"
            )
        layout = Layout(0, side, side, encoder.widths[-1][-1])
        super().__init__(encoder, transform, layout, dim, trained=trained, always=True)

    def read(self, pixels: Pixels) -> Regions:
        """The cells of normalised pictures, in reading order."""
        return self.encoder(pixels).flatten(2).transpose(1, 2)

    def save(self, folder: Path) -> None:
        """Write the widths and `preprocessor_config.json`, from which `Origin(folder)` rebuilds the module."""
        (folder / _CONFIG).write_text(json.dumps({"widths": self.encoder.widths}) + "\n", encoding="utf-8")
        self.transform.processor.save_pretrained(folder)


def _hollow(widths: Widths, normed: bool) -> VggNetwork:
    """A network whose weights are yet to be filled in."""
    with no_init_weights():
        return VggNetwork(widths, normed)


def _read(name: str, normed: bool) -> tuple[VggNetwork, Preprocessing]:
    """The published network of that name, with 32-bit weights, and how its pictures were cut."""
    checkpoint = TimmCheckpoint.find(name)
    expected = "vgg16_bn" if normed else "vgg16"
    if checkpoint is None:
        raise OSError(f"{name}: expected a folder with timm's {expected} or such a model of the hub, found neither")
    if checkpoint.architecture != expected:
        raise ValueError(f"{name}: expected {expected} (normed = {normed}), found {checkpoint.architecture}")
    weights = checkpoint.weights()
    widths: list[tuple[int, ...]] = []
    place = 0
    for stage in _PUBLISHED:
        step = 3 if normed else 2
        places = range(place, place + step * len(stage), step)
        widths.append(tuple(width_of(weights, f"features.{own}.weight", name) for own in places))
        place = places.stop + 1
    network = _hollow(tuple(widths), normed)
    fill(network, weights, name, ignored=("pre_logits.", "head."))
    return network, checkpoint.preprocessing


def _declared(scratch: dict[str, Any]) -> tuple[Widths, int]:
    """The widths and the size of a network to be made."""
    unknown = sorted(scratch.keys() - {"widths", "size"})
    if unknown:
        raise ValueError(f"expected the fields widths and size, found {', '.join(map(repr, unknown))}")
    size = scratch.get("size", Preprocessing().size)
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"expected a size in pixels of at least 1, found {size!r}")
    return _checked_widths(scratch.get("widths", _PUBLISHED)), size


def _saved_widths(folder: Path) -> Widths:
    """The widths that `VggEncoder.save` wrote."""
    path = folder / _CONFIG
    try:
        return _checked_widths(json.loads(path.read_text(encoding="utf-8"))["widths"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected the widths of a VGG, found something else ({error})") from error


def _checked_widths(found: Any) -> Widths:
    try:
        widths = msgspec.convert(found, Widths)
    except msgspec.ValidationError as error:
        raise ValueError(f"expected widths as lists of numbers of channels, found {found!r}: {error}") from error
    if not widths or not all(widths) or min(map(min, widths)) < 1:
        raise ValueError(f"expected stages of one convolution or more, of one channel or more, found {found!r}")
    return widths
