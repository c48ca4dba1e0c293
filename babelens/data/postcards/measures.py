"""Figures of the corpus beside F1, from the entities that a model gives to each row (by the row's id). In per cent."""

from collections.abc import Mapping, Sequence

from babelens.data.postcards.cards import Card
from babelens.schema import Entity

Answers = Mapping[str, Sequence[Entity]]


def pair_accuracy(cards: Sequence[Card], predicted: Answers) -> float:
    """Of the pairs (same text, other gold), how many have all entities right in both rows, and none too many.

    Raises:
        ValueError: no row has a pair.
        KeyError: a row has no answer.
    """
    rows = {card.id: card for card in cards}
    pairs = [(card, rows[card.pair]) for card in cards if card.pair is not None and card.id < card.pair]
    if not pairs:
        raise ValueError("expected rows with pairs, found none")
    return 100 * sum(all(_right(card, predicted) for card in pair) for pair in pairs) / len(pairs)


def _right(card: Card, predicted: Answers) -> bool:
    return set(predicted[card.id]) == set(card.entities)


def flip_rate(cards: Sequence[Card], predicted: Answers, swapped: Answers) -> float:
    """Of the ambiguous entities right with the true picture, how many take their other type with the pair's picture.

    0 when no ambiguous entity is right with the true picture.

    Raises:
        KeyError: a row has no answer.
    """
    right = flipped = 0
    for card in cards:
        for number in card.ambiguous:
            entity = card.entities[number]
            if entity in predicted[card.id]:
                right += 1
                others = [type_ for type_ in card.candidates[number] if type_ != entity.type]
                turned = [Entity(entity.start, entity.end, type_) for type_ in others]
                flipped += any(other in swapped[card.id] for other in turned)
    return 100 * flipped / right if right else 0.0


def contradiction_flip_rate(cards: Sequence[Card], predicted: Answers) -> float:
    """Of the rows whose picture contradicts the text, how many have an entity found but with another type than gold.

    Raises:
        ValueError: no row has such a picture.
        KeyError: a row has no answer.
    """
    contradicting = [card for card in cards if card.contradicting]
    if not contradicting:
        raise ValueError("expected rows with contradicting pictures, found none")
    return 100 * sum(_mistyped(card, predicted[card.id]) for card in contradicting) / len(contradicting)


def _mistyped(card: Card, predicted: Sequence[Entity]) -> bool:
    types = {(entity.start, entity.end): entity.type for entity in predicted}
    return any(types.get((gold.start, gold.end), gold.type) != gold.type for gold in card.entities)
