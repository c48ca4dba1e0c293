"""The figures of the 2M-NER paper (Tables 3 and 5 to 9), to stand beside ours; `paper.toml` holds them.

As far as we have its text, the paper agrees with itself. In each of the 91 rows that give all three, F1 is what
precision and recall make (Eq. 21), within the 0.01 that rounding explains. A row that stands in several tables is the
same in all. And with the numbers of entities of its Table 2, the F1s by type can make up precision and recall over all.
The tests hold the first two.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from babelens.schema import InputError


class PaperRow(msgspec.Struct, frozen=True):
    """A row of a table of the paper: `figures` by path ("types.PER.f1", "micro.precision"), in per cent.

    `computed` names the figures that are cut off in our text of the paper and follow from others of the row.
    `sentences` is the size of the test part that they were measured on; None where nothing was.
    """

    table: str
    labels: dict[str, str]
    figures: dict[str, float]
    computed: tuple[str, ...] = ()
    sentences: int | None = None


class _Computed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    computed: float


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    axes: tuple[str, ...]
    figures: tuple[str, ...]
    rows: tuple[tuple[str | float | _Computed, ...], ...]
    also: dict[str, tuple[str, ...]] = {}


class _Paper(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sentences: dict[str, int]
    tables: dict[str, _Table]


@cache
def _paper() -> _Paper:
    text = files("babelens.experiments").joinpath("paper.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), _Paper)


def paper_tables() -> dict[str, str]:
    """The tables of the paper that are here, by name, with what they show."""
    return {name: table.title for name, table in _paper().tables.items()}


def paper_figures(table: str) -> list[PaperRow]:
    """The rows of a table of the paper, in its order.

    Raises:
        InputError: there is no such table here.
    """
    return list(_rows(table))


def _table(name: str) -> _Table:
    tables = _paper().tables
    if name not in tables:
        raise InputError(f"expected a table of the paper ({', '.join(tables)}), found {name!r}")
    return tables[name]


@cache
def _rows(name: str) -> tuple[PaperRow, ...]:
    table, sentences = _table(name), _paper().sentences
    made = []
    for row in table.rows:
        cells: dict[str, Any] = dict(zip((*table.axes, *table.figures), row, strict=True))
        labels = {axis: cells.pop(axis) for axis in table.axes}
        figures = {path: cell.computed if isinstance(cell, _Computed) else float(cell) for path, cell in cells.items()}
        computed = tuple(path for path, cell in cells.items() if isinstance(cell, _Computed))
        part = sentences.get(labels.get("test", labels.get("data", "All")))
        made.append(PaperRow(name, labels, figures, computed, part))
    return tuple(made)


def match(table: str, labels: Mapping[str, str]) -> PaperRow | None:
    """The row of a table of the paper with these labels; None where it has none.

    Labels of axes that the paper's table does not have are passed over, but for "test": where the paper does not name
    the part that it reads, only the part called "test" is that. Case does not matter, nor in which order several
    languages stand ("German & English").

    Raises:
        InputError: there is no such table here.
    """
    also = {other: name for name, others in _table(table).also.items() for other in others}
    wanted = {"test": "test"} | {axis: _same(also.get(label, label)) for axis, label in labels.items()}
    for row in _rows(table):
        if {"test": "test", **{axis: _same(label) for axis, label in row.labels.items()}}.items() <= wanted.items():
            return row
    return None


def _same(label: str) -> str:
    return "&".join(sorted(part.strip() for part in label.casefold().split("&")))


def implied_f1(row: PaperRow) -> float:
    """The F1 that precision and recall of a row make (Eq. 21), in per cent."""
    precision, recall = row.figures["micro.precision"], row.figures["micro.recall"]
    return 2 * precision * recall / (precision + recall)


def disagreements(tolerance: float = 0.02) -> list[PaperRow]:
    """The rows of the paper whose F1 lies further than `tolerance` points from what their precision and recall make."""
    rows = (row for table in _paper().tables for row in _rows(table) if "micro.f1" in row.figures)
    return [row for row in rows if abs(row.figures["micro.f1"] - implied_f1(row)) > tolerance]
