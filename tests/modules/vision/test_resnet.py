"""ResNet regions against the modules of transformers, through real checkpoint folders, and its normalisation."""

import math

import msgspec
import pytest
import torch
from torch import nn
from transformers import ConvNextImageProcessorPil, ResNetConfig, ResNetForImageClassification, ResNetModel

from babelens.modules.origin import Origin
from babelens.modules.vision.positions import grid_positions
from babelens.modules.vision.resnet import Resnet

TINY = {"embedding_size": 4, "hidden_sizes": [8, 12], "depths": [1, 2], "layer_type": "bottleneck"}


@pytest.fixture
def pixels():
    return torch.randint(0, 256, (3, 3, 40, 40), generator=torch.Generator().manual_seed(0)).byte()


def lived_in(model):
    """Give batch normalisation statistics and weights of its own, as training would."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            nn.init.normal_(module.weight, 1.0, 0.3, generator=generator)
    return model


@pytest.fixture(params=["classifier", "backbone"])
def checkpoint(request, tmp_path):
    """A published checkpoint folder, which holds a classifier, or a bare backbone."""
    torch.manual_seed(0)
    model = lived_in(ResNetForImageClassification(ResNetConfig(**TINY, num_labels=3))).eval()
    (model if request.param == "classifier" else model.resnet).save_pretrained(tmp_path)
    ConvNextImageProcessorPil(size={"shortest_edge": 40}).save_pretrained(tmp_path)
    return tmp_path, model.resnet


def statistics(encoder):
    return {name: value.clone() for name, value in encoder.named_buffers() if "running" in name}


def test_regions_are_the_projected_last_feature_map(checkpoint, pixels):
    folder, model = checkpoint
    encoder = Resnet(name=str(folder)).build(Origin(), 6).eval()
    with torch.no_grad():
        cells = model(encoder.normalisation(pixels)).last_hidden_state
        assert cells.shape == (3, 12, 5, 5)
        found = encoder(pixels)
        for row in range(5):
            for column in range(5):
                expected = encoder.projection.weight @ cells[1, :, row, column] + encoder.projection.bias
                torch.testing.assert_close(found[1, row * 5 + column], expected, atol=1e-5, rtol=1e-4)
    assert (encoder.prefix, encoder.grid) == (0, (5, 5))


def test_frozen_statistics_do_not_move_and_their_weights_learn(checkpoint, pixels):
    encoder = Resnet(name=str(checkpoint[0])).build(Origin(), 6).train()
    before = statistics(encoder)
    trained = encoder(pixels)
    trained.pow(2).sum().backward()
    assert len(before) and all(value.equal(before[name]) for name, value in statistics(encoder).items())
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and all(norm.weight.grad.abs().sum() > 0 and norm.bias.grad.abs().sum() > 0 for norm in norms)
    # So training and evaluation give the same, and a row does not depend on the others.
    torch.testing.assert_close(encoder.eval()(pixels), trained)
    torch.testing.assert_close(encoder.train()(pixels[:1]), trained[:1], atol=1e-5, rtol=1e-4)


def test_ordinary_normalisation_follows_the_batch(checkpoint, pixels):
    encoder = Resnet(name=str(checkpoint[0]), norm="batch").build(Origin(), 6).train()
    before = statistics(encoder)
    trained = encoder(pixels)
    assert all(not value.equal(before[name]) for name, value in statistics(encoder).items())
    assert not torch.allclose(encoder.eval()(pixels), trained)


@pytest.mark.parametrize("norm", ["frozen", "batch"])
def test_untrained_encoder_stays_as_it_is(checkpoint, pixels, norm):
    encoder = Resnet(name=str(checkpoint[0]), norm=norm, trained=False, positions=True).build(Origin(), 6).train()
    before = statistics(encoder)
    encoder(pixels).sum().backward()
    assert all(value.equal(before[name]) for name, value in statistics(encoder).items())
    assert {name for name, parameter in encoder.named_parameters() if parameter.grad is not None} == {
        "projection.weight",
        "projection.bias",
        "positions",
        "norm.weight",
        "norm.bias",
    }


def test_drifting_statistics_follow_training_in_an_encoder_that_is_not_trained(checkpoint, pixels):
    folder, _ = checkpoint
    encoder = Resnet(name=str(folder), norm="drifting", trained=False).build(Origin(), 6).train()
    ordinary = Resnet(name=str(folder), norm="batch").build(Origin(), 6).train()
    ordinary.load_state_dict(encoder.state_dict())
    before = statistics(encoder)
    drawn = encoder(pixels)
    torch.testing.assert_close(drawn, ordinary(pixels))  # the statistics of the batch
    drawn.sum().backward()
    after = statistics(encoder)
    assert all(not value.equal(before[name]) for name, value in after.items())
    assert all(value.equal(after[name]) for name, value in statistics(ordinary).items())
    assert {name for name, weight in encoder.named_parameters() if weight.grad is not None} == {
        "projection.weight",
        "projection.bias",
    }
    encoder.eval()(pixels)
    torch.testing.assert_close(encoder(pixels[:1]), ordinary.eval()(pixels[:1]))  # and the running ones, which stay
    assert all(value.equal(after[name]) for name, value in statistics(encoder).items())
    assert not torch.allclose(encoder(pixels), drawn)


def test_positions_tell_equal_cells_apart():
    torch.manual_seed(0)
    grey = torch.full((2, 3, 64, 64), 99, dtype=torch.uint8)
    plain = Resnet(scratch={**TINY, "size": 64}).build(Origin(), 6).eval()
    placed = Resnet(scratch={**TINY, "size": 64}, positions=True).build(Origin(), 6).eval()
    with torch.no_grad():
        # Cells away from the border see the same grey.
        middle, beside = 3 * 8 + 3, 4 * 8 + 4
        torch.testing.assert_close(plain(grey)[0, middle], plain(grey)[0, beside])
        found = placed(grey)
        cells = placed.projection(placed.encoder(placed.normalisation(grey)).last_hidden_state.flatten(2).mT)[0]
        expected = [torch.nn.functional.layer_norm(cells[n] + placed.positions[n], (6,)) for n in (middle, beside)]
        torch.testing.assert_close(torch.stack([found[0, middle], found[0, beside]]), torch.stack(expected))
    assert placed.positions.shape == (64, 6)
    assert (expected[0] - expected[1]).abs().max() > 0.1


@pytest.mark.parametrize("size", [32, 33, 40, 47, 64])
@pytest.mark.parametrize("early", [False, True])
def test_grid_is_that_of_the_feature_map(size, early):
    scratch = {**TINY, "layer_type": "basic", "downsample_in_first_stage": early, "size": size}
    encoder = Resnet(scratch=scratch, norm="batch").build(Origin(), 6).eval()
    with torch.no_grad():
        cells = encoder.encoder(torch.zeros(1, 3, size, size)).last_hidden_state
        assert encoder.grid == tuple(cells.shape[2:])
        assert encoder(torch.zeros(1, 3, size, size, dtype=torch.uint8)).shape == (1, math.prod(encoder.grid), 6)
        assert encoder(torch.zeros(0, 3, size, size, dtype=torch.uint8)).shape == (0, math.prod(encoder.grid), 6)


def test_rebuilt_from_its_folder_without_weights(checkpoint, pixels, tmp_path):
    encoder = Resnet(name=str(checkpoint[0]), positions=True).build(Origin(), 6).eval()
    encoder.save(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {"config.json", "preprocessor_config.json"}
    again = Resnet(name="nobody/nothing", positions=True).build(Origin(folder=tmp_path / "saved"), 6).eval()
    again.load_state_dict(encoder.state_dict(), strict=True)
    with torch.no_grad():
        assert again(pixels).equal(encoder(pixels))
    assert again.transform.size == 40 and again.grid == encoder.grid


def test_input_size_of_a_new_encoder_is_kept(tmp_path):
    encoder = Resnet(scratch={**TINY, "size": 48}).build(Origin(), 6)
    encoder.save(tmp_path)
    again = Resnet(scratch={**TINY, "size": 48}).build(Origin(folder=tmp_path), 6)
    assert again.transform.size == 48 and again.grid == encoder.grid == (6, 6)


def test_published_network_is_resnet_152():
    encoder = Resnet(scratch={}).build(Origin(), 768).eval()
    convolutions = [m for m in encoder.encoder.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    assert len(convolutions) == 1 + 50
    # 60,192,808 parameters with the classifier of 1,000 classes (He et al.'s network as published), less that layer.
    assert sum(p.numel() for p in encoder.encoder.parameters()) == 60_192_808 - 2048 * 1000 - 1000
    assert encoder.grid == (7, 7) and encoder.projection.in_features == 2048
    with torch.no_grad():
        regions = encoder(torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8))
    assert regions.shape == (1, 49, 768) and regions.abs().max() < 100


def test_bfloat16_autocast(checkpoint, pixels):
    encoder = Resnet(name=str(checkpoint[0])).build(Origin(), 6).train()
    expected = encoder(pixels)
    with torch.autocast("cpu", torch.bfloat16):
        regions = encoder(pixels)
        regions.float().pow(2).sum().backward()
    torch.testing.assert_close(regions.float(), expected, atol=0.3, rtol=0.1)
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"fields of ResNetConfig, found 'depth'"):
        Resnet(scratch={"depth": [1]}).build(Origin(), 4)
    with pytest.raises(ValueError, match=r"values for ResNetConfig, found .*'odd'"):
        Resnet(scratch={"layer_type": "odd"}).build(Origin(), 4)
    with pytest.raises(ValueError, match=r"size in pixels of at least 1, found 0"):
        Resnet(scratch={"size": 0}).build(Origin(), 4)
    ResNetModel(ResNetConfig(**TINY)).save_pretrained(tmp_path)
    with pytest.raises(OSError, match="preprocessor_config"):
        Resnet(name=str(tmp_path)).build(Origin(), 4)


def test_declaration_survives_json():
    declared = Resnet(scratch={"depths": [1, 1], "size": 64}, norm="batch", positions=True)
    assert msgspec.json.decode(msgspec.json.encode(declared), type=Resnet) == declared
    with pytest.raises(msgspec.ValidationError, match="norm"):
        msgspec.convert({**msgspec.to_builtins(declared), "norm": "layer"}, Resnet)


def test_positions_start_alike_for_neighbours_and_unlike_across_the_picture():
    places = torch.nn.functional.normalize(grid_positions(6, 20), dim=1).reshape(6, 6, 20)
    middle = (places[2, 2] * places).sum(-1)
    assert middle[2, 2] == pytest.approx(1.0, abs=1e-5)
    assert middle[2, 3] == pytest.approx(middle[3, 2].item(), abs=1e-5)
    assert middle.flatten().argsort(descending=True)[0] == 2 * 6 + 2
    assert middle[2, 3] > middle[2, 4] > middle[2, 5]
