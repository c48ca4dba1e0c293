"""Drawing styles: outline, filling and background. Those of the test part do not occur in training."""

from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Literal

import numpy as np

from babelens.data.postcards.drawing import BODY, EMPTY, INK, MARK, PALE, SHADE, SKIN, TINT

Colour = tuple[int, int, int]

SIDE = 256  # pixels of a picture while it is drawn
PALETTE: dict[str, Colour] = {
    "red": (208, 44, 44),
    "blue": (44, 84, 208),
    "green": (40, 150, 66),
    "yellow": (236, 200, 36),
}
_SKINS: tuple[Colour, ...] = ((242, 208, 178), (216, 168, 130), (160, 112, 80), (104, 70, 50))
_GROUNDS: tuple[Colour, ...] = ((238, 234, 226), (222, 226, 232), (206, 202, 198), (234, 224, 234), (188, 192, 194))
_NOISE_LEVELS = (2, 5, 9)

Filling = Literal["flat", "fading", "banded", "dotted", "hatched", "crossed", "speckled"]
Ground = Literal["plain", "fading", "striped", "dotted", "checked", "slanted", "clouded"]


@dataclass(frozen=True)
class Style:
    """How things are drawn: `outline` in pixels of the picture while it is drawn, its colour, filling, background."""

    outline: int
    ink: Colour
    filling: Filling
    ground: Ground


_DARK, _BROWN, _SLATE, _WHITE = (36, 34, 40), (92, 52, 30), (70, 84, 110), (250, 250, 250)

_TRAIN = tuple(
    Style(outline, ink, filling, ground)
    for outline, ink in ((0, _DARK), (2, _DARK), (4, _DARK), (3, _SLATE))
    for filling in ("flat", "fading", "banded", "dotted")
    for ground in ("plain", "fading", "striped", "dotted")
)
_TEST = tuple(
    Style(outline, ink, filling, ground)
    for outline, ink in ((3, _BROWN), (3, _WHITE))
    for filling in ("hatched", "crossed", "speckled")
    for ground in ("checked", "slanted", "clouded")
)
STYLES: dict[str, tuple[Style, ...]] = {"train": _TRAIN, "valid": _TRAIN, "test": _TEST}


_SHIFT = 48  # pixels by which a pattern may be shifted, the period of the widest


@cache
def _pattern(kind: str) -> np.ndarray:
    """Where a pattern marks a picture: (SIDE + _SHIFT, SIDE + _SHIFT) of booleans."""
    y, x = np.mgrid[: SIDE + _SHIFT, : SIDE + _SHIFT]
    grains = np.random.Generator(np.random.PCG64(5)).random((len(y) // 2, len(y) // 2)) < 0.3
    patterns = {
        "banded": (y % 14) < 5,
        "dotted": ((x % 12) - 6) ** 2 + ((y % 12) - 6) ** 2 < 9,
        "hatched": ((x + y) % 12) < 4,
        "crossed": (((x + y) % 16) < 3) | (((x - y) % 16) < 3),
        "speckled": grains.repeat(2, 0).repeat(2, 1),
        "striped": (y % 40) < 20,
        "checked": ((x // 24) + (y // 24)) % 2 == 0,
        "slanted": ((x - y) % 48) < 20,
    }
    return patterns[kind]


@cache
def _noise(level: int) -> np.ndarray:
    """Noise to cut from: (2 SIDE, 2 SIDE, 3), of a standard deviation of `level` grey values."""
    generator = np.random.Generator(np.random.PCG64(level))
    return np.rint(generator.standard_normal((SIDE, SIDE, 3)) * level).astype(np.int16)


def paint_ground(style: Style, rng: Random) -> np.ndarray:
    """Paint a background of pale, hardly coloured tones: (SIDE, SIDE, 3) of bytes."""
    base = np.array(rng.choice(_GROUNDS), np.float32) + rng.randint(-8, 8)
    shade = rng.choice((-26, -18, 14))
    steps = np.linspace(0, 1, SIDE, dtype=np.float32)
    tones = (base + steps[:, None] * shade * 1.4).clip(0, 255).astype(np.uint8)
    if style.ground == "plain":
        place = np.zeros((SIDE, SIDE), np.uint8)
    elif style.ground == "fading":
        place = np.broadcast_to(np.arange(SIDE, dtype=np.uint8), (SIDE, SIDE))
        place = place.T if rng.random() < 0.5 else place
    elif style.ground == "clouded":
        across, down = (np.sin(steps * rng.uniform(6, 12) + rng.uniform(0, 6)) for _ in range(2))
        place = ((down[:, None] * across + 1) * 127).astype(np.uint8)
    else:
        y, x = rng.randrange(_SHIFT), rng.randrange(_SHIFT)
        place = _pattern(style.ground)[y : y + SIDE, x : x + SIDE] * np.uint8(180)
    return np.take(tones, place, axis=0)


def colour_figure(figure: np.ndarray, colour: str, style: Style, rng: Random) -> np.ndarray:
    """Colour an index picture (H, W) in a style: (H, W, 3) of bytes; EMPTY pixels have no meaning."""
    red, green, blue = (channel + rng.randint(-18, 18) for channel in PALETTE[colour])
    body = np.array((red, green, blue), np.float32)
    dark, light = body * 0.68, body + (255 - body) * 0.45
    table = np.zeros((8, 3), np.float32)
    table[EMPTY] = 0
    table[BODY], table[SHADE], table[TINT] = body, dark, light
    table[SKIN] = rng.choice(_SKINS)
    table[INK] = style.ink
    table[PALE] = rng.choice(((248, 248, 244), (228, 232, 236), (244, 238, 222)))
    table[MARK] = dark if rng.random() < 0.5 else light
    table = table.clip(0, 255)
    if style.filling == "fading":
        table = np.repeat(table[None], 2, 0)
        table[1, [BODY, SHADE]] *= 0.72
        ramp = np.linspace(0, 1, len(figure), dtype=np.float32)[:, None, None]
        blended = np.take(table[0], figure, 0) * (1 - ramp) + np.take(table[1], figure, 0) * ramp
        return blended.astype(np.uint8)
    if style.filling != "flat":
        height, width = figure.shape
        figure = np.where((figure == BODY) & _pattern(style.filling)[:height, :width], MARK, figure)
    return np.take(table.astype(np.uint8), figure, axis=0)


def add_noise(picture: np.ndarray, rng: Random) -> np.ndarray:
    """Add noise of one of three strengths to a picture of bytes of at most (SIDE / 2, SIDE / 2, 3)."""
    noise = _noise(rng.choice(_NOISE_LEVELS))
    y, x = rng.randrange(SIDE - picture.shape[0] + 1), rng.randrange(SIDE - picture.shape[1] + 1)
    cut = noise[y : y + picture.shape[0], x : x + picture.shape[1]]
    return (picture + cut).clip(0, 255).astype(np.uint8)
