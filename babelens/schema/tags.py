"""Tag schemes (IOB1, IOB2, BIOES, BILOU) to entity spans and back, and the tag set that models predict.

Every scheme is read by the one rule of conlleval (Tjong Kim Sang and Buchholz, 2000): a chunk starts at a tag that
says so, or at a tag inside a chunk that continues nothing. Where the scheme does not allow what stands there, the place
is reported as a violation and the spans are those that conlleval counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, get_args

from babelens.schema.example import Entity

Scheme = Literal["iob1", "iob2", "bioes", "bilou"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)

_STARTS = {"B", "S", "U"}
_ENDS = {"E", "L", "S", "U"}
_PREFIXES: dict[str, str] = {"iob1": "IB", "iob2": "IB", "bioes": "BIES", "bilou": "BILU"}


class TagError(ValueError):
    """A tag that the scheme does not know. `position` is its place in the sentence, counted from 0."""

    def __init__(self, tag: str, position: int, scheme: Scheme) -> None:
        expected = ", ".join(f"{prefix}-TYPE" for prefix in _PREFIXES[scheme])
        super().__init__(f"expected O or one of {expected} ({scheme}), found {tag!r}")
        self.tag = tag
        self.position = position


class Reading(NamedTuple):
    """What a sequence of tags says: its entities, and the positions where it breaks its scheme."""

    entities: tuple[Entity, ...]
    violations: tuple[int, ...]


def split_tag(tag: str, position: int, scheme: Scheme) -> tuple[str, str]:
    """Take a tag apart into its prefix and its type; "O" has the type "".

    Raises:
        TagError: the tag is neither O nor a prefix of the scheme, a hyphen and a type.
    """
    if tag == "O":
        return "O", ""
    prefix, hyphen, type_ = tag.partition("-")
    if not hyphen or not type_ or prefix not in _PREFIXES[scheme]:
        raise TagError(tag, position, scheme)
    return prefix, type_


def read_tags(tags: Sequence[str], scheme: Scheme = "iob2") -> Reading:
    """Read the entities that a sequence of tags stands for, as conlleval does, and where it breaks its scheme.

    Raises:
        TagError: a tag that the scheme does not know.
    """
    parts = [split_tag(tag, position, scheme) for position, tag in enumerate(tags)]
    entities: list[Entity] = []
    violations: list[int] = []
    start = -1
    before, before_type = "O", ""
    for position, (prefix, type_) in enumerate([*parts, ("O", "")]):
        continues = before != "O" and before not in _ENDS and type_ == before_type
        if start >= 0 and (prefix == "O" or prefix in _STARTS or not continues):
            entities.append(Entity(start, position, before_type))
            start = -1
        if prefix != "O" and start < 0:
            start = position
        # What the end of a sentence breaks off is its last tag's fault, and is counted once.
        place = min(position, len(parts) - 1)
        if _breaks(scheme, before, before_type, prefix, type_) and place not in violations[-1:]:
            violations.append(place)
        before, before_type = prefix, type_
    return Reading(tuple(entities), tuple(violations))


def _breaks(scheme: Scheme, before: str, before_type: str, prefix: str, type_: str) -> bool:
    """Whether a tag may not follow the one before it (an "O" before the first and after the last)."""
    joins = before != "O" and before not in _ENDS and before_type == type_
    if scheme == "iob1":
        return prefix == "B" and not (before != "O" and before_type == type_)
    if scheme == "iob2":
        return prefix == "I" and not joins
    inside = prefix in "IEL"
    unfinished = before in "BI"
    return inside != unfinished or (inside and not joins)


def write_tags(entities: Iterable[Entity], length: int, scheme: Scheme = "iob2") -> list[str]:
    """Write entities as the tags of a sentence of `length` words.

    Raises:
        ValueError: an entity lies outside the sentence or overlaps another.
    """
    tags = ["O"] * length
    end_before, type_before = -1, ""
    for entity in sorted(entities):
        start, end = entity.start, entity.end
        if not 0 <= start < end <= length:
            raise ValueError(f"expected an entity within 0..{length} words, found {start}..{end} {entity.type}")
        if start < end_before:
            raise ValueError(f"expected entities that do not overlap, found two over word {start}")
        prefixes = ["I"] * (end - start)
        if scheme == "iob2" or (scheme == "iob1" and start == end_before and entity.type == type_before):
            prefixes[0] = "B"
        elif scheme in ("bioes", "bilou"):
            last, single = ("E", "S") if scheme == "bioes" else ("L", "U")
            prefixes[0], prefixes[-1] = "B", last
            if len(prefixes) == 1:
                prefixes = [single]
        tags[start:end] = [f"{prefix}-{entity.type}" for prefix in prefixes]
        end_before, type_before = end, entity.type
    return tags


@dataclass(frozen=True)
class TagSet:
    """The tags that a model gives to words: O, then B- and I- of each type (IOB2), in the order of `types`.

    Tag 0 is O, tag 1 + 2k is B- and tag 2 + 2k is I- of type number k.
    """

    types: tuple[str, ...]

    def __len__(self) -> int:
        """The number of tags, 1 + 2 x types."""
        return 1 + 2 * len(self.types)

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """All tags in order."""
        return ("O", *(f"{prefix}-{type_}" for type_ in self.types for prefix in "BI"))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {type_: number for number, type_ in enumerate(self.types)}

    def encode(self, entities: Iterable[Entity], length: int) -> list[int]:
        """The tag numbers of a sentence of `length` words.

        Raises:
            KeyError: an entity of a type that the set does not hold.
        """
        numbers = [0] * length
        for entity in entities:
            begin = 1 + 2 * self._numbers[entity.type]
            numbers[entity.start] = begin
            for position in range(entity.start + 1, entity.end):
                numbers[position] = begin + 1
        return numbers

    def decode(self, numbers: Iterable[int]) -> tuple[Entity, ...]:
        """The entities that tag numbers stand for, read as conlleval does."""
        return read_tags([self.tags[number] for number in numbers]).entities

    def start_allowed(self) -> list[bool]:
        """Whether a sentence may start with each tag."""
        return [not tag.startswith("I-") for tag in self.tags]

    def transition_allowed(self) -> list[list[bool]]:
        """Whether a tag (row) may be followed by another (column): I- only follows B- or I- of its own type."""
        return [
            [not after.startswith("I-") or (before != "O" and before[2:] == after[2:]) for after in self.tags]
            for before in self.tags
        ]
