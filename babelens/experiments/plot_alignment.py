"""Plots of the alignment of texts and pictures: their cosines, and how often one finds the other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.patches import Patch

from babelens.experiments.plot_style import (
    GREY,
    GRID,
    INK,
    Mark,
    Plot,
    columns_of,
    label,
    marks,
    new_figure,
    page,
    spread_caption,
    styled,
    summaries,
)


@dataclass(frozen=True, slots=True)
class CosineBins:
    """Pairs of text and picture by cosine; `edges` are one more than the bins, `matched` pairs belong together."""

    edges: tuple[float, ...]
    matched: tuple[int, ...]
    unmatched: tuple[int, ...]

    @classmethod
    def of(cls, seeds: Sequence[Mapping[str, Any]]) -> "CosineBins":
        """The pairs of all seeds (at least one) together, as `Run.measures` has them: edges and two histograms."""
        edges = tuple(float(edge) for edge in seeds[0]["edges"])
        found = ([seed[kind]["histogram"] for seed in seeds] for kind in ("matched", "unmatched"))
        matched, unmatched = (tuple(sum(counts) for counts in zip(*some, strict=True)) for some in found)
        return cls(edges, matched, unmatched)


@styled()
def draw_cosines(panels: Mapping[str, CosineBins], *, title: str, note: str = "") -> Plot:
    """How near text and picture lie that belong together, and those that do not, a panel for each view."""
    columns = columns_of(len(panels))
    lines = math.ceil(max(1, len(panels)) / columns)
    figure = new_figure(max(4.8, 3.0 * columns) + 0.3, 2.5 * lines + 0.2)
    grid = figure.subplots(lines, columns, squeeze=False)
    every = [axes for row in grid for axes in row]
    kinds = {"matched pairs": ("#0072B2", "///", "-"), "unmatched pairs": ("#D55E00", "", (0, (4, 1.5)))}
    for axes in every[len(panels) :]:
        axes.remove()
    for axes, (name, one) in zip(every, panels.items(), strict=False):
        for kind, counts in zip(kinds, (one.matched, one.unmatched), strict=True):
            colour, hatch, dash = kinds[kind]
            shares = [100 * count / max(1, sum(counts)) for count in counts]
            look = {"edgecolor": colour, "linestyle": dash, "linewidth": 1.2, "hatch": hatch}
            axes.stairs(shares, one.edges, fill=True, facecolor=(*_rgb(colour), 0.12), label=kind, **look)
        axes.set_title(label(name, 34), loc="left")
        axes.set_xlabel("cosine of text and picture")
        axes.set_xlim(one.edges[0], one.edges[-1])
        axes.set_ylim(bottom=0)
        axes.locator_params(axis="x", nbins=5)
        axes.grid(True, **GRID)
    figure.supylabel("share of pairs (%)", size=8)
    entries: dict[str, Artist] = {
        kind: Patch(facecolor=(*_rgb(colour), 0.12), edgecolor=colour, linestyle=dash, linewidth=1.2, hatch=hatch)
        for kind, (colour, hatch, dash) in kinds.items()
    }
    totals = "; ".join(f"{name}: {sum(one.matched):,} and {sum(one.unmatched):,}" for name, one in panels.items())
    caption = f"Each of the two sums to 100 %. Matched and unmatched pairs counted: {totals}. {note}".rstrip()
    return page(figure, title, caption, entries)


@styled()
def draw_recalls(
    panels: Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]],
    *,
    chance: Mapping[str, Mapping[int, float]],
    title: str,
    systems: Mapping[str, Mark] | None = None,
    note: str = "",
) -> Plot:
    """How often the right picture is among the first k, in per cent: bars of each system, beside what chance gives.

    `panels` are views (or directions), each system -> k -> figures of the seeds; `chance` is view -> k -> per cent.
    """
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    looks = {**marks(names), **(systems or {})}
    ranks = sorted({rank for panel in panels.values() for one in panel.values() for rank in one})
    bars = len(names) + 1
    columns = columns_of(len(panels))
    lines = math.ceil(max(1, len(panels)) / columns)
    wide = max(2.4, 0.4 + 0.17 * bars * len(ranks), 4.6 / columns)
    figure = new_figure(wide * columns + 0.3, 2.5 * lines + 0.2)
    every = [axes for row in figure.subplots(lines, columns, squeeze=False, sharey=True) for axes in row]
    counts: list[int] = []
    highest = max((share for one in chance.values() for share in one.values()), default=0.0)
    edge = {"edgecolor": INK, "linewidth": 0.5, "zorder": 2}
    for axes in every[len(panels) :]:
        axes.remove()
    for axes, (panel, found) in zip(every, panels.items(), strict=False):
        for number, name in enumerate(names):
            some = summaries(found.get(name, {}))
            for place, rank in enumerate(ranks):
                if (one := some.get(rank)) is None:
                    continue
                left = place + (number - bars / 2) * 0.8 / bars
                look = {"color": _pale(looks[name].colour), "hatch": looks[name].hatch, "ecolor": INK, **edge}
                error = {} if one.deviation is None else {"yerr": one.deviation, "error_kw": {"elinewidth": 0.8}}
                axes.bar(left, one.mean, 0.8 / bars, align="edge", **error, **look)
                counts.append(one.count)
                highest = max(highest, one.mean + (one.deviation or 0))
        for place, rank in enumerate(ranks):
            if rank in chance.get(panel, {}):
                left = place + (bars / 2 - 1) * 0.8 / bars
                axes.bar(left, chance[panel][rank], 0.8 / bars, align="edge", color=GREY, **edge)
        axes.set_xticks(range(len(ranks)), [f"R@{rank}" for rank in ranks])
        axes.tick_params(axis="x", length=0)
        axes.set_title(label(panel, 34), loc="left")
        axes.grid(True, axis="y", **GRID)
    for axes in every[: len(panels)]:
        # All share one height, and bars begin at 0.
        axes.set_ylim(0, max(1.0, 1.05 * highest))
    figure.supylabel("recall at k (%)", size=8)
    entries: dict[str, Artist] = {
        name: Patch(facecolor=_pale(looks[name].colour), edgecolor=INK, linewidth=0.5, hatch=looks[name].hatch)
        for name in names
    }
    entries["chance"] = Patch(facecolor=GREY, edgecolor=INK, linewidth=0.5)
    return page(figure, title, " ".join(word for word in (spread_caption(counts), note) if word), entries)


def _rgb(colour: str) -> tuple[float, float, float]:
    return int(colour[1:3], 16) / 255, int(colour[3:5], 16) / 255, int(colour[5:7], 16) / 255


def _pale(colour: str) -> tuple[float, float, float]:
    """Half way to white, so that hatches stay visible."""
    red, green, blue = _rgb(colour)
    return (1 + red) / 2, (1 + green) / 2, (1 + blue) / 2
