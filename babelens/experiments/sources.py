"""How hard each source is (2M-NER, section 5.4.4): F1 by source and type, as it is and with the sentences held equal.

Sources label different types: in MMNERD all PER stand in tweets. So they are compared within types that all label.

Captions and tweets differ in more than their source, so each comparison is made twice: raw, and by direct
standardisation. Rows fall into strata of sentence length and entity density (gold entities a sentence). Strata in which
all sources have rows are common. The rows of a source in a stratum are weighted so that each source has the mixture of
strata that all rows of common strata have together; counts are added up with these weights, and F1 is that of the sums.

What is drawn are units and seeds (`scoring.significance`). All sources are read by the same trained models, so a draw
has the same seeds for all of them. In each draw the estimate is made anew as a whole, from the common strata to the
mixture and the weights: the interval holds that the mixture, too, is known from these rows alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import msgspec
import numpy as np
from jaxtyping import Bool, Float

from babelens.experiments.strata import Strata, figures, row_weights, stratify
from babelens.schema import InputError
from babelens.scoring.draws import bounds
from babelens.scoring.outcomes import Outcome
from babelens.scoring.significance import DRAWS, Interval, holm, judge

LENGTHS = (1, 11, 16, 21, 31)
"""The shortest sentences (words) of each bin, the last one open."""
DENSITIES = (0, 1, 2, 3, 4)
"""The fewest gold entities a sentence of each bin, the last one open."""


@dataclass(frozen=True, slots=True)
class SourceRows:
    """The rows of a source: means of words and gold entities a sentence, as they are and held.

    `common` is the share of its rows (per cent) in common strata, `effective` the size of the sample that weighs as
    much as these rows with their weights (Kish, 1965): with few of them, what is held rests on few rows.
    """

    source: str
    rows: int
    units: int
    common: float
    effective: float
    words: float
    entities: float
    held_words: float | None
    held_entities: float | None


@dataclass(frozen=True, slots=True)
class SourceFigure:
    """F1 of a type in a source (per cent, mean over seeds), raw and held, with 95 % intervals.

    A `type` of None is the mean over the compared types. `support` and `held_support` are gold entities, the latter
    those in common strata; without any there is no figure.
    """

    source: str
    type: str | None
    support: int
    held_support: int
    raw: Interval | None
    held: Interval | None


@dataclass(frozen=True, slots=True)
class SourceDifference:
    """F1 in a source less that in another, in points, with its 95 % interval, two-sided p, and p after Holm."""

    source: str
    other: str
    type: str | None
    held: bool
    difference: float
    low: float
    high: float
    p: float
    adjusted: float
    units: int


@dataclass(frozen=True, slots=True)
class SourceComparison:
    """The sources of a test part. `types` are those compared, `held_types` those that can be with sentences held.

    Holm's correction is over all `differences`, raw and held. `unnamed` counts rows that name no source; they are left
    out. `strata` counts those with rows, `common` those in which all sources have some.
    """

    seeds: int
    unnamed: int
    types: tuple[str, ...]
    held_types: tuple[str, ...]
    lengths: tuple[int, ...]
    densities: tuple[int, ...]
    strata: int
    common: int
    sources: tuple[SourceRows, ...]
    figures: tuple[SourceFigure, ...]
    differences: tuple[SourceDifference, ...]

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain data for JSON."""
        return msgspec.to_builtins(self)


def compare_sources(
    runs: Sequence[Sequence[Outcome]],
    *,
    lengths: Sequence[int] = LENGTHS,
    densities: Sequence[int] = DENSITIES,
    draws: int = DRAWS,
    seed: int = 0,
) -> SourceComparison:
    """Compare the sources of a test part by the runs of one system, one for each seed, over the same rows.

    Rows that name no source are left out, and counted.

    Raises:
        InputError: no row with an entity names a source.
        ValueError: there are no runs or draws, or the runs differ in rows, units or gold.
    """
    named = [outcome.source for outcome in runs[0]] if runs else []
    for run in runs:
        if len(run) != len(named):
            raise ValueError(f"expected runs over the same {len(named)} rows, found {len(run)}")
    if runs and not any(outcome.gold for outcome, source in zip(runs[0], named, strict=True) if source):
        raise InputError(f"expected entities in rows that name a source, found none among {len(named)} rows")
    strata = stratify(
        [[outcome for outcome, source in zip(run, named, strict=True) if source] for run in runs],
        [source for source in named if source],
        lengths,
        densities,
    )
    whole = strata.add_up(np.ones((1, strata.units)))
    every = np.ones((len(strata.sources), strata.strata), bool)
    common = np.tile((whole.rows[0] > 0).all(axis=0), (len(every), 1))
    sides = tuple(_Side(strata, places) for places in (every, common))
    means = [side.compared for side in sides]
    observed = figures(whole, np.arange(strata.seeds)[None], means)[0]
    drawn = strata.draw(means, draws, seed)
    return SourceComparison(
        seeds=strata.seeds,
        unnamed=sum(not source for source in named),
        types=tuple(strata.types[place] for place in sides[0].compared),
        held_types=tuple(strata.types[place] for place in sides[1].compared),
        lengths=tuple(lengths),
        densities=tuple(densities),
        strata=strata.strata,
        common=int(common[0].sum()),
        sources=tuple(_describe(strata, sides[0], whole.rows[0])),
        figures=tuple(_figures(strata, sides, observed, drawn)),
        differences=tuple(_differences(strata, sides, observed, drawn)),
    )


class _Side:
    """What is compared with the rows of these places (source, stratum): raw all of them, held those of common strata.

    `support` are the gold entities by source and type; `compared` the types (their places) that all sources label. The
    mean over these has the place after the last type.
    """

    def __init__(self, strata: Strata, places: Bool[np.ndarray, "source stratum"]) -> None:
        self.support = np.where(places[:, :, None], strata.gold, 0).sum(axis=1)
        self.compared: list[int] = np.flatnonzero((self.support > 0).all(axis=0)).tolist()
        self.columns = [*self.compared, len(strata.types)] if self.compared else []
        self._strata, self._places = strata, places

    def units(self, *sources: int) -> int:
        """The number of units that have rows of these sources."""
        return self._strata.units_of(self._places & np.isin(np.arange(len(self._places)), sources)[:, None])


def _describe(strata: Strata, side: _Side, rows: Float[np.ndarray, "source stratum"]) -> Iterator[SourceRows]:
    weights = row_weights(rows[None])[0]
    for place, name in enumerate(strata.sources):
        own, weight = rows[place], weights[place]
        held = weight > 0
        sums = (strata.words[place], strata.gold[place].sum(axis=1))
        yield SourceRows(
            source=name,
            rows=int(own.sum()),
            units=side.units(place),
            common=100 * float(own[held].sum() / own.sum()),
            effective=float(1 / (own * weight**2).sum()) if held.any() else 0.0,
            words=float(sums[0].sum() / own.sum()),
            entities=float(sums[1].sum() / own.sum()),
            held_words=float(weight @ sums[0]) if held.any() else None,
            held_entities=float(weight @ sums[1]) if held.any() else None,
        )


def _figures(strata: Strata, sides: Sequence[_Side], observed: np.ndarray, drawn: np.ndarray) -> Iterator[SourceFigure]:
    """The figures (2, source, column) with the intervals of their draws (draw, 2, source, column); see `figures`."""
    for place, name in enumerate(strata.sources):
        for column, type_ in enumerate((*strata.types, None)):
            supports, intervals = [], []
            for kind, side in enumerate(sides):
                own = side.support[place]
                supports.append(int(own[side.compared].sum() if type_ is None else own[column]))
                interval = None
                if supports[-1]:
                    value = float(observed[kind, place, column])
                    interval = Interval(value, *bounds(drawn[:, kind, place, column]), side.units(place))
                intervals.append(interval)
            yield SourceFigure(name, type_, *supports, *intervals)


def _differences(
    strata: Strata, sides: Sequence[_Side], observed: np.ndarray, drawn: np.ndarray
) -> Iterator[SourceDifference]:
    names = (*strata.types, None)
    found = [
        (
            (one, other, column, kind),
            judge(
                float(observed[kind, one, column] - observed[kind, other, column]),
                drawn[:, kind, one, column] - drawn[:, kind, other, column],
                side.units(one, other),
            ),
        )
        for one, other in combinations(range(len(strata.sources)), 2)
        for kind, side in enumerate(sides)
        for column in side.columns
    ]
    for ((one, other, column, kind), judged), adjusted in zip(found, holm([one.p for _, one in found]), strict=True):
        yield SourceDifference(
            source=strata.sources[one],
            other=strata.sources[other],
            type=names[column],
            held=bool(kind),
            difference=judged.difference,
            low=judged.low,
            high=judged.high,
            p=judged.p,
            adjusted=adjusted,
            units=judged.units,
        )
