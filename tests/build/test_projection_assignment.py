from itertools import pairwise, product

from hypothesis import given, settings
from hypothesis import strategies as st

from babelens.build.projection_assignment import Candidate, assign

CANDIDATES = st.lists(
    st.builds(
        lambda entity, start, length, score: Candidate(entity, start, start + length, score / 8),
        st.integers(0, 3),
        st.integers(0, 5),
        st.integers(1, 3),
        st.integers(1, 8),
    ),
    max_size=10,
)


def best(candidates):
    """The largest total of any choice, by trying them all; among those, the fewest swaps."""
    options = [[None, *(c for c in candidates if c.entity == entity)] for entity in range(4)]
    totals = []
    for choice in product(*options):
        chosen = sorted((c for c in choice if c), key=lambda c: c.start)
        if all(one.end <= other.start for one, other in pairwise(chosen)):
            swaps = sum(a.entity > b.entity for n, a in enumerate(chosen) for b in chosen[n + 1 :])
            totals.append((sum(c.score for c in chosen), -swaps))
    return max(totals)


@settings(deadline=None)
@given(CANDIDATES)
def test_no_other_choice_is_better(candidates):
    chosen = assign(candidates)
    assert all(entity == candidate.entity for entity, candidate in chosen.items())
    assert set(chosen.values()) <= set(candidates)
    ordered = sorted(chosen.values(), key=lambda c: c.start)
    assert all(one.end <= other.start for one, other in pairwise(ordered))
    swaps = sum(a.entity > b.entity for n, a in enumerate(ordered) for b in ordered[n + 1 :])
    assert (sum(c.score for c in chosen.values()), -swaps) == best(candidates)


def test_the_total_counts_and_not_the_best_single_place():
    candidates = [Candidate(0, 0, 1, 0.9), Candidate(0, 3, 4, 0.6), Candidate(1, 0, 1, 0.7)]
    assert assign(candidates) == {0: candidates[1], 1: candidates[2]}


def test_names_said_twice_keep_their_order():
    candidates = [Candidate(entity, place, place + 1, 1.0) for entity in range(6) for place in range(0, 12, 2)]
    assert {entity: c.start for entity, c in assign(candidates).items()} == {n: 2 * n for n in range(6)}


def test_many_entities_are_placed_too():
    candidates = [Candidate(entity, place, place + 1, 1.0) for entity in range(13) for place in range(13)]
    assert {entity: c.start for entity, c in assign(candidates).items()} == {n: n for n in range(13)}


def test_nothing_to_place():
    assert assign([]) == {}
