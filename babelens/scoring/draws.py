"""Draws of units and of seeds, for whatever figure is made of them."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int


def unit_draws(units: int, draws: int, seed: int, block: int) -> Iterator[Float[np.ndarray, "draw unit"]]:
    """How often each unit is drawn, in blocks of at most so many draws: as many units as there are, with replacement.

    The same `seed` gives the same draws, whatever they are used for.
    """
    stream = np.random.default_rng(seed).spawn(1)[0]
    for start in range(0, draws, block):
        weights = np.empty((min(block, draws - start), units))
        for row in weights:
            row[:] = np.bincount(stream.integers(units, size=units), minlength=units)
        yield weights


def seed_draws(seeds: Sequence[int], draws: int, seed: int) -> list[Int[np.ndarray, "draw seed"]]:
    """Which of its seeds are drawn for each cell: as many as it has, with replacement, each cell apart.

    `seeds` says how many each has. The same `seed` gives the draws of `significance.bootstrap`.
    """
    _, *streams = np.random.default_rng(seed).spawn(1 + len(seeds))
    return [stream.integers(count, size=(draws, count)) for count, stream in zip(seeds, streams, strict=True)]


def bounds(drawn: Float[np.ndarray, " draw"]) -> tuple[float, float]:
    """The 95 % percentile interval of a figure; draws in which it is not defined (NaN) are left out."""
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)
