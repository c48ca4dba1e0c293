"""Folded normalisation against the modules of transformers, which normalise after their convolutions."""

import copy

import pytest
import torch
from torch import nn
from transformers import ResNetConfig, ResNetModel

from babelens.modules.vision.folding import fold_norms

SIZES = {"embedding_size": 4, "hidden_sizes": [8, 12], "depths": [1, 2]}


def lived_in(kind):
    """A network with statistics and weights of its own, as training would leave it."""
    torch.manual_seed(0)
    model = ResNetModel(ResNetConfig(**SIZES, layer_type=kind)).double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.3, 2.0)
            nn.init.normal_(module.weight, 1.0, 0.3)
            nn.init.normal_(module.bias)
    return model


@pytest.fixture(params=["basic", "bottleneck"])
def pair(request):
    plain = lived_in(request.param)
    folded = copy.deepcopy(plain)
    fold_norms(folded)
    return plain, folded.to(memory_format=torch.channels_last)


def maps_and_gradients(model, pixels):
    maps = model(pixels).last_hidden_state
    (maps * torch.linspace(-1, 1, maps.numel(), dtype=maps.dtype).view_as(maps)).sum().backward()
    return maps, {name: weight.grad for name, weight in model.named_parameters()}


def test_fixed_statistics_give_the_same_maps_and_gradients_of_all_weights(pair):
    pixels = torch.randn(2, 3, 33, 40, dtype=torch.float64)
    plain, folded = (maps_and_gradients(model.eval(), pixels) for model in pair)
    torch.testing.assert_close(folded[0], plain[0])
    assert folded[1].keys() == plain[1].keys()
    for name, gradient in plain[1].items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(folded[1][name], gradient, msg=name)


def test_statistics_of_the_batch_are_taken_where_they_are_not_fixed(pair):
    pixels = torch.randn(2, 3, 33, 40, dtype=torch.float64)
    plain, folded = (maps_and_gradients(model.train(), pixels) for model in pair)
    torch.testing.assert_close(folded[0], plain[0])
    for name, gradient in plain[1].items():
        torch.testing.assert_close(folded[1][name], gradient, msg=name)
    for one, other in zip(pair[0].buffers(), pair[1].buffers(), strict=True):
        torch.testing.assert_close(one, other)


def test_weights_keep_their_names_and_copies_are_folded_too(pair):
    plain, folded = pair
    assert list(folded.state_dict()) == list(plain.state_dict())
    twin = copy.deepcopy(folded).eval()
    with torch.no_grad():
        twin.embedder.embedder.normalization.weight.mul_(2)
    pixels = torch.randn(1, 3, 33, 40, dtype=torch.float64)
    assert not torch.equal(twin(pixels).last_hidden_state, folded.eval()(pixels).last_hidden_state)
