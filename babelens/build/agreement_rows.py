"""Annotations from a file: a line for what one person marked in one row, made into rows with all their annotators.

A line is a JSON object: `id` of the row, `annotator`, `entities` (`[{"start", "end", "type", "text"?}]`, offsets in
Unicode code points), `text`, and, where they are known, `language`, `group` (ties rows that are translations or
copies), `order` (a whole number or an ISO time) and `round` (the name of a round of training). Other fields are left
alone. What a line does not say of its row is taken from the row itself, where the rows are at hand.

Words are those of `data.records`, so that agreement is told over the words that models are trained on. An entity that
starts or ends inside a word is widened to the whole word, and counted: two people who differ within a word agree here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from babelens.build.rows import Bad, Row, read_input, unreadable
from babelens.data.problems import DataError, Problems, fault, quote
from babelens.data.records import RecordError, read_record
from babelens.schema import Entity

Order = int | str

_MARK = b"\xef\xbb\xbf"
_OF_ROW = ("text", "tokens", "words", "offsets", "language", "group")
_KINDS = {type(None): "no order", int: "a whole number as order", str: "an ISO time as order"}


@dataclass(frozen=True)
class Marked:
    """What one person marked in one row: entities in words, how many of them were widened, when, and on which line."""

    entities: tuple[Entity, ...]
    widened: int
    order: Order | None
    line: int


@dataclass
class AnnotatedRow:
    """A row and what each person marked in it, by name in the order of the file.

    `said` is what the lines say of the row itself, with the line that said so first: all lines say the same.
    """

    id: str
    words: int
    marked: dict[str, Marked] = field(default_factory=dict)
    said: dict[str, tuple[Any, int]] = field(default_factory=dict)

    def get(self, what: str) -> Any:
        """What is said of the row (`language`, `group`, `round`), or None."""
        return self.said.get(what, (None, 0))[0]


@dataclass(frozen=True)
class Annotations:
    """The rows that anyone has annotated, in the order of the file, and the number of all rows where they are known."""

    rows: list[AnnotatedRow]
    known: int | None = None


def read_annotations(path: Path, rows: Path | None = None) -> Annotations:
    """Read a file of annotations; `rows` is the JSONL file (or the folder of the step) with the rows they belong to.

    Raises:
        DataError: there is no such file; or it has lines that cannot be read, that contradict one another, that
            annotate a row twice by one person or a row that is not among `rows`; all of them in one go.
        OSError: a file cannot be read.
    """
    if not path.is_file():
        raise fault(path, "a JSONL file of annotations", "no such file")
    problems = Problems(path)
    lines = list(_read_lines(path, problems))
    known, total = ({}, None) if rows is None else _read_rows(rows, {str(line.get("id")) for _, line in lines})
    found: dict[str, AnnotatedRow] = {}
    for number, line in lines:
        try:
            _add(found, number, line, None if rows is None else known)
        except RecordError as error:
            problems.add(number, error.expected, error.found)
    _check_orders(found, problems)
    problems.raise_if_any()
    return Annotations(list(found.values()), total)


def time_of(order: Order) -> int | float:
    """An order as a number: a whole number as it is, an ISO time in seconds. A time without a zone is taken as UTC."""
    if isinstance(order, int):
        return order
    moment = datetime.fromisoformat(order)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _read_lines(path: Path, problems: Problems) -> Iterator[tuple[int, Row]]:
    decode = msgspec.json.Decoder().decode
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            line = line.removeprefix(_MARK) if number == 1 else line
            if not line.strip():
                continue
            try:
                found = decode(line)
            except (ValueError, RecursionError) as error:
                problems.add(number, *unreadable(line, error))
                continue
            if isinstance(found, dict):
                yield number, found
            else:
                problems.add(number, "a JSON object", quote(found))


def _read_rows(place: Path, wanted: set[str]) -> tuple[dict[str, Row], int]:
    """The rows of the wanted ids, and the number of all; only the wanted ones are kept."""
    found: dict[str, Row] = {}
    faults = []
    total = 0
    for row in read_input(place).rows():
        total += 1
        if isinstance(row, Bad):
            faults.append(row.problem)
        elif row["id"] in wanted:
            found[row["id"]] = row
    if faults:
        raise DataError(faults)
    return found, total


def _add(found: dict[str, AnnotatedRow], number: int, line: Row, known: Mapping[str, Row] | None) -> None:
    """Add a line to its row.

    Raises:
        RecordError: it cannot be read, or does not go with what is known of the row.
    """
    id_, annotator = _name(line, "id", "the id of a row"), _name(line, "annotator", "the name of an annotator")
    if known is not None and id_ not in known:
        raise RecordError("the id of one of the rows", quote(id_))
    if not isinstance(line.get("entities"), list):
        raise RecordError("a list of entities, [] where there are none", quote(line.get("entities")))
    given = {name: value for name, value in line.items() if value is not None}
    own = {} if known is None else {name: known[id_][name] for name in _OF_ROW if known[id_].get(name) is not None}
    for name in ("text", "language", "group"):
        if name in own and given.get(name, own[name]) != own[name]:
            raise RecordError(f"the {name} of row {id_}, {quote(own[name])}", quote(given[name]))
    read = read_record({**own, **given}, number)
    if read.text is None or read.offsets is None:
        raise RecordError("a text beside the entities", "none")
    row = found.get(id_) or AnnotatedRow(id_, len(read.words))
    if annotator in row.marked:
        first = f"a second one by {annotator} (the first is on line {row.marked[annotator].line})"
        raise RecordError(f"one annotation of row {id_} by each person", first)
    _agree(row, "text", read.text, number)
    _agree(row, "words", [tuple(pair) for pair in read.offsets], number)
    _agree(row, "language", read.language, number)
    _agree(row, "group", read.group, number)
    _agree(row, "round", _round(given.get("round")), number)
    row.marked[annotator] = Marked(tuple(read.entities), read.widened, _order(given.get("order")), number)
    found[id_] = row


def _name(line: Row, field_: str, expected: str) -> str:
    value = line.get(field_)
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise RecordError(expected, quote(value))
    return str(value)


def _order(value: object) -> Order | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        raise RecordError("a whole number or an ISO time as order", quote(value)) from None
    return str(value)


def _round(value: object) -> str | None:
    if value is not None and (not isinstance(value, str | int) or isinstance(value, bool)):
        raise RecordError("a name or a number as round", quote(value))
    return None if value is None else str(value)


def _agree(row: AnnotatedRow, what: str, value: object, number: int) -> None:
    """Note what a line says of its row, which no other may contradict."""
    if value is None:
        return
    before, line = row.said.setdefault(what, (value, number))
    if before != value:
        raise RecordError(f"the {what} that row {row.id} has on line {line}, {quote(before)}", quote(value))


def _check_orders(found: Mapping[str, AnnotatedRow], problems: Problems) -> None:
    """See to it that all annotations have an order of the same kind, or none has one."""
    marked = sorted((own for row in found.values() for own in row.marked.values()), key=lambda own: own.line)
    for own in marked:
        if type(own.order) is not type(marked[0].order):
            expected = f"{_KINDS[type(marked[0].order)]}, as on line {marked[0].line}"
            problems.add(own.line, expected, _KINDS[type(own.order)])
