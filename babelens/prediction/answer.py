"""What prediction answers: entities with their places in the text, and what became of the pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from babelens.models.batch import ImageStatus
from babelens.schema import Entity, Example

if TYPE_CHECKING:
    from rich.text import Text

_DIGITS = 6

Change = Literal["same", "type", "borders", "only_here"]
Weights = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another type that the same words might be, and the exact probability of that, from 0 to 1."""

    type: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        """The alternative as it stands in JSON."""
        return {"type": self.type, "score": _rounded(self.score)}


@dataclass(frozen=True, slots=True)
class Doubt:
    """What the words of an entity may be instead, with exact probabilities.

    `alternatives` are the likeliest other types of the same words. `no_entity` is the probability that none of the
    words belongs to an entity, `other_borders` that of all else: that some do, to an entity of other borders. With the
    entity's own score, and those of all other types, they add up to 1.
    """

    alternatives: tuple[Alternative, ...]
    no_entity: float
    other_borders: float

    def to_dict(self) -> dict[str, Any]:
        """The doubt as fields of the entity in JSON."""
        return {
            "alternatives": [alternative.to_dict() for alternative in self.alternatives],
            "no_entity": _rounded(self.no_entity),
            "other_borders": _rounded(self.other_borders),
        }


@dataclass(frozen=True, slots=True)
class ImageEffect:
    """How an entity fares in the other reading: without the picture, if it was found with it; else with it.

    `change` says what the other reading found there: the "same", the same words with another "type", an entity with
    other "borders" that overlaps it, or nothing: the entity is there "only_here". `type` is that of the same words in
    the other reading, None where they are no entity there; `score` the probability there of this entity as it is.
    """

    change: Change
    type: str | None
    score: float

    def to_dict(self) -> dict[str, Any]:
        """The effect as it stands in JSON."""
        return {"change": self.change, "type": self.type, "score": _rounded(self.score)}


@dataclass(frozen=True, slots=True)
class Gaze:
    """Attention on the cells of a grid, row by row from the top, each row from the left; `elsewhere` has no place.

    Weights are means over words and attention heads. They are given as they are: over all pictures that a view saw, the
    weights and what went elsewhere add up to 1 (in a fusion by gates, UMGF's, they say how far gates are open instead).
    """

    weights: Weights
    elsewhere: float

    def to_dict(self) -> dict[str, Any]:
        """The gaze as fields in JSON."""
        return {
            "weights": [[_rounded(weight) for weight in row] for row in self.weights],
            "elsewhere": _rounded(self.elsewhere),
        }


@dataclass(frozen=True, slots=True)
class Regions:
    """The grid through which a view saw one picture, and where all words of the text looked on average.

    `image` counts, from 0, the pictures of the row that could be opened. `size` is (width, height) of that picture,
    upright. The grid divides `box` evenly: left, top, right, bottom in pixels of the upright picture. Pictures are
    resized and cut before they are read, so the box may leave parts out; where they are padded it reaches beyond the
    picture, and where they were mirrored its left edge lies right of its right one.
    """

    view: str
    image: int
    size: tuple[int, int]
    box: tuple[float, float, float, float]
    gaze: Gaze

    def to_dict(self) -> dict[str, Any]:
        """The regions as they stand in JSON."""
        box = [round(edge, 3) for edge in self.box]
        return {"view": self.view, "image": self.image, "size": list(self.size), "box": box, **self.gaze.to_dict()}


@dataclass(frozen=True, slots=True)
class Mention:
    """An entity in a text: `text` stands from `start` up to, but without, `end`, counted in Unicode code points.

    `score` is the exact marginal probability of this span with this type, from 0 to 1. The rest is there where it was
    asked for (see `Ask`); `regions` has a gaze for each of the answer's `regions`, in their order.
    """

    start: int
    end: int
    text: str
    type: str
    score: float
    doubt: Doubt | None = None
    image_effect: ImageEffect | None = None
    regions: tuple[Gaze, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The mention as it stands in JSON."""
        plain: dict[str, Any] = {
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "type": self.type,
            "score": _rounded(self.score),
        }
        if self.doubt is not None:
            plain.update(self.doubt.to_dict())
        if self.image_effect is not None:
            plain["image_effect"] = self.image_effect.to_dict()
        if self.regions:
            plain["regions"] = [gaze.to_dict() for gaze in self.regions]
        return plain


@dataclass(frozen=True, slots=True)
class Answer:
    """The entities of one row, in the order of the text.

    `image_status` says what became of the row's pictures: "used" (at least one was read by the model), "missing" or
    "unreadable" (there was one, and none could be opened), "none" (no picture took part: none was given, the model
    reads text alone, or the text holds no word to ask about). `images` are the pictures' ids, where they have some.
    `error` is there where the row itself could not be read; it then has no text and no entities.

    Where it was asked for (see `Ask`): `without_image` are the entities that are found when the picture is taken away
    (None where no picture was used), `regions` the grids of the views, and `model` the digest of the model.
    """

    text: str
    entities: tuple[Mention, ...] = ()
    image_status: ImageStatus = "none"
    id: str | None = None
    language: str | None = None
    images: tuple[str, ...] = ()
    error: str | None = None
    without_image: tuple[Mention, ...] | None = None
    regions: tuple[Regions, ...] = ()
    model: str | None = None

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
        if self.without_image is not None:
            row["without_image"] = [mention.to_dict() for mention in self.without_image]
        if self.regions:
            row["regions"] = [regions.to_dict() for regions in self.regions]
        if self.model is not None:
            row["model"] = self.model
        return row

    def html(self) -> str:
        """The text with its entities in colour, as a piece of HTML that needs nothing else (see `rendering`)."""
        from babelens.prediction.rendering import to_html

        return to_html(self)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.html()

    def __rich__(self) -> "Text":
        """What `rich.print` shows."""
        from babelens.prediction.rendering import to_text

        return to_text(self)


def answer_row(example: Example, found: Sequence[tuple[Entity, float]], status: ImageStatus) -> Answer:
    """The answer to a row: its entities over words, with their scores, as mentions in its text.

    The example carries its text and the offsets of its words.
    """
    mentions = tuple(Mention(*place(example, entity), entity.type, score) for entity, score in found)
    return Answer(example.text or "", mentions, status, example.id, example.language, example.images)


def place(example: Example, entity: Entity) -> tuple[int, int, str]:
    """Where an entity of a row starts and ends in its text, and what stands there."""
    offsets: Sequence[tuple[int, int]] = example.offsets or ()
    start, end = offsets[entity.start][0], offsets[entity.end - 1][1]
    return start, end, (example.text or "")[start:end]


def _rounded(share: float) -> float:
    return round(share, _DIGITS)
