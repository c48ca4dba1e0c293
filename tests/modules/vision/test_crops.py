"""Crops against their encoder run on one crop at a time, and in a backbone and its checkpoint."""

from typing import Any

import msgspec
import pytest
import torch

from babelens.models.encoders import COMPACT_CLIP, COMPACT_RESNET, with_encoders
from babelens.models.spec import Model, from_plain, to_plain
from babelens.modules.declaration import DeclarationError
from babelens.modules.late import Late, View
from babelens.modules.origin import Origin
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.crops import Crops
from babelens.modules.vision.objects import CropTransform, Objects
from babelens.modules.vision.resnet import Resnet

RESNET = {"embedding_size": 4, "hidden_sizes": [8, 12], "depths": [1, 1], "layer_type": "basic", "size": 32}
CLIP = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 32,
    "patch_size": 16,
}
ENCODERS = {
    "pooled": Resnet(scratch=RESNET, pool=True),
    "resnet": Resnet(scratch=RESNET, positions=True),
    "clip": Clip(scratch=CLIP),
}


@pytest.fixture
def pixels():
    return torch.randint(0, 256, (2, 3, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()


@pytest.mark.parametrize("dim", [6, None])
@pytest.mark.parametrize("name", ENCODERS)
def test_regions_are_those_of_each_crop_in_order(name, dim, pixels):
    torch.manual_seed(0)
    encoder = Crops(ENCODERS[name], Objects(count=3)).build(Origin(), dim).eval()
    with torch.no_grad():
        found = encoder(pixels)
        for row in range(2):
            alone = [encoder.encoder(pixels[row, crop][None])[0] for crop in range(3)]
            torch.testing.assert_close(found[row], torch.cat(alone), atol=1e-5, rtol=1e-5)
        assert encoder(pixels[:0]).shape == (0, encoder.regions, encoder.dim)
        assert encoder.features(pixels[:0]).shape == (0, encoder.regions, encoder.native_dim)
    assert found.shape == (2, encoder.regions, encoder.dim)
    assert isinstance(encoder.transform, CropTransform) and encoder.transform.size == 32
    assert encoder.grid == ((1, 3) if name == "pooled" else None)


def test_boxes_lie_in_no_grid():
    assert Crops(ENCODERS["pooled"], Objects(source="boxes")).build(Origin(), 6).grid is None


def test_pooling_is_the_mean_of_the_regions(pixels):
    torch.manual_seed(0)
    pooled = Resnet(scratch=RESNET, pool=True).build(Origin(), 6).eval()
    plain = Resnet(scratch=RESNET).build(Origin(), 6).eval()
    plain.load_state_dict(pooled.state_dict())
    with torch.no_grad():
        cells = plain.encoder(plain.normalisation(pixels[0])).last_hidden_state
        expected = pooled.projection(cells.mean((2, 3)))
        torch.testing.assert_close(pooled(pixels[0])[:, 0], expected, atol=1e-5, rtol=1e-5)
    assert (pooled.regions, pooled.grid) == (1, (1, 1)) and pooled(pixels[0][:0]).shape == (0, 1, 6)
    with pytest.raises(DeclarationError, match="expected pool or positions, found both"):
        Resnet(pool=True, positions=True)


def test_gradient_reaches_every_weight(pixels):
    encoder = Crops(ENCODERS["clip"], Objects(count=3)).build(Origin(), 6)
    encoder(pixels).pow(2).sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in encoder.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder(pixels).isfinite().all()


def test_a_view_of_crops_goes_by_the_name_of_its_encoder():
    views = (View(Crops(ENCODERS["clip"])), View(Crops(ENCODERS["pooled"])))
    model = Model(Late(views=views))
    assert model.views == ("clip", "resnet")
    assert from_plain(to_plain(model)) == model
    assert from_plain(msgspec.json.decode(msgspec.json.encode(to_plain(model)))) == model
    with pytest.raises(DeclarationError, match="different encoders, found resnet, resnet"):
        Late(views=(View(Crops()), View(Resnet())))


def inner(model) -> list[Any]:
    return [view.regions.encoder for view in model.backbone.views]


def test_other_encoders_reach_the_inner_one():
    model = Model(Late(views=(View(Crops(Clip())), View(Crops()))))
    clip, resnet = inner(with_encoders(model, "compact"))
    assert clip.scratch == COMPACT_CLIP and resnet.scratch == COMPACT_RESNET and resnet.pool
    assert [encoder.scratch for encoder in inner(with_encoders(model, "random"))] == [{}, {}]


def test_rebuilt_from_its_folder(pixels, tmp_path):
    declared = Crops(ENCODERS["pooled"], Objects(count=3))
    encoder = declared.build(Origin(), 6).eval()
    encoder.save(tmp_path)
    again = declared.build(Origin(folder=tmp_path), 6).eval()
    again.load_state_dict(encoder.state_dict(), strict=True)
    with torch.no_grad():
        assert again(pixels).equal(encoder(pixels))
