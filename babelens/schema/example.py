"""One row of a corpus, and the entities in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Entity:
    """A named entity: the words from `start` up to, but without, `end` (counted from 0), and its type."""

    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class Box:
    """An object in a picture: a rectangle in pixels of the upright picture, with a name and a score if they are known.

    `group` tells boxes of one origin from those of another (a visual grounding, a detector).
    """

    left: float
    top: float
    right: float
    bottom: float
    label: str | None = None
    score: float | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A sentence split into words, its entities, and the pictures that came with it.

    `images` are picture ids in order. `offsets` are the (start, end) places of the words in `text`, in Unicode code
    points, where the raw text is known. `group` ties rows together that are translations or copies of one another.
    """

    id: str
    words: tuple[str, ...]
    entities: tuple[Entity, ...] = ()
    images: tuple[str, ...] = ()
    text: str | None = None
    offsets: tuple[tuple[int, int], ...] | None = None
    language: str | None = None
    source: str | None = None
    group: str | None = None
