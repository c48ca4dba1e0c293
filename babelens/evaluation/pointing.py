"""Whether attention points: how much of what the words of an entity look at lies on the thing that they stand for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from babelens.data import Corpus
from babelens.data.postcards import Card, Thing
from babelens.evaluation.rows import over_rows
from babelens.models.batch import Batch
from babelens.models.decode import BATCH
from babelens.models.region_store import RegionCache
from babelens.models.tagger import Tagger
from babelens.prediction.gazes import Edges, Places, grids
from babelens.schema import Box, Entity, InputError

# A share of a cell that is none: edges of cells are rounded.
_NOTHING = 1e-6


@dataclass(frozen=True)
class Target:
    """Where the thing of an entity is in the picture, in its pixels, and where `others` are, none of them its own.

    `ambiguous` says that the text leaves the entity's type open.
    """

    box: Box
    others: tuple[Box, ...] = ()
    ambiguous: bool = False


@dataclass(frozen=True)
class Focus:
    """How attention and boxes meet, in per cent, means over so many entities.

    `hits` is the pointing game (Zhang et al., 2018): how often the cell with the most attention lies on the box. It
    does if its centre is in the box or misses it by less than half a cell, across and down: if the two overlap. Cells
    with equally much count in shares. `mass` is the share of the grid's attention that falls inside the box, each
    cell's by the part of the cell that the box covers (the energy of Wang et al., 2020). `chance_hits` and
    `chance_mass` are what attention gives that is everywhere the same.
    """

    entities: int
    hits: float
    mass: float
    chance_hits: float
    chance_mass: float


@dataclass(frozen=True)
class Aim:
    """Attention of some entities on the boxes of their `own` things, and on those of `others` in the same picture.

    `others` is over the entities in whose picture the view shows any, the mean over these things taken first: what one
    other thing gets. `beside` is `own` over the same entities. They are None where there are no such entities.
    `unseen` counts the entities left out of all: their picture cannot be read, or the view does not show their box.
    """

    own: Focus | None
    beside: Focus | None
    others: Focus | None
    unseen: int

    def to_dict(self) -> dict[str, Any]:
        """As it stands in files of results."""
        parts = {name: None if part is None else vars(part) for name, part in vars(self).items() if name != "unseen"}
        return {**parts, "unseen": self.unseen}


@dataclass(frozen=True)
class Pointing:
    """Where one view looks: of all entities that have a target, and of the ambiguous ones."""

    every: Aim
    ambiguous: Aim

    def to_dict(self) -> dict[str, Any]:
        """As it stands in files of results."""
        return {"all": self.every.to_dict(), "ambiguous": self.ambiguous.to_dict()}


class Glance(NamedTuple):
    """One entity in one view: (hit, mass, chance of a hit, chance of mass), shares, for its own thing and for others.

    `own` is None where the view does not show the thing, `others` where it shows no other.
    """

    own: np.ndarray | None
    others: np.ndarray | None
    ambiguous: bool


def targets_of(corpus: Corpus, cards: Iterable[Card]) -> dict[int, dict[Entity, Target]]:
    """The things of the built-in corpus: for each row, by its number, and each of its entities, that which is drawn.

    Rows are found by the name of their picture. Rows without a card are left out, and those whose picture contradicts
    the text: none of their things is what an entity is.
    """
    known = {card.id: card for card in cards if not card.contradicting}
    targets: dict[int, dict[Entity, Target]] = {}
    for number, example in enumerate(corpus):
        card = known.get(example.images[0]) if len(example.images) == 1 else None
        if card is None:
            continue
        targets[number] = {
            card.entities[thing.entity]: Target(
                _box(thing),
                tuple(_box(other) for other in card.things if other is not thing),
                thing.entity in card.ambiguous,
            )
            for thing in card.things
            if thing.entity is not None
        }
    return targets


def _box(thing: Thing) -> Box:
    left, top, right, bottom = map(float, thing.box)
    return Box(left, top, right, bottom)


def point(
    tagger: Tagger,
    corpus: Corpus,
    targets: Mapping[int, Mapping[Entity, Target]],
    *,
    batch: int = BATCH,
    workers: int = 0,
    regions: RegionCache | None = None,
    step: Callable[[int], None] | None = None,
) -> dict[str, Pointing]:
    """See where the words of entities look, in each view whose regions lie in a grid of more than one cell.

    `targets` are boxes by the number of a row and its entity, of whose words the attention is the mean, over all heads;
    what goes to regions without a place is left out. A row with targets has one picture (`Corpus.pairs` makes such
    rows). `workers`, `regions` and `step` are those of `rows.over_rows`.

    Nothing comes back of a model that has no such view, and without targets.

    Raises:
        InputError: a row with targets has no picture or several, or an entity lies beyond its words.
        ImageError: a picture cannot be opened, and the corpus was read with strict pictures.
        ShortOfMemory: memory does not hold a single row.
    """
    # On a single cell nobody can point.
    known = {name: grid for name, grid in grids(tagger).items() if grid.rows * grid.columns > 1}
    numbers = sorted(number for number, own in targets.items() if own)
    if not known or not numbers:
        return {}
    _check(corpus, targets, numbers)

    def read(part: Batch) -> tuple[list[bool], dict[str, np.ndarray]]:
        weights = tagger.attention(part)
        return part.present.tolist(), {name: own.float().mean(1).cpu().numpy() for name, own in weights.items()}

    glances: dict[str, list[Glance]] = {}
    for own, (present, weights) in over_rows(
        tagger, corpus, numbers, read, batch=batch, workers=workers, regions=regions, step=step
    ):
        for place, number in enumerate(own):
            picture = corpus.picture(corpus.picture_keys(number)[0]).image if present[place] else None
            for name in weights.keys() & known.keys():
                covered = None if picture is None else known[name].covered(picture)
                for entity, target in targets[number].items():
                    words = weights[name][place, entity.start : entity.end].mean(0)
                    glances.setdefault(name, []).append(glance(known[name].lay(words), covered, target))
    return {
        name: Pointing(summarise(glances[name]), summarise([one for one in glances[name] if one.ambiguous]))
        for name in known
        if name in glances
    }


def glance(weights: Places, covered: Edges | None, target: Target) -> Glance:
    """How the attention of one entity on a grid meets the boxes of its picture.

    `covered` is what the grid shows, left, top, right, bottom in pixels of the picture: it may reach beyond the picture
    (padding) or leave parts out, and its left edge may lie right of its right one (mirrored). None is of no picture.
    """
    if covered is None:
        return Glance(None, None, target.ambiguous)
    boxes = [overlap(box, covered, weights.shape) for box in (target.box, *target.others)]
    own, *others = (_meet(weights, inside) if inside.max() > _NOTHING else None for inside in boxes)
    shown = [one for one in others if one is not None]
    return Glance(own, np.mean(shown, axis=0) if shown else None, target.ambiguous)


def overlap(box: Box, covered: Edges, shape: Sequence[int]) -> Places:
    """The share of each cell of a grid (rows, columns) over `covered` that lies in a box."""
    left, top, right, bottom = covered
    down = _along(top, bottom, shape[0], box.top, box.bottom)
    return np.outer(down, _along(left, right, shape[1], box.left, box.right))


def _along(start: float, stop: float, cells: int, low: float, high: float) -> Float[np.ndarray, " cell"]:
    """The share of each of so many equal cells from `start` to `stop` that lies between `low` and `high`."""
    edges = np.linspace(start, stop, cells + 1)
    near, far = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    return np.clip(np.minimum(far, high) - np.maximum(near, low), 0, None) / (far - near)


def _meet(weights: Places, inside: Places) -> Float[np.ndarray, " 4"]:
    """Hit, mass, and the chance of each. Attention that is nowhere on the grid is everywhere the same."""
    on = inside > _NOTHING
    total = weights.sum()
    mass = (weights * inside).sum() / total if total > 0 else inside.mean()
    return np.array([on[weights == weights.max()].mean(), mass, on.mean(), inside.mean()])


def summarise(glances: Sequence[Glance]) -> Aim:
    """The means over entities."""
    seen = [(one.own, one.others) for one in glances if one.own is not None]
    rivalled = [(own, others) for own, others in seen if others is not None]
    return Aim(
        own=_focus([own for own, _ in seen]),
        beside=_focus([own for own, _ in rivalled]),
        others=_focus([others for _, others in rivalled]),
        unseen=len(glances) - len(seen),
    )


def _focus(shares: Sequence[np.ndarray]) -> Focus | None:
    if not shares:
        return None
    hits, mass, chance_hits, chance_mass = (100 * np.mean(shares, axis=0)).tolist()
    return Focus(len(shares), hits, mass, chance_hits, chance_mass)


def _check(corpus: Corpus, targets: Mapping[int, Mapping[Entity, Target]], numbers: Sequence[int]) -> None:
    for number in numbers:
        pictures, words = int(corpus.picture_numbers[number]), int(corpus.lengths[number])
        if pictures != 1:
            raise InputError(f"row {corpus[number].id}: expected one picture that its boxes lie in, found {pictures}")
        for entity in targets[number]:
            if not 0 <= entity.start < entity.end <= words:
                raise InputError(
                    f"row {corpus[number].id}: expected an entity with a box within the row's {words} words, "
                    f"found one from {entity.start} to {entity.end}"
                )
