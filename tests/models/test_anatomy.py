import pytest
import torch

from babelens.models.anatomy import flow, parts, sizes, unfilled
from babelens.models.encoders import with_encoders
from babelens.models.zoo import ZOO


def test_published_sizes_are_those_of_the_paper():
    found = sizes(unfilled(ZOO["2m-ner"]))
    assert found["clip.regions"].all == 87_456_000 - 1_536  # CLIP's vision model (87,456,000) without the last norm
    assert found["resnet.regions"].all == 58_143_808 + 2048 * 768 + 768  # torchvision's ResNet-152 without its classes
    assert round(found["all"].all / 1e6) == 344


@pytest.mark.parametrize("name", ZOO)
def test_parts_hold_every_weight_once(name):
    tagger = unfilled(with_encoders(ZOO[name], "compact"), compact=True)
    assert all(weight.device.type == "meta" for weight in tagger.parameters())
    found = sizes(tagger)
    assert sum(size.all for part, size in found.items() if part != "all") == found["all"].all
    assert found["all"].all == sum(weight.numel() for weight in tagger.parameters())
    assert "head" in parts(tagger)


@pytest.mark.parametrize("name", ZOO)
def test_a_sentence_flows_from_words_to_emissions(name):
    steps = flow(unfilled(with_encoders(ZOO[name], "compact"), compact=True))
    assert steps[-1].part == "emissions" and steps[-1].shapes == ((1, 9, 9),)
    assert all(step.shapes for step in steps)


def test_the_flow_of_2m_ner():
    steps = dict(flow(unfilled(with_encoders(ZOO["2m-ner"], "compact"), compact=True)))
    assert steps["pixels of clip"] == ((1, 3, 64, 64),)
    assert steps["clip.regions"][0] == (1, 65, 96)
    assert steps["resnet.fusion"] == ((1, 9, 96),)
    assert torch.tensor(steps["emissions"]).tolist() == [[1, 9, 9]]
