"""What prediction answers: entities with their places in the text, and what became of the pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from babelens.models.batch import ImageStatus
from babelens.schema import Entity, Example

_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Mention:
    """An entity in a text: `text` stands from `start` up to, but without, `end`, counted in Unicode code points.

    `score` is the exact marginal probability of this span with this type, from 0 to 1.
    """

    start: int
    end: int
    text: str
    type: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        """The mention as it stands in JSON."""
        return {
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "type": self.type,
            "score": round(self.score, _DIGITS),
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """The entities of one row, in the order of the text.

    `image_status` says what became of the row's pictures: "used" (at least one was read by the model), "missing" or
    "unreadable" (there was one, and none could be opened), "none" (no picture took part: none was given, the model
    reads text alone, or the text holds no word to ask about). `images` are the pictures' ids, where they have some.
    `error` is there where the row itself could not be read; it then has no text and no entities.
    """

    text: str
    entities: tuple[Mention, ...] = ()
    image_status: ImageStatus = "none"
    id: str | None = None
    language: str | None = None
    images: tuple[str, ...] = ()
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The answer as one row of JSONL: a row that babelens reads again, or `id` and `error` alone."""
        if self.error is not None:
            return {"id": self.id, "error": self.error}
        row: dict[str, Any] = {
            "id": self.id,
            "text": self.text,
            "entities": [mention.to_dict() for mention in self.entities],
            "image_status": self.image_status,
        }
        if self.images:
            row["image"] = self.images[0] if len(self.images) == 1 else list(self.images)
        if self.language is not None:
            row["language"] = self.language
        return row


def answer_row(example: Example, found: Sequence[tuple[Entity, float]], status: ImageStatus) -> Answer:
    """The answer to a row: its entities over words, with their scores, as mentions in its text.

    The example carries its text and the offsets of its words.
    """
    text, offsets = example.text or "", example.offsets or ()
    mentions: list[Mention] = []
    for entity, score in found:
        start, end = offsets[entity.start][0], offsets[entity.end - 1][1]
        mentions.append(Mention(start, end, text[start:end], entity.type, score))
    return Answer(text, tuple(mentions), status, example.id, example.language, example.images)
