import math
from statistics import mean, stdev

import pytest
from matplotlib.axes import Axes

from babelens.experiments.plot_lines import draw_curves, draw_groups, draw_sweeps, spaced_by_factors


def lines(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """The points of each named line."""
    return {
        str(line.get_label()): list(zip(map(float, line.get_xdata()), map(float, line.get_ydata()), strict=True))
        for line in axes.lines
        if not str(line.get_label()).startswith("_")
    }


def bars(axes: Axes) -> list[tuple[float, float, float]]:
    """Where each bar of spread stands, and from where to where it reaches."""
    return [
        (float(segment[0][0]), float(segment[0][1]), float(segment[1][1]))
        for some in axes.collections
        if hasattr(some, "get_segments")
        for segment in some.get_segments()
    ]


def test_sweeps_draw_means_and_deviations_at_their_numbers() -> None:
    found = {"a": {1.0: [50.0, 52.0], 10.0: [60.0, 61.0, 65.0], 100.0: [70.0]}, "b": {1.0: [40.0], 100.0: [60.0, 64.0]}}
    plot = draw_sweeps({"English": found}, title="F1 by share", x="share (%)")
    [axes] = plot.figure.axes
    points = lines(axes)
    assert points["a"] == [(1, 51), (10, 62), (100, 70)]
    assert points["b"][0] == (1, 40) and points["b"][2] == (100, 62)
    assert points["b"][1][0] == 10 and math.isnan(points["b"][1][1])  # a gap
    expected = [
        (place, mean(some) - stdev(some), mean(some) + stdev(some))
        for one in found.values()
        for place, some in one.items()
        if len(some) > 1
    ]
    assert bars(axes) == [pytest.approx(bar) for bar in expected]
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "share (%) (logarithmic)"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "10", "100"]
    low, high = axes.get_ylim()
    assert low == 35 and high > 70 and axes.get_ylabel() == "F1 (%), from 35"


def test_single_seeds_have_no_bars_and_stand_exactly_at_their_number() -> None:
    plot = draw_sweeps({"": {"a": {0.1: [50.0], 0.2: [51.0]}, "b": {0.1: [52.0]}}}, title="t", x="alpha")
    [axes] = plot.figure.axes
    assert not bars(axes) and "no spread" in plot.caption and "side by side" not in plot.caption
    for line in axes.lines:
        assert line.get_transform().transform((0.1, 50)) == pytest.approx(axes.transData.transform((0.1, 50)))
    assert axes.get_xscale() == "linear"


def test_all_points_and_bars_lie_within_the_axes() -> None:
    found = {f"system {number}": {1.0: [50.0, 58.0], 2.0: [70.0, 80.0], 500.0: [66.0, 67.0]} for number in range(9)}
    [axes] = draw_sweeps({"": found}, title="t", x="rows").figure.axes
    box = axes.get_window_extent()
    for line in axes.lines:
        for x, y in line.get_transform().transform(list(zip(line.get_xdata(), line.get_ydata(), strict=True))):
            assert box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1


def test_levels_go_straight_across() -> None:
    levels = {"": {"text-only twin": [69.0, 71.0]}}
    plot = draw_sweeps({"": {"2m-ner": {0.0: [80.0], 1.0: [79.0]}}}, title="t", x="dose", levels=levels)
    [axes] = plot.figure.axes
    assert [y for _, y in lines(axes)["text-only twin"]] == [70, 70]
    [band] = axes.patches
    assert band.get_window_extent().y0 == pytest.approx(axes.transData.transform((0, 70 - 2**0.5))[1])
    assert axes.get_ylim()[0] == 65
    assert [text.get_text() for text in plot.figure.legends[0].get_texts()] == ["2m-ner", "text-only twin"]


@pytest.mark.parametrize(
    ("numbers", "factors"),
    [
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], False),
        ([1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4], True),
        ([8, 16, 32, 64], True),
        ([1, 5, 10, 25, 50, 100], True),
        ([0, 0.2, 0.4, 0.6, 0.8, 1], False),
        ([1, 2, 3, 4, 5], False),
        ([0.02, 0.05, 0.1, 0.2, 0.5, 1.0], True),
        ([1, 100], False),
        ([], False),
    ],
)
def test_numbers_that_grow_by_factors_are_found(numbers: list[float], factors: bool) -> None:
    assert spaced_by_factors([float(number) for number in numbers]) == factors


def test_groups_stand_in_their_order_with_their_sizes() -> None:
    found = {"a": {"1": [50.0, 52.0], "2-4": [40.0, 42.0]}, "b": {"5+": [30.0, 31.0]}}
    sizes = {"1": 1200, "2-4": 30, "5+": 7}
    plot = draw_groups({"": found}, title="t", x="length (words)", counts=sizes)
    [axes] = plot.figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1\n(1,200)", "2-4\n(30)", "5+\n(7)"]
    points = lines(axes)
    assert points["a"][:2] == [(0, 51), (1, 41)] and math.isnan(points["a"][2][1])
    assert points["b"][2] == (2, 30.5) and math.isnan(points["b"][0][1])
    assert "In brackets: entities in the group." in plot.caption


def test_curves_are_means_over_the_seeds_that_came_so_far() -> None:
    runs = {"a": [{1: 40.0, 2: 50.0, 3: 60.0}, {1: 44.0, 2: 51.0}], "b": [{1: 30.0, 2: math.nan, 3: 35.0}], "c": []}
    plot = draw_curves({"F1": runs, "loss": {"a": [{1: 2.0, 2: 1.0}]}}, title="t", y={"F1": "F1 (%)"})
    f1, loss = plot.figure.axes
    assert lines(f1) == {"a": [(1, 42), (2, 50.5), (3, 60)], "b": [(1, 30), (3, 35)]}
    assert lines(loss) == {"a": [(1, 2), (2, 1)]}
    [band] = f1.collections
    [path] = band.get_paths()
    corners = {(float(x), round(float(y), 9)) for x, y in path.vertices}
    assert (1.0, round(42 - stdev([40, 44]), 9)) in corners and (2.0, round(50.5 + stdev([50, 51]), 9)) in corners
    assert max(x for x, _ in corners) == 2
    assert not loss.collections
    assert "went so far" in plot.caption
    assert f1.get_ylabel() == "F1 (%), from 25" and loss.get_ylabel() == "loss" and loss.get_ylim()[0] == 0


def test_nothing_at_all_can_be_drawn() -> None:
    draw_sweeps({}, title="t", x="x")
    draw_sweeps({"": {}}, title="t", x="x", log=True)
    draw_groups({"": {"a": {}}}, title="t", x="x")
    draw_curves({"": {"a": [{}]}}, title="t")
