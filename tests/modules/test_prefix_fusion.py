"""The exchange of MKGFormer against slow references, written with loops from the formulas."""

import math

import pytest
import torch
from torch.nn import functional
from transformers import BertConfig, BertModel, CLIPVisionConfig, CLIPVisionModel

from babelens.modules.prefix_fusion import CorrelationFusion, Prefix, Sight, look, read_text

SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
WINDOWS, PIECES, TOKENS, DIM, HEADS, INNER = 3, 4, 5, 8, 2, 12
PART = DIM // HEADS


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(5)


def bert():
    return BertModel(BertConfig(vocab_size=11, initializer_range=0.4, **SIZES)).eval()


def clip():
    model = CLIPVisionModel(CLIPVisionConfig(image_size=16, patch_size=8, **SIZES)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn_like(weight) * 0.4)
    return model


def fusion():
    made = CorrelationFusion(DIM, INNER, 0.3)
    torch.nn.init.normal_(made.linear.bias)
    return made


def text_mask():
    return torch.tensor([[True] * 4, [True, True, False, False], [True, True, True, False]])


def a_sight(mask=None):
    if mask is None:
        mask = torch.tensor([[True] * 5, [True, True, True, False, False], [False] * 5])
    return Sight(torch.randn(WINDOWS, TOKENS, DIM), mask)


def softmax(scores):
    top = max(scores)
    shares = [math.exp(score - top) for score in scores]
    return [share / sum(shares) for share in shares]


def affine(linear, vector):
    return linear.weight @ vector + linear.bias


def attend(query, keys, values):
    """Attention of one query over some keys, head by head; the heads side by side."""
    context = []
    for head in range(HEADS):
        own = slice(head * PART, (head + 1) * PART)
        weights = softmax([float(query[own] @ key[own]) / math.sqrt(PART) for key in keys])
        context.append(sum(weight * value[own] for weight, value in zip(weights, values, strict=True)))
    return torch.cat(context)


def bert_by_hand(layer, states, mask, caf=None, sight=None):
    """One window: contexts, then FFN(x) = W2 GELU(W1 x + b1 + W3 Agg + b3) + b2."""
    attention = layer.attention.self
    real = [piece for piece in range(len(states)) if mask[piece]]
    keys = [affine(attention.key, states[piece]) for piece in real]
    values = [affine(attention.value, states[piece]) for piece in real]
    out = []
    for state in states:
        context = attend(affine(attention.query, state), keys, values)
        dense, norm = layer.attention.output.dense, layer.attention.output.LayerNorm
        x = functional.layer_norm(affine(dense, context) + state, (DIM,), norm.weight, norm.bias, norm.eps)
        inner = affine(layer.intermediate.dense, x)
        if caf is not None:
            tokens = [sight.states[token] for token in range(TOKENS) if sight.mask[token]]
            if tokens:
                weights = softmax([float(context @ token) for token in tokens])
                aggregate = sum(weight * token for weight, token in zip(weights, tokens, strict=True))
                inner = inner + affine(caf.linear, aggregate)
        norm = layer.output.LayerNorm
        inner = affine(layer.output.dense, functional.gelu(inner))
        out.append(functional.layer_norm(inner + x, (DIM,), norm.weight, norm.bias, norm.eps))
    return torch.stack(out)


def clip_by_hand(layer, sight, text_layer, text_states, mask):
    """One window: keys and values are those of the text layer's attention, then the vision's own."""
    attention, first, second = layer.self_attn, layer.layer_norm1, layer.layer_norm2
    normed = [functional.layer_norm(state, (DIM,), first.weight, first.bias, first.eps) for state in sight.states]
    pieces = [state for state, real in zip(text_states, mask, strict=True) if real]
    seen = [state for state, real in zip(normed, sight.mask, strict=True) if real]
    own = text_layer.attention.self
    keys = [affine(own.key, piece) for piece in pieces] + [affine(attention.k_proj, token) for token in seen]
    values = [affine(own.value, piece) for piece in pieces] + [affine(attention.v_proj, token) for token in seen]
    out = []
    for state, token in zip(sight.states, normed, strict=True):
        residual = state + affine(attention.out_proj, attend(affine(attention.q_proj, token), keys, values))
        inner = functional.layer_norm(residual, (DIM,), second.weight, second.bias, second.eps)
        inner = affine(layer.mlp.fc1, inner)
        # CLIP's "quick" GELU.
        out.append(residual + affine(layer.mlp.fc2, inner * torch.sigmoid(1.702 * inner)))
    return torch.stack(out)


@torch.no_grad()
def test_two_joint_layers_are_the_formulas():
    layers, visions, fusions = bert().encoder.layer, clip().encoder.layers, [fusion(), fusion()]
    states, mask, sight = torch.randn(WINDOWS, PIECES, DIM), text_mask(), a_sight()
    below, prefix = read_text(layers[0], states, mask)
    first = look(visions[0], sight, prefix)
    middle, prefix = read_text(layers[1], below, mask, (fusions[0], first))
    second = look(visions[1], first, prefix)
    top, _ = read_text(layers[0], middle, mask, (fusions[1], second))
    for window in range(WINDOWS):
        own = Sight(sight.states[window], sight.mask[window])
        one = bert_by_hand(layers[0], states[window], mask[window])
        own = Sight(clip_by_hand(visions[0], own, layers[0], states[window], mask[window]), own.mask)
        two = bert_by_hand(layers[1], one, mask[window], fusions[0], own)
        own = Sight(clip_by_hand(visions[1], own, layers[1], one, mask[window]), own.mask)
        three = bert_by_hand(layers[0], two, mask[window], fusions[1], own)
        torch.testing.assert_close(second.states[window], own.states, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(top[window], three, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_layer_without_sight_is_the_one_of_transformers():
    model, mask = bert(), text_mask()
    ids = torch.randint(0, 11, (WINDOWS, PIECES))
    states = model.embeddings(input_ids=ids)
    for layer in model.encoder.layer:
        states, _ = read_text(layer, states, mask)
    expected = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(states[mask], expected[mask], atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_a_vision_layer_that_no_text_leads_is_the_one_of_transformers():
    layer, sight = clip().encoder.layers[0], a_sight(torch.ones(WINDOWS, TOKENS, dtype=torch.bool))
    nothing = torch.zeros(WINDOWS, HEADS, 0, PART)
    led = look(layer, sight, Prefix(nothing, nothing, torch.zeros(WINDOWS, 0, dtype=torch.bool)))
    torch.testing.assert_close(led.states, layer(sight.states, None), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_padding_of_text_and_tokens_of_missing_pictures_change_nothing():
    layer, vision, caf = bert().encoder.layer[0], clip().encoder.layers[0], fusion()
    states, mask, sight = torch.randn(WINDOWS, PIECES, DIM), text_mask(), a_sight()

    def run(states, sight):
        _, prefix = read_text(layer, states, mask)
        seen = look(vision, sight, prefix)
        return seen.states[sight.mask], read_text(layer, states, mask, (caf, seen))[0][mask]

    other = (
        torch.where(mask[..., None], states, 9.0),
        Sight(torch.where(sight.mask[..., None], sight.states, -7.0), sight.mask),
    )
    for one, two in zip(run(states, sight), run(*other), strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)


def test_a_window_that_sees_nothing_is_plain_and_gives_no_nan():
    layer, caf, mask = bert().encoder.layer[0], fusion(), text_mask()
    states = torch.randn(WINDOWS, PIECES, DIM, requires_grad=True)
    sight = a_sight(torch.zeros(WINDOWS, TOKENS, dtype=torch.bool))
    sight.states.requires_grad_()
    aware, _ = read_text(layer, states, mask, (caf, sight))
    plain, _ = read_text(layer, states, mask)
    torch.testing.assert_close(aware, plain, atol=0, rtol=0)
    aware.pow(2).sum().backward()
    assert states.grad.isfinite().all()
    assert not sight.states.grad.any() and not caf.linear.weight.grad.any() and not caf.linear.bias.grad.any()


def test_dropout_of_attention_is_on_in_training_alone():
    layer, mask, states = bert().encoder.layer[0], text_mask(), torch.randn(WINDOWS, PIECES, DIM)
    assert torch.equal(read_text(layer, states, mask)[0], read_text(layer, states, mask)[0])
    layer.attention.self.train()
    assert not torch.equal(read_text(layer, states, mask)[0], read_text(layer, states, mask)[0])


@torch.no_grad()
def test_correlations_are_taken_in_32_bits_under_bf16():
    caf, context, sight = fusion(), 20 * torch.randn(WINDOWS, PIECES, DIM), a_sight()
    sight = Sight(20 * sight.states, sight.mask)
    with torch.autocast("cpu", torch.bfloat16):
        half = caf(context, sight)
    # With scores of hundreds, dot products of 8 bits would choose other tokens.
    torch.testing.assert_close(half.float(), caf(context, sight), atol=0.3, rtol=0.02)
