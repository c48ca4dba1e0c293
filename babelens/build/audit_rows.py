"""What an audit is about: the sentences drawn, their entities, and what a person has said of them."""

from dataclasses import dataclass
from typing import Any

import msgspec


class AuditedEntity(msgspec.Struct, frozen=True):
    """An entity of a sentence; places count Unicode code points."""

    start: int
    end: int
    text: str
    type: str


class AuditedRow(msgspec.Struct, frozen=True):
    """A sentence of the sample, its number in it (from 1), and its entities in the order of the text."""

    number: int
    id: str
    text: str
    language: str | None
    images: tuple[str, ...]
    entities: tuple[AuditedEntity, ...]

    @property
    def name(self) -> str:
        """What the sentence goes by in the sheet: unlike an id, nothing that a spreadsheet would read as a number."""
        return f"s{self.number}"

    def key(self, place: int) -> str:
        """What the entity at a place of the sentence goes by in the sheet."""
        return f"{self.name}-e{place + 1}"


class Sample(msgspec.Struct, frozen=True):
    """A sample with how it was drawn: from what (`source`, with a digest), from how many rows, by which seed.

    `name` has a digest of the rows in it, so that a sheet is never read with another sample.
    """

    name: str
    source: dict[str, Any]
    population: int
    seed: int
    by_language: bool
    rows: tuple[AuditedRow, ...]


@dataclass(frozen=True)
class Marking:
    """What a person has said of one sentence: which entities are right, with a remark each, and how many are missed.

    `missed` is None where they were not counted.
    """

    right: tuple[bool, ...]
    remarks: tuple[str, ...]
    missed: int | None
