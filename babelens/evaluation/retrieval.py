"""Whether the alignment aligns: texts that find their pictures, pictures that find their texts, and how both lie."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from babelens.data import Corpus
from babelens.evaluation.rows import over_rows
from babelens.models.batch import Batch, CorpusRows, tie
from babelens.models.decode import BATCH
from babelens.models.region_store import RegionCache
from babelens.models.tagger import Tagger
from babelens.modules.alignment import Pairs
from babelens.modules.retrieval import STEPS, Standings, count_cosines, stand, uniformity, units
from babelens.schema import InputError

RECALLS = (1, 5, 10)
BINS = 40  # of a histogram of cosines from -1 to 1

# Shares of queries closer than this are equal.
_EQUAL = 1e-9


@dataclass(frozen=True)
class Ranks:
    """Of the first right answer of each query: how often (per cent) it is among the first 1, 5, 10; the median rank.

    Ranks count from 1. Candidates that are equally similar stand in random order: a rank that hangs on it counts in
    shares, so that a model that tells nothing apart has exactly what chance has. The median of an even number of
    queries is the mean of the two in the middle.
    """

    recalls: Mapping[int, float]
    median: float

    def to_dict(self) -> dict[str, float]:
        """As they stand in files of results."""
        return {**{f"recall@{first}": share for first, share in self.recalls.items()}, "median_rank": self.median}


@dataclass(frozen=True)
class Direction:
    """One way of searching: so many queries among so many candidates, what was found, and what chance would find.

    `chance` is what candidates in random order give, with as many right answers for each query as there are.
    """

    queries: int
    candidates: int
    found: Ranks
    chance: Ranks

    def to_dict(self) -> dict[str, Any]:
        """As it stands in files of results."""
        return {
            "queries": self.queries,
            "candidates": self.candidates,
            **self.found.to_dict(),
            "chance": self.chance.to_dict(),
        }


@dataclass(frozen=True)
class Spread:
    """The cosines of some pairs: how many, their mean and standard deviation (n), None of none, and their histogram."""

    pairs: int
    mean: float | None
    deviation: float | None
    histogram: tuple[int, ...]


@dataclass(frozen=True)
class Cosines:
    """The cosines of matched and of unmatched pairs of a text and a picture.

    Histograms have the bins between `edges`; an edge belongs to the bin above it, 1 to the last bin. `auc` is the
    probability that a matched pair has the larger cosine of the two, equal ones counting half (Mann and Whitney, 1947):
    by chance 0.5. None where all pairs are matched.
    """

    matched: Spread
    unmatched: Spread
    auc: float | None
    edges: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """As they stand in files of results."""
        spreads = {"matched": self.matched, "unmatched": self.unmatched}
        plain = {name: {**vars(spread), "histogram": list(spread.histogram)} for name, spread in spreads.items()}
        return {**plain, "auc": self.auc, "edges": list(self.edges)}


@dataclass(frozen=True)
class Retrieval:
    """One aligned view over `rows` rows that have a picture, and the `pictures` distinct ones among these.

    `alignment` is the mean of |x - y|^2 over matched pairs of a text and a picture, `text_uniformity` and
    `picture_uniformity` say how evenly each lies on the sphere (Wang and Isola, 2020; None of fewer than two): the less
    the better, all three. `gap` is the distance between the mean of the texts and that of the pictures (Liang et al.,
    2022).
    """

    rows: int
    pictures: int
    text_to_picture: Direction
    picture_to_text: Direction
    cosines: Cosines
    alignment: float
    text_uniformity: float | None
    picture_uniformity: float | None
    gap: float

    def to_dict(self) -> dict[str, Any]:
        """As it stands in files of results."""
        parts = ("text_to_picture", "picture_to_text", "cosines")
        return {**vars(self), **{name: getattr(self, name).to_dict() for name in parts}}


def measure_retrieval(
    tagger: Tagger,
    corpus: Corpus,
    *,
    batch: int = BATCH,
    limit: int | None = None,
    workers: int = 0,
    regions: RegionCache | None = None,
    step: Callable[[int], None] | None = None,
) -> dict[str, Retrieval]:
    """Search texts by pictures and pictures by texts in the common space of each aligned view, by the view's name.

    The vectors are those of the contrastive loss (`alignment.nt_xent`): projected and normalised, in evaluation mode
    and under the tagger's precision. Its temperature divides all cosines alike and changes no order. Rows without a
    usable picture take no part; with `limit` only so many of the rows that name a picture do, evenly spread over the
    corpus. Tags are not read. `workers`, `regions` and `step` are those of `rows.over_rows`.

    Nothing comes back of a model without alignment, and where no row has a usable picture.

    Raises:
        InputError: vectors of a view are not finite.
        ImageError: a picture cannot be opened, and the corpus was read with strict pictures.
        ShortOfMemory: memory does not hold a single row.
    """
    if not tagger.model.backbone.aligned:
        return {}
    named = np.flatnonzero(corpus.picture_numbers)
    if limit is not None and limit < len(named):
        named = named[np.arange(limit) * len(named) // limit]
    numbers: list[int] = named.tolist()

    def read(part: Batch) -> tuple[list[bool], dict[str, Pairs]]:
        pairs = tagger.backbone.pairs(tagger.encode(part))
        there = part.present
        kept = {name: Pairs(own.text[there].cpu(), own.image[there].cpu()) for name, own in pairs.items()}
        return there.tolist(), kept

    usable: list[int] = []
    found: dict[str, list[Pairs]] = {}
    for own, (there, pairs) in over_rows(
        tagger, corpus, numbers, read, batch=batch, workers=workers, regions=regions, step=step
    ):
        usable += [number for number, present in zip(own, there, strict=True) if present]
        for name, vectors in pairs.items():
            found.setdefault(name, []).append(vectors)
    if not usable:
        return {}
    # Back to the order of the corpus, so that nothing hangs on how rows were batched.
    order = np.argsort(usable).tolist()
    groups, pictures = _ties(corpus, numbers, set(usable))
    results = {}
    for name, parts in found.items():
        joined = Pairs(*(torch.cat(side)[order].to(tagger.device) for side in zip(*parts, strict=True)))
        broken = int((~(joined.text.isfinite().all(1) & joined.image.isfinite().all(1))).sum())
        if broken:
            raise InputError(f"{name}: expected finite vectors of texts and pictures, found {broken} rows without")
        results[name] = compare(joined, groups.to(tagger.device), pictures.to(tagger.device))
    return results


def compare(pairs: Pairs, groups: Int[Tensor, " batch"], pictures: Int[Tensor, " batch"]) -> Retrieval:
    """Search among the vectors of rows, at least one, before they are normalised.

    Rows of one number in `groups` are right answers for one another: they share a picture or are translations (see
    `batch.tie`). Rows of one number in `pictures` have the same picture, or the same several, whose vector is then
    that of the first of these rows; a picture is one candidate, and one query, however many rows have it.
    """
    _, first = np.unique(pictures.cpu().numpy(), return_index=True)
    chosen = torch.from_numpy(first).to(groups.device)
    texts, images = units(pairs.text), units(pairs.image[chosen])
    image_groups = groups[chosen]
    counts = [part.numpy() for part in count_cosines(texts, images, groups, image_groups)]
    cosines = summarise_cosines(*counts)
    assert cosines.matched.mean is not None, "every text is of the group of its own picture"
    return Retrieval(
        rows=len(texts),
        pictures=len(images),
        text_to_picture=_search(texts, images, groups, image_groups),
        picture_to_text=_search(images, texts, image_groups, groups),
        cosines=cosines,
        alignment=2 - 2 * cosines.matched.mean,
        text_uniformity=uniformity(texts),
        picture_uniformity=uniformity(images),
        gap=(texts.mean(0) - images.mean(0)).norm().item(),
    )


def _search(queries: Tensor, candidates: Tensor, query_groups: Tensor, candidate_groups: Tensor) -> Direction:
    standings = stand(queries, candidates, query_groups, candidate_groups)
    groups, counts = candidate_groups.unique(return_counts=True)
    right = counts[torch.searchsorted(groups, query_groups)]
    # In random order all candidates are as good as one another.
    chance = Standings(torch.zeros_like(right), right, len(candidates) - right)
    return Direction(len(queries), len(candidates), rank(standings), rank(chance))


def rank(standings: Standings) -> Ranks:
    """The ranks of the first right answers where the candidates that are tied stand in random order.

    Of m right and w wrong ones in random order, none of the first i is right with the probability
    w (w - 1) ... (w - i + 1) / ((m + w) (m + w - 1) ... (m + w - i + 1)).
    """
    table = np.stack([part.cpu().numpy() for part in standings], axis=1)
    kinds, times = np.unique(table, axis=0, return_counts=True)
    # How many queries have their first right answer at each rank, from 0, which none has.
    at = np.zeros(int((table[:, 0] + table[:, 2]).max()) + 2)
    for (above, right, wrong), count in zip(kinds.tolist(), times.tolist(), strict=True):
        left = np.arange(wrong, -1, -1)  # wrong ones that are left for each place
        none = np.concatenate([[1.0], np.cumprod(left / (left + right))[:-1]])
        at[above + 1 : above + wrong + 2] += count * none * right / (left + right)
    upto = np.cumsum(at) / len(table)
    low, high = np.argmax(upto >= 0.5 - _EQUAL), np.argmax(upto > 0.5 + _EQUAL)
    recalls = {first: 100 * float(upto[min(first, len(upto) - 1)]) for first in RECALLS}
    return Ranks(recalls, float(low + high) / 2)


def summarise_cosines(matched: np.ndarray, unmatched: np.ndarray) -> Cosines:
    """What counts of each cosine (see `retrieval.count_cosines`) say."""
    below = np.cumsum(unmatched) - unmatched
    pairs = int(matched.sum()) * int(unmatched.sum())
    auc = float((matched * (below + 0.5 * unmatched)).sum()) / pairs if pairs else None
    edges = tuple(round(-1 + 2 * edge / BINS, 6) for edge in range(BINS + 1))
    return Cosines(_spread(matched), _spread(unmatched), auc, edges)


def _spread(counts: np.ndarray) -> Spread:
    pairs = int(counts.sum())
    histogram = counts[:-1].reshape(BINS, -1).sum(1)
    histogram[-1] += counts[-1]
    mean = deviation = None
    if pairs:
        values = np.arange(-STEPS, STEPS + 1) / STEPS
        mean = float((values * counts).sum() / pairs)
        deviation = float(np.sqrt(((values - mean) ** 2 * counts).sum() / pairs))
    return Spread(pairs, mean, deviation, tuple(histogram.tolist()))


def _ties(corpus: Corpus, numbers: Sequence[int], usable: set[int]) -> tuple[Tensor, Tensor]:
    """The group and the pictures, by number, of each usable row; rows may be tied through others of `numbers`."""
    rows = CorpusRows(corpus)
    marks, keys = [], []
    for number in numbers:
        row = rows[number]
        marks.append(row.marks)
        keys.append(tuple(sorted(row.keys)))
    place: dict[tuple[str, ...], int] = {}
    pictures = [place.setdefault(own, len(place)) for own in keys]
    kept = torch.tensor([number in usable for number in numbers])
    return torch.tensor(tie(marks))[kept], torch.tensor(pictures)[kept]
