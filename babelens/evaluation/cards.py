"""Examples on a report page: a picture, a sentence with its entities, and where the model looked for each."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from PIL import Image

from babelens.evaluation.markup import markup
from babelens.schema import Entity

LONGEST_SIDE = 480  # pixels of an embedded picture
HEAT = (255, 106, 0)  # laid over the picture, turned grey; it stands out from black and from white
STRONGEST = 0.85  # opacity where the attention is greatest


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """Where one entity looked through one view: attention weights over a grid laid on a box of the picture.

    `weights` (rows, columns) are shares of the attention, 0 to 1; what they lack to 1 went to regions without a place,
    such as CLIP's class token. `box` is (left, top, right, bottom) in pixels of the picture; None is all of it.
    """

    view: str
    weights: Float[np.ndarray, "rows columns"]
    box: tuple[float | int, float | int, float | int, float | int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """An entity that the model found, its probability (0 to 1) and where it looked, one `Look` a view."""

    entity: Entity
    score: float | None = None
    looks: tuple[Look, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Card:
    """One example. `offsets` place the words in `text`; without text the words are joined by blanks.

    `gold` is None where nobody knows the right entities. Entities of one list must not overlap.
    """

    title: str
    words: tuple[str, ...]
    found: tuple[Found, ...]
    gold: tuple[Entity, ...] | None = None
    picture: Image.Image | None = None
    language: str | None = None
    text: str | None = None
    offsets: tuple[tuple[int, int], ...] | None = None
    note: str = ""


def entities_of(card: Card) -> Iterable[Entity]:
    """All entities of a card, found and gold."""
    yield from (found.entity for found in card.found)
    yield from card.gold or ()


def draw_card(number: int, card: Card, colours: dict[str, str]) -> str:
    """The example as an HTML article; `number` sets it apart on its page, `colours` are the CSS classes of the types.

    Raises:
        ValueError: entities of one list overlap or lie outside the words.
    """
    name = f"c{number}"
    picture = _shrink(card.picture) if card.picture is not None else None
    language = f' lang="{markup(card.language)}"' if card.language else ""
    lines = [_line("found", _found_marks(name, card, colours, linked=picture is not None), card, language)]
    if card.gold is not None:
        lines.insert(0, _line("gold", _gold_marks(card, card.gold, colours), card, language))
    figure = looks = ""
    if picture is not None and card.picture is not None:
        scale = picture.width / card.picture.width
        figure = f"<figure>{_store(name, picture)}{_svg(name, picture, '', f'Picture of {card.title}')}</figure>"
        parts = "".join(
            f'<section class="look" id="{name}e{place}"><h4>'
            f"<bdi{language}>{markup(_surface(card, found.entity))}</bdi>, {markup(found.entity.type)}"
            f'</h4><div class="views">'
            f"{''.join(_look(name, picture, scale, look) for look in found.looks)}</div></section>"
            for place, found in enumerate(card.found)
            if found.looks
        )
        looks = f'<div class="looks">{parts}</div>' if parts else ""
    about = f'<span class="soft">{markup(card.note)}</span>' if card.note else ""
    where = f'<span class="soft">{markup(card.language)}</span>' if card.language else ""
    return (
        f'<article class="card" id="{name}"><header><h3>{markup(card.title)}</h3>{where}{about}</header>'
        f'<div class="body{"" if figure else " bare"}">{figure}<div>{"".join(lines)}{looks}</div></div></article>'
    )


def _line(name: str, marks: list[tuple[Entity, str, str]], card: Card, language: str) -> str:
    """A sentence with its marks: each an entity, what opens it and what closes it."""
    text, offsets = _placed(card)
    pieces: list[str] = []
    position = 0
    for entity, opening, closing in sorted(marks):
        if not 0 <= entity.start < entity.end <= len(offsets):
            raise ValueError(f"expected an entity within {len(offsets)} words, found {entity} in {card.title!r}")
        start, end = offsets[entity.start][0], offsets[entity.end - 1][1]
        if start < position:
            raise ValueError(f"expected entities that do not overlap, found {entity} in {card.title!r}")
        pieces += [markup(text[position:start]), opening, markup(text[start:end]), closing]
        position = end
    pieces.append(markup(text[position:]))
    sentence = f'<span class="sentence"{language} dir="auto">{"".join(pieces)}</span>'
    return f'<div class="line"><span>{name}</span>{sentence}</div>'


def _gold_marks(card: Card, gold: tuple[Entity, ...], colours: dict[str, str]) -> list[tuple[Entity, str, str]]:
    found = {item.entity for item in card.found}
    return [
        (
            entity,
            f'<span class="entity {colours[entity.type]}{"" if entity in found else " missed"}">',
            f"<b>{markup(entity.type)}</b></span>",
        )
        for entity in sorted(set(gold))
    ]


def _found_marks(name: str, card: Card, colours: dict[str, str], *, linked: bool) -> list[tuple[Entity, str, str]]:
    marks: list[tuple[Entity, str, str]] = []
    for place, item in enumerate(card.found):
        right = None if card.gold is None else item.entity in card.gold
        verdict, sign = {None: ("", ""), True: ("right", "✓"), False: ("wrong", "✗")}[right]
        tag, target = ("a", f' href="#{name}e{place}"') if linked and item.looks else ("span", "")
        score = "" if item.score is None else f" {100 * item.score:.0f} %"
        said = f'<span class="verdict" role="img" aria-label="{verdict}">{sign}</span>' if sign else ""
        marks.append(
            (
                item.entity,
                f'<{tag} class="entity {colours[item.entity.type]} {verdict}"{target}>',
                f"<b>{markup(item.entity.type)}{score} {said}</b></{tag}>",
            )
        )
    return marks


def _placed(card: Card) -> tuple[str, tuple[tuple[int, int], ...]]:
    if card.text is not None and card.offsets is not None:
        return card.text, card.offsets
    offsets: list[tuple[int, int]] = []
    position = 0
    for word in card.words:
        offsets.append((position, position + len(word)))
        position += len(word) + 1
    return " ".join(card.words), tuple(offsets)


def _surface(card: Card, entity: Entity) -> str:
    text, offsets = _placed(card)
    return text[offsets[entity.start][0] : offsets[entity.end - 1][1]]


def _shrink(picture: Image.Image) -> Image.Image:
    small = picture.convert("RGB")
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return small


def _data(picture: Image.Image, kind: Literal["JPEG", "PNG"]) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=82)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _store(name: str, picture: Image.Image) -> str:
    """The picture itself, once; every drawing of the card points at it."""
    return (
        f'<svg class="store" aria-hidden="true"><defs><image id="{name}p" width="{picture.width}" '
        f'height="{picture.height}" href="{_data(picture, "JPEG")}"/></defs></svg>'
    )


def _svg(name: str, picture: Image.Image, over: str, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {picture.width} {picture.height}" role="img" aria-label="{markup(label)}">'
        f'<use href="#{name}p"/>{over}</svg>'
    )


def _look(name: str, picture: Image.Image, scale: float, look: Look) -> str:
    rows, columns = look.weights.shape
    width, height = picture.size
    left, top, right, bottom = (scale * side for side in look.box) if look.box else (0, 0, width, height)
    weights = np.nan_to_num(look.weights.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0).clip(min=0)
    most, rest = float(weights.max(initial=0.0)), max(0.0, 1 - float(weights.sum()))
    shares = weights / most if most else weights
    heat = np.empty((rows, columns, 4), np.uint8)
    heat[..., :3] = HEAT
    heat[..., 3] = np.rint(255 * STRONGEST * shares)
    row, column = divmod(int(weights.argmax()), columns)
    cell_width, cell_height = (right - left) / columns, (bottom - top) / rows
    strongest = (
        f'x="{left + column * cell_width:.1f}" y="{top + row * cell_height:.1f}" '
        f'width="{cell_width:.1f}" height="{cell_height:.1f}"'
    )
    inside = (max(0, left), max(0, top), min(width, right), min(height, bottom))
    over = (
        f'<image x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" '
        f'preserveAspectRatio="none" href="{_data(Image.fromarray(heat), "PNG")}"/>'
        f'<path class="unseen" fill-rule="evenodd" d="M0 0H{width}V{height}H0z'
        f'M{inside[0]:.1f} {inside[1]:.1f}H{inside[2]:.1f}V{inside[3]:.1f}H{inside[0]:.1f}z"/>'
        f'<rect class="top under" {strongest}/><rect class="top" {strongest}/>'
    )
    caption = f"{look.view}: strongest cell {100 * most:.0f} %"
    if rest > 0.005:
        caption += f", {100 * rest:.0f} % not on a place"
    label = f"{look.view}: most attention at row {row + 1} of {rows}, column {column + 1} of {columns}"
    return f"<figure>{_svg(name, picture, over, label)}<figcaption>{markup(caption)}</figcaption></figure>"
