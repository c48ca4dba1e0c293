from collections import Counter, deque
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babelens.build.assemble_split import divide
from babelens.data.picture_marks import Marks
from babelens.data.split import tie_rows
from babelens.schema import InputError


def components(rows):
    """Rows that share a value of any field, directly or through others, found by walking from row to row."""
    near = {i: set() for i in range(len(rows))}
    for i, j in combinations(range(len(rows)), 2):
        if any(a is not None and a == b for a, b in zip(rows[i], rows[j], strict=True)):
            near[i].add(j)
            near[j].add(i)
    found, seen = [], set()
    for start in near:
        if start in seen:
            continue
        own, queue = set(), deque([start])
        while queue:
            row = queue.popleft()
            if row not in own:
                own.add(row)
                queue.extend(near[row] - own)
        seen |= own
        found.append(own)
    return found


def marks_of(rows, field):
    pairs = [(i, row[field]) for i, row in enumerate(rows) if row[field] is not None]
    return Marks(*np.array(pairs, np.int64).reshape(-1, 2).T)


shared = st.none() | st.integers(0, 30)
graphs = st.lists(st.tuples(shared, shared, shared, shared), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None)
@given(graphs, st.integers(0, 5), st.sampled_from([(8, 1, 1), (1, 1, 1), (3, 0, 1), (1, 0, 0)]), st.data())
def test_no_component_is_in_two_parts(rows, seed, shares, data):
    unit = tie_rows([marks_of(rows, field) for field in range(4)], len(rows))
    expected = components(rows)
    assert len(expected) == unit.max() + 1
    language = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows))))
    letters = st.lists(st.frozensets(st.sampled_from("ABC")), min_size=len(rows), max_size=len(rows))
    types = data.draw(letters)
    try:
        part = divide(unit, language, types, shares, seed=seed)
    except InputError as error:
        assert "none for" in str(error)
        return
    for own in expected:
        assert len({int(part[row]) for row in own}) == 1
    assert {int(number) for number in part} == {number for number, share in enumerate(shares) if share}
    train = {type_ for row, own in enumerate(types) if part[row] == 0 for type_ in own}
    assert train == {type_ for own in types for type_ in own}


def test_each_language_is_shared_out():
    sizes = {0: 2000, 1: 100, 2: 30}
    language = np.repeat(list(sizes), list(sizes.values()))
    part = divide(np.arange(len(language)), language, [frozenset()] * len(language), seed=1)
    for code, size in sizes.items():
        counts = Counter(part[language == code].tolist())
        assert [counts[0], counts[1], counts[2]] == [size * 8 // 10, size // 10, size // 10]


def test_large_units_leave_the_shares_near():
    draw = np.random.default_rng(3)
    sizes = draw.integers(1, 12, 300)
    unit = np.repeat(np.arange(300), sizes)
    language = draw.integers(0, 3, 300)[unit]
    part = divide(unit, language, [frozenset()] * len(unit), seed=2)
    for code in range(3):
        own = part[language == code]
        shares = np.bincount(own, minlength=3) / len(own)
        assert np.abs(shares - [0.8, 0.1, 0.1]).max() < 0.01


def test_the_seed_decides():
    unit, language, types = np.arange(100), np.zeros(100, int), [frozenset()] * 100
    one, same, other = (divide(unit, language, types, seed=seed) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


def test_one_large_unit_is_refused():
    with pytest.raises(InputError, match=r"found 50 rows in 1 units .* none for valid"):
        divide(np.zeros(50, int), np.zeros(50, int), [frozenset()] * 50)


def test_no_rows_are_refused():
    with pytest.raises(InputError, match="found 0 rows"):
        divide(np.zeros(0, int), np.zeros(0, int), [])
