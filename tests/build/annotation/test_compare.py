from collections import Counter
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from babelens.build.annotation.compare import compare
from babelens.build.annotation.spans import cut

TEXT = "Bank of England in New York City , Jo Li"


def span(words, type_):
    start = TEXT.index(words)
    return cut(TEXT, start, start + len(words), type_)


def kinds(first, second):
    return [(found.kind, found.first, found.second) for found in compare(first, second)]


def test_each_kind_by_hand():
    bank, city = span("Bank of England", "ORG"), span("New York", "LOC")
    assert kinds([bank, city], [city, bank]) == []
    assert kinds([bank], []) == [("missed", bank, None)]
    assert kinds([], [bank]) == [("missed", None, bank)]
    other = span("Bank of England", "LOC")
    assert kinds([bank, city], [other, city]) == [("type", bank, other)]
    longer = span("New York City", "LOC")
    assert kinds([bank, city], [bank, longer]) == [("boundary", city, longer)]
    both = span("New York City", "ORG")
    assert kinds([city], [both]) == [("both", city, both)]


def test_one_against_two_is_the_nearest_and_a_miss():
    whole, bank, england = span("Bank of England", "ORG"), span("Bank", "ORG"), span("England", "LOC")
    assert kinds([whole], [bank, england]) == [("missed", None, bank), ("both", whole, england)]
    # Four characters of each: the first in the text.
    first, second = span("New York", "LOC"), span("York City", "LOC")
    left, right = span("York", "LOC"), span("Jo Li", "PER")
    assert kinds([first], [left]) == [("boundary", first, left)]
    assert kinds([second, right], [left, right]) == [("boundary", second, left)]


def apart(data):
    marks = data.draw(st.lists(st.integers(0, 20), unique=True, max_size=8).map(sorted))
    pairs = zip(marks[::2], marks[1::2], strict=False)
    return [cut(TEXT, start, end, data.draw(st.sampled_from("XY"))) for start, end in pairs]


@given(st.data())
def test_every_entity_is_told_once_and_both_ways_agree(data):
    first, second = apart(data), apart(data)
    found = compare(first, second)
    same = set(first) & set(second)
    assert Counter(d.first for d in found if d.first) == Counter(set(first) - same)
    assert Counter(d.second for d in found if d.second) == Counter(set(second) - same)
    assert Counter(d.kind for d in found) == Counter(d.kind for d in compare(second, first))
    for d in found:
        if d.first and d.second:
            assert d.first.start < d.second.end and d.second.start < d.first.end
            same_place = (d.first.start, d.first.end) == (d.second.start, d.second.end)
            kind = {(True, False): "type", (False, True): "boundary", (False, False): "both"}
            assert d.kind == kind[same_place, d.first.type == d.second.type]
    for one, other in permutations([d for d in found if d.kind == "missed"], 2):
        # Nothing that was left on both sides could have been put together.
        if one.first and other.second:
            assert one.first.end <= other.second.start or other.second.end <= one.first.start
