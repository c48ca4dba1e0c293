"""One mistake on the page of mistakes: the picture, the sentence as gold, model and twin have it, and what is known."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from babelens.evaluation.cards import (
    Found,
    Look,
    Mark,
    draw_line,
    draw_look,
    draw_picture,
    encode_picture,
    found_marks,
    gold_marks,
    shrink,
    spoken,
    store_picture,
)
from babelens.evaluation.markup import markup
from babelens.evaluation.mistakes import Case, Verdict
from babelens.evaluation.mistakes_tables import (
    EFFECT_NAMES,
    language_of,
    length_of,
    novelty_of,
    picture_of,
    source_of,
)
from babelens.schema import Entity
from babelens.scoring.outcomes import Outcome

LONGEST_SIDE = 320  # pixels of an embedded picture
MOST_BYTES = 24 * 1024  # of a JPEG: 400 cards stay below 15 MB
QUALITIES = (80, 65, 50, 35)
LONG_TYPE = 16  # letters from which on a label may be broken over lines
WINDOW = 30  # words before and after the mistake that a card shows of a long text
SIGNS = {"helped": "▲", "only without": "▲", "hurt": "▼", "only with": "▼"}


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture made small: its data URI, its (width, height), and how many times as large it is as the original."""

    data: str
    size: tuple[int, int]
    scale: float


def thumbnail(picture: Image.Image) -> Thumbnail:
    """A picture of at most 320 pixels a side, as a JPEG of at most 24 KiB where a tolerable quality allows that."""
    small = shrink(picture, LONGEST_SIDE)
    data = ""
    for quality in QUALITIES:
        data = encode_picture(small, "JPEG", quality)
        if len(data) * 3 // 4 <= MOST_BYTES:
            break
    return Thumbnail(data, small.size, small.width / picture.width)


def traits(case: Case) -> dict[str, tuple[str, ...]]:
    """What a mistake can be filtered by: the names that it goes by under each head."""
    kind, effect = case.kind, case.effect
    types = (case.entity.type, *((case.wrong.type,) if case.wrong else ()))
    return {
        "kind": (kind,) if kind else (),
        "effect": (EFFECT_NAMES[effect],) if effect else (),
        "type": tuple(dict.fromkeys(types)),
        "language": (language_of(case),),
        "source": (source_of(case),),
        "picture": (picture_of(case),),
        "name": tuple(filter(None, (novelty_of(case),))),
    }


def draw_mistake(
    number: int,
    case: Case,
    colours: Mapping[str, str],
    *,
    picture: Thumbnail | None = None,
    looks: Mapping[Entity, tuple[Look, ...]] | None = None,
    twin: Outcome | None = None,
) -> str:
    """The mistake as an HTML article; `looks` are those of the entities of the row, `twin` what the text alone gave.

    Raises:
        ValueError: entities of one list overlap or lie outside the words.
    """
    name, outcome, entity = f"m{number}", case.outcome, case.entity
    language = spoken(outcome.language)
    effect = case.effect
    chips = [f'<span class="chip">{markup(_whose(case))}</span>']
    if effect is not None:
        mood = {"▲": " good", "▼": " bad"}.get(SIGNS.get(effect, ""), "")
        sign = f'<span aria-hidden="true">{SIGNS[effect]}</span> ' if effect in SIGNS else ""
        chips.append(f'<span class="chip{mood}">{sign}{markup(EFFECT_NAMES[effect])}</span>')
    asked = case.model.found or entity
    views = (looks or {}).get(asked, ()) if picture is not None else ()
    figure = _figure(name, picture, stored=bool(views)) if picture is not None else ""
    head = (
        f'<header><h3 id="{name}h"><a class="number" href="#{name}"><span class="hidden">Mistake </span>{number}</a> '
        f"{_surface(outcome, entity, language)} {_type(entity.type, colours)}</h3>{''.join(chips)}</header>"
    )
    body = _verdicts(case, colours, language) + _sentences(case, twin, colours) + _known(case)
    if views and picture is not None:
        drawn = "".join(draw_look(name, picture.size, picture.scale, look) for look in views)
        body += (
            f'<section class="looks"><h4>Where the model looked for {_surface(outcome, asked, language)}</h4>'
            f'<div class="views">{drawn}</div></section>'
        )
    facets = markup(json.dumps(traits(case), ensure_ascii=False))
    return (
        f'<article class="card case" id="{name}" aria-labelledby="{name}h" data-traits="{facets}" '
        f'data-text="{markup(" ".join(outcome.words))}">{head}'
        f'<div class="body{"" if figure else " bare"}">{figure}<div>{body}</div></div></article>'
    )


def _whose(case: Case) -> str:
    return f"{case.kind}" if case.model.kind else f"{case.kind} (by the twin)"


def _figure(name: str, picture: Thumbnail, *, stored: bool) -> str:
    """The picture: where looks are drawn over it, it is stored once for all of them."""
    width, height = picture.size
    label = "Picture of the row"
    if stored:
        drawn = store_picture(name, picture.size, picture.data) + draw_picture(name, picture.size, "", label)
    else:
        size = f'width="{width}" height="{height}"'
        drawn = f'<img src="{picture.data}" {size} alt="{label}" loading="lazy" decoding="async">'
    return f"<figure>{drawn}</figure>"


def _surface(outcome: Outcome, entity: Entity, language: str) -> str:
    return f"<bdi{language}>{markup(' '.join(outcome.words[entity.start : entity.end]))}</bdi>"


def _type(type_: str, colours: Mapping[str, str]) -> str:
    return f'<span class="tag {colours[type_]}">{markup(type_)}</span>'


def _verdicts(case: Case, colours: Mapping[str, str], language: str) -> str:
    said = [("model", case.model)] if case.twin is None else [("model", case.model), ("text-only twin", case.twin)]
    lines = "".join(
        f"<div><dt>{who}</dt><dd>{_verdict(case, verdict, colours, language)}</dd></div>" for who, verdict in said
    )
    return f'<dl class="verdicts">{lines}</dl>'


def _verdict(case: Case, verdict: Verdict, colours: Mapping[str, str], language: str) -> str:
    score = "" if verdict.score is None else f", {100 * verdict.score:.0f} %"
    if verdict.kind is None:
        return f'<span class="good">✓</span> {"found nothing here" if case.gold is None else f"right{score}"}'
    if verdict.found is None:
        return '<span class="bad">✗</span> not found'
    words = "" if verdict.kind in ("type", "spurious") else f" {_surface(case.outcome, verdict.found, language)}"
    named = "" if verdict.kind == "boundary" else f" {_type(verdict.found.type, colours)}"
    return f'<span class="bad">✗</span> found{words}{named}{score}'


def _sentences(case: Case, twin: Outcome | None, colours: Mapping[str, str]) -> str:
    """The sentence as gold, model and twin have it; of a long one what stands around the mistake, then the whole."""
    outcome = case.outcome
    answers = {"found": (outcome, case.model)}
    if twin is not None and case.twin is not None:
        if set(twin.found) == set(outcome.found):
            answers = {"found by both": (outcome, case.model)}
        else:
            answers["text only"] = (twin, case.twin)
    everywhere = [*outcome.gold, *(entity for answer, _ in answers.values() for entity in answer.found)]
    start, end = window(len(outcome.words), case.entity, everywhere)
    lines: dict[str, list[Mark]] = {
        "gold": gold_marks(_within(outcome.gold, start, end), outcome.found, colours, at=case.gold)
    }
    for who, (answer, verdict) in answers.items():
        scores = dict(zip(answer.found, answer.scores, strict=True))
        found = [Found(entity, scores[entity]) for entity in _within(answer.found, start, end)]
        lines[who] = found_marks(found, outcome.gold, colours, at=verdict.found)
    text, offsets = _cut(outcome.words, start, end)
    places = ((0, 0),) * start + offsets  # marks keep the numbers of their words
    try:
        drawn = "".join(
            draw_line(who, [_underlined(mark) for mark in marks], text, places, outcome.language)
            for who, marks in lines.items()
        )
    except ValueError as error:
        raise ValueError(f"{error} in row {outcome.id!r}") from error
    if end - start < len(outcome.words):
        drawn += (
            f"<details><summary>All {len(outcome.words):,} words</summary>"
            f'<p{spoken(outcome.language)} dir="auto">{markup(" ".join(outcome.words))}</p></details>'
        )
    return drawn


def _underlined(mark: Mark) -> Mark:
    """The mark with its words, but not its label, under a line, whose style says what colours must not say alone."""
    entity, opening, closing = mark
    long = ' class="long"' if len(entity.type) > LONG_TYPE else ""
    return entity, f"{opening}<u{long}>", f"</u>{closing}"


def window(words: int, around: Entity, entities: Sequence[Entity]) -> tuple[int, int]:
    """The first word to show and the one after the last: all, or 30 to each side of a mistake, cutting no entity."""
    if words <= 2 * WINDOW:
        return 0, words
    start, end = max(0, around.start - WINDOW), min(words, around.end + WINDOW)
    while True:
        first = min((one.start for one in entities if one.start < start < one.end), default=start)
        last = max((one.end for one in entities if one.start < end < one.end), default=end)
        if (first, last) == (start, end):
            return start, end
        start, end = first, last


def _within(entities: Sequence[Entity], start: int, end: int) -> list[Entity]:
    return [entity for entity in entities if start <= entity.start and entity.end <= end]


def _cut(words: Sequence[str], start: int, end: int) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The words from `start` to `end` joined by blanks, dots where others are left out, and the place of each."""
    text = "… " if start else ""
    offsets: list[tuple[int, int]] = []
    for word in words[start:end]:
        offsets.append((len(text), len(text) + len(word)))
        text += f"{word} "
    return text[:-1] + (" …" if end < len(words) else ""), tuple(offsets)


def _known(case: Case) -> str:
    """What is known of entity and row, in a line."""
    outcome = case.outcome
    facts = [language_of(case), source_of(case), picture_of(case), length_of(case)]
    if case.frequency is not None:
        facts.append(f"{case.frequency:,} × in training" if case.frequency else "name not in training")
    if outcome.leaks:
        facts.append(f"shared with training: {', '.join(outcome.leaks)}")
    facts.append(f"row {outcome.id}")
    return f'<ul class="known">{"".join(f"<li>{markup(fact)}</li>" for fact in facts)}</ul>'
