"""A table as text: heads, labels and figures with their marks, which Markdown, LaTeX and a terminal share."""

from collections.abc import Iterator
from dataclasses import dataclass

from babelens.experiments.columns import BEST_ON_TEST, LANGUAGES, heading, printed
from babelens.experiments.results import Summary
from babelens.experiments.table import Row, Table
from babelens.experiments.table_notes import Note, Notes, differs_when_cleaned, notes

# Numbers of notes, raised, where the text has no markup for that.
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
# With more figures than these, spread stands beside the headline and its like alone.
_NARROW = 4


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure as text; `spread` without its sign, `mark` of significance, `number` of a note."""

    text: str = ""
    spread: str = ""
    mark: str = ""
    number: str = ""
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A row: labels of the block where it begins a new one, else "", its own label, and its figures."""

    labels: tuple[str, ...]
    figures: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """All of a table as text. `headline` is the place of the headline among the figures."""

    title: str
    axes: tuple[str, ...]
    heads: tuple[str, ...]
    headline: int
    blocks: tuple[tuple[Line, ...], ...]
    notes: tuple[Note, ...]


def grid(table: Table) -> Grid:
    """Set a table in text: beside the headline stand its cleaned figure, the paper's, and the difference from it."""
    said = notes(table)
    cleaned = differs_when_cleaned(table)
    paper = any(row.figures[table.headline].paper is not None for row in table.rows)
    compared = any(row.figures[table.headline].difference is not None for row in table.rows)
    heads: list[str] = []
    for column in table.columns:
        heads.append(heading(column))
        if column == table.headline:
            heads += [head for head, given in (("cleaned", cleaned), ("paper", paper), ("diff.", compared)) if given]
    blocks = []
    for block in table.blocks:
        lines = []
        for row in block:
            labels = row.labels if not lines else (*("" for _ in row.labels[:-1]), row.labels[-1])
            lines.append(Line(labels, tuple(_figures(table, row, said, cleaned, paper, compared))))
        blocks.append(tuple(lines))
    headline = heads.index(heading(table.headline))
    return Grid(table.title, table.axes, tuple(heads), headline, tuple(blocks), (*said.lines, *_spread_note(table)))


def _figures(table: Table, row: Row, said: Notes, cleaned: bool, paper: bool, compared: bool) -> Iterator[Shown]:
    number = str(said.numbers.get(row.labels, ""))
    for column in table.columns:
        figure = row.figures[column]
        headline = column == table.headline
        if headline and not row.runs:
            yield Shown("not run", number=number)
        else:
            sign = said.signs.get((row.labels, False), "") if headline else ""
            yield _shown(table, column, figure.value, sign, number if headline else "", figure.best)
        if not headline:
            continue
        if cleaned:
            yield _shown(table, column, figure.cleaned, said.signs.get((row.labels, True), ""))
        if paper:
            text = "" if figure.paper is None else printed(column, figure.paper)
            yield Shown(text, mark="*" if figure.computed else "")
        if compared:
            yield Shown("" if figure.difference is None else f"{figure.difference:+.2f}".replace("-", "−"))


def _shown(
    table: Table, column: str, value: Summary | None, sign: str = "", number: str = "", best: bool = False
) -> Shown:
    if value is None:
        return Shown("", number=number)
    spread = printed(column, value.deviation) if value.deviation is not None and _spreads(table, column) else ""
    return Shown(printed(column, value.mean), spread, sign, number, best)


def _spreads(table: Table, column: str) -> bool:
    return len(table.columns) <= _NARROW or column in (table.headline, LANGUAGES, BEST_ON_TEST)


def _spread_note(table: Table) -> Iterator[Note]:
    hidden = [column for column in table.columns if not _spreads(table, column)]
    values = [row.figures[column].value for row in table.rows for column in hidden]
    if any(value is not None and value.deviation is not None for value in values):
        yield Note("", "The spread of the other columns is in the CSV file.")
