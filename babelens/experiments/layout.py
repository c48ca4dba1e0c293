"""How the cells of an experiment stand in a table."""

import msgspec

from babelens.experiments.columns import HEADLINE, check
from babelens.experiments.paper import paper_figures
from babelens.schema import InputError

RATES = ("micro.precision", "micro.recall", "micro.f1")


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which cells make the rows of a table, and what stands in its columns.

    - `rows`: axes; each combination of their labels that there is makes a row. Rows that differ in the last axis alone
      are a block, in which the best is bold. "test" is the name of the part that was read; cells without one of the
      axes are left out.
    - `columns`: figures by name, such as "types.PER.f1" (see `columns.read`). The headline is "micro.f1", or the last.
    - `where`: takes only cells with these labels.
    - `test`: which reading; None is the only one, and where there are several, a block for each.
    - `paper`: the table or tables of the paper to stand beside it (see `paper.match`); the first that has the row wins.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...] = RATES
    title: str = ""
    where: dict[str, str] = {}
    test: str | None = None
    paper: str | tuple[str, ...] = ()

    @property
    def papers(self) -> tuple[str, ...]:
        """The tables of the paper."""
        return (self.paper,) if isinstance(self.paper, str) else self.paper

    @property
    def headline(self) -> str:
        """The column that is compared with the paper, and that tests of significance speak of."""
        return HEADLINE if HEADLINE in self.columns else self.columns[-1]

    def __post_init__(self) -> None:
        if not self.rows or not self.columns:
            raise InputError("expected at least one axis in rows and one figure in columns, found none")
        for column in self.columns:
            check(column)
        for table in self.papers:
            paper_figures(table)
