"""The columns of a table: which figure of a run each holds, how it is headed, and how it is printed."""

from statistics import fmean
from typing import Any

from babelens.experiments.results import Cell, Reading, Run, Summary, figure, summarise
from babelens.schema import InputError

HEADLINE = "micro.f1"
LANGUAGES = "languages macro"
BEST_ON_TEST = "best on test"

_RATES = {"precision": "P", "recall": "R", "f1": "F1", "support": "entities"}
_WHOLES = {"micro": "", "macro": "macro ", "boundaries": "spans "}
_GROUPS = ("types", "languages", "sources", "images")
_OF_RUN = {
    "validation": "validation F1",
    "epoch": "epoch",
    "seconds": "seconds",
    "parameters": "million parameters",
}
_OF_READING = {LANGUAGES: "lang. mean", "seqeval": "seqeval F1", BEST_ON_TEST: "best epoch on test (chosen by test)"}


def check(column: str) -> None:
    """See that a column has a name that can be read.

    Raises:
        InputError: it has not.
    """
    steps = column.split(".")
    whole, rate = steps[0], steps[-1]
    known = (
        column in _OF_RUN
        or column in _OF_READING
        or (whole in _WHOLES and len(steps) == 2 and rate in _RATES)
        or (whole in _GROUPS and len(steps) >= 3 and rate in _RATES)
        or (whole == "measures" and len(steps) >= 2)
    )
    if not known:
        named = ", ".join((*_OF_RUN, *_OF_READING))
        raise InputError(
            f"columns: expected a path such as micro.f1, types.PER.recall or measures.retrieval, or one of {named}; "
            f"found {column!r}"
        )


def of_run(column: str) -> bool:
    """Whether a column is a fact of the run, whatever part it is read on."""
    return column in _OF_RUN or column.startswith("measures.")


def ranked(column: str) -> bool:
    """Whether more is better, so that there is a best."""
    return column not in ("epoch", "seconds", "parameters") and not column.endswith(".support")


def heading(column: str) -> str:
    """What stands above a column: as short as the tables of papers have it."""
    if named := _OF_RUN.get(column) or _OF_READING.get(column):
        return named
    whole, *middle, rate = column.split(".")
    if whole == "measures":
        return " ".join((*middle, rate))
    short = _RATES[rate]
    if whole in _WHOLES:
        return f"{_WHOLES[whole]}{short}"
    name = ".".join(middle)
    return name if rate == "f1" else f"{name} {short}"


def printed(column: str, value: float) -> str:
    """A figure as it is printed: rates with two digits."""
    if column in ("seconds", "support") or column.endswith(".support"):
        return f"{value:,.0f}"
    return f"{value:.1f}" if column == "epoch" else f"{value:.2f}"


def read(run: Run, test: str, column: str, *, cleaned: bool = False) -> float | None:
    """The figure of one run: rates in per cent; None where it has none.

    A path leads into the reading of the part called `test`, cleaned of rows that share something with training if
    asked for. "languages macro" is the unweighted mean of the F1 of each language, where there are several. "best on
    test" is the F1 of the epoch that is best on test. "validation", "epoch", "seconds", "parameters" (millions) and
    paths into "measures" are facts of the run.
    """
    if of_run(column):
        return None if cleaned else _of_run(run, column)
    if column == BEST_ON_TEST:
        return None if cleaned else run.best_on_test.get(test)
    reading = run.readings.get(test)
    if reading is None:
        return None
    if column == "seqeval":
        return None if cleaned else reading.seqeval
    return _languages_macro(reading, cleaned) if column == LANGUAGES else figure(reading, column, cleaned=cleaned)


def summary(cell: Cell, test: str, column: str, *, cleaned: bool = False) -> Summary | None:
    """Mean and spread of a figure over the seeds of a cell."""
    values = (read(run, test, column, cleaned=cleaned) for run in cell.runs)
    return summarise([value for value in values if value is not None])


def _of_run(run: Run, column: str) -> float | None:
    if column == "validation":
        return run.validation_f1
    if column == "parameters":
        return run.parameters / 1e6
    if not column.startswith("measures."):
        return float(getattr(run, column))
    place: Any = run.measures
    for step in column.split(".")[1:]:
        place = place.get(step) if isinstance(place, dict) else None
    return float(place) if isinstance(place, int | float) else None


def _languages_macro(reading: Reading, cleaned: bool) -> float | None:
    figures = reading.cleaned if cleaned else reading.published
    languages = (figures or {}).get("languages", {})
    return fmean(rates["f1"] for rates in languages.values()) if len(languages) > 1 else None
