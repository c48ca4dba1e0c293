import pytest
import torch
from PIL import Image

from babelens.data import Picture
from babelens.models.batch import Row
from babelens.models.checkpoint import new_tagger
from babelens.schema import Entity, Example, TagSet

SENTENCES = ["Anna visited Paris", "Le maire de Lyon a reçu les joueurs du Real Madrid .", "Köln", "Siemens in 2019"]


def opened(key):
    return Picture(key, Image.new("RGB", (40, 40), tuple(int(part) for part in key.split(","))), "used")


def row(sentence, keys=("250,10,10",), entities=(), group=None):
    words = tuple(sentence.split())
    return Row(Example(sentence, words, tuple(entities), group=group), tuple(keys), opened)


def emissions(tagger, rows):
    with torch.no_grad():
        return tagger.emissions(tagger.collator()(rows, labelled=False))


def test_a_row_is_answered_the_same_alone_and_among_others(tiny_tagger):
    rows = [
        row(SENTENCES[0]),
        row(SENTENCES[1], ["3,200,7", "9,9,9"]),
        row(SENTENCES[2], []),
        row(SENTENCES[3], ["1,2,3"]),
    ]
    together = emissions(tiny_tagger, rows)
    backwards = emissions(tiny_tagger, rows[::-1]).flip(0)
    for number, one in enumerate(rows):
        length = len(one.example.words)
        alone = emissions(tiny_tagger, [one])[0, :length]
        torch.testing.assert_close(together[number, :length], alone, atol=1e-5, rtol=0)
        torch.testing.assert_close(backwards[number, :length], alone, atol=1e-5, rtol=0)


def test_the_picture_matters_where_there_is_one(tiny_tagger):
    red, green, none = (emissions(tiny_tagger, [row(SENTENCES[0], keys)]) for keys in (["250,0,0"], ["0,250,0"], []))
    assert (red - green).abs().max() > 1e-4
    assert (red - none).abs().max() > 1e-4


def test_a_missing_picture_is_no_picture(tiny_tagger):
    def closed(key):
        return Picture(key, None, "missing")

    lost = row(SENTENCES[0])._replace(open=closed)
    torch.testing.assert_close(emissions(tiny_tagger, [lost]), emissions(tiny_tagger, [row(SENTENCES[0], [])]))


def test_the_total_is_equation_18(tiny_tagger):
    rows = [
        row(SENTENCES[0], ["250,10,10"], [Entity(0, 1, "PER"), Entity(2, 3, "LOC")]),
        row(SENTENCES[1], ["3,200,7"], [Entity(9, 11, "ORG")]),
        row(SENTENCES[3], [], [Entity(0, 1, "ORG")]),
    ]
    losses = tiny_tagger.loss(tiny_tagger.collator()(rows, labelled=True))
    assert set(losses.parts) == {"tags", "alignment/clip", "alignment/resnet"}
    expected = 0.8 * losses.parts["tags"] + 0.2 * (losses.parts["alignment/clip"] + losses.parts["alignment/resnet"])
    torch.testing.assert_close(losses.total, expected)
    assert losses.parts["alignment/clip"] > 0


def test_the_tag_loss_is_the_mean_over_sentences(tiny_tagger):
    rows = [row(SENTENCES[0], [], [Entity(0, 1, "PER")]), row(SENTENCES[1], [], [Entity(9, 11, "ORG")])]
    collator = tiny_tagger.collator()
    with torch.no_grad():
        both = tiny_tagger.loss(collator(rows, labelled=True)).parts["tags"]
        each = [tiny_tagger.loss(collator([one], labelled=True)).parts["tags"] for one in rows]
    torch.testing.assert_close(both, torch.stack(each).mean())


@pytest.mark.parametrize("keys", [[], ["1,2,3"]], ids=["no pictures", "one picture for all"])
def test_fewer_than_two_groups_align_nothing(tiny_tagger, keys):
    losses = tiny_tagger.loss(tiny_tagger.collator()([row(text, keys) for text in SENTENCES], labelled=True))
    assert losses.parts["alignment/clip"].item() == losses.parts["alignment/resnet"].item() == 0


def test_the_gradient_reaches_every_parameter(tiny_tagger):
    rows = [row(text, [f"{30 * n},9,9"], [Entity(0, 1, "PER")]) for n, text in enumerate(SENTENCES)]
    tiny_tagger.zero_grad(set_to_none=True)
    tiny_tagger.loss(tiny_tagger.collator()(rows, labelled=True)).total.backward()
    without = [name for name, p in tiny_tagger.named_parameters() if p.requires_grad and p.grad is None]
    tiny_tagger.zero_grad(set_to_none=True)
    assert without == []


def test_scored_entities_are_the_decoded_ones_with_probabilities(tiny_tagger):
    batch = tiny_tagger.collator()([row(text) for text in SENTENCES], labelled=False)
    scored = tiny_tagger.decode_scored(batch)
    assert [tuple(entity for entity, _ in one) for one in scored] == tiny_tagger.decode(batch)
    assert any(scored)
    assert all(0 <= score <= 1 for one in scored for _, score in one)


def test_attention_is_a_distribution_over_real_regions_and_nothing_without_a_picture(tiny_tagger):
    batch = tiny_tagger.collator()([row(SENTENCES[0]), row(SENTENCES[0], [])], labelled=False)
    attention = tiny_tagger.attention(batch)
    assert {name: weights.shape[-1] for name, weights in attention.items()} == {"clip": 5, "resnet": 16}
    for weights in attention.values():
        torch.testing.assert_close(weights[0].sum(-1), torch.ones_like(weights[0].sum(-1)))
        assert weights[1].abs().sum() == 0


def test_an_unlabelled_batch_has_no_loss(tiny_tagger):
    with pytest.raises(ValueError, match="without tags"):
        tiny_tagger.loss(tiny_tagger.collator()([row("Anna")], labelled=False))


def test_bf16_gives_finite_losses_near_those_of_fp32(tiny_tagger):
    rows = [row(text, [f"{30 * n},9,9"], [Entity(0, 1, "PER")]) for n, text in enumerate(SENTENCES)]
    batch = tiny_tagger.collator()(rows, labelled=True)
    with torch.no_grad():
        full = tiny_tagger.loss(batch).total
        with torch.autocast("cpu", torch.bfloat16):
            half = tiny_tagger.loss(batch).total
    torch.testing.assert_close(half.float(), full, rtol=0.05, atol=0.05)


def test_the_text_only_twin_reads_no_picture(tiny_tagger):
    model = tiny_tagger.model.text_only()
    twin = new_tagger(model, TagSet(("LOC", "PER")), lambda: [text.split() for text in SENTENCES]).eval()
    torch.testing.assert_close(emissions(twin, [row(SENTENCES[0])]), emissions(twin, [row(SENTENCES[0], [])]))
    batch = twin.collator()([row(SENTENCES[0], entities=[Entity(0, 1, "PER")])], labelled=True)
    losses = twin.loss(batch)
    assert batch.status == ("none",)
    assert losses.total == losses.parts["tags"]


def test_precision_reaches_encoders_and_emissions_and_is_no_part_of_the_model(tiny_tagger):
    rows = [Row(Example(id="1", words=("Anna", "came"), entities=()))]
    batch = tiny_tagger.collator()(rows, labelled=False)
    exact = tiny_tagger.emissions(batch)
    before = list(tiny_tagger.state_dict())
    tiny_tagger.precision = torch.bfloat16
    try:
        rough = tiny_tagger.emissions(batch)
        assert (
            rough.dtype == torch.float32 and not torch.equal(rough, exact) and list(tiny_tagger.state_dict()) == before
        )
        torch.testing.assert_close(rough, exact, rtol=0.05, atol=0.1)
        assert len(tiny_tagger.decode_scored(batch)) == 1
    finally:
        tiny_tagger.precision = None
    assert torch.equal(tiny_tagger.emissions(batch), exact)
