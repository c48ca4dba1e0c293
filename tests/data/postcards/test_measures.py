import pytest

from babelens.data.postcards import Card
from babelens.data.postcards.measures import contradiction_flip_rate, flip_rate, pair_accuracy
from babelens.schema import Entity


def gold(cards: list[Card]) -> dict[str, tuple[Entity, ...]]:
    return {card.id: card.entities for card in cards}


def twin(cards: list[Card]) -> dict[str, tuple[Entity, ...]]:
    rows = gold(cards)
    return {card.id: rows[card.pair or card.id] for card in cards}


def test_right_answers(tested: list[Card]) -> None:
    assert pair_accuracy(tested, gold(tested)) == 100
    assert contradiction_flip_rate(tested, gold(tested)) == 0
    assert flip_rate(tested, gold(tested), gold(tested)) == 0
    assert flip_rate(tested, gold(tested), twin(tested)) == 100


def test_one_wrong_row_costs_its_pair(tested: list[Card]) -> None:
    paired = [card for card in tested if card.pair is not None]
    answers = gold(tested)
    answers[paired[0].id] = (*answers[paired[0].id], Entity(0, 1, "LOC"))
    pairs = len(paired) / 2
    assert pair_accuracy(tested, answers) == pytest.approx(100 * (pairs - 1) / pairs)
    answers[paired[0].pair or ""] = ()
    assert pair_accuracy(tested, answers) == pytest.approx(100 * (pairs - 1) / pairs)


def test_same_answer_to_both_rows_gets_no_pair(tested: list[Card]) -> None:
    rows = gold(tested)
    same = {card.id: rows[min(card.id, card.pair or card.id)] for card in tested}
    assert pair_accuracy(tested, same) == 0


def test_contradictions_count_rows_with_a_wrong_type(tested: list[Card]) -> None:
    contradicting = [card for card in tested if card.contradicting]
    answers = gold(tested)
    first = answers[contradicting[0].id][0]
    answers[contradicting[0].id] = (Entity(first.start, first.end, "LOC" if first.type != "LOC" else "PER"),)
    answers[contradicting[1].id] = ()
    assert contradiction_flip_rate(tested, answers) == pytest.approx(100 / len(contradicting))


def test_flip_rate_counts_only_entities_that_were_right(tested: list[Card]) -> None:
    open_ = [card for card in tested if card.ambiguous]
    wrong = {**gold(tested), **{card.id: () for card in open_}}
    assert flip_rate(tested, wrong, twin(tested)) == 0
    half = {**twin(tested), **{card.id: card.entities for card in open_[::2]}}
    kept = sum(len(card.ambiguous) for card in open_[::2]) / sum(len(card.ambiguous) for card in open_)
    assert flip_rate(tested, gold(tested), half) == pytest.approx(100 * (1 - kept))


def test_rows_without_pairs_are_refused(tested: list[Card]) -> None:
    plain = [card for card in tested if card.pair is None and not card.contradicting]
    with pytest.raises(ValueError, match="expected rows with pairs"):
        pair_accuracy(plain, gold(plain))
    with pytest.raises(ValueError, match="expected rows with contradicting pictures"):
        contradiction_flip_rate(plain, gold(plain))
