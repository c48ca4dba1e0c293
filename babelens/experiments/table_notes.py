"""What is said below a table: seeds, what was not run, what is significant, and what the columns mean."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from babelens.experiments.columns import BEST_ON_TEST, HEADLINE, LANGUAGES, printed
from babelens.experiments.results import Comparison
from babelens.experiments.table import TEST, Figure, Row, Table

LEVEL = 0.05
_SIGNS = "†‡§¶‖"


@dataclass(frozen=True, slots=True)
class Note:
    """A line below a table; `mark` is what refers to it, "" where nothing does."""

    mark: str
    text: str


@dataclass(frozen=True)
class Notes:
    """The lines below a table, and which marks stand at its figures.

    `numbers` and `signs` are by the labels of a row; signs of significance apart for all rows of the part (False) and
    for the cleaned ones (True).
    """

    lines: list[Note] = field(default_factory=list)
    numbers: dict[tuple[str, ...], int] = field(default_factory=dict)
    signs: dict[tuple[tuple[str, ...], bool], str] = field(default_factory=dict)


def differs_when_cleaned(table: Table) -> bool:
    """Whether the headline is another on the cleaned rows than on all, as it is printed, or there are none left."""
    return any(_text(table, figure.value) != _text(table, figure.cleaned) for figure in _headlines(table))


def notes(table: Table) -> Notes:
    """All that is to be said below a table."""
    made = Notes()
    if not table.blocks:
        made.lines.append(Note("", f"No cell of {table.results.experiment} has the labels of this table."))
        return made
    _seeds(table, made)
    _columns(table, made)
    _paper(table, made)
    _significance(table, made)
    _reasons(table, made)
    return made


def _headlines(table: Table) -> list[Figure]:
    """The headline of all rows that can be read cleaned at all."""
    figures = [row.figures[table.headline] for row in table.rows]
    return [figure for figure in figures if figure.value is not None] if any(one.cleaned for one in figures) else []


def _text(table: Table, value: object) -> str:
    mean = getattr(value, "mean", None)
    return "" if mean is None else printed(table.headline, mean)


def _seeds(table: Table, made: Notes) -> None:
    counts = {row.runs for row in table.rows if row.runs}
    most = max(counts, default=0)
    if most == 1:
        made.lines.append(Note("", "One seed: no spread is known; the best in bold."))
    elif most:
        but = " where no other number is given" if len(counts) > 1 else ""
        made.lines.append(Note("", f"Mean and standard deviation (n - 1) over {most} seeds{but}; the best in bold."))


def _columns(table: Table, made: Notes) -> None:
    tests = {row.test for row in table.rows}
    if TEST not in table.axes and tests != {TEST}:
        made.lines.append(Note("", f"Read on {', '.join(tests)}."))
    if LANGUAGES in table.columns:
        made.lines.append(Note("", "lang. mean: the mean of the F1 of each language, all with the same weight."))
    if differs_when_cleaned(table):
        made.lines.append(Note("", f"cleaned: {_shared(table)}"))
    if BEST_ON_TEST in table.columns:
        text = (
            "The best epoch on test is chosen by test data, as published code does; all else is chosen on validation."
        )
        made.lines.append(Note("", text))


def _shared(table: Table) -> str:
    """What cleaning takes away, as shares of the rows of a part."""
    readings = [row.cell.runs[0].readings.get(row.test) for row in table.rows if row.cell.runs]
    shares = [100 * one.leaks.rows / one.rows for one in readings if one is not None and one.rows]
    low, high = min(shares, default=0), max(shares, default=0)
    share = f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"
    return f"without the rows ({share} % of the part) that share a text, a picture or a group with training."


def _paper(table: Table, made: Notes) -> None:
    figures = [row.figures[table.headline] for row in table.rows]
    if not any(figure.paper is not None for figure in figures):
        return
    sources = dict.fromkeys(figure.source for figure in figures if figure.source)
    named = " and ".join(f"Table {source.removeprefix('table')}" for source in sources)
    text = f"paper: {named} of Wang et al. (2024)"
    apart = [figure for figure in figures if figure.paper is not None and figure.value and figure.difference is None]
    if apart:
        text += ", read on other rows than ours" + (" where no difference is given" if _compared(figures) else "")
    made.lines.append(Note("", f"{text}."))
    if any(figure.computed for figure in figures):
        made.lines.append(Note("*", "computed from the paper's precision and recall."))


def _compared(figures: Iterable[Figure]) -> bool:
    return any(figure.difference is not None for figure in figures)


def _significance(table: Table, made: Notes) -> None:
    """A sign for each family, at the figure of the system that another one is compared with."""
    if table.headline != HEADLINE:
        return
    rows = {(row.test, *sorted(row.cell.labels.items())): row for row in table.rows}
    shown = [
        comparison
        for comparison in table.results.comparisons
        if _place(comparison.system, comparison) in rows and _place(comparison.baseline, comparison) in rows
    ]
    free = iter([sign * times for times in (1, 2, 3) for sign in _SIGNS])
    for family in dict.fromkeys(comparison.family for comparison in shown):
        own = [comparison for comparison in shown if comparison.family == family]
        found = [comparison for comparison in own if comparison.adjusted < LEVEL]
        sign = next(free, "†") if found else ""
        for comparison in found:
            row = rows[_place(comparison.baseline, comparison)]
            key = (row.labels, comparison.cleaned)
            made.signs[key] = made.signs.get(key, "") + sign
        made.lines.append(Note(sign, _family(table, family, own, found)))


def _place(labels: dict[str, str], comparison: Comparison) -> tuple:
    return (comparison.test, *sorted(labels.items()))


def _family(table: Table, family: str, own: list[Comparison], found: list[Comparison]) -> str:
    members = [one for one in table.results.comparisons if one.family == family]
    size = sum(not one.cleaned for one in members) or len(members)
    # Holm counts what is declared and was not run as not significant (see `compare_families`).
    how = f"adjusted p < {LEVEL}, two-sided bootstrap, Holm over all that"
    apart = "; on cleaned rows corrected apart" if any(one.cleaned for one in own) else ""
    if not found:
        none = f"None of the {size} differences run" if size > 1 else "No difference (of the one run)"
        return f'{none} of the family "{family}" is significant ({how} it declares{apart}).'
    subjects = {" ".join(label for axis, label in one.system.items() if one.baseline.get(axis) != label) for one in own}
    subject = subjects.pop() if len(subjects) == 1 else "what it is compared with"
    return f'differs from {subject} ({how} the family "{family}" declares{apart}).'


def _reasons(table: Table, made: Notes) -> None:
    """A number for each reason why there are no runs, or fewer than were asked for."""
    asked = len(table.results.seeds)
    numbers: dict[str, int] = {}
    for row in table.rows:
        if row.reason is not None:
            text = _why(row, asked)
            made.numbers[row.labels] = numbers.setdefault(text, len(numbers) + 1)
    made.lines.extend(Note(str(number), text) for text, number in numbers.items())
    for cell in table.left_out:
        named = ", ".join(cell.labels[axis] for axis in table.axes if axis in cell.labels)
        made.lines.append(Note("", f"{named}: {_not_run(cell.reason)}"))


def _why(row: Row, asked: int) -> str:
    if row.runs:
        return f"{row.runs} of {asked} seeds: {_reason(row.reason)}"
    return _not_run(row.reason)


def _not_run(reason: str | None) -> str:
    told = _reason(reason)
    return told if told.startswith("not run") else f"not run: {told}"


def _reason(reason: str | None) -> str:
    return f"{' '.join((reason or 'not run yet').split()).rstrip('.')}."
