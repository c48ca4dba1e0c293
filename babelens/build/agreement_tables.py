"""The agreement of annotators as tables: in Markdown for a data card, in the terminal for whoever waits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from babelens.build import markdown
from babelens.build.agreement import Part, Report
from babelens.build.annotation.simulate import is_simulated
from babelens.scoring.agreement import Agreement, Estimate

# Name, whether it is in per cent, and what it tells.
FIGURES = {
    "f1": ("F1, spans and types", True, "spans with their type that both mark alike; does not hang on who is gold"),
    "f1_spans": ("F1, spans alone", True, "the same, whatever the types"),
    "kappa_tags": ("kappa, tags", False, "Cohen's kappa over the IOB2 tags of all words"),
    "kappa_tags_any": (
        "kappa, tags, any",
        False,
        "words that at least one of the two labels: without those both call O",
    ),
    "kappa_tags_both": ("kappa, tags, both", False, "words that both label"),
    "kappa_types": ("kappa, types", False, "over the types of all words, whether they begin an entity or not"),
    "kappa_types_any": ("kappa, types, any", False, "words that at least one of the two labels"),
    "kappa_types_both": ("kappa, types, both", False, "words that both label"),
    "kappa_spans": ("kappa, spans", False, "spans that at least one of the two marks, by type or none; see the note"),
    "alpha_tags": (
        "alpha, tags",
        False,
        "Krippendorff's alpha over the IOB2 tags of all words, all annotators at once",
    ),
    "alpha_tags_any": ("alpha, tags, any", False, "words that at least one of the row's annotators labels"),
    "alpha_types": ("alpha, types", False, "over the types of all words"),
    "alpha_types_any": ("alpha, types, any", False, "words that at least one of the row's annotators labels"),
}
_CHOSEN = ("f1", "f1_spans", "kappa_tags", "kappa_tags_any", "alpha_tags", "alpha_tags_any")
SIMULATED = "Annotators are simulated: the figures tell the rates of mistakes that were set, and nothing of the labels."
_NOTE = (
    "Kappa and alpha are fractions: 1 is full agreement, 0 what chance gives. Kappa over spans has no cases that both "
    "call no entity, for nobody judges every sequence of words: it is low wherever one marks what the other does not. "
    "F1 is the figure for spans. Figures of several pairs: kappa weights each pair's by the disagreements that chance "
    'would give it, F1 adds up the spans. "–" is a figure that is not defined, or an interval of too few rows.'
)


@dataclass(frozen=True)
class _Grid:
    """A table before it is drawn: words in the first `left` columns, numbers in the others."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1


def as_markdown(report: Report) -> str:
    """The report as a Markdown page."""
    parts = ["# Agreement of annotators", " ".join(_sentences(report))]
    for grid in _grids(report, whole=True):
        parts += [f"## {grid.title}", markdown.grid(grid.head, grid.rows, left=grid.left)]
    parts += ["## What the figures are", _NOTE]
    return "\n\n".join(parts) + "\n"


def as_tables(report: Report) -> Iterator[Table | str]:
    """The tables of a report for the terminal, narrower than the page, after the sentences that open it."""
    yield "\n".join(_sentences(report))
    for grid in _grids(report, whole=False):
        table = Table(title=grid.title, title_justify="left", title_style="bold", header_style="bold", box=None)
        for place, name in enumerate(grid.head):
            table.add_column(escape(name), justify="left" if place < grid.left else "right")
        for row in grid.rows:
            table.add_row(*map(escape, row))
        yield table


def told(name: str, estimate: Estimate, *, interval: bool = True) -> str:
    """A figure as it is shown, with its interval or without; "–" where it is not defined."""
    if estimate.figure is None:
        return "–"
    if not interval or estimate.low is None:
        return _number(name, estimate.figure)
    return f"{_number(name, estimate.figure)} ({_interval(name, estimate)})"


def simulated(report: Report) -> bool:
    """Whether some of the annotators are no people."""
    return any(is_simulated(person.name) for person in report.people)


def _interval(name: str, estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return "–"
    return f"{_number(name, estimate.low)} to {_number(name, estimate.high)}"


def _number(name: str, value: float) -> str:
    return f"{value:.1f}" if FIGURES[name][1] else f"{value:.3f}"


def _sentences(report: Report) -> Iterator[str]:
    yield (
        f"{report.annotations:,} annotations of {report.rows:,} rows by {len(report.people):,} annotators; "
        f"{report.shared:,} rows were read by two or more, and the figures rest on these."
    )
    if report.readers.get(1):
        yield f"{report.readers[1]:,} rows were read by one annotator alone."
    if report.unread:
        yield f"{report.unread:,} rows were not annotated at all."
    if report.widened:
        marked = sum(report.entities.values())
        yield f"{report.widened:,} of {marked:,} entities began or ended inside a word and were widened to whole words."
    if simulated(report):
        yield SIMULATED
    yield (
        f"Intervals are of 95 %, from {report.draws:,} bootstrap draws (seed {report.seed}) of {report.units:,} "
        "groups of rows that belong together."
    )


def _grids(report: Report, *, whole: bool) -> Iterator[_Grid]:
    """The tables, on the page (`whole`) with what each figure tells and with the intervals of all."""
    yield _overall(report.overall, whole)
    if report.types:
        entities = [f"{report.entities.get(name, 0):,}" for name in report.types]
        figures = list(report.types.values())
        chosen = [name for name in (*_CHOSEN, "kappa_spans") if name != "f1_spans"]
        yield _grid(
            "By type", ("type", "entities"), list(zip(report.types, entities, strict=True)), figures, chosen, whole
        )
    if len(report.languages) > 1:
        yield _parts("By language", ("language", "rows"), report.languages, whole)
    if len(report.pairs) > 1:
        first = [(pair.one, pair.other, f"{pair.rows:,}") for pair in report.pairs]
        yield _grid("By pair", ("", "", "rows"), first, [pair.figures for pair in report.pairs], _CHOSEN, whole, 2)
    if len(report.batches) > 1:
        title, name = {
            "round": ("By round", "round"),
            "order": ("Over time, by batches of rows", "batch"),
            "line": ("By batches of rows in the order of the file (no times are known)", "batch"),
        }[report.batched_by]
        yield _parts(title, (name, "rows"), report.batches, whole)
    people = [
        (own.name, *(f"{count:,}" for count in (own.rows, own.shared, own.entities, own.widened)))
        for own in report.people
    ]
    yield _Grid("Annotators", ("annotator", "rows", "rows shared", "entities", "widened"), people)


def _overall(figures: Agreement, whole: bool) -> _Grid:
    rows = []
    for name, estimate in figures.items():
        title, _, words = FIGURES[name]
        value = told(name, estimate, interval=False)
        rows.append((title, *([words] if whole else []), value, _interval(name, estimate), f"{estimate.cases:,}"))
    head = ("figure", *(["what it tells"] if whole else []), "value", "95 % interval", "cases")
    return _Grid("All rows", head, rows, left=2 if whole else 1)


def _parts(title: str, head: Sequence[str], parts: Sequence[Part], intervals: bool) -> _Grid:
    first = [(part.name, f"{part.rows:,}") for part in parts]
    return _grid(title, head, first, [part.figures for part in parts], _CHOSEN, intervals)


def _grid(
    title: str,
    head: Sequence[str],
    first: Sequence[Sequence[str]],
    figures: Sequence[Agreement],
    chosen: Sequence[str],
    intervals: bool,
    left: int = 1,
) -> _Grid:
    rows = [
        (*own, *(told(name, some[name], interval=intervals) for name in chosen))
        for own, some in zip(first, figures, strict=True)
    ]
    return _Grid(title, (*head, *(FIGURES[name][0] for name in chosen)), rows, left)
