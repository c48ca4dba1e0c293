from matplotlib.axes import Axes

from babelens.experiments.plot_confusion import draw_confusions
from babelens.scoring.breakdown import Confusion

ONE = Confusion(("LOC", "PER", "none"), ((8, 1, 1), (0, 3, 1), (2, 0, 0)), (0, 0))
OTHER = Confusion(("PER", "none"), ((4, 0), (2, 0)), (1,))


def grid(axes: Axes) -> list[list[str]]:
    """The words in the cells, row by row as the drawing has them from above."""
    size = int(len(axes.texts) ** 0.5)
    words = {text.get_position(): text.get_text() for text in axes.texts}
    return [[words[column + 0.5, row + 0.5] for column in range(size)] for row in range(size)]


def test_rows_are_shares_of_gold_over_all_seeds() -> None:
    plot = draw_confusions({"a": [ONE, OTHER], "b": [OTHER]}, title="t")
    a, b = plot.figure.axes
    assert grid(a) == [["80", "10", "10"], ["0", "88", "12"], ["50", "50", "–"]]
    assert [tick.get_text() for tick in a.get_yticklabels()] == ["LOC (10)", "PER (8)", "none (4)"]
    assert [tick.get_text() for tick in a.get_xticklabels()] == ["LOC", "PER", "none"]
    # A type that a system never met keeps its row, empty.
    assert grid(b) == [["", "", ""], ["0", "100", "0"], ["0", "100", "–"]]
    low, high = a.get_ylim()
    assert low > high  # the first row is on top
    assert "Counts are of all seeds together." in plot.caption


def test_a_type_called_none_is_not_mixed_up_with_no_entity() -> None:
    odd = Confusion(("none", "none"), ((5, 1), (2, 0)), (0,))
    [axes] = draw_confusions({"a": [odd]}, title="t").figure.axes
    assert grid(axes) == [["83", "17"], ["100", "–"]]


def test_colours_are_those_of_the_shares() -> None:
    [axes] = draw_confusions({"": [ONE]}, title="t").figure.axes
    [mesh] = axes.collections
    shares = mesh.get_array()
    assert shares is not None and shares.tolist() == [[80, 10, 10], [0, 75, 25], [100, 0, 0]]
