"""CLIP regions against the modules of transformers, through real checkpoint folders."""

import json
import logging

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
)

from babelens.modules.origin import Origin
from babelens.modules.vision.clip import Clip

TINY = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 24,
    "patch_size": 8,
}


@pytest.fixture
def pixels():
    return torch.randint(0, 256, (3, 3, 24, 24), generator=torch.Generator().manual_seed(0)).byte()


def whole_clip():
    torch.manual_seed(0)
    text = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 9}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=TINY, projection_dim=8)).eval()


@pytest.fixture(params=["whole", "half"])
def checkpoint(request, tmp_path):
    """A published checkpoint folder: a whole CLIP model, or its vision half, with its preprocessor."""
    model = whole_clip()
    (model if request.param == "whole" else model.vision_model).save_pretrained(tmp_path)
    CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size=24).save_pretrained(tmp_path)
    return tmp_path, model


def test_regions_are_the_last_hidden_state_without_the_final_norm(checkpoint, pixels):
    folder, model = checkpoint
    encoder = Clip(name=str(folder)).build(Origin(), 16).eval()
    values = torch.stack(
        [
            torch.from_numpy(model_input)
            for model_input in CLIPImageProcessorPil.from_pretrained(str(folder))(
                [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in pixels]
            )["pixel_values"]
        ]
    ).float()
    with torch.no_grad():
        expected = model.vision_model(values, output_hidden_states=True).hidden_states[-1]
        torch.testing.assert_close(encoder(pixels), expected, atol=1e-5, rtol=1e-5)
    assert expected.shape == (3, 10, 16) and (encoder.prefix, encoder.grid) == (1, (3, 3))


def test_regions_stand_in_reading_order():
    torch.manual_seed(0)
    encoder = Clip(scratch={**TINY, "num_hidden_layers": 0}).build(Origin(), 16).eval()
    with torch.no_grad():
        blank = torch.zeros(1, 3, 24, 24, dtype=torch.uint8)
        marked = blank.clone()
        marked[:, :, 8:16, 16:24] = 255
        changed = (encoder(marked) - encoder(blank)).abs().sum(2)[0] > 1e-6
    assert torch.where(changed)[0].tolist() == [encoder.prefix + 1 * encoder.grid[1] + 2]


def test_projects_only_where_widths_differ(checkpoint, pixels):
    folder, _ = checkpoint
    same = Clip(name=str(folder)).build(Origin(), 16).eval()
    other = Clip(name=str(folder)).build(Origin(), 6).eval()
    assert not list(same.projection.parameters())
    with torch.no_grad():
        expected = same(pixels) @ other.projection.weight.T + other.projection.bias
        torch.testing.assert_close(other(pixels), expected)


def test_every_weight_learns(pixels):
    encoder = Clip(scratch=TINY).build(Origin(), 6)
    encoder(pixels).pow(2).sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_untrained_encoder_stays_as_it_is(checkpoint, pixels):
    folder, _ = checkpoint
    config = json.loads((folder / "config.json").read_text())
    config.get("vision_config", config)["attention_dropout"] = 0.5
    (folder / "config.json").write_text(json.dumps(config))
    encoder = Clip(name=str(folder), trained=False).build(Origin(), 6).train()
    assert encoder.training and not any(module.training for module in encoder.encoder.modules())
    first = encoder(pixels)
    torch.testing.assert_close(first, encoder(pixels))
    first.sum().backward()
    assert {name for name, parameter in encoder.named_parameters() if parameter.grad is not None} == {
        "projection.weight",
        "projection.bias",
    }


def test_rebuilt_from_its_folder_without_weights(checkpoint, pixels, tmp_path):
    encoder = Clip(name=str(checkpoint[0]), fit="pad").build(Origin(), 6).eval()
    encoder.save(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {"config.json", "preprocessor_config.json"}
    # The name is of no use any more: only the folder may be read.
    again = Clip(name="nobody/nothing", fit="pad").build(Origin(folder=tmp_path / "saved"), 6).eval()
    again.load_state_dict(encoder.state_dict(), strict=True)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (31, 47, 3), dtype=np.uint8))
    assert again.transform(picture).equal(encoder.transform(picture))
    with torch.no_grad():
        assert again(pixels).equal(encoder(pixels))


def test_published_size():
    config = CLIPVisionConfig()
    assert (config.hidden_size, config.num_hidden_layers, config.image_size, config.patch_size) == (768, 12, 224, 32)
    encoder = Clip(scratch={"num_hidden_layers": 1}).build(Origin(), 768).eval()
    with torch.no_grad():
        assert encoder(torch.zeros(1, 3, 224, 224, dtype=torch.uint8)).shape == (1, 50, 768)
    assert encoder.transform.covered((640, 480)) == pytest.approx((80, 0, 560, 480), abs=2)


def test_bfloat16_autocast_and_a_batch_without_pictures(pixels):
    torch.manual_seed(0)
    encoder = Clip(scratch=TINY).build(Origin(), 6)
    with torch.autocast("cpu", torch.bfloat16):
        regions = encoder(pixels)
        regions.float().sum().backward()
    torch.testing.assert_close(regions.float(), encoder(pixels), atol=0.1, rtol=0.1)
    assert encoder(pixels[:0]).shape == (0, 10, 6)


def test_mistakes_are_named(tmp_path, checkpoint):
    with pytest.raises(ValueError, match=r"fields of CLIPVisionConfig, found 'hiden_size'"):
        Clip(scratch={"hiden_size": 4}).build(Origin(), 4)
    with pytest.raises(ValueError, match=r"values for CLIPVisionConfig, found .*'wide'"):
        Clip(scratch={"hidden_size": "wide"}).build(Origin(), 4)
    bert = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertModel(bert).save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match=r"bert: expected a model of type clip or clip_vision_model, found bert"):
        Clip(name=str(tmp_path / "bert")).build(Origin(), 4)
    folder, _ = checkpoint
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)
    with pytest.raises(ValueError, match=r"expected pictures of 24 pixels .* gives 32"):
        Clip(name=str(folder)).build(Origin(), 4)


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path):
    model = CLIPVisionModel(CLIPVisionConfig(**TINY))
    weights = {name: weight for name, weight in model.state_dict().items() if "layers.1." not in name}
    model.save_pretrained(tmp_path, state_dict=weights)
    CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size=24).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"expected all weights of CLIPVisionModel, found none for .*layers\.1\."):
        Clip(name=str(tmp_path)).build(Origin(), 16)


def test_weights_of_other_sizes_are_refused(checkpoint):
    folder, _ = checkpoint
    config = json.loads((folder / "config.json").read_text())
    config.get("vision_config", config)["intermediate_size"] = 32
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="expected weights of the sizes in its configuration"):
        Clip(name=str(folder)).build(Origin(), 16)


@pytest.mark.parametrize("name", ["some/model", "/no/such/folder"])
def test_a_name_that_leads_nowhere_is_told(name):
    with pytest.raises(OSError, match=rf"{name}: expected a folder with a model or a model of the hub, found neither"):
        Clip(name=name).build(Origin(), 16)


def test_the_other_half_of_clip_is_no_warning(checkpoint):
    # A handler of its own: under CI the library hands its records to the root as well, and caplog would hear twice.
    said: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: said.append(record.getMessage())
    library = logging.getLogger("transformers")
    library.addHandler(listener)
    try:
        Clip(name=str(checkpoint[0])).build(Origin(), 16)
        assert not said
        library.warning("heard")
        assert said == ["heard"]
    finally:
        library.removeHandler(listener)


def test_declaration_survives_json():
    declared = Clip(name="some/model", fit="pad", trained=False)
    assert msgspec.json.decode(msgspec.json.encode(declared), type=Clip) == declared
