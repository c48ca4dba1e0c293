import json
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from babelens.data import Corpus, DataError, read_corpus
from babelens.data.split import leaks, normalise, split, take_share, units

row = st.tuples(st.integers(0, 30), st.lists(st.integers(0, 12), max_size=2), st.none() | st.integers(0, 8))


def corpus_of(folder, rows):
    path = folder / "rows.jsonl"
    records = [
        {"tokens": [f"t{text}"], "images": [f"i{image}" for image in images]}
        | ({} if group is None else {"group": f"g{group}"})
        for text, images, group in rows
    ]
    path.write_text("\n".join(map(json.dumps, records)))
    return read_corpus(path)


def components(rows):
    """The rows that hang together, by walking from each row to all that share something with it."""
    shared = defaultdict(set)
    for number, (text, images, group) in enumerate(rows):
        for value in [("t", text), *(("i", image) for image in images), *([("g", group)] if group is not None else [])]:
            shared[value].add(number)
    seen, found = set(), []
    for number in range(len(rows)):
        if number in seen:
            continue
        part, todo = set(), {number}
        while todo:
            part |= todo
            todo = set().union(*(others for others in shared.values() if others & todo)) - part
        seen |= part
        found.append(part)
    return found


@given(rows=st.lists(row, min_size=1, max_size=40))
def test_units_are_the_connected_components(tmp_path_factory, rows):
    corpus = corpus_of(tmp_path_factory.mktemp("units"), rows)
    unit = units(corpus).tolist()
    found = defaultdict(set)
    for number, name in enumerate(unit):
        found[name].add(number)
    assert list(found.values()) == components(rows)


@given(rows=st.lists(row, min_size=1, max_size=40), seed=st.integers(0, 99))
def test_nothing_stands_in_two_parts(tmp_path_factory, rows, seed):
    corpus = corpus_of(tmp_path_factory.mktemp("parts"), rows)
    try:
        parts = split(corpus, seed=seed)
    except DataError:
        assert len(components(rows)) < 10
        return
    assert sum(map(len, parts)) == len(rows)
    assert sorted(example.id for part in parts for example in part) == sorted(example.id for example in corpus)
    assert leaks(dict(zip("abc", parts, strict=True))) == []
    share, rest = take_share(corpus, 0.7, seed=seed), take_share(corpus, 0.3, seed=seed, from_end=True)
    assert len(share) + len(rest) == len(rows)
    assert leaks({"a": share, "b": rest}) == []


def test_the_sizes_are_8_to_1_to_1_and_hang_on_the_seed(tmp_path):
    corpus = corpus_of(tmp_path, [(number, [], None) for number in range(1000)])
    parts = split(corpus, seed=4)
    assert [len(part) for part in parts] == [800, 100, 100]
    again, other = split(corpus, seed=4), split(corpus, seed=5)
    assert [list(part) for part in parts] == [list(part) for part in again]
    assert list(parts[2]) != list(other[2])
    drawn = [int(example.id.rpartition(":")[2]) for example in parts[2]]
    assert drawn == sorted(drawn)
    assert 350 < sum(drawn) / len(drawn) < 650


def test_a_corpus_that_hangs_together_is_not_split(tmp_path):
    corpus = corpus_of(tmp_path, [(number, [1], None) for number in range(50)])
    with pytest.raises(DataError, match="50 rows in 1 units that share a picture, a group or a text"):
        split(corpus)


def test_leaks_are_counted_by_kind(tmp_path):
    one = corpus_of(tmp_path, [(1, [1, 2], 1), (2, [], None), (2, [], None), (3, [], None)])
    rows = ['{"tokens": ["T", "2"], "image": "i2"}', '{"tokens": ["t3"], "group": "g1"}', '{"text": ""}']
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    other = read_corpus(tmp_path / "rows.jsonl")
    found = leaks({"a": one, "b": other})
    assert {leak.kind: (leak.count, *(example.id for example in leak.examples[0])) for leak in found} == {
        "picture": (1, "rows:1", "rows:1"),
        "group": (1, "rows:1", "rows:2"),
        "text": (1, "rows:4", "rows:2"),
        "similar text": (2, "rows:2", "rows:1"),
    }
    assert leaks({"a": one}) == []
    assert leaks({"a": one, "b": Corpus.concatenate([])}) == []


def test_normalised_texts():
    assert normalise(["Straße", "ＡB"]) == normalise(["STRASSE", "a", "b"])
    assert normalise(["e\u0301"]) == normalise(["É"])
    assert normalise(["a"]) != normalise(["b"])
