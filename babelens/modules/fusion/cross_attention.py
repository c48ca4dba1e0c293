"""Words that look at the regions of their picture (paper, section 4.4, equations 11 to 14)."""

from typing import ClassVar, Literal

import msgspec
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from babelens.modules.backbone import Streams
from babelens.modules.fusion.unit import Unit
from babelens.modules.shapes import RegionMask, WordMask, Words


class CrossAttention(msgspec.Struct, frozen=True, tag="cross-attention", forbid_unknown_fields=True):
    """The multimodal collaboration module: one cross-attention layer from words to regions.

    `heads` divide the width; `expansion` is the width of the inner layer over it (4, as in BERT; the paper gives no
    figure); `dropout` is applied to what attention adds to the words, `attention_dropout` to its probabilities (the
    paper has none).

    The other fields say what the published code does otherwise. `query="key"` makes the queries by the matrix of the
    keys; there is none of their own. Without `perceptron` the layer ends at equation 13. With `copies` there is a copy
    of every region for each word of the row. Copies share what one region would get, so they differ from it by dropout
    on the probabilities alone, and nothing is copied where there is none.
    """

    unit: ClassVar[Unit] = "word"
    projected: ClassVar[bool] = True
    reads_text: ClassVar[bool] = False

    heads: int = 12
    expansion: int = 4
    dropout: float = 0.1
    attention_dropout: float = 0.0
    query: Literal["own", "key"] = "own"
    perceptron: bool = True
    copies: bool = False

    def build(self, dim: int, region_dim: int | None) -> "CrossAttentionFusion":
        """The module for words and regions of width `dim`.

        Raises:
            ValueError: the heads do not divide `dim`.
        """
        if self.heads < 1 or dim % self.heads:
            raise ValueError(f"expected heads that divide the width {dim}, found {self.heads}")
        if self.expansion < 1:
            raise ValueError(f"expected an expansion of 1 or more, found {self.expansion}")
        return CrossAttentionFusion(self, dim)


class CrossAttentionFusion(nn.Module):
    """Attention from words to regions, then a perceptron, each with a residual connection and a layer norm.

    Equations 11 and 12: IA = W' [heads of softmax(QK / sqrt(d/m)) V], queries from words, keys and values from regions.
    Equation 13: T~ = LN(dropout(IA) + T). Equation 14: R = LN(T~ + MLP(T~)), the perceptron being d -> expansion x d ->
    d with GELU.

    A row without any region gets a zero in place of IA: its words pass through the same perceptron and norms as if
    there were no picture, and no picture's weights learn from it.

    Over a single region the softmax is constant: the gradient of its scores, and so of the query and key weights, is
    there but zero, and what the words get is the value of the region, whatever they are.
    """

    def __init__(self, declaration: CrossAttention, dim: int) -> None:
        super().__init__()
        self.dim, self.auxiliary_dim = dim, None
        self.heads = declaration.heads
        self.attention_dropout, self.copies = declaration.attention_dropout, declaration.copies
        self.query = nn.Linear(dim, dim) if declaration.query == "own" else None
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(declaration.dropout)
        self.attention_norm = nn.LayerNorm(dim)
        self.perceptron: nn.Sequential | None = None
        self.perceptron_norm: nn.LayerNorm | None = None
        if declaration.perceptron:
            inner = declaration.expansion * dim
            self.perceptron = nn.Sequential(nn.Linear(dim, inner), nn.GELU(), nn.Linear(inner, dim))
            self.perceptron_norm = nn.LayerNorm(dim)

    def forward(
        self, words: Words, mask: WordMask, regions: Float[Tensor, "batch region dim"], region_mask: RegionMask
    ) -> Streams:
        """Words that know of their row's regions; regions outside the mask change nothing."""
        regions, seen, shown = self._visible(regions, region_mask)
        query, key, value = (self._split(part) for part in (self._ask(words), self.key(regions), self.value(regions)))
        dropped = self.attention_dropout if self.training else 0.0
        if self.copies and dropped:
            # Only real words have copies, or the padding of a row would thin out its dropout.
            there = mask | ~mask.any(1, keepdim=True)
            seen = (there[:, None, None, :, None] & seen[:, :, :, None, :]).flatten(3)
            key, value = (part.repeat(1, 1, mask.shape[1], 1) for part in (key, value))
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=dropped)
        context = self.output(attended.transpose(1, 2).flatten(2))
        context = torch.where(shown, self.dropout(context), 0.0)
        aware = self.attention_norm(words + context)
        if self.perceptron is None or self.perceptron_norm is None:
            return Streams(aware)
        return Streams(self.perceptron_norm(aware + self.perceptron(aware)))

    def weights(
        self, words: Words, mask: WordMask, regions: Float[Tensor, "batch region dim"], region_mask: RegionMask
    ) -> Float[Tensor, "batch head word region"]:
        """How much each word looks at each region, per head: sums to 1, or all 0 in a row without regions."""
        regions, seen, shown = self._visible(regions, region_mask)
        query, key = self._split(self._ask(words)), self._split(self.key(regions))
        scores = (query @ key.transpose(2, 3)).float() / query.shape[-1] ** 0.5
        return torch.where(shown[:, None], scores.masked_fill(~seen, -torch.inf).softmax(-1), 0.0)

    def _ask(self, words: Words) -> Words:
        return (self.key if self.query is None else self.query)(words)

    def _split(self, states: Float[Tensor, "batch place dim"]) -> Float[Tensor, "batch head place part"]:
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _visible(
        self, regions: Float[Tensor, "batch region dim"], region_mask: RegionMask
    ) -> tuple[Float[Tensor, "batch region dim"], Bool[Tensor, "batch 1 1 region"], Bool[Tensor, "batch 1 1"]]:
        """Regions with zeros outside the mask, where attention may go, and whether a row has any region.

        A row without regions may attend to all its (zero) regions: a softmax over nothing would be NaN, and NaN
        survives in the gradient even where its result is not used.
        """
        shown = region_mask.any(1)
        seen = region_mask | ~shown[:, None]
        regions = regions.masked_fill(~region_mask[:, :, None], 0.0)
        return regions, seen[:, None, None, :], shown[:, None, None]
