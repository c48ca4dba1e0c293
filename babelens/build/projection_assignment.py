"""Which entity stands where: at most one place for an entity, no two in one place, and the most similarity in all."""

from collections.abc import Sequence
from dataclasses import dataclass

_STATES = 1024
_ORDER = 1e-6


@dataclass(frozen=True)
class Candidate:
    """A place that an entity may have: words `start` up to `end`, and how well it fits (above 0)."""

    entity: int
    start: int
    end: int
    score: float


def assign(candidates: Sequence[Candidate]) -> dict[int, Candidate]:
    """Choose places without overlap so that the sum of their scores is the largest.

    Where sums are equal (to one part in a million for each swap), the order of the entities is kept. The text is walked
    once from left to right with the set of entities that were placed so far, so the answer is exact up to ten entities;
    with more, the 1,024 best sets are followed at each word.
    """
    starts: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        starts.setdefault(candidate.start, []).append(candidate)
    states: list[dict[int, tuple[float, tuple[Candidate, ...]]]]
    states = [{} for _ in range(max((candidate.end for candidate in candidates), default=0) + 1)]
    states[0][0] = (0.0, ())
    for place in range(len(states) - 1):
        best = sorted(states[place].items(), key=lambda state: -state[1][0])[:_STATES]
        for placed, (total, chosen) in best:
            _keep(states[place + 1], placed, total, chosen)
            for candidate in starts.get(place, ()):
                if not placed >> candidate.entity & 1:
                    swaps = (placed >> candidate.entity).bit_count()
                    score = total + candidate.score - _ORDER * swaps
                    _keep(states[candidate.end], placed | 1 << candidate.entity, score, (*chosen, candidate))
        states[place] = {}
    _, chosen = max(states[-1].values(), key=lambda state: state[0])
    return {candidate.entity: candidate for candidate in chosen}


def _keep(
    states: dict[int, tuple[float, tuple[Candidate, ...]]], placed: int, total: float, chosen: tuple[Candidate, ...]
) -> None:
    known = states.get(placed)
    if known is None or total > known[0]:
        states[placed] = (total, chosen)
