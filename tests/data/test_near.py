"""Texts that are nearly the same, against a comparison of all pairs."""

import string
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest

from babelens.data import read_corpus
from babelens.data.near import near_duplicates, plain


def shingles(text):
    return {text[at : at + 5] for at in range(len(text) - 4)}


def all_pairs(texts, threshold):
    """What `near_duplicates` promises, by comparing every text with every other."""
    first = {}
    expected = set()
    for number, text in enumerate(texts):
        if plain(text) and first.setdefault(plain(text), number) != number:
            expected.add((first[plain(text)], number))
    sets = [(number, shingles(form)) for form, number in first.items() if len(form) >= 5]
    for (one, a), (other, b) in combinations(sets, 2):
        if threshold * max(len(a), len(b)) <= min(len(a), len(b)):
            common = len(a & b)
            if common / (len(a) + len(b) - common) >= threshold:
                expected.add((one, other))
    return expected


def found(texts, threshold=0.8):
    pairs = near_duplicates(texts, threshold)
    assert pairs.dtype == np.int64 and (pairs[:, 0] < pairs[:, 1]).all()
    listed = [tuple(pair) for pair in pairs.tolist()]
    assert listed == sorted(set(listed))
    return set(listed)


def edited(rng, count):
    """Sentences of invented words, each with copies in which some words are others."""
    words = ["".join(rng.choice(list(string.ascii_lowercase), rng.integers(2, 9))) for _ in range(400)]
    texts = []
    for _ in range(count):
        sentence = [words[number] for number in rng.integers(0, len(words), rng.integers(1, 25))]
        texts.append(" ".join(sentence))
        for _ in range(rng.integers(0, 4)):
            copy = list(sentence)
            for at in rng.integers(0, len(copy), rng.integers(0, 3)):
                copy[at] = words[rng.integers(0, len(words))]
            texts.append(" ".join(copy))
    return texts


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
def test_pairs_are_those_of_a_comparison_of_all(threshold):
    texts = edited(np.random.default_rng(3), 400)
    expected = all_pairs(texts, threshold)
    got = found(texts, threshold)
    assert len(expected) > 100
    assert got <= expected
    assert len(got) >= 0.999 * len(expected)
    assert found(texts, threshold) == got


def test_pairs_at_the_threshold_itself_are_found_as_often_as_promised():
    # 54 shingles, of which the last 6 are others: 48 in common of 60.
    rng = np.random.default_rng(5)
    texts = []
    for _ in range(2000):
        letters = "".join(rng.choice(list(string.ascii_lowercase), 64))
        texts += [letters[:58], letters[:52] + letters[58:]]
    expected = {(at, at + 1) for at in range(0, len(texts), 2)}
    exact = {pair for pair in expected if len(shingles(texts[pair[0]]) & shingles(texts[pair[1]])) == 48}
    assert len(exact) > 1900
    assert len(found(texts) & exact) >= 0.998 * len(exact)


def test_texts_made_from_templates_are_found_as_often_as_promised():
    # What they have in common they share with all others of their template, so pairs are not missed independently.
    rng = np.random.default_rng(9)
    expected = missed = 0
    for _ in range(40):
        letters = "".join(rng.choice(list(string.ascii_lowercase + " "), 80))
        texts = [f"{letters} {rng.integers(0, 10**6)} {letters[: rng.integers(10, 40)]}" for _ in range(40)]
        wanted = all_pairs(texts, 0.8)
        expected += len(wanted)
        missed += len(wanted - found(texts))
    assert expected > 5000
    assert missed <= 0.001 * expected


def test_what_makes_no_other_text():
    texts = [
        "Jaguar opens a new factory in Halewood",
        "JAGUAR opens a new  factory in Hale wood https://t.co/x7atEq",
        "@JLR Jaguar opens a new factory in Halewood http : / /t . co/F3Bk2",
        "Jaguar opens a new factory in Halewood , www.jaguar.com/new",
        "Jaguar closes its old factory in Coventry",
    ]
    assert found(texts[:3] + texts[4:], 1.0) == {(0, 1), (0, 2)}
    assert found(texts, 0.8) == {(0, 1), (0, 2), (0, 3)}


def test_short_and_empty_texts():
    assert found(["ok", "OK", "okay", "", "", " ", "@anna ok", "@bert ok", "http://a.b", "http://c.d"]) == {(0, 1)}
    assert found([]) == found(["one text alone"]) == set()
    assert plain("http://a.b") == "http://a.b"


def test_many_copies_are_paired_with_the_first():
    assert found(["the same words again"] * 1000 + ["the same words again!"]) == {(0, n) for n in range(1, 1001)}


def test_a_threshold_out_of_range():
    for threshold in (0.0, -1.0, 1.1):
        with pytest.raises(ValueError, match="expected a threshold above 0"):
            near_duplicates(["a"], threshold)


@pytest.mark.shared
def test_real_tweets_against_all_pairs(shared):
    tweets = [example.text or "" for example in read_corpus(shared / "event-tweets")]
    tweets += [" ".join(example.words) for example in read_corpus(shared / "twitter2017" / "test.txt")]
    expected = all_pairs(tweets, 0.8)
    assert len(expected) > 100
    assert found(tweets) == expected


@pytest.mark.shared
def test_speed(shared):
    code = """
import sys, time
from babelens.data import read_corpus
from babelens.data.near import near_duplicates
texts = [" ".join(example.words) for example in read_corpus(sys.argv[1])]
started = time.process_time()
assert len(near_duplicates(texts)) > 100
print(time.process_time() - started)
"""
    # In a process of its own, because type checks on every call of the tests make it several times slower.
    command = [sys.executable, "-c", code, str(shared / "mmnerd-en")]
    assert float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) < 10
