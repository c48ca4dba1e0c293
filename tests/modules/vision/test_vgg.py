"""VGG regions against convolutions by hand, through folders as timm publishes them, and from scratch."""

import json
import math

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from babelens.modules.origin import Origin
from babelens.modules.vision.vgg import Vgg

SIDE = 64
PUBLISHED = {"input_size": [3, SIDE, SIDE], "crop_pct": 0.8, "interpolation": "bilinear", "crop_mode": "center"}
PUBLISHED |= {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "classifier": "head.fc"}
STAGES = (2, 2, 3, 3, 3)
TINY = {"widths": [[4], [6, 8]], "size": 16}


def random_weights(normed):
    """Tensors under timm's names: the layers of VGG-16, a few channels each."""
    generator = torch.Generator().manual_seed(0)
    weights, place, came = {}, 0, 3
    for stage, convolutions in enumerate(STAGES):
        for _ in range(convolutions):
            width = 5 + stage
            kernel = torch.randn(width, came, 3, 3, generator=generator) * math.sqrt(2 / 9 / came)
            weights[f"features.{place}.weight"] = kernel
            weights[f"features.{place}.bias"] = torch.randn(width, generator=generator) / 4
            if normed:
                for field in ("weight", "running_var"):
                    weights[f"features.{place + 1}.{field}"] = torch.rand(width, generator=generator) + 0.5
                for field in ("bias", "running_mean"):
                    weights[f"features.{place + 1}.{field}"] = torch.randn(width, generator=generator) / 4
                weights[f"features.{place + 1}.num_batches_tracked"] = torch.tensor(7)
            place += 3 if normed else 2
            came = width
        place += 1
    for name in ("pre_logits.fc1", "pre_logits.fc2", "head.fc"):
        weights[f"{name}.weight"], weights[f"{name}.bias"] = torch.randn(4, 2, generator=generator), torch.zeros(4)
    return weights


def publish(folder, weights, architecture="vgg16", **changes):
    folder.mkdir(exist_ok=True)
    config = {"architecture": architecture, "num_classes": 10, "pretrained_cfg": {**PUBLISHED, **changes}}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "model.safetensors")
    return str(folder)


def by_hand(weights, pictures, normed):
    """Configuration D of Simonyan and Zisserman, up to its last pooling."""
    states, place = pictures, 0
    for convolutions in STAGES:
        for _ in range(convolutions):
            states = functional.conv2d(
                states, weights[f"features.{place}.weight"], weights[f"features.{place}.bias"], padding=1
            )
            if normed:
                mean, spread, scale, shift = (
                    weights[f"features.{place + 1}.{field}"][:, None, None]
                    for field in ("running_mean", "running_var", "weight", "bias")
                )
                states = (states - mean) / torch.sqrt(spread + 1e-5) * scale + shift
            states = states.clamp(min=0)
            place += 3 if normed else 2
        states = functional.max_pool2d(states, 2, stride=2)
        place += 1
    return states


@pytest.fixture
def pixels():
    return torch.randint(0, 256, (2, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0)).byte()


@pytest.mark.parametrize("normed", [False, True])
def test_equals_the_published_network_by_hand(tmp_path, pixels, normed):
    weights = random_weights(normed)
    name = publish(tmp_path, weights, "vgg16_bn" if normed else "vgg16")
    encoder = Vgg(name=name, normed=normed).build(Origin(), None)
    mean, deviation = (torch.tensor(PUBLISHED[field])[:, None, None] for field in ("mean", "std"))
    with torch.no_grad():
        expected = by_hand(weights, (pixels / 255 - mean) / deviation, normed).flatten(2).mT
        torch.testing.assert_close(encoder(pixels), expected, atol=1e-5, rtol=1e-4)
        projected = Vgg(name=name, normed=normed).build(Origin(), 3)
        assert isinstance(projected.projection, nn.Linear)
        cells = projected.projection.weight @ expected[1, 2] + projected.projection.bias
        torch.testing.assert_close(projected(pixels)[1, 2], cells, atol=1e-5, rtol=1e-4)
    assert expected.std() > 0.01
    assert (encoder.grid, encoder.regions, encoder.prefix, encoder.native_dim, encoder.dim) == ((2, 2), 4, 0, 9, 9)


def test_published_network_is_vgg_16():
    with torch.device("meta"):
        encoder = Vgg(scratch={}).build(Origin(), None)
    # 138,357,544 parameters as published, less its three layers over 7 x 7 x 512.
    layers = (7 * 7 * 512 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
    assert sum(p.numel() for p in encoder.encoder.parameters()) == 138_357_544 - layers
    assert (encoder.grid, encoder.native_dim, encoder.transform.size) == ((7, 7), 512, 224)
    assert list(encoder.transform.processor.image_mean) == PUBLISHED["mean"]


@pytest.mark.parametrize("size", [(90, 120), (40, 30)])
def test_the_whole_picture_is_stretched_to_the_square(size):
    transform = Vgg(scratch=TINY).build(Origin(), None).transform
    noise = torch.randint(0, 256, (*size[::-1], 3), generator=torch.Generator().manual_seed(1)).byte().numpy()
    expected = np.asarray(Image.fromarray(noise).resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
    found = transform(Image.fromarray(noise)).permute(1, 2, 0).numpy().astype(int)
    np.testing.assert_allclose(found, expected, atol=1)
    assert transform.covered(size) == (0, 0, *size)


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_rebuilt_from_its_folder_without_the_published_one(tmp_path, pixels, fit):
    name = publish(tmp_path / "published", random_weights(False))
    encoder = Vgg(name=name, fit=fit).build(Origin(), 6).eval()
    (tmp_path / "saved").mkdir()
    encoder.save(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {"config.json", "preprocessor_config.json"}
    again = Vgg(name="nobody/nothing", fit=fit).build(Origin(folder=tmp_path / "saved"), 6).eval()
    again.load_state_dict(encoder.state_dict(), strict=True)
    picture = Image.effect_noise((70, 50), 60).convert("RGB")
    assert again.transform(picture).equal(encoder.transform(picture))
    assert again.transform.covered((70, 50)) == encoder.transform.covered((70, 50))
    with torch.no_grad():
        assert again(pixels).equal(encoder(pixels))


def test_untrained_encoder_stays_as_it_is(pixels):
    encoder = Vgg(scratch=TINY, normed=True).build(Origin(), 6).train()
    before = {name: value.clone() for name, value in encoder.named_buffers()}
    encoder(pixels[:, :, :16, :16]).sum().backward()
    assert all(value.equal(before[name]) for name, value in encoder.named_buffers())
    learnt = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    assert learnt == {"projection.weight", "projection.bias"}
    assert not any(parameter.requires_grad for parameter in encoder.encoder.parameters())


def test_trained_encoder_learns_and_follows_the_batch(pixels):
    encoder = Vgg(scratch=TINY, normed=True, trained=True).build(Origin(), None).train()
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.state_dict()["running_mean"].clone() for norm in norms]
    with torch.autocast("cpu", torch.bfloat16):
        encoder(pixels[:, :, :16, :16]).float().pow(2).sum().backward()
    assert len(norms) == 3
    assert not any(old.equal(norm.state_dict()["running_mean"]) for old, norm in zip(before, norms, strict=True))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    assert all(p.grad.abs().sum() > 0 for name, p in encoder.named_parameters() if p.grad is not None and p.ndim == 4)


def test_a_new_network_keeps_the_variance_of_what_it_reads():
    torch.manual_seed(0)
    encoder = Vgg(scratch={"widths": [[64] * 8], "size": 16}).build(Origin(), None)
    noise = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert 0.2 < encoder.encoder(noise).std() < 5


@pytest.mark.parametrize("size", [4, 7, 16, 21])
def test_grid_is_that_of_the_feature_map(size):
    encoder = Vgg(scratch={**TINY, "size": size}).build(Origin(), 5).eval()
    with torch.no_grad():
        assert encoder.grid == tuple(encoder.encoder(torch.zeros(1, 3, size, size)).shape[2:])
        assert encoder(torch.zeros(0, 3, size, size, dtype=torch.uint8)).shape == (0, math.prod(encoder.grid), 5)


BROKEN = {
    r"expected a tensor features\.10\.weight, found none": lambda weights: weights.pop("features.10.weight"),
    r"found none for features\.2\.bias": lambda weights: weights.pop("features.2.bias"),
    r"found tensors features\.31\.weight besides": lambda weights: weights.update(
        {"features.31.weight": torch.zeros(1)}
    ),
    r"expected features\.5\.weight of size \(6, 5, 3, 3\), found \(6, 4, 3, 3\)": lambda weights: weights.update(
        {"features.5.weight": torch.zeros(6, 4, 3, 3)}
    ),
}


@pytest.mark.parametrize(("message", "change"), BROKEN.items())
def test_weights_of_another_network_are_refused(tmp_path, message, change):
    weights = random_weights(False)
    change(weights)
    with pytest.raises(ValueError, match=message):
        Vgg(name=publish(tmp_path, weights)).build(Origin(), 6)


def test_other_mistakes_are_named(tmp_path):
    name = publish(tmp_path, random_weights(False), "vgg19")
    with pytest.raises(ValueError, match=r"expected vgg16 \(normed = False\), found vgg19"):
        Vgg(name=name).build(Origin(), 6)
    with pytest.raises(
        OSError, match="expected a folder with timm's vgg16_bn or such a model of the hub, found neither"
    ):
        Vgg(name="nobody/nothing", normed=True).build(Origin(), 6)
    (tmp_path / "config.json").write_text('{"depth": 3}')
    with pytest.raises(ValueError, match=r"config\.json: expected the widths of a VGG"):
        Vgg().build(Origin(folder=tmp_path), 6)


@pytest.mark.parametrize(
    ("scratch", "message"),
    [
        ({"width": [[1]]}, "expected the fields widths and size, found 'width'"),
        ({"size": 0}, "expected a size in pixels of at least 1, found 0"),
        ({"widths": [4]}, "expected widths as lists of numbers of channels"),
        ({"widths": [[4], []]}, "expected stages of one convolution or more"),
        ({"widths": [[4], [0]]}, "of one channel or more"),
        ({**TINY, "size": 3}, "expected pictures of 4 pixels or more for 2 stages, found 3"),
    ],
)
def test_settings_that_make_no_network_are_named(scratch, message):
    with pytest.raises(ValueError, match=message):
        Vgg(scratch=scratch).build(Origin(), 6)


def test_declaration_survives_json():
    declared = Vgg(scratch=TINY, normed=True, fit="pad")
    assert msgspec.json.decode(msgspec.json.encode(declared), type=Vgg) == declared
