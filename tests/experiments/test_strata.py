import numpy as np
import pytest

from babelens.experiments.strata import row_weights, stratify
from babelens.schema import Entity
from babelens.scoring.outcomes import Outcome


def test_weights_by_hand() -> None:
    # Two sources, three strata; the last one is empty in the second source. Common rows: 1 + 3 + 2 + 2 = 8.
    rows = np.array([[[1.0, 3.0, 4.0], [2.0, 2.0, 0.0]]])
    weights = row_weights(rows)[0]
    # Mixture 3/8 and 5/8, divided among the rows of the source.
    assert weights.tolist() == pytest.approx(np.array([[3 / 8, 5 / 24, 0], [3 / 16, 5 / 16, 0]]))
    assert (rows[0] * weights).sum(axis=1).tolist() == pytest.approx([1, 1])
    assert row_weights(np.array([[[1.0, 0.0], [0.0, 2.0]]])).tolist() == [[[0, 0], [0, 0]]]


def test_rows_are_sorted_and_added_up_by_source_and_stratum() -> None:
    def row(unit: int, source: str, length: int, types: str, found: str) -> Outcome:
        gold, answers = (
            tuple(Entity(place, place + 1, letter) for place, letter in enumerate(letters))
            for letters in (types, found)
        )
        return Outcome("", ("w",) * length, gold, answers, (1.0,) * len(answers), unit, source=source)

    rows = [
        row(7, "b", 4, "XY", "XX"),
        row(2, "a", 9, "X", "X"),
        row(7, "b", 5, "YY", "YY"),
        row(7, "a", 5, "XY", "X"),
        row(9, "a", 9, "X", ""),
    ]
    strata = stratify([rows], [one.source or "" for one in rows], (1, 6), (0, 2))
    assert (strata.sources, strata.types, strata.strata, strata.units) == (("a", "b"), ("X", "Y"), 2, 3)
    # Short with two entities, long with one: bins 1 and 2 of 4.
    assert strata.gold.tolist() == [[[1, 1], [2, 0]], [[1, 3], [0, 0]]]
    assert strata.words.tolist() == [[5, 18], [9, 0]]
    once = strata.add_up(np.ones((1, 3)))
    assert once.rows[0].tolist() == [[1, 2], [2, 0]]
    # 2 tp and 2 tp + fp + fn of X and Y.
    assert once.counts[0, 0, :, 0].tolist() == [[[2, 2], [0, 1]], [[2, 3], [0, 0]]]
    assert once.counts[0, 1, 0, 0].tolist() == [[2, 3], [4, 5]]
    # Units 2, 7 and 9, in this order.
    twice = strata.add_up(np.array([[0.0, 2.0, 0.0], [3.0, 0.0, 1.0]]))
    assert twice.rows.tolist() == [[[2, 0], [4, 0]], [[0, 4], [0, 0]]]
    assert twice.counts[1, 0, 1, 0].tolist() == [[6, 7], [0, 0]]
    assert strata.units_of(np.array([[True, False], [True, False]])) == 1
    assert strata.units_of(np.array([[True, True], [False, False]])) == 3
