"""The files of an annotation, from the assignment to the gold: what the verbs of the command line do.

All but the gold lies in one folder, and every file of it is written whole or not at all:

    assignment.jsonl                        who reads what; rows are only ever added
    tasks/interface.xml, tasks/NAME.json    for Label Studio, a project for each annotator
    annotations.jsonl                       what was read back, and beside it changes.jsonl and left-out.jsonl
    cases.jsonl, waiting.jsonl              both versions of each row, and rows that somebody has not done
    inspection/interface.xml, inspection/NAME.json
    inspections.jsonl                       what the inspectors decided (changes, left out: with inspection- before)
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from babelens.build.annotation.annotations import Annotation
from babelens.build.annotation.assign import Assignment, Person, assign
from babelens.build.annotation.faults import Faults
from babelens.build.annotation.gold import Counts, Gold, provenance, settle
from babelens.build.annotation.interface import Granularity, make_interface
from babelens.build.annotation.labelstudio import Export, Imported, read_annotations
from babelens.build.annotation.lines import read_records, read_rows, write_file, write_json, write_lines
from babelens.build.annotation.merge import Case, Merged, Waiting, inspector_tasks, merge
from babelens.build.annotation.simulate import Errors, simulate_annotators, simulate_inspectors
from babelens.build.annotation.spans import Span, read_spans
from babelens.build.annotation.tasks import Shown, annotator_tasks
from babelens.build.results import Result, Tally
from babelens.build.rows import PROVENANCE, ROWS, digest_of, read_input
from babelens.build.step import Step, Summary, run_whole_step
from babelens.data.problems import listing, quote
from babelens.schema import InputError

ASSIGNMENT, ANNOTATIONS, CASES, WAITING = "assignment.jsonl", "annotations.jsonl", "cases.jsonl", "waiting.jsonl"
INSPECTIONS, TRAIL, COUNTS = "inspections.jsonl", "trail.jsonl", "counts.json"
TASKS, INSPECTION, INTERFACE = "tasks", "inspection", "interface.xml"

Part = Literal["annotations", "inspections"]


def assign_rows(
    source: Path, people: Sequence[Person], work: Path, *, seed: int = 0, batch: int | None = None
) -> tuple[list[Assignment], int]:
    """Assign the rows that are not assigned yet; give all assignments, and how many of them are new."""
    path = work / ASSIGNMENT
    before = read_records(path, Assignment) if path.exists() else []
    assignments = assign(read_rows(source), people, seed=seed, batch=batch, given=before)
    write_lines(path, assignments)
    return assignments, len(assignments) - len(before)


def write_tasks(
    source: Path,
    work: Path,
    types: Sequence[str],
    shown: Shown,
    *,
    round: int | None = None,
    granularity: Granularity = "symbol",
) -> dict[str, int]:
    """Write the tasks of each annotator and the labelling configuration; give the number of tasks by name.

    Raises:
        InputError: rows or their entities cannot be read, or there is no such round.
    """
    rows = read_rows(source)
    labels = _labels(rows)
    assignments = read_records(work / ASSIGNMENT, Assignment)
    rounds = sorted({assignment.round for assignment in assignments if assignment.round is not None})
    if round is not None and round not in rounds:
        raise InputError(f"{work / ASSIGNMENT}: expected one of the rounds {listing(rounds)}, found {round} asked for")
    tasks = annotator_tasks(rows, assignments, lambda row: labels[row["id"]], shown, round=round)
    return _write_tasks(work / TASKS, make_interface(types, granularity=granularity), tasks)


def write_queue(
    source: Path, work: Path, types: Sequence[str], shown: Shown, *, granularity: Granularity = "symbol"
) -> dict[str, int]:
    """Write the tasks of each inspector and their labelling configuration; give the number of tasks by name."""
    tasks = inspector_tasks(read_rows(source), read_records(work / CASES, Case), shown)
    return _write_tasks(work / INSPECTION, make_interface(types, granularity=granularity, note=True), tasks)


def _write_tasks(folder: Path, interface: str, tasks: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, int]:
    write_file(folder / INTERFACE, interface.encode())
    for name, part in tasks.items():
        write_json(folder / f"{name}.json", part)
    return {name: len(part) for name, part in tasks.items()}


def take_exports(
    exports: Sequence[Export],
    source: Path,
    work: Path,
    types: Sequence[str],
    *,
    part: Part = "annotations",
    people: Mapping[str, str] | None = None,
) -> Imported:
    """Read what Label Studio exported, and write the annotations, what was changed in them and what does not count.

    Raises:
        InputError: as for `read_annotations`; or the exports lack tasks whose annotations were taken before.
    """
    read = read_annotations(exports, read_rows(source), types, people=people)
    _check_whole(exports, work / f"{part}.jsonl")
    before = "" if part == "annotations" else "inspection-"
    write_lines(work / f"{part}.jsonl", read.annotations)
    write_lines(work / f"{before}changes.jsonl", read.changes)
    write_lines(work / f"{before}left-out.jsonl", read.left_out)
    return read


def _check_whole(exports: Sequence[Export], path: Path) -> None:
    """Refuse exports that would put annotations out of a work folder only because their file was not named again."""
    if not path.exists():
        return
    # An export without a name has the tasks of several people.
    there = {(export.annotator, task["data"]["row"]) for export in exports for task in export.tasks}
    before = read_records(path, Annotation)
    lost = Counter(old.annotator for old in before if not {(old.annotator, old.id), (None, old.id)} & there)
    if lost:
        found = ", ".join(f"{count:,} of {name}" for name, count in sorted(lost.items()))
        raise InputError(
            f"{path}: expected exports with all tasks that were taken before, found none for {found}; name all exports "
            "in one command, or remove that file"
        )


def merge_versions(source: Path, work: Path, *, rate: float = 0.0, seed: int = 0) -> Merged:
    """Lay the versions side by side, and write the cases and the rows that wait."""
    assignments = read_records(work / ASSIGNMENT, Assignment)
    annotations = read_records(work / ANNOTATIONS, Annotation)
    merged = merge(read_rows(source), assignments, annotations, rate=rate, seed=seed)
    write_lines(work / CASES, merged.cases)
    write_lines(work / WAITING, merged.waiting)
    return merged


def simulate_work(
    source: Path,
    work: Path,
    types: Sequence[str],
    errors: Errors,
    *,
    right: float = 1.0,
    rate: float = 0.0,
    seed: int = 0,
) -> Merged:
    """All of the work done by simulated people, who take the entities of the rows for the truth (see `simulate`)."""
    rows = read_rows(source)
    annotations = simulate_annotators(rows, read_records(work / ASSIGNMENT, Assignment), types, errors, seed=seed)
    write_lines(work / ANNOTATIONS, annotations)
    merged = merge_versions(source, work, rate=rate, seed=seed)
    queue = [(case.id, case.inspector, case.first.entities, case.second.entities) for case in merged.queue]
    write_lines(work / INSPECTIONS, simulate_inspectors(rows, queue, right, seed=seed))
    return merged


def write_gold(source: Path, work: Path, out: Path) -> tuple[Summary, Counts]:
    """Decide the final entities and write them as a step's folder, with the trail of every row and what was counted.

    Rows that wait for somebody are dropped, and `provenance.jsonl` says for whom.

    Raises:
        InputError: as for `settle`; or the folder has the gold of other annotations.
    """
    rows = read_rows(source)
    merged = Merged(read_records(work / CASES, Case), read_records(work / WAITING, Waiting))
    path = work / INSPECTIONS
    inspections = read_records(path, Annotation) if path.exists() else []
    gold = settle(rows, merged, inspections)
    names = [name for name in (CASES, WAITING, INSPECTIONS) if (work / name).exists()]
    step = Step("annotate", {name.removesuffix(".jsonl"): digest_of(work / name) for name in names})
    summary = run_whole_step(step, read_input(source), out, lambda folder: _write_gold(gold, folder))
    return summary, gold.counts


def _write_gold(gold: Gold, folder: Path) -> Mapping[str, Any]:
    tally = Tally()
    final = {row["id"]: row for row in gold.rows}
    said = provenance(gold.trail)
    for line in said:
        tally.add(Result([final[line["id"]]] if line["id"] in final else [], line))
    write_lines(folder / ROWS, gold.rows)
    write_lines(folder / PROVENANCE, said)
    write_lines(folder / TRAIL, gold.trail)
    write_json(folder / COUNTS, gold.counts)
    return tally.plain()


def _labels(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Span, ...]]:
    faults = Faults()
    labels = {row["id"]: read_spans(row, faults, f"row {quote(row['id'])}") for row in rows}
    faults.raise_if_any()
    return labels


def read_people(path: Path) -> list[Person]:
    """Read the people who take part from a file of one JSON object a line (see `Person`).

    Raises:
        DataError: lines are no people.
    """
    return read_records(path, Person)


def task_file(path: Path) -> list[dict[str, Any]]:
    """Read a file of tasks that was written here, to send them to a server."""
    return msgspec.json.decode(path.read_bytes())
