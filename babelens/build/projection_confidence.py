"""How surely a place is right, from how strongly all speaks for it and how strongly for its rivals.

The numbers are read off constructed parallel sentences (`benchmarks/projection.py`, seed 11, English and German as the
source, four sets of rates), and rounded down, most of all where sentences written by hand were harder: invented names
have fewer doubles than real ones, and the errors of the simulated translator are drawn independently. They are a prior
until annotators have judged translations of the system that one uses.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

_SURE: dict[str, Sequence[tuple[float, float]]] = {
    "both": ((0.0, 0.8), (0.9, 0.97), (0.95, 0.99), (1.0, 0.995)),
    "markers": ((0.0, 0.4), (0.5, 0.7), (0.85, 0.92), (1.0, 0.95)),
    "likeness": ((0.0, 0.3), (0.2, 0.6), (0.4, 0.8), (0.55, 0.93), (0.9, 0.97), (1.0, 0.985)),
    "vectors": ((0.0, 0.3), (0.4, 0.6), (0.8, 0.85), (1.0, 0.9)),
    "capitals": ((0.0, 0.1), (0.4, 0.3), (0.6, 0.5), (0.99, 0.6), (1.0, 0.8)),
}
"""By what a place was found: its strength, and the share of such places that is right; linear in between."""

_APART = {"both": 0.2, "markers": 0.9}
_BESIDE = {"both": 0.05, "markers": 0.3, "likeness": 0.1}
_UNSURE = 0.5


def confidence(by: str, strength: float, apart: float, beside: float) -> float:
    """The probability that a place is right.

    `strength` is what speaks for it, `apart` and `beside` that of its strongest rivals over its own: elsewhere in the
    text, and overlapping it. Two equal places without markers leave one in two.
    """
    points = _SURE[by]
    places = [place for place, _ in points]
    upper = min(max(bisect_right(places, strength), 1), len(points) - 1)
    (low, first), (high, last) = list(pairwise(points))[upper - 1]
    sure = first + (last - first) * min(1.0, (strength - low) / (high - low))
    wide = _UNSURE if strength < _UNSURE else _BESIDE.get(by, 0.0)
    apart, beside = min(1.0, apart), min(1.0, beside)
    return sure * (1 - _APART.get(by, 0.5) * apart**4) * (1 - wide * beside**2)
