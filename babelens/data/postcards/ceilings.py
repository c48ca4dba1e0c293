"""What a model can reach at best that sees only a part of a row: bounds computed from the corpus itself."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from babelens.data.postcards.cards import Card


@dataclass(frozen=True)
class Ceiling:
    """The best micro F1 (exact spans, per cent), and the pair accuracy (per cent of pairs) of the model that has it."""

    f1: float
    pair_accuracy: float


def ceilings(cards: Sequence[Card]) -> dict[str, Ceiling]:
    """The ceilings of the rows of one part, each of a model that is told the boundaries of all entities for nothing.

    "text": sees words and language. Both rows of a pair look alike to it, so it gets one of them right at most, and its
    pair accuracy is 0 whatever it does. "picture": sees which types are drawn, and the number of entities. "unbound":
    sees words, language and which types are drawn, but not which thing is meant.
    """
    return {
        "text": ceiling(cards, lambda card: (card.language, card.words)),
        "picture": ceiling(cards, lambda card: (_drawn(card), len(card.entities))),
        "unbound": ceiling(cards, lambda card: (card.language, card.words, _drawn(card))),
    }


def _drawn(card: Card) -> tuple[str, ...]:
    return tuple(sorted(thing.type for thing in card.things))


def ceiling(cards: Sequence[Card], seen: Callable[[Card], Hashable]) -> Ceiling:
    """The best F1 of any deterministic model whose answer depends on nothing but `seen` of a row.

    For the n-th entity of rows that look alike, the best answer is the type that most of them have, right in c of m
    rows, or no answer. F1 = 2 TP / (answers + gold) is best when exactly the answers with the highest c / m are given
    (a ratio of two sums over the answers; adding one helps while its own ratio is above half the F1 reached).
    """
    types: dict[tuple[Hashable, int], Counter[str]] = defaultdict(Counter)
    for card in cards:
        for number, entity in enumerate(card.entities):
            types[seen(card), number][entity.type] += 1
    best = {place: max(counts.items(), key=lambda item: (item[1], item[0])) for place, counts in types.items()}
    places = sorted(types, key=lambda place: best[place][1] / types[place].total(), reverse=True)
    gold = sum(counts.total() for counts in types.values())
    right = answers = 0
    f1 = 0.0
    answered: dict[tuple[Hashable, int], str] = {}
    for place in places:
        right += best[place][1]
        answers += types[place].total()
        if 2 * right / (answers + gold) < f1:
            break
        f1 = 2 * right / (answers + gold)
        answered[place] = best[place][0]
    correct = {
        card.id: all(answered.get((seen(card), n)) == entity.type for n, entity in enumerate(card.entities))
        for card in cards
    }
    pairs = [(card.id, card.pair) for card in cards if card.pair is not None and card.id < card.pair]
    both = sum(correct[one] and correct[other] for one, other in pairs)
    return Ceiling(100 * f1, 100 * both / len(pairs) if pairs else 0.0)
