"""Contrastive alignment of a text and its picture (paper, section 4.3, equations 7 to 10)."""

from typing import Literal

import msgspec
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from babelens.modules.shapes import Pooled, Scalar

Negatives = Literal["cross", "all"]

# In place of minus infinity: its exponential is exactly 0 and differences of it are no NaN.
_NOTHING = -1e30


class Contrastive(msgspec.Struct, frozen=True, tag="contrastive", forbid_unknown_fields=True):
    """Alignment by NT-Xent over the texts and pictures of a batch.

    `temperature` is tau (the paper gives none; 0.5 is that of the published code). For `negatives` see `nt_xent`. `dim`
    is the width of the common space (by default that of the text, 768 in the paper).
    """

    temperature: float = 0.5
    negatives: Negatives = "all"
    dim: int | None = None

    def build(self, text_dim: int, image_dim: int) -> "ContrastiveAlignment":
        """The module for texts of width `text_dim` and pictures of width `image_dim`.

        Raises:
            ValueError: the temperature is not above 0.
        """
        if not self.temperature > 0:
            raise ValueError(f"expected a temperature above 0, found {self.temperature}")
        return ContrastiveAlignment(text_dim, image_dim, self.dim or text_dim, self.temperature, self.negatives)


class ContrastiveAlignment(nn.Module):
    """Project texts and pictures into one space (equations 7 and 8), then compare them there (see `nt_xent`).

    h' = Linear(ReLU(Linear(h))), with weights of its own for each modality.
    """

    def __init__(self, text_dim: int, image_dim: int, dim: int, temperature: float, negatives: Negatives) -> None:
        super().__init__()
        self.temperature = temperature
        self.negatives: Negatives = negatives
        self.text = nn.Sequential(nn.Linear(text_dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.image = nn.Sequential(nn.Linear(image_dim, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(
        self,
        pooled: Pooled,
        image: Float[Tensor, "batch width"],
        groups: Int[Tensor, " batch"],
        present: Bool[Tensor, " batch"],
    ) -> Scalar:
        """The loss of a batch, in 32 bits whatever the autocast.

        `groups` are equal for rows that show the same picture or are translations of one another; `present` says
        which rows have a picture of their own (a stand-in is none).
        """
        with torch.autocast(pooled.device.type, enabled=False):
            text, picture = self.text(pooled.float()), self.image(image.float())
            return nt_xent(text, picture, groups, present, self.temperature, self.negatives)


def nt_xent(
    text: Float[Tensor, "batch dim"],
    image: Float[Tensor, "batch dim"],
    groups: Int[Tensor, " batch"],
    present: Bool[Tensor, " batch"],
    temperature: float = 0.5,
    negatives: Negatives = "all",
) -> Scalar:
    """The contrastive loss of N texts and their N pictures: equations 9 and 10, read as NT-Xent.

    Each of the 2N vectors is an anchor. With s the cosine similarities of the anchor over the temperature, the loss is
    the mean over anchors of the mean over the anchor's positives p of

        -log( exp(s_p) / (exp(s_p) + sum of exp(s_n) over the anchor's negatives n) )

    which for N different pictures is NT-Xent (Chen et al., 2020, equation 1) with the picture as the second view of
    the text. Positives are the vectors of the other modality in the anchor's group, negatives those of other groups:
    of the other modality only with `negatives="cross"` (N - 1 of them: the paper speaks of text-picture pairs), of both
    with `"all"` (2N - 2 of them, the number that the paper gives, and what the published code does). Vectors of the
    anchor's own modality and group (the same text in another language, the same picture twice) are neither.
    Rows that are not `present` take no part. Fewer than two groups leave nothing to tell apart: the loss is exactly 0,
    and so is its gradient.

    What is printed as equations 9 and 10 cannot be the loss that was minimised:

    - Equation 9 is the ratio itself, without -log. Minimising it makes the similarity of a text and its own picture
      smaller.
    - Its denominator sums over all t and i with t != i, so it is one number for the whole batch in which no positive
      pair occurs. Equation 10 then adds the ratio over all t and i, negatives too: the pairs t != i sum to exactly 1,
      and what is left, sum_i exp(s_ii) / denominator, falls only by pushing texts from their own pictures. With a -log
      put in front the ratio may pass 1, and the loss has no lower bound.
    - The indicator of NT-Xent excludes the anchor itself (k != i among 2N vectors) and keeps the positive; printed with
      text and picture indices it excludes the positive and never the anchor.
    """
    text, image = text.float(), image.float()
    # An absent row may hold anything; what reaches the similarities would come back as NaN in the gradient.
    vectors = torch.cat([text, image]).masked_fill(~present.repeat(2)[:, None], 0.0)
    vectors = functional.normalize(vectors, dim=-1)
    similarity = vectors @ vectors.T / temperature

    group, there = groups.repeat(2), present.repeat(2)
    modality = torch.arange(len(group), device=group.device) >= len(groups)
    across = modality[:, None] != modality
    same = group[:, None] == group
    both = there[:, None] & there
    positive = both & same & across
    negative = both & ~same
    if negatives == "cross":
        negative &= across

    against = similarity.masked_fill(~negative, _NOTHING).logsumexp(1, keepdim=True)
    terms = torch.where(positive, functional.softplus(against - similarity), 0.0)
    anchors = terms.sum(1) / positive.sum(1).clamp(min=1)
    return anchors.sum() / there.sum().clamp(min=1)
