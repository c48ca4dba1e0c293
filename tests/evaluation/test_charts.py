import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from babelens.evaluation.charts import Chart, Curve, draw_chart


def chart(*curves: tuple[tuple[float, float], ...], levels: tuple[tuple[str, float], ...] = ()) -> str:
    named = tuple(Curve(f"model {number}", points) for number, points in enumerate(curves))
    return draw_chart(Chart("Loss", "epoch", "loss", named, levels))


def lines(html: str) -> list[list[tuple[float, float]]]:
    """The drawn lines without those of the legend."""
    drawn = re.findall(r'<polyline [^>]*points="([^"]*)"', html.split('<ul class="legend">')[0])
    return [[(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())] for line in drawn]


def labels(html: str, anchor: str) -> dict[float, float]:
    """Where the numbers of an axis stand: x of those below, y of those at the left (their baseline is 4 lower)."""
    found = re.findall(rf'<text x="([^"]*)" y="([^"]*)" text-anchor="{anchor}">(-?[\d.]+(?:e[-+]\d+)?)</text>', html)
    return {float(name): float(x) if anchor == "middle" else float(y) - 4 for x, y, name in found}


def test_points_stand_where_the_axes_say() -> None:
    html = chart(((1.0, 20.0), (2.0, 5.0), (4.0, 0.0)))
    across, up = labels(html, "middle"), labels(html, "end")
    [line] = lines(html)
    assert line == [(across[1], up[20]), (across[2], up[5]), (across[4], up[0])]
    assert across[1] < across[4] and up[20] < up[0]


def test_a_point_that_is_not_finite_leaves_a_gap() -> None:
    html = chart(((1.0, 2.0), (2.0, 3.0), (3.0, math.nan), (4.0, 1.0)))
    assert [len(line) for line in lines(html)] == [2, 1]
    assert "nan" in html.split("<details>")[1]


def test_curves_differ_in_more_than_colour() -> None:
    html = chart(((1.0, 2.0), (2.0, 3.0)), ((1.0, 3.0), (2.0, 4.0)))
    styles = re.findall(r'class="curve (s\d)"><polyline stroke-dasharray="([^"]*)"', html)
    assert styles[:2] == styles[2:] == [("s0", ""), ("s1", "7 4")]
    assert "<circle" in html and "h8v8h-8z" in html


def test_levels_lie_within_the_picture() -> None:
    html = chart(((1.0, 2.0), (2.0, 3.0)), levels=(("ceiling", 57.0),))
    [height] = re.findall(r'class="level"[^>]*y1="([^"]*)"', html)
    assert 0 < float(height) < 260
    assert "ceiling 57.0" in html


def test_nothing_to_draw_is_said() -> None:
    assert "There are no points to draw." in chart(())


def test_figures_can_be_read_as_a_table() -> None:
    html = chart(((1.0, 2.0),), ((2.0, 3.5),))
    assert (
        '<tr><th scope="row">1</th><td>2</td><td>–</td></tr><tr><th scope="row">2</th><td>–</td><td>3.5</td></tr>'
        in html
    )


NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=8, unique_by=lambda point: point[0]))
def test_every_point_lies_within_the_picture(points: list[tuple[float, float]]) -> None:
    html = chart(tuple(points))
    drawn = [place for line in lines(html) for place in line]
    assert len(drawn) == len(points)
    assert all(0 <= x <= 480 and 0 <= y <= 260 for x, y in drawn)
    assert 2 <= len(labels(html, "end")) <= 9


@pytest.mark.parametrize("value", [0.0, 5.0, -3.25])
def test_a_flat_line_has_room(value: float) -> None:
    [line] = lines(chart(((1.0, value), (2.0, value))))
    assert 0 < line[0][1] < 260
