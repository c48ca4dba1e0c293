"""The model: words and pictures in, emissions, losses and entities out (2M-NER, section 4)."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from babelens.models.batch import Batch, Collator
from babelens.models.calibration import Calibration
from babelens.models.region_store import RegionCache
from babelens.models.spec import Model
from babelens.modules.alignment import Pairs
from babelens.modules.backbone import State, Streams
from babelens.modules.origin import Origin
from babelens.modules.shapes import Emissions, PerRow, WordMask
from babelens.schema import Entity, TagSet


class Terms(NamedTuple):
    """What the losses of a batch are made of: the head's of each row by name, and what each aligned view compares."""

    rows: dict[str, PerRow]
    pairs: dict[str, Pairs]


class Losses(NamedTuple):
    """The weighted total of Eq. 18 and its parts by name, each the mean over the rows that took part."""

    total: Tensor
    parts: dict[str, Tensor]


class Reading(NamedTuple):
    """What a tagger read in a batch: the scores of tags before the transitions of the head, and where words stand.

    `attention` is where each word looks, (batch, head, word, region), for each view that can tell.
    """

    emissions: Emissions
    mask: WordMask
    attention: dict[str, Tensor]


class Tagger(nn.Module):
    """A declared model with its weights and its tag set.

    Every model tags words, with the tag set of the data. A row without a usable picture gets what the docstring of its
    fusion says and takes no part in the alignment; nothing about it reaches its neighbours in the batch.

    Nothing runs in torch's inference mode: encoders keep tables from one call to the next (BEiT), which could then not
    be trained with any more.

    `precision` is the type of number that matrix products and convolutions of the backbone are computed in, None for
    that of the weights; it is set by whoever runs the model and is no part of it (see `precision.resolve`).

    `calibration` holds the temperature of its scores, None where it was not calibrated. It changes no entity.
    """

    def __init__(self, model: Model, tags: TagSet, origin: Callable[[str], Origin]) -> None:
        super().__init__()
        self.model = model
        self.tags = tags
        self.precision: torch.dtype | None = None
        self.calibration: Calibration | None = None
        self.backbone = model.backbone.build(origin)
        self.dropout = nn.Dropout(model.dropout)
        self.head = model.head.build(self.backbone.dim, self.backbone.auxiliary_dim, tags)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def temperature(self) -> float:
        """What the scores of paths are divided by to give probabilities; 1 without calibration."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    def collator(self, memory: int = 0, regions: RegionCache | None = None) -> Collator:
        """What makes batches for this tagger; `memory` bytes of cut pictures are kept. `regions` are kept on disk."""
        transforms = list(self.backbone.transforms.values())
        return Collator(self.backbone.text.tokens, transforms, self.tags, memory, regions)

    def forward(self, batch: Batch) -> Terms:
        """What the losses of a labelled batch are made of (the name that data-parallel wrappers call).

        Raises:
            ValueError: the batch carries no tags.
        """
        if batch.tags is None:
            raise ValueError("expected a labelled batch, found one without tags")
        state = self.encode(batch)
        with self._exact():
            rows = self.head.losses(self._read(state), batch.tags, state.text.mask)
        return Terms(rows, self.backbone.pairs(state))

    def encode(self, batch: Batch) -> State:
        """What the backbone makes of a batch: words for the head, the encoded text, the regions of each view."""
        with self._cast():
            return self.backbone(batch.text, batch.pixels, batch.pictures)

    def _cast(self) -> AbstractContextManager[object]:
        return nullcontext() if self.precision is None else torch.autocast(self.device.type, self.precision)

    def _exact(self) -> AbstractContextManager[object]:
        """Where the head computes: in 32 bits or more, for tags hang on small differences of large scores."""
        return torch.autocast(self.device.type, enabled=False)

    def _read(self, state: State) -> Streams:
        """What the head reads, in numbers as wide as its weights."""
        words, auxiliary = state.streams
        kind = next(self.head.parameters()).dtype
        return Streams(self.dropout(words).to(kind), None if auxiliary is None else auxiliary.to(kind))

    def emissions(self, batch: Batch) -> Emissions:
        """The score of each tag for each word, before the transitions of the head."""
        return self._emissions(self.encode(batch))

    def _emissions(self, state: State) -> Emissions:
        with self._exact():
            return self.head.emissions(self._read(state))

    def loss(self, batch: Batch) -> Losses:
        """The losses of a labelled batch by itself.

        Raises:
            ValueError: the batch carries no tags.
        """
        terms = self(batch)
        task = {name: self.reduce(rows.sum(), len(rows)) for name, rows in terms.rows.items()}
        aligned = self.backbone.alignments(terms.pairs, batch.groups, batch.present)
        return self.weigh(task, aligned)

    def reduce(self, summed: Tensor, rows: int) -> Tensor:
        """A term of the head as `reduction` says, of its sum over rows."""
        return summed if self.model.reduction == "sum" else summed / rows

    def weigh(self, task: Mapping[str, Tensor], aligned: Mapping[str, Tensor]) -> Losses:
        """Eq. 18: factor x (alpha x the head's loss + (1 - alpha) x the sum of the views' alignment losses)."""
        parts = [self.model.alpha * part for part in task.values()]
        parts += [(1 - self.model.alpha) * part for part in aligned.values()]
        total = torch.stack(parts).sum()
        named = {f"alignment/{name}": part for name, part in aligned.items()}
        return Losses(self.model.factor * total, {**task, **named})

    @torch.no_grad()
    def decode(self, batch: Batch) -> list[tuple[Entity, ...]]:
        """The best entities of each row."""
        return self.entities(self.read(batch))

    @torch.no_grad()
    def decode_scored(self, batch: Batch) -> list[list[tuple[Entity, float]]]:
        """The best entities of each row, each with the exact marginal probability of its span."""
        reading = self.read(batch)
        rows = self.entities(reading)
        scores = self.head.span_marginals(reading.emissions, reading.mask, rows, self.temperature)
        return [list(zip(row, own, strict=True)) for row, own in zip(rows, scores, strict=True)]

    @torch.no_grad()
    def read(self, batch: Batch, *, attention: bool = False) -> Reading:
        """Read a batch once, for all that the head may then be asked; with `attention`, also where words look."""
        state = self.encode(batch)
        looks: dict[str, Tensor] = {}
        if attention:
            with self._cast():
                looks = self.backbone.attention(state)
        return Reading(self._emissions(state), state.text.mask, looks)

    def entities(self, reading: Reading) -> list[tuple[Entity, ...]]:
        """The best entities of each row of what was read."""
        return [self.tags.decode(path) for path in self.head.decode(reading.emissions, reading.mask)]

    @torch.no_grad()
    def attention(self, batch: Batch) -> dict[str, Tensor]:
        """Where each word looks, (batch, head, word, region), zero without a picture, for each view that can tell."""
        with self._cast():
            return self.backbone.attention(self.encode(batch))


def count_parameters(modules: Sequence[nn.Module]) -> int:
    """The number of weights in modules."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())
