"""Heatmaps of which types are taken for which."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from babelens.experiments.plot_style import Plot, columns_of, label, new_figure, page, styled
from babelens.scoring.breakdown import NONE, Confusion

# (gold type, found type) -> entities; None is no entity.
_Cells = Mapping[tuple[str | None, str | None], int]
# Names of so many letters stand upright beneath a column.
_SHORT = 6


@styled()
def draw_confusions(panels: Mapping[str, Sequence[Confusion]], *, title: str, note: str = "") -> Plot:
    """Heatmaps of gold types (rows) and what was found in their place (columns), a panel for each system.

    Each system has what was counted for its seeds, which is added up. Each row sums to 100 %; its count stands beside
    its name. "none" is the column of what was missed and the row of what is spurious; nothing can be both.
    """
    types = sorted({type_ for seeds in panels.values() for one in seeds for type_ in one.labels[:-1]})
    rows = [*types, None]
    columns = columns_of(len(panels))
    lines = math.ceil(max(1, len(panels)) / columns)
    side = max(1.9, 0.36 * len(rows))
    # Room for the names: at the left, and turned beneath where they are long.
    longest = max(len(name) for name in _names(rows))
    beneath = 0.05 * longest if longest > _SHORT else 0.0
    figure = new_figure(columns * (side + 0.75 + 0.06 * longest) + 0.4, lines * (side + 0.6 + beneath) + 0.1)
    every = [axes for row in figure.subplots(lines, columns, squeeze=False) for axes in row]
    for axes in every[len(panels) :]:
        axes.remove()
    for place, (axes, (name, seeds)) in enumerate(zip(every, panels.items(), strict=False)):
        _heatmap(axes, _add(seeds), rows)
        axes.set_title(label(name, 30), loc="left")
        axes.set_xlabel("found" if place >= len(panels) - columns else "")
        axes.set_ylabel("gold" if place % columns == 0 else "")
    words = (
        "Numbers are per cent of the row; beside the gold type stands its count.",
        f"Column {NONE}: missed; row {NONE}: spurious, by the type found.",
        "On the diagonal stand boundary errors too: the question is the type alone.",
        "Counts are of all seeds together." if any(len(seeds) > 1 for seeds in panels.values()) else "",
        note,
    )
    return page(figure, title, " ".join(word for word in words if word))


def _add(seeds: Sequence[Confusion]) -> _Cells:
    cells: dict[tuple[str | None, str | None], int] = {}
    for one in seeds:
        sides = (*one.labels[:-1], None)
        for gold, row in zip(sides, one.counts, strict=True):
            for found, count in zip(sides, row, strict=True):
                cells[gold, found] = cells.get((gold, found), 0) + count
    return cells


def _heatmap(axes: Axes, cells: _Cells, rows: Sequence[str | None]) -> None:
    totals = [sum(cells.get((gold, found), 0) for found in rows) for gold in rows]
    shares = [
        [100 * cells.get((gold, found), 0) / total if total else math.nan for found in rows]
        for gold, total in zip(rows, totals, strict=True)
    ]
    axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=100, edgecolors="white", linewidth=1)
    for row, column in ((row, column) for row in range(len(rows)) for column in range(len(rows))):
        share = shares[row][column]
        words = "–" if rows[row] is rows[column] is None else _percent(share)
        colour = "white" if share > 55 else "black"
        axes.text(column + 0.5, row + 0.5, words, ha="center", va="center", size=6.8, color=colour)
    places = [place + 0.5 for place in range(len(rows))]
    names = _names(rows)
    long = any(len(name) > _SHORT for name in names)
    turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if long else {}
    axes.set_xticks(places, names, **turned)
    axes.set_yticks(places, [f"{name} ({total:,})" for name, total in zip(names, totals, strict=True)])
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _names(rows: Sequence[str | None]) -> list[str]:
    return [label(NONE if row is None else row, 28) for row in rows]


def _percent(share: float) -> str:
    if math.isnan(share):
        return ""
    return f"{share:.0f}" if share == 0 or share >= 9.95 else f"{share:.1f}"
