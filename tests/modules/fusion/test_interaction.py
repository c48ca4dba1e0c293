"""The interaction of words and regions against loops over rows, heads and places, from the formulas of UMT."""

import math

import msgspec
import pytest
import torch
from torch import nn

from babelens.modules.fusion.interaction import Interaction

DIM, WIDE, HEADS = 8, 6, 2
GENERATOR = torch.Generator().manual_seed(1)
WORDS = torch.randn(3, 4, DIM, generator=GENERATOR)
REGIONS = torch.randn(3, 5, WIDE, generator=GENERATOR) * 2
MASK = torch.tensor([[True] * 4, [True, True, True, False], [True, True, False, False]])
SEEN = torch.tensor([[True] * 5, [True, False, True, False, False], [False] * 5])
INPUTS = (WORDS, MASK, REGIONS, SEEN)


def build(region_dim=WIDE, **fields):
    torch.manual_seed(0)
    module = Interaction(**{"heads": HEADS, "expansion": 3, **fields}).build(DIM, region_dim)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    return module.eval()


def linear(layer, vector):
    return layer.weight @ vector + layer.bias


def norm(layer, vector):
    spread = ((vector - vector.mean()) ** 2).mean()
    return (vector - vector.mean()) / torch.sqrt(spread + 1e-12) * layer.weight + layer.bias


def attend(layer, query, sources):
    """One state that reads some others, through one layer of BERT; and how much it looks at each, by head."""
    part = DIM // HEADS
    context, looks = [], []
    for head in range(HEADS):
        own = slice(head * part, (head + 1) * part)
        asked = linear(layer.query, query)[own]
        scores = [float(asked @ linear(layer.key, source)[own]) / math.sqrt(part) for source in sources]
        total = sum(math.exp(score) for score in scores)
        looks.append([math.exp(score) / total for score in scores])
        values = [linear(layer.value, source)[own] for source in sources]
        context.append(sum((w * v for w, v in zip(looks[-1], values, strict=True)), torch.zeros(part)))
    added = linear(layer.output, torch.cat(context)) if sources else torch.zeros(DIM)
    aware = norm(layer.attention_norm, query + added)
    inner = linear(layer.perceptron[0], aware)
    inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
    return norm(layer.perceptron_norm, aware + linear(layer.perceptron[2], inner)), looks


def by_hand(module):
    """H, A0 and where words look in CM1, by row; only real words and real regions are visited."""
    fused, spans = torch.zeros(3, 4, 2 * DIM), torch.zeros(3, 4, DIM)
    looks = torch.zeros(3, HEADS, 4, 5)
    visual = module.visual
    for row in range(3):
        text = [WORDS[row, word] for word in range(4) if MASK[row, word]]
        places = [place for place in range(5) if SEEN[row, place]]
        regions = [REGIONS[row, place] for place in places]
        read = [attend(module.text_layer, word, text)[0] for word in text]
        first = [linear(visual.seen, region) for region in regions]
        reading = [attend(visual.regions_read, linear(visual.seeing, region), read)[0] for region in regions]
        for word, state in enumerate(read):
            spans[row, word] = attend(module.span_layer, text[word], text)[0]
            aware = attend(visual.words_know, state, reading)[0]
            sight, own = attend(visual.words_see, state, first)
            sight = sight if regions else torch.zeros(DIM)
            gate = 1 / (1 + torch.exp(-linear(visual.gate, torch.cat([aware, sight]))))
            fused[row, word] = torch.cat([aware, gate * sight])
            for head in range(HEADS):
                for place, look in zip(places, own[head], strict=True):
                    looks[row, head, word, place] = look
    return fused, spans, looks


def test_equals_the_formulas():
    module = build()
    with torch.no_grad():
        fused, spans, looks = by_hand(module)
        found = module(*INPUTS)
        torch.testing.assert_close(found.words[MASK], fused[MASK], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.auxiliary[MASK], spans[MASK], atol=1e-5, rtol=1e-5)
        weights = module.weights(*INPUTS).transpose(1, 2)
        torch.testing.assert_close(weights[MASK], looks.transpose(1, 2)[MASK], atol=1e-6, rtol=1e-5)
    assert (module.dim, module.auxiliary_dim) == (2 * DIM, DIM)


def test_what_is_outside_the_masks_changes_nothing():
    module = build()
    expected = module(*INPUTS)
    words = torch.where(MASK[:, :, None], WORDS, 100.0).requires_grad_()
    regions = torch.where(SEEN[:, :, None], REGIONS, torch.nan).requires_grad_()
    found = module(words, MASK, regions, SEEN)
    torch.testing.assert_close(found.words[MASK], expected.words[MASK], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.auxiliary[MASK], expected.auxiliary[MASK], atol=1e-5, rtol=0)
    (found.words[MASK].pow(2).sum() + found.auxiliary[MASK].pow(2).sum()).backward()
    assert words.grad[~MASK].eq(0).all() and regions.grad[~SEEN].eq(0).all()
    assert regions.grad[SEEN].abs().sum() > 0 and words.grad.isfinite().all()
    weights = module.weights(words, MASK, regions, SEEN)
    assert weights.transpose(1, 3)[~SEEN].eq(0).all() and weights[2].eq(0).all()


@pytest.mark.parametrize("autocast", [False, True])
def test_a_row_without_pictures_sees_nothing_and_teaches_nothing_about_pictures(autocast):
    module = build()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = module(*(part[2:] for part in INPUTS))
        text = module.text_layer(WORDS[2:], WORDS[2:], MASK[2:])
        layer = module.visual.words_know
        aware = layer.attention_norm(text)
        aware = layer.perceptron_norm(aware + layer.perceptron(aware))
        torch.testing.assert_close(found.words[..., :DIM], aware)
        assert found.words[..., DIM:].eq(0).all()
        (found.words.pow(2).sum() + found.auxiliary.pow(2).sum()).backward()
    visual = module.visual
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())
    for part in (visual.seen, visual.seeing, visual.words_see, visual.regions_read, visual.gate):
        assert all(parameter.grad.eq(0).all() for parameter in part.parameters())


def test_the_gradient_reaches_every_weight():
    module = build()
    found = module(*INPUTS)
    (found.words.pow(2).sum() + found.auxiliary.pow(2).sum()).backward()
    # The bias of keys shifts all scores of a query alike.
    still = [name for name, parameter in module.named_parameters() if not parameter.grad.any()]
    assert all(name.endswith("key.bias") for name in still), still


def test_bfloat16_autocast_is_close_and_finite():
    module = build()
    expected = module(*INPUTS)
    with torch.autocast("cpu", torch.bfloat16):
        found = module(*INPUTS)
        (found.words.float().pow(2).sum() + found.auxiliary.float().pow(2).sum()).backward()
    torch.testing.assert_close(found.words.float(), expected.words, atol=0.15, rtol=0.1)
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


def test_the_text_only_twin_is_the_text_path_with_no_weights_for_regions():
    whole, twin = build(), build(None)
    twin.load_state_dict({name: w for name, w in whole.state_dict().items() if not name.startswith("visual.")})
    nothing = (torch.zeros(3, 1, 1), torch.zeros(3, 1, dtype=torch.bool))
    found = twin(WORDS, MASK, *nothing)
    assert (twin.dim, twin.auxiliary_dim) == (DIM, DIM)
    torch.testing.assert_close(found.words, whole.text_layer(WORDS, WORDS, MASK))
    torch.testing.assert_close(found.auxiliary, whole(*INPUTS).auxiliary)
    assert twin.weights(WORDS, MASK, *nothing) is None


def test_dropout_falls_on_the_text_that_comes_in():
    module = build()
    module.dropout.p = 1.0
    module.dropout.train()
    torch.testing.assert_close(module(*INPUTS).auxiliary[0, 0], module(*INPUTS).auxiliary[0, 3])


def test_the_declaration():
    assert (Interaction.unit, Interaction.projected, Interaction.reads_text) == ("piece", False, True)
    assert msgspec.json.decode(msgspec.json.encode(Interaction()), type=Interaction) == Interaction(12, 4, 0.1)
    with pytest.raises(ValueError, match="divide the width 10, found 4"):
        Interaction(heads=4).build(10, 10)
    with pytest.raises(msgspec.ValidationError, match="gates"):
        msgspec.convert({"type": "interaction", "gates": 1}, Interaction)
