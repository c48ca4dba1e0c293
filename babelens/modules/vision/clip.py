"""Regions of a picture from the vision transformer of CLIP (paper, equations 4 to 6)."""

import math
from typing import Any, ClassVar

import msgspec
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel

from babelens.modules.lora import Lora
from babelens.modules.origin import Origin
from babelens.modules.vision.grid_encoder import GridEncoder, Layout
from babelens.modules.vision.positions import place_patches
from babelens.modules.vision.transform import Fit, PictureTransform
from babelens.modules.vision.weights import configure, hollow, load


class Clip(msgspec.Struct, frozen=True, tag="clip", forbid_unknown_fields=True):
    """CLIP's vision transformer as a region encoder: for ViT-B/32, 1 class token and 7 x 7 patches.

    `name` is a repository of the hub or a folder that holds a whole CLIP model or its vision half. With `scratch`
    (fields of `CLIPVisionConfig`; {} is the published ViT-B/32) nothing is loaded and the weights are random. `fit`
    says what becomes of a picture that is no square; `augmented` ones are cut at random in training (see
    `transform.PictureTransform`). Without `trained` the encoder stays as it is loaded; with `lora`
    adapters of low rank are trained in place of its weights (see `Lora`).
    """

    part: ClassVar[str] = "clip"

    name: str = "openai/clip-vit-base-patch32"
    scratch: dict[str, Any] | None = None
    fit: Fit = "crop"
    trained: bool = True
    augmented: bool = False
    lora: Lora | None = None

    def build(self, origin: Origin, dim: int | None) -> "ClipEncoder":
        """The encoder, giving regions of width `dim` (None: of its own).

        Raises:
            InputError: `lora` without peft, without `trained`, or with targets that are not there.
            OSError: name or folder holds no model or no preprocessor that can be read.
            ValueError: it holds another kind of model, or `scratch` or the preprocessor does not fit.
        """
        if origin.folder is not None:
            encoder = hollow(CLIPVisionModel, origin.folder)
            transform = PictureTransform.read(origin.folder, self.fit, self.augmented)
        elif self.scratch is not None:
            config = configure(CLIPVisionConfig, self.scratch)
            encoder = CLIPVisionModel(config)
            place_patches(encoder, 1, math.isqrt(encoder.embeddings.num_patches))
            transform = PictureTransform.sized(_side(encoder), self.fit, self.augmented)
        else:
            encoder = load(CLIPVisionModel, self.name, ("clip", "clip_vision_model"))
            transform = PictureTransform.read(self.name, self.fit, self.augmented)
        return ClipEncoder(self, encoder, transform, dim)


def _side(encoder: CLIPVisionModel) -> int:
    """The side in pixels of the pictures that a model reads."""
    side = encoder.config.image_size
    if not isinstance(side, int):
        raise ValueError(f"expected a CLIP model for square pictures, found one for {side}")
    return side


class ClipEncoder(GridEncoder):
    """Pictures to regions: the last hidden states of CLIP's vision transformer, projected where widths differ.

    The states are those before the final layer norm, as the published code of 2M-NER takes them: in CLIP that norm
    belongs to the pooled class token alone. `grid` is the rows and columns of patches, after `prefix` class token.
    """

    def __init__(
        self, declaration: Clip, encoder: CLIPVisionModel, transform: PictureTransform, dim: int | None
    ) -> None:
        side = _side(encoder)
        if transform.size != side:
            raise ValueError(
                f"expected pictures of {side} pixels for this CLIP model, found a preprocessor that gives "
                f"{transform.size}"
            )
        # It would only ever be applied to the pooled output, which nothing reads: weights without a gradient.
        setattr(encoder, "post_layernorm", nn.Identity())  # noqa: B010, the declared type is LayerNorm
        rows = math.isqrt(encoder.embeddings.num_patches)
        layout = Layout(1, rows, rows, encoder.config.hidden_size)
        super().__init__(encoder, transform, layout, dim, trained=declaration.trained)
        if declaration.lora is not None:
            declaration.lora.adapt(encoder, trained=declaration.trained)
