"""What frozen encoders leave alone, and what they leave behind."""

import pytest
import torch

from babelens.modules.origin import Origin
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.crops import Crops
from babelens.modules.vision.resnet import Resnet
from babelens.modules.vision.vit import Vit

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
RESNET = {"embedding_size": 4, "hidden_sizes": [8, 12], "depths": [1, 1], "layer_type": "basic", "size": 32}
PIXELS = torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()


@pytest.mark.parametrize(
    ("declaration", "fixed"),
    [
        (Clip(scratch={**SMALL, "image_size": 32, "patch_size": 16}), False),
        (Clip(scratch={**SMALL, "image_size": 32, "patch_size": 16}, trained=False), True),
        (Resnet(scratch=RESNET), False),
        (Resnet(scratch=RESNET, trained=False), True),
        (Resnet(scratch=RESNET, trained=False, norm="batch"), True),
        (Resnet(scratch=RESNET, trained=False, norm="drifting"), False),
        (Crops(Resnet(scratch=RESNET, trained=False)), True),
        (Crops(Resnet(scratch=RESNET, trained=False, norm="drifting")), False),
    ],
)
def test_fixed_encoders_give_the_same_features_through_training(declaration, fixed):
    torch.manual_seed(0)
    encoder = declaration.build(Origin(), 6).train()
    assert encoder.fixed == fixed
    pixels = PIXELS[:, None].expand(-1, encoder.count, -1, -1, -1) if isinstance(declaration, Crops) else PIXELS
    optimizer = torch.optim.SGD([weight for weight in encoder.parameters() if weight.requires_grad], lr=1.0)
    before = encoder.features(pixels)
    encoder(pixels).square().sum().backward()
    optimizer.step()
    with torch.no_grad():
        after = encoder.eval().features(pixels)
    assert before.equal(after) == fixed
    assert not (fixed and before.requires_grad)


def test_an_untrained_encoder_leaves_nothing_that_gradients_cannot_pass():
    beit = {"model_type": "beit", "image_size": 32, "patch_size": 16, "use_relative_position_bias": True, **SMALL}
    frozen = Vit(scratch=beit, trained=False).build(Origin(), 6)
    frozen(PIXELS).sum().backward()
    assert frozen.projection.weight.grad is not None
    trained = Vit(scratch=beit).build(Origin(), 6)
    trained(PIXELS).sum().backward()
    assert all(weight.grad is not None for weight in trained.parameters())
