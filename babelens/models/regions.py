"""The region cache: what frozen encoders make of the pictures of corpora is computed once and kept on disk."""

import errno
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from babelens.data import Corpus
from babelens.data.images import UnreadableError, decode, digest_content
from babelens.models.draw import chancy, cut
from babelens.models.region_keys import Pictures, RegionEncoder, find_pictures, keys_of, kind_of, locate
from babelens.models.region_store import Kept, Places, RegionCache, RegionStore, Sizes
from babelens.models.tagger import Tagger
from babelens.modules.late import LateBackbone
from babelens.schema import InputError

Wish = Literal["auto", "bf16", "fp16", "off"]
WISHES: tuple[Wish, ...] = get_args(Wish)
Use = Literal["training", "evaluation"]

CHUNK = 64
_SHARE_OF_DISK = 0.9
_AHEAD = 2  # chunks whose pictures are cut while the encoder reads another


class RegionError(InputError):
    """Regions that cannot be kept: the message says why, and how to go without."""


class Regions(NamedTuple):
    """The kept regions, None where there are none, and what is to be told about them ("" for nothing)."""

    cache: RegionCache | None
    note: str


def prepare(
    tagger: Tagger,
    corpora: Sequence[Corpus],
    wish: Wish,
    *,
    use: Use,
    autocast: torch.dtype | None = None,
    batch: int = CHUNK,
    share: tuple[int, int] = (0, 1),
    wait: Callable[[], object] | None = None,
    step: Callable[[int, int], object] | None = None,
) -> Regions:
    """See that the regions of all pictures of the corpora are on disk, for each view that can be kept.

    For training these are the views whose encoder is frozen and whose pictures are not cut at random; for evaluation
    all views, with the weights that the tagger has now: it must not learn while the cache is in use. Regions are kept
    in bf16, or in fp16 where that is wished for, computed under `autocast` (None: in fp32), `batch` pictures at a time;
    they are those of an encoder in evaluation mode. Whatever lies there already is checked, and computed anew where it
    is damaged. "auto" goes without where the disk is too small, and says so.

    Of several processes over one cache each computes its `share` (rank, world); `wait` is called before and after, and
    returns when all have come so far. `step` is called with the pictures done and to be done.

    Raises:
        RegionError: the disk is too small for what was asked for explicitly, or values are too large for fp16.
        OSError: the disk ran full.
    """
    views = {} if wish == "off" else keepable(tagger, use)
    if not views:
        return Regions(None, "")
    dtype = torch.float16 if wish == "fp16" else torch.bfloat16
    stores = {view: RegionStore(kind_of(encoder, dtype, autocast)) for view, encoder in views.items()}
    pictures = find_pictures(corpora, views)
    if not len(pictures.names):
        return Regions(None, "")
    filling = _Filling(tagger, corpora, views, stores, pictures, autocast, batch)
    found = filling.places()
    before = filling.there(found)
    wanting = sum(int((~own).sum()) * stores[view].kind.bytes for view, own in before.items())
    problem = _short(wanting, next(iter(stores.values())).folder)
    if problem and wish != "auto":
        raise RegionError(problem)
    if wait is not None:
        wait()
    if not problem:
        try:
            filling.run(before, share, step)
        except OSError as error:
            if wish != "auto" or error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            problem = f"the disk is full ({error.filename})"
    if wait is not None:
        wait()
    if problem:
        return Regions(None, f"image regions are not kept: {problem}")
    if wanting:
        found = filling.places()
    return filling.gather(found, before, len(tagger.backbone.transforms))


def keepable(tagger: Tagger, use: Use) -> dict[int, RegionEncoder]:
    """The region encoders of the views whose regions can be kept, by the view's number among the transforms."""
    if not isinstance(tagger.backbone, LateBackbone):
        return {}
    encoders = [view.regions for view in tagger.backbone.seeing().values() if view.regions is not None]
    # In evaluation a random square is one for each picture (see `draw_of`).
    return {
        number: encoder
        for number, encoder in enumerate(encoders)
        if use == "evaluation" or (encoder.fixed and not chancy(encoder.transform, True))
    }


Cut = dict[int, Tensor] | None  # what views read of a picture; None where it cannot be opened


@dataclass(frozen=True)
class _Filling:
    """One call of `prepare`: what is to be there, and how what is not is made."""

    tagger: Tagger
    corpora: Sequence[Corpus]
    views: dict[int, RegionEncoder]
    stores: dict[int, RegionStore]
    pictures: Pictures
    autocast: torch.dtype | None
    batch: int

    @cached_property
    def distinct(self) -> np.ndarray:
        """The numbers of the distinct pictures."""
        return self.pictures.distinct()

    def places(self) -> dict[int, Places]:
        """Where the regions of all pictures lie that are there, by view."""
        return {
            view: store.places(self.pictures.of_view(number))
            for number, (view, store) in enumerate(self.stores.items())
        }

    def rows(self, found: dict[int, Places]) -> dict[int, np.ndarray]:
        """(shard, row) of all pictures, by view."""
        return {view: own.find(self.pictures.of_view(number)) for number, (view, own) in enumerate(found.items())}

    def there(self, found: dict[int, Places]) -> dict[int, np.ndarray]:
        """Which of the distinct pictures are there, by view."""
        return {view: rows[self.distinct, 0] >= 0 for view, rows in self.rows(found).items()}

    def run(
        self, there: dict[int, np.ndarray], share: tuple[int, int], step: Callable[[int, int], object] | None
    ) -> None:
        """Compute and keep what is not there.

        Pictures are computed in chunks that hang on the corpora alone, whole ones even where a part is there, so that
        rounding is that of a run that was never stopped.
        """
        rank, world = share
        whole = np.logical_and.reduce(list(there.values()))
        # A picture of many crops is as many pictures to its encoder.
        crops = max(getattr(encoder, "count", 1) for encoder in self.views.values())
        size = max(1, self.batch // crops)
        starts = range(0, len(whole), size)[rank::world]
        chunks = [np.arange(start, min(start + size, len(whole))) for start in starts]
        chunks = [chunk for chunk in chunks if not whole[chunk].all()]
        total, done = sum(map(len, chunks)), 0
        modes = {view: encoder.training for view, encoder in self.views.items()}
        try:
            for encoder in self.views.values():
                encoder.eval()
            with ThreadPoolExecutor() as pool:
                for chunk, views, cuts in self._cut_ahead(pool, chunks, there):
                    self._compute(pool, chunk, views, cuts, there)
                    done += len(chunk)
                    if step is not None:
                        step(done, total)
        finally:
            for view, mode in modes.items():
                self.views[view].train(mode)
            for store in self.stores.values():
                store.flush()

    def _cut_ahead(
        self, pool: ThreadPoolExecutor, chunks: list[np.ndarray], there: dict[int, np.ndarray]
    ) -> Iterator[tuple[np.ndarray, list[int], dict[int, Future[Cut]]]]:
        """Each chunk, the views it is not whole in, and those of its pictures, cut by threads ahead of their use."""
        waiting: deque[tuple[np.ndarray, list[int], dict[int, Future[Cut]]]] = deque()
        for chunk in chunks:
            views = [view for view, own in there.items() if not own[chunk].all()]
            absent = chunk[~np.logical_and.reduce([there[view][chunk] for view in views])]
            waiting.append(
                (chunk, views, {number: pool.submit(self._cut, number, views) for number in absent.tolist()})
            )
            if len(waiting) > _AHEAD:
                yield waiting.popleft()
        yield from waiting

    def _cut(self, number: int, views: Sequence[int]) -> Cut:
        """What views read of a distinct picture; None where it cannot be opened, or shows something else by now."""
        picture = self.distinct[number]
        corpus, key = locate(self.corpora, self.pictures.places[picture])
        try:
            content = corpus.picture_content(key)
            if content is None:
                return None
            if keys_of(digest_content(content), self.views, corpus, key) != self.pictures.keys[picture].tobytes():
                return None
            made = cut(decode(content), corpus.boxes(key), [self.views[view].transform for view in views], None)
        except (UnreadableError, OSError):
            return None
        return dict(zip(views, made, strict=True))

    def _compute(
        self,
        pool: ThreadPoolExecutor,
        chunk: np.ndarray,
        views: list[int],
        cuts: dict[int, Future[Cut]],
        there: dict[int, np.ndarray],
    ) -> None:
        made = {number: future.result() for number, future in cuts.items()}
        if not any(made.values()):
            return  # pictures that cannot be read never are there
        rest = [number for number in chunk.tolist() if number not in made]
        made.update(zip(rest, pool.map(lambda number: self._cut(number, views), rest), strict=True))
        usable = {number: own for number, own in sorted(made.items()) if own is not None}
        numbers = np.array(list(usable))
        for view in views:
            absent = ~there[view][numbers]
            if absent.any():
                regions = self._encode(view, torch.stack([own[view] for own in usable.values()]))
                keys = self.pictures.of_view(list(self.views).index(view))[self.distinct[numbers[absent]]]
                self.stores[view].add(keys, regions[torch.from_numpy(absent)])

    # Not in inference mode: it is no faster here, and tables that some encoders keep for all models to come (BEiT)
    # would be good for no training afterwards.
    @torch.no_grad()
    def _encode(self, view: int, pixels: Tensor) -> Tensor:
        """The regions of pictures, as they are kept."""
        device, dtype = self.tagger.device, self.stores[view].kind.dtype
        with torch.autocast(device.type, self.autocast, enabled=self.autocast is not None):
            features = self.views[view].features(pixels.to(device))
        kept = features.to(dtype).cpu()
        if bool((features.isfinite().cpu() & ~kept.isfinite()).any()):
            name = list(self.tagger.backbone.transforms)[view]
            raise RegionError(
                f"training.region_cache: expected regions of {name} below {torch.finfo(dtype).max:,.0f}, as fp16 can "
                f"hold them, found {features.abs().max().item():,.0f}; bf16 holds them"
            )
        return kept

    def gather(self, found: dict[int, Places], before: dict[int, np.ndarray], views: int) -> Regions:
        """The cache of what is there, by `before` what was there at the start."""
        after = self.there(found)
        old = np.logical_and.reduce(list(before.values()))
        all_ = np.logical_and.reduce(list(after.values()))
        bytes_ = [
            sum(int(own.sum()) * self.stores[view].kind.bytes for view, own in part.items()) for part in (before, after)
        ]
        sizes = Sizes(int((all_ & ~old).sum()), int(old.sum()), bytes_[1] - bytes_[0], bytes_[0])
        rows = self.rows(found)
        kept = [
            Kept(self.stores[view].kind, rows[view], found[view].paths) if view in rows else None
            for view in range(views)
        ]
        names = list(self.tagger.backbone.transforms)
        note = (
            f"image regions of {', '.join(names[view] for view in rows)}: {sizes.computed:,} pictures computed "
            f"({sizes.computed_bytes / 2**20:,.0f} MiB), {sizes.reused:,} reused "
            f"({sizes.reused_bytes / 2**20:,.0f} MiB)"
        )
        return Regions(RegionCache(self.pictures.names, kept, sizes), note)


def _short(wanting: int, folder: Path) -> str:
    """What is wrong with the disk, if it is."""
    free = shutil.disk_usage(folder).free
    if wanting <= _SHARE_OF_DISK * free:
        return ""
    return (
        f"{folder}: expected {wanting / 2**30:,.2f} GiB for the regions of pictures, and not all of the disk for them, "
        f"found {free / 2**30:,.2f} GiB free; region_cache=off goes without, BABELENS_CACHE names another disk"
    )
