"""Plots of the agreement of annotators: over time, between pairs, by type and by language. Needs matplotlib."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from babelens.build.agreement import Report
from babelens.build.agreement_tables import FIGURES
from babelens.data.journal import write_whole
from babelens.schema import InputError
from babelens.scoring.agreement import Agreement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours of Okabe and Ito (2008), each with a marker and a line of its own, so that no one needs the colour.
_MARKS: Mapping[str, tuple[str, str, Any]] = {
    "f1": ("#0072B2", "o", "-"),
    "f1_spans": ("#D55E00", "s", (0, (5, 1.5))),
    "kappa_tags": ("#009E73", "^", "-"),
    "kappa_tags_any": ("#CC79A7", "v", (0, (1.2, 1.2))),
    "alpha_tags": ("#000000", "D", (0, (5, 1.5))),
}
_PANELS = (("per cent", ("f1", "f1_spans")), ("kappa, alpha", ("kappa_tags", "kappa_tags_any", "alpha_tags")))
_GREY, _RULE = "#8a8a8a", "#e4e4e4"
_DPI = 192
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": _GREY,
    "axes.labelsize": 8,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "errorbar.capsize": 2,
    "figure.titlesize": 10,
    "figure.titleweight": "bold",
    "font.size": 8,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "babelens",
    "text.parse_math": False,
    "xtick.color": _GREY,
    "xtick.labelcolor": "#1a1a1a",
    "ytick.color": _GREY,
    "ytick.labelcolor": "#1a1a1a",
}
_BARS = "Bars: 95 % bootstrap intervals over groups of rows."
# Beyond so many annotators the cells of a matrix have no room for numbers.
_NUMBERED = 14


def write_agreement_plots(report: Report, out: Path) -> list[Path]:
    """Write the plots that a report has figures for, as PNG and SVG, into a folder, which is made; give their paths.

    `agreement-time` needs two batches, `agreement-pairs`, `agreement-types` and `agreement-languages` need one of each.
    The same report gives the same bytes.

    Raises:
        InputError: matplotlib is not installed.
        OSError: a file cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    with _styled():
        for name, figure in _figures(report):
            written += [_save(figure, out / f"{name}{ending}") for ending in (".png", ".svg")]
    return written


def _figures(report: Report) -> Iterator[tuple[str, "Figure"]]:
    if len(report.batches) > 1:
        yield "agreement-time", _draw_time(report)
    if report.pairs:
        yield "agreement-pairs", _draw_pairs(report)
    if report.types:
        yield "agreement-types", _draw_parts("Agreement by type", report.types, skip="f1_spans")
    if report.languages:
        parts = {f"{part.name} ({part.rows:,})": part.figures for part in report.languages}
        yield "agreement-languages", _draw_parts("Agreement by language (rows)", parts)


@contextmanager
def _styled() -> Iterator[None]:
    """Draw in our style whatever the user's own settings are; a character that no font has is drawn as a box."""
    try:
        from matplotlib import style
    except ImportError:
        raise InputError(
            "plots: expected matplotlib, found none; pip install 'babelens[experiments]' brings it"
        ) from None
    with style.context([_STYLE], after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        yield


def _new_figure(width: float, height: float, title: str, caption: str) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    figure.supxlabel(fill(caption, int(width * 19)), x=0.01, ha="left", size=7, color="#444444")
    return figure


def _draw_time(report: Report) -> "Figure":
    """F1 above, kappa and alpha beneath, a place for each batch."""
    words = {
        "round": "Rounds in the order in which they were begun.",
        "order": "Batches of rows in the order in which their last annotator finished them.",
        "line": "Batches of rows in the order of the file, for their times are not known.",
    }[report.batched_by]
    figure = _new_figure(max(5.0, 0.7 * len(report.batches) + 2), 4.6, "Agreement over time", f"{words} {_BARS}")
    panels = figure.subplots(2, 1, sharex=True)
    for axes, (label, names) in zip(panels, _PANELS, strict=True):
        _frame(axes, label)
        for place, name in enumerate(names):
            offset = 0.12 * (place - (len(names) - 1) / 2)
            _series(axes, name, [part.figures for part in report.batches], offset, upright=True)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    names = [f"{_plain(part.name)}\n{part.rows:,} rows" for part in report.batches]
    panels[-1].set_xticks(range(len(names)), names)
    return figure


def _draw_parts(title: str, parts: Mapping[str, Agreement], *, skip: str = "") -> "Figure":
    """A row for each part, F1 on the left and kappa and alpha on the right."""
    figure = _new_figure(6.8, 1.7 + 0.42 * len(parts), title, _BARS)
    panels = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.12})
    for axes, (label, names) in zip(panels, _PANELS, strict=True):
        _frame(axes, label, upright=False)
        shown = [name for name in names if name != skip]
        for place, name in enumerate(shown):
            offset = 0.2 * (place - (len(shown) - 1) / 2)
            _series(axes, name, list(parts.values()), offset, upright=False)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(shown), columnspacing=1, handletextpad=0.3)
    panels[0].set_yticks(range(len(parts)), [_plain(name) for name in parts])
    panels[0].set_ylim(len(parts) - 0.5, -0.5)
    return figure


def _frame(axes: "Axes", label: str, *, upright: bool = True) -> None:
    top = 100 if label == "per cent" else 1
    if upright:
        axes.set_ylabel(label)
        axes.set_ylim(0, top * 1.03)
        axes.grid(axis="y", color=_RULE, linewidth=0.6)
    else:
        axes.set_xlabel(label)
        axes.set_xlim(0, top * 1.03)
        axes.grid(axis="x", color=_RULE, linewidth=0.6)


def _series(axes: "Axes", name: str, parts: Sequence[Agreement], offset: float, *, upright: bool) -> None:
    """One figure over all parts. What is below 0 makes the axis longer."""
    colour, marker, dash = _MARKS[name]
    found = [(place + offset, part[name]) for place, part in enumerate(parts) if part[name].figure is not None]
    places = [place for place, _ in found]
    values = [one.figure or 0.0 for _, one in found]
    lows = [value - (value if one.low is None else one.low) for value, (_, one) in zip(values, found, strict=True)]
    highs = [(value if one.high is None else one.high) - value for value, (_, one) in zip(values, found, strict=True)]
    bars = [[max(0.0, low) for low in lows], [max(0.0, high) for high in highs]]
    look: dict[str, Any] = {"color": colour, "marker": marker, "label": FIGURES[name][0], "elinewidth": 0.9}
    if upright:
        axes.errorbar(places, values, yerr=bars, linestyle=dash, **look)
        low, high = axes.get_ylim()
        axes.set_ylim(min([low, *(value - bar for value, bar in zip(values, bars[0], strict=True))]), high)
    else:
        axes.errorbar(values, places, xerr=bars, linestyle="none", **look)
        low, high = axes.get_xlim()
        axes.set_xlim(min([low, *(value - bar for value, bar in zip(values, bars[0], strict=True))]), high)


def _draw_pairs(report: Report) -> "Figure":
    """Two matrices of annotators: F1, and kappa over the tags of all words, with the rows that each pair has read."""
    names = [
        person.name for person in report.people if any(person.name in (own.one, own.other) for own in report.pairs)
    ]
    side = max(2.4, 0.55 * len(names) + 1)
    caption = "Beneath each figure stands the number of rows that both have read. An empty cell: none, or not defined."
    figure = _new_figure(2 * side + 1.2, side + 1.1, "Agreement of each two annotators", caption)
    for axes, name in zip(figure.subplots(1, 2), ("f1", "kappa_tags"), strict=True):
        _matrix(axes, name, names, report)
    return figure


def _matrix(axes: "Axes", name: str, names: Sequence[str], report: Report) -> None:
    import numpy as np

    title, percent, _ = FIGURES[name]
    values = np.full((len(names), len(names)), math.nan)
    places = {own: place for place, own in enumerate(names)}
    top = 100.0 if percent else 1.0
    for pair in report.pairs:
        figure = pair.figures[name].figure
        for one, other in ((pair.one, pair.other), (pair.other, pair.one)):
            row, column = places[one], places[other]
            values[row, column] = math.nan if figure is None else figure
            if figure is not None and len(names) <= _NUMBERED:
                shown = f"{figure:.1f}" if percent else f"{figure:.2f}"
                ink = "white" if figure > 0.6 * top else "black"
                words = f"{shown}\n{pair.rows:,}"
                axes.text(column + 0.5, row + 0.5, words, ha="center", va="center", size=6.5, color=ink)
    axes.pcolormesh(values, cmap="Blues", vmin=0, vmax=top, edgecolors="white", linewidth=1)
    ticks = [place + 0.5 for place in range(len(names))]
    shown = [_plain(own) for own in names]
    axes.set_xticks(ticks, shown, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, shown)
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.set_title(title, loc="left")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _plain(text: str) -> str:
    """A name without what an SVG cannot hold, cut where it is long."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= 24 else f"{plain[:23]}…"


def _save(figure: "Figure", path: Path) -> Path:
    """Write a figure: no dates, no versions. Text stays text in an SVG."""
    metadata = {"Software": None} if path.suffix == ".png" else {"Date": None, "Creator": None}
    drawn = BytesIO()
    figure.savefig(drawn, format=path.suffix[1:], dpi=_DPI, metadata=metadata)
    write_whole(path, drawn.getvalue())
    return path
