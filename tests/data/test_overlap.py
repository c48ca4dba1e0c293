import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from babelens.data import Corpus, read_corpus
from babelens.data.overlap import overlap, tied_units
from babelens.data.split import units

LONG = "The new factory of Jaguar in Halewood near Liverpool was opened by the mayor on Monday morning"


def write(folder, rows, files=()):
    """A corpus of rows as JSON lines, of whose pictures `files` are there."""
    (folder / "images").mkdir(parents=True)
    for name, content in dict(files).items():
        (folder / "images" / name).write_bytes(content)
    lines = [
        json.dumps({"tokens": words.split(), "ner_tags": ["O"] * len(words.split()), **more}) for words, more in rows
    ]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_corpus(folder / "rows.jsonl")


def test_what_a_row_shares(tmp_path):
    training = write(
        tmp_path / "a",
        [(LONG, {}), ("b", {"image": "p"}), ("c", {"group": "7"}), ("d", {"image": "17_06_4705"}), ("", {})],
        {"p.jpg": b"123"},
    )
    test = write(
        tmp_path / "b",
        [
            (LONG, {}),
            (LONG.upper(), {}),
            (f"{LONG} .", {}),
            ("x", {"image": "q"}),
            ("y", {"group": "7"}),
            ("z", {"image": "17_06_4705"}),
            ("B", {"images": ["q", "none"]}),
            ("nothing", {"image": "p"}),
            ("", {}),
        ],
        {"q.png": b"123", "p.jpg": b"4"},
    )
    assert overlap(training, test) == [
        ("text", "similar text", "near text"),
        ("similar text", "near text"),
        ("near text",),
        ("picture",),
        ("group",),
        ("picture name",),
        ("picture", "similar text", "near text"),
        (),
        (),
    ]
    assert overlap(training, test, near=False)[:3] == [("text", "similar text"), ("similar text",), ()]
    # A joined training part shares what its parts do.
    halves = Corpus.concatenate([training.select([3, 4]), training.select([0, 1, 2])])
    assert overlap(halves, test) == overlap(training, test)
    assert overlap(training.select([]), test) == [()] * 9 and overlap(training, test.select([])) == []


def test_units_are_those_of_a_search_through_all_rows(tmp_path):
    rng = np.random.default_rng(0)
    words = [f"word{number}" for number in range(60)]
    rows = []
    for _ in range(80):
        text = " ".join(words[at] for at in rng.integers(0, 60, 12))
        more = {"image": f"p{rng.integers(0, 100)}"} if rng.random() < 0.5 else {}
        if rng.random() < 0.2:
            more["group"] = str(rng.integers(0, 12))
        rows.append((text, more))
        if rng.random() < 0.3:
            rows.append((f"{text} indeed", {}))
    corpus = write(tmp_path / "a", [rows[at] for at in rng.permutation(len(rows))])

    def tied(one, other):
        a, b = corpus[one], corpus[other]
        longer = sorted(("".join(a.words), "".join(b.words)), key=len)
        return (
            set(a.images) & set(b.images)
            or (a.group is not None and a.group == b.group)
            or longer[1] in (longer[0], f"{longer[0]}indeed")
        )

    expected = list(range(len(corpus)))
    for one in range(len(corpus)):
        for other in range(one):
            if tied(one, other) and expected[one] != expected[other]:
                low, high = sorted((expected[one], expected[other]))
                expected = [low if unit == high else unit for unit in expected]
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys(expected))}
    got = tied_units(corpus)
    assert got.tolist() == [numbers[unit] for unit in expected]
    assert len(set(got.tolist())) < len(set(units(corpus).tolist())) < len(corpus)
    assert tied_units(corpus, near=False).tolist() == units(corpus).tolist()


def test_units_of_several_corpora(tmp_path):
    one = write(tmp_path / "a", [("x", {}), (LONG, {"image": "16_05_01_6"})])
    other = write(tmp_path / "b", [("y", {}), ("french", {"image": "16_05_01_6"}), (f"{LONG} !", {})])
    assert tied_units([one, other]).tolist() == [0, 1, 2, 1, 1]
    assert tied_units([]).tolist() == []


@pytest.mark.shared
def test_tweets_of_twitter_2017_in_mmnerd(shared):
    # In a process of its own, because type checks on every call of the tests make it several times slower.
    code = """
import json, sys
from babelens.data import Corpus, read_corpus, read_split
from babelens.data.overlap import overlap
training = read_split(sys.argv[1] + "/mmnerd-en", "train")
tests = [read_split(sys.argv[1] + "/twitter2017", "test"), read_corpus(sys.argv[1] + "/twitter-photos/pairs.txt")]
print(json.dumps(overlap(training, Corpus.concatenate(tests))))
"""
    command = [sys.executable, "-c", code, str(shared)]
    kinds = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    tweets, photos = kinds[:723], [tuple(own) for own in kinds[723:]]
    assert Counter(kind for own in tweets for kind in own) == {
        "picture name": 350,
        "text": 342,
        "similar text": 351,
        "near text": 351,
    }
    assert Counter(photos) == {(): 25, ("picture name", "text", "similar text", "near text"): 5}


@pytest.mark.shared
def test_units_of_tweets_that_share_pictures(shared):
    assert tied_units(read_corpus(shared / "event-tweets")).max() + 1 == 64
