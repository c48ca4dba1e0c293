"""Reliability diagrams: whether entities are right as often as their probabilities say."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from babelens.experiments.plot_style import GRID, INK, Plot, columns_of, label, new_figure, page, styled
from babelens.experiments.results import summarise
from babelens.scoring.calibration import Reliability, ReliabilityBin

_BAR = "#a9cce3"


@styled()
def draw_reliability(panels: Mapping[str, Sequence[Reliability]], *, title: str, note: str = "") -> Plot:
    """How often entities of a probability are right, a panel for each system; beneath it, how many entities there are.

    Each system has what was measured for its seeds (at least one); bins hold the entities of all of them. On the
    diagonal, probabilities are what they say. The legend gives the expected calibration error in per cent.
    """
    columns = columns_of(len(panels))
    lines = math.ceil(max(1, len(panels)) / columns)
    wide, tall = (2.9, 3.3) if columns > 1 else (4.6, 4.4)
    figure = new_figure(wide * columns + 0.3, tall * lines)
    grid = figure.subplots(2 * lines, columns, squeeze=False, gridspec_kw={"height_ratios": [3.2, 1] * lines})
    pairs = [(grid[2 * line][column], grid[2 * line + 1][column]) for line in range(lines) for column in range(columns)]
    for above, below in pairs[len(panels) :]:
        above.remove()
        below.remove()
    for (above, below), (name, seeds) in zip(pairs, panels.items(), strict=False):
        _diagram(above, below, name, seeds)
    entries: dict[str, Artist] = {
        "share that is right": Patch(facecolor=_BAR, edgecolor=INK, hatch="///", linewidth=0.5),
        "at the mean probability of the bin": Line2D([], [], color=INK, marker="D", linestyle="none", markersize=3.2),
        "perfectly calibrated": Line2D([], [], color=INK, linestyle=(0, (4, 2)), linewidth=0.9),
    }
    several = any(len(seeds) > 1 for seeds in panels.values())
    words = (
        "ECE: expected calibration error" + (", mean and standard deviation over seeds." if several else "."),
        "Bins hold the entities of all seeds." if several else "",
        "Bars beneath: how many found entities a bin holds.",
        note,
    )
    return page(figure, title, " ".join(word for word in words if word), entries, label_width=60)


def _pool(seeds: Sequence[Reliability]) -> list[ReliabilityBin]:
    """The bins of equal width of all seeds together, those without entities left out."""
    found: dict[tuple[float, float], list[tuple[int, float, float]]] = {}
    for seed in seeds:
        for one in seed.bins:
            found.setdefault((one.low, one.high), []).append((one.count, one.score, one.accuracy))
    pooled = []
    for (low, high), some in sorted(found.items()):
        total = sum(count for count, _, _ in some)
        score, accuracy = (sum(one[0] * one[place] for one in some) / total for place in (1, 2))
        pooled.append(ReliabilityBin(low, high, total, score, accuracy))
    return pooled


def _diagram(above: Axes, below: Axes, name: str, seeds: Sequence[Reliability]) -> None:
    bins = _pool(seeds)
    lefts, widths = [one.low for one in bins], [one.high - one.low for one in bins]
    bars = {"align": "edge", "linewidth": 0.5, "edgecolor": INK, "zorder": 2}
    above.bar(lefts, [one.accuracy for one in bins], widths, color=_BAR, hatch="///", **bars)
    above.plot([0, 1], [0, 1], color=INK, linestyle=(0, (4, 2)), linewidth=0.9, zorder=3)
    points = {"linestyle": "none", "marker": "D", "markersize": 3.2, "color": INK, "zorder": 4, "clip_on": False}
    above.plot([one.score for one in bins], [one.accuracy for one in bins], **points)
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
    above.set_title(label(name, 30), loc="left")
    error = summarise([100 * seed.ece for seed in seeds])
    if error is not None:
        spread = "" if error.deviation is None else f" ± {error.deviation:.1f}"
        box = {"frameon": True, "facecolor": "white", "edgecolor": "none", "framealpha": 0.9}
        empty = [Line2D([], [], linestyle="none")]
        above.legend(
            empty, [f"ECE {error.mean:.1f}{spread} %"], loc="upper left", handlelength=0, handletextpad=0, **box
        )
    below.bar(lefts, [one.count for one in bins], widths, color="#d9d9d9", **bars)
    below.set(xlim=(0, 1), xlabel="probability of the entity", ylabel="entities")
    below.locator_params(axis="y", nbins=3, integer=True)
    for axes in (above, below):
        axes.grid(True, **GRID)
    ticks = (0, 0.2, 0.4, 0.6, 0.8, 1)
    above.set_xticks(ticks, [""] * len(ticks))
    below.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
