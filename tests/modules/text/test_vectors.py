import gzip
import logging

import numpy as np
import pytest
import torch

from babelens.modules.text.vectors import Coverage, learn_with_vectors, read_vectors
from babelens.modules.text.vocabulary import UNKNOWN
from babelens.schema import InputError

LINES = ["the 1 2 3", "Apple 4 5 6", "bank -1 -2 -3", "000 7 8 9", "1998 1 9 8", "zürich .5 1e-2 -0", "never 0 0 1"]
TEXT = [["The", "Bank", "of", "Apple"], ["the", "bank", "in", "Zürich", "123", "456", "1998", "xX1", "xX2", "Xx2"]]


@pytest.fixture
def write(tmp_path):
    def written(lines, name="vectors.txt"):
        path = tmp_path / name
        content = "".join(f"{line}\n" for line in lines).encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return written


def learn(path, *, added=0, own=False, limit=100):
    return learn_with_vectors(TEXT, limit, path, 3, added=added, own=own)


def vector(loaded, word):
    plain = loaded.vocabulary.word_rows - loaded.vocabulary.vectored
    number = loaded.vocabulary.number(word)
    return loaded.table[number - plain].tolist() if number >= plain else None


@pytest.mark.parametrize("own", [False, True])
def test_every_word_finds_its_vector(write, own):
    loaded = learn(write(LINES), own=own)
    expected = {
        "The": [1, 2, 3],
        "the": [1, 2, 3],
        "THE": [1, 2, 3],
        "Bank": [-1, -2, -3],
        "Apple": [4, 5, 6],
        "Zürich": [0.5, 0.01, 0],
        "123": [7, 8, 9],
        "789": [7, 8, 9],
        "1998": [1, 9, 8],
        "xX1": None,
        "never": None,
        "apple": None,
    }
    for word, numbers in expected.items():
        assert vector(loaded, word) == (None if numbers is None else pytest.approx(numbers)), word


def test_words_without_a_vector_are_kept_as_without_a_file(write):
    vocabulary = learn(write(LINES)).vocabulary
    plain = vocabulary.words[: -vocabulary.vectored]
    assert plain == ("xX0", "Xx0", "in", "of")
    assert vocabulary.counts[:4] == (2, 1, 1, 1)
    assert set(vocabulary.words[4:]) == {"the", "bank", "Apple", "zürich", "000", "1998"}
    assert vocabulary.counts[vocabulary.words.index("the")] == 2
    assert vocabulary.number("never") == UNKNOWN
    limited = learn(write(LINES), limit=1).vocabulary
    assert limited.words[: -limited.vectored] == ("xX0",) and limited.vectored == 6


def test_own_rows_tell_cases_apart(write):
    shared, own = learn(write(LINES)).vocabulary, learn(write(LINES), own=True).vocabulary
    assert shared.number("Bank") == shared.number("bank")
    assert own.number("Bank") != own.number("bank")
    assert own.number("BANK") == own.number("bank")


def test_first_words_of_the_file_are_known_besides(write):
    loaded = learn(write([*LINES[-1:], "second 1 1 1", *LINES[:-1], "last 2 2 2"]), added=2)
    assert vector(loaded, "never") == [0, 0, 1] and vector(loaded, "Second") == [1, 1, 1]
    assert vector(loaded, "last") is None
    assert loaded.coverage.added == 2
    assert loaded.vocabulary.counts[-2:] == (0, 0)


def test_coverage_counted_by_hand(write, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="babelens"):
        coverage = learn(write(LINES), added=100).coverage
    # As written: the, bank, Apple, 1998. In lower case: The, Bank, Zürich. With zeros: 123, 456.
    assert coverage == Coverage("vectors.txt", 14, 4, 3, 2, 14, 9, 1)
    assert coverage.found == 9
    assert "9 of 14 training words" in caplog.text and "64.3 %" in caplog.text
    coverage.save(tmp_path)
    assert Coverage.load(tmp_path) == coverage
    assert Coverage.load(tmp_path / "nowhere") is None
    (tmp_path / "vectors.json").write_text("{}")
    with pytest.raises(InputError, match=r"vectors\.json: expected"):
        Coverage.load(tmp_path)


@pytest.mark.parametrize("name", ["vectors.vec", "vectors.vec.gz", "vectors.txt.gz"])
def test_header_and_packing(write, name):
    path = write(["7 3", *(f"{line} " for line in LINES), ""], name)
    found = read_vectors(path, 3, {"Apple"}, 1)
    assert {word: numbers.tolist() for word, numbers in found.items()} == {"the": [1, 2, 3], "Apple": [4, 5, 6]}
    assert all(numbers.dtype == np.float32 for numbers in found.values())


def test_odd_words(write):
    """Blanks in words, as in GloVe's 840B file; signs that `str.split` or `splitlines` would cut; one word twice."""
    lines = [
        "the 1 2 3",
        ". . . 4 5 6",
        "at name@domain.com 7 8 9",
        "a\u00a0b 1 1 1",
        "\u0085 2 2 2",
        " 3 3 3",
        "5 5 5 5",
    ]
    found = read_vectors(write([*lines, "the 9 9 9"]), 3, set(), 100)
    read = {word: numbers.tolist() for word, numbers in found.items()}
    expected = {"the": [1, 2, 3], ". . .": [4, 5, 6], "at name@domain.com": [7, 8, 9], "a\u00a0b": [1, 1, 1]}
    assert read == {**expected, "\u0085": [2, 2, 2], "": [3, 3, 3], "5": [5, 5, 5]}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["the 1 2"], r":1: expected vectors of word_dim = 3 numbers, found 2; set word_dim"),
        (["9 300", "the 1 2 3"], r":1: expected vectors of word_dim = 3 numbers, found 300"),
        (["the 1 2 3", "", "cat 1 2"], r":3: expected a word and 3 numbers, found 2 fields"),
        (["the 1 2 3", "cat 1 2 3 4"], r":2: expected a word and 3 numbers, found 4 fields"),
        (["the 1 2 3", "cat 1 x 3"], r":2: expected numbers after the word 'cat', found: .*x"),
        (["the 1 2 3", "cat 1 nan 3"], r":2: expected finite numbers after the word 'cat'"),
        (["the 1 2 3", "cat 1 1e300 3"], r":2: expected finite numbers after the word 'cat'"),
        ([], r": expected words with their vectors, found none"),
        (["7 3"], r": expected words with their vectors, found none"),
    ],
)
def test_mistakes_are_named_with_their_line(write, lines, message):
    with pytest.raises(InputError, match=r"vectors\.txt" + message):
        read_vectors(write(lines), 3, set(), 100)


def test_files_that_cannot_be_read(write, tmp_path):
    with pytest.raises(InputError, match=r"none\.txt: expected a readable file"):
        read_vectors(tmp_path / "none.txt", 3, set(), 100)
    with pytest.raises(InputError, match=r"glove\.zip: expected vectors as text .* unpack"):
        read_vectors(tmp_path / "glove.zip", 3, set(), 100)
    whole = write(LINES * 50, "cut.gz")
    whole.write_bytes(whole.read_bytes()[:60])
    with pytest.raises(InputError, match=r"cut\.gz: expected a readable file"):
        read_vectors(whole, 3, set(), 1000)
    with pytest.raises(InputError, match="found none of its 14 words"):
        learn(write(["никогда 1 2 3"]))


def test_table_follows_the_vocabulary(write):
    loaded = learn(write(LINES), added=100)
    assert loaded.table.shape == (loaded.vocabulary.vectored, 3) and loaded.table.dtype == torch.float32
