"""A layer of BERT against that of transformers with the same weights, reading itself and reading another sequence."""

import pytest
import torch
from torch import nn
from transformers import BertConfig
from transformers.models.bert import modeling_bert

from babelens.modules.fusion.bert_layer import BertLayer, start_as_bert

DIM, HEADS = 8, 2
STATES = torch.randn(3, 4, DIM, generator=torch.Generator().manual_seed(1))
OTHERS = torch.randn(3, 5, DIM, generator=torch.Generator().manual_seed(2)) * 2
MASK = torch.tensor([[True] * 5, [True, False, True, False, False], [False] * 5])


@pytest.fixture
def layer():
    torch.manual_seed(0)
    layer = BertLayer(DIM, HEADS, expansion=3, dropout=0.1)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.4)
    return layer.eval()


def library(layer, states, read, mask):
    """The three parts of which transformers makes its layers, with the weights of ours."""
    config = BertConfig(
        hidden_size=DIM, num_attention_heads=HEADS, intermediate_size=3 * DIM, attn_implementation="eager"
    )
    crossed = read is not states
    attention = modeling_bert.BertAttention(config, is_cross_attention=crossed).eval()
    inner, outer = modeling_bert.BertIntermediate(config).eval(), modeling_bert.BertOutput(config).eval()
    pairs = [
        (attention.self.query, layer.query),
        (attention.self.key, layer.key),
        (attention.self.value, layer.value),
        (attention.output.dense, layer.output),
        (attention.output.LayerNorm, layer.attention_norm),
        (inner.dense, layer.perceptron[0]),
        (outer.dense, layer.perceptron[2]),
        (outer.LayerNorm, layer.perceptron_norm),
    ]
    for theirs, ours in pairs:
        theirs.load_state_dict(ours.state_dict())
    added = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)[:, None, None]
    given = {"encoder_hidden_states": read, "encoder_attention_mask": added} if crossed else {"attention_mask": added}
    with torch.no_grad():
        aware, weights = attention(states, **given)
        return outer(inner(aware), aware), weights


def test_equals_a_layer_of_the_library(layer):
    mask = torch.tensor([[True] * 4, [True, True, False, False], [True, False, False, False]])
    expected, weights = library(layer, STATES, STATES, mask)
    torch.testing.assert_close(layer(STATES, STATES, mask), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer.weights(STATES, STATES, mask), weights, atol=1e-6, rtol=1e-5)


def test_equals_a_layer_of_the_library_that_reads_another_sequence(layer):
    expected, weights = library(layer, STATES[:2], OTHERS[:2], MASK[:2])
    torch.testing.assert_close(layer(STATES, OTHERS, MASK)[:2], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer.weights(STATES, OTHERS, MASK)[:2], weights, atol=1e-6, rtol=1e-5)


def test_what_is_outside_the_mask_changes_nothing(layer):
    noisy = torch.where(MASK[:, :, None], OTHERS, 1e4).requires_grad_()
    found = layer(STATES, noisy, MASK)
    torch.testing.assert_close(found, layer(STATES, OTHERS, MASK), atol=1e-5, rtol=0)
    found.pow(2).sum().backward()
    assert noisy.grad[~MASK].eq(0).all() and noisy.grad[0].abs().sum() > 0
    assert layer.weights(STATES, noisy, MASK).transpose(1, 3)[~MASK].eq(0).all()


@pytest.mark.parametrize("autocast", [False, True])
def test_with_nothing_to_read_attention_adds_and_learns_nothing(layer, autocast):
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = layer(STATES[2:], OTHERS[2:], MASK[2:])
        aware = layer.attention_norm(STATES[2:])
        torch.testing.assert_close(found, layer.perceptron_norm(aware + layer.perceptron(aware)))
        found.pow(2).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())
    for part in (layer.query, layer.key, layer.value, layer.output):
        assert part.weight.grad.eq(0).all() and part.bias.grad.eq(0).all()


def test_dropout_falls_on_what_is_added_and_on_where_attention_looks():
    everything = BertLayer(DIM, HEADS, expansion=3, dropout=1.0).train()
    twice = everything.perceptron_norm(everything.attention_norm(STATES))
    torch.testing.assert_close(everything(STATES, OTHERS, MASK), twice)
    torch.manual_seed(0)
    some = BertLayer(DIM, HEADS, expansion=3, dropout=0.5).train()
    with torch.no_grad():
        some.value.weight.fill_(1.0)
        some.dropout.eval()
        assert not some(STATES, OTHERS, MASK)[:2].allclose(some.eval()(STATES, OTHERS, MASK)[:2], atol=1e-4)


def test_weights_start_as_in_bert():
    torch.manual_seed(0)
    layer = BertLayer(64, 4, 4, 0.1)
    for part in (layer.query, layer.perceptron[0], layer.perceptron[2]):
        assert part.weight.std().item() == pytest.approx(0.02, rel=0.1) and part.bias.eq(0).all()
    assert layer.attention_norm.weight.eq(1).all() and layer.attention_norm.eps == 1e-12
    single = nn.Linear(64, 64)
    start_as_bert(single)
    assert single.weight.std().item() == pytest.approx(0.02, rel=0.1)
