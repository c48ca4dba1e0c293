"""Regions of vision transformers of many families against the classes of transformers, through checkpoint folders."""

import json
import shutil

import msgspec
import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from babelens.modules.origin import Origin
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.vit import Vit

TINY = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 24,
    "patch_size": 8,
}
TEXT = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 9}
SQUARE = {"size": {"height": 24, "width": 24}}
CROP = {"size": {"shortest_edge": 28}, "crop_size": 24}


def whole(config):
    """A model of text and pictures."""
    return lambda: hf.AutoModel.from_config(config(text_config=TEXT, vision_config=TINY, projection_dim=8))


# The model that is saved, its processor, what of it makes the regions, and the tokens of no place.
FAMILIES = {
    "vit": (lambda: hf.ViTForImageClassification(hf.ViTConfig(**TINY)), hf.ViTImageProcessorPil(**SQUARE), "vit", 1),
    "deit": (
        lambda: hf.DeiTForImageClassificationWithTeacher(hf.DeiTConfig(**TINY)),
        hf.DeiTImageProcessorPil(size={"height": 30, "width": 30}, crop_size=24),
        "deit",
        2,
    ),
    "beit": (
        lambda: hf.BeitModel(hf.BeitConfig(**TINY, use_relative_position_bias=True, use_mask_token=True)),
        hf.BeitImageProcessorPil(size={"height": 28, "width": 28}, crop_size=24, do_center_crop=True),
        None,
        1,
    ),
    # Trained on larger pictures than its processor gives: it stretches its positions.
    "dinov2": (
        lambda: hf.Dinov2Model(hf.Dinov2Config(**{**TINY, "image_size": 40})),
        hf.BitImageProcessorPil(**CROP),
        None,
        1,
    ),
    "registers": (
        lambda: hf.Dinov2WithRegistersModel(hf.Dinov2WithRegistersConfig(**TINY, num_register_tokens=3)),
        hf.BitImageProcessorPil(**CROP),
        None,
        4,
    ),
    "siglip": (whole(hf.SiglipConfig), hf.SiglipImageProcessorPil(**SQUARE), "vision_model", 0),
    "siglip-half": (
        lambda: hf.SiglipVisionModel(hf.SiglipVisionConfig(**TINY)),
        hf.SiglipImageProcessorPil(**SQUARE),
        None,
        0,
    ),
    "clip": (whole(hf.CLIPConfig), hf.CLIPImageProcessorPil(**CROP), "vision_model", 1),
    "metaclip-2": (whole(hf.MetaClip2Config), hf.CLIPImageProcessorPil(**CROP), "vision_model", 1),
    "ijepa": (lambda: hf.IJepaModel(hf.IJepaConfig(**TINY)), hf.ViTImageProcessorPil(**SQUARE), None, 0),
}


@pytest.fixture(scope="module", params=FAMILIES)
def published(request, tmp_path_factory):
    """A folder as published, the model that makes its regions, its processor, and the number of prefix tokens."""
    make, processor, part, prefix = FAMILIES[request.param]
    torch.manual_seed(0)
    model = make().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.02)
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder, getattr(model, part) if part else model, processor, prefix


@pytest.fixture
def pictures():
    noise = np.random.default_rng(0).integers(0, 256, (2, 30, 34, 3), dtype=np.uint8)
    return [Image.fromarray(own) for own in noise]


def built(folder, dim=16, **fields):
    return Vit(name=str(folder), **fields).build(Origin(), dim)


def test_regions_are_the_last_hidden_state(published, pictures):
    folder, model, processor, prefix = published
    encoder = built(folder).eval()
    values = torch.from_numpy(np.stack(processor(pictures)["pixel_values"])).float()
    pixels = torch.stack([encoder.transform(picture) for picture in pictures])
    with torch.no_grad():
        expected = model(values).last_hidden_state
        torch.testing.assert_close(encoder(pixels), expected, atol=1e-5, rtol=1e-5)
    assert (encoder.prefix, encoder.grid, encoder.regions) == (prefix, (3, 3), prefix + 9)
    assert expected.shape == (2, encoder.regions, encoder.native_dim)


def test_every_weight_learns_and_the_rest_is_gone(published, pictures):
    encoder = built(published[0], dim=6)
    pixels = torch.stack([encoder.transform(picture) for picture in pictures])
    encoder(pixels).pow(2).sum().backward()
    assert not [name for name, weight in encoder.named_parameters() if weight.grad is None]
    assert encoder.native_dim == 16 and encoder(pixels).shape == (2, encoder.regions, 6)
    assert not any(gone in name for name in encoder.state_dict() for gone in ("pooler", "head.", "mask_token"))


def test_regions_stand_in_reading_order(published):
    """The picture's part to which a region answers most is its own patch."""
    encoder = built(published[0]).eval()
    with torch.no_grad():
        for name, weight in encoder.encoder.named_parameters():
            # Less is exchanged between the patches than is kept.
            weight.mul_(0.3 if "layer" in name and "norm" not in name and weight.ndim > 1 else 1)
    values = encoder.normalisation(torch.full((1, 3, 24, 24), 100, dtype=torch.uint8)).requires_grad_()
    for row, column in [(0, 2), (1, 0), (2, 1)]:
        region = encoder.read(values)[0, encoder.prefix + row * 3 + column]
        (grad,) = torch.autograd.grad(region.square().sum(), values)
        cells = grad[0].abs().sum(0).reshape(3, 8, 3, 8).sum((1, 3))
        assert divmod(int(cells.argmax()), 3) == (row, column)


def test_rebuilt_from_its_folder_without_weights(published, pictures, tmp_path):
    encoder = built(published[0], dim=6, fit="pad").eval()
    encoder.save(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {"config.json", "preprocessor_config.json"}
    again = Vit(name="nobody/nothing", fit="pad").build(Origin(folder=tmp_path / "saved"), 6).eval()
    again.load_state_dict(encoder.state_dict(), strict=True)
    pixels = torch.stack([encoder.transform(picture) for picture in pictures])
    assert again.transform(pictures[0]).equal(pixels[0])
    with torch.no_grad():
        assert again(pixels).equal(encoder(pixels))


def test_masked_autoencoder_masks_nothing(tmp_path, pictures):
    """ViT-MAE shuffles patches and drops most; the oracle is a ViT with its weights, which does neither."""
    torch.manual_seed(0)
    model = hf.ViTMAEForPreTraining(hf.ViTMAEConfig(**TINY, decoder_hidden_size=8, decoder_num_attention_heads=2))
    model.save_pretrained(tmp_path)
    hf.ViTImageProcessorPil(**SQUARE).save_pretrained(tmp_path)
    oracle = hf.ViTModel(hf.ViTConfig(**TINY), add_pooling_layer=False).eval()
    oracle.load_state_dict(model.vit.state_dict())
    encoder = built(tmp_path).eval()
    pixels = torch.stack([encoder.transform(picture) for picture in pictures])
    with torch.no_grad():
        torch.testing.assert_close(
            encoder(pixels), oracle(encoder.normalisation(pixels)).last_hidden_state, atol=1e-5, rtol=0
        )
    assert encoder.prefix == 1


def test_the_processor_of_dinov3_needs_no_torchvision(tmp_path, pictures):
    torch.manual_seed(0)
    model = hf.DINOv3ViTModel(hf.DINOv3ViTConfig(**TINY, num_register_tokens=4)).eval()
    model.save_pretrained(tmp_path)
    # The fields of facebook/dinov3-vits16-pretrain-lvd1689m, scaled down.
    fields = {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_processor_type": "DINOv3ViTImageProcessorFast",
        "image_std": [0.229, 0.224, 0.225],
        "resample": 2,
        "rescale_factor": 0.00392156862745098,
        **SQUARE,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(fields))
    encoder = built(tmp_path).eval()
    bare = pictures[0].resize((24, 24), Image.Resampling.BILINEAR)
    values = (
        torch.from_numpy(np.array(bare)).permute(2, 0, 1) / 255 - torch.tensor([[[0.485]], [[0.456]], [[0.406]]])
    ) / torch.tensor([[[0.229]], [[0.224]], [[0.225]]])
    with torch.no_grad():
        expected = model(values[None]).last_hidden_state
        torch.testing.assert_close(encoder(encoder.transform(pictures[0])[None]), expected, atol=1e-5, rtol=0)
    assert (encoder.prefix, encoder.grid) == (5, (3, 3))
    encoder.save(tmp_path / "saved")
    again = Vit().build(Origin(folder=tmp_path / "saved"), 16)
    assert again.transform(pictures[1]).equal(encoder.transform(pictures[1]))


def test_a_pooler_that_a_checkpoint_lacks_is_not_missed_but_a_layer_is(tmp_path):
    model = hf.ViTModel(hf.ViTConfig(**TINY))
    hf.ViTImageProcessorPil(**SQUARE).save_pretrained(tmp_path)
    weights = model.state_dict()
    for gone, refused in (("pooler", False), ("layers.1.", True)):
        model.save_pretrained(tmp_path, state_dict={name: own for name, own in weights.items() if gone not in name})
        if refused:
            with pytest.raises(ValueError, match=r"expected all weights of ViTModel, found none for .*layers\.1\."):
                built(tmp_path)
        else:
            built(tmp_path)


def test_untrained_encoder_stays_as_it_is(pictures):
    scratch = {**TINY, "hidden_dropout_prob": 0.5}
    encoder = Vit(scratch=scratch, trained=False).build(Origin(), 6).train()
    assert encoder.training and not any(module.training for module in encoder.encoder.modules())
    pixels = torch.stack([encoder.transform(picture) for picture in pictures])
    first = encoder(pixels)
    torch.testing.assert_close(first, encoder(pixels))
    first.sum().backward()
    learnt = {name for name, weight in encoder.named_parameters() if weight.grad is not None}
    assert learnt == {"projection.weight", "projection.bias"}


def test_published_size():
    """ViT-B/16 without its pooler: 85,798,656 weights."""
    with torch.device("meta"):
        encoder = Vit(scratch={}).build(Origin(), None)
    assert sum(weight.numel() for weight in encoder.parameters()) == 85_798_656
    assert (encoder.regions, encoder.dim, encoder.transform.size) == (197, 768, 224)


@pytest.mark.parametrize(("family", "prefix"), [("vit", 1), ("siglip_vision_model", 0), ("clip_vision_model", 1)])
def test_new_encoders_know_where_patches_are(family, prefix):
    encoder = Vit(scratch={"model_type": family, **TINY}).build(Origin(), None)
    (name,) = (name for name, _ in encoder.named_parameters() if "position_embedding" in name)
    table = encoder.get_parameter(name).detach().reshape(-1, 16)
    assert len(table) == prefix + 9 and not table[:prefix].any()
    places = table[prefix:].reshape(3, 3, 16)
    # Half of the width tells the row, half the column.
    assert places[:, 0, :8].equal(places[:, 2, :8]) and places[0, :, 8:].equal(places[2, :, 8:])
    assert (places[0] - places[1]).abs().max() > 0.1 and (places[:, 0] - places[:, 1]).abs().max() > 0.1


def test_bfloat16_autocast_and_a_batch_without_pictures(pictures):
    torch.manual_seed(0)
    encoder = Vit(scratch={"model_type": "siglip_vision_model", **TINY}).build(Origin(), 6)
    pixels = torch.stack([encoder.transform(picture) for picture in pictures])
    with torch.autocast("cpu", torch.bfloat16):
        regions = encoder(pixels)
        regions.float().sum().backward()
    torch.testing.assert_close(regions.float(), encoder(pixels), atol=0.1, rtol=0.1)
    assert encoder(pixels[:0]).shape == (0, 9, 6)


def test_other_families_are_told_what_takes_them(tmp_path):
    folders = {}
    for name, model in {
        "siglip": FAMILIES["siglip"][0](),
        "vit": hf.ViTModel(hf.ViTConfig(**TINY)),
        "convnext": hf.ConvNextModel(hf.ConvNextConfig(hidden_sizes=[4, 4], depths=[1, 1], num_stages=2)),
        "bert": hf.BertModel(hf.BertConfig(**TEXT)),
        "yolos": hf.YolosModel(hf.YolosConfig(**{**TINY, "image_size": [24, 24], "num_detection_tokens": 2})),
    }.items():
        folders[name] = tmp_path / name
        model.save_pretrained(folders[name])
    with pytest.raises(ValueError, match=r'clip_vision_model, found siglip; declare regions.type = "vit"'):
        Clip(name=str(folders["siglip"])).build(Origin(), 4)
    with pytest.raises(ValueError, match=r'vision transformer, found convnext; declare regions.type = "feature-map"'):
        built(folders["convnext"])
    with pytest.raises(ValueError, match=r"expected a vision transformer, found bert$"):
        built(folders["bert"])
    with pytest.raises(ValueError, match=r"expected a vision transformer, found yolos$"):
        built(folders["yolos"])
    with pytest.raises(OSError, match=r"no/model: expected a folder with a model or a model of the hub, found neither"):
        built("no/model")
    shutil.copy(folders["vit"] / "config.json", tmp_path / "config.json")
    with pytest.raises(OSError, match="preprocessor_config"):
        built(tmp_path)
    hf.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folders["vit"])
    with pytest.raises(ValueError, match=r"vit: expected a vit model that reads pictures of 32 x 32 pixels.*24\*24"):
        built(folders["vit"])


@pytest.mark.parametrize(
    ("scratch", "message"),
    [
        ({"hiden_size": 4}, r"fields of ViTConfig, found 'hiden_size'"),
        ({"model_type": "vitt"}, r"a model_type that transformers knows \(vit, ...\), found 'vitt'"),
        ({"model_type": "bert"}, r"scratch: expected a vision transformer, found bert"),
        ({"model_type": "swin"}, r'found swin; declare regions.type = "feature-map"'),
        ({"image_size": 0}, r"a size in pixels of at least 1"),
        ({"hidden_size": "wide"}, r"values for ViTConfig, found .*'wide'"),
        ({**TINY, "patch_size": 32}, r"expected a last hidden state of square grids|reads pictures of 24 x 24"),
        ({"model_type": "siglip2_vision_model"}, r"expected a siglip2_vision_model model that reads pictures of"),
    ],
)
def test_configurations_that_make_no_encoder(scratch, message):
    with pytest.raises(ValueError, match=message):
        Vit(scratch=scratch).build(Origin(), 4)


def test_declaration_survives_json():
    declared = Vit(name="some/model", fit="pad", trained=False)
    assert msgspec.json.decode(msgspec.json.encode(declared), type=Vit) == declared
