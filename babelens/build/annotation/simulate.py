"""Simulated annotators and inspectors with set error rates, to try the whole path. Never a substitute for people.

All of them have names that begin with "simulated", which is enforced, so that nothing of theirs can pass for work of
people: the name stands in every annotation, in the trail and in what is counted from it.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import msgspec

from babelens.build.annotation.annotations import Annotation
from babelens.build.annotation.assign import Assignment
from babelens.build.annotation.draws import source
from babelens.build.annotation.faults import Faults
from babelens.build.annotation.spans import Span, cut, read_spans, snap
from babelens.data.problems import quote
from babelens.data.words import split_words
from babelens.schema import InputError

MARK = "simulated"


class Errors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a simulated annotator errs, each from 0 to 1.

    `missed`: an entity is left out; of those that are not, `boundary`: it starts or ends one word off (where a
    neighbouring word is free or a word of its own can be dropped), and `type`: it gets another type. `invented`: per
    sentence, one entity more of one or two words that
    belong to none (not of signs alone).
    """

    missed: float = 0.0
    boundary: float = 0.0
    type: float = 0.0
    invented: float = 0.0

    def __post_init__(self) -> None:
        for field in self.__struct_fields__:
            rate = getattr(self, field)
            if not 0 <= rate <= 1:
                raise InputError(f"errors: expected {field} from 0 to 1, found {rate}")


def is_simulated(name: str) -> bool:
    """Whether a name is that of a simulated person."""
    return name.startswith(MARK)


def simulate_annotators(
    rows: Sequence[Mapping[str, Any]],
    assignments: Sequence[Assignment],
    types: Sequence[str],
    errors: Errors | Mapping[str, Errors],
    *,
    seed: int = 0,
) -> list[Annotation]:
    """What simulated annotators make of rows whose entities are taken for the truth.

    What one makes of a row hangs on the seed, its name and the row alone.

    Args:
        rows: with entities; they are moved to word boundaries first, as annotations are.
        assignments: who reads what.
        types: what a type can be mistaken for.
        errors: the rates of all, or of each by name.
        seed: of all errors.

    Raises:
        InputError: a name that does not begin with "simulated", or entities that cannot be read.
    """
    truths = _truths(rows)
    by_id = {row["id"]: row for row in rows}
    annotations: list[Annotation] = []
    orders: dict[str, int] = {}
    for assignment in sorted(assignments, key=lambda assignment: assignment.order):
        row = by_id.get(assignment.id)
        if row is None:
            continue
        for name in assignment.annotators:
            _check_name(name)
            rates = errors if isinstance(errors, Errors) else errors[name]
            chances = source(seed, "annotator", name, assignment.id)
            spans = blur(row["text"], truths[assignment.id], types, rates, chances)
            annotations.append(_annotation(row, name, spans, orders.setdefault(name, 0), assignment.round))
            orders[name] += 1
    return annotations


def simulate_inspectors(
    rows: Sequence[Mapping[str, Any]],
    queue: Sequence[tuple[str, str, Sequence[Span], Sequence[Span]]],
    right: float,
    *,
    seed: int = 0,
) -> list[Annotation]:
    """What simulated inspectors decide: the truth at the rate `right`, else one of the two versions, drawn.

    Args:
        rows: with entities, which are the truth.
        queue: id, inspector and the two versions of each row (see `Merged.queue`).
        right: from 0 to 1.
        seed: of what is drawn.

    Raises:
        InputError: as for `simulate_annotators`.
    """
    if not 0 <= right <= 1:
        raise InputError(f"right: expected 0 to 1, found {right}")
    truths = _truths(rows)
    by_id = {row["id"]: row for row in rows}
    annotations: list[Annotation] = []
    orders: dict[str, int] = {}
    for id_, name, first, second in queue:
        _check_name(name)
        chances = source(seed, "inspector", name, id_)
        spans = truths[id_] if chances.random() < right else chances.choice([tuple(first), tuple(second)])
        annotations.append(_annotation(by_id[id_], name, spans, orders.setdefault(name, 0)))
        orders[name] += 1
    return annotations


def blur(text: str, truth: Sequence[Span], types: Sequence[str], errors: Errors, chances: Random) -> tuple[Span, ...]:
    """The entities of a text with errors drawn at the rates of `errors`; they never overlap."""
    words = split_words(text)
    kept = [span for span in truth if chances.random() >= errors.missed]
    for place, span in enumerate(kept):
        if chances.random() < errors.boundary:
            others = [*truth, *kept[:place]]
            moves = [move for move in _moves(text, span, words) if not _meets(move, others, span)]
            span = chances.choice(moves) if moves else span
        if chances.random() < errors.type:
            others = [type_ for type_ in types if type_ != span.type]
            span = cut(text, span.start, span.end, chances.choice(others)) if others else span
        kept[place] = span
    if chances.random() < errors.invented:
        taken = [*truth, *kept]
        free = [
            cut(text, words[first][0], words[last][1], chances.choice(list(types)))
            for first in range(len(words))
            for last in (first, first + 1)
            if last < len(words)
        ]
        free = [span for span in free if any(map(str.isalnum, span.text)) and not _meets(span, taken)]
        kept += [chances.choice(free)] if free else []
    return tuple(sorted(kept))


def _moves(text: str, span: Span, words: Sequence[tuple[int, int]]) -> list[Span]:
    """The span with one word more or less at either end."""
    first = next(number for number, (_, end) in enumerate(words) if end > span.start)
    last = max(number for number, (start, _) in enumerate(words) if start < span.end)
    bounds = [(first - 1, last), (first + 1, last), (first, last - 1), (first, last + 1)]
    return [
        cut(text, words[start][0], words[end][1], span.type) for start, end in bounds if 0 <= start <= end < len(words)
    ]


def _meets(span: Span, others: Sequence[Span], itself: Span | None = None) -> bool:
    return any(other != itself and span.start < other.end and other.start < span.end for other in others)


def _truths(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Span, ...]]:
    faults = Faults()
    truths: dict[str, tuple[Span, ...]] = {}
    for row in rows:
        spans = read_spans(row, faults, f"row {quote(row['id'])}")
        words = split_words(row["text"])
        moved = (snap(row["text"], span, words) for span in spans)
        truths[row["id"]] = tuple(span for span in moved if span is not None)
    faults.raise_if_any()
    return truths


def _annotation(
    row: Mapping[str, Any], name: str, spans: tuple[Span, ...], order: int, batch: int | None = None
) -> Annotation:
    return Annotation(
        id=row["id"],
        annotator=name,
        text=row["text"],
        entities=spans,
        language=row.get("language"),
        group=row.get("group"),
        round=batch,
        order=order,
    )


def _check_name(name: str) -> None:
    if not is_simulated(name):
        raise InputError(f"simulation: expected names that begin with {MARK!r}, found {quote(name)}")
