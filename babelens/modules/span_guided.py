"""Tags of a linear chain that is guided by where spans are (UMT: Yu, Jiang, Yang and Xia, 2020)."""

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor

from babelens.modules.backbone import Streams
from babelens.modules.declaration import DeclarationError
from babelens.modules.fusion.bert_layer import start_as_bert
from babelens.modules.heads import CrfHead
from babelens.modules.shapes import Emissions, PerRow, Tags, WordMask
from babelens.schema import TagSet

# O, B and I of a span of whichever type.
_SPAN = TagSet(("SPAN",))


class SpanGuidedCrf(msgspec.Struct, frozen=True, tag="span-guided-crf", forbid_unknown_fields=True):
    """A conditional random field whose emissions are mixed with those of an auxiliary task: where entities are.

    `mix` is the share of the auxiliary emissions in the mixed ones; `weight` that of the auxiliary loss beside the loss
    of the tags (published: 0.5 each). `forbid_illegal` is that of `Crf`, for both chains.
    """

    mix: float = 0.5
    weight: float = 0.5
    forbid_illegal: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.mix <= 1:
            raise DeclarationError(f"head.mix: expected a share from 0 to 1, found {self.mix}")
        if not self.weight >= 0:
            raise DeclarationError(f"head.weight: expected 0 or more, found {self.weight}")

    def build(self, dim: int, auxiliary_dim: int | None, tags: TagSet) -> "SpanGuidedCrfHead":
        """The head for words of width `dim` and an auxiliary stream of width `auxiliary_dim`.

        Raises:
            ValueError: there is no auxiliary stream.
        """
        if auxiliary_dim is None:
            raise ValueError(
                "head: expected a fusion with an auxiliary stream (interaction) for span-guided-crf, found none"
            )
        return SpanGuidedCrfHead(self, dim, auxiliary_dim, tags)


class SpanGuidedCrfHead(CrfHead):
    """Emissions of words mixed with those of spans; a linear chain over the mixed ones, and one over those of spans.

    E = (1 - mix) Em + mix Ea M, where Em are scores of tags from the words and Ea scores of O, B and I from the
    auxiliary stream, both by linear layers. M (3 x tags) is fixed: it takes O to O, and B and I to those of each type,
    with 1 / (number of types) each. Decoding and marginals are those of the chain over E, so the auxiliary chain only
    teaches. Weights of the linear layers start as in BERT.

    Published code tags sub-tokens with 13 labels, 4 of them for what is no word (padding, later sub-tokens, [CLS],
    [SEP]), of which M takes each to itself; here words are tagged, with the tags of the data.
    """

    def __init__(self, declaration: SpanGuidedCrf, dim: int, auxiliary_dim: int, tags: TagSet) -> None:
        super().__init__(dim, tags, declaration.forbid_illegal)
        self.mix, self.weight = declaration.mix, declaration.weight
        self.spans = CrfHead(auxiliary_dim, _SPAN, declaration.forbid_illegal)
        self.register_buffer("conversion", conversion(tags), persistent=False)
        for layer in (self.scores, self.spans.scores):
            start_as_bert(layer)

    def emissions(self, streams: Streams) -> Emissions:
        """The mixed score of each tag for each word."""
        return self._mixed(streams, self._span_emissions(streams))

    def losses(self, streams: Streams, tags: Tags, mask: WordMask) -> dict[str, PerRow]:
        """The terms of the head's loss by name, weighted, of each sentence: "tags", and "spans" of the auxiliary task.

        Each is a negative log-likelihood, of the tags under E and of their O, B and I under Ea.
        """
        spans = self._span_emissions(streams)
        return {
            "tags": self.loss(self._mixed(streams, spans), tags, mask),
            "spans": self.weight * self.spans.loss(spans, span_tags(tags), mask),
        }

    def _span_emissions(self, streams: Streams) -> Float[Tensor, "batch word 3"]:
        if streams.auxiliary is None:
            raise ValueError("head: expected streams with an auxiliary one, found none")
        return self.spans.emissions(Streams(streams.auxiliary))

    def _mixed(self, streams: Streams, spans: Float[Tensor, "batch word 3"]) -> Emissions:
        converted = spans @ self.get_buffer("conversion").to(spans.dtype)
        return (1 - self.mix) * self.scores(streams.words) + self.mix * converted


def conversion(tags: TagSet) -> Float[Tensor, "3 tag"]:
    """The fixed matrix M from the scores of O, B and I to those of tags."""
    matrix = torch.zeros(len(_SPAN), len(tags))
    matrix[0, 0] = 1.0
    share = 1 / max(1, len(tags.types))
    matrix[1, 1::2] = share
    matrix[2, 2::2] = share
    return matrix


def span_tags(tags: Tags) -> Tags:
    """What tags say of spans: 0 for O, 1 for a B, 2 for an I; 0 in place of what is no tag."""
    return torch.where(tags > 0, 2 - tags % 2, 0)
