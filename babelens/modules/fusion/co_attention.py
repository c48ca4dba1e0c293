"""The adaptive co-attention of AdaCAN (Zhang et al., 2018), as its published code computes it."""

from typing import ClassVar

import msgspec
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from babelens.modules.backbone import Streams
from babelens.modules.declaration import DeclarationError
from babelens.modules.fusion.unit import Unit
from babelens.modules.shapes import RegionMask, Regions, WordMask, Words


class CoAttention(msgspec.Struct, frozen=True, tag="co-attention", forbid_unknown_fields=True):
    """Regions and words are attended to, a gate mixes both, a second gate lets the mixture through to the words.

    `dim` is the width of everything in it; the head reads words of 2 x dim.
    """

    unit: ClassVar[Unit] = "word"
    projected: ClassVar[bool] = False
    reads_text: ClassVar[bool] = False

    dim: int = 200

    def build(self, dim: int, region_dim: int | None) -> "CoAttentionFusion":
        """The module for words of width `dim` and regions of width `region_dim`.

        Raises:
            DeclarationError: the width is no width, or there are no regions to attend to.
        """
        if self.dim < 1:
            raise DeclarationError(f"co-attention.dim: expected 1 or more, found {self.dim}")
        if region_dim is None:
            raise DeclarationError("co-attention: expected a view with a region encoder, found none")
        return CoAttentionFusion(dim, region_dim, self.dim)


class CoAttentionFusion(nn.Module):
    """Attention over regions v and over words h, gated into one vector u per row, beside each word.

    The published code asks, for each word t, which regions i and then which words j matter:

    1. z_ti = tanh([Wv v_i ; Wh h_t]), a_t = softmax over i of w . z_ti, v^_t = sum of a_ti Wv' v_i
    2. x_j = Wx h_j, z'_tj = tanh([Wz v^_t ; x_j]), b_t = softmax over j of w' . z'_tj, h^_t = sum of b_tj x_j
    3. p = tanh(Wp v^_t), q = tanh(Wq h^_t), g = sigmoid(wg . (p + q)), m = Wm [g p ; (1 - g) q], g a number
    4. s = sigmoid(ws . m), u = s m, s a number
    5. the head reads [u ; Wo h_t]

    A hyperbolic tangent of two vectors put beside each other is taken of each by itself. So w . z_ti is a number of
    region i plus a number of word t, and the softmax over i cancels the latter: a_t is the same for every word, and so
    are v^_t, then likewise b_t (which does not depend on the picture), h^_t and u. As published, "word-guided"
    attention is not guided by the word nor "image-guided" attention by the image, and u says one and the same thing to
    all words of a sentence. This module computes that directly, in memory for regions plus words instead of their
    product. It has no Wh, no Wz, and neither those halves of w and w' nor their biases: no output depends on them, and
    they never get a gradient. All other maps have a bias, as in the published code.

    Pads take no part (in the published code they do). A row without pictures has u = 0: its words are Wo h alone, and
    no weight but Wo learns from it; in the published data every row has a picture. The published code moreover puts
    pads before the words, tags them with a label of their own, which makes ten, and reads the last 35 words of a
    sentence; here words have the tags of the data and no others, and all of them are read.
    """

    def __init__(self, dim: int, region_dim: int, inner: int) -> None:
        super().__init__()
        self.dim, self.auxiliary_dim = 2 * inner, None
        self.region_key = nn.Linear(region_dim, inner)
        self.region_score = nn.Linear(inner, 1, bias=False)
        self.region_value = nn.Linear(region_dim, inner)
        self.word_value = nn.Linear(dim, inner)
        self.word_score = nn.Linear(inner, 1, bias=False)
        self.visual = nn.Linear(inner, inner)
        self.textual = nn.Linear(inner, inner)
        self.gate = nn.Linear(inner, 1)
        self.mixture = nn.Linear(2 * inner, inner)
        self.filter = nn.Linear(inner, 1)
        self.output = nn.Linear(dim, inner)

    def forward(self, words: Words, mask: WordMask, regions: Regions, region_mask: RegionMask) -> Streams:
        """Words beside what their row says as a whole; regions and words outside the masks change nothing."""
        regions = regions.masked_fill(~region_mask[:, :, None], 0.0)
        seen = attended(self.region_value(regions), self._look(regions, region_mask))
        values = self.word_value(words)
        read = attended(values, shares(self.word_score(torch.tanh(values)).squeeze(2), mask))
        visual, textual = torch.tanh(self.visual(seen)), torch.tanh(self.textual(read))
        gate = torch.sigmoid(self.gate(visual + textual))
        mixed = self.mixture(torch.cat([gate * visual, (1 - gate) * textual], dim=-1))
        spoken = torch.sigmoid(self.filter(mixed)) * mixed
        spoken = torch.where(region_mask.any(1, keepdim=True), spoken, 0.0)
        own = self.output(words)
        return Streams(torch.cat([spoken[:, None].expand_as(own), own], dim=-1))

    def weights(
        self, words: Words, mask: WordMask, regions: Regions, region_mask: RegionMask
    ) -> Float[Tensor, "batch 1 word region"]:
        """How much a row looks at each region, the same for each word: sums to 1, or all 0 without regions."""
        regions = regions.masked_fill(~region_mask[:, :, None], 0.0)
        look = self._look(regions, region_mask)
        return look[:, None, None].expand(-1, 1, words.shape[1], -1)

    def _look(self, regions: Regions, region_mask: RegionMask) -> Float[Tensor, "batch region"]:
        return shares(self.region_score(torch.tanh(self.region_key(regions))).squeeze(2), region_mask)


def shares(scores: Float[Tensor, "batch place"], mask: Bool[Tensor, "batch place"]) -> Float[Tensor, "batch place"]:
    """Softmax over the places of the mask; all 0 in a row that has none, where a softmax over nothing would be NaN."""
    some = mask.any(1, keepdim=True)
    return torch.where(some, scores.float().masked_fill(~mask & some, -torch.inf).softmax(1), 0.0)


def attended(
    values: Float[Tensor, "batch place inner"], weights: Float[Tensor, "batch place"]
) -> Float[Tensor, "batch inner"]:
    """The weighted sum of values over places."""
    return (weights[:, None].to(values.dtype) @ values).squeeze(1)
