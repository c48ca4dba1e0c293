"""Regions of a picture from the vision transformer of CLIP (paper, equations 4 to 6)."""

import math
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel

from babelens.modules.origin import Origin
from babelens.modules.shapes import Bytes, Regions
from babelens.modules.vision.positions import grid_positions
from babelens.modules.vision.transform import Fit, Normalisation, PictureTransform
from babelens.modules.vision.weights import configure, hollow, load


class Clip(msgspec.Struct, frozen=True, tag="clip", forbid_unknown_fields=True):
    """CLIP's vision transformer as a region encoder: for ViT-B/32, 1 class token and 7 x 7 patches.

    `name` is a repository of the hub or a folder that holds a whole CLIP model or its vision half. With `scratch`
    (fields of `CLIPVisionConfig`; {} is the published ViT-B/32) nothing is loaded and the weights are random. `fit`
    says what becomes of a picture that is no square; `augmented` ones are cut at random in training (see
    `transform.PictureTransform`). Without `trained` the encoder stays as it is loaded.
    """

    part: ClassVar[str] = "clip"

    name: str = "openai/clip-vit-base-patch32"
    scratch: dict[str, Any] | None = None
    fit: Fit = "crop"
    trained: bool = True
    augmented: bool = False

    def build(self, origin: Origin, dim: int | None) -> "ClipEncoder":
        """The encoder, giving regions of width `dim` (None: of its own).

        Raises:
            OSError: name or folder holds no model or no preprocessor that can be read.
            ValueError: it holds another kind of model, or `scratch` or the preprocessor does not fit.
        """
        if origin.folder is not None:
            encoder = hollow(CLIPVisionModel, origin.folder)
            transform = PictureTransform.read(origin.folder, self.fit, self.augmented)
        elif self.scratch is not None:
            config = configure(CLIPVisionConfig, self.scratch)
            encoder = CLIPVisionModel(config)
            _place(encoder)
            transform = PictureTransform.sized(_side(encoder), self.fit, self.augmented)
        else:
            encoder = load(CLIPVisionModel, self.name, ("clip", "clip_vision_model"))
            transform = PictureTransform.read(self.name, self.fit, self.augmented)
        return ClipEncoder(encoder, transform, dim, self.trained)


@torch.no_grad()
def _place(encoder: CLIPVisionModel) -> None:
    """Let the position embeddings of a new encoder start as sines and cosines (after Chen et al., 2021, MoCo v3).

    The published start, a thirtieth of what the patches weigh, is meant for millions of pictures.
    """
    table = encoder.embeddings.position_embedding.weight
    side = math.isqrt(len(table) - 1)
    table[0].zero_()
    table[1:] = grid_positions(side, table.shape[1])


def _side(encoder: CLIPVisionModel) -> int:
    """The side in pixels of the pictures that a model reads."""
    side = encoder.config.image_size
    if not isinstance(side, int):
        raise ValueError(f"expected a CLIP model for square pictures, found one for {side}")
    return side


class ClipEncoder(nn.Module):
    """Pictures to regions: the last hidden states of CLIP's vision transformer, projected where widths differ.

    The states are those before the final layer norm, as the published code of 2M-NER takes them: in CLIP that norm
    belongs to the pooled class token alone. `grid` is the rows and columns of patches, after `prefix` class token.
    """

    prefix = 1

    def __init__(self, encoder: CLIPVisionModel, transform: PictureTransform, dim: int | None, trained: bool) -> None:
        super().__init__()
        config = encoder.config
        side = _side(encoder)
        if transform.size != side:
            raise ValueError(
                f"expected pictures of {side} pixels for this CLIP model, found a preprocessor that gives "
                f"{transform.size}"
            )
        # It would only ever be applied to the pooled output, which nothing reads: weights without a gradient.
        setattr(encoder, "post_layernorm", nn.Identity())  # noqa: B010, the declared type is LayerNorm
        self.encoder = encoder.requires_grad_(trained)
        self.trained = trained
        self.native_dim: int = config.hidden_size
        self.dim = dim or self.native_dim
        self.transform = transform
        self.normalisation = Normalisation(transform)
        self.projection = nn.Identity() if self.native_dim == self.dim else nn.Linear(self.native_dim, self.dim)
        rows = math.isqrt(encoder.embeddings.num_patches)
        self.grid = (rows, rows)
        self.regions = self.prefix + rows * rows
        self.train(self.training)

    def forward(self, pixels: Bytes) -> Regions:
        """Regions (pictures, 1 + rows x columns, dim) of pictures of bytes: the class token, then reading order."""
        return self.project(self.features(pixels))

    def features(self, pixels: Bytes) -> Regions:
        """Regions of the encoder's own width; all of it that does not change where the encoder is not trained."""
        if not len(pixels):
            return self.normalisation.mean.new_zeros(0, self.regions, self.native_dim)
        with torch.set_grad_enabled(self.trained and torch.is_grad_enabled()):
            return self.encoder(self.normalisation(pixels)).last_hidden_state

    def project(self, features: Float[Tensor, "batch region native"]) -> Regions:
        """Regions of width `dim` of regions of the encoder's own."""
        return self.projection(features)

    def train(self, mode: bool = True) -> "ClipEncoder":
        """Go into training or evaluation mode; an encoder that is not trained stays in evaluation mode."""
        super().train(mode)
        if not self.trained:
            self.encoder.eval()
        return self

    def save(self, folder: Path) -> None:
        """Write `config.json` and `preprocessor_config.json`, from which `Origin(folder)` rebuilds the module."""
        self.encoder.config.save_pretrained(folder)
        self.transform.processor.save_pretrained(folder)
