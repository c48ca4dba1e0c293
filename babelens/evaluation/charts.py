"""Line charts as inline SVG: no script, no outside request, colours from the style sheet of the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from babelens.evaluation.markup import markup

WIDTH, HEIGHT = 480, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 44
Point = tuple[float | int, float | int]
# Lines differ by marker and dash as well as by colour; the style sheet has as many colours.
STYLES = (("circle", ""), ("square", "7 4"), ("triangle", "2 4"), ("diamond", "10 3 2 3"), ("cross", "1 3"))


@dataclass(frozen=True, slots=True)
class Curve:
    """A named line through (x, y) points; points that are not finite leave a gap."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over one pair of axes, with dashed `levels` (name and y) to compare them with."""

    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    levels: tuple[tuple[str, float | int], ...] = ()


def draw_chart(chart: Chart) -> str:
    """The chart as an HTML figure: the drawing, its legend and its figures as a table that can be unfolded."""
    title = f"<figcaption>{markup(chart.title)}</figcaption>"
    finite = [point for curve in chart.curves for point in curve.points if _finite(point)]
    if not finite:
        return f'<figure class="chart">{title}<p>There are no points to draw.</p></figure>'
    xs = _ticks(min(x for x, _ in finite), max(x for x, _ in finite), whole=all(x == int(x) for x, _ in finite))
    heights = [*(y for _, y in finite), *(level for _, level in chart.levels)]
    ys = _ticks(min(heights), max(heights))
    drawing = _Drawing((xs[0], xs[-1]), (ys[0], ys[-1]))
    return (
        f'<figure class="chart">{title}'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{markup(_describe(chart))}">'
        f"{drawing.axes(chart, xs, ys)}{drawing.levels(chart.levels)}"
        f"{''.join(drawing.curve(number, curve) for number, curve in enumerate(chart.curves))}</svg>"
        f"{_legend(chart)}{_figures(chart)}</figure>"
    )


class _Drawing:
    """Places data on the paper."""

    def __init__(self, x_range: tuple[float, float], y_range: tuple[float, float]) -> None:
        self.x_range, self.y_range = x_range, y_range

    def x(self, value: float | int) -> float:
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float | int) -> float:
        low, high = self.y_range
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def axes(self, chart: Chart, xs: Sequence[float], ys: Sequence[float]) -> str:
        across = "".join(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.y(y):.1f}" y2="{self.y(y):.1f}"/>'
            f'<text x="{LEFT - 8}" y="{self.y(y) + 4:.1f}" text-anchor="end">{y:g}</text>'
            for y in ys
        )
        down = "".join(
            f'<text x="{self.x(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:g}</text>' for x in xs
        )
        middle = (HEIGHT - BOTTOM + TOP) / 2
        return (
            f'{across}{down}<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
            f'{markup(chart.x)}</text><text x="14" y="{middle}" text-anchor="middle" '
            f'transform="rotate(-90 14 {middle})">{markup(chart.y)}</text>'
        )

    def levels(self, levels: Sequence[tuple[str, float | int]]) -> str:
        return "".join(
            f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.y(y):.1f}" y2="{self.y(y):.1f}"/>'
            f'<text x="{WIDTH - RIGHT}" y="{self.y(y) - 5:.1f}" text-anchor="end">{markup(name)} {y:.1f}</text>'
            for name, y in levels
            if math.isfinite(y)
        )

    def curve(self, number: int, curve: Curve) -> str:
        shape, dash = STYLES[number % len(STYLES)]
        pieces: list[list[str]] = [[]]
        for point in curve.points:
            if _finite(point):
                pieces[-1].append(f"{self.x(point[0]):.1f},{self.y(point[1]):.1f}")
            elif pieces[-1]:
                pieces.append([])
        lines = "".join(f'<polyline stroke-dasharray="{dash}" points="{" ".join(piece)}"/>' for piece in pieces)
        marks = "".join(
            _marker(shape, self.x(x), self.y(y), f"{curve.name}: {y:.4g} at {x:g}")
            for x, y in curve.points
            if _finite((x, y))
        )
        return f'<g class="curve s{number % len(STYLES)}">{lines}{marks if len(curve.points) <= 60 else ""}</g>'


def _finite(point: Point) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _ticks(low: float | int, high: float | int, *, whole: bool = False, most: int = 7) -> list[float]:
    """Round numbers, evenly spaced, that enclose the range."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        room = max(0.5, 1e-3 * abs(low))
        low, high = low - room, high + room
    exponent = math.floor(math.log10((high - low) / most))
    steps = (factor * 10.0**power for power in (exponent, exponent + 1) for factor in (1, 2, 5))
    step = next(step for step in steps if (high - low) / step <= most)
    if whole:
        step = float(max(1, math.ceil(step)))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, max(last, first + 1) + 1)]


def _marker(shape: str, x: float, y: float, hint: str) -> str:
    paths = {
        "circle": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4">',
        "square": f'<path d="M{x - 4:.1f} {y - 4:.1f}h8v8h-8z">',
        "triangle": f'<path d="M{x:.1f} {y - 5:.1f}l5 9h-10z">',
        "diamond": f'<path d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z">',
        "cross": f'<path d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8">',
    }
    tag = paths[shape]
    return f"{tag}<title>{markup(hint)}</title></{tag[1:].split()[0]}>"


def _legend(chart: Chart) -> str:
    items = "".join(
        f'<li><svg viewBox="0 0 36 12" aria-hidden="true"><g class="curve s{number % len(STYLES)}">'
        f'<polyline stroke-dasharray="{STYLES[number % len(STYLES)][1]}" points="0,6 36,6"/>'
        f"{_marker(STYLES[number % len(STYLES)][0], 18.0, 6.0, curve.name)}</g></svg>{markup(curve.name)}</li>"
        for number, curve in enumerate(chart.curves)
    )
    return f'<ul class="legend">{items}</ul>'


def _figures(chart: Chart) -> str:
    places = sorted({x for curve in chart.curves for x, _ in curve.points})
    columns = [dict(curve.points) for curve in chart.curves]
    head = "".join(f'<th scope="col">{markup(name)}</th>' for name in (chart.x, *(c.name for c in chart.curves)))
    rows = "".join(
        f'<tr><th scope="row">{x:g}</th>'
        f"{''.join(f'<td>{column[x]:.4g}</td>' if x in column else '<td>–</td>' for column in columns)}</tr>"
        for x in places
    )
    return (
        f'<details><summary>Figures</summary><div class="wide" tabindex="0" role="region" '
        f'aria-label="{markup(chart.title)}"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"</details>"
    )


def _describe(chart: Chart) -> str:
    names = ", ".join(curve.name for curve in chart.curves)
    return f"{chart.title}: {chart.y} by {chart.x}, lines for {names}"
