import pytest

from babelens.experiments.plot_reliability import draw_reliability
from babelens.schema import Entity
from babelens.scoring.calibration import Reliability, reliability
from babelens.scoring.outcomes import Outcome


def measured(*scored: tuple[float, bool]) -> Reliability:
    """What is measured of entities with a probability, right or wrong: one row each."""
    gold, wrong = Entity(0, 1, "PER"), Entity(1, 2, "LOC")
    rows = [
        Outcome(str(number), ("w", "w"), (gold,), (gold if right else wrong,), (score,), number)
        for number, (score, right) in enumerate(scored)
    ]
    found = reliability(rows)
    assert found is not None
    return found


def test_bins_of_all_seeds_are_drawn_together() -> None:
    first = measured((0.92, True), (0.98, True), (0.95, False), (0.35, False))
    second = measured((0.96, True))
    plot = draw_reliability({"2m-ner": [first, second]}, title="t")
    above, below = plot.figure.axes
    assert [(bar.get_x(), bar.get_height()) for bar in above.patches] == [
        (pytest.approx(0.3), 0),
        (pytest.approx(0.9), pytest.approx(3 / 4)),
    ]
    assert [bar.get_height() for bar in below.patches] == [1, 4]
    diagonal, points = above.lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]
    assert list(points.get_xdata()) == pytest.approx([0.35, (0.92 + 0.98 + 0.95 + 0.96) / 4])
    assert list(points.get_ydata()) == pytest.approx([0, 3 / 4])
    # By hand: (3 |0.95 - 2/3| + 0.35) / 4 = 0.3, and 0.04.
    legend = above.get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == f"ECE 17.0 ± {26 / 2**0.5:.1f} %"
    assert "Bins hold the entities of all seeds." in plot.caption


def test_one_seed_has_no_spread() -> None:
    plot = draw_reliability({"a": [measured((0.5, True))], "b": [measured((0.75, False))]}, title="t")
    legend = plot.figure.axes[0].get_legend()
    assert legend is not None and legend.get_texts()[0].get_text() == "ECE 50.0 %"
    assert "standard deviation" not in plot.caption
    assert len(plot.figure.axes) == 4
