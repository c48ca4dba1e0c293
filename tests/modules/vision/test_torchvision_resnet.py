"""torchvision's residual networks, computed by hand from a folder as timm publishes it, against the encoder."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional

from babelens.modules.origin import Origin
from babelens.modules.vision.resnet import Resnet

PUBLISHED = {"input_size": [3, 32, 32], "crop_pct": 0.8, "interpolation": "bilinear", "crop_mode": "center"}
PUBLISHED |= {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "classifier": "fc"}
DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3), "resnet152": (3, 8, 36, 3)}


def random_weights(architecture):
    """Tensors under torchvision's names: the published depths, widths of a few channels."""
    generator = torch.Generator().manual_seed(0)
    weights = {}

    def convolution(name, norm, into, out, size):
        weights[f"{name}.weight"] = torch.randn(out, into, size, size, generator=generator) / math.sqrt(into) / size
        for field in ("weight", "running_var"):
            weights[f"{norm}.{field}"] = torch.rand(out, generator=generator) + 0.5
        for field in ("bias", "running_mean"):
            weights[f"{norm}.{field}"] = torch.randn(out, generator=generator) / 4
        weights[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    deep = architecture != "resnet18"
    convolution("conv1", "bn1", 3, 5, 7)
    came = 5
    for stage, depth in enumerate(DEPTHS[architecture]):
        inner = 4 + stage
        out = 4 * inner if deep else inner
        for block in range(depth):
            prefix = f"layer{stage + 1}.{block}"
            sizes = [(came, inner, 1), (inner, inner, 3), (inner, out, 1)] if deep else [(came, out, 3), (out, out, 3)]
            for place, shape in enumerate(sizes):
                convolution(f"{prefix}.conv{place + 1}", f"{prefix}.bn{place + 1}", *shape)
            if block == 0 and (stage > 0 or came != out):
                convolution(f"{prefix}.downsample.0", f"{prefix}.downsample.1", came, out, 1)
            came = out
    weights["fc.weight"], weights["fc.bias"] = torch.randn(10, came), torch.randn(10)
    return weights


def publish(folder, architecture, weights, **changes):
    folder.mkdir(exist_ok=True)
    config = {"architecture": architecture, "num_classes": 10, "pretrained_cfg": {**PUBLISHED, **changes}}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "model.safetensors")
    return str(folder)


def by_hand(weights, architecture, pictures):
    """The last feature map, as He et al. and torchvision's version 1.5 have it."""

    def step(states, name, norm, stride):
        kernel = weights[f"{name}.weight"]
        states = functional.conv2d(states, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        mean, spread, scale, shift = (
            weights[f"{norm}.{field}"][None, :, None, None]
            for field in ("running_mean", "running_var", "weight", "bias")
        )
        return (states - mean) / torch.sqrt(spread + 1e-5) * scale + shift

    states = functional.max_pool2d(step(pictures, "conv1", "bn1", 2).clamp(min=0), 3, stride=2, padding=1)
    for stage, depth in enumerate(DEPTHS[architecture]):
        for block in range(depth):
            prefix = f"layer{stage + 1}.{block}"
            stride = 2 if stage > 0 and block == 0 else 1
            shortcut = states
            if f"{prefix}.downsample.0.weight" in weights:
                shortcut = step(states, f"{prefix}.downsample.0", f"{prefix}.downsample.1", stride)
            if f"{prefix}.conv3.weight" in weights:
                states = step(states, f"{prefix}.conv1", f"{prefix}.bn1", 1).clamp(min=0)
                states = step(states, f"{prefix}.conv2", f"{prefix}.bn2", stride).clamp(min=0)
                states = step(states, f"{prefix}.conv3", f"{prefix}.bn3", 1)
            else:
                states = step(states, f"{prefix}.conv1", f"{prefix}.bn1", stride).clamp(min=0)
                states = step(states, f"{prefix}.conv2", f"{prefix}.bn2", 1)
            states = (states + shortcut).clamp(min=0)
    return states


@pytest.fixture
def pixels():
    return torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0)).byte()


@pytest.mark.parametrize("architecture", DEPTHS)
def test_equals_torchvision_by_hand(tmp_path, pixels, architecture):
    weights = random_weights(architecture)
    name = publish(tmp_path, architecture, weights, input_size=[3, 64, 64])
    encoder = Resnet(name=name).build(Origin(), None).eval()
    mean, deviation = (torch.tensor(PUBLISHED[field])[:, None, None] for field in ("mean", "std"))
    with torch.no_grad():
        expected = by_hand(weights, architecture, (pixels / 255 - mean) / deviation).flatten(2).mT
        scale = expected.abs().max()
        torch.testing.assert_close(encoder(pixels) / scale, expected / scale, atol=1e-5, rtol=1e-4)
    assert encoder.native_dim == expected.shape[2] and encoder.grid == (2, 2)
    assert expected.std() / scale > 0.01


def test_pictures_are_cut_as_published(tmp_path):
    name = publish(tmp_path, "resnet18", random_weights("resnet18"))
    transform = Resnet(name=name).build(Origin(), None).transform
    noise = torch.randint(0, 256, (90, 120, 3), generator=torch.Generator().manual_seed(1)).byte().numpy()
    picture = Image.fromarray(noise)
    resized = np.asarray(picture.resize((53, 40), Image.Resampling.BILINEAR))[4:36, 10:42]
    assert transform.size == 32
    np.testing.assert_allclose(transform(picture).permute(1, 2, 0).numpy().astype(int), resized, atol=1)
    padded = Resnet(name=name, fit="pad").build(Origin(), None).transform
    assert padded(picture)[:, 0, 0].tolist() == [124, 116, 104]


def test_rebuilt_from_its_folder_without_the_published_one(tmp_path, pixels):
    name = publish(tmp_path / "published", "resnet18", random_weights("resnet18"))
    encoder = Resnet(name=name).build(Origin(), 6).eval()
    encoder.save(tmp_path / "saved")
    again = Resnet(name="nobody/nothing").build(Origin(folder=tmp_path / "saved"), 6).eval()
    again.load_state_dict(encoder.state_dict())
    picture = Image.effect_noise((70, 50), 60).convert("RGB")
    assert again.transform(picture).equal(encoder.transform(picture))
    with torch.no_grad():
        assert again(pixels).equal(encoder(pixels))


def test_half_precision_is_read_as_32_bits(tmp_path, pixels):
    weights = {
        key: value.half() if value.is_floating_point() else value for key, value in random_weights("resnet18").items()
    }
    encoder = Resnet(name=publish(tmp_path, "resnet18", weights)).build(Origin(), 6)
    assert {value.dtype for value in encoder.encoder.parameters()} == {torch.float32}


def without(name):
    return lambda weights: weights.pop(name)


BROKEN = {
    r"found none for layer3\.1\.conv2\.weight": without("layer3.1.conv2.weight"),
    r"expected a tensor conv1\.weight": without("conv1.weight"),
    r"found tensors layer1\.0\.se\.fc1\.weight besides": lambda weights: weights.update(
        {"layer1.0.se.fc1.weight": torch.zeros(2)}
    ),
    r"expected layer4\.0\.downsample\.0\.weight of size \(7, 6, 1, 1\), found \(7, 5, 1, 1\)": lambda weights: (
        weights.update({"layer4.0.downsample.0.weight": torch.zeros(7, 5, 1, 1)})
    ),
}


@pytest.mark.parametrize(("message", "change"), BROKEN.items())
def test_weights_of_another_network_are_refused(tmp_path, message, change):
    weights = random_weights("resnet18")
    change(weights)
    with pytest.raises(ValueError, match=message):
        Resnet(name=publish(tmp_path, "resnet18", weights)).build(Origin(), 6)


def test_other_mistakes_are_named(tmp_path):
    weights = random_weights("resnet18")
    name = publish(tmp_path, "resnet152d", weights)
    with pytest.raises(ValueError, match=r"expected one of resnet18, .*resnet152, found resnet152d"):
        Resnet(name=name).build(Origin(), 6)
    publish(tmp_path, "resnet18", weights, crop_mode="squash")
    with pytest.raises(ValueError, match=r"cut from the centre .* crop_mode squash"):
        Resnet(name=name).build(Origin(), 6)
    publish(tmp_path, "resnet18", weights, mean=None)
    with pytest.raises(ValueError, match=r"expected input_size, .* in config\.json"):
        Resnet(name=name).build(Origin(), 6)
    publish(tmp_path, "resnet18", weights)
    (tmp_path / "model.safetensors").write_bytes(b"12345")
    with pytest.raises(ValueError, match="found a damaged file"):
        Resnet(name=name).build(Origin(), 6)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"expected weights in model\.safetensors, found none"):
        Resnet(name=name).build(Origin(), 6)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"expected JSON in config\.json"):
        Resnet(name=name).build(Origin(), 6)
    with pytest.raises(OSError, match="expected a folder with a model or a model of the hub, found neither"):
        Resnet(name="nobody/nothing").build(Origin(), 6)


def test_a_checkpoint_of_transformers_is_left_to_it(tmp_path):
    encoder = Resnet(scratch={"embedding_size": 4, "hidden_sizes": [8], "depths": [1]}).build(Origin(), None)
    encoder.encoder.save_pretrained(tmp_path)
    encoder.save(tmp_path)
    again = Resnet(name=str(tmp_path)).build(Origin(), None)
    assert load_file(tmp_path / "model.safetensors").keys() <= again.encoder.state_dict().keys()
