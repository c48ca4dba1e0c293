import pickle
from itertools import pairwise

import pytest
import torch
from transformers import AutoTokenizer

from babelens.modules.text.tokens import TextInput, WordTokenizer
from babelens.modules.text.wordpieces import train_wordpieces

ODD = ["\u200b", "\ufffd", "\xad", "\uf02d", "\x80", "\x00", "\u2028", "", "\ud83d", "\u3000"]


def words_of(text: TextInput, row: int) -> list[tuple[int, ...]]:
    """The sub-tokens between first and last of each word of a row."""
    flat, count = text.ids.flatten().tolist(), int(text.mask[row].sum())
    firsts, lasts = text.first[row, :count].tolist(), text.last[row, :count].tolist()
    return [tuple(flat[first : last + 1]) for first, last in zip(firsts, lasts, strict=True)]


def with_dropped_words(tokenizer, sentences: list[list[str]]) -> list[list[str]]:
    """The sentences with a word that the tokenizer, asked for that word alone, answers with nothing."""
    distinct = sorted({word for words in sentences for word in words})
    pieces = tokenizer(distinct, add_special_tokens=False)["input_ids"]
    dropped = {word for word, ids in zip(distinct, pieces, strict=True) if not ids}
    return [words for words in sentences if not dropped.isdisjoint(words)]


def assert_aligned(tokenizer, tokens: WordTokenizer, sentences: list[list[str]]) -> int:
    """Hold every word against the tokenizer's own alignment; count the words that it drops."""
    dropped = 0
    for start in range(0, len(sentences), 64):
        rows = sentences[start : start + 64]
        text = tokens(rows)
        oracle = tokenizer(rows, is_split_into_words=True, add_special_tokens=False)
        unknown = 0
        for row, words in enumerate(rows):
            expected = [[] for _ in words]
            for number, word in zip(oracle["input_ids"][row], oracle.word_ids(row), strict=True):
                expected[word].append(number)
            unknown += sum(not ids for ids in expected)
            assert words_of(text, row) == [tuple(ids) or (tokenizer.unk_token_id,) for ids in expected]
            owned = text.owner[text.window[row]]
            width = text.mask.shape[1]
            assert sorted(set(owned[owned >= 0].tolist())) == [row * width + place for place in range(len(words))]
        assert text.unknown == unknown and text.lost == 0
        assert text.mask.sum(1).tolist() == [len(words) for words in rows]
        dropped += unknown
    return dropped


@pytest.mark.shared
def test_real_sentences_keep_every_word_with_a_scratch_tokenizer(mmnerd):
    tokenizer = train_wordpieces(mmnerd["valid"], 2000)
    tokens = WordTokenizer(tokenizer, 4096)
    bare = with_dropped_words(tokenizer, mmnerd["train"])
    assert len(bare) >= 4
    assert assert_aligned(tokenizer, tokens, bare + mmnerd["valid"][:800]) >= len(bare)


@pytest.mark.shared
def test_real_sentences_keep_every_word_with_a_real_tokenizer(mmnerd, minilm):
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    tokens = WordTokenizer(tokenizer, 4096)
    bare = with_dropped_words(tokenizer, mmnerd["train"])
    assert len(bare) >= 30
    assert assert_aligned(tokenizer, tokens, bare + mmnerd["test"][:800]) >= len(bare)


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm_roberta"])
def test_odd_words_keep_their_place(family, request, sentences):
    tokenizer = AutoTokenizer.from_pretrained(request.getfixturevalue(family))
    tokens = WordTokenizer(tokenizer, 200)
    plain = tokens([sentences[0]])
    mixed = tokens([[word for known in sentences[0] for word in (known, *ODD)]])
    assert words_of(mixed, 0)[:: len(ODD) + 1] == words_of(plain, 0)
    assert all(words_of(mixed, 0))
    if family == "bert":
        assert mixed.unknown == len(ODD) * len(sentences[0])
        assert set(words_of(mixed, 0)[1 : len(ODD) + 1]) == {(tokenizer.unk_token_id,)}


def test_byte_level_words_read_as_after_a_blank(roberta, sentences):
    """The oracle is the whole sentence as running text: words and blanks."""
    tokenizer = AutoTokenizer.from_pretrained(roberta)
    text = WordTokenizer(tokenizer, 100)(sentences)
    for row, words in enumerate(sentences):
        running = tokenizer(" " + " ".join(words))["input_ids"]
        assert text.ids[row][text.attention[row]].tolist() == running
        assert text.ids[row][~text.attention[row]].tolist() == [1] * int((~text.attention[row]).sum())


def test_unigram_words_read_as_in_running_text(xlm_roberta, sentences):
    tokenizer = AutoTokenizer.from_pretrained(xlm_roberta)
    text = WordTokenizer(tokenizer, 100)(sentences)
    for row, words in enumerate(sentences):
        assert text.ids[row][text.attention[row]].tolist() == tokenizer(" ".join(words))["input_ids"]


@pytest.mark.parametrize("word", ["[SEP]", "a[MASK]b", "[PAD]"])
def test_control_tokens_in_a_text_are_text(bert, word):
    tokenizer = AutoTokenizer.from_pretrained(bert)
    text = WordTokenizer(tokenizer, 24)([["Marie", word, "Curie"]])
    ids = text.ids[0].tolist()
    assert ids.count(tokenizer.sep_token_id) == 1 and ids[-1] == tokenizer.sep_token_id
    assert tokenizer.mask_token_id not in ids and tokenizer.pad_token_id not in ids


def test_pickled_and_cleared_cache_answer_alike(bert, sentences, monkeypatch):
    tokens = WordTokenizer(AutoTokenizer.from_pretrained(bert), 24)
    expected = tokens(sentences)
    again = pickle.loads(pickle.dumps(tokens))
    monkeypatch.setattr("babelens.modules.text.tokens._CACHED_WORDS", 8)
    for _ in range(2):
        for number, row in enumerate(sentences):
            assert words_of(again([row]), 0) == words_of(expected, number)
    assert len(again._cache) <= 8 + max(map(len, sentences))


def test_to_moves_every_tensor(bert, sentences):
    text = WordTokenizer(AutoTokenizer.from_pretrained(bert), 24)(sentences).to("meta")
    assert {value.device.type for value in vars(text).values() if isinstance(value, torch.Tensor)} == {"meta"}


def test_empty_rows(bert):
    text = WordTokenizer(AutoTokenizer.from_pretrained(bert), 24)([[], ["Marie"], []])
    assert text.mask.tolist() == [[False], [True], [False]]
    assert text.attention.sum(1).tolist()[0] == 2
    with pytest.raises(ValueError, match="expected at least one sentence"):
        WordTokenizer(AutoTokenizer.from_pretrained(bert), 24)([])


def test_windows_overlap_and_keep_words_whole(bert, sentences):
    """Limits are those of the declaration: 24 with [CLS] and [SEP], so windows of 22 sub-tokens."""
    tokenizer = AutoTokenizer.from_pretrained(bert)
    tokens = WordTokenizer(tokenizer, 24)
    words = [word for _ in range(6) for sentence in sentences for word in sentence]
    text = tokens([["Marie"], words, ["Curie"]])
    assert text.window[0] == 0 and text.window[2] == len(text.ids) - 1
    assert words_of(text, 1) == [tokens.pieces(word) for word in words]
    width = text.mask.shape[1]
    spans = []
    for number in range(1, len(text.ids) - 1):
        owner = text.owner[number]
        inside = owner[owner >= 0]
        assert (inside // width == 1).all()
        places = inside % width
        assert torch.equal(places, places.sort().values)
        for place in places.unique().tolist():
            assert (places == place).sum() == len(tokens.pieces(words[place]))
        spans.append((int(places[0]), int(places[-1]) + 1))
    assert spans[0][0] == 0 and spans[-1][1] == len(words)
    sizes = [len(tokens.pieces(word)) for word in words]
    for (start, end), (following, _) in pairwise(spans):
        assert start < following < end
        assert sum(sizes[start:following]) <= 22 // 2 + max(sizes) or (following, len(words)) == spans[-1]
    for place in range(len(words)):
        best = max(
            (n for n, (start, end) in enumerate(spans, 1) if start <= place < end),
            key=lambda n: _room(spans[n - 1], place, sizes),
        )
        home = int(text.first[1, place]) // text.ids.shape[1]
        assert _room(spans[home - 1], place, sizes) == _room(spans[best - 1], place, sizes)


def _room(span: tuple[int, int], place: int, sizes: list[int]) -> float:
    start, end = span
    before = sum(sizes[start:place]) if start else float("inf")
    after = sum(sizes[place + 1 : end]) if end < len(sizes) else float("inf")
    return min(before, after)


def test_only_a_word_longer_than_a_window_loses_subtokens(bert):
    tokenizer = AutoTokenizer.from_pretrained(bert)
    tokens = WordTokenizer(tokenizer, 24)
    long = "ab" * 30
    size = len(tokens.pieces(long))
    assert size > 22
    text = tokens([["Marie", long, "Curie"]])
    assert text.lost == size - 22
    assert words_of(text, 0) == [tokens.pieces("Marie"), tokens.pieces(long)[:22], tokens.pieces("Curie")]
