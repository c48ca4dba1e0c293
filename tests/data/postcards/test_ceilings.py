from itertools import product

import pytest

from babelens.data.postcards import Card
from babelens.data.postcards.ceilings import ceiling, ceilings
from babelens.schema import Entity


def card(number: int, word: str, types: str, pair: int | None = None) -> Card:
    entities = tuple(Entity(place, place + 1, type_) for place, type_ in enumerate(types))
    return Card(
        id=str(number),
        language="en",
        split="test",
        group=str(number),
        pair=None if pair is None else str(pair),
        words=(word,) * len(types),
        entities=entities,
        ambiguous=(),
        contradicting=False,
        candidates=(),
        things=(),
    )


def best_by_trying(cards: list[Card], choices: str) -> float:
    """The best F1 over all functions from (words, place) to a type or nothing."""
    places = sorted({(card.words, place) for card in cards for place in range(len(card.entities))})
    gold = sum(len(card.entities) for card in cards)
    best = 0.0
    for answers in product([*choices, None], repeat=len(places)):
        model = dict(zip(places, answers, strict=True))
        given = [(model[card.words, n], entity.type) for card in cards for n, entity in enumerate(card.entities)]
        answered = [pair for pair in given if pair[0] is not None]
        best = max(best, 200 * sum(a == b for a, b in answered) / (len(answered) + gold))
    return best


@pytest.mark.parametrize(
    "rows",
    [
        [("a", "PL"), ("a", "LP"), ("b", "P")],
        [("a", "P"), ("a", "L"), ("a", "O"), ("a", "M"), ("b", "P"), ("b", "P"), ("c", "M")],
        [("a", "P"), ("a", "L"), ("a", "O"), ("b", "M"), ("b", "P"), ("c", "L"), ("c", "L"), ("c", "O")],
        [("a", "PLO"), ("a", "PLM")],
    ],
)
def test_f1_is_the_best_of_all_models(rows: list[tuple[str, str]]) -> None:
    cards = [card(number, *row) for number, row in enumerate(rows)]
    assert ceiling(cards, lambda card: card.words).f1 == pytest.approx(best_by_trying(cards, "PLOM"))


def test_nothing_is_answered_where_it_would_cost_more_than_it_brings() -> None:
    cards = [card(n, "sure", "P") for n in range(8)] + [card(8 + n, "open", type_) for n, type_ in enumerate("ABCDEF")]
    assert ceiling(cards, lambda card: card.words).f1 == pytest.approx(200 * 8 / (8 + 14))


def test_ceilings_of_the_corpus(tested: list[Card]) -> None:
    found = ceilings(tested)
    gold = sum(len(card.entities) for card in tested)
    open_ = sum(len(card.ambiguous) for card in tested)
    assert found["text"].f1 == pytest.approx(100 * (gold - open_ / 2) / gold)
    assert found["text"].pair_accuracy == 0
    assert found["picture"].f1 < found["text"].f1 < found["unbound"].f1 < 80
    # Only single things without a distractor can be told without binding: 4 in 10 of single mentions.
    assert found["unbound"].pair_accuracy == pytest.approx(100 * 0.4 * 0.4, abs=3)


def test_no_model_of_text_alone_gets_a_pair(tested: list[Card]) -> None:
    for pair in [card for card in tested if card.pair is not None]:
        other = next(card for card in tested if card.id == pair.pair)
        assert (pair.words, pair.language) == (other.words, other.language)
        assert not set(pair.entities) & set(other.entities)
