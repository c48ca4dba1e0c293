"""The collaboration module against a loop over heads, words and regions, and against the library's attention."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from babelens.modules.fusion.cross_attention import CrossAttention

DIM, HEADS = 8, 2
MASK = torch.tensor([[True] * 5, [True, False, True, False, False], [False] * 5])


def real(words):
    return torch.ones(words.shape[:2], dtype=torch.bool)


def fuse(module, words, regions, mask):
    return module(words, real(words), regions, mask).words


def looks(module, words, regions, mask):
    return module.weights(words, real(words), regions, mask)


def build(**fields):
    torch.manual_seed(0)
    module = CrossAttention(heads=HEADS, expansion=3, **fields).build(DIM, DIM)
    for norm in (module.attention_norm, module.perceptron_norm):
        if norm is not None:
            nn.init.normal_(norm.weight, 1.0, 0.3)
            nn.init.normal_(norm.bias)
    return module.eval()


@pytest.fixture
def module():
    return build(dropout=0.1)


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 4, DIM, generator=generator), torch.randn(3, 5, DIM, generator=generator) * 3, MASK


def by_hand(module, words, regions, mask):
    """Equations 11 to 14 with loops over rows, heads and words."""
    part = DIM // HEADS
    weights = torch.zeros(len(words), HEADS, words.shape[1], regions.shape[1])
    fused = torch.zeros_like(words)
    for row in range(len(words)):
        for word in range(words.shape[1]):
            pieces = []
            for head in range(HEADS):
                own = slice(head * part, (head + 1) * part)
                asks = module.query or module.key
                query = asks.weight[own] @ words[row, word] + asks.bias[own]
                scores, values = [], []
                for region in torch.where(mask[row])[0].tolist():
                    key = module.key.weight[own] @ regions[row, region] + module.key.bias[own]
                    scores.append(math.exp(float(query @ key) / math.sqrt(DIM / HEADS)))
                    values.append((region, module.value.weight[own] @ regions[row, region] + module.value.bias[own]))
                piece = torch.zeros(part)
                for score, (region, value) in zip(scores, values, strict=True):
                    weights[row, head, word, region] = score / sum(scores)
                    piece = piece + value * score / sum(scores)
                pieces.append(piece)
            context = module.output.weight @ torch.cat(pieces) + module.output.bias
            if not mask[row].any():
                context = torch.zeros(DIM)
            aware = norm(words[row, word] + context, module.attention_norm)
            if module.perceptron is None:
                fused[row, word] = aware
                continue
            inner = module.perceptron[0].weight @ aware + module.perceptron[0].bias
            inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
            outer = module.perceptron[2].weight @ inner + module.perceptron[2].bias
            fused[row, word] = norm(aware + outer, module.perceptron_norm)
    return fused, weights


def norm(vector, layer):
    spread = ((vector - vector.mean()) ** 2).mean()
    return (vector - vector.mean()) / torch.sqrt(spread + 1e-5) * layer.weight + layer.bias


def test_equals_the_equations(module, inputs):
    with torch.no_grad():
        fused, weights = by_hand(module, *inputs)
        torch.testing.assert_close(fuse(module, *inputs), fused, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(looks(module, *inputs), weights, atol=1e-6, rtol=1e-5)


PUBLISHED = {"query": "key", "perceptron": False, "copies": True, "attention_dropout": 0.1}


@pytest.mark.parametrize("fields", [{"query": "key"}, {"perceptron": False}, PUBLISHED], ids=lambda one: "-".join(one))
def test_the_published_layer_equals_the_equations(inputs, fields):
    module = build(**fields)
    names = {name.split(".")[0] for name, _ in module.named_parameters()}
    assert ("query" in names) == ("query" not in fields)
    assert ("perceptron" in names) == ("perceptron_norm" in names) == ("perceptron" not in fields)
    with torch.no_grad():
        fused, weights = by_hand(module, *inputs)
        torch.testing.assert_close(fuse(module, *inputs), fused, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(looks(module, *inputs), weights, atol=1e-6, rtol=1e-5)
    fuse(module, *inputs).square().sum().backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in module.parameters())


def test_over_one_region_words_do_not_matter_and_the_keys_learn_nothing(inputs):
    module = build(**PUBLISHED)
    words, regions, mask = inputs[0], inputs[1][:, :1], torch.tensor([[True], [True], [False]])
    value = module.output(module.value(regions)) * mask[:, :, None]
    torch.testing.assert_close(fuse(module, words, regions, mask), module.attention_norm(words + value))
    fuse(module, words, regions, mask).square().sum().backward()
    assert module.key.weight.grad is not None and module.key.weight.grad.abs().max() < 1e-6


@pytest.mark.parametrize("copies", [False, True])
def test_dropout_on_probabilities_falls_on_each_copy_by_itself(copies):
    """Of n copies k are left: the value comes through k / (n (1 - p)) times, in each head of each word."""
    module = build(dropout=0.0, attention_dropout=0.5, copies=copies).train()
    for layer in (module.value, module.output):
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)
    seen = []
    module.attention_norm = nn.Identity()
    module.attention_norm.register_forward_hook(lambda _, arguments, __: seen.append(arguments[0].detach()))
    words, real_words = torch.zeros(2, 60, DIM), torch.ones(2, 60, dtype=torch.bool)
    real_words[0, 3:] = False
    regions = torch.ones(2, 1, DIM)
    module(words, real_words, regions, torch.ones(2, 1, dtype=torch.bool))
    shares = [row.unflatten(-1, (HEADS, -1)) for row in seen[0]]
    assert all((head == head[..., :1]).all() for head in shares)
    short, full = (sorted(set((head[..., 0] * 0.5).flatten().tolist())) for head in shares)
    if not copies:
        assert short == full == [0.0, 1.0]
        return
    assert short == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert len(full) > 8 and [share * 60 for share in full] == pytest.approx([round(share * 60) for share in full])
    assert abs(sum(head[..., 0].mean().item() for head in shares) / 2 - 1) < 0.1


def test_copies_keep_rows_apart_and_rows_without_words_or_pictures_finite(inputs):
    module = build(**PUBLISHED | {"attention_dropout": 0.9}).train()
    words, regions, mask = inputs
    words.requires_grad_()
    there = torch.tensor([[False] * 4, [True, True, False, False], [True] * 4])
    fused = module(words, there, regions, mask).words
    fused.square().sum().backward()
    assert fused.isfinite().all() and words.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


def test_equals_the_library(module, inputs):
    words, regions, mask = (part[:2] for part in inputs)
    attention = nn.MultiheadAttention(DIM, HEADS, batch_first=True).eval()
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([module.query.weight, module.key.weight, module.value.weight]))
        attention.in_proj_bias.copy_(torch.cat([module.query.bias, module.key.bias, module.value.bias]))
        attention.out_proj.load_state_dict(module.output.state_dict())
        context, weights = attention(words, regions, regions, key_padding_mask=~mask, average_attn_weights=False)
        aware = functional.layer_norm(words + context, (DIM,), module.attention_norm.weight, module.attention_norm.bias)
        expected = functional.layer_norm(
            aware + module.perceptron(aware), (DIM,), module.perceptron_norm.weight, module.perceptron_norm.bias
        )
        torch.testing.assert_close(fuse(module, words, regions, mask), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(looks(module, words, regions, mask), weights, atol=1e-6, rtol=1e-5)


def test_weights_are_those_that_the_forward_pass_uses(module, inputs):
    words, regions, mask = inputs
    with torch.no_grad():
        key, value, query = module.key(regions), module.value(regions), module.query(words)
        heads = [part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in (query, key, value)]
        expected = functional.scaled_dot_product_attention(*heads, attn_mask=mask[:, None, None, :])[:2]
        torch.testing.assert_close((looks(module, *inputs) @ heads[2])[:2], expected, atol=1e-5, rtol=1e-5)


def test_regions_outside_the_mask_change_nothing(module, inputs):
    words, regions, mask = inputs
    noisy = torch.where(mask[:, :, None], regions, torch.nan).requires_grad_()
    fused = fuse(module, words, noisy, mask)
    torch.testing.assert_close(fused, fuse(module, words, regions, mask))
    fused.sum().backward()
    assert noisy.grad[~mask].eq(0).all() and noisy.grad[0].abs().sum() > 0
    assert not looks(module, words, noisy, mask).isnan().any()
    assert looks(module, words, noisy, mask).transpose(1, 3)[~mask].eq(0).all()


@pytest.mark.parametrize("autocast", [False, True])
def test_a_row_without_regions_is_text_alone(module, inputs, autocast):
    words, regions, mask = inputs
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        alone = fuse(module, words[2:], regions[2:], mask[2:])
        aware = module.attention_norm(words[2:])
        expected = module.perceptron_norm(aware + module.perceptron(aware))
        torch.testing.assert_close(alone, expected)
        alone.sum().backward()
        assert looks(module, *inputs)[2].eq(0).all()
    for layer in (module.query, module.key, module.value, module.output):
        assert layer.weight.grad.eq(0).all() and layer.bias.grad.eq(0).all()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


def test_bfloat16_autocast_is_close_and_finite(module, inputs):
    expected, weights = fuse(module, *inputs), looks(module, *inputs)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = fuse(module, *inputs)
        coarse.float().pow(2).sum().backward()
        torch.testing.assert_close(coarse.float(), expected, atol=0.1, rtol=0.1)
        torch.testing.assert_close(looks(module, *inputs).float(), weights, atol=0.05, rtol=0.1)
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


def test_dropout_falls_on_what_attention_adds(inputs):
    torch.manual_seed(0)
    module = CrossAttention(heads=HEADS, dropout=1.0).build(DIM, DIM)
    words, regions, mask = inputs
    nothing = fuse(module, words, regions, torch.zeros_like(mask))
    torch.testing.assert_close(fuse(module, words, regions, mask), nothing)
    assert not torch.allclose(fuse(module.eval(), words, regions, mask)[:2], nothing[:2])


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="divide the width 10, found 4"):
        CrossAttention(heads=4).build(10, 10)
    with pytest.raises(ValueError, match="expansion of 1 or more, found 0"):
        CrossAttention(heads=2, expansion=0).build(10, 10)
