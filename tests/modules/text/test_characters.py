import pytest
import torch
from torch import nn

from babelens.modules.text.characters import SPELLINGS, BlockSpeller, build_speller

KINDS = ["lstm", "cnn", "blocks"]
WORDS = ["I", "ab", "Zürich", "mañana", "x" * 29, "abcdefghijklmnopqrstuvwxyzabcd"]
LETTERS = sorted(set("".join(WORDS)))


def frame(words: list[str], width: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [[LETTERS.index(letter) + 2 for letter in word] for word in words]
    width = min(width, 30) if width else max(map(len, rows))
    framed = torch.tensor([row + [0] * (max(width, *map(len, rows)) - len(row)) for row in rows])
    return framed, torch.tensor([len(row) for row in rows])


def build(kind: str):
    torch.manual_seed(3)
    speller = build_speller(kind, len(LETTERS) + 2)
    assert speller is not None
    return speller


def blocks_by_hand(speller: BlockSpeller, word: str) -> torch.Tensor:
    """One word with plain loops: 30 places, of which only the word's own are ever other than zero."""
    places = [speller.characters.weight[LETTERS.index(letter) + 2] for letter in word]
    width = 30
    for filters, (before, read) in zip(speller.filters, [(0, 2), (1, 3), (1, 4)], strict=True):
        answers = []
        for place in range(len(places)):
            total = filters.bias.clone()
            for offset in range(read):
                source = place - before + offset
                if 0 <= source < len(places):
                    total = total + filters.weight[:, :, offset] @ places[source]
            answers.append(total.clamp(min=0))
        width //= 2
        pooled = []
        for place in range(min(width, (len(answers) + 1) // 2)):
            pair = answers[2 * place : 2 * place + 2]
            pooled.append(torch.stack(pair).amax(0))
        places = pooled
    norm = speller.norm
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    places = [(place - norm.running_mean) * scale + norm.bias for place in places]
    places += [torch.zeros(32)] * (3 - len(places))
    inner = (speller.inner.weight @ torch.cat(places) + speller.inner.bias).clamp(min=0)
    return speller.outer.weight @ inner + speller.outer.bias


def test_blocks_by_hand():
    speller = build("blocks").eval()
    with torch.no_grad():
        speller.norm.running_mean.uniform_(-0.2, 0.2)
        speller.norm.running_var.uniform_(0.5, 2)
        speller.norm.weight.uniform_(0.5, 2)
        speller.norm.bias.uniform_(-1, 1)
    expected = torch.stack([blocks_by_hand(speller, word) for word in WORDS])
    torch.testing.assert_close(speller(*frame(WORDS)), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_neither_padding_nor_neighbours_change_a_word(kind):
    speller = build(kind).train()
    speller(*frame(WORDS))
    speller.eval()
    together = speller(*frame(WORDS))
    assert together.shape == (len(WORDS), SPELLINGS[kind].dim)
    for place, word in enumerate(WORDS):
        torch.testing.assert_close(speller(*frame([word], 0))[0], together[place], atol=1e-5, rtol=0)


def test_norm_counts_places_within_words_only():
    """Mean and variance over the places of the words: 1 of "I" and "ab", 2 of 9 letters, 3 of 29."""
    words = ["I", "ab", "abcdefghi", "x" * 29]
    speller = build("blocks")
    speller.dropout.p = 0.0
    read: list[torch.Tensor] = []
    speller.norm.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    speller.train()(*frame(words))
    (places,) = read
    assert len(places) == 1 + 1 + 2 + 3
    expected = 0.9 * torch.zeros(32) + 0.1 * places.mean(0)
    torch.testing.assert_close(speller.norm.running_mean, expected, atol=1e-6, rtol=0)


def test_one_short_word_in_training_has_no_variance():
    speller = build("blocks").train()
    before = speller.norm.running_mean.clone()
    assert speller(*frame(["I"])).isfinite().all()
    assert torch.equal(speller.norm.running_mean, before)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_reaches_every_parameter_but_padding(kind):
    speller = build(kind).train()
    speller(*frame(WORDS)).square().sum().backward()
    for name, parameter in speller.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert speller.characters.weight.grad[0].abs().sum() == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [False, True])
def test_finite_in_half_precision(kind, training):
    speller: nn.Module = build(kind).train(training)
    with torch.autocast("cpu", torch.bfloat16):
        made = speller(*frame(WORDS))
    assert made.float().isfinite().all()
    made.float().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in speller.parameters())


def test_no_speller():
    assert build_speller("none", 5) is None
