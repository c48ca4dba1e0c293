"""Wrong pictures on purpose: which picture each row gets, or how a picture is spoilt.

A model that looks scores the same with `shuffled_within` as with the true pictures, falls with `swapped` and
`shuffled`, and is left with its text when the picture is `blank`.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from random import Random
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter

from babelens.data.postcards.cards import Card

_NOISE = (20.0, 40.0, 70.0, 100.0, 140.0)  # grey values
_BLUR = (0.02, 0.03, 0.05, 0.07, 0.1)  # of the longer side
SEVERITIES = tuple(range(1, len(_NOISE) + 1))


def true_pictures(cards: Sequence[Card]) -> dict[str, str]:
    """Each row and its own picture."""
    return {card.id: card.id for card in cards}


def shuffled(cards: Sequence[Card], seed: int = 0) -> dict[str, str]:
    """Each row and the picture of another, any other."""
    return _rotate([card.id for card in cards], Random(f"{seed}-shuffled"))


def shuffled_within(cards: Sequence[Card], seed: int = 0) -> dict[str, str]:
    """Each row and another picture that gives the same answer.

    The other picture shows the same types, and the things that the text binds have the same side or colour; all else
    (drawing, style, place) differs. Where no other row's picture does that, a row keeps its own.
    """
    alike: dict[Hashable, list[str]] = defaultdict(list)
    for card in cards:
        alike[tuple(sorted((thing.type, thing.cue or "") for thing in card.things))].append(card.id)
    rng = Random(f"{seed}-shuffled-within")
    donors: dict[str, str] = {}
    for ids in alike.values():
        donors.update(_rotate(ids, rng))
    return {card.id: donors[card.id] for card in cards}


def swapped(cards: Sequence[Card], seed: int = 0) -> dict[str, str]:
    """Each row and a picture that speaks against its gold.

    An ambiguous row gets the picture of its pair, which gives every mention its other type; an unambiguous row gets the
    picture of an unambiguous row on which none of its types is drawn.

    Raises:
        ValueError: there is no such picture for a row, or its pair is not among the rows.
    """
    rows = {card.id for card in cards}
    plain = [(card.id, {thing.type for thing in card.things}) for card in cards if card.pair is None]
    donors: dict[str, str] = {}
    for card in cards:
        if card.pair is None:
            gold = {entity.type for entity in card.entities}
            fitting = [id_ for id_, drawn in plain if not drawn & gold]
            if not fitting:
                raise ValueError(f"expected a picture without {', '.join(sorted(gold))} for row {card.id}, found none")
            donors[card.id] = Random(f"{seed}-swapped-{card.id}").choice(fitting)
        elif card.pair in rows:
            donors[card.id] = card.pair
        else:
            raise ValueError(f"expected both rows of a pair, found {card.id} without {card.pair}")
    return donors


def _rotate(ids: Sequence[str], rng: Random) -> dict[str, str]:
    """Each id and the next in a random circle: nobody keeps their own, unless alone."""
    circle = list(ids)
    rng.shuffle(circle)
    return dict(zip(circle, circle[1:] + circle[:1], strict=True))


def blank(picture: Image.Image) -> Image.Image:
    """A picture of the same size with nothing on it but medium grey."""
    return Image.new("RGB", picture.size, (128, 128, 128))


def corrupt(picture: Image.Image, kind: Literal["noise", "blur"], severity: int, stream: str = "") -> Image.Image:
    """Spoil a picture with Gaussian noise or blur; the same `stream` (say, the row's id) gives the same noise.

    Raises:
        ValueError: the severity is not one of 1 to 5.
    """
    if severity not in SEVERITIES:
        raise ValueError(f"expected a severity from {SEVERITIES[0]} to {SEVERITIES[-1]}, found {severity}")
    if kind == "blur":
        return picture.filter(ImageFilter.GaussianBlur(_BLUR[severity - 1] * max(picture.size)))
    pixels = np.asarray(picture.convert("RGB"), np.float32)
    generator = np.random.Generator(np.random.PCG64(Random(f"corrupt-{stream}").getrandbits(64)))
    noisy = pixels + generator.standard_normal(pixels.shape, np.float32) * _NOISE[severity - 1]
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
