"""Examples on a report page: a picture, a sentence with its entities, and where the model looked for each."""

import base64
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
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
Mark = tuple[Entity, str, str]  # an entity, what opens it in the page and what closes it


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
    picture = shrink(card.picture) if card.picture is not None else None
    language = spoken(card.language)
    found = found_marks(card.found, card.gold, colours, links=None if picture is None else name)
    marks = {"found": found}
    if card.gold is not None:
        marks = {"gold": gold_marks(card.gold, [item.entity for item in card.found], colours), **marks}
    text, offsets = _placed(card)
    try:
        lines = [draw_line(who, some, text, offsets, card.language) for who, some in marks.items()]
    except ValueError as error:
        raise ValueError(f"{error} in {card.title!r}") from error
    figure = looks = ""
    if picture is not None and card.picture is not None:
        scale = picture.width / card.picture.width
        shown = draw_picture(name, picture.size, "", f"Picture of {card.title}")
        figure = f"<figure>{store_picture(name, picture.size, encode_picture(picture, 'JPEG'))}{shown}</figure>"
        parts = "".join(
            f'<section class="look" id="{name}e{place}"><h4>'
            f"<bdi{language}>{markup(_surface(card, found.entity))}</bdi>, {markup(found.entity.type)}"
            f'</h4><div class="views">'
            f"{''.join(draw_look(name, picture.size, scale, look) for look in found.looks)}</div></section>"
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


def spoken(language: str | None) -> str:
    """The HTML attribute that says which language a text is in."""
    return f' lang="{markup(language)}"' if language else ""


def draw_line(
    name: str, marks: Iterable[Mark], text: str, offsets: Sequence[tuple[int, int]], language: str | None = None
) -> str:
    """A sentence with its marks, after the name of who says so; `offsets` are the places of the words in the text.

    Raises:
        ValueError: marks overlap or lie outside the words.
    """
    pieces: list[str] = []
    position = 0
    for entity, opening, closing in sorted(marks):
        if not 0 <= entity.start < entity.end <= len(offsets):
            raise ValueError(f"expected an entity within {len(offsets)} words, found {entity}")
        start, end = offsets[entity.start][0], offsets[entity.end - 1][1]
        if start < position:
            raise ValueError(f"expected entities that do not overlap, found {entity}")
        pieces += [markup(text[position:start]), opening, markup(text[start:end]), closing]
        position = end
    pieces.append(markup(text[position:]))
    sentence = f'<span class="sentence"{spoken(language)} dir="auto">{"".join(pieces)}</span>'
    return f'<div class="line"><span>{markup(name)}</span>{sentence}</div>'


def gold_marks(
    gold: Iterable[Entity], found: Collection[Entity], colours: Mapping[str, str], at: Entity | None = None
) -> list[Mark]:
    """The marks of right entities, those set apart that were not `found`, and the one `at` which one should look."""
    return [
        (
            entity,
            f'<span class="entity {colours[entity.type]}{"" if entity in found else " missed"}{_at(entity, at)}">',
            f"<b>{markup(entity.type)}</b></span>",
        )
        for entity in sorted(set(gold))
    ]


def found_marks(
    found: Sequence[Found],
    gold: Collection[Entity] | None,
    colours: Mapping[str, str],
    *,
    links: str | None = None,
    at: Entity | None = None,
) -> list[Mark]:
    """The marks of found entities with score and verdict; they lead to their looks on the card that `links` names."""
    marks: list[Mark] = []
    for place, item in enumerate(found):
        right = None if gold is None else item.entity in gold
        verdict, sign = {None: ("", ""), True: ("right", "✓"), False: ("wrong", "✗")}[right]
        tag, target = ("a", f' href="#{links}e{place}"') if links is not None and item.looks else ("span", "")
        score = "" if item.score is None else f" {100 * item.score:.0f} %"
        said = f'<span class="verdict" role="img" aria-label="{verdict}">{sign}</span>' if sign else ""
        marks.append(
            (
                item.entity,
                f'<{tag} class="entity {colours[item.entity.type]} {verdict}{_at(item.entity, at)}"{target}>',
                f"<b>{markup(item.entity.type)}{score} {said}</b></{tag}>",
            )
        )
    return marks


def _at(entity: Entity, at: Entity | None) -> str:
    return " at" if entity == at else ""


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


def shrink(picture: Image.Image, longest: int = LONGEST_SIDE) -> Image.Image:
    """A picture as RGB whose longest side (pixels) is at most so long."""
    small = picture.convert("RGB")
    small.thumbnail((longest, longest))
    return small


def encode_picture(picture: Image.Image, kind: Literal["JPEG", "PNG"], quality: int = 82) -> str:
    """A picture as a data URI."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=quality)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def store_picture(name: str, size: tuple[int, int], data: str) -> str:
    """The picture itself, a data URI, once; every drawing of the card points at it. `size` is (width, height)."""
    return (
        f'<svg class="store" aria-hidden="true"><defs><image id="{name}p" width="{size[0]}" '
        f'height="{size[1]}" href="{data}"/></defs></svg>'
    )


def draw_picture(name: str, size: tuple[int, int], over: str, label: str) -> str:
    """The stored picture of a card, with something laid over it."""
    return (
        f'<svg viewBox="0 0 {size[0]} {size[1]}" role="img" aria-label="{markup(label)}">'
        f'<use href="#{name}p"/>{over}</svg>'
    )


def draw_look(name: str, size: tuple[int, int], scale: float, look: Look) -> str:
    """A look laid over the stored picture, which is `scale` times as large as the one that `look.box` speaks of."""
    rows, columns = look.weights.shape
    width, height = size
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
        f'preserveAspectRatio="none" href="{encode_picture(Image.fromarray(heat), "PNG")}"/>'
        f'<path class="unseen" fill-rule="evenodd" d="M0 0H{width}V{height}H0z'
        f'M{inside[0]:.1f} {inside[1]:.1f}H{inside[2]:.1f}V{inside[3]:.1f}H{inside[0]:.1f}z"/>'
        f'<rect class="top under" {strongest}/><rect class="top" {strongest}/>'
    )
    caption = f"{look.view}: strongest cell {100 * most:.0f} %"
    if rest > 0.005:
        caption += f", {100 * rest:.0f} % not on a place"
    label = f"{look.view}: most attention at row {row + 1} of {rows}, column {column + 1} of {columns}"
    return f"<figure>{draw_picture(name, size, over, label)}<figcaption>{markup(caption)}</figcaption></figure>"
