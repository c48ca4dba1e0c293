"""Tables of experiments, and their files: Markdown to read, CSV to reckon with, LaTeX to put into a paper."""

import os
from collections.abc import Sequence
from pathlib import Path

from babelens.experiments.layout import Layout
from babelens.experiments.table import Table, make_table
from babelens.experiments.table_csv import long_csv
from babelens.experiments.table_latex import latex
from babelens.experiments.table_markdown import markdown
from babelens.experiments.table_terminal import rich_table

__all__ = ["Layout", "Table", "make_table", "rich_table", "write_tables"]


def write_tables(folder: Path, tables: Sequence[Table]) -> list[Path]:
    """Write each table as NAME.md, NAME.csv and NAME.tex, beside its place and renamed; several are numbered."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, table in enumerate(tables, 1):
        stem = table.name if len(tables) == 1 else f"{table.name}-{number}"
        for ending, text in ((".md", markdown(table)), (".csv", long_csv(table)), (".tex", latex(table))):
            path = folder / f"{stem}{ending}"
            write_text(path, text)
            written.append(path)
    return written


def write_text(path: Path, text: str) -> None:
    """Write a text beside its place and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
