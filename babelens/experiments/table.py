"""A table of an experiment: its cells by a layout, with spread, the paper's figures, and what is best."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from babelens.experiments.columns import BEST_ON_TEST, LANGUAGES, of_run, printed, ranked, summary
from babelens.experiments.layout import Layout
from babelens.experiments.paper import PaperRow, match, paper_figures
from babelens.experiments.results import Cell, Results, Summary
from babelens.schema import InputError

TEST = "test"
# The paper's figures compare with ours where the part that was read has its number of sentences, but for this share.
_SAME_PART = 0.01


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a row: mean and spread over seeds, over all rows of the part and over the `cleaned` ones.

    `paper` is the paper's figure, of its table `source` (`computed` where it follows from others of its row), and
    `difference` ours less the paper's, None where the two were read on different parts. `best` says that no row of the
    block has a higher one.
    """

    value: Summary | None
    cleaned: Summary | None = None
    paper: float | None = None
    source: str = ""
    computed: bool = False
    difference: float | None = None
    best: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A cell read on one part: `figures` by column, `reason` where it was not run or not with all seeds."""

    labels: tuple[str, ...]
    cell: Cell
    test: str
    figures: dict[str, Figure]
    runs: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """What a table says, whichever way it is printed.

    `axes` head the labels of the rows. Rows of a block differ in their last label alone, unless an axis is missing.
    `headline` is the column that is set beside the paper. `left_out` are cells that were not run and of which it is not
    known on what they would have been read. `name` is that of its files.
    """

    name: str
    title: str
    axes: tuple[str, ...]
    columns: tuple[str, ...]
    headline: str
    blocks: tuple[tuple[Row, ...], ...]
    left_out: tuple[Cell, ...]
    results: Results

    @property
    def rows(self) -> list[Row]:
        """All rows, in order."""
        return [row for block in self.blocks for row in block]


def make_table(results: Results, layout: Layout, name: str | None = None) -> Table:
    """Set the cells of an experiment in a table; one without cells (other axes, or not among what was run) is empty.

    Parts that were read stand in a block each where there are several. A cell that was not run stands among those of
    the test part, and where the paper has a figure. Columns in which nothing stands are left out; the mean of several
    languages and the published protocol's best epoch on test are added where there are such.

    Raises:
        InputError: two cells make the same row.
    """
    cells = [cell for cell in results.cells if _stands(cell, layout)]
    readings = list(_readings(cells, layout))
    tests = dict.fromkeys(test for _, test in readings)
    axes = layout.rows if TEST in layout.rows or len(tests) < 2 else (TEST, *layout.rows)
    columns = (*layout.columns, *(column for column in (LANGUAGES, BEST_ON_TEST) if column not in layout.columns))
    rows = [_row(results, cell, test, axes, columns, layout) for cell, test in readings]
    _check_apart(results, rows, axes)
    rows = _in_order(rows, axes)
    kept = tuple(column for column in columns if any(_known(row.figures[column]) for row in rows))
    columns = kept or layout.columns
    blocks = [list(block) for _, block in groupby(rows, lambda row: row.labels[:-1])]
    return Table(
        name=name or results.experiment,
        title=layout.title or results.title,
        axes=axes,
        columns=columns,
        headline=layout.headline if layout.headline in columns else columns[-1],
        blocks=tuple(tuple(_with_best(block, columns)) for block in blocks),
        left_out=tuple(cell for cell in cells if not cell.runs and all(cell is not other for other, _ in readings)),
        results=results,
    )


def _stands(cell: Cell, layout: Layout) -> bool:
    return layout.where.items() <= cell.labels.items() and {*layout.rows} - {TEST} <= cell.labels.keys()


def _readings(cells: Sequence[Cell], layout: Layout) -> Iterator[tuple[Cell, str]]:
    """The cells with the parts that they were read on, or would have been."""
    read = {id(cell): list(dict.fromkeys(test for run in cell.runs for test in run.readings)) for cell in cells}
    if all(of_run(column) for column in layout.columns):
        yield from ((cell, layout.test or TEST) for cell in cells)
        return
    seen = dict.fromkeys(test for cell in cells for test in read[id(cell)])
    paper = dict.fromkeys(row.labels.get(TEST, TEST) for table in layout.papers for row in paper_figures(table))
    # What a cell that was not run would have been read on is known of the test part alone, and of what the paper has.
    usual = [TEST] if TEST in seen or (not seen and set(paper) <= {TEST}) else []
    wanted = [layout.test] if layout.test else list(dict.fromkeys((*seen, *paper, *usual)))
    for cell in cells:
        if read[id(cell)]:
            own = [test for test in wanted if test in read[id(cell)]]
        elif cell.runs or layout.test:
            own = [layout.test or TEST]
        else:
            own = [test for test in wanted if test in usual or _paper_row(layout, cell, test)]
        yield from ((cell, test) for test in own)


def _row(results: Results, cell: Cell, test: str, axes: Sequence[str], columns: Sequence[str], layout: Layout) -> Row:
    labels = tuple({**cell.labels, TEST: test}[axis] for axis in axes)
    paper = _paper_row(layout, cell, test)
    same = paper is not None and _same_part(cell, test, paper)
    figures = {column: _figure(cell, test, column, paper, same) for column in columns}
    runs = sum(test in run.readings for run in cell.runs) or len(cell.runs)
    short = runs < len(results.seeds)
    reason = " ".join((cell.reason or "not run yet").split()) if short else None
    return Row(labels, cell, test, figures, runs, reason)


def _paper_row(layout: Layout, cell: Cell, test: str) -> PaperRow | None:
    found = (match(table, {**cell.labels, TEST: test}) for table in layout.papers)
    return next((row for row in found if row is not None), None)


def _same_part(cell: Cell, test: str, paper: PaperRow) -> bool:
    sizes = {run.readings[test].rows for run in cell.runs if test in run.readings}
    sentences = paper.sentences or 0
    return bool(sizes) and all(abs(size - sentences) <= _SAME_PART * sentences for size in sizes)


def _figure(cell: Cell, test: str, column: str, paper: PaperRow | None, same: bool) -> Figure:
    value, cleaned = summary(cell, test, column), summary(cell, test, column, cleaned=True)
    theirs = paper.figures.get(column) if paper else None
    difference = value.mean - theirs if same and value is not None and theirs is not None else None
    if paper is None or theirs is None:
        return Figure(value, cleaned)
    return Figure(value, cleaned, theirs, paper.table, column in paper.computed, difference)


def _known(figure: Figure) -> bool:
    return figure.value is not None or figure.paper is not None


def _check_apart(results: Results, rows: Sequence[Row], axes: Sequence[str]) -> None:
    seen: dict[tuple[str, ...], Row] = {}
    for row in rows:
        other = seen.setdefault(row.labels, row)
        if other is not row:
            pairs = row.cell.labels.keys() | other.cell.labels.keys()
            apart = sorted(axis for axis in pairs if row.cell.labels.get(axis) != other.cell.labels.get(axis))
            raise InputError(
                f"{results.experiment}: expected rows that tell cells apart, found two cells at "
                f"{', '.join(row.labels)} ({', '.join(axes)}) that differ in {', '.join(apart) or 'nothing'}"
            )


def _in_order(rows: Sequence[Row], axes: Sequence[str]) -> list[Row]:
    """Rows by their labels, the first axis first, each label where it first occurs."""
    places = [dict.fromkeys(row.labels[axis] for row in rows) for axis in range(len(axes))]
    order = [{label: number for number, label in enumerate(labels)} for labels in places]
    return sorted(rows, key=lambda row: [order[axis][label] for axis, label in enumerate(row.labels)])


def _with_best(block: Sequence[Row], columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a block, the best of each column marked; figures that are printed alike are alike."""
    best: dict[str, str] = {}
    for column in columns:
        means = [value.mean for row in block if (value := row.figures[column].value) is not None]
        if ranked(column) and len({printed(column, mean) for mean in means}) > 1:
            best[column] = printed(column, max(means))
    for row in block:
        figures = {
            column: replace(row.figures[column], best=_is(best.get(column), column, row.figures[column]))
            for column in columns
        }
        yield replace(row, figures=figures)


def _is(best: str | None, column: str, figure: Figure) -> bool:
    return best is not None and figure.value is not None and printed(column, figure.value.mean) == best
