import pytest

from babelens.modules.text.vocabulary import UNKNOWN, Vocabulary, hash_grams, zero_digits
from babelens.schema import InputError


def test_learns_most_frequent_words_with_digits_as_zero():
    learnt = Vocabulary.learn([["b", "a", "a", "1998"], ["2004", "a", "c", "x1"]], limit=3)
    assert learnt.words == ("a", "0000", "b")
    assert learnt.counts == (3, 2, 1)
    assert learnt.characters[0] == "a" and set(learnt.characters) == set("abcx1998204")
    assert learnt.word_rows == 5


def test_looks_up_as_written_then_lower_then_zeros():
    vocabulary = Vocabulary(("Bank", "bank", "0000", "covid-00"), (1, 1, 1, 1), ("B",))
    expected = {"Bank": 2, "bank": 3, "BANK": 3, "1987": 4, "COVID-19": 5, "Banks": UNKNOWN, "": UNKNOWN}
    assert {word: vocabulary.number(word) for word in expected} == expected
    assert vocabulary.spell("BxB") == [2, UNKNOWN, 2]
    assert vocabulary.spell("") == [UNKNOWN]


def test_digits_of_any_script():
    assert zero_digits("٢٠٢٤-x1") == "0000-x0"
    assert zero_digits("Zürich") == "Zürich"


def test_saved_and_read_back(tmp_path):
    learnt = Vocabulary.learn([["Zürich", "\u2028", "\ud83d", "東京", "\x00", ""]], limit=100)
    learnt.save(tmp_path)
    assert Vocabulary.load(tmp_path) == learnt
    assert Vocabulary.load(tmp_path).number("\ud83d") == learnt.number("\ud83d") != UNKNOWN


@pytest.mark.parametrize(
    "content", [None, "{", "[]", '{"words": ["a"]}', '{"words": ["a"], "counts": [], "characters": []}']
)
def test_broken_file_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "vocabulary.json").write_text(content)
    with pytest.raises(InputError, match=r"vocabulary\.json: expected"):
        Vocabulary.load(tmp_path)


def test_grams_counted_by_hand():
    """<abc> holds 3 grams of 3, 2 of 4 and 1 of 5; crc32 of "<ab" is a published algorithm's, so never salted."""
    buckets = 2**32
    grams = hash_grams("abc", buckets)
    assert len(grams) == len(set(grams)) == 6
    assert grams[0] == _crc32(b"<ab")
    assert grams[-1] == _crc32(b"<abc>")
    assert hash_grams("", buckets) == []
    assert set(hash_grams("abcd", buckets)) & set(grams) == {_crc32(b"<ab"), _crc32(b"abc"), _crc32(b"<abc")}
    assert max(hash_grams("Donaudampfschifffahrt", 7)) < 7


def _crc32(data: bytes) -> int:
    """CRC-32 bit by bit, from its polynomial."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
    return value ^ 0xFFFFFFFF
