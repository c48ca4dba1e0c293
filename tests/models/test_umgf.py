"""UMGF as a whole, with tiny encoders: long texts in windows, boxes of one or several pictures, loss and twin."""

import pytest
import torch
from PIL import Image

from babelens.data import Picture
from babelens.models.anatomy import sizes, unfilled
from babelens.models.batch import Row
from babelens.models.checkpoint import load_tagger, new_tagger, save_tagger
from babelens.models.encoders import with_encoders
from babelens.models.naming import named
from babelens.models.spec import Model, from_plain, to_plain
from babelens.models.zoo import ZOO
from babelens.modules.fusion.graph import Graph
from babelens.modules.heads import Crf
from babelens.modules.late import Late, View
from babelens.modules.text.transformer import Transformer
from babelens.modules.vision.crops import Crops
from babelens.modules.vision.objects import Objects
from babelens.modules.vision.resnet import Resnet
from babelens.schema import Box, Entity, Example, TagSet

TAGS = TagSet(("LOC", "PER"))
TEXTS = (
    "Anna from Lyon met Zoe of Paris and Ada of Quito while Bo sang in Lyon for Zoe and Anna",
    "Anna met Zoe in Lyon",
)
LONG, SHORT = (text.split() for text in TEXTS)
BOXES = {
    "person": Box(0.0, 0.0, 20.0, 20.0, "person", 0.9, "grounding"),
    "location": Box(20.0, 20.0, 40.0, 40.0, "location", 0.5, "grounding"),
}


def opened(key):
    """Red on the left, blue on the right, or as the key says; with the boxes that it names."""
    colours, *labels = key.split(" ")
    left, right = colours.split("/")
    image = Image.new("RGB", (40, 40), left)
    image.paste(right, (20, 0, 40, 40))
    return Picture(key, image, "used", boxes=tuple(BOXES[label] for label in labels))


def row(words, keys=(), entities=()):
    return Row(Example(" ".join(words), tuple(words), tuple(entities)), tuple(keys), opened)


ROWS = [
    row(LONG, ["red/blue person location"], [Entity(0, 1, "PER"), Entity(2, 3, "LOC")]),
    row(SHORT, ["green/blue person", "white/red"], [Entity(0, 1, "PER")]),
    row(LONG[::-1], [], [Entity(0, 1, "LOC")]),
    row(LONG[3:] + LONG, ["green/white location"]),
    row(["Bo"], ["blue/yellow"], [Entity(0, 1, "PER")]),
]


@pytest.fixture(scope="module")
def tagger():
    """Windows of 14 sub-tokens, so that the long rows take several."""
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    text = Transformer(scratch={"model_type": "bert", **small, "max_position_embeddings": 14}, vocabulary=120)
    resnet = Resnet(
        scratch={"embedding_size": 8, "hidden_sizes": [8, 12], "depths": [1, 1], "layer_type": "basic", "size": 32},
        norm="batch",
        pool=True,
    )
    objects = Objects(2, source="boxes", labels=("person", "location"), group="grounding")
    fusion = Graph(dim=8, layers=2, heads=2, inner=6, dropout=0.1)
    model = Model(Late(text, (View(Crops(resnet, objects), fusion),)), dropout=0.0, reduction="sum")
    torch.manual_seed(7)
    return new_tagger(model, TAGS, lambda: [LONG, SHORT]).eval()


def batch_of(tagger, rows):
    return tagger.collator()(rows, labelled=True)


def emissions(tagger, rows):
    with torch.no_grad():
        return tagger.emissions(batch_of(tagger, rows))


def test_a_row_of_several_windows_is_answered_the_same_alone_and_among_others(tagger):
    together, backwards = emissions(tagger, ROWS), emissions(tagger, ROWS[::-1]).flip(0)
    assert together.shape == (5, 2 * len(LONG) - 3, len(TAGS))
    for number, one in enumerate(ROWS):
        length = len(one.example.words)
        alone = emissions(tagger, [one])[0, :length]
        torch.testing.assert_close(together[number, :length], alone, atol=1e-5, rtol=0)
        torch.testing.assert_close(backwards[number, :length], alone, atol=1e-5, rtol=0)


def test_words_are_their_sub_tokens_fused_with_the_objects_of_their_row(tagger):
    batch = batch_of(tagger, ROWS)
    fusion = tagger.backbone.views["resnet"].fusion
    with torch.no_grad():
        state = tagger.encode(batch)
        pieces, seen = state.text.pieces, state.views["resnet"]
        assert seen.regions.shape == (5, 4, 12) and seen.mask.sum(1).tolist() == [2, 4, 0, 2, 2]
        rows, width = pieces.rows.tolist(), pieces.mask.shape[1]
        assert all(rows.count(number) > 1 for number in (0, 2, 3)) and rows.count(1) == 1
        for number, one in enumerate(ROWS):
            for word in range(len(one.example.words)):
                window, place = divmod(int(batch.text.first[number, word]), width)
                length = int(pieces.mask[window].sum())
                states = pieces.states[window : window + 1, :length]
                mask = pieces.mask[window : window + 1, :length]
                own = fusion(states, mask, seen.regions[number : number + 1], seen.mask[number : number + 1])
                torch.testing.assert_close(state.streams.words[number, word], own.words[0, place], atol=1e-5, rtol=0)


def test_the_objects_matter_by_their_boxes_at_every_word_of_a_long_text(tagger):
    keys = ([], ["red/blue"], ["red/blue person"], ["red/blue person location"], ["red/green person"])
    found = [emissions(tagger, [row(LONG, key)])[0] for key in keys]
    for number, one in enumerate(found):
        for other in found[:number]:
            assert (one - other).abs().amax(1).min() > 1e-6


def test_gates_are_those_from_the_objects_of_the_row(tagger):
    batch = batch_of(tagger, ROWS)
    weights = tagger.attention(batch)["resnet"]
    assert weights.shape == (5, 1, 2 * len(LONG) - 3, 4)
    real = batch.text.mask[:, :, None] & tagger.encode(batch).views["resnet"].mask[:, None]
    assert weights[:, 0][~real].eq(0).all() and ((weights[:, 0] > 0) & (weights[:, 0] < 1))[real].all()


def test_the_loss_is_summed_over_sentences_and_teaches_every_weight(tagger):
    losses = tagger.loss(batch_of(tagger, ROWS))
    alone = [tagger.loss(batch_of(tagger, [one])).total for one in ROWS]
    torch.testing.assert_close(losses.total, sum(alone), atol=1e-4, rtol=1e-5)
    tagger.zero_grad(set_to_none=True)
    losses.total.backward()
    still = [name for name, weight in tagger.named_parameters() if weight.grad is None or not weight.grad.any()]
    tagger.zero_grad(set_to_none=True)
    assert all(name.endswith("key.bias") for name in still), still


def test_the_twin_gives_what_a_row_without_pictures_gets(tagger):
    bare = [row(one.example.words) for one in ROWS]
    twin = new_tagger(tagger.model.text_only(), TAGS, lambda: [LONG, SHORT]).eval()
    weights = {name.replace("views.resnet.", "views.text."): value for name, value in tagger.state_dict().items()}
    missing, _ = twin.load_state_dict(weights, strict=False)
    assert not missing
    torch.testing.assert_close(emissions(tagger, bare), emissions(twin, ROWS), atol=1e-6, rtol=0)


def test_a_saved_model_is_the_same_model(tagger, tmp_path):
    save_tagger(tagger, tmp_path / "model")
    again = load_tagger(tmp_path / "model")
    assert again.model == tagger.model and emissions(again, ROWS).equal(emissions(tagger, ROWS))


def test_the_declaration_and_the_sizes_of_the_published_model():
    model = ZOO["umgf"]
    assert from_plain(to_plain(model)) == model and model.head == Crf() and model.reduction == "sum"
    whole, twin = sizes(unfilled(model)), sizes(unfilled(named("umgf-text")))
    assert named("umgf-text").backbone.views == (View(None, Graph()),)
    assert whole["resnet.regions"].trained == whole["resnet.regions"].all > 58e6
    words = 768 * 512 + 512 + 6 * (4 * 512 * 513 + 2 * 512 + 2 * 512 * 256 + 256 + 512 + 4 * 512)
    assert twin["text.fusion"].all == words and twin["head"].all == whole["head"].all


def test_compact_crops_are_a_grid_of_as_many():
    objects = Objects(3, source="boxes", labels=("a", "b", "c"))
    model = Model(Late(Transformer(), (View(Crops(Resnet(pool=True), objects), Graph()),)))
    assert with_encoders(model, "compact").backbone.views[0].regions.objects == Objects(3)
    assert with_encoders(model, "random").backbone.views[0].regions.objects == objects
