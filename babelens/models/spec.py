"""Models as data: a declaration names its parts, and the difference of two models is that of two declarations."""

from typing import Any

import msgspec

from babelens.modules.alignment import Contrastive
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.modules.heads import Crf, Softmax
from babelens.modules.text.recurrent import Recurrent
from babelens.modules.text.transformer import Transformer
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.resnet import Resnet
from babelens.schema import InputError

Text = Transformer | Recurrent
RegionEncoder = Clip | Resnet


class DeclarationError(InputError):
    """A declaration that cannot be built: the message says which field, what was expected and what was found."""


class View(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way of seeing the pictures: a region encoder, how words read the regions, and how both are aligned."""

    regions: RegionEncoder
    fusion: CrossAttention = CrossAttention()
    alignment: Contrastive | None = None

    @property
    def name(self) -> str:
        """The name of the view in checkpoints, losses and `without`: that of its encoder."""
        return type(self.regions).__name__.lower()


class Late(msgspec.Struct, frozen=True, tag="late", forbid_unknown_fields=True):
    """Text and pictures are encoded apart; words read the regions of each view; the readings are concatenated."""

    text: Text = Transformer()
    views: tuple[View, ...] = ()


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole tagger: backbone, head, and the weight of the head's loss against the alignments' (Eq. 18)."""

    backbone: Late
    head: Crf | Softmax = Crf()
    alpha: float = 1.0
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise DeclarationError(f"model.alpha: expected a share from 0 to 1, found {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise DeclarationError(f"model.dropout: expected a share from 0 to below 1, found {self.dropout}")
        names = [view.name for view in self.backbone.views]
        if len(set(names)) < len(names):
            raise DeclarationError(f"model.backbone.views: expected different encoders, found {', '.join(names)}")

    def text_only(self) -> "Model":
        """The same model with its image branch removed: what is left reads text alone, and has one loss."""
        return self._with_views(())

    def without(self, name: str) -> "Model":
        """The same model without the view called `name` ("clip", "resnet").

        Raises:
            DeclarationError: there is no such view.
        """
        views = tuple(view for view in self.backbone.views if view.name != name)
        if len(views) == len(self.backbone.views):
            known = ", ".join(view.name for view in self.backbone.views) or "none"
            raise DeclarationError(f"expected a view of the model ({known}), found {name!r}")
        return self._with_views(views)

    def _with_views(self, views: tuple[View, ...]) -> "Model":
        backbone = msgspec.structs.replace(self.backbone, views=views)
        aligned = any(view.alignment for view in views)
        return msgspec.structs.replace(self, backbone=backbone, alpha=self.alpha if aligned else 1.0)


def to_plain(declaration: msgspec.Struct) -> dict[str, Any]:
    """A declaration as plain dictionaries, lists and values, as it stands in JSON."""
    return msgspec.to_builtins(declaration)


def from_plain(plain: object) -> Model:
    """Read a declaration back.

    Raises:
        DeclarationError: a field is missing, unknown or of the wrong type; the message names its path.
    """
    try:
        return msgspec.convert(plain, Model)
    except msgspec.ValidationError as error:
        raise DeclarationError(f"model declaration: {error}") from error
