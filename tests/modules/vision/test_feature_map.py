"""Regions of networks of stages against the classes of transformers, through real checkpoint folders."""

from functools import cache

import msgspec
import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from torch import nn

from babelens.modules.declaration import DeclarationError
from babelens.modules.origin import Origin
from babelens.modules.vision.feature_map import FeatureMap
from babelens.modules.vision.resnet import Resnet

STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1]}
WINDOWS = {"embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 3, "image_size": 24}
BLOCKS = {
    "in_channels": [32, 8],
    "out_channels": [8, 8],
    "kernel_sizes": [3, 3],
    "strides": [2, 2],
    "num_block_repeats": [1, 1],
    "expand_ratios": [1, 2],
    "depthwise_padding": [],
    "hidden_dim": 1280,
    "width_coefficient": 1.0,
    "depth_coefficient": 1.0,
    "depth_divisor": 4,
}
CONVNEXT = hf.ConvNextImageProcessorPil(size={"shortest_edge": 24}, crop_pct=0.875)
STRETCH = hf.ViTImageProcessorPil(size={"height": 24, "width": 24})
CROP = hf.BitImageProcessorPil(size={"shortest_edge": 28}, crop_size=24)

# The model that is saved, its processor, the part of it that makes the regions, and the width of these.
FAMILIES = {
    "convnext": (
        lambda: hf.ConvNextForImageClassification(hf.ConvNextConfig(**STAGES, num_stages=2)),
        CONVNEXT,
        "convnext",
    ),
    "convnextv2": (lambda: hf.ConvNextV2Model(hf.ConvNextV2Config(**STAGES, num_stages=2)), CONVNEXT, None),
    "regnet": (
        lambda: hf.RegNetForImageClassification(hf.RegNetConfig(**STAGES, embedding_size=8, groups_width=8)),
        CONVNEXT,
        "regnet",
    ),
    "resnet": (lambda: hf.ResNetModel(hf.ResNetConfig(**STAGES, embedding_size=8)), CONVNEXT, None),
    "bit": (
        lambda: hf.BitModel(hf.BitConfig(hidden_sizes=[8, 16], depths=[1, 1], embedding_size=8, num_groups=4)),
        CROP,
        None,
    ),
    "swin": (lambda: hf.SwinForImageClassification(hf.SwinConfig(**WINDOWS)), STRETCH, "swin"),
    "swinv2": (lambda: hf.Swinv2Model(hf.Swinv2Config(**WINDOWS)), STRETCH, None),
    "focalnet": (
        lambda: hf.FocalNetModel(
            hf.FocalNetConfig(embed_dim=8, focal_levels=[1, 1], focal_windows=[3, 3], image_size=24, **STAGES)
        ),
        CROP,
        None,
    ),
    "efficientnet": (
        lambda: hf.EfficientNetForImageClassification(hf.EfficientNetConfig(**BLOCKS, image_size=24)),
        hf.EfficientNetImageProcessorPil(size={"height": 24, "width": 24}),
        "efficientnet",
    ),
    "dinov3": (lambda: hf.DINOv3ConvNextModel(hf.DINOv3ConvNextConfig(**STAGES)), STRETCH, None),
}


@cache
def made(family):
    make, processor, part = FAMILIES[family]
    torch.manual_seed(0)
    model = make().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.02)
    return model, processor, getattr(model, part) if part else model


@pytest.fixture(scope="module", params=FAMILIES)
def published(request, tmp_path_factory):
    """A folder as published, the model that makes its regions, and its processor."""
    model, processor, part = made(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder, part, processor


@pytest.fixture(scope="module")
def pictures():
    noise = np.random.default_rng(0).integers(0, 256, (2, 30, 34, 3), dtype=np.uint8)
    return [Image.fromarray(own) for own in noise]


def built(folder, dim=None, **fields):
    return FeatureMap(name=str(folder), **fields).build(Origin(), dim)


def cut(encoder, pictures):
    return torch.stack([encoder.transform(picture) for picture in pictures])


def cells_of(state):
    """A map or a sequence as regions, one by one."""
    if state.ndim == 3:
        return state
    rows, columns = state.shape[2:]
    return torch.stack([state[:, :, row, column] for row in range(rows) for column in range(columns)], 1)


def test_regions_are_the_cells_of_the_last_map(published, pictures):
    folder, model, processor = published
    encoder = built(folder).eval()
    values = torch.from_numpy(np.stack(processor(pictures)["pixel_values"])).float()
    with torch.no_grad():
        expected = cells_of(model(values).last_hidden_state)
        torch.testing.assert_close(encoder(cut(encoder, pictures)), expected, atol=1e-5, rtol=1e-4)
        assert encoder.grid == (3, 3) and encoder.regions == encoder.prefix + 9 == expected.shape[1]
        assert encoder.native_dim == encoder.dim == expected.shape[2]
        pooled = built(folder, pool=True).eval()
        mean = expected[:, encoder.prefix :].mean(1, keepdim=True)
        torch.testing.assert_close(pooled(cut(pooled, pictures)), mean, atol=1e-5, rtol=1e-4)
        assert (pooled.regions, pooled.grid, pooled.prefix) == (1, (1, 1), 0)


@pytest.mark.parametrize("published", ["convnext", "swin", "swinv2", "focalnet", "dinov3"], indirect=True)
def test_regions_stand_in_reading_order(published):
    """What a cell answers to lies further right for a cell further right, and further down for one further down."""
    encoder = built(published[0]).eval()
    values = encoder.normalisation(torch.full((1, 3, 24, 24), 100, dtype=torch.uint8)).requires_grad_()
    regions = encoder.read(values)[0]
    weights = torch.randn(regions.shape[1], generator=torch.Generator().manual_seed(0))
    middles = []
    for place in (0, 2, 6):
        region = regions[encoder.prefix + place]
        (grad,) = torch.autograd.grad((region * weights).sum(), values, retain_graph=True)
        answer, pixels = grad[0].square().sum(0), torch.arange(24.0)
        middles.append([float((answer.sum(axis) * pixels).sum() / answer.sum()) for axis in (1, 0)])
    (top, left), (_, right), (bottom, _) = middles
    assert bottom - top > 3 and right - left > 3


def test_every_weight_learns_and_a_folder_rebuilds_it(published, pictures, tmp_path):
    encoder = built(published[0], 6, positions=True)
    pixels = cut(encoder, pictures)
    regions = encoder(pixels)
    (regions * torch.randn_like(regions)).sum().backward()
    assert not [name for name, weight in encoder.named_parameters() if weight.grad is None]
    assert regions.shape == (2, encoder.regions, 6)
    encoder.eval().save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "preprocessor_config.json"}
    again = FeatureMap(name="nobody/nothing", positions=True).build(Origin(folder=tmp_path), 6).eval()
    again.load_state_dict(encoder.state_dict(), strict=True)
    assert cut(again, pictures).equal(pixels)
    with torch.no_grad():
        assert again(pixels).equal(encoder(pixels))


def test_a_resnet_is_the_same_through_both_declarations(pictures, tmp_path):
    model, processor, _ = made("resnet")
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    fields = {"name": str(tmp_path), "norm": "batch", "positions": True}
    torch.manual_seed(1)
    special = Resnet(**fields).build(Origin(), 6)
    torch.manual_seed(1)
    general = FeatureMap(**fields).build(Origin(), 6)
    assert general.state_dict().keys() == special.state_dict().keys()
    pixels = cut(general, pictures)
    assert general.train()(pixels).equal(special.train()(pixels))


@pytest.mark.parametrize("norm", ["frozen", "batch", "drifting"])
@pytest.mark.parametrize("trained", [True, False])
def test_statistics(pictures, norm, trained):
    scratch = {"model_type": "regnet", **STAGES, "embedding_size": 8, "groups_width": 8, "size": 24}
    encoder = FeatureMap(scratch=scratch, norm=norm, trained=trained).build(Origin(), 6).train()
    pixels = cut(encoder, pictures)
    before = {name: value.clone() for name, value in encoder.named_buffers() if "running" in name}
    encoder(pixels).sum().backward()
    drifted = norm == "drifting" or (norm == "batch" and trained)
    assert all(value.equal(before[name]) != drifted for name, value in encoder.named_buffers() if name in before)
    learnt = {name.partition(".")[0] for name, weight in encoder.named_parameters() if weight.grad is not None}
    assert learnt == ({"encoder", "projection"} if trained else {"projection"})
    assert not any(module.training for module in encoder.eval().modules() if isinstance(module, nn.BatchNorm2d))


def test_published_size():
    """ConvNeXt-T without classifier and without the norm of what is pooled: 27,818,592 weights."""
    with torch.device("meta"):
        encoder = FeatureMap(scratch={}).build(Origin(), None)
    assert sum(weight.numel() for weight in encoder.parameters()) == 27_818_592
    assert (encoder.regions, encoder.dim, encoder.transform.size) == (49, 768, 224)


def test_bfloat16_autocast_and_a_batch_without_pictures(pictures):
    torch.manual_seed(0)
    encoder = FeatureMap(scratch={**STAGES, "num_stages": 2, "size": 24}).build(Origin(), 6)
    pixels = cut(encoder, pictures)
    with torch.autocast("cpu", torch.bfloat16):
        regions = encoder(pixels)
        regions.float().sum().backward()
    torch.testing.assert_close(regions.float(), encoder(pixels), atol=0.1, rtol=0.1)
    assert encoder(pixels[:0]).shape == (0, 9, 6)


def test_mistakes_are_named(tmp_path):
    with pytest.raises(DeclarationError, match="expected pool or positions, found both"):
        FeatureMap(pool=True, positions=True)
    with pytest.raises(ValueError, match=r"fields of ConvNextConfig, found 'hiden_sizes'"):
        FeatureMap(scratch={"hiden_sizes": [4]}).build(Origin(), 4)
    with pytest.raises(ValueError, match=r'with a feature map, found vit; declare regions.type = "vit"'):
        FeatureMap(scratch={"model_type": "vit"}).build(Origin(), 4)
    hf.ConvNextModel(hf.ConvNextConfig(**STAGES, num_stages=2)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r'of type resnet, found convnext; declare regions.type = "feature-map"'):
        Resnet(name=str(tmp_path)).build(Origin(), 4)


def test_declaration_survives_json():
    declared = FeatureMap(name="some/model", fit="pad", norm="batch", pool=True)
    assert msgspec.json.decode(msgspec.json.encode(declared), type=FeatureMap) == declared
