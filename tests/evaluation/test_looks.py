import numpy as np
import pytest
import torch
from PIL import Image

from babelens.data.images import Picture
from babelens.evaluation.looks import looks
from babelens.models.batch import Row
from babelens.models.checkpoint import new_tagger
from babelens.models.spec import Model
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.modules.late import Late, View
from babelens.modules.vision.clip import Clip
from babelens.schema import Entity, Example

SPANS = [[Entity(0, 2, "PER"), Entity(3, 4, "LOC")], [Entity(1, 3, "ORG")], []]


def rows() -> list[Row]:
    """Two rows with pictures of different sizes, and one without."""
    pictures = {"a": Image.new("RGB", (64, 48), "red"), "b": Image.new("RGB", (40, 80), "teal")}

    def open_one(key: str) -> Picture:
        return Picture(key, pictures[key], "used")

    words = (("Anna", "Lindqvist", "visited", "Paris"), ("The", "team", "of", "Siemens"), ("in", "2019"))
    examples = [Example(f"r{number}", words[number], images=(key,)) for number, key in enumerate("ab")]
    return [*(Row(example, example.images, open_one) for example in examples), Row(Example("r2", words[2]))]


@pytest.mark.parametrize("batch", [1, 16])
def test_looks_are_the_mean_attention_of_the_words_of_an_entity(tiny_tagger, batch: int) -> None:
    found = looks(tiny_tagger, rows(), SPANS, batch=batch)
    assert [list(one) for one in found] == SPANS
    expected = tiny_tagger.attention(tiny_tagger.collator()(rows(), labelled=False))
    for number, entities in enumerate(SPANS):
        for entity in entities:
            views = {look.view: look for look in found[number][entity]}
            assert set(views) == set(expected)
            for view, look in views.items():
                heads, _, regions = expected[view][number].shape
                total = torch.zeros(regions)
                for head in range(heads):
                    for word in range(entity.start, entity.end):
                        total += expected[view][number, head, word]
                total /= heads * (entity.end - entity.start)
                places = total[-look.weights.size :].numpy()  # what stands before the grid has no place
                np.testing.assert_allclose(look.weights.ravel(), places, atol=1e-5)
                assert 0 <= look.weights.sum() <= 1 + 1e-5


def test_the_box_of_a_random_square_is_where_its_pixels_came_from(tiny_tagger) -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    clip = Clip(scratch={**small, "image_size": 32, "patch_size": 16}, fit="random")
    model = Model(Late(tiny_tagger.model.backbone.text, (View(clip, CrossAttention(heads=2)),)))
    tagger = new_tagger(model, tiny_tagger.tags, lambda: [["Paris"]])
    boxes = set()
    for mark in range(8):
        # Red says the column and green the row; blue only makes another draw.
        pixels = np.full((70, 90, 3), mark, dtype=np.uint8)
        pixels[..., 0], pixels[..., 1] = np.arange(90), np.arange(70)[:, None]
        image = Image.fromarray(pixels)
        row = Row(Example("r", ("Paris",)), ("a",), lambda key, image=image: Picture(key, image, "used"))
        [found] = looks(tagger, [row], [[Entity(0, 1, "LOC")]])
        [look] = found[Entity(0, 1, "LOC")]
        square = tagger.collator()([row], labelled=False).pixels[0][0].long()
        near, far = square[:2, 0, 0], square[:2, -1, -1]
        left, right = (near[0], far[0] + 1) if near[0] < far[0] else (near[0] + 1, far[0])
        assert look.box == (left, near[1], right, far[1] + 1)
        boxes.add(look.box)
    assert len(boxes) > 4


def test_a_row_without_a_picture_has_no_looks(tiny_tagger) -> None:
    [found] = looks(tiny_tagger, rows()[2:], [[Entity(0, 1, "LOC")]])
    assert found == {Entity(0, 1, "LOC"): ()}


def test_no_rows_have_no_looks(tiny_tagger) -> None:
    assert looks(tiny_tagger, [], []) == []
