"""Tables for a terminal."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from babelens.experiments.table import Table
from babelens.experiments.table_grid import RAISED, Grid, Shown, grid

WIDTH = 100


def rich_table(table: Table, width: int = WIDTH) -> RichTable:
    """The table with its title above and its lines below.

    Where it would be wider than `width`, the space between columns goes first, then spread, last that of the headline.
    """
    shown = grid(table)
    every, headline, none = set(range(len(shown.heads))), {shown.headline}, set[int]()
    console = Console(width=10_000)
    spreads, gap = every, 1
    for spreads, gap in ((every, 1), (every, 0), (headline, 1), (headline, 0), (none, 1), (none, 0)):
        if Measurement.get(console, console.options, _figures(shown, spreads, gap)).maximum <= width:
            break
    return _draw(shown, spreads, gap, width)


def _draw(shown: Grid, spreads: set[int], gap: int, width: int) -> RichTable:
    """Title, figures and lines below one another: so a narrow table does not make its title narrow."""
    whole = RichTable.grid()
    whole.add_column(max_width=width)
    whole.add_row(Text(shown.title, style="bold"))
    if shown.blocks:
        whole.add_row(_figures(shown, spreads, gap))
    for note in shown.notes:
        whole.add_row(Text(f"{note.mark.translate(RAISED)} {note.text}".strip(), style="dim"))
    return whole


def _figures(shown: Grid, spreads: set[int], gap: int) -> RichTable:
    made = RichTable(box=box.SIMPLE_HEAD, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    made.add_column(Text(shown.axes[-1]), vertical="bottom", no_wrap=True)
    lines = list(chain.from_iterable(shown.blocks))
    columns = []
    for place, head in enumerate(shown.heads):
        column = _aligned(head.split(), [line.figures[place] for line in lines], place in spreads)
        made.add_column(column.head, vertical="bottom", no_wrap=True)
        columns.append(column.figures)
    rows = zip(*columns, strict=True)
    for block in shown.blocks:
        named = zip(shown.axes[:-1], block[0].labels[:-1], strict=True)
        if above := ", ".join(f"{axis}: {label}" for axis, label in named):
            made.add_row(Text(above, style="italic"))
        for line in block:
            label = Text(f"  {line.labels[-1]}" if above else line.labels[-1])
            made.add_row(label, *next(rows), end_section=line is block[-1])
    return made


class _Column(NamedTuple):
    head: Text
    figures: list[Text]


def _aligned(head: Sequence[str], figures: Sequence[Shown], spread: bool) -> _Column:
    """A column to the right, with points, spreads and marks one below the other; its head has a word a line."""
    spreads = [f" ±{figure.spread}" if spread and figure.spread else "" for figure in figures]
    marks = [figure.mark + figure.number.translate(RAISED) for figure in figures]
    texts = [figure.text or "–" for figure in figures]
    beside, mark = _longest(spreads), _longest(marks)
    made = []
    for figure, text, own, raised in zip(figures, texts, spreads, marks, strict=True):
        # Words take the place of a spread, so that they make no column wider than figures do.
        wide = beside if own or figure.text[-1:].isdigit() else 0
        shown = Text(text, style="bold" if figure.bold else "")
        made.append(shown.append(own.ljust(wide) + raised.ljust(mark), style="not bold"))
    width = max(_longest(head), *(len(text) for text in made), 0)
    for text in made:
        text.pad_left(width - len(text))
    return _Column(Text("\n".join(word.rjust(width) for word in head)), made)


def _longest(texts: Iterable[str]) -> int:
    return max(map(len, texts), default=0)
