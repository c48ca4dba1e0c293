"""The texts of the corpus: which frame, names and binding, and how they read in each language."""

from dataclasses import dataclass
from itertools import chain
from typing import Literal

from babelens.data.postcards import ambiguous_frames, cues, plain_frames
from babelens.data.postcards.grammar import LANGUAGES, Mention, Sentence, conjunction, realise

Name = tuple[str, ...]
Lines = tuple[str, str, str, str]

# How the binding is said: not at all, beside the name, in brackets, before the name ("On the left X"), with the thing
# as the subject ("The red figure is X"), or with the name as the subject ("X is in red").
Shape = Literal["bare", "side", "bracket", "fronted", "figure", "stated"]


@dataclass(frozen=True)
class Ambiguous:
    """A text that leaves two types open for each name. `cues` bind the names in order; empty for the shape "bare"."""

    shape: Shape
    lines: Lines
    names: tuple[Name, ...]
    cues: tuple[str, ...]


@dataclass(frozen=True)
class Plain:
    """A text that tells the types: `roles` are what stands before the names, in the four languages."""

    lines: Lines
    roles: tuple[Lines, ...]
    names: tuple[Name, ...]

    @property
    def cues(self) -> tuple[str, ...]:
        """Nothing binds the names to the picture."""
        return ()


Text = Ambiguous | Plain


def tell(text: Text, language: str) -> Sentence:
    """The sentence of a text in a language."""
    number = LANGUAGES.index(language)
    line = text.lines[number]
    if isinstance(text, Plain):
        mentions = [
            Mention(entity, name, before=tuple(role[number].split()))
            for entity, (name, role) in enumerate(zip(text.names, text.roles, strict=True))
        ]
        return realise(line, language, {str(mention.entity): [mention] for mention in mentions})
    places = [cues.PLACES[cue][number] for cue in text.cues]
    if text.shape in ("bare", "side", "bracket"):
        after = [f"( {place} )" if text.shape == "bracket" else place for place in places] or [""] * len(text.names)
        mentions = [
            Mention(entity, name, after=tuple(words.split()))
            for entity, (name, words) in enumerate(zip(text.names, after, strict=True))
        ]
        return realise(line, language, {"x": mentions})
    clauses = [_clause(text, number, entity) for entity in range(len(text.names))]
    joint = " , "
    if text.shape != "fronted" and len(clauses) > 1:
        opening = text.names[1][0] if text.shape == "stated" else clauses[1]
        joint = f" {conjunction(language, opening)} "
    comment = line.split("[", 1)[1].split("]", 1)[1]
    said = line[1 : line.index("]")].split("|")[len(clauses) - 1] + comment
    slots = {str(entity): [Mention(entity, name)] for entity, name in enumerate(text.names)}
    return realise(f"{joint.join(clauses)} : {said} .", language, slots)


def _clause(text: Ambiguous, number: int, entity: int) -> str:
    """The clause that binds one name, with its slot."""
    cue, slot = text.cues[entity], f"{{{entity}}}"
    if text.shape == "fronted":
        return f"{cues.PLACES[cue][number]} {slot}"
    if text.shape == "stated":
        return f"{slot} {cues.LIES[number]} {cues.PLACES[cue][number]}"
    subject = (cues.OTHERS if entity else cues.FIGURES)[cue][number]
    return f"{subject} {cues.IS[number]} {slot}"


def vocabulary() -> frozenset[str]:
    """All lower-case words of frames, roles and cues: no name may be one of them."""
    lines = chain(
        *chain.from_iterable(
            table.values()
            for table in (
                ambiguous_frames.PREDICATES,
                ambiguous_frames.TEST_PREDICATES,
                ambiguous_frames.COMMENTS,
                ambiguous_frames.TEST_COMMENTS,
                plain_frames.ROLES,
            )
        ),
        (frame[1] for frame in (*plain_frames.FRAMES, *plain_frames.TEST_FRAMES)),
        cues.PLACES.values(),
        cues.FIGURES.values(),
        cues.OTHERS.values(),
    )
    text = " ".join(chain.from_iterable(lines)).lower()
    return frozenset(text.translate(str.maketrans("[]|", "   ")).split())
