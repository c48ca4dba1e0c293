"""UMT as a whole, with tiny encoders: long texts in windows, the terms of its loss, and what is trained where."""

import pytest
import torch
from PIL import Image

from babelens.data import Picture
from babelens.models.anatomy import sizes, unfilled
from babelens.models.batch import Row
from babelens.models.checkpoint import new_tagger
from babelens.models.encoders import with_encoders
from babelens.models.naming import named
from babelens.models.spec import Model, from_plain, to_plain
from babelens.models.zoo import ZOO
from babelens.modules.fusion.interaction import Interaction
from babelens.modules.late import Late, View
from babelens.modules.span_guided import SpanGuidedCrf
from babelens.modules.text.transformer import Transformer
from babelens.modules.vision.crops import Crops
from babelens.modules.vision.resnet import Resnet
from babelens.modules.vision.vgg import Vgg
from babelens.schema import Entity, Example, TagSet

TAGS = TagSet(("LOC", "PER"))
TEXTS = (
    "Anna from Lyon met Zoe of Paris and Ada of Quito while Bo sang in Lyon for Zoe and Anna",
    "Anna met Zoe in Lyon",
)
LONG, SHORT = (text.split() for text in TEXTS)


def opened(key):
    return Picture(key, Image.new("RGB", (40, 40), tuple(int(part) for part in key.split(","))), "used")


def row(words, keys=(), entities=()):
    return Row(Example(" ".join(words), tuple(words), tuple(entities)), tuple(keys), opened)


ROWS = [
    row(LONG, ["250,10,10"], [Entity(0, 1, "PER"), Entity(2, 3, "LOC")]),
    row(SHORT, ["3,200,7", "9,9,250"], [Entity(0, 1, "PER")]),
    row(LONG[::-1], [], [Entity(0, 1, "LOC")]),
    row(LONG[3:] + LONG, ["9,9,250"]),
    row(["Bo"], ["250,250,3"], [Entity(0, 1, "PER")]),
]


@pytest.fixture(scope="module")
def tagger():
    """Windows of 14 sub-tokens, so that the long rows take several."""
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    text = Transformer(scratch={"model_type": "bert", **small, "max_position_embeddings": 14}, vocabulary=120)
    resnet = Resnet(scratch={"embedding_size": 8, "hidden_sizes": [8, 12], "depths": [1, 1], "size": 32}, trained=False)
    model = Model(Late(text, (View(resnet, Interaction(heads=2)),)), head=SpanGuidedCrf(), dropout=0.0)
    torch.manual_seed(7)
    made = new_tagger(model, TAGS, lambda: [LONG, SHORT])
    with torch.no_grad():
        # Weights of N(0, 0.02) hardly let a word or a picture through a network as small as this.
        for part in (made.backbone.views["resnet"].fusion, made.head):
            for weight in part.parameters():
                weight.mul_(10 if weight.ndim > 1 else 1)
    return made.eval()


def emissions(tagger, rows):
    with torch.no_grad():
        return tagger.emissions(tagger.collator()(rows, labelled=False))


def test_a_row_of_several_windows_is_answered_the_same_alone_and_among_others(tagger):
    together, backwards = emissions(tagger, ROWS), emissions(tagger, ROWS[::-1]).flip(0)
    assert together.shape == (5, 2 * len(LONG) - 3, len(TAGS))
    for number, one in enumerate(ROWS):
        length = len(one.example.words)
        alone = emissions(tagger, [one])[0, :length]
        torch.testing.assert_close(together[number, :length], alone, atol=1e-5, rtol=0)
        torch.testing.assert_close(backwards[number, :length], alone, atol=1e-5, rtol=0)


def test_each_window_is_fused_with_the_regions_of_its_own_row(tagger):
    batch = tagger.collator()(ROWS, labelled=False)
    fusion = tagger.backbone.views["resnet"].fusion
    with torch.no_grad():
        state = tagger.encode(batch)
        pieces, seen = state.text.pieces, state.views["resnet"]
        rows = pieces.rows.tolist()
        assert rows == sorted(rows) and all(rows.count(number) > 1 for number in (0, 2, 3)) and rows.count(1) == 1
        width = pieces.mask.shape[1]
        windows = []
        for window, number in enumerate(rows):
            length = int(pieces.mask[window].sum())
            own = (seen.regions[number : number + 1], seen.mask[number : number + 1])
            mask = pieces.mask[window : window + 1, :length]
            windows.append(fusion(pieces.states[window : window + 1, :length], mask, *own))
        for number, one in enumerate(ROWS):
            for word in range(len(one.example.words)):
                window, place = divmod(int(batch.text.first[number, word]), width)
                assert rows[window] == number
                fused = windows[window]
                torch.testing.assert_close(state.streams.words[number, word], fused.words[0, place], atol=1e-5, rtol=0)
                auxiliary = state.streams.auxiliary[number, word]
                torch.testing.assert_close(auxiliary, fused.auxiliary[0, place], atol=1e-5, rtol=0)


def test_the_picture_matters_at_every_word_of_a_long_text(tagger):
    red, green, none = (emissions(tagger, [row(LONG, keys)])[0] for keys in (["250,0,0"], ["0,250,0"], []))
    assert (red - green).abs().amax(1).min() > 1e-5 and (red - none).abs().amax(1).min() > 1e-5


def test_the_loss_is_that_of_the_tags_and_half_that_of_the_spans(tagger):
    losses = tagger.loss(tagger.collator()(ROWS, labelled=True))
    assert list(losses.parts) == ["tags", "spans"]
    torch.testing.assert_close(losses.total, losses.parts["tags"] + losses.parts["spans"])
    tagger.zero_grad(set_to_none=True)
    losses.total.backward()
    trained = {name: weight for name, weight in tagger.named_parameters() if weight.requires_grad}
    still = [name for name, weight in trained.items() if weight.grad is None or not weight.grad.any()]
    frozen = [name for name, weight in tagger.named_parameters() if not weight.requires_grad]
    tagger.zero_grad(set_to_none=True)
    assert all(name.endswith("key.bias") for name in still), still
    assert frozen and all(name.startswith("backbone.views.resnet.regions.encoder.") for name in frozen)


def test_attention_is_that_of_words_over_the_regions_of_their_row(tagger):
    batch = tagger.collator()(ROWS, labelled=False)
    weights = tagger.attention(batch)["resnet"]
    mask = batch.text.mask
    sums = weights.sum(-1).transpose(1, 2)
    with_pictures = mask & (batch.pictures[:, :1] >= 0)
    torch.testing.assert_close(sums[with_pictures], torch.ones_like(sums[with_pictures]))
    assert sums[~with_pictures].eq(0).all() and weights.shape[3] == 32


def test_training_leaves_the_statistics_of_the_frozen_resnet(tagger):
    before = {name: value.clone() for name, value in tagger.named_buffers() if "running" in name}
    assert before
    tagger.train()
    tagger.loss(tagger.collator()(ROWS, labelled=True))
    tagger.eval()
    assert all(value.equal(before[name]) for name, value in tagger.named_buffers() if "running" in name)


def test_the_twin_has_the_text_path_and_both_losses():
    twin = named("umt-text")
    assert from_plain(to_plain(twin)) == twin and twin.head == SpanGuidedCrf()
    assert twin.backbone.views == (View(None, Interaction()),)
    found, whole = sizes(unfilled(twin)), sizes(unfilled(ZOO["umt"]))
    assert found["text"] == whole["text"]
    layer = 4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768
    assert found["text.fusion"].all == 2 * layer
    assert whole["resnet.fusion"].all == 5 * layer + 2 * (2048 * 768 + 768) + 1536 * 768 + 768
    assert whole["resnet.regions"].trained == 0 and whole["resnet.regions"].all > 58e6


@pytest.mark.parametrize("encoders", ["compact", "random"])
@pytest.mark.parametrize("regions", [Resnet(trained=False), Vgg(), Crops(Resnet(trained=False))])
def test_encoders_from_scratch_are_trained_whatever_is_declared(encoders, regions):
    model = Model(Late(Transformer(trained=False), (View(regions, Interaction()),)), head=SpanGuidedCrf())
    made = with_encoders(model, encoders).backbone
    inner = made.views[0].regions
    assert getattr(inner, "encoder", inner).trained and getattr(made.text, "trained", True)
    assert with_encoders(model, "pretrained") == model
