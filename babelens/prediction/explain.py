"""From rows and their batch to answers: entities, scores, and whatever else was asked for."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from babelens.models.batch import Batch, ImageStatus, Row
from babelens.models.tagger import Reading, Tagger
from babelens.prediction.answer import Alternative, Answer, Change, Doubt, ImageEffect, Mention, place
from babelens.prediction.ask import Ask
from babelens.prediction.gazes import Sight, see
from babelens.schema import Entity

Scored = tuple[Entity, float]


def answer_batch(tagger: Tagger, rows: Sequence[Row], made: Batch, ask: Ask, model: str | None = None) -> list[Answer]:
    """The answers to rows that have words, of the batch that was made of them; `model` is the digest they carry.

    It is read once, and once more without pictures where it is asked what those change: from its first row with a
    picture to its last, so rows with pictures had better stand together.
    """
    made = made.to(tagger.device)
    reading = tagger.read(made, attention=ask.regions)
    found = find(tagger, reading, ask)
    doubts = _doubts(tagger, reading, found, ask.alternatives) if ask.alternatives else None
    sights = see(tagger, rows, made, reading.attention) if ask.regions else None
    answers: list[Answer] = []
    for number, (row, own, status) in enumerate(zip(rows, found, made.status, strict=True)):
        own_doubts = None if doubts is None else doubts[number]
        sight = None if sights is None else sights[number]
        answers.append(_answer(row, own, status, own_doubts, sight, model))
    if ask.image_effect:
        _take_pictures_away(tagger, rows, made, reading, found, answers, ask)
    return answers


def find(tagger: Tagger, reading: Reading, ask: Ask) -> list[list[Scored]]:
    """The entities of each row with their scores, without those whose score is too low."""
    rows = tagger.entities(reading)
    return [
        [(entity, score) for entity, score in zip(entities, scores, strict=True) if score >= ask.min_score]
        for entities, scores in zip(rows, _scores(tagger, reading, rows), strict=True)
    ]


def _scores(tagger: Tagger, reading: Reading, spans: Sequence[Sequence[Entity]]) -> list[list[float]]:
    return tagger.head.span_marginals(reading.emissions, reading.mask, spans, tagger.temperature)


def _answer(
    row: Row,
    found: Sequence[Scored],
    status: ImageStatus,
    doubts: Sequence[Doubt] | None,
    sight: Sight | None,
    model: str | None,
) -> Answer:
    example = row.example
    mentions = tuple(
        Mention(
            *place(example, entity),
            entity.type,
            score,
            doubt=None if doubts is None else doubts[number],
            regions=() if sight is None else sight.gazes(entity),
        )
        for number, (entity, score) in enumerate(found)
    )
    answer = Answer(example.text or "", mentions, status, example.id, example.language, example.images, model=model)
    return answer if sight is None else replace(answer, regions=sight.regions())


def _doubts(tagger: Tagger, reading: Reading, found: Sequence[Sequence[Scored]], most: int) -> list[list[Doubt]]:
    """What the words of each entity may be instead, `most` other types named."""
    types = tagger.tags.types
    entities = [[entity for entity, _ in row] for row in found]
    every = [[Entity(entity.start, entity.end, type_) for entity in row for type_ in types] for row in entities]
    chances = _scores(tagger, reading, every)
    outside = tagger.head.outside_marginals(reading.emissions, reading.mask, entities, tagger.temperature)
    doubts: list[list[Doubt]] = []
    for row, own, none in zip(entities, chances, outside, strict=True):
        parts = [own[start : start + len(types)] for start in range(0, len(own), len(types))]
        doubts.append([_doubt(types, *one, most) for one in zip(row, parts, none, strict=True)])
    return doubts


def _doubt(types: Sequence[str], entity: Entity, chances: Sequence[float], none: float, most: int) -> Doubt:
    others = [Alternative(type_, score) for type_, score in zip(types, chances, strict=True) if type_ != entity.type]
    others.sort(key=lambda other: -other.score)
    # Rounding may leave a hair less than nothing.
    return Doubt(tuple(others[:most]), none, max(0.0, 1 - none - sum(chances)))


def _take_pictures_away(
    tagger: Tagger,
    rows: Sequence[Row],
    made: Batch,
    reading: Reading,
    found: Sequence[Sequence[Scored]],
    answers: list[Answer],
    ask: Ask,
) -> None:
    """Read the rows that have pictures once more without them, and put into their answers what that changes."""
    seen = [number for number, answer in enumerate(answers) if answer.image_status == "used"]
    if not seen:
        return
    first, last = seen[0], seen[-1] + 1
    blind = tagger.read(without_pictures(made.part(first, last)))
    alone: list[list[Scored]] = [[] for _ in rows]
    alone[first:last] = find(tagger, blind, ask)
    own = [[entity for entity, _ in row] for row in found]
    others = [[entity for entity, _ in row] for row in alone]
    there = _scores(tagger, blind, own[first:last])
    here = _scores(tagger, reading, others)
    for number in seen:
        answer, example = answers[number], rows[number].example
        effects = _effects(own[number], others[number], there[number - first])
        backs = _effects(others[number], own[number], here[number])
        answers[number] = replace(
            answer,
            entities=tuple(
                replace(mention, image_effect=effect) for mention, effect in zip(answer.entities, effects, strict=True)
            ),
            without_image=tuple(
                Mention(*place(example, entity), entity.type, score, image_effect=effect)
                for (entity, score), effect in zip(alone[number], backs, strict=True)
            ),
        )


def without_pictures(made: Batch) -> Batch:
    """The same rows as they are where none has a picture."""
    device = made.pictures.device
    none = torch.zeros((0, 3, 1, 1), dtype=torch.uint8, device=device)
    return replace(
        made,
        pixels=tuple(none for _ in made.pixels),
        pictures=torch.full((len(made.ids), 1), -1, dtype=torch.long, device=device),
        status=tuple("none" for _ in made.ids),
    )


def _effects(own: Sequence[Entity], others: Sequence[Entity], scores: Sequence[float]) -> list[ImageEffect]:
    """How each of a reading's `own` entities fares in another reading that found `others` and gives it `scores`."""
    return [_effect(entity, others, score) for entity, score in zip(own, scores, strict=True)]


def _effect(entity: Entity, others: Sequence[Entity], score: float) -> ImageEffect:
    twin = next((other for other in others if (other.start, other.end) == (entity.start, entity.end)), None)
    change: Change
    if twin is not None:
        change = "same" if twin.type == entity.type else "type"
        return ImageEffect(change, twin.type, score)
    overlapping = any(other.start < entity.end and entity.start < other.end for other in others)
    return ImageEffect("borders" if overlapping else "only_here", None, score)
