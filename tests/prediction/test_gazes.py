"""Where a model looked, against its attention asked directly."""

import numpy as np
import pytest
import torch
from PIL import Image

from babelens.models.checkpoint import new_tagger
from babelens.models.spec import Model
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.modules.late import Late, View
from babelens.modules.vision.clip import Clip
from babelens.prediction.ask import Ask
from babelens.prediction.gazes import grids
from babelens.prediction.predictor import Predictor
from babelens.prediction.rows import text_row

TEXT = "Anna Lindqvist visited Paris with Siemens"
LOOK = Ask(regions=True)


def picture(size):
    image = Image.new("RGB", size, (0, 90, 30))
    image.paste((255, 240, 0), (0, 0, size[0] // 3, size[1]))
    return image


def totals(gazes):
    return sum(sum(map(sum, gaze.weights)) + gaze.elsewhere for gaze in gazes)


@pytest.mark.parametrize("sizes", [[(64, 48)], [(40, 80), (50, 50)]])
def test_weights_are_the_mean_attention_and_add_up_to_one(tiny_tagger, sizes):
    pictures = [picture(size) for size in sizes]
    answer = Predictor(tiny_tagger).predict(TEXT, pictures, ask=LOOK)
    made = tiny_tagger.collator()([text_row(TEXT, pictures)], labelled=False)
    attention = tiny_tagger.attention(made)
    assert [(one.view, one.image, one.size) for one in answer.regions] == [
        (view, number, size) for view in attention for number, size in enumerate(sizes)
    ]
    words = TEXT.split()
    for view, weights in attention.items():
        mean = weights[0].mean(0)
        grid = grids(tiny_tagger)[view]
        own = [number for number, one in enumerate(answer.regions) if one.view == view]
        asked = [(0, len(words), [answer.regions[number].gaze for number in own])]
        for mention in answer.entities:
            start = len(TEXT[: mention.start].split())
            end = start + len(mention.text.split())
            asked.append((start, end, [mention.regions[number] for number in own]))
        for start, end, gazes in asked:
            expected = mean[start:end].mean(0).numpy()
            assert totals(gazes) == pytest.approx(1, abs=1e-5)
            for place, gaze in enumerate(gazes):
                part = expected[place * grid.regions : (place + 1) * grid.regions]
                cells = part[grid.prefix :].reshape(grid.rows, grid.columns)
                np.testing.assert_allclose(np.array(gaze.weights), cells, atol=1e-6)
                assert gaze.elsewhere == pytest.approx(part[: grid.prefix].sum(), abs=1e-6)


def test_a_picture_that_cannot_be_opened_leaves_the_others_their_places(tiny_tagger):
    good = picture((64, 48))
    answer = Predictor(tiny_tagger).predict(TEXT, [b"broken", good, "nowhere.jpg"], ask=LOOK)
    alone = Predictor(tiny_tagger).predict(TEXT, good, ask=LOOK)
    assert answer.regions == alone.regions and [one.image for one in answer.regions] == [0, 0]


def tagger_of(clip, tiny_tagger):
    torch.manual_seed(1)
    text = tiny_tagger.model.backbone.text
    return new_tagger(Model(Late(text, (View(clip, CrossAttention(heads=2)),))), tiny_tagger.tags, lambda: [["a"]])


SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.mark.parametrize(
    ("fit", "size", "box"),
    [
        # The short side goes to 32 pixels and the middle of the long one is cut: 16 of 64 pixels go on either side.
        ("crop", (128, 64), (32.0, 0.0, 96.0, 64.0)),
        ("crop", (64, 64), (0.0, 0.0, 64.0, 64.0)),
        # The long side goes to 32, and the rest is filled above and below.
        ("pad", (128, 64), (0.0, -32.0, 128.0, 96.0)),
    ],
)
def test_the_box_is_what_the_grid_shows_of_the_picture(tiny_tagger, fit, size, box):
    clip = Clip(scratch={**SMALL, "image_size": 32, "patch_size": 16}, fit=fit)
    answer = Predictor(tagger_of(clip, tiny_tagger)).predict(TEXT, picture(size), ask=LOOK)
    (regions,) = answer.regions
    assert (regions.size, regions.box) == (size, box)
    assert (len(regions.gaze.weights), len(regions.gaze.weights[0])) == (2, 2)
    plain = answer.to_dict()["regions"][0]
    assert plain["box"] == list(box) and plain["size"] == list(size) and len(plain["weights"]) == 2


def test_a_model_without_views_has_no_grids(tiny_tagger):
    tagger = new_tagger(tiny_tagger.model.text_only(), tiny_tagger.tags, lambda: [["a"]])
    assert grids(tagger) == {} and Predictor(tagger).predict(TEXT, picture((9, 9)), ask=LOOK).regions == ()
