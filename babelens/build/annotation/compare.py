"""Where two versions of one row differ, and how."""

from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from babelens.build.annotation.spans import Span

Kind = Literal["missed", "boundary", "type", "both"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Disagreement(msgspec.Struct, frozen=True):
    """One entity about which two versions differ, as each of them has it; None where it has none there.

    "type": the same place, another type; "boundary": the same type at places that overlap; "both": another type at
    places that overlap; "missed": only one version has an entity there.
    """

    kind: Kind
    first: Span | None
    second: Span | None


def compare(first: Sequence[Span], second: Sequence[Span]) -> list[Disagreement]:
    """What two versions disagree about, in the order of the text. Neither has entities that overlap one another.

    Entities that both have are set aside. Of the others, those with the most characters in common belong together (of
    equal ones the first in the text), each to one; what is left was missed by the other version.
    """
    ones = sorted(set(first) - set(second))
    others = sorted(set(second) - set(first))
    near = sorted(
        (-shared, one, other)
        for one in ones
        for other in others
        if (shared := min(one.end, other.end) - max(one.start, other.start)) > 0
    )
    found: list[Disagreement] = []
    for _, one, other in near:
        if one in ones and other in others:
            ones.remove(one)
            others.remove(other)
            found.append(Disagreement(_kind(one, other), one, other))
    found += [Disagreement("missed", one, None) for one in ones]
    found += [Disagreement("missed", None, other) for other in others]
    return sorted(found, key=_place)


def _kind(one: Span, other: Span) -> Kind:
    if (one.start, one.end) == (other.start, other.end):
        return "type"
    return "boundary" if one.type == other.type else "both"


def _place(disagreement: Disagreement) -> tuple[int, int]:
    return min((span.start, span.end) for span in (disagreement.first, disagreement.second) if span is not None)
