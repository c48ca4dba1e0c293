"""Rows of several sources in strata of sentence length and entity density, and F1 with the mixture of strata held."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from babelens.scoring.draws import seed_draws, unit_draws
from babelens.scoring.outcomes import Outcome
from babelens.scoring.significance import seed_counts

# Numbers of 8 bytes held at once.
_BLOCK = 4_000_000


class Sums(NamedTuple):
    """Rows, and 2 tp and 2 tp + fp + fn by seed and type (the parts of F1), added up in each source and stratum."""

    rows: Float[np.ndarray, "draw source stratum"]
    counts: Float[np.ndarray, "draw source stratum seed type 2"]


@dataclass(frozen=True, eq=False)
class Strata:
    """Rows of sources in strata, in pieces: the rows of one unit, source and stratum.

    `piece_units` and `piece_places` say whose a piece is (a place is a source and stratum, in this order), `rows` and
    `counts` what is in it, the counts as `Sums` has them. `gold` are the gold entities, `words` the words of all
    rows of a source and stratum. Strata without rows are left out.
    """

    sources: tuple[str, ...]
    types: tuple[str, ...]
    seeds: int
    strata: int
    units: int
    piece_units: Int[np.ndarray, " piece"]
    piece_places: Int[np.ndarray, " piece"]
    rows: Float[np.ndarray, " piece"]
    counts: Float[np.ndarray, "piece seed type 2"]
    gold: Int[np.ndarray, "source stratum type"]
    words: Int[np.ndarray, "source stratum"]

    def units_of(self, places: Bool[np.ndarray, "source stratum"]) -> int:
        """The number of units that have rows in these places."""
        return len(np.unique(self.piece_units[places.reshape(-1)[self.piece_places]]))

    def add_up(self, weights: Float[np.ndarray, "draw unit"]) -> Sums:
        """Add up over units, each counted as often as its weight says."""
        columns = np.concatenate([self.rows[:, None], self.counts.reshape(len(self.rows), -1)], axis=1)
        found = np.zeros((len(weights), len(self.sources) * self.strata, columns.shape[1]))
        # Place by place: a unit has rows in one or few of them, so all at once would multiply by zeros mostly.
        for place in np.unique(self.piece_places):
            here = np.flatnonzero(self.piece_places == place)
            found[:, place] = weights[:, self.piece_units[here]] @ columns[here]
        places = (len(weights), len(self.sources), self.strata)
        shape = (self.seeds, len(self.types), 2)
        return Sums(found[..., 0].reshape(places), found[..., 1:].reshape(*places, *shape))

    def draw(self, means: Sequence[Sequence[int]], draws: int, seed: int) -> Float[np.ndarray, "draw 2 source column"]:
        """Draw units and seeds, the same for all sources, and make the figures of each draw: see `figures`."""
        chosen = seed_draws([self.seeds], draws, seed)[0]
        place = len(self.sources) * self.strata * (1 + self.seeds * len(self.types) * 2)
        found, start = np.empty((draws, 2, len(self.sources), len(self.types) + 1)), 0
        for weights in unit_draws(self.units, draws, seed, max(1, _BLOCK // max(self.units, place))):
            stop = start + len(weights)
            found[start:stop] = figures(self.add_up(weights), chosen[start:stop], means)
            start = stop
        return found


def stratify(
    runs: Sequence[Sequence[Outcome]], sources: Sequence[str], lengths: Sequence[int], densities: Sequence[int]
) -> Strata:
    """Sort the rows of runs, one for each seed, into strata; `lengths` and `densities` are the least of each bin.

    `sources` has a name for each row. Types are those of gold, in alphabetical order, as the sources are.

    Raises:
        ValueError: there are no runs, or they differ in rows, units or gold.
    """
    if not runs:
        raise ValueError("expected the outcomes of at least one run, found none")
    first = runs[0]
    names, source = np.unique(np.array(sources, dtype=np.str_), return_inverse=True)
    types = tuple(sorted({entity.type for outcome in first for entity in outcome.gold}))
    words = np.array([len(outcome.words) for outcome in first], np.int64)
    kinds = [Counter(entity.type for entity in set(outcome.gold)) for outcome in first]
    gold = np.array([[kind[type_] for type_ in types] for kind in kinds], np.int64)
    bins = np.digitize(words, lengths[1:]) * len(densities) + np.digitize(gold.sum(axis=1), densities[1:])
    kept, stratum = np.unique(bins, return_inverse=True)
    numbers, unit = np.unique([outcome.unit for outcome in first], return_inverse=True)
    place = source * len(kept) + stratum
    pieces, piece = np.unique(unit * len(names) * len(kept) + place, return_inverse=True)
    numbered = [
        [replace(outcome, unit=int(number)) for outcome, number in zip(run, piece, strict=True)] for run in runs
    ]
    counts = np.stack([seed_counts(numbered, {type_}) for type_ in types], axis=2)
    right, wrong = counts[..., 0], counts[..., 1] + counts[..., 2]
    by_place = np.zeros((len(names) * len(kept), len(types) + 1), np.int64)
    np.add.at(by_place, place, np.column_stack([gold, words]))
    by_place = by_place.reshape(len(names), len(kept), -1)
    return Strata(
        sources=tuple(names.tolist()),
        types=types,
        seeds=len(runs),
        strata=len(kept),
        units=len(numbers),
        piece_units=pieces // (len(names) * len(kept)),
        piece_places=pieces % (len(names) * len(kept)),
        rows=np.bincount(piece).astype(np.float64),
        counts=np.moveaxis(np.stack([2 * right, 2 * right + wrong], axis=-1), 0, 1).astype(np.float64),
        gold=by_place[..., :-1],
        words=by_place[..., -1],
    )


def row_weights(rows: Float[np.ndarray, "draw source stratum"]) -> Float[np.ndarray, "draw source stratum"]:
    """The weight of a row of each source in each stratum that gives all sources one mixture (direct standardisation).

    With n the rows of a source in a stratum, and N those of all sources, it is N / (n M) in common strata, those in
    which all sources have rows, and 0 in others; M is the rows of all common strata. The weights of the rows of a
    source add up to 1, or to 0 where no stratum is common.
    """
    common = (rows > 0).all(axis=1, keepdims=True)
    pooled = np.where(common, rows.sum(axis=1, keepdims=True), 0)
    total = pooled.sum(axis=2, keepdims=True)
    return np.divide(pooled, rows * total, out=np.zeros(rows.shape), where=common & (rows > 0))


def figures(
    sums: Sums, chosen: Int[np.ndarray, "draw seeds"], means: Sequence[Sequence[int]]
) -> Float[np.ndarray, "draw 2 source column"]:
    """F1 (per cent, mean over the chosen seeds) by source and type, raw and held (on the second axis).

    The last column is the mean over types whose places are in `means`, one list for the raw figures and one for the
    held ones; NaN where the list is empty. NaN stands also where a source has no rows, or no stratum is common.
    """
    weights = row_weights(sums.rows)
    raw = _f1(sums.counts.sum(axis=2))
    held = _f1(np.einsum("dsk,dskefj->dsefj", weights, sums.counts))
    raw[sums.rows.sum(axis=2) == 0] = np.nan
    held[weights.sum(axis=(1, 2)) == 0] = np.nan
    both = np.stack([raw, held], axis=1)
    both = np.take_along_axis(both, chosen[:, None, None, :, None], axis=3).mean(axis=3)
    mean = np.full((*both.shape[:3], 1), np.nan)
    for kind, types in enumerate(means):
        if types:
            mean[:, kind, :, 0] = both[:, kind][..., list(types)].mean(axis=-1)
    return np.concatenate([both, mean], axis=3)


def _f1(parts: Float[np.ndarray, "draw source seed type 2"]) -> Float[np.ndarray, "draw source seed type"]:
    above, below = parts[..., 0], parts[..., 1]
    return 100 * np.divide(above, below, out=np.zeros(above.shape), where=below != 0)
