"""How the plots of experiments look: marks that no one needs colour to tell apart, the page around them, the files."""

import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from textwrap import wrap
from typing import Any

from matplotlib import font_manager, style
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from babelens.experiments.results import Summary, summarise

# Okabe and Ito (2008), without the yellow, which is lost on white paper; then darker ones, of Tol (2021).
_COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
    *("#777777", "#882255", "#332288"),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*")
_DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "ooo", "---", "+++")
GREY, INK = "#8a8a8a", "#1a1a1a"
# What every call of `Axes.grid` gets.
GRID: dict[str, Any] = {"color": "#e4e4e4", "linewidth": 0.6}
DPI = 192

_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.labelsize": 8,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "errorbar.capsize": 2,
    "figure.dpi": 96,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 8,
    "hatch.linewidth": 0.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "babelens",
    # A dollar sign in the name of a system is a dollar sign.
    "text.parse_math": False,
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 7.5,
}
# For scripts that DejaVu lacks, where one of them is installed; an SVG leaves it to the reader's machine anyway.
_WIDER = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "Arial Unicode MS")


@contextmanager
def styled() -> Iterator[None]:
    """Draw or save in our style, whatever the user's own settings are, and leave those as they were.

    A character that no font has is drawn as a box, which matplotlib need not warn about.
    """
    with style.context([_STYLE], after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        yield


@dataclass(frozen=True, slots=True)
class Mark:
    """How one series is drawn; any two of a plot differ in the shape as well as in the colour."""

    colour: str
    marker: str
    dash: Any
    hatch: str
    hollow: bool = False

    @property
    def face(self) -> str:
        """What the marker is filled with."""
        return "white" if self.hollow else self.colour


def marks(names: Iterable[str]) -> dict[str, Mark]:
    """A mark for each name, by its place: 22 shapes of markers (11 filled, then 11 hollow) before any comes again."""
    return {
        name: Mark(
            _COLOURS[place % len(_COLOURS)],
            _MARKERS[place % len(_MARKERS)],
            _DASHES[place % len(_DASHES)],
            _HATCHES[place % len(_HATCHES)],
            place // len(_MARKERS) % 2 == 1,
        )
        for place, name in enumerate(dict.fromkeys(names))
    }


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure with the words around it; `caption` says what the marks mean."""

    title: str
    caption: str
    figure: Figure


def label(text: str, width: int = 24) -> str:
    """A name as it may stand in a plot: over several lines where it is long."""
    plain = _plain(text)
    # A legend leaves out what begins with an underscore.
    plain = f" {plain}" if plain.startswith("_") else plain
    return "\n".join(wrap(plain, width, drop_whitespace=True)) if len(plain) > width else plain


def summaries(values: Mapping[Any, Sequence[float]]) -> dict[Any, Summary | None]:
    """Mean and spread of each entry; None where no figure is finite."""
    return {key: summarise([float(value) for value in some if math.isfinite(value)]) for key, some in values.items()}


def spread_caption(counts: Iterable[int], shape: str = "bars") -> str:
    """What a caption says of means and spread, from the number of seeds behind each mark."""
    several = sorted({number for number in counts if number})
    if not several:
        return "There are no figures yet."
    if several == [1]:
        return "One seed each, so no spread is shown."
    seeds = f"{several[-1]} seeds" if len(several) == 1 else f"{several[0]} to {several[-1]} seeds"
    lone = "; a single seed has none" if several[0] == 1 else ""
    return f"Means over {seeds}; {shape}: one standard deviation (n − 1) to each side{lone}."


def axis_floor(lows: Iterable[float]) -> float:
    """Where an axis begins: at 0, or, where all figures are far above it or some below, at a multiple of 5 below."""
    lowest = min(lows, default=0.0)
    return 0.0 if 0 <= lowest < 20 else 5.0 * math.floor((lowest - 1) / 5)


def axis_label(text: str, start: float) -> str:
    """The label of an axis, which says so where it does not begin at 0."""
    return text if start == 0 else f"{text}, from {start:g}"


def axis_caption(start: float) -> str:
    """What a caption says of where an axis begins."""
    return "" if start == 0 else f"The axis begins at {start:g}, not at 0."


def columns_of(panels: int) -> int:
    """How many panels stand side by side: up to three, and four as two by two."""
    return 2 if panels == 4 else max(1, min(panels, 3))


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches, apart from pyplot."""
    return Figure(figsize=(width, height), layout="constrained")


def page(
    figure: Figure, title: str, caption: str, entries: Mapping[str, Artist] | None = None, *, label_width: int = 30
) -> Plot:
    """Set title, legend and caption around the axes, which keep their size: the figure grows by what the words need."""
    title, caption = _plain(title), _plain(caption)
    width, body = figure.get_size_inches()
    room = width - 0.2
    heading = figure.text(0, 0, "", size=10, weight="bold", va="top")
    footing = figure.text(0, 0, "", size=7, color="#444444", va="bottom")
    _fill(figure, heading, title, room)
    _fill(figure, footing, caption, room)
    legend = _legend(figure, entries or {}, room, label_width)
    _widen(figure)
    heights = [0.1 + _height(figure, heading) + 0.08, 0.0, body, 0.08 + _height(figure, footing) + 0.08]
    if legend is not None:
        heights[1] = _height(figure, legend) + 0.06
    whole = sum(heights)
    figure.set_size_inches(width, whole)
    heading.set_position((0.1 / width, 1 - 0.1 / whole))
    footing.set_position((0.1 / width, 0.08 / whole))
    if legend is not None:
        legend.set_bbox_to_anchor((0.05 / width, 1 - heights[0] / whole))
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0.06 / width, heights[3] / whole, 1 - 0.12 / width, body / whole))  # type: ignore[call-arg]
        figure.draw_without_rendering()
        # What is laid out once stays so, however often the figure is drawn.
        figure.set_layout_engine("none")
        # The solver of the layout differs in the last bits from process to process, and the names of clips with it.
        for axes in figure.axes:
            left, bottom, right, top = (round(float(edge), 6) for edge in axes.get_position().extents)
            axes.set_position((left, bottom, right - left, top - bottom))
    return Plot(title, caption, figure)


def save_plot(plot: Plot, stem: Path) -> tuple[Path, Path]:
    """Write a plot as PNG (twice the size of a screen's pixels) and SVG, beside their places and renamed.

    The same plot is the same bytes: no dates, no versions. Text stays text in the SVG.
    """
    about = {"Title": plot.title, "Description": plot.caption, "Date": None, "Creator": None}
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = (stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg"))
    for path, metadata in zip(paths, ({"Software": None}, about), strict=True):
        drawn = BytesIO()
        with styled():
            plot.figure.savefig(drawn, format=path.suffix[1:], dpi=DPI, metadata=metadata)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            beside.write_bytes(drawn.getvalue())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    return paths


def _legend(figure: Figure, entries: Mapping[str, Artist], room: float, width: int) -> Legend | None:
    """A legend in as many columns as fit side by side, so that it takes few lines."""
    if not entries:
        return None
    names = [label(name, width) for name in entries]
    legend = None
    for columns in range(min(len(names), 6), 0, -1):
        if legend is not None:
            legend.remove()
        legend = figure.legend(
            list(entries.values()), names, loc="upper left", bbox_to_anchor=(0, 1), ncols=columns, columnspacing=1.4
        )
        if _extent(figure, legend)[0] <= room:
            break
    return legend


def _plain(text: str) -> str:
    """Words without what an SVG cannot hold."""
    return "".join(character if character.isprintable() else " " for character in text)


def _extent(figure: Figure, artist: Text | Legend) -> tuple[float, float]:
    """Width and height in inches."""
    box = artist.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    return box.width / figure.dpi, box.height / figure.dpi


def _fill(figure: Figure, text: Text, words: str, room: float) -> None:
    """Set words over as few lines as they need in so many inches.

    A file has more pixels than the figure that is measured here, and its letters are up to 3 per cent wider.
    """
    for width in range(int(room * 24), 10, -2):
        text.set_text("\n".join(wrap(words, width)))
        if _extent(figure, text)[0] <= 0.97 * room:
            return


def _height(figure: Figure, artist: Text | Legend) -> float:
    return _extent(figure, artist)[1]


def _widen(figure: Figure) -> None:
    """Let characters that DejaVu lacks come from another font, where the machine has one."""
    known = font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap()
    installed = set(font_manager.get_font_names())
    wider = [name for name in _WIDER if name in installed]
    for text in figure.findobj(Text):
        if isinstance(text, Text) and any(ord(letter) not in known for letter in text.get_text() if letter != "\n"):
            text.set_fontfamily(["sans-serif", *wider])
