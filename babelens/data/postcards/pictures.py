"""The picture of a scene: its things placed side by side, coloured in a style, with noise."""

from collections.abc import Sequence
from random import Random

import numpy as np
from PIL import Image

from babelens.data.postcards.cards import Thing
from babelens.data.postcards.cues import COLOURS
from babelens.data.postcards.drawing import draw_figure
from babelens.data.postcards.scenes import Role
from babelens.data.postcards.styles import SIDE, STYLES, Style, add_noise, colour_figure, paint_ground

PICTURE_SIDE = 128  # pixels of a finished picture
_SCALE = SIDE // PICTURE_SIDE


def draw_picture(roles: Sequence[Role], part: str, rng: Random) -> tuple[Image.Image, tuple[Thing, ...]]:
    """Draw the things of a scene in one style of a part; the same state of `rng` gives the same picture.

    What the text binds (a side or a colour) is kept; all else is free. Boxes are in pixels of the finished picture.
    """
    style = rng.choice(STYLES[part])
    canvas = paint_ground(style, rng)
    slots, colours = _place(roles, rng), _colour(roles, rng)
    things = []
    for role, (position, x, y), colour in zip(roles, slots, colours, strict=True):
        box = _draw_thing(canvas, role.type, colour, style, (x, y), rng)
        things.append(Thing(role.type, box, colour, position, role.entity, role.cue))
    small = np.asarray(Image.fromarray(canvas).reduce(_SCALE))
    return Image.fromarray(add_noise(small, rng)), tuple(things)


def _place(roles: Sequence[Role], rng: Random) -> list[tuple[str, float, float]]:
    """A position and a centre for each thing. A third thing stands between the others, above or below them."""
    near, far = SIDE * 0.245, SIDE * 0.755
    if len(roles) == 1:
        return [(roles[0].cue if roles[0].cue in ("left", "right") else "anywhere", *_anywhere(rng, near, far))]
    high = rng.random() < 0.5
    if len(roles) == 2:
        slots = {"left": (near, rng.uniform(near, far)), "right": (far, rng.uniform(near, far))}
    else:
        row, other = (near, far) if high else (far, near)
        slots = {"left": (near, row), "right": (far, row), "middle": (SIDE / 2 + rng.uniform(-14, 14), other)}
    free = [name for name in slots if name not in {role.cue for role in roles}]
    rng.shuffle(free)
    chosen = [role.cue if role.cue in slots else free.pop() for role in roles]
    return [(name, slots[name][0] + rng.uniform(-3, 3), slots[name][1] + rng.uniform(-3, 3)) for name in chosen]


def _anywhere(rng: Random, near: float, far: float) -> tuple[float, float]:
    return rng.uniform(near, far), rng.uniform(near, far)


def _colour(roles: Sequence[Role], rng: Random) -> list[str]:
    """A colour for each thing, no two alike."""
    free = [colour for colour in COLOURS if colour not in {role.cue for role in roles}]
    rng.shuffle(free)
    return [role.cue if role.cue in COLOURS else free.pop() for role in roles]


def _draw_thing(
    canvas: np.ndarray, type_: str, colour: str, style: Style, centre: tuple[float, float], rng: Random
) -> tuple[int, int, int, int]:
    """Draw one thing on the canvas, and give its box in pixels of the finished picture."""
    size = round(SIDE * rng.uniform(0.42, 0.47))
    figure = np.asarray(draw_figure(type_, size, style.outline, rng))
    height, width = figure.shape
    x = min(max(0, round(centre[0] - width / 2)), SIDE - width)
    y = min(max(0, round(centre[1] - height / 2)), SIDE - height)
    painted = colour_figure(figure, colour, style, rng)
    part = canvas[y : y + height, x : x + width]
    np.copyto(part, painted, where=(figure > 0)[..., None])
    return (x // _SCALE, y // _SCALE, -(-(x + width) // _SCALE), -(-(y + height) // _SCALE))
