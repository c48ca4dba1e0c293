"""Pointing against cases worked by hand, a finer raster, and the pixels that encoders really get."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from babelens.data import read_corpus, read_split
from babelens.data.postcards import Sizes, read_cards, write_postcards
from babelens.evaluation.pointing import Glance, Target, glance, overlap, point, summarise, targets_of
from babelens.models.checkpoint import new_tagger
from babelens.models.encoders import COMPACT_CLIP, COMPACT_RESNET, with_encoders
from babelens.models.naming import named
from babelens.models.spec import Model
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.modules.late import Late, View
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.resnet import Resnet
from babelens.modules.vision.transform import PictureTransform
from babelens.schema import Box, Entity, InputError, TagSet

TAGS = TagSet(("LOC", "MISC", "ORG", "PER"))


def box_at(*edges):
    left, top, right, bottom = map(float, edges)
    return Box(left, top, right, bottom)


def test_a_cropped_picture_by_hand():
    # 200 x 100 cropped to the square from 50 to 150: 2 rows of 4 cells, each 25 wide and 50 high.
    covered = PictureTransform.sized(64, "crop").covered((200, 100))
    assert covered == (50, 0, 150, 100)
    box = box_at(40, 0, 85, 25)
    assert overlap(box, covered, (2, 4)) == pytest.approx(np.array([[0.5, 0.2, 0, 0], [0, 0, 0, 0]]))
    weights = np.array([[0.1, 0.2, 0.3, 0.0], [0.1, 0.2, 0.05, 0.05]])
    found = glance(weights, covered, Target(box))
    # The most attention goes to the third cell; two of eight overlap the box.
    assert found.own == pytest.approx([0, 0.1 * 0.5 + 0.2 * 0.2, 2 / 8, 0.7 / 8])
    assert found.others is None and not found.ambiguous
    weights[0, 1] = 0.35
    assert glance(weights, covered, Target(box)).own[0] == 1
    # A box that is cut away, and one that a cell only touches.
    assert glance(weights, covered, Target(box_at(0, 0, 50, 100))) == Glance(None, None, False)
    beside = glance(weights, covered, Target(box_at(150, 0, 200, 100), (box, box_at(100, 0, 150, 50)), True))
    assert beside.own is None and beside.ambiguous
    assert overlap(box_at(75, 50, 100, 100), covered, (2, 4)).tolist() == [[0, 0, 0, 0], [0, 1, 0, 0]]


def test_a_padded_picture_by_hand():
    # 200 x 100 in the middle of the square from -50 to 150: 4 x 4 cells of 50 pixels, the outer rows empty.
    covered = PictureTransform.sized(64, "pad").covered((200, 100))
    assert covered == pytest.approx((0, -50, 200, 150))
    box, other = box_at(0, 0, 50, 50), box_at(100, 50, 200, 100)
    assert overlap(box, covered, (4, 4)).nonzero() == ([1], [0])
    weights = np.zeros((4, 4))
    weights[1, 0], weights[2, 2], weights[0, 0] = 0.2, 0.2, 0.1
    found = glance(weights, covered, Target(box, (other, box_at(500, 500, 510, 510))))
    # Two cells have the most, one of them on the box and one on the other thing; padding has a fifth of the mass.
    assert found.own == pytest.approx([1 / 2, 0.4, 1 / 16, 1 / 16])
    assert found.others == pytest.approx([1 / 2, 0.4, 2 / 16, 2 / 16])


@pytest.mark.parametrize("seed", range(4))
def test_shares_of_cells_are_those_of_a_finer_raster(seed):
    generator = np.random.default_rng(seed)
    rows, columns, fine = 3, 5, 8
    left, top, across, down = (int(value) for value in generator.integers(-20, 20, 4))
    right, bottom = left + columns * fine * (abs(across) + 1), top + rows * fine * (abs(down) + 1)
    edges = (right, top, left, bottom) if seed % 2 else (left, top, right, bottom)  # mirrored or not
    covered = tuple(map(float, edges))
    x, y = np.sort(generator.integers(left - 9, right + 9, 2)), np.sort(generator.integers(top - 9, bottom + 9, 2))
    pixels = np.zeros((bottom - top, right - left))
    pixels[max(y[0] - top, 0) : max(y[1] - top, 0), max(x[0] - left, 0) : max(x[1] - left, 0)] = 1
    pixels = pixels[:, ::-1] if seed % 2 else pixels
    expected = pixels.reshape(rows, (bottom - top) // rows, columns, -1).mean((1, 3))
    found = overlap(box_at(x[0], y[0], x[1], y[1]), covered, (rows, columns))
    assert found == pytest.approx(expected, abs=1e-12)


def test_attention_that_is_everywhere_the_same_has_what_chance_has():
    for weights in (np.full((3, 3), 0.02), np.zeros((3, 3))):
        hit, mass, chance_hit, chance_mass = glance(weights, (0.0, 0.0, 9.0, 9.0), Target(box_at(0, 0, 4, 3))).own
        assert hit == pytest.approx(chance_hit) == 2 / 9 and mass == pytest.approx(chance_mass) == 4 / 27


def test_means_over_entities_by_hand():
    shares = [np.array(own) for own in ([1.0, 0.6, 0.2, 0.1], [0.0, 0.2, 0.2, 0.1])]
    glances = [Glance(shares[0], None, False), Glance(shares[1], shares[0], True), Glance(None, shares[0], True)]
    aim = summarise(glances)
    assert vars(aim.own) == pytest.approx({"entities": 2, "hits": 50, "mass": 40, "chance_hits": 20, "chance_mass": 10})
    assert (aim.beside.entities, aim.beside.mass, aim.others.hits, aim.unseen) == (1, pytest.approx(20), 100, 1)
    nothing = summarise(glances[2:])
    assert nothing.own is nothing.beside is nothing.others is None
    assert nothing.to_dict() == {"own": None, "beside": None, "others": None, "unseen": 1}


# Where the red thing is in a picture of a size (width, height), and what the views show of it hangs on how they cut.
PICTURES = [((200, 100), (60, 10, 110, 60)), ((90, 220), (5, 90, 80, 140)), ((130, 130), (70, 20, 120, 128))]


def seeing(fits):
    """A tagger with a view of 8 x 8 regions for each way of cutting pictures."""
    clip, resnet = Clip(scratch=COMPACT_CLIP, fit=fits[0]), Resnet(scratch=COMPACT_RESNET, fit=fits[1])
    views = tuple(View(encoder, CrossAttention(heads=4)) for encoder in (clip, resnet))
    return new_tagger(with_encoders(Model(Late(views=views)), "compact"), TAGS, lambda: [["a", "thing"]]).eval()


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    """A row for each picture, whose second and third word are an entity, and one whose picture is missing."""
    folder = tmp_path_factory.mktemp("things")
    for number, (size, box) in enumerate(PICTURES):
        picture = Image.new("RGB", size)
        picture.paste((255, 0, 0), box)
        picture.save(folder / f"{number}.png")
    rows = [f"IMGID:{name}\nA\tO\nred\tB-MISC\nthing\tI-MISC\n{'.' * (1 + name)}\tO\n\n" for name in range(4)]
    (folder / "test.txt").write_text("".join(rows))
    return read_corpus(folder / "test.txt", images=folder)


@pytest.mark.parametrize("fits", [("crop", "pad"), ("random", "crop")])
@pytest.mark.parametrize("batch", [1, 64])
def test_boxes_lie_where_the_pixels_of_the_thing_are(things, monkeypatch, fits, batch):
    tagger = seeing(fits)
    seen = {"clip": [], "resnet": []}

    def attention(part):
        looks = {}
        for (name, view), pixels in zip(tagger.backbone.seeing().items(), part.pixels, strict=True):
            regions = view.regions
            if not len(pixels):
                looks[name] = torch.zeros(len(part.ids), 2, part.text.mask.shape[1], regions.regions)
                continue
            # Padding has a mean colour, with nearly as much blue as red.
            pure = (pixels[:, :1].float() - 2 * pixels[:, 2:].float()).clamp(min=0) / 255
            red = functional.adaptive_avg_pool2d(pure, regions.grid).flatten(1)
            red = red[part.pictures[:, 0]] * (part.pictures[:, :1] >= 0)
            seen[name] += [row for row, there in zip(red, part.present.tolist(), strict=True) if there]
            weights = functional.pad(red, (regions.prefix, 0), value=9.0)[:, None, None]
            # The mean over two heads and over the words of the entity is what lies on the thing.
            words = torch.tensor([0.0, 4.0, 0.0, 7.0])[None, None, :, None]
            looks[name] = torch.cat([weights * words, torch.zeros_like(weights * words)], dim=1)
        return looks

    monkeypatch.setattr(tagger, "attention", attention)
    entity = Entity(1, 3, "MISC")
    targets = {number: {entity: Target(box_at(*box))} for number, (_, box) in enumerate(PICTURES)}
    targets[3] = targets[0]
    found = point(tagger, things, targets, batch=batch)
    assert set(found) == {"clip", "resnet"}
    for name, view in found.items():
        shown = [row for row in seen[name] if row.max() > 0.02]
        assert view.every.unseen == 4 - len(shown) and view.every.own.entities == len(shown) > 0
        assert view.every.own.hits == 100
        mass = np.mean([(row @ row / row.sum()).item() for row in shown])
        assert view.every.own.mass == pytest.approx(100 * mass, abs=1.5)
        assert view.every.own.chance_mass == pytest.approx(100 * np.mean([row.mean() for row in shown]), abs=0.5)
        assert view.ambiguous.own is None and view.every.others is None


def test_targets_that_do_not_fit_the_rows_are_told(things, tmp_path):
    tagger, box = seeing(("crop", "crop")), Target(box_at(0, 0, 9, 9))
    with pytest.raises(InputError, match="within the row's 4 words, found one from 3 to 5"):
        point(tagger, things, {0: {Entity(3, 5, "PER"): box}})
    (tmp_path / "test.txt").write_text("a\tO\n")
    with pytest.raises(InputError, match="expected one picture that its boxes lie in, found 0"):
        point(tagger, read_corpus(tmp_path / "test.txt"), {0: {Entity(0, 1, "PER"): box}})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pointing") / "postcards"
    write_postcards(folder, sizes=Sizes(train=8, valid=80, test=8), workers=1)
    return folder


def test_targets_of_the_built_in_corpus(folder):
    corpus, cards = read_split(folder, "valid"), {card.id: card for card in read_cards(folder)}
    targets = targets_of(corpus, cards.values())
    left_out = {number for number in range(len(corpus)) if cards[corpus[number].images[0]].contradicting}
    assert left_out and targets.keys() == set(range(len(corpus))) - left_out
    rivals = set()
    for number, own in targets.items():
        card = cards[corpus[number].images[0]]
        assert tuple(own) == card.entities == corpus[number].entities
        for place, target in enumerate(own.values()):
            assert target.ambiguous == (place in card.ambiguous)
            boxes = [thing.box for thing in card.things if thing.entity == place]
            assert [(target.box.left, target.box.top, target.box.right, target.box.bottom)] == boxes
            assert len(target.others) == len(card.things) - 1
            assert target.box not in target.others
            rivals.add(len(target.others))
    assert rivals == {0, 1, 2}


def test_an_untrained_model_points_about_as_chance_does(folder):
    corpus = read_split(folder, "valid")
    targets = targets_of(corpus, read_cards(folder, "valid"))
    torch.manual_seed(1)
    tagger = new_tagger(named("2m-ner", "compact"), TAGS, lambda: [example.words for example in corpus])
    tagger.train()
    steps = []
    found = point(tagger, corpus, targets, batch=32, step=steps.append)
    assert tagger.training and sum(steps) == len(targets) and set(found) == {"clip", "resnet"}
    entities = [target for own in targets.values() for target in own.values()]
    for view in found.values():
        assert view.every.own.entities == len(entities) and view.every.unseen == 0
        assert view.ambiguous.own.entities == sum(target.ambiguous for target in entities)
        assert view.every.others.entities == view.every.beside.entities == sum(bool(one.others) for one in entities)
        # A thing has some four tenths of each side, and its box overlaps cells that it does not fill.
        assert 10 < view.every.own.chance_mass < 20 < view.every.own.chance_hits < 30
        assert view.every.own.mass == pytest.approx(view.every.own.chance_mass, abs=5)
        assert view.every.others.mass == pytest.approx(view.every.others.chance_mass, abs=5)
    plain = json.loads(json.dumps({name: view.to_dict() for name, view in found.items()}))
    assert plain["clip"]["all"]["own"]["entities"] == len(entities) and plain["clip"]["ambiguous"]["unseen"] == 0
    tagger.precision = torch.bfloat16
    rough = point(tagger, corpus, targets)["clip"].every.own
    assert rough != found["clip"].every.own
    assert rough.mass == pytest.approx(found["clip"].every.own.mass, abs=0.5)


@pytest.mark.parametrize(
    ("name", "views"),
    [
        ("bert-crf", set()),
        ("mkgformer", set()),
        ("2m-ner-without-collaboration", set()),
        ("2m-ner-official", {"clip"}),  # its ResNet is averaged to one region
        ("umgf", {"resnet"}),  # a grid of crops
        ("adacan", {"vgg"}),
        ("umt", {"resnet"}),
    ],
)
def test_views_that_can_point(folder, name, views):
    corpus = read_split(folder, "valid").select(range(20))
    targets = targets_of(corpus, read_cards(folder, "valid"))
    tagger = new_tagger(named(name, "compact"), TAGS, lambda: [example.words for example in corpus])
    found = point(tagger, corpus, targets)
    assert set(found) == views and point(tagger, corpus, {}) == {}
    for view in found.values():
        assert 0 <= view.every.own.hits <= 100 and 0 < view.every.own.mass < 100
