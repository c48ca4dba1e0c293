r"""What people marked, read back from Label Studio's own JSON.

Its CoNLL export is never used: it splits on blanks and loses labels. Places count Unicode code points in its JSON, as
everywhere here. A span over several lines has its text with `\n` written as two characters.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from babelens.build.annotation.annotations import Annotation
from babelens.build.annotation.faults import Faults
from babelens.build.annotation.interface import LABELS, TEXT
from babelens.build.annotation.spans import Span, check_apart, cut, snap
from babelens.build.annotation.versions import read_versions
from babelens.data.problems import fault, listing, quote
from babelens.data.words import split_words

_SHAPE = "Label Studio's JSON: a list of tasks with data and annotations (not JSON-MIN, CSV or CoNLL)"


@dataclass(frozen=True)
class Export:
    """The tasks of one project as exported, and who annotated in it, where that was one person alone.

    `where` names it in messages.
    """

    where: str
    tasks: Sequence[Mapping[str, Any]]
    annotator: str | None = None


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a span that was not taken as it was marked.

    "snapped": moved to the boundaries of words; "repeated": the same entity marked again, left out.
    """

    id: str
    annotator: str
    annotation: int | str | None
    did: Literal["snapped", "repeated"]
    before: Span
    after: Span | None = None


class LeftOut(msgspec.Struct, frozen=True):
    """A version of a row that does not count.

    "skipped" (the annotator passed the task over), "draft" (never submitted) or "superseded" (by a later one of the
    same person).
    """

    id: str
    annotator: str
    annotation: int | str | None
    why: Literal["skipped", "draft", "superseded"]


@dataclass(frozen=True)
class Imported:
    """What was read: annotations in the order of rows and names, changes to spans, and versions that do not count."""

    annotations: list[Annotation]
    changes: list[Change]
    left_out: list[LeftOut]


def read_export(path: Path, annotator: str | None = None) -> Export:
    """Read a file that Label Studio exported as JSON.

    Raises:
        DataError: it is something else.
    """
    try:
        tasks = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        raise fault(path, _SHAPE, "no such file") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise fault(path, _SHAPE, str(error)) from None
    if not isinstance(tasks, list) or not all(
        isinstance(task, dict) and isinstance(task.get("data"), dict) and isinstance(task.get("annotations"), list)
        for task in tasks
    ):
        raise fault(path, _SHAPE, quote(tasks))
    return Export(str(path), tasks, annotator)


def read_annotations(
    exports: Sequence[Export],
    rows: Sequence[Mapping[str, Any]],
    types: Sequence[str],
    *,
    people: Mapping[str, str] | None = None,
) -> Imported:
    """Annotations as they stand in exports, with spans on word boundaries.

    Args:
        exports: of one or more projects.
        rows: what was annotated, by which texts are checked.
        types: the entity types that may occur.
        people: names by what Label Studio calls people: e-mail address or number as a string. Needed where a project
            has several annotators; where given it must agree with an export's own.

    Raises:
        InputError: what is no annotation of Label Studio, unknown rows, people or types, texts that differ, spans out
            of place, blank or overlapping; each with task and annotation, up to twenty.
    """
    faults = Faults()
    by_id = {row["id"]: row for row in rows}
    found: list[tuple[datetime, datetime, Annotation, list[Change], int | str | None]] = []
    left_out: list[LeftOut] = []
    for export in exports:
        for task in export.tasks:
            place = f"{export.where}: task {task.get('id')}"
            data = task["data"]
            row = by_id.get(data["row"]) if isinstance(data.get("row"), str) else None
            if row is None:
                faults.add(place, "the id of a row", quote(data.get("row")))
                continue
            if data.get("text") != row["text"]:
                faults.add(place, f"the text of row {quote(row['id'])}, {quote(row['text'])}", quote(data.get("text")))
                continue
            round_ = data.get("round")
            if not (round_ is None or type(round_) is int):
                faults.add(place, "the number of a round", quote(round_))
                continue
            for version in read_versions(task, faults, place):
                if version.why == "draft":
                    author = _name(version.person, export.annotator, people, Faults(), place)
                    left_out.append(LeftOut(row["id"], author or str(version.person), version.number, "draft"))
                    continue
                spot = f"{place}, annotation {version.number}"
                name = _name(version.person, export.annotator, people, faults, spot)
                if name is None:
                    continue
                if version.why is not None:
                    left_out.append(LeftOut(row["id"], name, version.number, version.why))
                    continue
                spans, changes = _read_regions(version.regions, row, types, name, version.number, faults, spot)
                annotation = Annotation(
                    id=row["id"],
                    annotator=name,
                    text=row["text"],
                    entities=spans,
                    language=row.get("language"),
                    group=row.get("group"),
                    round=round_,
                    seconds=version.seconds,
                )
                found.append((version.updated, version.created, annotation, changes, version.number))
    faults.raise_if_any()

    last: dict[tuple[str, str], tuple[datetime, Annotation, list[Change], int | str | None]] = {}
    for _, created, annotation, changes, number in sorted(found, key=lambda version: version[0]):
        key = (annotation.id, annotation.annotator)
        if key in last:
            left_out.append(LeftOut(*key, last[key][3], "superseded"))
        last[key] = (created, annotation, changes, number)
    return Imported(*_in_order(last, [row["id"] for row in rows]), left_out)


def _in_order(
    last: Mapping[tuple[str, str], tuple[datetime, Annotation, list[Change], int | str | None]], ids: Sequence[str]
) -> tuple[list[Annotation], list[Change]]:
    """Number each annotator's rows in the order of time, and give all in the order of rows and names."""
    orders: dict[tuple[str, str], int] = {}
    counts: dict[str, int] = {}
    for key, _ in sorted(last.items(), key=lambda item: item[1][0]):
        orders[key] = counts.get(key[1], 0)
        counts[key[1]] = orders[key] + 1
    places = {id_: place for place, id_ in enumerate(ids)}
    annotations: list[Annotation] = []
    changes: list[Change] = []
    for key in sorted(last, key=lambda key: (places[key[0]], key[1])):
        annotations.append(msgspec.structs.replace(last[key][1], order=orders[key]))
        changes += last[key][2]
    return annotations, changes


def _name(
    person: object, expected: str | None, people: Mapping[str, str] | None, faults: Faults, where: str
) -> str | None:
    """The name of whoever Label Studio says: a number, an e-mail address, or an object with both."""
    keys = [person.get("email"), person.get("id")] if isinstance(person, Mapping) else [person]
    if people is None:
        if expected is None:
            faults.add(where, "to be told who annotated (one person for the file, or people)", quote(person))
        return expected
    name = next((people[str(key)] for key in keys if key is not None and str(key) in people), None)
    if name is None:
        faults.add(where, f"one of {listing(people)}", quote(person))
    elif expected is not None and name != expected:
        faults.add(where, f"an annotation by {expected}", name)
        return None
    return name


def _read_regions(
    regions: Sequence[Mapping[str, Any]],
    row: Mapping[str, Any],
    types: Sequence[str],
    annotator: str,
    number: int | str | None,
    faults: Faults,
    where: str,
) -> tuple[tuple[Span, ...], list[Change]]:
    text: str = row["text"]
    words = split_words(text)
    spans: list[Span] = []
    changes: list[Change] = []
    for item in regions:
        span = _read_region(item, text, types, faults, where)
        if span is None:
            continue
        snapped = snap(text, span, words)
        if snapped is None:
            faults.add(where, "a span with at least one word", f"{quote(span.text)} {span.start}..{span.end}")
            continue
        if snapped in spans:
            changes.append(Change(row["id"], annotator, number, "repeated", span))
            continue
        if snapped != span:
            changes.append(Change(row["id"], annotator, number, "snapped", span, snapped))
        spans.append(snapped)
    return check_apart(spans, faults, where), changes


def _read_region(item: Mapping[str, Any], text: str, types: Sequence[str], faults: Faults, where: str) -> Span | None:
    if item.get("type") != "labels" or item.get("from_name") != LABELS or item.get("to_name") != TEXT:
        names = {field: item.get(field) for field in ("type", "from_name", "to_name")}
        faults.add(where, f"labels from {LABELS!r} on {TEXT!r}", quote(names))
        return None
    value = item.get("value")
    if not isinstance(value, Mapping):
        faults.add(where, "a value with start, end and labels", quote(value))
        return None
    start, end, labels = value.get("start"), value.get("end"), value.get("labels")
    if not isinstance(labels, list) or len(labels) != 1 or labels[0] not in types:
        faults.add(where, f"one label of {listing(types)}", quote(labels))
        return None
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
        faults.add(where, f"a span within 0..{len(text)}", f"{start!r}..{end!r}")
        return None
    span = cut(text, start, end, labels[0])
    said = value.get("text")
    if said is not None and said not in (span.text, re.sub(r"[\n\r]", r"\\n", span.text)):
        faults.add(where, f"{quote(said)} at {start}..{end} (Unicode code points)", quote(span.text))
        return None
    return span
