"""Regions of the crops of a picture, from any region encoder (UMGF and MKGFormer read objects, not whole pictures)."""

from pathlib import Path

import msgspec
from jaxtyping import Float
from torch import Tensor, nn

from babelens.modules.origin import Origin
from babelens.modules.shapes import CropBytes, Regions
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.feature_map import FeatureMap
from babelens.modules.vision.grid_encoder import GridEncoder
from babelens.modules.vision.objects import CropTransform, Objects
from babelens.modules.vision.resnet import Resnet
from babelens.modules.vision.vit import Vit


class Crops(msgspec.Struct, frozen=True, tag="crops", forbid_unknown_fields=True):
    """A region encoder that reads the crops of a picture instead of the whole: all regions of all crops, in order.

    By default a crop is one region, the global average of ResNet-152 (UMGF: Zhang et al., 2021, section 3.1).
    """

    encoder: Resnet | Clip | Vit | FeatureMap = Resnet(pool=True)
    objects: Objects = Objects()

    @property
    def part(self) -> str:
        """The name of the part of a model that this is: that of the encoder."""
        return self.encoder.part

    def build(self, origin: Origin, dim: int | None) -> "CropsEncoder":
        """The encoder, giving regions of width `dim` (None: of its own).

        Raises:
            OSError: the encoder's name or folder holds no model or no preprocessor that can be read.
            ValueError: it holds another kind of model, or settings do not fit.
        """
        return CropsEncoder(self.encoder.build(origin, dim), self.objects)


class CropsEncoder(nn.Module):
    """Crops to regions: those of the first crop, then of the second, and so on; `regions` counts all of them.

    `grid` is that of the crops where they are a grid and a crop is one region, else None: the regions of boxes, or
    parts of crops, lie in no grid over the picture.
    """

    prefix = 0

    def __init__(self, encoder: GridEncoder, objects: Objects) -> None:
        super().__init__()
        self.encoder = encoder
        self.count = objects.count
        self.native_dim: int = encoder.native_dim
        self.dim: int = encoder.dim
        self.transform = CropTransform(objects, encoder.transform)
        self.regions = objects.count * encoder.regions
        self.grid = objects.split if objects.source == "grid" and encoder.regions == 1 else None

    @property
    def fixed(self) -> bool:
        """Whether training leaves `features` as they are."""
        return self.encoder.fixed

    def forward(self, pixels: CropBytes) -> Regions:
        """Regions (pictures, crops x regions of the encoder, dim) of the crops of pictures, of bytes."""
        return self.project(self.features(pixels))

    def features(self, pixels: CropBytes) -> Regions:
        """Regions of the encoder's own width."""
        crops = self.encoder.features(pixels.flatten(0, 1))
        return crops.reshape(len(pixels), self.regions, self.native_dim)

    def project(self, features: Float[Tensor, "batch region native"]) -> Regions:
        """Regions of width `dim` of regions of the encoder's own; positions, if any, are those within each crop."""
        crops = features.reshape(len(features) * self.count, self.encoder.regions, self.native_dim)
        return self.encoder.project(crops).reshape(len(features), self.regions, self.dim)

    def save(self, folder: Path) -> None:
        """Write what rebuilds the encoder."""
        self.encoder.save(folder)
