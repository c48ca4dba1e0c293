"""Regions of a picture from any vision transformer whose last hidden state is a sequence of patches."""

from typing import Any, ClassVar

import msgspec
from torch import Tensor

from babelens.modules.lora import Lora
from babelens.modules.origin import Origin
from babelens.modules.shapes import Pixels, Regions
from babelens.modules.vision.grid_encoder import GridEncoder
from babelens.modules.vision.tower import Tower, build_tower, read_pictures
from babelens.modules.vision.transform import Fit


class Vit(msgspec.Struct, frozen=True, tag="vit", forbid_unknown_fields=True):
    """A vision transformer as a region encoder: its last hidden state, one region for each token and patch.

    Takes ViT, DeiT, BEiT, DINOv2 and DINOv3, SigLIP (also SigLIP 2 of one size), CLIP and its kin, ViT-MAE and others
    of transformers. For networks of stages (Swin, ConvNeXt, ...) see `FeatureMap`.

    - `name`: a repository of the hub or a folder, of the whole model or of the half that reads pictures.
    - `scratch`: fields of a configuration of transformers (`model_type` and its sizes); then nothing is loaded and the
      weights are random. {} is the published ViT-B/16 at 224 pixels.
    - `fit`: what becomes of a picture that is no square; `augmented` ones are cut at random in training (see
      `PictureTransform`).
    - `trained`: False keeps the encoder as it is loaded; the projection still learns.
    - `lora`: train adapters of low rank in place of the weights (see `Lora`).
    """

    part: ClassVar[str] = "vit"

    name: str = "google/vit-base-patch16-224"
    scratch: dict[str, Any] | None = None
    fit: Fit = "crop"
    augmented: bool = False
    trained: bool = True
    lora: Lora | None = None

    def build(self, origin: Origin, dim: int | None) -> "VitEncoder":
        """The encoder, giving regions of width `dim` (None: of its own).

        Raises:
            InputError: `lora` without peft, without `trained`, or with targets that are not there.
            OSError: name or folder holds no model or no preprocessor that can be read.
            ValueError: it holds another kind of model, or `scratch` or the preprocessor does not fit.
        """
        tower = build_tower(self, origin, "vit", "vit")
        return VitEncoder(self, tower, dim)


class VitEncoder(GridEncoder):
    """Pictures to regions: `prefix` tokens (class, distillation, registers), then the patches.

    The final norm is applied where the published model applies it to patches (ViT, DINOv2, SigLIP, ...) and gone where
    it belongs to what is pooled (CLIP). Pooling heads are gone.
    """

    def __init__(self, declaration: Vit, tower: Tower, dim: int | None) -> None:
        super().__init__(tower.encoder, tower.transform, tower.layout, dim, trained=declaration.trained)
        if declaration.lora is not None:
            declaration.lora.adapt(tower.encoder, trained=declaration.trained)

    def read(self, pixels: Pixels) -> Regions:
        """What the encoder makes of normalised pictures."""
        regions: Tensor = read_pictures(self.encoder, pixels)
        return regions
