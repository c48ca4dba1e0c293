"""What answers say besides entities, against the head asked directly and against predictions of other inputs."""

import pytest
import torch
from PIL import Image

from babelens.models.calibration import Calibration
from babelens.models.checkpoint import load_tagger, new_tagger
from babelens.models.spec import Model
from babelens.modules.heads import Softmax
from babelens.prediction.ask import Ask, AskError
from babelens.prediction.explain import without_pictures
from babelens.prediction.predictor import Predictor
from babelens.schema import Entity

TEXTS = [
    "Anna Lindqvist a visité Paris avec Siemens.",
    "Die Sängerin aus Köln singt morgen in der Elbphilharmonie",
    "El Real Madrid ganó la copa",
    "",
    "x",
]
EVERYTHING = Ask(alternatives=9, image_effect=True, regions=True, model=True)


@pytest.fixture(scope="module")
def predictor(tiny_tagger):
    return Predictor(tiny_tagger)


def striped(size=(64, 48)):
    image = Image.new("RGB", size, (0, 0, 255))
    image.paste((255, 255, 0), (0, 0, size[0] // 2, size[1]))
    return image


def spans(mentions):
    return [(mention.start, mention.end, mention.type) for mention in mentions]


def scores(mentions):
    return [mention.score for mention in mentions]


@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_doubt_is_what_the_head_says_of_the_same_words(tiny_tagger, head):
    tagger = tiny_tagger
    if head == "softmax":
        torch.manual_seed(3)
        tagger = new_tagger(Model(tiny_tagger.model.text_only().backbone, Softmax()), tagger.tags, lambda: [["a"]])
        with torch.no_grad():
            tagger.head.scores.weight.mul_(8)
    predictor = Predictor(tagger)
    words = TEXTS[0].split()
    answer = predictor.predict(words, ask=Ask(alternatives=2))
    batch = tagger.collator()([_row(words)], labelled=False)
    emissions, mask = tagger.emissions(batch).detach(), torch.ones(1, len(words), dtype=torch.bool)
    assert answer.entities
    for mention in answer.entities:
        start = len(answer.text[: mention.start].split())
        end = start + len(mention.text.split())
        types = tagger.tags.types
        chances = tagger.head.span_marginals(emissions, mask, [[Entity(start, end, type_) for type_ in types]])[0]
        by_type = dict(zip(types, chances, strict=True))
        assert mention.score == pytest.approx(by_type.pop(mention.type), abs=1e-6)
        doubt = mention.doubt
        likeliest = sorted(by_type.items(), key=lambda pair: -pair[1])[:2]
        assert [(other.type, pytest.approx(other.score, abs=1e-6)) for other in doubt.alternatives] == likeliest
        outside = tagger.head.outside_marginals(emissions, mask, [[Entity(start, end, mention.type)]])[0][0]
        assert doubt.no_entity == pytest.approx(outside, abs=1e-6)
        assert sum(chances) + doubt.no_entity + doubt.other_borders == pytest.approx(1, abs=1e-6)
        assert min(doubt.no_entity, doubt.other_borders) >= 0


def _row(words):
    from babelens.models.batch import Row
    from babelens.schema import Example

    return Row(Example("x", tuple(words)))


def test_the_effect_of_a_picture_is_the_difference_to_a_prediction_without(predictor):
    text = " ".join(TEXTS[:3])
    plain, bare = predictor.predict(text, striped()), predictor.predict(text)
    answer = predictor.predict(text, striped(), ask=Ask(image_effect=True))
    assert spans(answer.entities) == spans(plain.entities) and scores(answer.entities) == scores(plain.entities)
    assert spans(answer.without_image) == spans(bare.entities)
    assert scores(answer.without_image) == pytest.approx(scores(bare.entities), abs=1e-5)
    _check_effects(answer.entities, answer.without_image)
    _check_effects(answer.without_image, answer.entities)


def _check_effects(own, others):
    for mention in own:
        effect = mention.image_effect
        twins = [other for other in others if (other.start, other.end) == (mention.start, mention.end)]
        overlapping = [other for other in others if other.start < mention.end and mention.start < other.end]
        assert effect.type == (twins[0].type if twins else None)
        if twins and twins[0].type == mention.type:
            assert effect.change == "same" and effect.score == pytest.approx(twins[0].score, abs=1e-6)
        else:
            assert effect.change == ("type" if twins else "borders" if overlapping else "only_here")
            assert 0 <= effect.score <= 1


def test_pictures_that_decide_make_entities_come_and_go(tiny_tagger, tiny_folder):
    tagger = load_tagger(tiny_folder)
    with torch.no_grad():
        # What the fusions read of the picture outweighs the words.
        for view in tagger.backbone.seeing().values():
            view.fusion.value.weight.mul_(30)
    predictor = Predictor(tagger)
    changes = set()
    for text in TEXTS[:3] * 2:
        answer = predictor.predict(text, striped(), ask=Ask(image_effect=True))
        _check_effects(answer.entities, answer.without_image)
        _check_effects(answer.without_image, answer.entities)
        changes |= {mention.image_effect.change for mention in (*answer.entities, *answer.without_image)}
    assert {"borders", "only_here"} & changes and changes != {"same"}


def test_rows_without_a_picture_have_no_effect(predictor):
    for image in (None, "nowhere.jpg", b"no picture"):
        answer = predictor.predict(TEXTS[0], image, ask=Ask(image_effect=True, regions=True))
        assert answer.without_image is None and answer.regions == ()
        assert all(mention.image_effect is None and mention.regions == () for mention in answer.entities)


def test_taking_pictures_away_is_the_batch_of_rows_that_have_none(tiny_tagger):
    from babelens.prediction.rows import text_row

    collator = tiny_tagger.collator()
    made = collator([text_row(text, striped()) for text in TEXTS[:3]], labelled=False)
    bare = collator([text_row(text) for text in TEXTS[:3]], labelled=False)
    torch.testing.assert_close(tiny_tagger.emissions(without_pictures(made)), tiny_tagger.emissions(bare))


def test_many_at_once_say_the_same_as_one_at_a_time(predictor):
    pictures = [None, striped(), "nowhere.jpg", striped(), [striped((30, 60)), b"", striped()]]
    rows = [{"text": text, "image": image} for text, image in zip(TEXTS, pictures, strict=True)]
    rows += [{"text": TEXTS[1], "image": striped()}, {"text": 3}]
    for batch in (2, 7):
        *answers, unread = predictor.predict_batch(rows, batch=batch, ask=EVERYTHING)
        assert unread.error is not None
        for row, answer in zip(rows, answers, strict=False):
            alone = predictor.predict(row["text"], row["image"], ask=EVERYTHING)
            assert _near(answer.to_dict()) == _near({**alone.to_dict(), "id": answer.id})


def _near(value):
    """The same with numbers that a batch of another shape may round otherwise."""
    if isinstance(value, float):
        return pytest.approx(value, abs=2e-5)
    if isinstance(value, dict):
        return {name: _near(part) for name, part in value.items()}
    return [_near(part) for part in value] if isinstance(value, list) else value


def test_entities_of_low_scores_are_left_out(predictor):
    text = " ".join(TEXTS[:3])
    every = predictor.predict(text, striped(), ask=Ask(alternatives=1, image_effect=True, regions=True))
    middle = sorted(scores(every.entities))[len(every.entities) // 2]
    some = predictor.predict(
        text, striped(), ask=Ask(alternatives=1, image_effect=True, regions=True, min_score=middle)
    )
    kept = [mention for mention in every.entities if mention.score >= middle]
    assert 0 < len(kept) < len(every.entities) and spans(some.entities) == spans(kept)
    assert [mention.doubt for mention in some.entities] == [mention.doubt for mention in kept]
    assert [mention.regions for mention in some.entities] == [mention.regions for mention in kept]
    assert all(score >= middle for score in scores(some.without_image))
    _check_effects(some.entities, some.without_image)


def test_a_temperature_changes_scores_and_no_entity(tiny_folder, predictor):
    tagger = load_tagger(tiny_folder)
    tagger.calibration = Calibration(temperature=3.0)
    flat, sharp = Predictor(tagger), predictor
    text = " ".join(TEXTS[:3])
    one, other = (each.predict(text, striped(), ask=Ask(alternatives=4)) for each in (sharp, flat))
    assert spans(one.entities) == spans(other.entities)
    assert sum(scores(other.entities)) < 0.9 * sum(scores(one.entities))
    batch = tagger.collator()([_row(text.split())], labelled=False)
    found = tagger.decode_scored(batch)[0]
    expected = tagger.head.span_marginals(
        tagger.emissions(batch).detach(), batch.text.mask, [[entity for entity, _ in found]], 3.0
    )
    assert [score for _, score in found] == pytest.approx(expected[0], abs=1e-6)
    assert sharp.digest != flat.digest


def test_json_holds_what_was_asked_for_and_no_more(predictor):
    plain = predictor.predict(TEXTS[0], striped()).to_dict()
    assert set(plain) == {"id", "text", "entities", "image_status"}
    assert all(set(mention) == {"start", "end", "text", "type", "score"} for mention in plain["entities"])
    whole = predictor.predict(TEXTS[0], striped(), ask=EVERYTHING).to_dict()
    assert set(whole) == {*plain, "without_image", "regions", "model"} and whole["model"] == predictor.digest
    extra = {"alternatives", "no_entity", "other_borders", "image_effect", "regions"}
    assert all(set(mention) == {*plain["entities"][0], *extra} for mention in whole["entities"])
    assert predictor.predict("", ask=EVERYTHING).model == predictor.digest


@pytest.mark.parametrize(("wish", "message"), [({"alternatives": -1}, "alternatives"), ({"min_score": 1.1}, "1.1")])
def test_wishes_that_make_no_sense_are_refused(wish, message):
    with pytest.raises(AskError, match=message):
        Ask(**wish)
