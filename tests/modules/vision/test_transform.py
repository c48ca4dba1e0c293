"""The transform against the image processors of transformers, and what it covers against marked pictures."""

import io
import json
import pickle

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers import CLIPImageProcessorPil, ConvNextImageProcessorPil

from babelens.modules.vision.transform import Normalisation, PictureTransform

# The files as published with openai/clip-vit-base-patch32 and microsoft/resnet-152, scaled down to 28 of 224 pixels.
PUBLISHED = {
    "clip": {
        "crop_size": 28,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": 28,
    },
    "resnet": {
        "crop_pct": 0.875,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "ConvNextFeatureExtractor",
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "resample": 3,
        "size": 28,
    },
}
PROCESSORS = {"clip": CLIPImageProcessorPil, "resnet": ConvNextImageProcessorPil}
SIZES = [(40, 30), (30, 41), (28, 28), (7, 9), (200, 31), (1, 1), (33, 400)]


def photograph(size, seed=0):
    """A picture of noise that is smooth enough to survive resizing."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture(params=["clip", "resnet"])
def published(request, tmp_path):
    """A transform read from a published preprocessor file, and the processor that transformers makes of it."""
    fields = PUBLISHED[request.param]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(fields))
    transform = PictureTransform.read(tmp_path, "crop")
    assert type(transform.processor) is PROCESSORS[request.param]
    return transform, PROCESSORS[request.param].from_pretrained(str(tmp_path))


@pytest.mark.parametrize("size", SIZES)
def test_transform_and_normalisation_are_the_processor(published, size):
    transform, processor = published
    picture = photograph(size)
    pixels = transform(picture)
    assert pixels.dtype == torch.uint8 and pixels.shape == (3, 28, 28) and transform.size == 28
    expected = torch.from_numpy(np.stack(processor(picture)["pixel_values"])).float()
    torch.testing.assert_close(Normalisation(transform)(pixels[None]), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(400, 300), (300, 500), (600, 240), (240, 240)])
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_covered_is_what_is_seen(published, size, fit):
    # A picture whose red says its column and whose green says its row: the square must show what it claims to.
    width, height = size
    across = np.tile(np.linspace(0, 255, width), (height, 1))
    down = np.tile(np.linspace(0, 255, height)[:, None], (1, width))
    picture = Image.fromarray(np.stack([across, down, np.zeros_like(down)], 2).round().astype(np.uint8))
    transform = PictureTransform(published[0].processor, fit)
    left, top, right, bottom = transform.covered(size)
    seen = transform(picture).double()
    columns = (left + (right - left) * (np.arange(28) + 0.5) / 28) / width * 255
    rows = (top + (bottom - top) * (np.arange(28) + 0.5) / 28) / height * 255
    # A cell wide inside the picture, where the filter meets no edge.
    for line, expected in ((seen[0, 14], columns), (seen[1, :, 14], rows)):
        inside = (expected > 12) & (expected < 243)
        assert inside.sum() > 8
        assert np.abs(line.numpy() - expected)[inside].max() < 2.0
    if fit == "pad":
        assert left <= 0 and top <= 0 and right >= width and bottom >= height
    else:
        assert left >= 0 and top >= 0 and right <= width and bottom <= height


def marked(width, height):
    """A picture whose pixels say where they are: red the column, green the row."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(width), np.arange(height)[:, None]
    return Image.fromarray(pixels)


def test_a_random_square_is_a_window_of_the_picture_at_its_own_size(published):
    transform = PictureTransform(published[0].processor, "random")
    picture, places, mirrored = marked(40, 31), set(), set()
    for draw in range(1, 400):
        columns, rows, _ = transform(picture, draw=draw).long()
        assert (columns == columns[:1]).all() and (rows == rows[:, :1]).all()
        assert rows[:, 0].diff().eq(1).all()
        steps = columns[0].diff()
        assert steps.eq(1).all() or steps.eq(-1).all()
        mirrored.add(bool(steps[0] == -1))
        places.add((int(columns.min()), int(rows.min())))
        left, top, right, bottom = transform.covered((40, 31), draw)
        assert (min(left, right), top, right < left) == (columns.min(), rows.min(), steps[0] == -1)
        assert abs(right - left) == bottom - top == 28
        assert transform(picture, draw=draw).equal(transform(picture, draw=draw))
    assert mirrored == {True, False}
    assert places == {(column, row) for column in range(13) for row in range(4)}
    # Undrawn, the middle.
    assert transform(picture)[:2, 0, 0].tolist() == [6, 1] and transform.covered((40, 31)) == (6, 1, 34, 29)


@pytest.mark.parametrize("size", [(27, 200), (300, 20), (1, 1)])
def test_a_random_square_of_a_picture_that_is_too_small_is_all_of_it_stretched(published, size):
    transform = PictureTransform(published[0].processor, "random")
    picture = photograph(size)
    stretched = picture.resize((28, 28), Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.asarray(stretched).transpose(2, 0, 1).copy())
    found = {draw: transform(picture, draw=draw) for draw in range(1, 30)}
    assert all(square.equal(expected) or square.equal(expected.flip(2)) for square in found.values())
    edges = {transform.covered(size, draw) for draw in found}
    assert edges == {(0, 0, *size), (size[0], 0, 0, size[1])}
    assert transform(picture).equal(expected)


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_augmented_pictures_are_random_where_a_draw_is_given(published, fit):
    plain, random = (PictureTransform(published[0].processor, kind) for kind in (fit, "random"))
    augmented = PictureTransform(published[0].processor, fit, augmented=True)
    picture = photograph((60, 50))
    assert augmented(picture).equal(plain(picture)) and plain(picture, draw=5).equal(plain(picture))
    assert augmented(picture, draw=5).equal(random(picture, draw=5)) and not augmented(picture, draw=5).equal(
        plain(picture)
    )
    assert augmented.covered((60, 50)) == plain.covered((60, 50))
    assert augmented.covered((60, 50), 5) == random.covered((60, 50), 5)
    assert [one.draws(training) for one in (plain, augmented, random) for training in (False, True)] == [
        False,
        False,
        False,
        True,
        True,
        True,
    ]


def test_padding_is_the_mean_colour_and_normalises_to_nothing(published):
    transform = PictureTransform(published[0].processor, "pad")
    pixels = transform(Image.new("RGB", (100, 20), (255, 255, 255)))
    values = Normalisation(transform)(pixels[None])[0]
    rows = pixels.eq(255).all(0).all(1)
    assert rows.sum() == 6 and rows[11:17].all()
    assert values[:, ~rows].abs().max() < 0.01
    assert transform.covered((100, 20)) == pytest.approx((0, -11 * 20 / 6, 100, 17 * 20 / 6))
    assert transform(Image.new("RGB", (1, 5000))).shape == (3, 28, 28)


@pytest.mark.parametrize("size", [(90, 60_000), (60_000, 3)])
def test_strips_are_seen_in_their_middle_without_being_blown_up(published, size):
    transform, _ = published
    picture = Image.new("RGB", size, (0, 0, 0))
    long = max(size)
    middle = (
        (0, long // 2 - 200, size[0], long // 2 + 200) if size[1] == long else (long // 2 - 200, 0, long // 2 + 200, 3)
    )
    picture.paste((200, 100, 50), middle)
    largest = []
    resize = Image.Image.resize

    def watched(self, new_size, *arguments, **options):
        largest.append(max(new_size))
        return resize(self, new_size, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image.Image, "resize", watched)
        pixels = transform(picture)
    assert max(largest) <= 32 * 16
    left, top, right, bottom = transform.covered(size)
    assert (left + right) / 2 == pytest.approx(size[0] / 2, abs=min(size) / 20 + 1)
    assert (top + bottom) / 2 == pytest.approx(size[1] / 2, abs=min(size) / 20 + 1)
    assert pixels[:, 14, 14].tolist() == [200, 100, 50]


def test_survives_pickling(published):
    picture = photograph((50, 40))
    for fit in ("crop", "pad", "random"):
        transform = PictureTransform(published[0].processor, fit)
        buffer = io.BytesIO()
        pickle.dump(transform, buffer)
        assert pickle.loads(buffer.getvalue())(picture).equal(transform(picture))


def test_new_encoders_read_a_centre_crop(tmp_path):
    transform = PictureTransform.sized(16, "crop")
    transform.processor.save_pretrained(tmp_path)
    again = PictureTransform.read(tmp_path, "crop")
    picture = photograph((50, 40))
    assert transform.size == 16 and again(picture).equal(transform(picture))
    expected = picture.resize((20, 16), Image.Resampling.BICUBIC).crop((2, 0, 18, 16))
    assert transform(picture).permute(1, 2, 0).numpy().tolist() == np.asarray(expected).tolist()


def test_preprocessing_that_ends_in_no_square_is_refused():
    with pytest.raises(ValueError, match="ends in a square of one size, found size"):
        PictureTransform(CLIPImageProcessorPil(size={"shortest_edge": 28}, do_center_crop=False))
    with pytest.raises(ValueError, match="ends in a square of one size, found size"):
        PictureTransform(CLIPImageProcessorPil(size={"height": 28, "width": 14}, do_center_crop=False))


def test_a_stretching_processor_covers_the_whole_picture():
    whole = PictureTransform(CLIPImageProcessorPil(size={"height": 28, "width": 28}, do_center_crop=False))
    assert whole.covered((300, 20)) == (0, 0, 300, 20) and whole(photograph((300, 20))).shape == (3, 28, 28)
    large = PictureTransform(ConvNextImageProcessorPil(size={"shortest_edge": 384}))
    assert large.covered((640, 480)) == (0, 0, 640, 480) and large(photograph((640, 480))).shape == (3, 384, 384)


# What families of encoders come with; sizes are scaled down to 28 pixels.
SQUARE = {"size": {"height": 28, "width": 28}}
BORDER = {"size": {"shortest_edge": 32}, "crop_size": 28}
OTHERS = {
    "vit": transformers.ViTImageProcessorPil(**SQUARE),
    "deit": transformers.DeiTImageProcessorPil(size={"height": 32, "width": 32}, crop_size=28),
    "beit": transformers.BeitImageProcessorPil(size={"height": 32, "width": 32}, crop_size=28, do_center_crop=True),
    "siglip": transformers.SiglipImageProcessorPil(**SQUARE),
    "bit": transformers.BitImageProcessorPil(**BORDER),
    "mobilenet": transformers.MobileNetV2ImageProcessorPil(**BORDER),
    "mobilevit": transformers.MobileViTImageProcessorPil(**BORDER),
    "poolformer": transformers.PoolFormerImageProcessorPil(size={"shortest_edge": 28}, crop_size=28, crop_pct=0.9),
    "efficientnet": transformers.EfficientNetImageProcessorPil(**SQUARE),
    "efficientnet-shifted": transformers.EfficientNetImageProcessorPil(
        **SQUARE, rescale_offset=True, rescale_factor=1 / 127.5, include_top=False
    ),
}


@pytest.mark.parametrize("size", [(40, 30), (30, 61), (28, 28)])
@pytest.mark.parametrize("name", OTHERS)
def test_processors_of_other_families(name, size):
    processor, picture = OTHERS[name], photograph(size)
    transform = PictureTransform(processor, "crop")
    pixels = transform(picture)
    assert pixels.dtype == torch.uint8 and pixels.shape == (3, 28, 28) and transform.size == 28
    expected = torch.from_numpy(np.stack(processor(picture)["pixel_values"])).float()
    torch.testing.assert_close(Normalisation(transform)(pixels[None]), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", OTHERS)
def test_processors_of_other_families_padded(name):
    """The middle of a wide picture is that of the picture; what is beyond normalises to nothing."""
    transform = PictureTransform(OTHERS[name], "pad")
    pixels = transform(Image.new("RGB", (56, 14), (250, 120, 3)))
    colour = [3, 120, 250] if name == "mobilevit" else [250, 120, 3]
    assert pixels[:, 14, 14].tolist() == colour
    assert Normalisation(transform)(pixels[None])[0, :, 0].abs().max() < 0.02
