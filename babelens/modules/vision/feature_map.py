"""Regions of a picture from any network of stages: the cells of its last feature map."""

from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor, nn

from babelens.modules.declaration import DeclarationError
from babelens.modules.origin import Origin
from babelens.modules.shapes import Pixels, Regions
from babelens.modules.vision.folding import fold_norms
from babelens.modules.vision.grid_encoder import GridEncoder
from babelens.modules.vision.positions import grid_positions
from babelens.modules.vision.tower import Tower, build_tower, read_pictures
from babelens.modules.vision.transform import Fit

Norm = Literal["frozen", "batch", "drifting"]


class FeatureMap(msgspec.Struct, frozen=True, tag="feature-map", forbid_unknown_fields=True):
    """A network of stages as a region encoder: one region for each cell of its last feature map.

    Takes ConvNeXt (V2), RegNet, ResNet, BiT, EfficientNet, MobileNet, MobileViT and others of transformers, and those
    whose last map comes out as a sequence of cells: Swin (V2), FocalNet, Hiera, PVT.

    - `name`: a repository of the hub or a folder.
    - `scratch`: fields of a configuration of transformers (`model_type` and its sizes), and `size`, the side of the
      input in pixels; then nothing is loaded and the weights are random. {} is the published ConvNeXt-T at 224.
    - `norm`, `fit`, `augmented`, `trained`, `positions`, `pool`: as in `Resnet`; where a network has no batch
      normalisation, `norm` does nothing.

    Raises:
        DeclarationError: both `pool` and `positions`.
    """

    part: ClassVar[str] = "feature-map"

    name: str = "facebook/convnext-tiny-224"
    scratch: dict[str, Any] | None = None
    norm: Norm = "frozen"
    fit: Fit = "crop"
    augmented: bool = False
    trained: bool = True
    positions: bool = False
    pool: bool = False

    def __post_init__(self) -> None:
        if self.pool and self.positions:
            raise DeclarationError("feature-map: expected pool or positions, found both: one region needs no position")

    def build(self, origin: Origin, dim: int | None) -> "FeatureMapEncoder":
        """The encoder, giving regions of width `dim` (None: of its own).

        Raises:
            OSError: name or folder holds no model or no preprocessor that can be read.
            ValueError: it holds another kind of model, or `scratch` or the preprocessor does not fit.
        """
        tower = build_tower(self, origin, "feature-map", "convnext")
        return FeatureMapEncoder(self, tower, dim)


@runtime_checkable
class Cells(Protocol):
    """What a declaration says of the cells of a feature map."""

    @property
    def norm(self) -> Norm:
        """Which statistics batch normalisation uses."""
        ...

    @property
    def trained(self) -> bool:
        """Whether the encoder learns."""
        ...

    @property
    def positions(self) -> bool:
        """Whether cells get learned positions."""
        ...

    @property
    def pool(self) -> bool:
        """Whether cells are averaged to one."""
        ...


class FeatureMapEncoder(GridEncoder):
    """Pictures to regions: the cells of the last feature map in reading order, projected.

    `prefix` is 1 in the few networks that set a token of the whole picture before them (PVT, ConvNeXt of DINOv3), else
    0; `pool` averages all to one region. With frozen statistics, batch normalisation always uses its running ones.
    """

    def __init__(self, declaration: Cells, tower: Tower, dim: int | None) -> None:
        layout = tower.layout._replace(prefix=0, rows=1, columns=1) if declaration.pool else tower.layout
        self.statistics, self.pool = declaration.norm, declaration.pool
        super().__init__(tower.encoder, tower.transform, layout, dim, trained=declaration.trained, always=True)
        fold_norms(tower.encoder)
        # Convolutions over channels-last maps need no reordering, on processors and on GPUs.
        tower.encoder.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.skipped = tower.layout.prefix
        placed = declaration.positions
        if placed and layout.rows != layout.columns:
            raise ValueError(f"positions: expected a square map, found {layout.rows} x {layout.columns}")
        self.positions = nn.Parameter(grid_positions(layout.rows, self.dim)) if placed else None
        self.norm = nn.LayerNorm(self.dim) if placed else None

    def read(self, pixels: Pixels) -> Regions:
        """The cells of normalised pictures."""
        cells: Tensor = read_pictures(self.encoder, pixels)
        regions = cells.flatten(2).transpose(1, 2) if cells.ndim == 4 else cells
        return regions[:, self.skipped :].mean(1, keepdim=True) if self.pool else regions

    @property
    def fixed(self) -> bool:
        """Whether training leaves `features` as they are; drifting statistics change them."""
        return super().fixed and self.statistics != "drifting"

    def project(self, features: Float[Tensor, "batch region native"]) -> Regions:
        """Regions of width `dim` of regions of the encoder's own, with their positions."""
        regions = self.projection(features)
        if self.norm is None or self.positions is None:
            return regions
        placed = nn.functional.pad(self.positions, (0, 0, self.prefix, 0))
        return self.norm(regions + placed)

    def train(self, mode: bool = True) -> "FeatureMapEncoder":
        """Go into training or evaluation mode; frozen statistics and untrained encoders stay in evaluation mode.

        Drifting statistics do not, whether the encoder is trained or not.
        """
        super().train(mode)
        if self.statistics == "drifting":
            self.encoder.train(mode)
        if self.statistics == "frozen":
            for module in self.encoder.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self
