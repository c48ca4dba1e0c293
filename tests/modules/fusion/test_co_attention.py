"""Co-attention against the pairwise formulas of the published code, with loops over words, regions and words again."""

import msgspec
import pytest
import torch

from babelens.modules.declaration import DeclarationError
from babelens.modules.fusion.co_attention import CoAttention

DIM, REGION_DIM, INNER = 6, 7, 5
MASK = torch.tensor([[True] * 4, [True, True, False, False], [True, True, True, False]])
REGION_MASK = torch.tensor([[True] * 3, [True, False, True], [False] * 3])


@pytest.fixture
def module():
    torch.manual_seed(0)
    return CoAttention(dim=INNER).build(DIM, REGION_DIM).eval()


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    words, regions = torch.randn(3, 4, DIM, generator=generator), torch.randn(3, 3, REGION_DIM, generator=generator)
    return words * 2, MASK, regions * 2, REGION_MASK


def by_hand(module, inputs, seed):
    """Formulas 1 to 5 for one word after the other, with the weights that cancel out drawn at random."""
    words, mask, regions, region_mask = inputs
    generator = torch.Generator().manual_seed(seed)
    word_key, word_key_bias = torch.randn(INNER, DIM, generator=generator), torch.randn(INNER, generator=generator)
    vision_key, vision_key_bias = (
        torch.randn(INNER, INNER, generator=generator),
        torch.randn(INNER, generator=generator),
    )
    other_half, other_half_too, bias, bias_too = torch.randn(4, INNER, generator=generator)
    score = torch.cat([module.region_score.weight[0], other_half])
    score_too = torch.cat([other_half_too, module.word_score.weight[0]])

    def affine(layer, vector):
        return layer.weight @ vector + layer.bias

    def softmax(numbers):
        powers = [torch.exp(number) for number in numbers]
        return [power / sum(powers) for power in powers]

    fused = torch.zeros(*words.shape[:2], 2 * INNER)
    looks = torch.zeros(len(words), 1, words.shape[1], regions.shape[1])
    for row in range(len(words)):
        own_words = [words[row, place] for place in torch.where(mask[row])[0]]
        places = torch.where(region_mask[row])[0].tolist()
        for number, word in enumerate(words[row]):
            u = torch.zeros(INNER)
            if places:
                keys = [
                    torch.tanh(
                        torch.cat([affine(module.region_key, regions[row, place]), word_key @ word + word_key_bias])
                    )
                    for place in places
                ]
                look = softmax([score @ key + bias[0] for key in keys])
                seen = torch.zeros(INNER)
                for place, share in zip(places, look, strict=True):
                    looks[row, 0, number, place] = share
                    seen = seen + share * affine(module.region_value, regions[row, place])
                asked = vision_key @ seen + vision_key_bias
                values = [affine(module.word_value, other) for other in own_words]
                shares = softmax([score_too @ torch.tanh(torch.cat([asked, value])) + bias_too[0] for value in values])
                read = sum(share * value for share, value in zip(shares, values, strict=True))
                p, q = torch.tanh(affine(module.visual, seen)), torch.tanh(affine(module.textual, read))
                g = torch.sigmoid(affine(module.gate, p + q))
                m = affine(module.mixture, torch.cat([g * p, (1 - g) * q]))
                u = torch.sigmoid(affine(module.filter, m)) * m
            fused[row, number] = torch.cat([u, affine(module.output, word)])
    return fused, looks


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_pairwise_formulas_whatever_the_weights_that_cancel(module, inputs, seed):
    with torch.no_grad():
        fused, looks = by_hand(module, inputs, seed)
        streams = module(*inputs)
        torch.testing.assert_close(streams.words, fused, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(module.weights(*inputs), looks, atol=1e-6, rtol=1e-5)
    assert streams.auxiliary is None and streams.words.shape[2] == module.dim == 2 * INNER
    assert looks[0, 0, 0].std() > 0.01


def test_words_of_a_sentence_hear_the_same(module, inputs):
    spoken = module(*inputs).words[..., :INNER]
    torch.testing.assert_close(spoken, spoken[:, :1].expand_as(spoken), atol=0, rtol=0)


def test_what_lies_outside_the_masks_changes_nothing(module, inputs):
    words, mask, regions, region_mask = inputs
    noisy = torch.where(region_mask[:, :, None], regions, torch.nan).requires_grad_()
    strange = torch.where(mask[:, :, None], words, 99.0)
    expected, found = module(*inputs).words, module(strange, mask, noisy, region_mask).words
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-5, rtol=1e-5)
    found[mask].sum().backward()
    assert noisy.grad is not None
    assert noisy.grad[~region_mask].eq(0).all() and noisy.grad[0].abs().sum() > 0
    alone = module(words[1:2, :2], mask[1:2, :2], regions[1:2], region_mask[1:2]).words
    torch.testing.assert_close(alone[0], expected[1, :2], atol=1e-5, rtol=1e-5)
    assert module.weights(strange, mask, noisy, region_mask).transpose(1, 3)[~region_mask].eq(0).all()


@pytest.mark.parametrize("autocast", [False, True])
def test_a_row_without_regions_speaks_for_itself(module, inputs, autocast):
    words, mask, regions, region_mask = inputs
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = module(words[2:], mask[2:], regions[2:], region_mask[2:]).words
        expected = module.output(words[2:])
        assert module.weights(*inputs)[2].eq(0).all()
    torch.testing.assert_close(found[..., INNER:], expected)
    assert found[..., :INNER].eq(0).all()
    found.sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad.abs().sum() > 0 if name.startswith("output") else parameter.grad.eq(0).all()


def test_a_row_without_words_is_no_trouble(module, inputs):
    words, mask, regions, region_mask = inputs
    found = module(words, torch.zeros_like(mask), regions, region_mask).words
    found.sum().backward()
    assert found.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


def test_every_weight_learns(module, inputs):
    module(*inputs).words.pow(2).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in module.parameters())


def test_bfloat16_autocast_is_close_and_finite(module, inputs):
    expected = module(*inputs).words
    with torch.autocast("cpu", torch.bfloat16):
        coarse = module(*inputs).words
        coarse.float().pow(2).sum().backward()
    torch.testing.assert_close(coarse.float(), expected, atol=0.1, rtol=0.1)
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


def test_mistakes_are_named():
    with pytest.raises(DeclarationError, match=r"co-attention\.dim: expected 1 or more, found 0"):
        CoAttention(dim=0).build(4, 4)
    with pytest.raises(DeclarationError, match="a view with a region encoder, found none"):
        CoAttention().build(4, None)


def test_declaration_survives_json():
    assert msgspec.json.decode(msgspec.json.encode(CoAttention(dim=64)), type=CoAttention) == CoAttention(dim=64)
