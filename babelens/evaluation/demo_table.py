"""The demo's figures as one table, for the terminal and for the report."""

from collections.abc import Iterator, Mapping

from rich.table import Table

from babelens.data.postcards.ceilings import Ceiling
from babelens.evaluation.report import Fact, ReportTable, TableRow
from babelens.evaluation.trials import SWAPPED, TRUE, Trial

_NOTE = (
    "F1 in per cent (exact spans) on the test part, with names, sentence frames and drawing styles that training did "
    "not have. Pairs: of the sentences that occur twice with different pictures and different gold, how many are right "
    "both times. Pictures: the true ones, a blank, those of rows with the same answer, of any other row, the true ones "
    "with noise, and those of the other row of the pair or of another type. Ceilings are the best that any "
    "deterministic model can reach that sees only that."
)
_CEILINGS = {"text": "ceiling, text only", "picture": "ceiling, picture", "unbound": "ceiling, no binding"}


def report_table(trials: Mapping[str, Trial], twin: Trial, ceilings: Mapping[str, Ceiling]) -> ReportTable:
    """All figures: a row for each kind of pictures, the twin, and the ceilings."""
    languages = tuple(sorted(twin.languages))
    types = tuple(sorted(twin.scores.types))
    rows = [_row(f"2M-NER {name}", trial, "ours" if name == TRUE else "plain") for name, trial in trials.items()]
    rows.append(_row("text-only twin", twin, "plain"))
    gap = (None,) * (len(languages) + len(types))
    for name, ceiling in ceilings.items():
        cells = (ceiling.f1, ceiling.pair_accuracy, *gap)
        rows.append(TableRow(_CEILINGS[name], cells, "reference"))
    columns = ("F1", "pairs", *languages, *types)
    return ReportTable("The test part of the built-in corpus", columns, tuple(rows), "model and pictures", _NOTE)


def _row(name: str, trial: Trial, kind: str) -> TableRow:
    languages = (trial.languages[language].micro.f1 for language in sorted(trial.languages))
    types = (trial.scores.types[type_].f1 for type_ in sorted(trial.scores.types))
    cells = (trial.scores.micro.f1, trial.pairs, *languages, *types)
    return TableRow(name, cells, "ours" if kind == "ours" else "plain")


def rich_table(trials: Mapping[str, Trial], twin: Trial, ceilings: Mapping[str, Ceiling]) -> Table:
    """The same table for a terminal."""
    table = report_table(trials, twin, ceilings)
    made = Table(title=table.title, box=None, header_style="bold", title_style="bold", padding=(0, 1, 0, 0))
    made.add_column(table.corner, no_wrap=True)
    for column in table.columns:
        made.add_column(column, justify="right", no_wrap=True)
    for row in table.rows:
        cells = ["" if cell is None else f"{cell:.1f}" for cell in row.cells]
        made.add_row(row.name, *cells, style={"ours": "bold", "reference": "dim"}.get(row.kind))
    return made


def headline(
    trials: Mapping[str, Trial], twin: Trial, ceilings: Mapping[str, Ceiling], flipped: float
) -> Iterator[Fact]:
    """What the table says, in one line each."""
    true, swapped = trials[TRUE], trials[SWAPPED]
    f1 = true.scores.micro.f1
    yield Fact(
        "F1 with pictures",
        f"{f1:.1f}",
        f"text-only twin {twin.scores.micro.f1:.1f}, by {_signed(f1 - twin.scores.micro.f1)}",
    )
    yield Fact("above the text ceiling", _signed(f1 - ceilings["text"].f1), f"ceiling {ceilings['text'].f1:.1f}")
    yield Fact(
        "above the picture ceiling", _signed(f1 - ceilings["picture"].f1), f"ceiling {ceilings['picture'].f1:.1f}"
    )
    yield Fact("pairs right both times", f"{true.pairs:.1f} %", f"text-only twin {twin.pairs:.1f} %, its ceiling 0")
    yield Fact(
        "with swapped pictures",
        f"{swapped.scores.micro.f1:.1f}",
        f"{flipped:.0f} % of the ambiguous entities that were right take their other type",
    )
    yield Fact("contradicting pictures that flip a clear sentence", f"{true.contradicted:.1f} %", "fewer is better")
    own = [scores.micro.f1 for scores in true.languages.values()]
    yield Fact("between the languages", f"{max(own) - min(own):.1f} points", "best against worst")


def _signed(value: float) -> str:
    return f"{value:+.1f}"
