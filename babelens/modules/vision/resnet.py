"""Regions of a picture from a residual network (paper, section 4.2.2, R' = W_r R + b)."""

from dataclasses import replace
from typing import Any, ClassVar, Literal

import msgspec
from torch import nn
from transformers import ResNetConfig, ResNetModel
from transformers.models.resnet.modeling_resnet import ResNetBasicLayer, ResNetBottleNeckLayer, ResNetConvLayer

from babelens.modules.declaration import DeclarationError
from babelens.modules.origin import Origin
from babelens.modules.vision.feature_map import FeatureMapEncoder
from babelens.modules.vision.grid_encoder import Layout
from babelens.modules.vision.timm_checkpoint import TimmCheckpoint
from babelens.modules.vision.torchvision_resnet import read_resnet
from babelens.modules.vision.tower import Tower
from babelens.modules.vision.transform import Fit, PictureTransform
from babelens.modules.vision.weights import configure, hollow, load

# What the configuration of microsoft/resnet-152 says where transformers' own default is ResNet-50.
_PUBLISHED = {"depths": [3, 8, 36, 3]}
_PUBLISHED_SIZE = 224


class Resnet(msgspec.Struct, frozen=True, tag="resnet", forbid_unknown_fields=True):
    """ResNet as a region encoder: for ResNet-152 at 224 pixels, 7 x 7 regions of 2048, projected.

    `name` is a repository of the hub or a folder, of transformers or of timm. The code of 2M-NER starts from
    torchvision's first ResNet-152, which is `timm/resnet152.tv_in1k`. microsoft/resnet-152 is the same network, but
    transformers' conversion script made it of timm's resnet152 of 2022, by then a later training (not compared here).
    With `scratch` (fields of `ResNetConfig`, and `size`, the side of the input in pixels; {} is the published
    ResNet-152 at 224) nothing is loaded and the weights are random.

    - `norm`: "frozen" keeps the statistics of batch normalisation as they are loaded, in training too (their scale and
      shift still learn): statistics of small batches are noise. "batch" is ordinary batch normalisation, right from
      scratch. "drifting" is ordinary too, even where the encoder is not trained: its weights stay, but in training it
      normalises by the batch, and its running statistics drift towards what it sees, as in the published code.
    - `fit`: what becomes of a picture that is no square; `augmented` ones are cut at random in training (see
      `transform.PictureTransform`).
    - `trained`: False keeps the encoder as it is loaded, but for drifting statistics; what follows it still learns.
    - `positions`: adds learned position embeddings to the regions and normalises the sum (the paper has neither), for
      compact encoders whose regions see too little of the picture to know where they are.
    - `pool`: averages the regions to one before it is projected (global average pooling).

    Raises:
        DeclarationError: both `pool` and `positions`.
    """

    part: ClassVar[str] = "resnet"

    name: str = "microsoft/resnet-152"
    scratch: dict[str, Any] | None = None
    norm: Literal["frozen", "batch", "drifting"] = "frozen"
    fit: Fit = "crop"
    trained: bool = True
    positions: bool = False
    pool: bool = False
    augmented: bool = False

    def __post_init__(self) -> None:
        if self.pool and self.positions:
            raise DeclarationError("resnet: expected pool or positions, found both: one region needs no position")

    def build(self, origin: Origin, dim: int | None) -> "ResnetEncoder":
        """The encoder, giving regions of width `dim` (None: of its own).

        Raises:
            OSError: name or folder holds no model or no preprocessor that can be read.
            ValueError: it holds another kind of model, or `scratch` does not fit.
        """
        if origin.folder is not None:
            encoder = hollow(ResNetModel, origin.folder)
            transform = PictureTransform.read(origin.folder, self.fit, self.augmented)
        elif self.scratch is not None:
            fields = {**_PUBLISHED, **self.scratch}
            size = fields.pop("size", _PUBLISHED_SIZE)
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"expected a size in pixels of at least 1, found {size!r}")
            encoder = ResNetModel(configure(ResNetConfig, fields))
            if self.norm == "frozen":
                _quiet(encoder)
            transform = PictureTransform.sized(size, self.fit, self.augmented)
        elif (published := TimmCheckpoint.find(self.name)) is not None:
            encoder = read_resnet(published)
            transform = replace(published.preprocessing.transform("crop"), fit=self.fit, augmented=self.augmented)
        else:
            encoder = load(ResNetModel, self.name, ("resnet",))
            transform = PictureTransform.read(self.name, self.fit, self.augmented)
        return ResnetEncoder(self, encoder, transform, dim)


def _quiet(encoder: ResNetModel) -> None:
    """Let each residual block of a new network start as its shortcut (Goyal et al., 2017, section 5.1).

    Without statistics of its own, normalisation passes on what it gets: each block would add its variance to the last,
    and regions of a random ResNet-152 would come out at 10^7.
    """
    for module in encoder.modules():
        if isinstance(module, ResNetBasicLayer | ResNetBottleNeckLayer):
            last = module.layer[-1]
            assert isinstance(last, ResNetConvLayer)
            nn.init.zeros_(last.normalization.weight)


class ResnetEncoder(FeatureMapEncoder):
    """Pictures to regions: the last feature map of a ResNet, one region per cell, projected to `dim`.

    `grid` is the rows and columns of cells, 1 x 1 where they are pooled; there is no class token (`prefix` 0). With
    frozen statistics, batch normalisation always uses its running ones.
    """

    def __init__(self, declaration: Resnet, encoder: ResNetModel, transform: PictureTransform, dim: int | None) -> None:
        widths = list(encoder.config.hidden_sizes or ())
        side = transform.size
        # Stem, pooling and each stage after the first halve the map and round up.
        for _ in range(1 + len(widths) + encoder.config.downsample_in_first_stage):
            side = (side + 1) // 2
        super().__init__(declaration, Tower(encoder, transform, Layout(0, side, side, widths[-1])), dim)
