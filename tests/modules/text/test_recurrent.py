from pathlib import Path

import msgspec
import pytest
import torch
from torch import nn

from babelens.modules.origin import Origin
from babelens.modules.text.recurrent import LockedDropout, Recurrent
from babelens.modules.text.vocabulary import UNKNOWN
from babelens.schema import InputError

SMALL = {"word_dim": 8, "hidden": 6}
ALL = {**SMALL, "layers": 2, "casing_dim": 3, "subwords": 40, "word_dropout": 0.1}


def build(sentences, **fields):
    torch.manual_seed(0)
    return Recurrent(**fields).build(Origin(words=lambda: sentences))


def by_hand(encoder, words: list[str], kind: str) -> torch.Tensor:
    """One sentence alone: characters word by word, then the two directions run apart, without packing."""
    vocabulary = encoder.tokens.vocabulary
    parts = []
    for word in words:
        vector = [encoder.words.weight[vocabulary.number(word)]]
        characters = torch.tensor(vocabulary.spell(word))
        if kind == "lstm":
            read = encoder.speller.lstm(encoder.speller.characters(characters)[None])[0][0]
            half = read.shape[1] // 2
            vector.append(torch.cat([read[-1, :half], read[0, half:]]))
        elif kind == "cnn":
            embedded = nn.functional.pad(encoder.speller.characters(characters), (0, 0, 1, 1))
            weight, bias = encoder.speller.filters.weight, encoder.speller.filters.bias
            answers = [torch.einsum("owk,kw->o", weight, embedded[n : n + 3]) + bias for n in range(len(characters))]
            vector.append(torch.stack(answers).amax(0))
        parts.append(torch.cat(vector))
    return encoder.layers[0](torch.stack(parts)[None])[0][0]


@pytest.mark.parametrize("characters", ["none", "lstm", "cnn"])
def test_states_by_hand_whatever_pads_them(characters, sentences):
    encoder = build(sentences, characters=characters, **SMALL).eval()
    rows = [*sentences, [], ["Unseen", "\u200b", "", "x" * 30]]
    encoded = encoder(encoder.tokens(rows))
    assert encoder.dim == 12
    for row, words in enumerate(rows):
        assert encoded.mask[row].sum() == len(words)
        assert (encoded.words[row, len(words) :] == 0).all()
        if words:
            expected = by_hand(encoder, words, characters)
            torch.testing.assert_close(encoded.words[row, : len(words)], expected, atol=1e-5, rtol=0)
            torch.testing.assert_close(encoded.pooled[row], expected.mean(0), atol=1e-5, rtol=0)
        else:
            assert (encoded.pooled[row] == 0).all()


@pytest.mark.parametrize("characters", ["none", "lstm", "cnn", "blocks"])
def test_batch_of_one_is_batch_of_many(characters, sentences):
    encoder = build(sentences, characters=characters, **ALL).eval()
    many = encoder(encoder.tokens(sentences))
    for row, words in enumerate(sentences):
        one = encoder(encoder.tokens([words]))
        torch.testing.assert_close(many.words[row, : len(words)], one.words[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(many.pooled[row], one.pooled[0], atol=1e-5, rtol=0)


def test_subwords_add_the_mean_of_their_buckets(sentences):
    encoder = build(sentences, subwords=30, **SMALL)
    text = encoder.eval().tokens([["Zürich"]])
    embedded = encoder._embed(text)[0, 0]
    grams = [encoder.subwords.weight[gram] for gram in text.grams]
    expected = encoder.words.weight[encoder.tokens.vocabulary.number("Zürich")] + torch.stack(grams).mean(0)
    torch.testing.assert_close(embedded, expected)


def test_words_seen_once_are_half_the_time_unknown(sentences):
    encoder = build([["often", "once", "often"]], **SMALL).train()
    often, once = (encoder.tokens.vocabulary.number(word) for word in ("often", "once"))
    words = torch.tensor([[often, once, 0]] * 4000)
    hidden = encoder._hide(words)
    assert (hidden[:, 0] == often).all() and (hidden[:, 2] == 0).all()
    assert 0.46 < (hidden[:, 1] == UNKNOWN).float().mean() < 0.54
    assert torch.equal(encoder.eval()._hide(words), words)


def test_word_dropout_hides_any_word_at_its_rate():
    encoder = build([["often", "once", "often"]], word_dropout=0.2, **SMALL).train()
    words = torch.full((4000, 1), encoder.tokens.vocabulary.number("often"))
    assert 0.17 < (encoder._hide(words) == UNKNOWN).float().mean() < 0.23


def test_rare_words_are_hidden_more_than_frequent_ones():
    encoder = build([["often"] * 30 + ["seldom"] * 2], rare=10.0, **SMALL).train()
    number = encoder.tokens.vocabulary.number
    words = torch.tensor([[number("often"), number("seldom")]] * 4000)
    often, seldom = (encoder._hide(words) == UNKNOWN).float().mean(0).tolist()
    assert often == pytest.approx(10 / 40, abs=0.03)
    assert seldom == pytest.approx(10 / 12, abs=0.03)


def test_normed_words_have_mean_zero_and_variance_one(sentences):
    encoder = build(sentences, normed=True, **SMALL).eval()
    states = encoder(encoder.tokens(sentences))
    words = states.words[states.mask]
    torch.testing.assert_close(words.mean(-1), torch.zeros(len(words)), atol=1e-5, rtol=0)
    torch.testing.assert_close(words.var(-1, unbiased=False), torch.ones(len(words)), atol=1e-2, rtol=0)


def test_unknown_word_is_learnt_in_training():
    encoder = build([["a", "b", "c", "d"]], **SMALL).train()
    encoder(encoder.tokens([["a", "b", "c", "d"]] * 8)).words.square().sum().backward()
    assert encoder.words.weight.grad[UNKNOWN].abs().sum() > 0
    assert encoder.words.weight.grad[0].abs().sum() == 0


def test_locked_dropout_hides_the_same_units_of_all_words():
    torch.manual_seed(0)
    dropout = LockedDropout(0.25)
    words = dropout(torch.ones(50, 7, 40))
    assert (words == words[:, :1]).all()
    assert words.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert 0.2 < (words[:, 0] == 0).float().mean() < 0.3
    assert not torch.equal(words[0], words[1])
    assert (dropout.eval()(torch.ones(2, 3, 4)) == 1).all()


@pytest.mark.parametrize("locked", [False, True])
def test_dropout_in_training_only(sentences, locked):
    encoder = build(sentences * 2, dropout=0.5, locked=locked, **SMALL)
    text = encoder.tokens(sentences)
    assert not torch.equal(encoder.train()(text).words, encoder(text).words)
    assert torch.equal(encoder.eval()(text).words, encoder(text).words)


@pytest.mark.parametrize("characters", ["none", "lstm", "cnn", "blocks"])
def test_rebuilt_from_its_folder(characters, tmp_path, sentences):
    made = build(sentences, characters=characters, **ALL).eval()
    made.save(tmp_path)
    declaration = msgspec.convert(msgspec.to_builtins(Recurrent(characters=characters, **ALL)), Recurrent)
    again = declaration.build(Origin(folder=tmp_path)).eval()
    again.load_state_dict(made.state_dict())
    assert torch.equal(again.hidden_share, made.hidden_share)
    rows = [*sentences, ["neu", "1999"]]
    assert torch.equal(again(again.tokens(rows)).words, made(made.tokens(rows)).words)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden": 0}, "hidden: expected 1 or more, found 0"),
        ({"subwords": -1}, "subwords: expected 0 or more, found -1"),
        ({"dropout": 1.0}, "dropout: expected a share from 0 to below 1, found 1.0"),
    ],
)
def test_mistakes_are_named(fields, message, sentences):
    with pytest.raises(InputError, match=message):
        build(sentences, **fields)


def test_needs_words_or_a_folder(tmp_path):
    with pytest.raises(InputError, match="found none"):
        Recurrent().build(Origin())
    with pytest.raises(InputError, match=r"vocabulary\.json"):
        Recurrent().build(Origin(folder=tmp_path))


FILE = ["el 1 1 1 1 1 1 1 1", "dice 2 2 2 2 2 2 2 2", "Curie 3 3 3 3 3 3 3 3", "unseen 4 4 4 4 4 4 4 4"]


@pytest.fixture
def vectors(tmp_path) -> str:
    path = tmp_path / "vectors.txt"
    path.write_text("\n".join(FILE) + "\n")
    return str(path)


@pytest.mark.parametrize("trained", [False, True])
def test_words_start_from_the_file(trained, sentences, vectors):
    encoder = build(sentences, vectors=vectors, vectors_trained=trained, **SMALL)
    encoder.train()
    encoder.hidden_share.zero_()
    embedded = encoder._embed(encoder.tokens([["El", "dice", "unseen", "Zürich"]]))[0]
    expected = torch.tensor([1.0, 2.0, 4.0]).unsqueeze(1).expand(3, 8)
    torch.testing.assert_close(embedded[:3], expected)
    torch.testing.assert_close(embedded[3], encoder.words.weight[encoder.tokens.vocabulary.number("Zürich")])
    embedded.sum().backward()
    assert encoder.words.weight.grad[encoder.tokens.vocabulary.number("Zürich")].abs().sum() > 0
    if trained:
        own = encoder.words.num_embeddings
        assert encoder.vectors.weight.grad[encoder.tokens.vocabulary.number("El") - own].abs().sum() > 0
        assert encoder.words.weight.grad[1:].count_nonzero() == 8
    else:
        assert not encoder.vectors.weight.requires_grad


def test_checkpoint_never_asks_for_the_file(sentences, vectors, tmp_path):
    made = build(sentences, vectors=vectors, **SMALL).eval()
    made.save(tmp_path)
    rows = [*sentences, ["unseen", "unknown"]]
    expected = made(made.tokens(rows)).words
    Path(vectors).unlink()
    again = Recurrent(vectors=vectors, **SMALL).build(Origin(folder=tmp_path)).eval()
    again.load_state_dict(made.state_dict())
    assert torch.equal(again(again.tokens(rows)).words, expected)
    assert again.coverage == made.coverage
    assert made.coverage.added == 1 and made.coverage.found == 3


def test_words_of_the_file_are_no_strangers(sentences, vectors):
    """Seen once, and yet never read as unknown, unless by the rates that hide any word."""
    encoder = build(sentences, vectors=vectors, **SMALL).train()
    number = encoder.tokens.vocabulary.number
    words = torch.tensor([[number("Curie"), number("Varsovie")]] * 2000)
    hidden = (encoder._hide(words) == UNKNOWN).float().mean(0).tolist()
    assert hidden[0] == 0 and 0.45 < hidden[1] < 0.55
    rates = build(sentences, vectors=vectors, rare=3.0, word_dropout=0.1, **SMALL).hidden_share
    assert rates[number("Curie")] == pytest.approx(3 / 4)
    assert rates[number("unseen")] == pytest.approx(0.1)


def test_vectors_of_another_width(sentences, vectors):
    with pytest.raises(InputError, match=r"vectors\.txt:1: expected vectors of word_dim = 300 numbers, found 8"):
        build(sentences, vectors=vectors)
    with pytest.raises(InputError, match="vectors_words: expected 0 or more, found -1"):
        build(sentences, vectors=vectors, vectors_words=-1, **SMALL)


@pytest.mark.parametrize("characters", ["lstm", "cnn", "blocks"])
def test_spelling_between_the_lstms(characters, sentences):
    encoder = build(sentences, characters=characters, joined="between", layers=2, casing_dim=3, **SMALL).eval()
    words = sentences[1]
    text = encoder.tokens([words, sentences[0]])
    spelled = encoder.speller(text.characters, text.spans)[text.spelling][0, : len(words)]
    embedded = torch.cat([encoder.words(text.words), encoder.casing(text.casing)], dim=-1)[0, : len(words)]
    first = encoder.layers[0](embedded[None])[0]
    second = encoder.layers[1](torch.cat([first, spelled[None]], dim=-1))[0][0]
    torch.testing.assert_close(encoder(text).words[0, : len(words)], second, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fields", [{"characters": "cnn"}, {"layers": 2}])
def test_joined_between_needs_two_layers_and_characters(fields, sentences):
    with pytest.raises(InputError, match=r"joined: expected .*below.*, found characters"):
        build(sentences, joined="between", **fields, **SMALL)


@pytest.mark.parametrize("joined", ["below", "between"])
@pytest.mark.parametrize("training", [False, True])
def test_gradient_everywhere_and_finite_in_half_precision(joined, training, sentences):
    encoder = build(sentences, characters="blocks", joined=joined, normed=True, **ALL).train(training)
    with torch.autocast("cpu", torch.bfloat16):
        words = encoder(encoder.tokens([*sentences, []])).words
    assert words.float().isfinite().all()
    words.float().square().sum().backward() if training else words.float()[..., 0].sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_the_forget_gates_start_open_where_that_is_declared():
    def build(forget_bias):
        torch.manual_seed(0)
        return Recurrent(word_dim=5, hidden=3, layers=2, forget_bias=forget_bias).build(Origin(words=lambda: [["a"]]))

    plain, open_ = build(0.0).state_dict(), build(1.5).state_dict()
    for name, weight in plain.items():
        moved = open_[name] - weight
        expected = torch.zeros_like(weight)
        if ".bias_ih" in name:
            expected[3:6] = 1.5
        torch.testing.assert_close(moved, expected)
