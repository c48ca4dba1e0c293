"""The contract that every model of the zoo keeps, in its compact form; one test for each clause."""

import functools

import pytest
import torch
from PIL import Image
from torch import nn

from babelens.data import Picture
from babelens.models.batch import Row
from babelens.models.checkpoint import load_tagger, new_tagger, save_tagger
from babelens.models.naming import named
from babelens.models.zoo import ZOO
from babelens.schema import Entity, Example, TagSet

TAGS = TagSet(("LOC", "MISC", "ORG", "PER"))
COLOURS = {"warm": (220, 40, 20), "cold": (20, 60, 230), "other": (90, 200, 90)}
WITH_PICTURES = [name for name, model in ZOO.items() if model.views]
EVERY = [*ZOO, *(f"{name}-text" for name in WITH_PICTURES)]
# Keys shift all scores of a query alike: in exact arithmetic their bias gets the gradient zero. The published code of
# 2M-NER moreover gives attention nothing to choose from in its ResNet branch.
NO_GRADIENT = ("key.bias", "k_proj.bias", "in_proj_bias")


def opened(key):
    colour, _, size = key.partition(" ")
    image = Image.new("RGB", (80, 60), (128, 128, 128))
    image.paste(COLOURS[colour], (10, 10, 10 + int(size or 40), 45))
    return Picture(key, image, "used")


def row(sentence, keys=(), entities=()):
    words = tuple(sentence.split())
    return Row(Example(sentence, words, tuple(entities)), tuple(keys), opened)


ROWS = [
    row("Berlin sings again", ["warm"], [Entity(0, 1, "PER")]),
    row("Berlin sings again", ["cold"], [Entity(0, 1, "LOC")]),
    row(
        "They met Nova Orion near the old harbour of Lisbon .", ["cold 20"], [Entity(2, 4, "ORG"), Entity(9, 10, "LOC")]
    ),
    row(
        "They met Nova Orion near the old harbour of Lisbon .", ["warm 20"], [Entity(2, 4, "PER"), Entity(9, 10, "LOC")]
    ),
    row("Hurrah for Phoenix !", ["warm"], [Entity(2, 3, "ORG")]),
    row("Hurrah for Phoenix !", ["other"], [Entity(2, 3, "MISC")]),
    row("A quiet day", ["other 30"], []),
    row("Ada", ["warm 10"], [Entity(0, 1, "PER")]),
]
# Text alone cannot tell the second of each pair from the first.
TEXT_ROWS = [
    *(ROWS[number] for number in (0, 2, 4, 6, 7)),
    row("near Orion we met Lisbon again", [], [Entity(1, 2, "ORG"), Entity(4, 5, "PER")]),
    row("They met Ada", [], [Entity(1, 3, "MISC")]),
    row("Lisbon", [], [Entity(0, 1, "LOC")]),
]


@functools.cache
def build(name):
    torch.manual_seed(3)
    words = [one.example.words for one in ROWS]
    return new_tagger(named(name, "compact"), TAGS, lambda: words).eval()


def batch(tagger, rows):
    return tagger.collator()(rows, labelled=True)


def emissions(tagger, rows):
    with torch.no_grad():
        return tagger.emissions(batch(tagger, rows))


@pytest.mark.parametrize("name", EVERY)
def test_the_loss_is_finite_and_its_gradient_reaches_every_trained_weight(name):
    tagger = build(name)
    tagger.zero_grad(set_to_none=True)
    losses = tagger.loss(batch(tagger, ROWS))
    assert losses.total.isfinite() and all(part.isfinite() and part.ndim == 0 for part in losses.parts.values())
    losses.total.backward()
    trained = {name: weight for name, weight in tagger.named_parameters() if weight.requires_grad}
    assert not [name for name, weight in trained.items() if weight.grad is None]
    assert all(weight.grad.isfinite().all() for weight in trained.values())
    still = [name for name, weight in trained.items() if not weight.grad.any() and not name.endswith(NO_GRADIENT)]
    assert not still, still
    tagger.zero_grad(set_to_none=True)


@pytest.mark.parametrize("name", EVERY)
def test_a_row_is_answered_the_same_alone_and_among_others(name):
    tagger = build(name)
    rows = [ROWS[2], ROWS[0], row("Ada visited Lisbon"), ROWS[7], row("Phoenix", ["cold", "warm"])]
    together = emissions(tagger, rows)
    assert together.shape == (5, 11, len(TAGS))
    backwards = emissions(tagger, rows[::-1]).flip(0)
    for number, one in enumerate(rows):
        length = len(one.example.words)
        alone = emissions(tagger, [one])[0, :length]
        torch.testing.assert_close(together[number, :length], alone, atol=1e-5, rtol=0)
        torch.testing.assert_close(backwards[number, :length], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", WITH_PICTURES)
def test_the_picture_matters_where_there_is_one_and_none_is_no_trouble(name):
    tagger = build(name)
    warm, cold, none = (emissions(tagger, [row("Berlin sings again", keys)]) for keys in (["warm"], ["cold"], []))
    assert (warm - cold).abs().max() > 1e-5 and (warm - none).abs().max() > 1e-5
    without = [row(one.example.id, [], one.example.entities) for one in ROWS]
    loss = tagger.loss(batch(tagger, without)).total
    loss.backward()
    assert loss.isfinite()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in tagger.parameters())
    tagger.zero_grad(set_to_none=True)


@pytest.mark.parametrize("name", [name for name in EVERY if name.endswith("-text")])
def test_a_text_only_twin_reads_no_pictures(name):
    tagger = build(name)
    made = batch(tagger, ROWS[:2])
    assert not tagger.model.views and not made.pixels
    torch.testing.assert_close(*emissions(tagger, ROWS[:2]).unbind(0))


@pytest.mark.parametrize("name", EVERY)
def test_eight_examples_are_learnt_by_heart(name):
    words = [one.example.words for one in ROWS]
    torch.manual_seed(1)
    tagger = new_tagger(named(name, "compact"), TAGS, lambda: words)
    rows = ROWS if tagger.model.views else TEXT_ROWS
    # Without dropout: what is asked here is whether the model can tell the rows apart at all. Batches still normalise.
    tagger.eval()
    norms = [module for module in tagger.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    made = batch(tagger, rows)
    gold = [one.example.entities for one in rows]
    optimizer = torch.optim.Adam([weight for weight in tagger.parameters() if weight.requires_grad], 3e-3)
    for step in range(300):
        for norm in norms:
            norm.train()
        optimizer.zero_grad()
        tagger.loss(made).total.backward()
        torch.nn.utils.clip_grad_norm_(tagger.parameters(), 1.0)
        optimizer.step()
        tagger.eval()
        if step % 10 == 9 and tagger.decode(made) == gold:
            break
    assert tagger.decode(made) == gold


@pytest.mark.parametrize("name", EVERY)
def test_a_saved_model_is_the_same_model(name, tmp_path):
    tagger = build(name)
    save_tagger(tagger, tmp_path / "model")
    again = load_tagger(tmp_path / "model")
    assert again.model == tagger.model and again.tags == tagger.tags
    assert emissions(again, ROWS).equal(emissions(tagger, ROWS))
    assert again.decode(batch(again, ROWS)) == tagger.decode(batch(tagger, ROWS))


@pytest.mark.parametrize("name", EVERY)
def test_bfloat16_is_close_and_finite(name):
    tagger = build(name)
    exact = emissions(tagger, ROWS)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = emissions(tagger, ROWS)
        loss = tagger.loss(batch(tagger, ROWS)).total
    torch.testing.assert_close(coarse.float(), exact, atol=0.1, rtol=0.1)
    loss.backward()
    assert all(weight.grad.isfinite().all() for weight in tagger.parameters() if weight.grad is not None)
    tagger.zero_grad(set_to_none=True)
