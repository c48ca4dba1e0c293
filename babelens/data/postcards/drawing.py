"""Drawn things of the four types, as index pictures that a style colours later. No letters anywhere."""

from collections.abc import Callable, Sequence
from math import cos, pi, sin
from random import Random

from PIL import Image, ImageDraw

# What a pixel of an index picture stands for.
EMPTY, BODY, SHADE, TINT, SKIN, INK, PALE, MARK = range(8)

Point = tuple[float, float]


class Pen:
    """Draws on a square index picture in coordinates from 0 to 1; `outline` is the width of outlines in pixels."""

    def __init__(self, size: int, outline: int) -> None:
        self.layer = Image.new("L", (size, size), EMPTY)
        self.size = size
        self.outline = outline
        self._ink = INK if outline else None
        self._draw = ImageDraw.Draw(self.layer)

    def shape(self, points: Sequence[Point], fill: int) -> None:
        """A polygon."""
        self._draw.polygon(
            [(x * self.size, y * self.size) for x, y in points], fill=fill, outline=self._ink, width=self.outline
        )

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: int, corner: float = 0.0) -> None:
        """A rectangle, with rounded corners of radius `corner`."""
        place = (x0 * self.size, y0 * self.size, x1 * self.size, y1 * self.size)
        self._draw.rounded_rectangle(place, corner * self.size, fill=fill, outline=self._ink, width=self.outline)

    def patch(self, x0: float, y0: float, x1: float, y1: float, fill: int) -> None:
        """A rectangle without an outline."""
        self._draw.rectangle((x0 * self.size, y0 * self.size, x1 * self.size, y1 * self.size), fill=fill)

    def disc(self, x: float, y: float, rx: float, ry: float, fill: int) -> None:
        """An ellipse around a centre."""
        place = ((x - rx) * self.size, (y - ry) * self.size, (x + rx) * self.size, (y + ry) * self.size)
        self._draw.ellipse(place, fill=fill, outline=self._ink, width=self.outline)

    def half(self, x: float, y: float, rx: float, ry: float, fill: int) -> None:
        """The upper half of an ellipse around a centre."""
        place = ((x - rx) * self.size, (y - ry) * self.size, (x + rx) * self.size, (y + ry) * self.size)
        self._draw.pieslice(place, 180, 360, fill=fill, outline=self._ink, width=self.outline)

    def stroke(self, points: Sequence[Point], width: float, fill: int) -> None:
        """A line with round joints; thin ones have no outline, which would hide them."""
        line = [(x * self.size, y * self.size) for x, y in points]
        pixels = max(2, round(width * self.size))
        if self.outline and width > 0.05:
            self._draw.line(line, fill=INK, width=pixels + 2 * self.outline, joint="curve")
        self._draw.line(line, fill=fill, width=pixels, joint="curve")


def _person(pen: Pen, rng: Random) -> None:
    """A head, a body in the colour of the thing, arms and legs."""
    pose = rng.choice(("rest", "wave", "cheer", "hips", "walk"))
    shoulder, hip = 0.36, 0.64
    left, right = {
        "rest": ([(0.34, 0.4), (0.27, 0.66)], [(0.66, 0.4), (0.73, 0.66)]),
        "wave": ([(0.34, 0.4), (0.27, 0.66)], [(0.66, 0.4), (0.82, 0.3), (0.86, 0.1)]),
        "cheer": ([(0.34, 0.4), (0.2, 0.28), (0.16, 0.08)], [(0.66, 0.4), (0.8, 0.28), (0.84, 0.08)]),
        "hips": ([(0.34, 0.4), (0.18, 0.52), (0.34, 0.62)], [(0.66, 0.4), (0.82, 0.52), (0.66, 0.62)]),
        "walk": ([(0.34, 0.4), (0.2, 0.6)], [(0.66, 0.4), (0.82, 0.56)]),
    }[pose]
    spread = 0.17 if pose == "walk" else rng.uniform(0.07, 0.11)
    skirt = rng.random() < 0.35
    for side in (-1, 1):
        pen.stroke([(0.5 + side * 0.08, hip), (0.5 + side * spread, 0.95)], 0.1, SKIN if skirt else SHADE)
    for arm in (left, right):
        pen.stroke(arm, 0.09, BODY)
        pen.disc(*arm[-1], 0.05, 0.05, SKIN)
    waist = rng.uniform(0.12, 0.17)
    if skirt:
        pen.shape([(0.34, shoulder), (0.66, shoulder), (0.6, 0.54), (0.76, 0.8), (0.24, 0.8), (0.4, 0.54)], BODY)
    else:
        pen.shape([(0.31, shoulder), (0.69, shoulder), (0.5 + waist, 0.72), (0.5 - waist, 0.72)], BODY)
    pen.disc(0.5, 0.2, 0.135, 0.15, SKIN)
    hair = rng.choice(("short", "long", "hat", "bald"))
    if hair == "long":
        pen.stroke([(0.37, 0.36), (0.38, 0.16)], 0.07, INK)
        pen.stroke([(0.63, 0.36), (0.62, 0.16)], 0.07, INK)
    if hair in ("short", "long"):
        pen.half(0.5, 0.17, 0.145, 0.13, INK)
    if hair == "hat":
        pen.box(0.31, 0.1, 0.69, 0.14, SHADE)
        pen.box(0.39, 0.02, 0.61, 0.12, SHADE)
    for side in (-1, 1):
        pen.disc(0.5 + side * 0.05, 0.2, 0.016, 0.02, INK)


def _landscape(pen: Pen, rng: Random) -> None:
    """A framed patch of land in the colour of the thing, under a pale sky, wider than high."""
    pen.box(0.01, 0.12, 0.99, 0.88, BODY)
    pen.patch(0.07, 0.18, 0.93, 0.82, PALE)
    kind = rng.choice(("mountains", "lake", "island", "beach", "village"))
    draw = _mountains if kind in ("mountains", "lake") else _village if kind == "village" else _shore
    draw(pen, rng, kind)


def _mountains(pen: Pen, rng: Random, kind: str) -> None:
    """A mountain with snow before a second one, on a plain or behind a lake."""
    peak, second = rng.uniform(0.26, 0.46), rng.uniform(0.62, 0.8)
    pen.shape([(0.4, 0.8), (second, rng.uniform(0.32, 0.42)), (0.92, 0.7), (0.92, 0.8)], SHADE)
    top = rng.uniform(0.22, 0.3)
    pen.shape([(0.08, 0.8), (0.08, 0.7), (peak, top), (0.76, 0.8)], BODY)
    pen.shape([(peak - 0.07, top + 0.12), (peak, top), (peak + 0.07, top + 0.12)], PALE)
    pen.patch(0.07, 0.7, 0.93, 0.83, BODY)
    if kind == "lake":
        pen.disc(rng.uniform(0.4, 0.6), 0.73, 0.34, 0.08, TINT)


def _shore(pen: Pen, rng: Random, kind: str) -> None:
    """The sea, and a palm on an island or on a beach at the side."""
    pen.patch(0.07, 0.55, 0.93, 0.83, BODY)
    for y in (0.68, 0.76):
        x = rng.uniform(0.1, 0.4)
        pen.stroke([(x, y), (x + 0.4, y)], 0.02, TINT)
    x = rng.uniform(0.35, 0.65) if kind == "island" else rng.choice((0.26, 0.74))
    pen.half(x, 0.64, 0.27 if kind == "island" else 0.2, 0.17, SHADE)
    pen.stroke([(x, 0.5), (x + 0.04, 0.32)], 0.035, INK)
    for turn in (-0.17, -0.1, 0.1, 0.17):
        pen.stroke([(x + 0.04, 0.32), (x + 0.04 + turn, 0.35 - abs(turn) / 4)], 0.045, BODY)


def _village(pen: Pen, rng: Random, _: str) -> None:
    """Houses on hills."""
    pen.half(0.34, 0.82, 0.26, rng.uniform(0.36, 0.42), BODY)
    pen.half(0.68, 0.82, 0.24, rng.uniform(0.28, 0.34), SHADE)
    pen.patch(0.07, 0.7, 0.93, 0.83, BODY)
    for x in (0.18, 0.44, 0.69):
        y = rng.uniform(0.58, 0.64)
        pen.patch(x, y, x + 0.12, y + 0.12, PALE)
        pen.shape([(x - 0.04, y), (x + 0.06, y - 0.1), (x + 0.16, y)], BODY)


def _building(pen: Pen, rng: Random) -> None:
    """A facade in the colour of the thing, with columns or rows of windows, or a blank sign-board."""
    kind = rng.choice(("temple", "tower", "block", "factory", "board"))
    if kind == "temple":
        columns, eaves = rng.choice((3, 4, 5)), rng.uniform(0.32, 0.38)
        pen.shape([(0.06, eaves), (0.5, rng.uniform(0.06, 0.12)), (0.94, eaves)], BODY)
        pen.box(0.1, eaves, 0.9, 0.86, BODY)
        step = 0.76 / columns
        for column in range(columns):
            x = 0.12 + (column + 0.3) * step
            pen.patch(x, eaves + 0.07, x + step * 0.4, 0.84, PALE)
        pen.box(0.04, 0.86, 0.96, 0.95, SHADE)
        return
    if kind == "board":
        low, leg = rng.uniform(0.56, 0.66), rng.uniform(0.16, 0.3)
        for x in (leg, 0.95 - leg):
            pen.box(x, 0.5, x + 0.05, 0.96, INK)
        pen.box(0.05, 0.14, 0.95, low, BODY)
        pen.patch(0.16, 0.24, 0.84, low - 0.1, PALE)
        middle = (0.14 + low) / 2
        pen.shape([(0.5, middle - 0.12), (0.6, middle), (0.5, middle + 0.12), (0.4, middle)], SHADE)
        return
    x0, x1, top = {"tower": (0.24, 0.76, 0.04), "block": (0.08, 0.92, 0.24), "factory": (0.08, 0.92, 0.42)}[kind]
    if kind == "factory":
        for x in (0.14, 0.32):
            pen.box(x, 0.08, x + 0.1, 0.5, SHADE)
        pen.shape([(0.48, 0.44), (0.48, 0.28), (0.7, 0.44), (0.7, 0.28), (0.92, 0.44)], SHADE)
    pen.box(x0, top, x1, 0.95, BODY)
    if kind == "block":
        pen.box(x0 - 0.05, top - 0.08, x1 + 0.05, top + 0.02, SHADE)
    columns, rows = {"tower": (3, 6), "block": (4, 4), "factory": (5, 2)}[kind]
    columns += rng.randrange(2)
    step, rise = (x1 - x0) / columns, (0.8 - top) / rows
    for row in range(rows):
        for column in range(columns):
            x, y = x0 + (column + 0.22) * step, top + 0.05 + row * rise
            pen.patch(x, y, x + step * 0.56, y + rise * 0.58, PALE)
    middle = (x0 + x1) / 2
    pen.box(middle - 0.07, 0.8, middle + 0.07, 0.95, INK)


def _product(pen: Pen, rng: Random) -> None:
    """A car, a telephone, a bottle, a trophy, a balloon or a firework."""
    rng.choice((_car, _phone, _bottle, _trophy, _balloon, _firework))(pen, rng)


def _car(pen: Pen, rng: Random) -> None:
    roof = rng.uniform(0.26, 0.34)
    pen.shape([(0.2, 0.52), (0.32, roof), (0.68, roof), (0.84, 0.52)], BODY)
    pen.shape([(0.28, 0.52), (0.36, roof + 0.06), (0.48, roof + 0.06), (0.48, 0.52)], PALE)
    pen.shape([(0.53, 0.52), (0.53, roof + 0.06), (0.65, roof + 0.06), (0.75, 0.52)], PALE)
    pen.box(0.03, 0.5, 0.97, 0.72, BODY, 0.08)
    for x in (0.24, 0.76):
        pen.disc(x, 0.73, 0.12, 0.12, INK)
        pen.disc(x, 0.73, 0.05, 0.05, PALE)


def _phone(pen: Pen, rng: Random) -> None:
    pen.box(0.26, 0.03, 0.74, 0.97, BODY, 0.1)
    pen.box(0.33, 0.15, 0.67, 0.78, TINT, 0.02)
    pen.disc(0.5, 0.88, 0.05, 0.05, PALE)
    pen.stroke([(0.43, 0.09), (0.57, 0.09)], 0.025, INK)
    if rng.random() < 0.5:
        pen.shape([(0.33, 0.78), (0.33, 0.5), (0.67, 0.3), (0.67, 0.78)], PALE)


def _bottle(pen: Pen, rng: Random) -> None:
    neck = rng.uniform(0.24, 0.32)
    pen.box(0.42, 0.04, 0.58, 0.14, INK)
    pen.shape([(0.43, 0.13), (0.57, 0.13), (0.57, neck), (0.7, 0.46), (0.3, 0.46), (0.43, neck)], BODY)
    pen.box(0.3, 0.44, 0.7, 0.97, BODY, 0.05)
    pen.box(0.3, 0.56, 0.7, 0.78, PALE)
    pen.disc(0.5, 0.67, 0.08, 0.08, SHADE)


def _trophy(pen: Pen, rng: Random) -> None:
    wide = rng.uniform(0.24, 0.3)
    for side in (-1, 1):
        pen.disc(0.5 + side * wide, 0.27, 0.13, 0.15, BODY)
        pen.disc(0.5 + side * wide, 0.27, 0.07, 0.09, EMPTY)
    pen.shape(
        [(0.5 - wide, 0.06), (0.5 + wide, 0.06), (0.5 + wide * 0.7, 0.5), (0.5, 0.64), (0.5 - wide * 0.7, 0.5)], BODY
    )
    pen.box(0.45, 0.6, 0.55, 0.8, BODY)
    pen.box(0.28, 0.78, 0.72, 0.95, SHADE)
    pen.disc(0.5, 0.28, 0.08, 0.08, TINT)


def _balloon(pen: Pen, rng: Random) -> None:
    pen.stroke([(0.32, 0.52), (0.42, 0.78)], 0.02, INK)
    pen.stroke([(0.68, 0.52), (0.58, 0.78)], 0.02, INK)
    pen.disc(0.5, 0.34, 0.33, 0.32, BODY)
    pen.disc(0.5, 0.34, rng.uniform(0.12, 0.17), 0.32, TINT)
    pen.box(0.39, 0.78, 0.61, 0.96, SHADE)


def _firework(pen: Pen, rng: Random) -> None:
    rays, turn = rng.choice((8, 9, 10)), rng.random()
    for ray in range(rays):
        angle = 2 * pi * (ray + turn) / rays
        x, y = cos(angle), sin(angle)
        pen.stroke([(0.5 + 0.12 * x, 0.5 + 0.12 * y), (0.5 + 0.4 * x, 0.5 + 0.4 * y)], 0.07, BODY)
        pen.disc(0.5 + 0.42 * x, 0.5 + 0.42 * y, 0.06, 0.06, TINT if ray % 2 else BODY)
    pen.disc(0.5, 0.5, 0.1, 0.1, PALE)


FIGURES: dict[str, Callable[[Pen, Random], None]] = {
    "PER": _person,
    "LOC": _landscape,
    "ORG": _building,
    "MISC": _product,
}


def draw_figure(type_: str, size: int, outline: int, rng: Random) -> Image.Image:
    """Draw a thing of a type as an index picture, `size` pixels on its longest side, cut to what is drawn."""
    pen = Pen(size, outline)
    FIGURES[type_](pen, rng)
    layer = pen.layer
    if rng.random() < 0.5:
        layer = layer.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    tilt = rng.uniform(-6, 6) if type_ in ("PER", "MISC") else rng.uniform(-2, 2)
    layer = layer.rotate(tilt, Image.Resampling.NEAREST)
    return layer.crop(layer.getbbox())
