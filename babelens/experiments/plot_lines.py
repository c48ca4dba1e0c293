"""Line plots: figures over a number (sweeps, shares, doses), over epochs, and over groups of entities in an order."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from babelens.experiments.plot_panels import Panels
from babelens.experiments.plot_style import (
    Mark,
    Plot,
    axis_caption,
    axis_floor,
    axis_label,
    label,
    spread_caption,
    styled,
    summaries,
)
from babelens.experiments.results import Summary

# Panel -> series -> number -> figures of the seeds.
Sweeps = Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]]
# Panel -> series -> group -> figures of the seeds.
Groups = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]
# Panel -> series -> a curve (epoch -> figure) of each seed.
Curves = Mapping[str, Mapping[str, Sequence[Mapping[int, float]]]]


@styled()
def draw_sweeps(
    panels: Sweeps,
    *,
    title: str,
    x: str,
    y: str = "F1 (%)",
    log: bool | None = None,
    levels: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    series: Mapping[str, Mark] | None = None,
    note: str = "",
) -> Plot:
    """Figures over a number: mean and one standard deviation of each series; series stand a little side by side.

    `log` draws the numbers on a logarithmic axis; None does so where they are spaced more evenly there. A number that
    a series lacks is a gap in its line. `levels` (panel -> name -> figures) are what the series are compared with and
    has no number: lines straight across, with a band of one standard deviation.
    """
    names = _names(panels)
    places = sorted({place for panel in panels.values() for one in panel.values() for place in one})
    logarithmic = spaced_by_factors(places) if log is None else log and min(places, default=0) > 0
    drawing = Panels(list(panels), names, series, levels=_names(levels or {}))
    # Where there are no bars, nothing need stand aside.
    several = any(len(values) > 1 for panel in panels.values() for one in panel.values() for values in one.values())
    step = min(2.2, 10 / len(names)) if several and len(names) > 1 else 0.0
    for axes, panel in zip(drawing.axes, panels, strict=True):
        if logarithmic:
            axes.set_xscale("log")
        drawing.series(axes, panels[panel], places, places, step=step)
        _number_axis(axes, places, logarithmic, most=int(drawing.wide / 0.33))
        axes.set_xlabel(f"{x} (logarithmic)" if logarithmic else x)
        for name, values in (levels or {}).get(panel, {}).items():
            drawing.level(axes, name, values)
    every = {
        panel: {**some, **{name: {0: one} for name, one in (levels or {}).get(panel, {}).items()}}
        for panel, some in panels.items()
    }
    start = _heights(drawing, every, y)
    side = "Series stand a little side by side, so that their bars can be told apart." if step else ""
    return drawing.page(title, spread_caption(drawing.counts), side, axis_caption(start), note)


@styled()
def draw_groups(
    panels: Groups,
    *,
    title: str,
    x: str,
    y: str = "F1 (%)",
    counts: Mapping[str, int] | None = None,
    unit: str = "entities",
    series: Mapping[str, Mark] | None = None,
    note: str = "",
) -> Plot:
    """Figures by group (entity length, frequency in training, seen or not), in the order in which groups are first met.

    `counts` are written beneath the groups: a figure over few entities says little.
    """
    names = _names(panels)
    every = [*(counts or {}), *(group for panel in panels.values() for one in panel.values() for group in one)]
    groups = list(dict.fromkeys(every))
    drawing = Panels(list(panels), names, series, wide=max(2.6, (0.3 + 0.08 * len(names)) * len(groups)))
    ticks = [label(group, 12) + (f"\n({counts[group]:,})" if counts and group in counts else "") for group in groups]
    gap = 72 * 0.65 * drawing.wide / max(1, len(groups))
    for axes, panel in zip(drawing.axes, panels, strict=True):
        axes.set_xticks(range(len(groups)), ticks)
        axes.set_xlim(-0.5, max(1, len(groups)) - 0.5)
        for place in range(1, len(groups), 2):
            axes.axvspan(place - 0.5, place + 0.5, color="#f4f4f4", zorder=0)
        drawing.series(
            axes,
            panels[panel],
            groups,
            [float(place) for place in range(len(groups))],
            step=min(9.0, gap / max(1, len(names))),
            thin=True,
        )
        axes.set_xlabel(x)
        axes.tick_params(axis="x", length=0)
        axes.grid(False, axis="x")
    start = _heights(drawing, panels, y)
    below = f"In brackets: {unit} in the group." if counts else ""
    return drawing.page(title, spread_caption(drawing.counts), below, axis_caption(start), note)


@styled()
def draw_curves(
    panels: Curves,
    *,
    title: str,
    x: str = "epoch",
    y: Mapping[str, str] | None = None,
    series: Mapping[str, Mark] | None = None,
    note: str = "",
) -> Plot:
    """Curves over epochs: the mean over seeds, with a band of one standard deviation; `y` labels the panels' axes.

    Where runs have ended at different epochs, the mean is over those that went so far.
    """
    drawing = Panels(list(panels), _names(panels), series, wide=3.0)
    ragged = False
    for axes, panel in zip(drawing.axes, panels, strict=True):
        for name, runs in panels[panel].items():
            curves = [{epoch: value for epoch, value in run.items() if math.isfinite(value)} for run in runs]
            epochs = sorted({epoch for curve in curves for epoch in curve})
            values = [[curve[epoch] for curve in curves if epoch in curve] for epoch in epochs]
            ragged = ragged or len({len(some) for some in values}) > 1
            if epochs:
                drawing.curve(axes, name, epochs, values)
        lowest = axis_floor(
            value for runs in panels[panel].values() for run in runs for value in run.values() if math.isfinite(value)
        )
        highest = axes.get_ylim()[1]
        axes.set_ylim(lowest, highest + 0.03 * (highest - lowest))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.set_xlabel(x)
        axes.set_ylabel(axis_label((y or {}).get(panel, panel), lowest))
    short = "Where runs ended at different epochs, the mean is over those that went so far." if ragged else ""
    return drawing.page(title, spread_caption(drawing.counts, "bands"), short, note)


def spaced_by_factors(numbers: Sequence[float]) -> bool:
    """Whether sorted numbers span a factor of 5, and lie more evenly on a logarithmic axis than on a linear one."""
    if len(numbers) < 3 or numbers[0] <= 0 or numbers[-1] < 5 * numbers[0]:
        return False
    pairs = list(pairwise(numbers))
    steps = [after - before for before, after in pairs]
    factors = [math.log(after / before) for before, after in pairs]
    return max(factors) / min(factors) < max(steps) / min(steps)


def _number_axis(axes: Axes, places: Sequence[float], logarithmic: bool, most: int) -> None:
    """Ticks at the numbers themselves, where there is room for them, and room at both sides."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    if 0 < len(places) <= most:
        axes.set_xticks(places, [f"{place:.4g}" for place in places])
    first, last = (places[0], places[-1]) if places else (0.0, 1.0)
    if logarithmic:
        room = (last / first) ** 0.07
        axes.set_xlim(first / room, last * room)
    else:
        room = 0.07 * (last - first) or 1.0
        axes.set_xlim(first - room, last + room)


def _heights(drawing: Panels, panels: Mapping[str, Mapping[str, Mapping[Any, Sequence[float]]]], y: str) -> float:
    """Give all panels the same heights, so that they can be compared; says where they begin."""
    found: list[Summary] = [
        one for panel in panels.values() for some in panel.values() for one in summaries(some).values() if one
    ]
    start = axis_floor(one.mean - (one.deviation or 0) for one in found)
    top = max((one.mean + (one.deviation or 0) for one in found), default=1.0)
    for axes in drawing.axes:
        axes.set_ylim(start, top + 0.05 * (top - start) + 1e-9)
    for axes in drawing.first:
        axes.set_ylabel(axis_label(y, start))
    return start


def _names(panels: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for panel in panels.values() for name in panel))


__all__ = ["Curves", "Groups", "Sweeps", "draw_curves", "draw_groups", "draw_sweeps", "spaced_by_factors"]
