"""Tables as Markdown that also reads well as plain text."""

import re
from collections.abc import Collection, Sequence

from babelens.experiments.table import Table
from babelens.experiments.table_grid import RAISED, Grid, Line, Shown, grid


def markdown(table: Table) -> str:
    """A heading, the table with the best of each block in bold, the lines below it, and where it comes from."""
    shown = grid(table)
    parts = [f"## {escape(shown.title)}"]
    if shown.blocks:
        parts.append("\n".join(_table(shown)))
    parts.append("\n".join(f"- {_mark(note.mark)}{escape(note.text)}" for note in shown.notes))
    parts += [escape(" ".join(note.split())) for note in table.results.notes]
    parts.append(f"    {table.results.command}")
    return "\n\n".join(parts) + "\n"


def pipes(heads: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int]) -> list[str]:
    """The lines of a Markdown table, all of one width: text of the columns `left` to the left, figures to the right."""
    widths = [max(3, *(len(row[place]) for row in (heads, *rows))) for place in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = "|".join(
        "-" * (width + 2) if place in left else "-" * (width + 1) + ":" for place, width in enumerate(widths)
    )
    return [line(heads), f"|{rule}|", *(line(row) for row in rows)]


def escape(text: str) -> str:
    """Text that Markdown takes as it is."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", re.sub(r"([\\`*_|\[\]])", r"\\\1", text))


def _table(shown: Grid) -> list[str]:
    heads = [escape(head) for head in (*shown.axes, *shown.heads)]
    return pipes(heads, [_cells(line) for block in shown.blocks for line in block], range(len(shown.axes)))


def _cells(line: Line) -> list[str]:
    return [*(escape(label) for label in line.labels), *(_figure(figure) for figure in line.figures)]


def _figure(figure: Shown) -> str:
    text = f"**{figure.text}**" if figure.bold else figure.text or "–"
    spread = f" ±{figure.spread}" if figure.spread else ""
    return f"{text}{spread}{_mark(figure.mark).rstrip()}{figure.number.translate(RAISED)}"


def _mark(mark: str) -> str:
    """A mark in the table and before its line: numbers raised, the star not taken for emphasis."""
    return f"{escape(mark.translate(RAISED))} " if mark else ""
