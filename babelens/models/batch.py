"""Rows of a corpus to one batch of tensors."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from babelens.data import Corpus, Picture
from babelens.models.draw import Epoch, chancy, cut
from babelens.models.region_store import RegionCache
from babelens.modules.backbone import Transform
from babelens.schema import Example, TagSet

ImageStatus = Literal["used", "none", "missing", "unreadable"]


@runtime_checkable
class TextTensors(Protocol):
    """What a text encoder's tokens make of a list of sentences."""

    @property
    def mask(self) -> Tensor:
        """Which words are there (batch, word)."""
        ...

    def to(self, device: torch.device, non_blocking: bool = False) -> "TextTensors":
        """The same on another device."""
        ...

    def pin_memory(self) -> "TextTensors":
        """The same in page-locked memory, for copies to a GPU that do not wait."""
        ...

    def part(self, start: int, stop: int) -> "TextTensors":
        """The sentences from `start` up to `stop`."""
        ...


class Row(NamedTuple):
    """An example with a way to open its pictures; `keys` name them, equal keys being the same picture."""

    example: Example
    keys: tuple[str, ...] = ()
    open: Callable[[str], Picture] | None = None

    @property
    def marks(self) -> tuple[str | None, ...]:
        """What ties the row to others (see `tie`): its pictures, and the group of its copies and translations."""
        return (*self.keys, self.example.group)


class Share(NamedTuple):
    """The numbers of rows that one process computes at a time, `among` those of all processes in the same step.

    A process that has no rows of a step still takes part in it, with a row of another that counts for nothing.
    """

    rows: Sequence[int]
    among: Sequence[int]


@dataclass(frozen=True)
class Batch:
    """Tensors of several rows.

    `text` is the text encoder's own input. `pixels` holds, for each view, the distinct pictures of the batch as uint8
    (picture, channel, height, width), of crops (picture, crop, channel, height, width), or what the view's encoder
    makes of them, where that was kept, as floats (picture, region, native width: see `regions.prepare`); `pictures`
    (batch, slot) says which of them each row has, -1 for none. Rows of one number in `groups` (batch,) share a picture
    or are translations of one another. `tags` (batch, word) is there when asked for. `status` says what became of each
    row's pictures. The row of a `stand_in` counts for nothing (see `Share`).
    """

    ids: tuple[str, ...]
    text: TextTensors
    pixels: tuple[Tensor, ...]
    pictures: Tensor
    groups: Tensor
    tags: Tensor | None
    status: tuple[ImageStatus, ...]
    stand_in: bool = False

    @property
    def present(self) -> Tensor:
        """Which rows (batch,) have a picture of their own to be aligned with."""
        return (self.pictures >= 0).any(1) & (not self.stand_in)

    def part(self, start: int, stop: int) -> "Batch":
        """The rows from `start` up to `stop`, with the pictures that they have."""
        pictures = self.pictures[start:stop]
        shown, places = pictures.unique(return_inverse=True)
        none = int((shown < 0).any())
        return replace(
            self,
            ids=self.ids[start:stop],
            text=self.text.part(start, stop),
            pixels=tuple(view[shown[none:]] if len(view) else view for view in self.pixels),
            pictures=places - none,
            groups=self.groups[start:stop],
            tags=None if self.tags is None else self.tags[start:stop],
            status=self.status[start:stop],
        )

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device; the copies of what lies in page-locked memory do not wait."""
        return replace(
            self,
            text=self.text.to(device, non_blocking=True),
            pixels=tuple(view.to(device, non_blocking=True) for view in self.pixels),
            pictures=self.pictures.to(device, non_blocking=True),
            groups=self.groups.to(device, non_blocking=True),
            tags=None if self.tags is None else self.tags.to(device, non_blocking=True),
        )

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, for copies to a GPU that do not wait."""
        return replace(
            self,
            text=self.text.pin_memory(),
            pixels=tuple(view.pin_memory() for view in self.pixels),
            pictures=self.pictures.pin_memory(),
            groups=self.groups.pin_memory(),
            tags=None if self.tags is None else self.tags.pin_memory(),
        )


class PixelMemory:
    """Pictures cut to size for a view, kept up to a number of bytes; the one used longest ago goes first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._size = 0
        self._held: OrderedDict[tuple[str, int], Tensor] = OrderedDict()

    def get(self, key: str, view: int) -> Tensor | None:
        """What a view reads of a picture, or None."""
        found = self._held.get((key, view))
        if found is not None:
            self._held.move_to_end((key, view))
        return found

    def put(self, key: str, view: int, pixels: Tensor) -> None:
        """Keep what a view reads of a picture."""
        if pixels.numel() > self.limit or (key, view) in self._held:
            return
        self._held[key, view] = pixels
        self._size += pixels.numel()
        while self._size > self.limit:
            _, dropped = self._held.popitem(last=False)
            self._size -= dropped.numel()


class Collator:
    """Makes batches for one tagger: its words become the text encoder's input, its pictures the views' pixels.

    It holds no weights, so that data workers can have a copy. `memory` is the number of bytes that cut pictures may
    take in each process. `regions` are those kept on disk: a picture that is there for all views is never opened.
    """

    def __init__(
        self,
        tokens: Callable[[Sequence[Sequence[str]]], TextTensors],
        transforms: Sequence[Transform],
        tags: TagSet,
        memory: int = 0,
        regions: RegionCache | None = None,
    ) -> None:
        self.tokens = tokens
        self.transforms = tuple(transforms)
        self.tags = tags
        self.memory = PixelMemory(memory)
        self.regions = regions

    def __call__(
        self,
        rows: Sequence[Row],
        *,
        labelled: bool,
        epoch: Epoch | None = None,
        groups: Sequence[int] | None = None,
        stand_in: bool = False,
    ) -> Batch:
        """Make one batch; with `labelled` it carries the rows' tags.

        In training, `epoch` says which one: pictures are augmented, where that is declared, and cut anew in each.
        `groups` are the rows' numbers of `tie` where they are compared with rows of other batches.
        """
        text = self.tokens([row.example.words for row in rows])
        pixels, slots, status = self._pictures(rows, epoch)
        width = max((len(row) for row in slots), default=0)
        pictures = torch.full((len(rows), max(width, 1)), -1, dtype=torch.long)
        for number, row in enumerate(slots):
            pictures[number, : len(row)] = torch.tensor(row, dtype=torch.long)
        return Batch(
            ids=tuple(row.example.id for row in rows),
            text=text,
            pixels=pixels,
            pictures=pictures,
            groups=torch.tensor(tie([row.marks for row in rows]) if groups is None else groups, dtype=torch.long),
            tags=self._tags(rows, text.mask.shape[1]) if labelled else None,
            status=status,
            stand_in=stand_in,
        )

    def _tags(self, rows: Sequence[Row], width: int) -> Tensor:
        tags = torch.zeros((len(rows), width), dtype=torch.long)
        for number, row in enumerate(rows):
            length = len(row.example.words)
            tags[number, :length] = torch.tensor(self.tags.encode(row.example.entities, length), dtype=torch.long)
        return tags

    def _pictures(
        self, rows: Sequence[Row], epoch: Epoch | None
    ) -> tuple[tuple[Tensor, ...], list[list[int]], tuple[ImageStatus, ...]]:
        """What each view reads of each distinct picture, which of them each row has, and what became of them.

        A bad picture is left out of its row, which keeps its other pictures. A view reads kept regions where it can of
        all pictures of the batch, else the pixels of all.
        """
        if not self.transforms:
            return (), [[] for _ in rows], tuple("none" for _ in rows)
        owners: dict[str, Row] = {}
        for row in rows:
            for key in row.keys:
                owners.setdefault(key, row)
        kept = {key: self._kept(key, epoch) for key in owners}
        cuts: dict[str, dict[int, Tensor] | ImageStatus] = {
            key: self._cut(row, key, epoch, _absent(kept[key])) for key, row in owners.items()
        }
        lacking = {view for made in cuts.values() if isinstance(made, dict) for view in made}
        for key, made in cuts.items():
            if isinstance(made, dict) and made.keys() != lacking:
                cuts[key] = self._cut(owners[key], key, epoch, sorted(lacking))
        whole = {key: made for key, made in cuts.items() if isinstance(made, dict)}
        numbers = {key: number for number, key in enumerate(whole)}
        slots = [[numbers[key] for key in row.keys if key in numbers] for row in rows]
        bad: dict[str, ImageStatus] = {key: made for key, made in cuts.items() if not isinstance(made, dict)}
        status: list[ImageStatus] = ["used" if found else "none" for found in slots]
        for number, row in enumerate(rows):
            if row.keys and not slots[number]:
                status[number] = bad[row.keys[-1]]
        pixels: list[Tensor] = []
        for view in range(len(self.transforms)):
            own = [made[view] if view in made else kept[key][view] for key, made in whole.items()]
            tensors = [tensor for tensor in own if tensor is not None]
            pixels.append(torch.stack(tensors) if tensors else torch.zeros((0, 3, 1, 1), dtype=torch.uint8))
        return tuple(pixels), slots, tuple(status)

    def _kept(self, key: str, epoch: Epoch | None) -> list[Tensor | None]:
        """The kept regions of a picture for each view; None of those that see it cut anew in each epoch."""
        if self.regions is None:
            return [None] * len(self.transforms)
        found = self.regions.read(key)
        fixed = [epoch is None or not chancy(transform, True) for transform in self.transforms]
        return [own if lasting else None for own, lasting in zip(found, fixed, strict=True)]

    def _cut(self, row: Row, key: str, epoch: Epoch | None, views: list[int]) -> dict[int, Tensor] | ImageStatus:
        """The pixels of a picture for some views; of none, it is not opened."""
        # Outside training a draw hangs on the picture alone, so that its pixels can be kept as others can.
        lasting = [view for view in views if epoch is None or not chancy(self.transforms[view], True)]
        known = {view: self.memory.get(key, view) for view in lasting}
        made = {view: pixels for view, pixels in known.items() if pixels is not None}
        left = [view for view in views if view not in made]
        if not left:
            return made
        if row.open is None:
            return "missing"
        picture = row.open(key)
        if picture.image is None:
            return picture.status
        pixels = cut(picture.image, picture.boxes, [self.transforms[view] for view in left], epoch)
        made.update(zip(left, pixels, strict=True))
        for view in lasting:
            self.memory.put(key, view, made[view])
        return made


def _absent(kept: list[Tensor | None]) -> list[int]:
    return [view for view, regions in enumerate(kept) if regions is None]


def tie(marks: Sequence[Sequence[str | None]]) -> list[int]:
    """Number rows so that rows that share a mark, directly or through others, get the same number."""
    group = list(range(len(marks)))

    def root(row: int) -> int:
        while group[row] != row:
            group[row] = group[group[row]]
            row = group[row]
        return row

    seen: dict[str, int] = {}
    for row, own in enumerate(marks):
        for mark in own:
            if mark is not None:
                group[root(row)] = root(seen.setdefault(mark, row))
    return [root(row) for row in range(len(marks))]


@runtime_checkable
class Rows(Protocol):
    """Rows by number."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, number: int, /) -> Row:
        """The row of this number."""
        ...


class CorpusRows:
    """The rows of a corpus, each with a way to open its pictures; read from disk when asked for."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus

    def __len__(self) -> int:
        return len(self.corpus)

    def __getitem__(self, number: int) -> Row:
        """The row of this number."""
        return Row(self.corpus[number], self.corpus.picture_keys(number), self.corpus.picture)


class RowBatches:
    """A data set whose items are whole batches: asked for a list of row numbers, it answers with their batch.

    Asked for a `Share`, it numbers the groups of rows over all those of the step.
    """

    def __init__(self, rows: Rows, collator: Collator, *, labelled: bool, epoch: Epoch | None = None) -> None:
        self.rows = rows
        self.collator = collator
        self.labelled = labelled
        self.epoch = epoch

    def __getitem__(self, numbers: Sequence[int] | Share) -> Batch:
        """The batch of the rows with these numbers."""
        if not isinstance(numbers, Share):
            return self.collator([self.rows[number] for number in numbers], labelled=self.labelled, epoch=self.epoch)
        among = {number: self.rows[number] for number in numbers.among}
        groups = dict(zip(among, tie([row.marks for row in among.values()]), strict=True))
        own = numbers.rows or numbers.among[:1]
        return self.collator(
            [among[number] for number in own],
            labelled=self.labelled,
            epoch=self.epoch,
            groups=[groups[number] for number in own],
            stand_in=not numbers.rows,
        )
