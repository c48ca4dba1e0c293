"""Two versions of each row laid side by side: what agrees passes, what does not waits for the inspector."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from babelens.build.annotation.annotations import Annotation
from babelens.build.annotation.assign import Assignment
from babelens.build.annotation.compare import Disagreement, compare
from babelens.build.annotation.draws import draw
from babelens.build.annotation.faults import Faults
from babelens.build.annotation.tasks import Shown, make_task
from babelens.data.problems import listing, quote
from babelens.schema import InputError


class Case(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row that both annotators have done.

    `first` and `second` are the annotations in the order of the assignment. `inspect` says why the inspector gets the
    row: its versions disagree, or they agree and it was drawn for a sample; None where it passed.
    """

    id: str
    inspector: str
    order: int
    first: Annotation
    second: Annotation
    disagreements: tuple[Disagreement, ...]
    inspect: Literal["disagreement", "sample"] | None = None


class Waiting(msgspec.Struct, frozen=True):
    """A row that is not done: who has not annotated it yet."""

    id: str
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Merged:
    """All rows that are assigned, in the order of work: those that both have done, and those that wait."""

    cases: list[Case]
    waiting: list[Waiting]

    @property
    def queue(self) -> list[Case]:
        """What the inspectors are to look at."""
        return [case for case in self.cases if case.inspect]


def merge(
    rows: Sequence[Mapping[str, Any]],
    assignments: Sequence[Assignment],
    annotations: Sequence[Annotation],
    *,
    rate: float = 0.0,
    seed: int = 0,
) -> Merged:
    """Lay the two versions of each row side by side.

    Args:
        rows: what was annotated.
        assignments: by whom.
        annotations: what they marked.
        rate: the share of rows on which both agree that goes to the inspector all the same, 0 to 1. What is drawn for
            one row hangs on the seed and its id alone.
        seed: of the sample.

    Raises:
        InputError: an annotation of a row that is not there or by someone it was not assigned to, two by one person, or
            of another text.
    """
    if not 0 <= rate <= 1:
        raise InputError(f"rate: expected 0 to 1, found {rate}")
    found = _by_row(rows, assignments, annotations)
    merged = Merged([], [])
    for assignment in sorted(assignments, key=lambda assignment: assignment.order):
        versions = [found.get((assignment.id, name)) for name in assignment.annotators]
        first, second = versions
        if first is None or second is None:
            missing = (name for name, version in zip(assignment.annotators, versions, strict=True) if version is None)
            merged.waiting.append(Waiting(assignment.id, tuple(missing)))
            continue
        disagreements = tuple(compare(first.entities, second.entities))
        sampled = draw(seed, "sample", assignment.id) < rate
        merged.cases.append(
            Case(
                id=assignment.id,
                inspector=assignment.inspector,
                order=assignment.order,
                first=first,
                second=second,
                disagreements=disagreements,
                inspect="disagreement" if disagreements else "sample" if sampled else None,
            )
        )
    return merged


def _by_row(
    rows: Sequence[Mapping[str, Any]], assignments: Sequence[Assignment], annotations: Sequence[Annotation]
) -> dict[tuple[str, str], Annotation]:
    texts = {row["id"]: row["text"] for row in rows}
    given = {assignment.id: assignment for assignment in assignments}
    faults = Faults()
    for id_ in (id_ for id_ in given if id_ not in texts):
        faults.add("assignment", "rows that are there", quote(id_))
    found: dict[tuple[str, str], Annotation] = {}
    for annotation in annotations:
        where = f"row {quote(annotation.id)}"
        assignment = given.get(annotation.id)
        if assignment is None or annotation.id not in texts:
            faults.add(where, "a row that is assigned", f"an annotation by {annotation.annotator}")
        elif annotation.annotator not in assignment.annotators:
            faults.add(where, f"annotations by {listing(assignment.annotators)}", annotation.annotator)
        elif (annotation.id, annotation.annotator) in found:
            faults.add(where, f"one annotation by {annotation.annotator}", "another")
        elif annotation.text != texts[annotation.id]:
            faults.add(where, f"the text {quote(texts[annotation.id])}", quote(annotation.text))
        else:
            found[annotation.id, annotation.annotator] = annotation
    faults.raise_if_any()
    return found


def inspector_tasks(
    rows: Sequence[Mapping[str, Any]], cases: Sequence[Case], shown: Shown
) -> dict[str, list[dict[str, Any]]]:
    """The queue of each inspector as Label Studio tasks: both versions as predictions A and B, and what they differ in.

    Who is behind A and B is not told: the order of the assignment was drawn. A sampled row has one version, A = B.

    Raises:
        InputError: rows of the queue are not among the rows.
    """
    by_id = {row["id"]: row for row in rows}
    faults = Faults()
    for case in cases:
        if case.inspect is not None and case.id not in by_id:
            faults.add("the queue of the inspectors", "rows that are there", quote(case.id))
    faults.raise_if_any()
    tasks: dict[str, list[dict[str, Any]]] = {}
    for case in cases:
        if case.inspect is None:
            continue
        row = by_id[case.id]
        versions = {"A": case.first.entities, "B": case.second.entities}
        note = f"A and B differ: {count_kinds(case.disagreements)}"
        if case.inspect == "sample":
            versions, note = {"A = B": case.first.entities}, "A and B agree: a sample"
        task = make_task(row, shown(row), versions, order=case.order, note=note)
        tasks.setdefault(case.inspector, []).append(task)
    return tasks


def count_kinds(disagreements: Sequence[Disagreement]) -> str:
    """How many disagreements there are of each kind, in words."""
    counts = Counter(disagreement.kind for disagreement in disagreements)
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())
