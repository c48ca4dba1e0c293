"""What an experiment found, as one small JSON file: its cells, their runs, what was tested, what was not and why."""

import json
import os
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import msgspec

from babelens.schema import InputError


class Leaks(msgspec.Struct, frozen=True):
    """How many rows of a test part share something with the training part, by what; `rows` counts each row once."""

    rows: int
    kinds: dict[str, int] = {}


class Reading(msgspec.Struct, frozen=True):
    """One reading of a test part by a chosen model; figures in per cent, shaped as `babelens evaluate --json` has them.

    `published` is over all rows, `cleaned` over those that share nothing with the training part (None: no row is
    left). `seqeval` is the micro F1 that seqeval gives to the same answers. `rows` and `digest` are those of the part.
    """

    rows: int
    digest: str
    published: dict[str, Any]
    cleaned: dict[str, Any] | None
    leaks: Leaks
    seqeval: float
    pictures: dict[str, int] = {}


class Run(msgspec.Struct, frozen=True):
    """One trained model of a cell: chosen on validation (`validation_f1` of `epoch`, from 1), then read on test parts.

    `measures` holds what else was measured on validation, by kind (such as "retrieval"). `best_on_test` is the F1 of
    the epoch that is best on each test part: what published code reports, chosen by test data, never ours.
    """

    seed: int
    validation_f1: float
    epoch: int
    epochs: int
    seconds: float
    parameters: int
    readings: dict[str, Reading]
    measures: dict[str, Any] = {}
    best_on_test: dict[str, float] = {}
    history: list[dict[str, Any]] = []
    recipe: dict[str, Any] = {}
    data: dict[str, Any] = {}
    machine: dict[str, Any] = {}
    versions: dict[str, str] = {}
    folder: str = ""


class Cell(msgspec.Struct, frozen=True):
    """A point of the grid: its labels by axis, such as {"data": "All", "system": "2m-ner"}, and one run for each seed.

    `reason` says why there are none, or fewer than asked for.
    """

    labels: dict[str, str]
    runs: list[Run] = []
    reason: str | None = None


class Comparison(msgspec.Struct, frozen=True):
    """Two cells on one test part: the difference of the means of their micro F1 over seeds, in points.

    `low` and `high` bound it at 95 % by a bootstrap over units and seeds; `p` is two-sided, `adjusted` by Holm within
    the `family` that was declared before.
    """

    system: dict[str, str]
    baseline: dict[str, str]
    test: str
    difference: float
    low: float
    high: float
    p: float
    adjusted: float
    family: str
    units: int
    cleaned: bool = False


class Results(msgspec.Struct, frozen=True):
    """An experiment: what was asked, on which data, with which seeds, and all that came of it."""

    experiment: str
    title: str
    command: str
    data: dict[str, Any]
    seeds: list[int]
    cells: list[Cell]
    comparisons: list[Comparison] = []
    measures: dict[str, Any] = {}
    notes: list[str] = []


class Summary(msgspec.Struct, frozen=True):
    """Mean and standard deviation (n - 1; None for a single run) over seeds."""

    mean: float
    deviation: float | None
    count: int


def summarise(values: list[float]) -> Summary | None:
    """Mean and spread of the figures of several runs; None where there are none."""
    if not values:
        return None
    return Summary(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


def figure(reading: Reading, path: str, *, cleaned: bool = False) -> float | None:
    """A figure of a reading by its path, such as "micro.f1" or "types.PER.f1"; None where there is none."""
    place: Any = reading.cleaned if cleaned else reading.published
    for step in path.split("."):
        if not isinstance(place, dict) or step not in place:
            return None
        place = place[step]
    return None if place is None else float(place)


def summary(cell: Cell, test: str, path: str = "micro.f1", *, cleaned: bool = False) -> Summary | None:
    """Mean and spread over the seeds of a cell of one figure on one test part."""
    readings = [run.readings[test] for run in cell.runs if test in run.readings]
    found = [figure(reading, path, cleaned=cleaned) for reading in readings]
    return summarise([value for value in found if value is not None])


def write_results(path: Path, results: Results) -> None:
    """Write results as JSON that people and version control can read, beside their place and renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        plain = msgspec.to_builtins(results)
        beside.write_text(json.dumps(plain, ensure_ascii=False, indent=1) + "\n", encoding="utf-8", newline="\n")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_results(path: Path) -> Results:
    """Read results back.

    Raises:
        InputError: the file is missing or holds something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except OSError as error:
        raise InputError(f"{path}: expected the results of an experiment, found no file: {error}") from error
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: expected the results of an experiment: {error}") from error
