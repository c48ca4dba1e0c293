"""Models as data: a declaration names its parts, and the difference of two models is that of two declarations."""

from typing import Any, Literal

import msgspec

from babelens.modules.declaration import DeclarationError
from babelens.modules.heads import Crf, Softmax
from babelens.modules.interleaved import Interleaved
from babelens.modules.late import Late
from babelens.modules.span_guided import SpanGuidedCrf
from babelens.modules.vision.objects import Source

Backbone = Late | Interleaved
Head = Crf | Softmax | SpanGuidedCrf


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole tagger: backbone, head, and how its losses add up (2M-NER, Eq. 18).

    The loss is factor x (alpha x head + (1 - alpha) x sum of the views' alignments). `reduction` says whether the
    head's loss is the mean or the sum over the sentences of a batch. `dropout` is applied to what the head reads.
    """

    backbone: Backbone
    head: Head = Crf()
    alpha: float = 1.0
    dropout: float = 0.1
    reduction: Literal["mean", "sum"] = "mean"
    factor: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise DeclarationError(f"model.alpha: expected a share from 0 to 1, found {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise DeclarationError(f"model.dropout: expected a share from 0 to below 1, found {self.dropout}")
        if not self.factor > 0:
            raise DeclarationError(f"model.factor: expected more than 0, found {self.factor}")

    @property
    def views(self) -> tuple[str, ...]:
        """The names of the views, those that see pictures."""
        return self.backbone.seen

    @property
    def objects(self) -> Source | None:
        """Whether the model reads crops of a "grid" or of "boxes"; None where it reads no crops.

        A model that reads both counts as one of a grid: a result belongs beside published ones only if all objects came
        from boxes.
        """
        sources = {objects.source for objects in self.backbone.objects}
        return "grid" if "grid" in sources else "boxes" if sources else None

    def text_only(self) -> "Model":
        """The same model with its image branch removed: what is left reads text alone, and has one loss."""
        return self._with_backbone(self.backbone.text_only())

    def without(self, part: str) -> "Model":
        """The same model without a view by its name ("clip", "resnet"), "alignment" or "collaboration".

        Without alignment the views have no loss of their own. Without collaboration the head reads the words as the
        text encoder gives them, and pictures teach it by the alignments alone.

        Raises:
            DeclarationError: the model has no such part.
        """
        return self._with_backbone(self.backbone.without(part))

    def _with_backbone(self, backbone: Backbone) -> "Model":
        return msgspec.structs.replace(self, backbone=backbone, alpha=self.alpha if backbone.aligned else 1.0)


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
