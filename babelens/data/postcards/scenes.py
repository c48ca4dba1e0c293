"""What is said and drawn: scenes with names, types and binding, each to be told in four languages.

An ambiguous scene has a twin: the same text with the other gold for every mention, so text alone can't tell them apart.
Both draw the same types (two mentions: also the same distractor type), so a set of types can't either.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Literal

from babelens.data.postcards import ambiguous_frames, plain_frames
from babelens.data.postcards.cues import COLOURS, POSITIONS
from babelens.data.postcards.grammar import LANGUAGES
from babelens.data.postcards.names import invent_names
from babelens.data.postcards.sentences import Ambiguous, Lines, Plain, Shape, Text, vocabulary

Kind = Literal["two", "distracted", "alone"]  # two mentions and a third thing; one and a thing of its other type; one
TYPES = ("LOC", "MISC", "ORG", "PER")
PARTS = ("train", "valid", "test")
_TEST_SHAPES: tuple[Shape, ...] = ("side", "bracket", "fronted", "figure", "stated")
_TRAIN_SHAPES: tuple[Shape, ...] = ("side", "bracket", "fronted", "figure")


@dataclass(frozen=True)
class Sizes:
    """Rows per part; each a multiple of 8, for a scene makes four rows (one per language) and may have a twin."""

    train: int = 6000
    valid: int = 800
    test: int = 1600

    def __post_init__(self) -> None:
        for part in PARTS:
            rows = getattr(self, part)
            if rows < 0 or rows % (2 * len(LANGUAGES)):
                raise ValueError(f"expected a multiple of {2 * len(LANGUAGES)} rows for {part}, found {rows}")


@dataclass(frozen=True)
class Shares:
    """What part is what: ambiguous of all rows, of these with two mentions, of the others with a distractor.

    `coloured` of those that bind do it by colour, the others by side. `contradicting` of the unambiguous rows have a
    picture that speaks against the text.
    """

    ambiguous: float = 0.55
    two: float = 0.6
    distracted: float = 0.6
    coloured: float = 0.5
    contradicting: float = 0.2


# Training holds more ambiguous rows, and among them more with one mention: a model that begins with random weights must
# find out what a type looks like, then what "left" and "red" point at, before two mentions can teach it anything. The
# sides come first: where fewer than four in ten bind by them, small models did not begin to bind at all.
SHARES = {
    "train": Shares(ambiguous=0.85, two=0.5, distracted=0.3, coloured=0.4),
    "valid": Shares(),
    "test": Shares(),
}


@dataclass(frozen=True)
class Role:
    """A thing to draw: its type, the mention it stands for (None: a distractor), and what the text fixes of it."""

    type: str
    entity: int | None
    cue: str | None = None


@dataclass(frozen=True)
class Scene:
    """One content: a text in four languages, the gold types of its mentions, and the things to draw.

    `group` ties the four rows together, `twin` is the group with the same text and the other gold.
    """

    group: str
    twin: str | None
    text: Text
    gold: tuple[str, ...]
    candidates: tuple[tuple[str, ...], ...]
    roles: tuple[Role, ...]
    contradicting: bool = False


@dataclass(frozen=True)
class _Frame:
    """A frame of ambiguous rows: the pair of types that it leaves open, how it binds, and its lines."""

    pair: tuple[str, str]
    shape: Shape
    lines: Lines


def plan_scenes(seed: int, sizes: Sizes) -> dict[str, tuple[Scene, ...]]:
    """Plan the scenes of each part; the rows of a part are its scenes times four languages."""
    rows = {part: getattr(sizes, part) for part in PARTS}
    counts = {"train": max(500, rows["train"] // 12), "valid": max(150, rows["valid"] // 4), "test": 0}
    counts["test"] = max(300, rows["test"] // 4)
    names = invent_names(seed, counts, vocabulary())
    return {part: tuple(_plan_part(seed, part, rows[part], names[part], SHARES[part])) for part in PARTS}


def _plan_part(seed: int, part: str, rows: int, names: tuple[str, ...], shares: Shares) -> Iterator[Scene]:
    scenes = rows // len(LANGUAGES)
    twins = round(scenes * shares.ambiguous / 2)
    twos = math.ceil(twins * shares.two)
    distracted = round((twins - twos) * shares.distracted)
    counts: dict[Kind, int] = {"two": twos, "distracted": distracted, "alone": twins - twos - distracted}
    seen: set[Text] = set()
    index = 0
    for kind, count in counts.items():
        for frame in islice(_deal(seed, part, kind), count):
            rng = Random(f"{seed}-{part}-twin-{index}")
            text = _ambiguous_text(rng, kind, frame, names, shares.coloured)
            while text in seen:
                text = _ambiguous_text(rng, kind, frame, names, shares.coloured)
            seen.add(text)
            yield from _twin_scenes(rng, f"{part}-a{index:05d}", kind, frame.pair, text)
            index += 1
    plain = scenes - 2 * twins
    contradicting = round(plain * shares.contradicting)
    for index in range(plain):
        rng = Random(f"{seed}-{part}-plain-{index}")
        yield _plain_scene(rng, part, f"{part}-p{index:05d}", index < contradicting, index, names)


def _deal(seed: int, part: str, kind: Kind) -> Iterator[_Frame]:
    """Frames without end, each as often as any other."""
    rng = Random(f"{seed}-{part}-{kind}")
    test = part == "test"
    shapes: tuple[Shape, ...] = ("bare",) if kind == "alone" else _TEST_SHAPES if test else _TRAIN_SHAPES
    frames: list[_Frame] = []
    for pair in sorted(ambiguous_frames.PREDICATES):
        for shape in shapes:
            if shape in ("bare", "side", "bracket"):
                table = ambiguous_frames.TEST_PREDICATES if test else ambiguous_frames.PREDICATES
            else:
                table = ambiguous_frames.TEST_COMMENTS if test and shape != "stated" else ambiguous_frames.COMMENTS
            frames.extend(_Frame(pair, shape, lines) for lines in table[pair])
    while True:
        rng.shuffle(frames)
        yield from frames


def _pick_name(rng: Random, names: tuple[str, ...], used: set[str]) -> tuple[str, ...]:
    """One word, or two in a quarter of the cases; no word twice in a sentence."""
    chosen: list[str] = []
    for _ in range(2 if rng.random() < 0.25 else 1):
        word = rng.choice(names)
        while word in used:
            word = rng.choice(names)
        used.add(word)
        chosen.append(word)
    return tuple(chosen)


def _twin_scenes(rng: Random, group: str, kind: Kind, pair: tuple[str, str], text: Ambiguous) -> tuple[Scene, Scene]:
    """Two scenes with one text, every mention with its other type in the second."""
    other = rng.choice([type_ for type_ in TYPES if type_ not in pair])
    first, second = rng.sample(pair, 2)
    groups = (f"{group}x", f"{group}y")
    scenes = []
    for number, (own, opposite) in enumerate([(first, second), (second, first)]):
        gold = (own, opposite) if kind == "two" else (own,)
        cues = text.cues or (None,) * len(gold)
        roles = [Role(type_, entity, cue) for entity, (type_, cue) in enumerate(zip(gold, cues, strict=True))]
        if kind == "two":
            roles.append(Role(other, None))
        elif kind == "distracted":
            roles.append(Role(opposite, None, _opposite_side(text.cues[0])))
        scenes.append(Scene(groups[number], groups[1 - number], text, gold, (pair,) * len(gold), tuple(roles)))
    return scenes[0], scenes[1]


def _opposite_side(cue: str) -> str | None:
    return {"left": "right", "right": "left"}.get(cue)


def _ambiguous_text(rng: Random, kind: Kind, frame: _Frame, names: tuple[str, ...], coloured: float) -> Ambiguous:
    used: set[str] = set()
    mentions = tuple(_pick_name(rng, names, used) for _ in range(2 if kind == "two" else 1))
    cues: tuple[str, ...] = ()
    if kind != "alone":
        cues = tuple(rng.sample(COLOURS if rng.random() < coloured else POSITIONS, len(mentions)))
    return Ambiguous(frame.shape, frame.lines, mentions, cues)


def _plain_scene(rng: Random, part: str, group: str, contradicting: bool, index: int, names: tuple[str, ...]) -> Scene:
    """A scene whose text tells the types; its picture shows them, or (contradicting) a thing of another type each."""
    frames = plain_frames.TEST_FRAMES if part == "test" else plain_frames.FRAMES
    first = TYPES[index % len(TYPES)]
    two = rng.random() < 0.25
    fitting = [frame for frame in frames if (frame[0] == (first,)) != two and len(frame[0]) == 1 + two]
    types, lines = rng.choice(fitting)
    used: set[str] = set()
    mentions = tuple(_pick_name(rng, names, used) for _ in types)
    text = Plain(lines, tuple(rng.choice(plain_frames.ROLES[type_]) for type_ in types), mentions)
    drawn = [rng.choice([wrong for wrong in TYPES if wrong not in types]) if contradicting else own for own in types]
    roles = tuple(Role(type_, entity) for entity, type_ in enumerate(drawn))
    return Scene(group, None, text, types, tuple((type_,) for type_ in types), roles, contradicting)
