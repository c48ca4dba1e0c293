"""Entities carried from a sentence to its translation, each with a confidence that it stands in the right place.

Three things speak for a place: markers that went through the translation (`projection_markers`), likeness to the name
or to its own translation (`projection_similarity`), and, where vectors are given, words that mean the same
(`projection_vectors`). What they say is added up for every run of words, and the places are chosen together
(`projection_assignment`). A name for which nothing speaks is looked for among the capitals that are left over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from babelens.build.projection_assignment import Candidate, assign
from babelens.build.projection_confidence import confidence
from babelens.build.projection_markers import Marked, Span
from babelens.build.projection_similarity import Run, Words, runs, similarity
from babelens.build.projection_vectors import Links, linked_runs
from babelens.build.projection_words import capital_runs, carry_spans, trim_span, word_span
from babelens.data.words import split_words

_MARKED, _WIDENED, _MOVED, _NEAR = 0.85, 0.6, 0.9, 0.4
_SPELT, _LINKED, _LEFT = 0.95, 0.8, 0.1
_AGREE, _EQUAL = 0.6, 0.96
_CLOSE = 0.02
_KEPT = 12  # candidates of an entity


@dataclass(frozen=True)
class Mention:
    """An entity of the source: characters `start` up to `end`, and its type."""

    start: int
    end: int
    type: str


@dataclass(frozen=True)
class Placed:
    """An entity in the translation: characters `start` up to `end`, by what it was found, and how surely.

    `by` is "both" (markers there or overlapping it, and a likeness of at least 0.6), "markers", "likeness", "vectors"
    or "capitals" (nothing but a capital that no other name has). `confidence` is the probability, from 0 to 1, that the
    place is right to the character; see `projection_confidence` for where it comes from.
    """

    start: int
    end: int
    by: str
    confidence: float


@dataclass(frozen=True)
class Clues:
    """What is known besides the two texts.

    - `forms`: for entities by number, how they may be called in the translation, such as their translations alone.
    - `marked`: a translation with markers; of the same words as the translation, or other ones.
    - `links`: which words mean the same (`link_words`), by the words of `split_words`.
    """

    forms: Mapping[int, Sequence[str]] = field(default_factory=dict)
    marked: Marked | None = None
    links: Links | None = None


def project(source: str, mentions: Sequence[Mention], text: str, clues: Clues | None = None) -> list[Placed | None]:
    """Find the entities of a source text in its translation; None for each that has no place.

    Places are whole words as `split_words` has them, and do not overlap.

    Raises:
        ValueError: the mentions are not in order, or overlap.
    """
    if any(before.end > after.start for before, after in pairwise(mentions)):
        raise ValueError("expected mentions in order and without overlap")
    clues = clues or Clues()
    words = split_words(text)
    names = [source[mention.start : mention.end] for mention in mentions]
    forms = [[name, *clues.forms.get(number, ())] for number, name in enumerate(names)]
    marked = {} if clues.marked is None else _marked_places(clues.marked, names, forms, text, words)
    origin = split_words(source) if clues.links is not None else []
    found: list[list[_Place]] = []
    for number, mention in enumerate(mentions):
        linked: list[Run] = []
        own = word_span(origin, (mention.start, mention.end))
        if clues.links is not None and own is not None:
            linked = linked_runs(clues.links, *own[0])
        middle = (mention.start + mention.end) / 2 / len(source)
        spelt = [run for run in runs(text, words, forms[number]) if _is_trim(run, text, words, names[number])]
        found.append(_gather(spelt, linked, marked.get(number, {}), words, middle))
    chosen = _choose(found)
    _fill_up(found, chosen, names, text, words)
    return [_placed(number, found, chosen, mentions, words) for number in range(len(mentions))]


def doubt(placed: Sequence[Placed | None]) -> float:
    """The probability that a row has at least one wrong place, if they are right or wrong independently.

    One less the product of the confidences; 1 where an entity has no place, 0 where there are no entities.
    """
    right = 1.0
    for place in placed:
        right *= 0.0 if place is None else place.confidence
    return 1 - right


@dataclass(frozen=True)
class _Place:
    """A run of words that an entity may have: how strongly all speaks for it (0 to 1), and what does."""

    start: int
    end: int
    strength: float
    by: str
    close: float


def _marked_places(
    marked: Marked, names: Sequence[str], forms: Sequence[Sequence[str]], text: str, words: Words
) -> dict[int, dict[Span, float]]:
    """Where the markers put entities in the translation, and how strongly they speak for each place.

    Words that stand unchanged in the translation are carried over; others are looked for by what stood in the markers.
    """
    own = split_words(marked.text)
    spans: dict[int, Span] = {}
    strengths: dict[int, float] = {}
    for number, characters in _identified(marked, forms).items():
        at = word_span(own, characters)
        if at is not None:
            spans[number] = trim_span(marked.text, own, at[0], names[number])
            strengths[number] = _MARKED * (_WIDENED if at[1] else 1.0)
    one = [marked.text[start:end] for start, end in own]
    other = [text[start:end] for start, end in words]
    carried = carry_spans(one, other, spans)
    places: dict[int, dict[Span, float]] = {}
    for number, (first, last) in spans.items():
        if number in carried:
            places[number] = {carried[number]: strengths[number]}
        else:
            seen = marked.text[own[first][0] : own[last - 1][1]]
            likely = runs(text, words, [seen], _AGREE)
            places[number] = {
                (run.start, run.end): strengths[number] * _MOVED * run.similarity**2 for run in likely[:_KEPT]
            }
    return places


def _identified(marked: Marked, forms: Sequence[Sequence[str]]) -> dict[int, Span]:
    """The spans of entities by number; pairs without numbers go to the names that they are most like, in order else."""
    if not marked.pairs or marked.faults:
        return marked.spans
    candidates = [
        Candidate(number, place, place + 1, 0.1 + max(similarity(form, marked.text[start:end]) for form in known))
        for number, known in enumerate(forms)
        for place, (start, end) in enumerate(marked.pairs)
    ]
    return {number: marked.pairs[candidate.start] for number, candidate in assign(candidates).items()}


def _is_trim(run: Run, text: str, words: Words, name: str) -> bool:
    """Whether a run has no article or sign too many at its ends; one that is spelt like the name is never too long."""
    return run.similarity >= _EQUAL or trim_span(text, words, (run.start, run.end), name) == (run.start, run.end)


def _gather(
    spelt: Sequence[Run], linked: Sequence[Run], marked: Mapping[Span, float], words: Words, middle: float
) -> list[_Place]:
    """The places of one entity with all that speaks for each: 1 less the product of the doubts that are left."""
    likeness = {(run.start, run.end): run.similarity for run in spelt}
    vectors = {(run.start, run.end): run.similarity for run in linked}
    places: list[_Place] = []
    for span in dict.fromkeys([*marked, *likeness, *vectors]):
        near = max((marked[at] for at in marked if at[0] < span[1] and span[0] < at[1]), default=0.0)
        by_marker = marked.get(span, _NEAR * near)
        alike, meant = _SPELT * likeness.get(span, 0.0) ** 2, _LINKED * vectors.get(span, 0.0)
        strength = 1 - (1 - by_marker) * (1 - alike) * (1 - meant)
        by = max((by_marker, "markers"), (alike, "likeness"), (meant, "vectors"))[1]
        if near and likeness.get(span, 0.0) >= _AGREE:
            by = "both"
        places.append(_Place(*span, strength, by, _closeness(words, span, middle)))
    return sorted(places, key=lambda place: -place.strength - _CLOSE * place.close)[:_KEPT]


def _closeness(words: Words, span: Span, middle: float) -> float:
    """1 where a span stands as far into its text as the entity into the source, down to 0 at the other end."""
    return 1 - abs((words[span[0]][0] + words[span[1] - 1][1]) / 2 / words[-1][1] - middle)


def _choose(found: Sequence[Sequence[_Place]]) -> dict[int, _Place]:
    candidates = {
        Candidate(number, place.start, place.end, place.strength + _CLOSE * place.close): place
        for number, places in enumerate(found)
        for place in places
    }
    return {number: candidates[candidate] for number, candidate in assign(list(candidates)).items()}


def _fill_up(
    found: list[list[_Place]], chosen: dict[int, _Place], names: Sequence[str], text: str, words: Words
) -> None:
    """Give names with a capital that have no place yet the capitals that are left, in order."""
    left = [number for number, name in enumerate(names) if number not in chosen and name[:1].isupper()]
    if not left:
        return
    said = [text[start:end] for start, end in words]
    taken = {word for place in chosen.values() for word in range(place.start, place.end)}
    free = [span for span in capital_runs(said) if not taken.intersection(range(*span))]
    first = [span for span in free if span[0] == 0]
    inner = [span for span in free if span[0]]
    open_spans = inner if len(inner) >= len(left) else sorted([*first, *inner])
    share = min(1.0, len(left) / max(1, len(free)))
    candidates: list[Candidate] = []
    for number in left:
        for span in open_spans:
            alike = similarity(names[number], text[words[span[0]][0] : words[span[1] - 1][1]])
            candidates.append(Candidate(number, *span, 0.1 + alike))
    for number, candidate in assign(candidates).items():
        chosen[number] = _Place(candidate.start, candidate.end, _LEFT + (1 - _LEFT) * share, "capitals", 0.0)
        found[number] = [chosen[number]]


def _placed(
    number: int,
    found: Sequence[Sequence[_Place]],
    chosen: Mapping[int, _Place],
    mentions: Sequence[Mention],
    words: Words,
) -> Placed | None:
    place = chosen.get(number)
    if place is None:
        return None
    type_ = mentions[number].type
    others = [other for n, other in chosen.items() if n != number and mentions[n].type == type_]
    apart = beside = 0.0
    for rival in found[number]:
        if (rival.start, rival.end) == (place.start, place.end):
            continue
        share = rival.strength / place.strength
        if rival.start < place.end and place.start < rival.end:
            beside = max(beside, share)
        elif not any((rival.start, rival.end) == (other.start, other.end) for other in others):
            apart = max(apart, share)
    sure = confidence(place.by, place.strength, apart, beside)
    return Placed(words[place.start][0], words[place.end - 1][1], place.by, sure)
