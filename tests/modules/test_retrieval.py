"""Places, cosines and uniformity against loops over pairs."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import babelens.modules.retrieval as module
from babelens.modules.retrieval import STEPS, count_cosines, stand, uniformity, units


def cosine(one, other):
    """In whole steps."""
    return round((one @ other / (one.norm() * other.norm())).item() * STEPS)


# Small whole numbers: many vectors are alike or point the same way, so many cosines are tied.
vectors = st.lists(st.tuples(*[st.integers(-2, 2)] * 3).filter(any), min_size=1, max_size=7)


@settings(max_examples=80, deadline=None)
@given(vectors, vectors, st.data())
def test_places_are_those_of_the_definition(queries, candidates, data):
    groups = data.draw(st.lists(st.integers(0, 2), min_size=len(candidates), max_size=len(candidates)))
    own = data.draw(st.lists(st.sampled_from(groups), min_size=len(queries), max_size=len(queries)))
    queries, candidates = torch.tensor(queries).double(), torch.tensor(candidates).double()
    found = stand(units(queries), units(candidates), torch.tensor(own), torch.tensor(groups))
    for number, (query, group) in enumerate(zip(queries, own, strict=True)):
        values = [
            (cosine(query, candidate), other == group) for candidate, other in zip(candidates, groups, strict=True)
        ]
        best = max(value for value, right in values if right)
        expected = (
            sum(value > best for value, _ in values),
            sum(value == best and right for value, right in values),
            sum(value == best and not right for value, right in values),
        )
        assert tuple(int(part[number]) for part in found) == expected


@settings(max_examples=40, deadline=None)
@given(vectors, vectors, st.data())
def test_cosines_are_counted_pair_by_pair(texts, pictures, data):
    one, other = (
        data.draw(st.lists(st.integers(0, 2), min_size=len(side), max_size=len(side))) for side in (texts, pictures)
    )
    texts, pictures = torch.tensor(texts).double(), torch.tensor(pictures).double()
    counts = count_cosines(units(texts), units(pictures), torch.tensor(one), torch.tensor(other))
    for matched, found in zip((True, False), counts, strict=True):
        expected = [
            cosine(text, picture) + STEPS
            for text, group in zip(texts, one, strict=True)
            for picture, own in zip(pictures, other, strict=True)
            if (group == own) == matched
        ]
        assert {place: int(found[place]) for place in found.nonzero().flatten().tolist()} == Counter(expected)


def test_uniformity_is_the_mean_over_pairs_of_different_rows():
    rows = units(torch.randn(9, 4, generator=torch.Generator().manual_seed(0)))
    pairs = [
        math.exp(-2 * ((rows[one] - rows[other]) ** 2).sum().item())
        for one in range(9)
        for other in range(9)
        if one != other
    ]
    assert uniformity(rows) == pytest.approx(math.log(sum(pairs) / 72), rel=1e-5)
    assert uniformity(rows[:1].expand(5, 4)) == pytest.approx(0, abs=1e-5)
    assert uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(-8)
    assert uniformity(rows[:1]) is None and uniformity(rows[:0]) is None


def test_blocks_change_nothing(monkeypatch):
    generator = torch.Generator().manual_seed(1)
    texts, pictures = (units(torch.randn(rows, 5, generator=generator).double()) for rows in (23, 11))
    groups, own = torch.arange(23) % 11, torch.arange(11)

    def measured():
        directions = stand(texts, pictures, groups, own), stand(pictures, texts, own, groups)
        return [*directions[0], *directions[1], *count_cosines(texts, pictures, groups, own)], uniformity(texts)

    whole, even = measured()
    for size in (1, 30, 100):
        monkeypatch.setattr(module, "_BLOCK", size)
        parts, again = measured()
        assert all(torch.equal(one, other) for one, other in zip(whole, parts, strict=True))
        assert again == pytest.approx(even, rel=1e-6)


def test_what_differs_by_rounding_is_equal():
    row = units(torch.randn(1, 300, generator=torch.Generator().manual_seed(2)))
    noisy = row.repeat(50, 1) * (1 + 1e-7 * torch.randn(50, 300, generator=torch.Generator().manual_seed(3)))
    found = stand(row, noisy, torch.tensor([7]), torch.arange(50))
    assert [part.tolist() for part in found] == [[0], [1], [49]]
