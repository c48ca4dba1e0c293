"""What all encoders of whole pictures share: bytes in, the regions of a grid out, projected."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from babelens.modules.shapes import Bytes, Pixels, Regions
from babelens.modules.vision.transform import Normalisation, PictureTransform


class Layout(NamedTuple):
    """What an encoder makes of a picture: tokens of no place, then rows x columns of regions, and their width."""

    prefix: int
    rows: int
    columns: int
    width: int


class GridEncoder(nn.Module):
    """Pictures to regions: what an encoder (by default one of transformers) makes of them, projected to `dim`.

    `grid` is the rows and columns of regions, in reading order after `prefix` tokens that stand for the whole picture.
    `native_dim` is the width before the projection. A `dim` of None leaves the encoder's own; `always` projects where
    both are equal, too.
    """

    def __init__(
        self,
        encoder: nn.Module,
        transform: PictureTransform,
        layout: Layout,
        dim: int | None,
        *,
        trained: bool,
        always: bool = False,
    ) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.trained = trained
        self.native_dim = layout.width
        self.dim = dim or layout.width
        self.transform = transform
        self.normalisation = Normalisation(transform)
        same = dim is None or (dim == layout.width and not always)
        self.projection = nn.Identity() if same else nn.Linear(layout.width, self.dim)
        self.prefix = layout.prefix
        self.grid = (layout.rows, layout.columns)
        self.regions = layout.prefix + layout.rows * layout.columns
        if not trained:
            encoder.requires_grad_(False)
        self.train(self.training)

    def forward(self, pixels: Bytes) -> Regions:
        """Regions (pictures, prefix + rows x columns, dim) of pictures of bytes."""
        return self.project(self.features(pixels))

    @property
    def fixed(self) -> bool:
        """Whether training leaves `features` as they are."""
        return not self.trained

    def features(self, pixels: Bytes) -> Regions:
        """Regions of the encoder's own width; all of it that does not change where the encoder is not trained.

        That one runs without gradients, and not in inference mode: on CLIP and ResNet the two are equally fast, and in
        inference mode some encoders (BEiT) make tables, for all models to come, that no gradient may pass.
        """
        if not len(pixels):
            return self.normalisation.mean.new_zeros(0, self.regions, self.native_dim)
        with torch.set_grad_enabled(self.trained and torch.is_grad_enabled()):
            return self.read(self.normalisation(pixels))

    def read(self, pixels: Pixels) -> Regions:
        """What the encoder makes of normalised pictures."""
        return self.encoder(pixels).last_hidden_state

    def project(self, features: Float[Tensor, "batch region native"]) -> Regions:
        """Regions of width `dim` of regions of the encoder's own."""
        return self.projection(features)

    def train(self, mode: bool = True) -> "GridEncoder":
        """Go into training or evaluation mode; an encoder that is not trained stays in evaluation mode."""
        super().train(mode)
        if not self.trained:
            self.encoder.eval()
        return self

    def save(self, folder: Path) -> None:
        """Write `config.json` and `preprocessor_config.json`, from which `Origin(folder)` rebuilds the module."""
        self.encoder.config.save_pretrained(folder)
        self.transform.processor.save_pretrained(folder)
