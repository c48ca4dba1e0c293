"""Tables as CSV: a line for each row and figure, with all that is known of it."""

import csv
import io
from collections.abc import Iterator

from babelens.experiments.columns import ranked
from babelens.experiments.results import Summary
from babelens.experiments.table import Figure, Row, Table
from babelens.experiments.table_notes import notes

FIELDS = (
    "figure",
    "mean",
    "deviation",
    "seeds",
    "cleaned",
    "cleaned deviation",
    "paper",
    "paper computed",
    "difference",
    "best",
    "significant",
    "reason",
)


def long_csv(table: Table) -> str:
    """A head and a line for each row and figure; empty fields are not known. Figures have four digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*_labels(table), *FIELDS))
    signs = notes(table).signs
    for row in table.rows:
        for column in table.columns:
            sign = signs.get((row.labels, False), "") if column == table.headline else ""
            writer.writerow((*_label_cells(table, row), column, *_cells(column, row, row.figures[column], sign)))
    return out.getvalue()


def _labels(table: Table) -> tuple[str, ...]:
    return table.axes if "test" in table.axes else (*table.axes, "test")


def _label_cells(table: Table, row: Row) -> tuple[str, ...]:
    return row.labels if "test" in table.axes else (*row.labels, row.test)


def _cells(column: str, row: Row, figure: Figure, sign: str) -> Iterator[str]:
    yield from _summary(figure.value)
    yield str(figure.value.count if figure.value else 0)
    yield from _summary(figure.cleaned)
    yield _number(figure.paper)
    yield _said(figure.computed if figure.paper is not None else None)
    yield _number(figure.difference)
    yield _said(figure.best if ranked(column) and figure.value else None)
    yield sign
    yield row.reason or ""


def _summary(value: Summary | None) -> tuple[str, str]:
    return (_number(value.mean), _number(value.deviation)) if value else ("", "")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _said(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"
