"""Dot plots: a row for each system, a panel for each data set or type, so that every name is read once and in full."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from babelens.experiments.plot_style import (
    GREY,
    GRID,
    INK,
    Mark,
    Plot,
    axis_caption,
    axis_floor,
    axis_label,
    label,
    marks,
    new_figure,
    page,
    spread_caption,
    styled,
    summaries,
)
from babelens.experiments.results import Summary

# Panel -> system -> figures of the seeds.
Scores = Mapping[str, Mapping[str, Sequence[float]]]
# Panel -> system -> what it is compared with -> differences of the seeds.
Gains = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]
# Up to so many seeds are drawn one by one beside their mean.
_FEW = 4
_COLUMNS = 5


@styled()
def draw_scores(
    panels: Scores, *, title: str, axis: str = "F1 (%)", systems: Mapping[str, Mark] | None = None, note: str = ""
) -> Plot:
    """Figures of each system (a row) in each panel: mean as a mark and as a number, one standard deviation as a bar.

    Rows and panels come in the order in which they are first met. What has no figures stays an empty place.
    """
    rows = list(dict.fromkeys(row for panel in panels.values() for row in panel))
    looks = {**marks(rows), **(systems or {})}
    found = {panel: summaries(values) for panel, values in panels.items()}
    known = [one for panel in found.values() for one in panel.values() if one]
    start = axis_floor(one.mean - (one.deviation or 0) for one in known)
    top = max((one.mean + (one.deviation or 0) for one in known), default=1.0)
    # At the right of each panel there is room for numbers.
    stop = start + (top - start) * (1.72 if any(one.deviation is not None for one in known) else 1.4) + 1e-9
    drawing = _Rows(rows, list(panels), axis_label(axis, start), 0.21)
    for axes, panel in zip(drawing.panels, panels, strict=True):
        axes.set_xlim(start, stop)
        axes.set_xticks(
            [tick for tick in MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(start, top) if start <= tick <= top]
        )
        axes.set_xlim(start, stop)
        axes.spines.bottom.set_bounds(start, top)
        for place, row in enumerate(rows):
            if (one := found[panel].get(row)) is not None:
                _dot(axes, one, panels[panel][row], place, looks[row])
                number = f"{one.mean:.1f}" + ("" if one.deviation is None else f" ± {one.deviation:.1f}")
                axes.text(0.99, place, number, transform=axes.get_yaxis_transform(), ha="right", va="center", size=6.5)
    counts = [one.count for one in known]
    words = [spread_caption(counts), _singles(counts), axis_caption(start), note]
    return page(drawing.figure, title, " ".join(word for word in words if word))


@styled()
def draw_gains(
    panels: Gains,
    *,
    title: str,
    axis: str = "gain in F1 (points)",
    references: Mapping[str, Mark] | None = None,
    note: str = "",
) -> Plot:
    """What each system (a row) gains over one or more references (marks), in each panel, on both sides of zero.

    References stand in the order of `references`, others after them as they are met.
    """
    rows = list(dict.fromkeys(row for panel in panels.values() for row in panel))
    met = dict.fromkeys(kind for panel in panels.values() for row in panel.values() for kind in row)
    kinds = [
        *(kind for kind in references or {} if kind in met),
        *(kind for kind in met if kind not in (references or {})),
    ]
    looks = {**marks(kinds), **(references or {})}
    found = {panel: {row: summaries(some) for row, some in values.items()} for panel, values in panels.items()}
    known = [one for panel in found.values() for row in panel.values() for one in row.values() if one]
    ends = [end for one in known for end in (one.mean - (one.deviation or 0), one.mean + (one.deviation or 0))]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    room = 0.08 * (high - low) or 1.0
    drawing = _Rows(rows, list(panels), axis, 0.1 + 0.13 * max(1, len(kinds)))
    for axes, panel in zip(drawing.panels, panels, strict=True):
        axes.set_xlim(low - room, high + room)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
        for place, row in enumerate(rows):
            for number, kind in enumerate(kinds):
                one = found[panel].get(row, {}).get(kind)
                if one is not None:
                    shift = (number - (len(kinds) - 1) / 2) * 0.75 / len(kinds)
                    _dot(axes, one, panels[panel][row][kind], place + shift, looks[kind])
    entries: dict[str, Artist] = {kind: _sample(looks[kind]) for kind in kinds}
    counts = [one.count for one in known]
    words = [spread_caption(counts), _singles(counts), "Right of the line: better with the picture.", note]
    return page(drawing.figure, title, " ".join(word for word in words if word), entries, label_width=60)


class _Rows:
    """Panels side by side over the same rows, which are named at the left."""

    def __init__(self, rows: Sequence[str], panels: Sequence[str], axis: str, height: float) -> None:
        names = [label(row, 26) for row in rows]
        lines = math.ceil(max(1, len(panels)) / _COLUMNS)
        columns = math.ceil(max(1, len(panels)) / lines)
        longest = max((len(line) for name in names for line in name.split("\n")), default=0)
        width = max(4.2, 0.35 + 0.066 * longest + max(1.55, 3.2 / columns) * columns)
        tall = max(0.9, max([height, *(0.13 * (1 + name.count("\n")) for name in names)]) * max(1, len(rows)))
        self.figure = new_figure(width, lines * (tall + 0.45) + 0.25)
        grid = self.figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        self.panels: list[Axes] = [axes for row in grid for axes in row][: len(panels)]
        for axes in [axes for row in grid for axes in row][len(panels) :]:
            axes.remove()
        for axes, name in zip(self.panels, panels, strict=True):
            axes.set_title(label(name, 20), loc="left")
            axes.set_ylim(max(1, len(rows)) - 0.5, -0.5)
            axes.set_yticks(range(len(rows)), names)
            axes.tick_params(axis="y", length=0)
            axes.tick_params(axis="x", labelbottom=True)
            axes.grid(True, **GRID)
            if list(panels).index(name) >= len(panels) - columns:
                axes.set_xlabel(axis)


def _dot(axes: Axes, one: Summary, values: Sequence[float], place: float | int, mark: Mark) -> None:
    if one.deviation is not None:
        axes.errorbar(one.mean, place, xerr=one.deviation, fmt="none", ecolor=mark.colour, elinewidth=1, zorder=2)
        if one.count <= _FEW:
            singles = [value for value in values if math.isfinite(value)]
            axes.plot(singles, [place] * len(singles), "|", color=GREY, markersize=5, markeredgewidth=0.7, zorder=2)
    axes.plot(
        [one.mean],
        [place],
        linestyle="none",
        marker=mark.marker,
        color=mark.colour,
        markerfacecolor=mark.face,
        markersize=3.8,
        clip_on=False,
        zorder=3,
    )


def _sample(mark: Mark) -> Line2D:
    """What the legend shows of a mark."""
    return Line2D([], [], linestyle="none", marker=mark.marker, color=mark.colour, markerfacecolor=mark.face)


def _singles(counts: Sequence[int]) -> str:
    return "Small upright strokes: the single seeds." if any(1 < number <= _FEW for number in counts) else ""


__all__ = ["Gains", "Scores", "draw_gains", "draw_scores"]
