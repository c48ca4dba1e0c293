"""Published convolutional weights as timm's repositories hold them: the tensor names of torchvision, one JSON file."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPImageProcessorPil
from transformers.utils.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from transformers.utils.hub import cached_file

from babelens.modules.vision.transform import PictureTransform

Cut = Literal["stretch", "crop", "pad"]
"""What becomes of a picture that is no square: pressed into one, cut to one, or shown whole on one."""

_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Preprocessing:
    """How the pictures of a convolutional network were cut and normalised; the default is torchvision's on ImageNet.

    A picture's short side is resized to `size` / `share` pixels, and a square of `size` is cut from the centre.
    """

    size: int = 224
    share: float = 0.875
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = tuple(IMAGENET_DEFAULT_MEAN)
    deviation: tuple[float, ...] = tuple(IMAGENET_DEFAULT_STD)

    def transform(self, cut: Cut) -> PictureTransform:
        """The picture transform; with "stretch" all of the picture is resized to the square."""
        side = {"height": self.size, "width": self.size}
        stretched = cut == "stretch"
        processor = CLIPImageProcessorPil(
            size=side if stretched else {"shortest_edge": math.floor(self.size / self.share)},
            do_center_crop=not stretched,
            crop_size=side,
            resample=Image.Resampling[self.interpolation.upper()],
            image_mean=list(self.mean),
            image_std=list(self.deviation),
        )
        return PictureTransform(processor, "pad" if cut == "pad" else "crop")


@dataclass(frozen=True)
class TimmCheckpoint:
    """A repository of the hub, or a folder, that holds a network of timm: its `architecture` and its preprocessing."""

    name: str
    architecture: str
    preprocessing: Preprocessing

    @classmethod
    def find(cls, name: str) -> "TimmCheckpoint | None":
        """The checkpoint of that name; None where there is none, or one of another library.

        Raises:
            ValueError: its configuration cannot be read, or asks for preprocessing that is not known here.
        """
        try:
            path = cached_file(name, "config.json")
        except OSError:
            return None
        if path is None:
            return None
        try:
            with open(path, encoding="utf-8") as file:
                config = json.load(file)
        except ValueError as error:
            raise ValueError(f"{name}: expected JSON in config.json, found something else ({error})") from error
        if not isinstance(config, dict) or "architecture" not in config or "model_type" in config:
            return None
        return cls(name, str(config["architecture"]), _preprocessing(name, config))

    def weights(self) -> dict[str, Tensor]:
        """Its tensors by their names.

        Raises:
            OSError: it has no `model.safetensors`.
            ValueError: that file is damaged.
        """
        try:
            path = cached_file(self.name, "model.safetensors")
        except OSError as error:
            reason = str(error).partition("\n")[0]
            raise OSError(f"{self.name}: expected weights in model.safetensors, found none ({reason})") from error
        assert path is not None
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{self.name}: expected safetensors weights, found a damaged file ({error})") from error


def _preprocessing(name: str, config: Mapping[str, Any]) -> Preprocessing:
    # Early configurations hold these fields at the top.
    fields = config.get("pretrained_cfg", config)
    try:
        channels, height, width = fields["input_size"]
        found = Preprocessing(
            size=int(height),
            share=float(fields["crop_pct"]),
            interpolation=str(fields["interpolation"]),
            mean=tuple(map(float, fields["mean"])),
            deviation=tuple(map(float, fields["std"])),
        )
        mode = fields.get("crop_mode", "center")
        filters = [filter.name.lower() for filter in Image.Resampling]
        known = (channels, height, mode) == (3, width, "center") and found.interpolation in filters
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: expected input_size, crop_pct, interpolation, mean and std in config.json ({error!r})"
        ) from error
    if not known or found.size < 1 or not 0 < found.share <= 1:
        raise ValueError(
            f"{name}: expected a square of 3 channels cut from the centre by a filter of PIL, found input_size "
            f"{fields['input_size']}, crop_pct {found.share}, interpolation {found.interpolation}, crop_mode {mode}"
        )
    return found


def width_of(weights: Mapping[str, Tensor], tensor: str, where: str) -> int:
    """The number of channels that a convolution gives.

    Raises:
        ValueError: there is none of that name.
    """
    if tensor not in weights:
        raise ValueError(f"{where}: expected a tensor {tensor}, found none")
    return len(weights[tensor])


def fill(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    where: str,
    *,
    source: Callable[[str], str] = str,
    ignored: tuple[str, ...] = (),
) -> None:
    """Give a module its weights, all of them and no others.

    `source` says under which name the weights hold the module's tensor of a name; what begins with one of `ignored`
    belongs to the classifier, which nothing reads here.

    Raises:
        ValueError: tensors are lacking, superfluous or of other sizes; the message names the first.
    """
    own = module.state_dict()
    names = {source(name): name for name in own}
    lacking = sorted(name for name in names if name not in weights and not name.endswith(_COUNTER))
    if lacking:
        raise ValueError(f"{where}: expected {len(names)} tensors, found none for {', '.join(lacking[:3])}")
    surplus = sorted(name for name in weights if name not in names and not name.startswith(ignored))
    if surplus:
        raise ValueError(f"{where}: expected another architecture, found tensors {', '.join(surplus[:3])} besides")
    for name, target in names.items():
        if name in weights and weights[name].shape != own[target].shape:
            sizes = tuple(own[target].shape), tuple(weights[name].shape)
            raise ValueError(f"{where}: expected {name} of size {sizes[0]}, found {sizes[1]}")
    filled = {target: weights.get(name, own[target]) for name, target in names.items()}
    module.load_state_dict(filled)
