"""The graph fusion against loops over rows, layers, heads, words and objects."""

import math

import pytest
import torch
from torch import nn

from babelens.modules.fusion.graph import Graph

TEXT, REGION, DIM, HEADS, INNER, LAYERS = 6, 5, 8, 2, 3, 3
GRAPH = Graph(dim=DIM, layers=LAYERS, heads=HEADS, inner=INNER, dropout=0.4)
MASK = torch.tensor([[True] * 4, [True, True, False, False], [True, True, True, False], [True] * 4])
REGION_MASK = torch.tensor([[True] * 3, [True, False, True], [False] * 3, [False, True, False]])


def built(region_dim=REGION, graph=GRAPH):
    torch.manual_seed(0)
    module = graph.build(TEXT, region_dim)
    for parameter in module.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, 0.3, 0.5)
    return module.eval()


@pytest.fixture
def module():
    return built()


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    words = torch.randn(4, 4, TEXT, generator=generator)
    return words, MASK, torch.randn(4, 3, REGION, generator=generator) * 2, REGION_MASK


def linear(vector, layer):
    return layer.weight @ vector + layer.bias


def norm(vector, layer):
    spread = ((vector - vector.mean()) ** 2).mean()
    return (vector - vector.mean()) / torch.sqrt(spread + 1e-5) * layer.weight + layer.bias


def relu(vector):
    return torch.where(vector > 0, vector, 0.0)


def attend(nodes, layer, projected):
    """Step 1 of baselines: LN(x + MHA), one node and one head at a time."""
    part = DIM // HEADS
    results = []
    for node in nodes:
        pieces = []
        for head in range(HEADS):
            own = slice(head * part, (head + 1) * part)
            query = linear(node, layer.query)[own]
            scores = [math.exp(float(query @ linear(other, layer.key)[own]) / math.sqrt(part)) for other in nodes]
            values = [(linear(other, layer.value) if projected else other)[own] for other in nodes]
            pieces.append(sum(score * value for score, value in zip(scores, values, strict=True)) / sum(scores))
        context = torch.cat(pieces)
        results.append(norm(node + (linear(context, layer.output) if projected else context), layer.norm))
    return results


def gate(layer, word, thing):
    return 1 / (1 + torch.exp(-linear(torch.cat([word, thing]), layer.joint)))


def update(node, gathered, layer):
    """The second half of steps 2 and 3, and step 4."""
    aware = norm(node + gathered, layer.gathered_norm)
    first, _, second = layer.perceptron
    return norm(aware + linear(relu(linear(aware, first)), second), layer.perceptron_norm)


def by_hand(module, words, mask, regions, region_mask):
    """The real words and objects of each row by the formulas; also the last layer's mean gates."""
    fused = torch.zeros(len(words), words.shape[1], TEXT + DIM)
    openness = torch.zeros(len(words), words.shape[1], regions.shape[1])
    for row in range(len(words)):
        places = torch.where(mask[row])[0].tolist()
        numbers = torch.where(region_mask[row])[0].tolist()
        nodes = [linear(words[row, place], module.word_input) for place in places]
        things = []
        for number in numbers:
            classifier, first, _, _, second, _, _ = module.object_input
            thing = linear(regions[row, number], classifier)
            things.append(relu(linear(relu(linear(thing, first)), second)))
        for depth, layer in enumerate(module.layers):
            nodes = attend(nodes, layer.word_attention, True)
            things = attend(things, layer.object_attention, False)
            before = nodes
            nodes = []
            for place, node in zip(places, before, strict=True):
                gathered = torch.zeros(DIM)
                for number, thing in zip(numbers, things, strict=True):
                    opened = gate(layer.to_words, node, thing)
                    gathered = gathered + opened * thing
                    openness[row, place, number] = opened.mean()
                nodes.append(update(node, gathered, layer.word_update))
            if depth < LAYERS - 1:
                sums = [sum(gate(layer.to_objects, node, thing) * node for node in before) for thing in things]
                things = [update(*pair, layer.object_update) for pair in zip(things, sums, strict=True)]
        for place, node in zip(places, nodes, strict=True):
            fused[row, place] = torch.cat([words[row, place], node])
    return fused, openness


def test_equals_the_formulas(module, inputs):
    with torch.no_grad():
        fused, openness = by_hand(module, *inputs)
        found = module(*inputs)
        assert found.auxiliary is None and module.auxiliary_dim is None and module.dim == TEXT + DIM
        torch.testing.assert_close(found.words[MASK], fused[MASK], atol=1e-5, rtol=1e-5)
        weights = module.weights(*inputs)
        assert weights.shape == (4, 1, 4, 3)
        torch.testing.assert_close(weights[:, 0][MASK], openness[MASK], atol=1e-5, rtol=1e-5)


def test_the_published_sizes_are_the_defaults():
    with torch.device("meta"):
        module = Graph().build(768, 2048)
    assert module.dim == 768 + 512 and len(module.layers) == 6
    attention, gates, update = 512 * 513, 1024 * 512 + 512, 512 * 256 + 256 + 256 * 512 + 512 + 4 * 512
    layer = 4 * attention + 2 * 512 + update + 2 * attention + 2 * 512 + update + 2 * gates
    entries = 768 * 512 + 512 + 2048 * 2049 + 2048 * 512 + 512 + attention
    assert sum(weight.numel() for weight in module.parameters()) == entries + 6 * layer - gates - update


def test_what_is_outside_the_masks_changes_nothing(module, inputs):
    words, mask, regions, region_mask = inputs
    noisy = torch.where(mask[:, :, None], words, 100 * torch.randn(words.shape)).requires_grad_()
    absent = torch.where(region_mask[:, :, None], regions, torch.nan).requires_grad_()
    fused = module(noisy, mask, absent, region_mask).words
    torch.testing.assert_close(fused[mask], module(*inputs).words[mask], atol=1e-5, rtol=0)
    fused[mask].sum().backward()
    assert noisy.grad[~mask].eq(0).all() and noisy.grad[mask].ne(0).any(-1).all()
    assert absent.grad[~region_mask].eq(0).all() and absent.grad[region_mask].ne(0).any(-1).all()
    weights = module.weights(noisy, mask, absent, region_mask)
    assert not weights.isnan().any() and weights.transpose(1, 3)[~region_mask].eq(0).all()


def test_rows_alone_are_as_among_others(module, inputs):
    together = module(*inputs).words
    for row, (word, thing) in enumerate(zip(MASK, REGION_MASK, strict=True)):
        words, _, regions, _ = (part[row : row + 1] for part in inputs)
        # Without the padding too, of words and (where there are any) of objects.
        things = thing if thing.any() else torch.tensor([True, False, False])
        alone = module(words[:, word], word[word][None], regions[:, things], thing[things][None]).words
        torch.testing.assert_close(alone[0], together[row, word], atol=1e-5, rtol=0)


@pytest.mark.parametrize("autocast", [False, True])
def test_a_row_without_objects_is_the_text_only_twin(module, inputs, autocast):
    words, mask, regions, region_mask = (part[2:3] for part in inputs)
    twin = built(None)
    missing, unexpected = twin.load_state_dict(module.state_dict(), strict=False)
    assert not missing and all("object" in name or "to_words" in name for name in unexpected)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        alone = module(words, mask, regions, region_mask).words
        nothing = torch.zeros(1, 1, 1)
        expected = twin(words, mask, nothing, torch.zeros(1, 1, dtype=torch.bool)).words
        torch.testing.assert_close(alone, expected)
        assert twin.weights(words, mask, nothing, torch.zeros(1, 1, dtype=torch.bool)) is None
        alone.sum().backward()
        assert module.weights(*inputs)[2].eq(0).all()
    for name, weight in module.named_parameters():
        assert weight.grad is None or weight.grad.isfinite().all(), name
        if name in unexpected:
            assert weight.grad is None or weight.grad.eq(0).all(), name


@pytest.mark.parametrize("region_dim", [REGION, None])
@pytest.mark.parametrize("layers", [1, 3])
def test_every_weight_learns(inputs, region_dim, layers):
    module = built(region_dim, Graph(dim=DIM, layers=layers, heads=HEADS, inner=INNER, dropout=0.4))
    module(*inputs).words[MASK].pow(2).sum().backward()
    # A key's bias shifts all scores of a query alike: in exact arithmetic its gradient is zero.
    assert all(
        weight.grad is not None and (weight.grad.any() or name.endswith("key.bias"))
        for name, weight in module.named_parameters()
    )


def test_bfloat16_autocast_is_close_and_finite(module, inputs):
    expected, weights = module(*inputs).words, module.weights(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = module(*inputs).words
        coarse.float()[MASK].pow(2).sum().backward()
        torch.testing.assert_close(coarse.float()[MASK], expected[MASK], atol=0.15, rtol=0.1)
        torch.testing.assert_close(module.weights(*inputs).float(), weights, atol=0.05, rtol=0.1)
    assert all(weight.grad.isfinite().all() for weight in module.parameters())


def test_dropout_is_at_work_in_training_alone(module, inputs):
    assert module(*inputs).words.equal(module(*inputs).words)
    module.train()
    first, second = module(*inputs).words, module(*inputs).words
    assert first[..., :TEXT].equal(inputs[0]) and not first[..., TEXT:].equal(second[..., TEXT:])
    kept = built(graph=Graph(dim=DIM, layers=LAYERS, heads=HEADS, inner=INNER, dropout=0.0)).train()
    torch.testing.assert_close(kept(*inputs).words, built()(*inputs).words)


def test_settings_that_make_no_graph_are_refused():
    with pytest.raises(ValueError, match="divide the width 10, found 4"):
        Graph(dim=10, heads=4).build(TEXT, REGION)
    with pytest.raises(ValueError, match="1 layer or more, found 0"):
        Graph(layers=0).build(TEXT, REGION)
    with pytest.raises(ValueError, match="found dim 0 and inner 256"):
        Graph(dim=0).build(TEXT, REGION)
