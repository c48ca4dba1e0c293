import pickle

import pytest
import torch

from babelens.modules.text.casing import Casing
from babelens.modules.text.spelling import WordSpeller
from babelens.modules.text.vocabulary import Vocabulary, hash_grams

ROWS = [["Ann", "saw", "Ann", "."], [], ["Bob", "\u200b"]]


@pytest.fixture
def speller() -> WordSpeller:
    return WordSpeller(Vocabulary.learn(ROWS, 100), characters=64, buckets=50)


def test_every_place_shows_its_own_word(speller):
    text = speller(ROWS)
    vocabulary = speller.vocabulary
    for row, words in enumerate(ROWS):
        assert text.mask[row].tolist() == [True] * len(words) + [False] * (4 - len(words))
        for place, word in enumerate(words):
            number = int(text.spelling[row, place])
            assert text.words[row, place] == vocabulary.number(word)
            span = int(text.spans[number])
            assert text.characters[number, :span].tolist() == vocabulary.spell(word)
            assert (text.characters[number, span:] == 0).all()
            ends = [*text.offsets.tolist(), len(text.grams)]
            assert text.grams[ends[number] : ends[number + 1]].tolist() == hash_grams(word, 50)
    assert text.lengths.tolist() == [4, 0, 2]
    assert text.spelling[0, 0] == text.spelling[0, 2]
    assert len(text.characters) == 5
    assert text.casing[2].tolist() == [Casing.INITIAL, Casing.OTHER, 0, 0]


def test_long_word_shows_both_ends(speller):
    word = "A" * 40 + "n" * 100 + "b" * 40
    text = speller([[word]])
    assert text.characters[0].tolist() == speller.vocabulary.spell("A" * 32 + "b" * 32)
    assert len(text.grams) == len(hash_grams(word, 50))


@pytest.mark.parametrize(("characters", "shown"), [(0, ""), (4, "abgh"), (8, "abcdefgh"), (30, "abcdefgh")])
def test_at_most_so_many_characters(characters, shown):
    speller = WordSpeller(Vocabulary.learn([["abcdefgh"]], 100), characters, 0)
    numbers = speller([["abcdefgh"]]).characters[0].tolist()
    assert numbers == (speller.vocabulary.spell(shown) if shown else [])


def test_pickled_answers_alike(speller):
    again = pickle.loads(pickle.dumps(speller))
    for mine, other in zip(vars(speller(ROWS)).values(), vars(again(ROWS)).values(), strict=True):
        assert torch.equal(mine, other)


def test_lengths_stay_in_main_memory(speller):
    moved = speller(ROWS).to("meta")
    kinds = {name: value.device.type for name, value in vars(moved).items()}
    assert {name for name, kind in kinds.items() if kind == "cpu"} == {"lengths", "spans"}


def test_no_sentence(speller):
    with pytest.raises(ValueError, match="expected at least one sentence"):
        speller([])
    assert not speller([[], []]).mask.any()
