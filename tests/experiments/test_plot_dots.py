import math
from statistics import mean, stdev

import pytest
from matplotlib.axes import Axes

from babelens.experiments.plot_dots import draw_gains, draw_scores
from babelens.experiments.plot_style import marks

SCORES = {
    "English": {"bert-crf": [68.0, 69.0, 71.5], "2m-ner": [70.0, 72.0, 71.0]},
    "French": {"bert-crf": [62.0, 63.0, 64.5], "2m-ner": []},
}


def dots(axes: Axes) -> dict[tuple[float, float], str]:
    """The marks of means by their places; single seeds are strokes and have many points or no fill."""
    return {
        (float(line.get_xdata()[0]), float(line.get_ydata()[0])): str(line.get_marker())
        for line in axes.lines
        if len(line.get_xdata()) == 1 and line.get_marker() not in ("|", "None", 2, 3)
    }


def bars(axes: Axes) -> list[tuple[float, float]]:
    """From where to where the bars of spread reach."""
    return [
        (float(segment[0][0]), float(segment[1][0])) for some in axes.collections for segment in some.get_segments()
    ]


def test_means_stand_where_the_figures_are_and_bars_are_a_standard_deviation() -> None:
    plot = draw_scores(SCORES, title="F1")
    english, french = plot.figure.axes
    assert [english.get_title(loc="left"), french.get_title(loc="left")] == ["English", "French"]
    assert list(dots(english)) == [(mean(SCORES["English"]["bert-crf"]), 0), (71.0, 1)]
    expected = [(mean(values) - stdev(values), mean(values) + stdev(values)) for values in SCORES["English"].values()]
    assert bars(english) == [pytest.approx(pair) for pair in expected]
    assert [tick.get_text() for tick in english.get_yticklabels()] == ["bert-crf", "2m-ner"]
    assert [text.get_text() for text in english.texts] == ["69.5 ± 1.8", "71.0 ± 1.0"]
    # Few seeds are drawn one by one, too.
    strokes = [line.get_xdata() for line in english.lines if line.get_marker() == "|" and len(line.get_xdata()) == 3]
    assert [list(points) for points in strokes] == list(SCORES["English"].values())


def test_what_is_missing_is_an_empty_place_in_its_row() -> None:
    plot = draw_scores({**SCORES, "German": {}}, title="F1")
    english, french, german = plot.figure.axes
    assert [place for _, place in dots(french)] == [0]
    assert not dots(german) and english.get_ylim() == french.get_ylim() == german.get_ylim() == (1.5, -0.5)


def test_one_seed_has_no_bars() -> None:
    plot = draw_scores({"": {"a": [50.0], "b": [60.0], "c": [math.nan]}}, title="F1")
    [axes] = plot.figure.axes
    assert not axes.collections and list(dots(axes)) == [(50, 0), (60, 1)]
    assert "no spread" in plot.caption


def test_an_axis_that_does_not_begin_at_nought_says_so() -> None:
    plot = draw_scores(SCORES, title="F1")
    assert plot.figure.axes[0].get_xlim()[0] == 60
    assert plot.figure.axes[0].get_xlabel() == "F1 (%), from 60" and "begins at 60, not at 0" in plot.caption
    plot = draw_scores({"": {"a": [5.0, 6.0]}}, title="F1")
    assert plot.figure.axes[0].get_xlim()[0] == 0 and plot.figure.axes[0].get_xlabel() == "F1 (%)"


def test_a_system_keeps_its_mark() -> None:
    looks = marks(["another", "2m-ner"])
    plot = draw_scores(SCORES, title="F1", systems=looks)
    assert dots(plot.figure.axes[0])[71.0, 1] == looks["2m-ner"].marker != marks(["2m-ner"])["2m-ner"].marker


def test_gains_stand_on_both_sides_of_nought() -> None:
    gains = {"All": {"2m-ner": {"twin": [1.0, 2.0], "blank": [-0.5, -1.5]}, "umt": {"twin": [0.25]}}}
    plot = draw_gains(gains, title="Gain", references=marks(["blank", "twin"]))
    [axes] = plot.figure.axes
    found = dots(axes)
    assert sorted(x for x, _ in found) == [-1.0, 0.25, 1.5]
    assert bars(axes) == [
        pytest.approx((-1 - 0.5**0.5, -1 + 0.5**0.5)),
        pytest.approx((1.5 - 0.5**0.5, 1.5 + 0.5**0.5)),
    ]
    # Each stands in its own row, and those of one row side by side.
    places = {x: y for x, y in found}
    assert round(places[1.5]) == round(places[-1.0]) == 0 and places[1.5] > places[-1.0] and round(places[0.25]) == 1
    low, high = axes.get_xlim()
    assert low < -1 - 0.5**0.5 and high > 1.5 + 0.5**0.5
    assert [text.get_text() for text in plot.figure.legends[0].get_texts()] == ["blank", "twin"]


def test_nothing_at_all_can_be_drawn() -> None:
    for plot in (draw_scores({}, title="F1"), draw_scores({"": {}}, title="F1"), draw_gains({}, title="Gain")):
        assert "There are no figures yet." in plot.caption
