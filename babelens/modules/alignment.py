"""Contrastive alignment of a text and its picture (paper, section 4.3, equations 7 to 10)."""

from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, distributed, nn
from torch.nn import functional

from babelens.modules.shapes import Pooled, Scalar

Negatives = Literal["cross", "all"]
Reading = Literal["regions", "native", "flat"]

# In place of minus infinity: its exponential is exactly 0 and differences of it are no NaN.
_NOTHING = -1e30


class Pairs(NamedTuple):
    """The vectors of texts and of their pictures in the common space, row by row."""

    text: Float[Tensor, "batch dim"]
    image: Float[Tensor, "batch dim"]


@runtime_checkable
class RegionWidths(Protocol):
    """The sizes of a region encoder: regions of a picture, their own width, and that which the fusion reads."""

    regions: int
    native_dim: int
    dim: int


class Contrastive(msgspec.Struct, frozen=True, tag="contrastive", forbid_unknown_fields=True):
    """Alignment by NT-Xent over the texts and pictures of a batch.

    `temperature` is tau (the paper gives none; 0.5 is that of the published code). For `negatives` see `nt_xent`. `dim`
    is the width of the common space (by default that of the text, 768 in the paper). `image` is what stands for a
    picture: the mean of its "regions" as the fusion reads them (any encoder, any number of regions), their mean before
    they are projected ("native"), or all of them in one long vector ("flat"). The paper does not say; the published
    code takes "flat" for CLIP and "native" for ResNet.
    """

    temperature: float = 0.5
    negatives: Negatives = "all"
    dim: int | None = None
    image: Reading = "regions"

    def image_dim(self, encoder: RegionWidths) -> int:
        """The width of what stands for a picture of this encoder."""
        if self.image == "flat":
            return encoder.native_dim * encoder.regions
        return encoder.dim if self.image == "regions" else encoder.native_dim

    def projection(self, width: int, text_dim: int) -> nn.Sequential:
        """The layers of equations 7 and 8 for vectors of some width."""
        dim = self.dim or text_dim
        return nn.Sequential(nn.Linear(width, dim), nn.ReLU(), nn.Linear(dim, dim))

    def build(self, text_dim: int, image_dim: int, *, own_text: bool = True) -> "ContrastiveAlignment":
        """The module for texts of width `text_dim` and pictures of width `image_dim`.

        Without `own_text` it has no layers for the text: whoever calls it brings them.

        Raises:
            ValueError: the temperature is not above 0, or the width of the common space is none.
        """
        if not self.temperature > 0:
            raise ValueError(f"expected a temperature above 0, found {self.temperature}")
        if self.dim is not None and self.dim < 1:
            raise ValueError(f"alignment.dim: expected at least 1, found {self.dim}")
        text = self.projection(text_dim, text_dim) if own_text else None
        return ContrastiveAlignment(self, text, self.projection(image_dim, text_dim), image_dim)


class ContrastiveAlignment(nn.Module):
    """Project texts and pictures into one space (equations 7 and 8), then compare them there (see `nt_xent`).

    h' = Linear(ReLU(Linear(h))), with weights of its own for each modality. What is projected and what is compared are
    two methods, since rows of several batches and processes may be compared with one another (see `gather`).
    """

    def __init__(
        self, declaration: Contrastive, text: nn.Sequential | None, image: nn.Sequential, image_dim: int
    ) -> None:
        super().__init__()
        self.temperature = declaration.temperature
        self.negatives: Negatives = declaration.negatives
        self.reading: Reading = declaration.image
        self.image_dim = image_dim
        self.text = text
        self.image = image

    def read(
        self, features: Float[Tensor, "picture region native"], regions: Float[Tensor, "picture region width"]
    ) -> Float[Tensor, "picture vector"]:
        """What stands for each picture: of its regions as the encoder makes them, and as the fusion reads them."""
        if self.reading == "flat":
            return features.flatten(1)
        return (regions if self.reading == "regions" else features).mean(1)

    def forward(
        self,
        pooled: Pooled,
        image: Float[Tensor, "batch width"],
        shared_text: nn.Sequential | None = None,
    ) -> Pairs:
        """Texts and pictures in the common space, in at least 32 bits whatever the autocast.

        `shared_text` are the layers for the text where the module has none of its own.
        """
        project = self.text if self.text is not None else shared_text
        assert project is not None, "an alignment without layers for the text is called with shared ones"
        with torch.autocast(pooled.device.type, enabled=False):
            return Pairs(project(_full(pooled)), self.image(image.to(_full(pooled).dtype)))

    def compare(
        self,
        pairs: Pairs,
        groups: Int[Tensor, " batch"],
        present: Bool[Tensor, " batch"],
        rows: Int[Tensor, ""] | None = None,
    ) -> Scalar:
        """The loss of projected texts and pictures, in at least 32 bits: `nt_xent` as it was declared."""
        with torch.autocast(groups.device.type, enabled=False):
            return nt_xent(*pairs, groups, present, self.temperature, self.negatives, rows)


def nt_xent(
    text: Float[Tensor, "batch dim"],
    image: Float[Tensor, "batch dim"],
    groups: Int[Tensor, " batch"],
    present: Bool[Tensor, " batch"],
    temperature: float = 0.5,
    negatives: Negatives = "all",
    rows: Int[Tensor, ""] | None = None,
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
    `groups` are equal for rows that show the same picture or are translations of one another; `present` says which rows
    have a picture of their own. Those that have none (a stand-in is none) take no part. Fewer than two groups leave
    nothing to tell apart: the loss is exactly 0, and so is its gradient.

    `rows`, by default the number of rows present, is what the sum over anchors is divided by, twice, for a mean over
    more rows than those given: losses of several batches then add up to the mean over all of their anchors.

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
    text, image = _full(text), _full(image)
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
    count = present.sum() if rows is None else rows
    return anchors.sum() / (2 * count).clamp(min=1)


def gather(own: Float[Tensor, "batch width"], size: int) -> Float[Tensor, "all width"]:
    """The rows of all processes one after the other, those of each filled up with zeros to `size`; with gradients.

    It is meant for a loss that every process computes alike from what is gathered. The gradient of a process' own rows
    is the sum over processes of what their losses ask of them: as all ask the same, it is the own one times the number
    of processes, and nothing needs to be sent. So a share of 1 / processes of the loss is each process' due, and the
    shares of all, with whatever else they lose on their own rows, add up to the loss of one process with all the rows.

    Without a process group, or in a group of one, the rows are given back as they are.
    """
    if not distributed.is_available() or not distributed.is_initialized() or distributed.get_world_size() == 1:
        return own
    return _Gather.apply(functional.pad(own, (0, 0, 0, size - len(own))))


class _Gather(torch.autograd.Function):
    """All-gather along the rows, whose backward is that of a loss which all processes compute alike."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        processes = distributed.get_world_size()
        return processes * gradients[0].chunk(processes)[distributed.get_rank()]


def _full(vectors: Tensor) -> Tensor:
    """The same in at least 32 bits."""
    return vectors if vectors.dtype == torch.float64 else vectors.float()
