"""Panels of lines side by side under one legend, with means and spread over seeds."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from babelens.experiments.plot_style import GRID, INK, Mark, Plot, columns_of, label, marks, new_figure, page, summaries


class Panels:
    """Axes for each panel, `wide` inches at least; series keep their marks over all of them.

    `counts` keeps the number of seeds behind each point drawn, for the caption.
    """

    def __init__(
        self,
        panels: Sequence[str],
        names: Sequence[str],
        looks: Mapping[str, Mark] | None = None,
        wide: float = 2.6,
        levels: Sequence[str] = (),
    ) -> None:
        columns = max(1, min(columns_of(len(panels)), int(9.2 / wide)))
        lines = math.ceil(max(1, len(panels)) / columns)
        self.wide = max(wide, 4.6 / columns)
        self.names, self.levels = names, levels
        self.looks = {**marks(names), **(looks or {})}
        self.level_looks = marks(levels)
        self.counts: list[int] = []
        self.figure: Figure = new_figure(0.6 + self.wide * columns, lines * 2.7 + 0.15)
        every = [axes for row in self.figure.subplots(lines, columns, squeeze=False) for axes in row]
        self.axes: list[Axes] = every[: len(panels)]
        self.first = self.axes[::columns]
        for axes in every[len(panels) :]:
            axes.remove()
        for axes, name in zip(self.axes, panels, strict=True):
            axes.set_title(label(name, 34), loc="left")
            axes.grid(True, **GRID)

    def series(
        self,
        axes: Axes,
        found: Mapping[str, Mapping[Any, Sequence[float]]],
        keys: Sequence[Any],
        places: Sequence[float],
        *,
        step: float,
        thin: bool = False,
    ) -> None:
        """Draw each series over its places: means, and bars of one standard deviation where there are several seeds.

        Each is shifted by `step` points from the one before; what a series lacks is a gap.
        """
        for number, name in enumerate(self.names):
            some = summaries(found.get(name, {}))
            points = [(place, some.get(key)) for key, place in zip(keys, places, strict=True)]
            if not any(one for _, one in points):
                continue
            mark = self.looks[name]
            shift = (number - (len(self.names) - 1) / 2) * step / 72
            aside = axes.transData + ScaledTranslation(shift, 0, self.figure.dpi_scale_trans)
            wide = [(place, one.mean, one.deviation) for place, one in points if one and one.deviation is not None]
            if wide:
                xs, means, deviations = zip(*wide, strict=True)
                axes.errorbar(
                    xs, means, deviations, fmt="none", ecolor=mark.colour, elinewidth=1, zorder=2, transform=aside
                )
            means = [one.mean if one else math.nan for _, one in points]
            axes.plot(
                list(places),
                means,
                label=name,
                transform=aside,
                clip_on=False,
                zorder=3,
                **_line(mark, 0.7 if thin else 1.2),
            )
            self.counts += [one.count for _, one in points if one]

    def curve(self, axes: Axes, name: str, epochs: Sequence[int], values: Sequence[Sequence[float]]) -> None:
        """Draw the mean of a series over its epochs, and a band of one standard deviation where several runs reach."""
        mark = self.looks[name]
        means = [fmean(some) for some in values]
        # Each series has its markers at other epochs than its neighbours.
        every = max(1, math.ceil(len(epochs) / 6))
        first = list(self.names).index(name) % every
        axes.plot(epochs, means, label=name, zorder=3, markevery=(first, every), **_line(mark))
        band = [(epoch, fmean(some), stdev(some)) for epoch, some in zip(epochs, values, strict=True) if len(some) > 1]
        if band:
            lower = [mean - width for _, mean, width in band]
            upper = [mean + width for _, mean, width in band]
            style = {"color": mark.colour, "alpha": 0.15, "linewidth": 0, "zorder": 2}
            axes.fill_between([epoch for epoch, *_ in band], lower, upper, **style)
        self.counts += [len(some) for some in values]

    def level(self, axes: Axes, name: str, values: Sequence[float]) -> None:
        """Draw the mean of some figures straight across, with a band of one standard deviation."""
        one = summaries({name: values})[name]
        if one is None:
            return
        if one.deviation is not None:
            low, high = one.mean - one.deviation, one.mean + one.deviation
            axes.axhspan(low, high, color=INK, alpha=0.08, linewidth=0, zorder=1)
        axes.axhline(one.mean, label=name, zorder=2, **_level(self.level_looks[name]))
        self.counts.append(one.count)

    def page(self, title: str, *words: str) -> Plot:
        """The finished plot, with a legend where there is more than one series."""
        entries: dict[str, Artist] = {name: Line2D([], [], **_line(self.looks[name])) for name in self.names}
        entries |= {name: Line2D([], [], **_level(self.level_looks[name])) for name in self.levels}
        caption = " ".join(word for word in words if word)
        return page(self.figure, title, caption, entries if len(entries) > 1 else None)


def _level(mark: Mark) -> dict[str, Any]:
    return {"color": INK, "linestyle": (0, (1, 1.5)) if mark.dash == "-" else mark.dash, "linewidth": 1}


def _line(mark: Mark, width: float = 1.2) -> dict[str, Any]:
    return {
        "linewidth": width,
        "color": mark.colour,
        "linestyle": mark.dash,
        "marker": mark.marker,
        "markerfacecolor": mark.face,
        "markeredgewidth": 0.8,
    }
