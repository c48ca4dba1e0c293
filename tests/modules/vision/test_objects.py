"""Where crops are, counted by hand, and that each is cut as a picture of its own would be."""

import math
import pickle
from typing import Any

import msgspec
import pytest
import torch
from PIL import Image

from babelens.modules.backbone import Transform
from babelens.modules.declaration import DeclarationError
from babelens.modules.vision.objects import CropTransform, Objects
from babelens.modules.vision.transform import Normalisation, PictureTransform
from babelens.schema import Box

SIZE = (100, 60)


def box(left, top, right, bottom, label=None, score=None, group=None):
    return Box(float(left), float(top), float(right), float(bottom), label, score, group)


def edges(places) -> list[Any]:
    return [None if place is None else (place.left, place.top, place.right, place.bottom) for place in places]


def boxed(*boxes, size=SIZE, **declared) -> list[Any]:
    return edges(Objects(source="boxes", **declared).places(size, boxes))


@pytest.mark.parametrize(
    ("count", "split"), [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 2)), (5, (1, 5)), (6, (2, 3)), (12, (3, 4))]
)
def test_grid_is_the_most_square_one_and_covers_every_pixel_once(count, split):
    objects = Objects(count=count)
    assert objects.split == split
    seen = torch.zeros(SIZE[1], SIZE[0])
    for place in edges(objects.places(SIZE, ())):
        left, top, right, bottom = map(int, place)
        seen[top:bottom, left:right] += 1
    assert seen.eq(1).all()


def test_grid_reads_rows_first_and_ignores_boxes():
    expected = [(0, 0, 50, 30), (50, 0, 100, 30), (0, 30, 50, 60), (50, 30, 100, 60)]
    assert edges(Objects().places(SIZE, [box(1, 1, 2, 2)])) == expected
    assert edges(Objects().places((1, 1), ())) == [(0, 0, 1, 1)] * 4
    assert edges(Objects(count=3).places((2, 5), ())) == [(0, 0, 1, 5), (0, 0, 1, 5), (1, 0, 2, 5)]


def test_boxes_are_clipped_and_rounded_outwards():
    assert boxed(box(-5, 10.6, 20.1, 99), count=1) == [(0, 10, 21, 60)]
    assert boxed(box(3.2, 3.3, 3.4, 3.5), count=1) == [(3, 3, 4, 4)]
    assert boxed(box(99.7, 59.9, 200, 200), count=1) == [(99, 59, 100, 60)]
    assert boxed(box(-1e300, -1e300, 1e300, 1e300), count=1) == [(0, 0, 100, 60)]


@pytest.mark.parametrize(
    "odd",
    [
        box(5, 5, 5, 9),
        box(9, 5, 5, 9),
        box(100, 0, 120, 10),
        box(-9, 0, 0, 10),
        box(0, 60, 9, 61),
        box(math.nan, 0, 5, 5),
        box(0, 0, math.inf, 5),
    ],
)
def test_boxes_without_extent_in_the_picture_are_none(odd):
    assert boxed(odd, box(1, 1, 2, 2), count=2) == [(1, 1, 2, 2), None]


def test_best_scores_come_first_and_boxes_without_a_score_last():
    boxes = [box(0, 0, 1, 1), box(1, 0, 2, 1, score=0.2), box(2, 0, 3, 1, score=0.9), box(3, 0, 4, 1)]
    assert [place[0] for place in boxed(*boxes, count=4)] == [2, 1, 0, 3]
    assert [place[0] for place in boxed(*boxes, count=2)] == [2, 1]
    assert boxed(count=2) == [None, None]


def test_each_label_has_its_best_box_in_the_order_of_labels():
    boxes = [
        box(0, 0, 1, 1, "person", 0.3),
        box(1, 0, 2, 1, "Person", 0.8),
        box(2, 0, 3, 1, "location", 0.9),
        box(3, 0, 4, 1, None, 1.0),
    ]
    assert boxed(*boxes, count=3, labels=("location", "organization", "PERSON")) == [(2, 0, 3, 1), None, (1, 0, 2, 1)]


def test_only_boxes_of_the_group_are_read():
    boxes = [box(0, 0, 1, 1, group="detector"), box(1, 0, 2, 1, group="grounding"), box(2, 0, 3, 1)]
    assert boxed(*boxes, count=2, group="grounding") == [(1, 0, 2, 1), None]
    assert [place[0] for place in boxed(*boxes, count=3)] == [0, 1, 2]


def test_which_boxes_are_read():
    one, other = box(0, 0, 1, 1, "Person", group="g"), box(0, 0, 1, 1, "dog")
    labelled = Objects(1, "boxes", labels=("person",))
    assert [[each.reads(one), each.reads(other)] for each in (Objects(), Objects(1, "boxes", group="g"), labelled)] == [
        [False, False],
        [True, False],
        [True, False],
    ]
    assert Objects(2, "boxes").reads(other)


def test_mistakes_are_named():
    with pytest.raises(DeclarationError, match=r"objects\.count: expected at least 1, found 0"):
        Objects(count=0)
    with pytest.raises(DeclarationError, match=r"expected 4 different labels.* found a, b"):
        Objects(labels=("a", "b"))
    with pytest.raises(DeclarationError, match=r"no label twice, found a, A, b"):
        Objects(count=2, labels=("a", "A", "b"))
    with pytest.raises(msgspec.ValidationError, match="source"):
        msgspec.convert({"type": "objects", "source": "regions"}, Objects)


@pytest.fixture
def picture():
    pixels = torch.randint(0, 256, (SIZE[1], SIZE[0], 3), generator=torch.Generator().manual_seed(0)).byte()
    return Image.fromarray(pixels.numpy())


@pytest.fixture(params=["crop", "pad"])
def cut(request):
    return PictureTransform.sized(16, request.param)


def test_crops_are_cut_as_pictures_of_their_own(picture, cut):
    transform = CropTransform(Objects(count=3, source="boxes"), cut)
    found = transform(picture, [box(10, 20, 50, 40, score=1.0), box(90.5, 50.5, 200, 200)])
    assert isinstance(transform, Transform)
    assert found.shape == (3, 3, 16, 16) and found.dtype == torch.uint8
    assert found[0].equal(cut(picture.crop((10, 20, 50, 40))))
    assert found[1].equal(cut(picture.crop((90, 50, 100, 60))))
    assert found[2].equal(cut(picture))
    assert pickle.loads(pickle.dumps(transform))(picture, [box(10, 20, 50, 40)])[0].equal(found[0])


def test_crops_are_random_where_pictures_would_be(picture):
    cut = PictureTransform.sized(16, "crop", augmented=True)
    transform = CropTransform(Objects(count=2), cut)
    assert (transform.draws(True), transform.draws(False)) == (True, False)
    left = picture.crop((0, 0, SIZE[0] // 2, SIZE[1]))
    assert transform(picture, draw=3)[0].equal(cut(left, draw=3)) and not cut(left, draw=3).equal(cut(left))


def test_a_zero_crop_normalises_to_zero(picture, cut):
    found = CropTransform(Objects(count=2, source="boxes", missing="zero"), cut)(picture)
    assert Normalisation(cut)(found).abs().max() < 0.5 / 255 / 0.26
    assert not found.eq(0).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (4000, 1)])
def test_odd_pictures_have_crops(size):
    assert CropTransform(Objects(), PictureTransform.sized(16, "crop"))(Image.new("RGB", size)).shape == (4, 3, 16, 16)
