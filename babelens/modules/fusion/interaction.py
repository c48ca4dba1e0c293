"""Words and regions that read each other: the multimodal interaction module of UMT (Yu et al., 2020)."""

from typing import ClassVar

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor, nn

from babelens.modules.backbone import Streams
from babelens.modules.fusion.bert_layer import BertLayer, start_as_bert
from babelens.modules.fusion.unit import Unit
from babelens.modules.shapes import RegionMask, Regions, WordMask, Words


class Interaction(msgspec.Struct, frozen=True, tag="interaction", forbid_unknown_fields=True):
    """Cross-modal attention in both directions, with a gate on what words see (Yu, Jiang, Yang and Xia, 2020).

    `heads` divide the width; `expansion` is the width of a layer's perceptron over it; `dropout` falls on the text that
    comes in and within each layer, as in BERT.
    """

    unit: ClassVar[Unit] = "piece"
    projected: ClassVar[bool] = False
    reads_text: ClassVar[bool] = True

    heads: int = 12
    expansion: int = 4
    dropout: float = 0.1

    def build(self, dim: int, region_dim: int | None = None) -> "InteractionFusion":
        """The module for text of width `dim` and regions of width `region_dim`; None leaves the path of the text.

        Raises:
            ValueError: the heads do not divide `dim`.
        """
        if self.heads < 1 or dim % self.heads:
            raise ValueError(f"expected heads that divide the width {dim}, found {self.heads}")
        if self.expansion < 1:
            raise ValueError(f"expected an expansion of 1 or more, found {self.expansion}")
        return InteractionFusion(self, dim, region_dim)


class InteractionFusion(nn.Module):
    """The text path of UMT, and its visual path where there are regions.

    S is the text after dropout. Two layers of BERT read it apart: A0 = TL_aux(S) is the auxiliary stream, from which
    entity spans are told without the picture, and R = TL_main(S) goes on to `VisualInteraction`, whose two streams side
    by side are the words (2 x `dim` wide). Without regions the words are R (`dim` wide) and no weights for regions
    exist: that is the text-only twin.

    A row without pictures in a model that has regions: see `VisualInteraction`. Several pictures of a row are one
    longer sequence of regions; the published model has one picture a row.
    """

    def __init__(self, declaration: Interaction, dim: int, region_dim: int | None) -> None:
        super().__init__()
        sizes = (declaration.heads, declaration.expansion, declaration.dropout)
        self.dim = dim if region_dim is None else 2 * dim
        self.auxiliary_dim: int = dim
        self.dropout = nn.Dropout(declaration.dropout)
        self.span_layer = BertLayer(dim, *sizes)
        self.text_layer = BertLayer(dim, *sizes)
        self.visual = None if region_dim is None else VisualInteraction(dim, region_dim, *sizes)

    def forward(self, words: Words, mask: WordMask, regions: Regions, region_mask: RegionMask) -> Streams:
        """The words as they see the picture, and the auxiliary stream; what is outside the masks changes nothing."""
        words = self.dropout(words)
        spans = self.span_layer(words, words, mask)
        text = self.text_layer(words, words, mask)
        return Streams(text if self.visual is None else self.visual(text, mask, regions, region_mask), spans)

    def weights(
        self, words: Words, mask: WordMask, regions: Regions, region_mask: RegionMask
    ) -> Float[Tensor, "batch head word region"] | None:
        """How much each word looks at each region where its visual vector is made (Q); None without regions."""
        if self.visual is None:
            return None
        words = self.dropout(words)
        return self.visual.weights(self.text_layer(words, words, mask), regions, region_mask)


class VisualInteraction(nn.Module):
    """Cross-modal layers of BERT between text R and regions U: what words see, and words that know of it.

    Q = CM1(R, V1 U) is a visual vector for each word. P = CM2(V2 U, R) lets the regions read the text, padding masked;
    A = CM3(R, P) lets the words read those regions. The words are [A ; G x Q] with the gate G = sigmoid(W [A ; Q] + b),
    one value for each feature. CM(x, y) is a layer of BERT whose queries and residual are x and whose keys and values
    are y; V1 and V2 are linear layers. No layer has weights in common with another.

    A row without regions has zero in place of what CM3's attention adds, so A is R through the norms and the perceptron
    of CM3, and zero in place of G x Q: nothing is learnt from it of CM1, CM2, V1, V2. Published code puts a stand-in
    picture there.
    """

    def __init__(self, dim: int, region_dim: int, heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.seen = nn.Linear(region_dim, dim)
        self.seeing = nn.Linear(region_dim, dim)
        self.words_see = BertLayer(dim, heads, expansion, dropout)
        self.regions_read = BertLayer(dim, heads, expansion, dropout)
        self.words_know = BertLayer(dim, heads, expansion, dropout)
        self.gate = nn.Linear(2 * dim, dim)
        for layer in (self.seen, self.seeing, self.gate):
            start_as_bert(layer)

    def forward(
        self, text: Words, mask: WordMask, regions: Regions, region_mask: RegionMask
    ) -> Float[Tensor, "batch word double"]:
        """Words beside what they see (batch, word, 2 x dim)."""
        regions = _cleared(regions, region_mask)
        visual = self.words_see(text, self.seen(regions), region_mask)
        visual = torch.where(region_mask.any(1)[:, None, None], visual, 0.0)
        aware = self.words_know(text, self.regions_read(self.seeing(regions), text, mask), region_mask)
        gate = self.gate(torch.cat([aware, visual], -1)).sigmoid()
        return torch.cat([aware, gate * visual], -1)

    def weights(
        self, text: Words, regions: Regions, region_mask: RegionMask
    ) -> Float[Tensor, "batch head word region"]:
        """How much each word looks at each region in CM1, per head: sums to 1, or all 0 in a row without regions."""
        return self.words_see.weights(text, self.seen(_cleared(regions, region_mask)), region_mask)


def _cleared(regions: Regions, mask: RegionMask) -> Regions:
    """Regions with zeros outside the mask, whatever stands there."""
    return regions.masked_fill(~mask[:, :, None], 0.0)
