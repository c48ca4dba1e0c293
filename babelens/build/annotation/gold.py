"""The final entities of each row, and the trail that leads to them: pre-label, A and B, inspector, gold."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from babelens.build.annotation.annotations import Annotation
from babelens.build.annotation.compare import KINDS, Disagreement, Kind
from babelens.build.annotation.faults import Faults
from babelens.build.annotation.merge import Case, Merged
from babelens.build.annotation.simulate import is_simulated
from babelens.build.annotation.spans import Span
from babelens.data.problems import quote


class Version(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one person marked, and the seconds it took where they are known."""

    by: str
    entities: tuple[Span, ...]
    seconds: float | None = None


class Trail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the gold of a row came to be.

    `pre` are the entities that it came with, None where it came without. `how` is "agreed" (both marked the same),
    "inspected" (an inspector decided), "waiting" (`missing` have not done it yet) or "unassigned"; the last two have no
    gold.
    """

    id: str
    pre: tuple[Any, ...] | None
    how: Literal["agreed", "inspected", "waiting", "unassigned"]
    annotations: tuple[Version, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    inspect: Literal["disagreement", "sample"] | None = None
    inspection: Version | None = None
    missing: tuple[str, ...] = ()
    gold: tuple[Span, ...] | None = None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Rows by what became of them.

    `inspected` are rows that an inspector has decided; of these `sampled` had agreed, and in `sampled_changed` the
    inspector saw it otherwise, which tells the error left in rows that agree and were not drawn. `taken` says whose
    version the inspector's is among rows that disagreed. `disagreements` counts entities by kind over all rows that
    both have done. `simulated` is true where any of it was not done by people.
    """

    rows: int
    agreed: int
    inspected: int
    waiting: int
    unassigned: int
    sampled: int
    sampled_changed: int
    disagreed: int
    disagreements: dict[Kind, int]
    taken: dict[Literal["first", "second", "neither"], int]
    simulated: bool


@dataclass(frozen=True)
class Gold:
    """Rows with their final entities, the trail of every row that was read, and counts."""

    rows: list[dict[str, Any]]
    trail: list[Trail]
    counts: Counts


def settle(rows: Sequence[Mapping[str, Any]], merged: Merged, inspections: Sequence[Annotation]) -> Gold:
    """Decide the entities of each row: what both marked, or what the inspector marked.

    A row that waits for an annotator or its inspector, and one that nobody was assigned, is not among the gold rows;
    its trail says why. Gold rows are in the order of `rows`, keep all fields but `doubt`, and have the final entities.

    Raises:
        InputError: rows that were annotated are not there; an inspection of a row that is not in the queue, by another
            person than its inspector, of another text, or a second one.
    """
    _check_rows(rows, merged)
    cases = {case.id: case for case in merged.cases}
    waiting = {row.id: row.missing for row in merged.waiting}
    inspected = _by_row(cases, inspections)
    trail: list[Trail] = []
    gold: list[dict[str, Any]] = []
    for row in rows:
        given = row.get("entities")
        pre = None if given is None else tuple(given)
        case = cases.get(row["id"])
        if case is None:
            missing = waiting.get(row["id"], ())
            how = "waiting" if missing else "unassigned"
            trail.append(Trail(id=row["id"], pre=pre, how=how, missing=missing))
            continue
        trail.append(_decide(case, pre, inspected.get(case.id)))
        entities = trail[-1].gold
        if entities is not None:
            kept = {field: value for field, value in row.items() if field != "doubt"}
            gold.append(kept | {"entities": [msgspec.to_builtins(span) for span in entities]})
    return Gold(gold, trail, _count(trail))


def _check_rows(rows: Sequence[Mapping[str, Any]], merged: Merged) -> None:
    ids = {row["id"] for row in rows}
    faults = Faults()
    for one in (*merged.cases, *merged.waiting):
        if one.id not in ids:
            faults.add("the annotated rows", "rows that are there", quote(one.id))
    faults.raise_if_any()


def _decide(case: Case, pre: tuple[Any, ...] | None, inspection: Annotation | None) -> Trail:
    how, missing, gold = "agreed", (), case.first.entities
    if case.inspect is not None:
        how, missing, gold = "waiting", (case.inspector,), None
        if inspection is not None:
            how, missing, gold = "inspected", (), inspection.entities
    return Trail(
        id=case.id,
        pre=pre,
        how=how,
        annotations=(_version(case.first), _version(case.second)),
        disagreements=case.disagreements,
        inspect=case.inspect,
        inspection=None if inspection is None else _version(inspection),
        missing=missing,
        gold=gold,
    )


def _version(annotation: Annotation) -> Version:
    return Version(annotation.annotator, annotation.entities, annotation.seconds)


def _by_row(cases: Mapping[str, Case], inspections: Sequence[Annotation]) -> dict[str, Annotation]:
    faults = Faults()
    found: dict[str, Annotation] = {}
    for inspection in inspections:
        where = f"row {quote(inspection.id)}"
        case = cases.get(inspection.id)
        if case is None or case.inspect is None:
            faults.add(where, "a row in the queue of the inspectors", f"an inspection by {inspection.annotator}")
        elif inspection.annotator != case.inspector:
            faults.add(where, f"an inspection by {case.inspector}", inspection.annotator)
        elif inspection.text != case.first.text:
            faults.add(where, f"the text {quote(case.first.text)}", quote(inspection.text))
        elif inspection.id in found:
            faults.add(where, "one inspection", "another")
        else:
            found[inspection.id] = inspection
    faults.raise_if_any()
    return found


def _count(trail: Sequence[Trail]) -> Counts:
    how = Counter(row.how for row in trail)
    done = [row for row in trail if row.annotations]
    sampled = [row for row in done if row.how == "inspected" and row.inspect == "sample"]
    kinds = Counter(disagreement.kind for row in done for disagreement in row.disagreements)
    taken = Counter(_taken(row) for row in done if row.how == "inspected" and row.inspect == "disagreement")
    names = {version.by for row in done for version in (*row.annotations, row.inspection) if version is not None}
    return Counts(
        rows=len(trail),
        agreed=how["agreed"],
        inspected=how["inspected"],
        waiting=how["waiting"],
        unassigned=how["unassigned"],
        sampled=len(sampled),
        sampled_changed=sum(row.gold != row.annotations[0].entities for row in sampled),
        disagreed=sum(bool(row.disagreements) for row in done),
        disagreements={kind: kinds[kind] for kind in KINDS},
        taken={whose: taken[whose] for whose in ("first", "second", "neither")},
        simulated=any(map(is_simulated, names)),
    )


def _taken(row: Trail) -> Literal["first", "second", "neither"]:
    first, second = (version.entities for version in row.annotations)
    return "first" if row.gold == first else "second" if row.gold == second else "neither"


def provenance(trail: Sequence[Trail]) -> list[dict[str, Any]]:
    """What the step did to each row that it read: kept, changed its entities, or dropped it for now and why."""
    lines: list[dict[str, Any]] = []
    for row in trail:
        if row.gold is None:
            missing = {"missing": list(row.missing)} if row.missing else {}
            lines.append({"id": row.id, "did": "dropped", "why": row.how} | missing)
        else:
            before = sorted((entity["start"], entity["end"], entity["type"]) for entity in row.pre or ())
            same = before == [(span.start, span.end, span.type) for span in row.gold]
            lines.append({"id": row.id, "did": "kept" if same else "changed", "why": row.how})
    return lines
