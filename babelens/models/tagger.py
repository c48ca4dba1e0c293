"""The model: words and pictures in, emissions, losses and entities out (2M-NER, section 4)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from babelens.models.batch import Batch, Collator
from babelens.models.spec import Model, View
from babelens.modules.alignment import ContrastiveAlignment
from babelens.modules.fusion.cross_attention import CrossAttentionFusion
from babelens.modules.origin import Origin
from babelens.modules.shapes import Emissions, Pooled, RegionMask, Regions, WordMask, Words
from babelens.modules.vision.clip import ClipEncoder
from babelens.modules.vision.resnet import ResnetEncoder
from babelens.schema import Entity, TagSet


class Losses(NamedTuple):
    """The weighted total of Eq. 18 and its parts by name, each the mean over the rows that took part."""

    total: Tensor
    parts: dict[str, Tensor]


class State(NamedTuple):
    """What the encoders made of a batch."""

    words: Words
    mask: WordMask
    pooled: Pooled
    views: tuple[tuple[Regions, RegionMask], ...]


class ViewModules(nn.Module):
    """The modules of one view."""

    regions: ClipEncoder | ResnetEncoder
    fusion: CrossAttentionFusion
    alignment: ContrastiveAlignment | None

    def __init__(self, view: View, origin: Origin, dim: int) -> None:
        super().__init__()
        self.regions = view.regions.build(origin, dim)
        self.fusion = view.fusion.build(dim)
        self.alignment = view.alignment.build(dim, dim) if view.alignment else None

    def forward(self, pixels: Tensor, pictures: Tensor, dim: int) -> tuple[Regions, RegionMask]:
        """The regions of each row's pictures, one picture after the other, and which of them are real."""
        batch, slots = pictures.shape
        if len(pixels) == 0:
            return torch.zeros((batch, 1, dim), device=pictures.device), pictures[:, :1] >= 0
        regions = self.regions(pixels)
        each = regions[pictures.clamp(min=0)]
        mask = (pictures >= 0)[:, :, None].expand(batch, slots, regions.shape[1])
        return each.flatten(1, 2), mask.flatten(1, 2)


class Tagger(nn.Module):
    """A declared model with its weights and its tag set.

    Every model tags words. A row without a usable picture reads zero context from the views and takes no part in the
    alignment; nothing about it reaches its neighbours in the batch.
    """

    def __init__(self, model: Model, tags: TagSet, origin: Callable[[str], Origin]) -> None:
        super().__init__()
        self.model = model
        self.tags = tags
        backbone = model.backbone
        self.text = backbone.text.build(origin("text"))
        dim = self.text.dim
        self.views = nn.ModuleDict(
            {view.name: ViewModules(view, origin(view.name), dim) for view in backbone.views},
        )
        self.dropout = nn.Dropout(model.dropout)
        self.head = model.head.build(dim * max(len(backbone.views), 1), tags)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def seeing(self) -> dict[str, ViewModules]:
        """The modules of each view by the view's name, in the order of the declaration."""
        return {name: cast(ViewModules, module) for name, module in self.views.items()}

    def collator(self, memory: int = 0) -> Collator:
        """What makes batches for this tagger; `memory` bytes of cut pictures are kept."""
        transforms = [view.regions.transform for view in self.seeing().values()]
        return Collator(self.text.tokens, transforms, self.tags, memory)

    def forward(self, batch: Batch) -> Losses:
        """The losses of a labelled batch (the name that data-parallel wrappers call)."""
        return self.loss(batch)

    def encode(self, batch: Batch) -> State:
        """Words (batch, word, dim), pooled text (batch, dim) and the regions of each view (batch, region, dim)."""
        text = self.text(batch.text)
        views = tuple(
            view(pixels, batch.pictures, self.text.dim)
            for view, pixels in zip(self.seeing().values(), batch.pixels, strict=True)
        )
        return State(text.words, text.mask, text.pooled, views)

    def _emissions(self, state: State) -> Emissions:
        fused = [
            view.fusion(state.words, regions.to(state.words.dtype), mask)
            for view, (regions, mask) in zip(self.seeing().values(), state.views, strict=True)
        ]
        words = torch.cat(fused, dim=-1) if fused else state.words
        return self.head.emissions(self.dropout(words))

    def emissions(self, batch: Batch) -> Emissions:
        """The score of each tag for each word, before the transitions of the head."""
        return self._emissions(self.encode(batch))

    def loss(self, batch: Batch) -> Losses:
        """Eq. 18: alpha x the head's loss + (1 - alpha) x the sum of the views' alignment losses.

        Raises:
            ValueError: the batch carries no tags.
        """
        if batch.tags is None:
            raise ValueError("expected a labelled batch, found one without tags")
        state = self.encode(batch)
        task = self.head.loss(self._emissions(state), batch.tags, state.mask).mean()
        parts = {"tags": task}
        total = self.model.alpha * task
        for (name, view), (regions, mask) in zip(self.seeing().items(), state.views, strict=True):
            if view.alignment is not None:
                weight = mask.to(regions.dtype)[:, :, None]
                image = (regions * weight).sum(1) / weight.sum(1).clamp(min=1)
                part = view.alignment(state.pooled, image, batch.groups, mask.any(dim=1))
                parts[f"alignment/{name}"] = part
                total = total + (1 - self.model.alpha) * part
        return Losses(total, parts)

    @torch.inference_mode()
    def decode(self, batch: Batch) -> list[tuple[Entity, ...]]:
        """The best entities of each row."""
        state = self.encode(batch)
        return [self.tags.decode(row) for row in self.head.decode(self._emissions(state), state.mask)]

    @torch.inference_mode()
    def decode_scored(self, batch: Batch) -> list[list[tuple[Entity, float]]]:
        """The best entities of each row, each with the exact marginal probability of its span."""
        state = self.encode(batch)
        emissions = self._emissions(state)
        rows = [self.tags.decode(row) for row in self.head.decode(emissions, state.mask)]
        scores = self.head.span_marginals(emissions, state.mask, [list(row) for row in rows])
        return [list(zip(row, own, strict=True)) for row, own in zip(rows, scores, strict=True)]

    @torch.inference_mode()
    def attention(self, batch: Batch) -> dict[str, Tensor]:
        """Where each word looks: for each view, weights (batch, head, word, region), zero where there is no picture."""
        state = self.encode(batch)
        return {
            name: view.fusion.weights(state.words, regions.to(state.words.dtype), mask)
            for (name, view), (regions, mask) in zip(self.seeing().items(), state.views, strict=True)
        }


def count_parameters(modules: Sequence[nn.Module]) -> int:
    """The number of weights in modules."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())
