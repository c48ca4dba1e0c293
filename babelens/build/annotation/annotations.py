"""What one person made of one row."""

import msgspec

from babelens.build.annotation.spans import Span


class Annotation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The entities that an annotator marked in a text.

    `order` is the place of the row among all those of this annotator in the order of time, counted from 0; `seconds` is
    the time that was spent on it, where it is known. `round` is that of the assignment.
    """

    id: str
    annotator: str
    text: str
    entities: tuple[Span, ...]
    language: str | None = None
    group: str | None = None
    round: int | None = None
    order: int | None = None
    seconds: float | None = None
