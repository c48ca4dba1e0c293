from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from babelens.data.postcards import Card
from babelens.data.postcards.controls import blank, corrupt, shuffled, shuffled_within, swapped, true_pictures


def answer(card: Card, picture: Card) -> list[str | None]:
    """What the picture of one row says about the mentions of another, by what the text of that row binds them to."""
    types = []
    for number in range(len(card.entities)):
        cue = next(thing.cue for thing in card.things if thing.entity == number)
        shown = [thing.type for thing in picture.things if cue is None or cue in (thing.colour, thing.position)]
        types.append(shown[0] if len(shown) == 1 else None)
    return types


def test_true_pictures_answer_ambiguous_rows(tested: list[Card]) -> None:
    rows = {card.id: card for card in tested}
    for id_, donor in true_pictures(tested).items():
        if rows[id_].ambiguous:
            assert answer(rows[id_], rows[donor]) == [entity.type for entity in rows[id_].entities]


def test_shuffled_within_keeps_the_answer_with_another_picture(tested: list[Card]) -> None:
    rows = {card.id: card for card in tested}
    donors = shuffled_within(tested)
    assert sorted(donors) == sorted(donors.values()) == sorted(rows)
    assert all(id_ != donor for id_, donor in donors.items())
    for id_, donor in donors.items():
        card, other = rows[id_], rows[donor]
        assert sorted(thing.type for thing in card.things) == sorted(thing.type for thing in other.things)
        if card.ambiguous:
            assert answer(card, other) == [entity.type for entity in card.entities]


def test_shuffled_moves_every_picture(tested: list[Card]) -> None:
    donors = shuffled(tested, seed=4)
    assert sorted(donors.values()) == sorted(card.id for card in tested)
    assert all(id_ != donor for id_, donor in donors.items())
    assert donors == shuffled(tested, seed=4) != shuffled(tested, seed=5)


def test_swapped_pictures_speak_against_gold(tested: list[Card]) -> None:
    rows = {card.id: card for card in tested}
    for id_, donor in swapped(tested).items():
        card, other = rows[id_], rows[donor]
        gold = [entity.type for entity in card.entities]
        if card.ambiguous:
            told = answer(card, other)
            assert all(a != b and a in types for a, b, types in zip(told, gold, card.candidates, strict=True))
        else:
            assert not set(gold) & {thing.type for thing in other.things}


def test_swapped_needs_both_rows_of_a_pair(tested: list[Card]) -> None:
    alone = next(card for card in tested if card.pair is not None)
    with pytest.raises(ValueError, match=f"found {alone.id} without {alone.pair}"):
        swapped([alone])


def test_blank_shows_nothing() -> None:
    picture = blank(Image.effect_noise((30, 20), 50).convert("RGB"))
    assert picture.size == (30, 20)
    assert picture.getcolors() == [(600, (128, 128, 128))]


@pytest.mark.parametrize("kind", ["noise", "blur"])
def test_corruption_grows_and_repeats(corpus: Path, tested: list[Card], kind: str) -> None:
    with Image.open(corpus / "images" / f"{tested[0].id}.jpg") as file:
        picture = file.convert("RGB")
    before = np.asarray(picture, float)
    damage = [abs(np.asarray(corrupt(picture, kind, n, "a"), float) - before).mean() for n in (1, 2, 3, 4, 5)]
    assert damage == sorted(damage)
    assert damage[0] > 1
    assert corrupt(picture, kind, 3, "a").tobytes() == corrupt(picture, kind, 3, "a").tobytes()
    with pytest.raises(ValueError, match="expected a severity from 1 to 5, found 6"):
        corrupt(picture, kind, 6)
    assert corrupt(picture, "noise", 3, "a").tobytes() != corrupt(picture, "noise", 3, "b").tobytes()
