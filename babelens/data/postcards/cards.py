"""What is known of each row of the corpus: `scenes.jsonl`, one row a line."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from babelens.schema import Entity

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Thing:
    """A drawn thing: its type, its box (x0, y0, x1, y1) in pixels, and the entity it stands for (None: distractor).

    `cue` is the side or colour by which the text tells the thing from the others, None where it says nothing of it.
    `position` is "left", "right", "middle" or (the only thing of a picture) "anywhere".
    """

    type: str
    box: Box
    colour: str
    position: str
    entity: int | None
    cue: str | None


@dataclass(frozen=True)
class Card:
    """One row: its text, its gold, and what its picture shows. The picture is `images/<id>.jpg`.

    `group` ties translations together. `pair` is the row with the same text and the other gold. `ambiguous` are the
    numbers of the entities that the text leaves open, `candidates` the types that it leaves open for each entity.
    A `contradicting` picture shows other types than the text tells; the text is right.
    """

    id: str
    language: str
    split: str
    group: str
    pair: str | None
    words: tuple[str, ...]
    entities: tuple[Entity, ...]
    ambiguous: tuple[int, ...]
    contradicting: bool
    candidates: tuple[tuple[str, ...], ...]
    things: tuple[Thing, ...]


def write_cards(path: Path, cards: Iterable[Card]) -> None:
    """Write cards as JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        for card in cards:
            entities = [{"start": entity.start, "end": entity.end, "type": entity.type} for entity in card.entities]
            row = {**vars(card), "entities": entities, "things": [vars(thing) for thing in card.things]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_cards(folder: Path, split: str | None = None) -> list[Card]:
    """Read the cards of a corpus folder, all or those of one part, in the order of its parts and rows."""
    with (folder / "scenes.jsonl").open(encoding="utf-8") as file:
        cards = [_card(json.loads(line)) for line in file]
    return [card for card in cards if split in (None, card.split)]


def _card(row: dict) -> Card:
    return Card(
        id=row["id"],
        language=row["language"],
        split=row["split"],
        group=row["group"],
        pair=row["pair"],
        words=tuple(row["words"]),
        entities=tuple(Entity(**entity) for entity in row["entities"]),
        ambiguous=tuple(row["ambiguous"]),
        contradicting=row["contradicting"],
        candidates=tuple(tuple(types) for types in row["candidates"]),
        things=tuple(Thing(**{**thing, "box": tuple(thing["box"])}) for thing in row["things"]),
    )
