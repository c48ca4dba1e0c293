"""A report as one HTML page that needs nothing else: tables, curves, and examples with what the model looked at."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from babelens.evaluation.cards import Card, draw_card, entities_of
from babelens.evaluation.charts import Chart, draw_chart
from babelens.evaluation.markup import markup
from babelens.evaluation.page import render_page, write_page
from babelens.evaluation.page_style import SCRIPT, STYLE, type_colours

Cell = float | int | str | None


@dataclass(frozen=True, slots=True)
class Fact:
    """One headline figure, ready to print, with what it is and what to compare it with."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table; fractional numbers are shown with one decimal, None as a dash. `ours` is bold."""

    name: str
    cells: tuple[Cell, ...]
    kind: Literal["plain", "ours", "reference"] = "plain"


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table; `columns` are the heads of the cells, `corner` that of the names of the rows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    corner: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """All that a report page shows, from top to bottom."""

    title: str
    summary: str = ""
    facts: tuple[Fact, ...] = ()
    tables: tuple[ReportTable, ...] = ()
    charts: tuple[Chart, ...] = ()
    cards: tuple[Card, ...] = ()
    footer: str = ""


def write_report(path: Path, report: Report) -> None:
    """Write the report as one self-contained HTML file; the folder is made, and a file that stands there replaced.

    The page asks the network for nothing: pictures are embedded, and its content security policy allows only its own
    style and script. It works without the script.

    Raises:
        OSError: the file cannot be written.
        ValueError: entities of one card overlap or lie outside its words, or a row does not fit its table.
    """
    write_page(path, render_report(report))


def render_report(report: Report) -> str:
    """The report as an HTML page; see `write_report`."""
    colours = type_colours(entity.type for card in report.cards for entity in entities_of(card))
    parts = [f"<h1>{markup(report.title)}</h1>", f"<p>{markup(report.summary)}</p>" if report.summary else ""]
    if report.facts:
        parts.append(f'<dl class="facts">{"".join(map(draw_fact, report.facts))}</dl>')
    if report.tables:
        parts += ["<h2>Scores</h2>", *map(draw_table, report.tables)]
    if report.charts:
        parts.append(f'<h2>Training</h2><div class="charts">{"".join(map(draw_chart, report.charts))}</div>')
    if report.cards:
        parts.append(
            "<h2>Examples</h2><p>Choose a found entity to see where the model looked for it: the more orange, the more "
            "attention; the frame marks the most; dark edges were cut off before the model saw the picture. "
            "✓ is right, ✗ is wrong.</p>"
        )
        parts += [draw_card(number, card, colours) for number, card in enumerate(report.cards)]
    if report.footer:
        parts.append(f"<footer>{markup(report.footer)}</footer>")
    return render_page(report.title, "\n".join(part for part in parts if part), STYLE, SCRIPT)


def draw_fact(fact: Fact) -> str:
    """A headline figure as a part of a list of facts."""
    note = f'<dd class="note">{markup(fact.note)}</dd>' if fact.note else ""
    return f'<div><dt>{markup(fact.name)}</dt><dd class="value">{markup(fact.value)}</dd>{note}</div>'


def draw_table(table: ReportTable) -> str:
    """A table that can be scrolled where it is wider than the page.

    Raises:
        ValueError: a row does not fit its table.
    """
    for row in table.rows:
        if len(row.cells) != len(table.columns):
            raise ValueError(
                f"expected {len(table.columns)} cells in row {row.name!r} of {table.title!r}, found {len(row.cells)}"
            )
    head = "".join(f'<th scope="col">{markup(name)}</th>' for name in (table.corner, *table.columns))
    rows = "".join(
        f'<tr class="{row.kind}"><th scope="row">{markup(row.name)}</th>'
        f"{''.join(f'<td>{markup(_cell(cell))}</td>' for cell in row.cells)}</tr>"
        for row in table.rows
    )
    note = f'<p class="soft">{markup(table.note)}</p>' if table.note else ""
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{markup(table.title)}"><table>'
        f"<caption>{markup(table.title)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{note}"
    )


def _cell(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return "–"
    return f"{cell:.1f}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else cell
