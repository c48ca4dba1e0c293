"""How far the annotators of a data set agree: all rows, by type, by language, by pair of people, and over time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from babelens.build.agreement_rows import AnnotatedRow, Annotations, Marked, Order, time_of
from babelens.data.journal import write_whole
from babelens.scoring.agreement import (
    DRAWS,
    Agreement,
    agreement,
    agreement_by_group,
    agreement_by_pair,
    agreement_by_type,
    batches,
)
from babelens.scoring.agreement_counts import Annotated
from babelens.scoring.scores import UNNAMED

REPORT, PAGE = "agreement.json", "agreement.md"
NO_ROUND = "no round"
"""The name under which rows without a round stand, where others have one."""

BATCHES, BATCH_ROWS = 8, 25
"""Batches of rows over time: at most so many, of at least so many rows, where none are asked for."""


@dataclass(frozen=True)
class Person:
    """One annotator: rows read, those among them that another has read too, entities marked, entities widened."""

    name: str
    rows: int
    shared: int
    entities: int
    widened: int


@dataclass(frozen=True)
class Pair:
    """Two annotators who have read rows in common."""

    one: str
    other: str
    rows: int
    figures: Agreement


@dataclass(frozen=True)
class Part:
    """Rows of one language or of one batch. `first` and `last` are the orders of a batch, where there are any."""

    name: str
    rows: int
    figures: Agreement
    first: Order | None = None
    last: Order | None = None


@dataclass(frozen=True)
class Report:
    """Agreement with all that it rests on.

    `readers` counts rows by their number of annotators. Figures rest on the `shared` rows, those of at least two, in
    `units` groups that are not independent of one another. `unread` rows have no annotator (None where the rows are
    not known). `batched_by` says what put rows into batches: "round", "order", or "line" (the order of the file).
    """

    rows: int
    annotations: int
    shared: int
    units: int
    unread: int | None
    readers: dict[int, int]
    widened: int
    entities: dict[str, int]
    people: list[Person]
    draws: int
    seed: int
    batched_by: str
    overall: Agreement
    types: dict[str, Agreement]
    languages: list[Part]
    pairs: list[Pair]
    batches: list[Part]


def measure_agreement(
    annotations: Annotations, *, number: int | None = None, draws: int = DRAWS, seed: int = 0
) -> Report:
    """Measure agreement; `number` is that of the batches over time, where no rounds are named.

    A row takes its place in time when the last of its annotators has done it: by `order`, or, where there is none, by
    its line in the file. Without a `number` there are at most 8 batches, of at least 25 rows.
    """
    every = annotations.rows
    shared = [row for row in every if len(row.marked) > 1]
    rows = _plain(shared)
    widened = [own.widened for row in every for own in row.marked.values()]
    labels = [row.get("language") or UNNAMED for row in shared]
    sizes = Counter(labels)
    by_language = agreement_by_group(rows, labels, draws=draws, seed=seed)
    batched_by, by_time = _batch(shared, rows, number, draws, seed)
    return Report(
        rows=len(every),
        annotations=len(widened),
        shared=len(shared),
        units=len({row.unit for row in rows}),
        unread=None if annotations.known is None else annotations.known - len(every),
        readers=dict(sorted(Counter(len(row.marked) for row in every).items())),
        widened=sum(widened),
        entities=dict(
            sorted(Counter(one.type for row in every for own in row.marked.values() for one in own.entities).items())
        ),
        people=_people(every),
        draws=draws,
        seed=seed,
        batched_by=batched_by,
        overall=agreement(rows, draws=draws, seed=seed),
        types=agreement_by_type(rows, draws=draws, seed=seed),
        languages=[Part(name, sizes[name], by_language[name]) for name in sorted(by_language)],
        pairs=[
            Pair(one, other, sum(one in row.marked and other in row.marked for row in shared), figures)
            for (one, other), figures in agreement_by_pair(rows, draws=draws, seed=seed).items()
        ],
        batches=by_time,
    )


def write_agreement(report: Report, out: Path) -> list[Path]:
    """Write `agreement.json` and `agreement.md` into a folder, which is made; give their paths.

    Raises:
        OSError: a file cannot be written.
    """
    from babelens.build.agreement_tables import as_markdown

    out.mkdir(parents=True, exist_ok=True)
    contents = {
        REPORT: msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n",
        PAGE: as_markdown(report).encode("utf-8", "replace"),
    }
    for name, content in contents.items():
        write_whole(out / name, content)
    return [out / name for name in contents]


def read_agreement(path: Path) -> Report:
    """Read a report back from its JSON file.

    Raises:
        msgspec.MsgspecError: it is no such file.
        OSError: it cannot be read.
    """
    return msgspec.json.decode(path.read_bytes(), type=Report)


def _plain(rows: Sequence[AnnotatedRow]) -> list[Annotated]:
    """The rows as they are measured; those of one group are one unit."""
    units: dict[tuple[str, str], int] = {}
    found = []
    for row in rows:
        key = ("row", row.id) if row.get("group") is None else ("group", row.get("group"))
        entities = {name: own.entities for name, own in row.marked.items()}
        found.append(Annotated(row.words, entities, units.setdefault(key, len(units))))
    return found


def _people(rows: Sequence[AnnotatedRow]) -> list[Person]:
    found = []
    for name in sorted({name for row in rows for name in row.marked}):
        own = [row for row in rows if name in row.marked]
        found.append(
            Person(
                name,
                len(own),
                sum(len(row.marked) > 1 for row in own),
                sum(len(row.marked[name].entities) for row in own),
                sum(row.marked[name].widened for row in own),
            )
        )
    return found


def _batch(
    shared: Sequence[AnnotatedRow], rows: Sequence[Annotated], number: int | None, draws: int, seed: int
) -> tuple[str, list[Part]]:
    """What rows were put into batches by, and the batches in their order."""
    last = [max(row.marked.values(), key=_place) for row in shared]
    order = sorted(range(len(shared)), key=lambda row: _place(last[row]))
    if any(row.get("round") for row in shared):
        batched_by, labels = "round", [row.get("round") or NO_ROUND for row in shared]
    else:
        batched_by = "line" if any(own.order is None for own in last) else "order"
        wanted = max(1, min(BATCHES, len(shared) // BATCH_ROWS)) if number is None else number
        labels = [str(batch + 1) for batch in batches([_place(own) for own in last], wanted)]
    figures = agreement_by_group([rows[row] for row in order], [labels[row] for row in order], draws=draws, seed=seed)
    found = []
    for name, own in figures.items():
        members = [last[row].order for row in order if labels[row] == name]
        found.append(Part(name, len(members), own, members[0], members[-1]))
    return batched_by, found


def _place(marked: Marked) -> int | float:
    return marked.line if marked.order is None else time_of(marked.order)
