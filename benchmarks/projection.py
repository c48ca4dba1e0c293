"""How many entities land in the right place of a translation, and whether their confidence is to be believed.

The sentences are those of the built-in corpus, which are parallel, with gold entities in each language. The translator
is simulated: it looks the true parallel sentence up, and hurts markers, words and names at set rates. What this says of
real translation systems is what one assumes with these rates: nothing here was measured on one.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from babelens.build.projection_markers import STYLES, Style, wrap
from babelens.build.translate import translate_rows
from babelens.build.translate_texts import METHODS, Carrying
from babelens.data.postcards.grammar import LANGUAGES
from babelens.data.postcards.names import CODAS, ONSETS, VOWELS
from babelens.data.postcards.scenes import Sizes, plan_scenes
from babelens.data.postcards.sentences import tell
from babelens.schema import Entity
from babelens.scoring.calibration import Reliability, reliability
from babelens.scoring.outcomes import Outcome

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Rates:
    """What goes wrong, as shares: of entities with markers (the first six), of sentences, and of names.

    Markers: `lost` both, `half` one of them, `doubled` the pair stands around another word too, `shifted` the pair
    takes in the word before or behind, `swapped` two entities have each other's, `spaced` they came back with blanks
    and in capitals. `reworded` sentences with markers differ from those without in a word. Names: `inflected` get an
    ending, `respelt` other letters, `renamed` are another word in the target language, and `alone` is the share of
    names that are changed in the same way when translated alone; the others stay as they were.
    """

    lost: float = 0.05
    half: float = 0.03
    doubled: float = 0.02
    shifted: float = 0.03
    swapped: float = 0.02
    spaced: float = 0.1
    reworded: float = 0.3
    inflected: float = 0.15
    respelt: float = 0.15
    renamed: float = 0.1
    alone: float = 0.7


RATES = {
    "clean": Rates(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    "names change": Rates(0, 0, 0, 0, 0, 0, 0),
    "usual": Rates(),
    "markers bad": Rates(lost=0.25, half=0.15, doubled=0.1, shifted=0.15, swapped=0.1, spaced=0.3, reworded=0.8),
    "names bad": Rates(inflected=0.25, respelt=0.25, renamed=0.3, alone=0.4),
}


@dataclass(frozen=True)
class Pair:
    """A sentence in two languages: texts, and the characters of each entity in them, in the order of the source."""

    id: str
    target: str
    source_text: str
    source_spans: Spans
    text: str
    spans: Spans
    types: tuple[str, ...]


def pairs(seed: int, scenes: int, rates: Rates, source: str = "en") -> Iterator[Pair]:
    """Sentences of the test part in the source language and each of the three others."""
    planned = plan_scenes(seed, Sizes(8, 8, 8 * max(1, scenes // 2)))["test"]
    for scene in planned:
        own = tell(scene.text, source)
        order = sorted(range(len(own.spans)), key=lambda number: own.spans[number])
        source_text, source_spans = join(own.words, [own.spans[number] for number in order])
        for target in (language for language in LANGUAGES if language != source):
            other = tell(scene.text, target)
            words = list(other.words)
            for start, end in other.spans:
                for place in range(start, end):
                    words[place] = change(words[place], target, seed, rates)
            text, spans = join(words, [other.spans[number] for number in order])
            types = tuple(scene.gold[number] for number in order)
            yield Pair(f"{scene.group}", target, source_text, source_spans, text, spans, types)


def join(words: Sequence[str], spans: Sequence[tuple[int, int]]) -> tuple[str, Spans]:
    """Words as one writes them: no blank before a full stop or comma, behind a bracket or an elided article."""
    text = ""
    places: list[tuple[int, int]] = []
    for word in words:
        glued = not text or word in ".,!?)" or text[-1] in "('"
        start = len(text) + (not glued)
        text += word if glued else f" {word}"
        places.append((start, start + len(word)))
    return text, tuple((places[start][0], places[end - 1][1]) for start, end in spans)


def change(name: str, language: str, seed: int, rates: Rates) -> str:
    """A name as the target language has it: always the same one."""
    draw = Random(f"{seed}-{language}-{name}")
    kind = draw.random()
    if kind < rates.inflected:
        return name + draw.choice(("s", "n", "er", "es", "in", "ais"))
    kind -= rates.inflected
    if kind < rates.respelt:
        return respell(name, draw)
    kind -= rates.respelt
    if kind < rates.renamed:
        return "".join(draw.choice(ONSETS) + draw.choice(VOWELS) + draw.choice(CODAS) for _ in range(3)).capitalize()
    return name


def respell(name: str, draw: Random) -> str:
    """Two changes of letters such as one sees between Cologne and Köln, Moscow and Moscú."""
    letters = list(name)
    for _ in range(2):
        place = draw.randrange(1, len(letters))
        swaps = {"a": "á", "o": "ö", "u": "ou", "e": "é", "i": "y", "k": "c", "z": "tz", "v": "w", "s": "ss", "t": "th"}
        if draw.random() < 0.6:
            letters[place] = swaps.get(letters[place], letters[place])
        else:
            letters[place] = draw.choice(VOWELS) if letters[place] in VOWELS else draw.choice(ONSETS)
    return "".join(letters)


class SimulatedTranslator:
    """Gives the true parallel sentence, with markers, words and names hurt at set rates; the same one every time."""

    def __init__(self, sentences: Sequence[Pair], rates: Rates, seed: int) -> None:
        self.rates, self.seed = rates, seed
        self.known: dict[tuple[str, str], tuple[Pair, Style | None]] = {}
        for pair in sentences:
            self.known[pair.source_text, pair.target] = (pair, None)
            for style in STYLES.values():
                marked = wrap(pair.source_text, pair.source_spans, style)
                self.known[marked, pair.target] = (pair, style)

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        return [self._translate(text, target) for text in texts]

    def _translate(self, text: str, target: str) -> str:
        if (text, target) not in self.known:
            words = text.split()
            fixed = Random(f"{self.seed}-alone-{target}-{text}").random() < self.rates.alone
            return " ".join(change(word, target, self.seed, self.rates) for word in words) if fixed else text
        pair, style = self.known[text, target]
        if style is None:
            return pair.text
        draw = Random(f"{self.seed}-{style.name}-{target}-{text}")
        return hurt(pair, style, self.rates, draw)


def hurt(pair: Pair, style: Style, rates: Rates, draw: Random) -> str:
    """The target sentence with markers around its entities, some of them hurt."""
    numbers = list(range(len(pair.spans)))
    if len(numbers) > 1 and draw.random() < rates.swapped:
        numbers = [numbers[1], numbers[0], *numbers[2:]]
    words: list[tuple[int, int]] = []
    at = 0
    for word in pair.text.split(" "):
        words.append((at, at + len(word)))
        at += len(word) + 1
    inserts: list[tuple[int, int, str]] = []
    for place, (start, end) in enumerate(pair.spans):
        opening, closing = style.opening.format(numbers[place] + 1), style.closing.format(numbers[place] + 1)
        kind = draw.random()
        if draw.random() < rates.spaced:
            opening, closing = opening.upper() + " ", " " + closing.upper()
        bounds = [rates.lost, rates.half, rates.doubled, rates.shifted]
        sums = [sum(bounds[: number + 1]) for number in range(4)]
        if kind < sums[0]:
            continue
        if kind < sums[1]:
            inserts.append((start, 1, opening) if draw.random() < 0.5 else (end, 0, closing))
            continue
        if kind < sums[2]:
            word = draw.choice(words)
            if not any(a < word[1] and word[0] < b for a, b in pair.spans):
                inserts += [(word[0], 1, opening), (word[1], 0, closing)]
        elif kind < sums[3]:
            start, end = shift(start, end, words, pair.spans, draw)
        inserts += [(start, 1, opening), (end, 0, closing)]
    text = pair.text
    for at, _, marker in sorted(inserts, reverse=True):
        text = text[:at] + marker + text[at:]
    return reword(text, pair, draw) if draw.random() < rates.reworded else text


def shift(start: int, end: int, words: Sequence[tuple[int, int]], spans: Spans, draw: Random) -> tuple[int, int]:
    """A span that takes in the word before or behind it, where that is no other entity's."""
    before = [word for word in words if word[1] <= start and not any(word[0] < b and a < word[1] for a, b in spans)]
    behind = [word for word in words if word[0] >= end and not any(word[0] < b and a < word[1] for a, b in spans)]
    if before and (draw.random() < 0.5 or not behind):
        return (before[-1][0], end) if text_between(before[-1][1], start, spans) else (start, end)
    return (start, behind[0][1]) if behind and text_between(end, behind[0][0], spans) else (start, end)


def text_between(start: int, end: int, spans: Spans) -> bool:
    """Whether no entity lies between two places."""
    return not any(start <= a < end for a, _ in spans)


def reword(text: str, pair: Pair, draw: Random) -> str:
    """One word of a marked sentence, outside all names and markers, replaced by another one."""
    names = {word for start, end in pair.spans for word in pair.text[start:end].split()}
    words = text.split(" ")
    free = [place for place, word in enumerate(words) if word.isalpha() and word.islower() and word not in names]
    if free:
        words[draw.choice(free)] = draw.choice(("eben", "donc", "pues", "quasi"))
    return " ".join(words)


@dataclass(frozen=True)
class Judged:
    """An entity: whether its place is exactly right, by what it was found (None: it has no place), and how surely."""

    right: bool
    by: str | None
    confidence: float
    language: str


def judge(sentences: Sequence[Pair], translator: SimulatedTranslator, carrying: Carrying, source: str) -> list[Judged]:
    """Carry all entities over by a method, and compare their places with the gold ones.

    A place is right if it holds the words of the gold entity at their same occurrence in the text: a sentence that was
    translated with markers may differ in a word.
    """
    judged: list[Judged] = []
    for target in sorted({pair.target for pair in sentences}):
        own = [pair for pair in sentences if pair.target == target]
        rows = [row_of(pair, source) for pair in own]
        for pair, result in zip(own, translate_rows(rows, translator, [target], carrying=carrying), strict=True):
            text = result.rows[0]["text"]
            for gold, found in zip(pair.spans, result.said["to"][0]["entities"], strict=True):
                if found is None:
                    judged.append(Judged(False, None, 0.0, target))
                else:
                    start, end, by, score = found
                    right = occurrence(text, start, end) == occurrence(pair.text, *gold)
                    judged.append(Judged(right, by, score, target))
    return judged


def row_of(pair: Pair, source: str) -> dict:
    """The source side as a row."""
    entities = [
        {"start": start, "end": end, "text": pair.source_text[start:end], "type": type_}
        for (start, end), type_ in zip(pair.source_spans, pair.types, strict=True)
    ]
    return {"id": pair.id, "text": pair.source_text, "language": source, "entities": entities}


def occurrence(text: str, start: int, end: int) -> tuple[str, int]:
    """The words of a span, and how often they stood in the text before."""
    return text[start:end], text.count(text[start:end], 0, start)


def believed(judged: Sequence[Judged]) -> Reliability:
    """How far confidence is from the share that is right, over the entities that have a place."""
    one = Entity(0, 1, "X")
    outcomes = [
        Outcome("", (), (one,) if item.right else (), (one,), (item.confidence,), 0)
        for item in judged
        if item.by is not None
    ]
    found = reliability(outcomes)
    if found is None:
        raise ValueError("expected entities with a place, found none")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--scenes", type=int, default=400, help="sentences, each in one source and three target languages"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--source", choices=LANGUAGES, default="en")
    parser.add_argument("--bins", action="store_true", help="also print the bins of confidence")
    options = parser.parse_args()
    for name, rates in RATES.items():
        sentences = list(pairs(options.seed, options.scenes, rates, options.source))
        translator = SimulatedTranslator(sentences, rates, options.seed)
        for method, carrying in METHODS.items():
            start = time.perf_counter()
            judged = judge(sentences, translator, carrying, options.source)
            seconds = time.perf_counter() - start
            print(
                json.dumps(
                    {
                        "rates": name,
                        "method": method,
                        **summary(judged, options.bins),
                        "rows_per_second": round(len(sentences) / seconds),
                    }
                )
            )


def summary(judged: Sequence[Judged], bins: bool) -> dict:
    """Per cent of entities that are placed right, wrong and not at all, over all and by what they were found."""
    placed = [item for item in judged if item.by is not None]
    right = sum(item.right for item in judged)
    known = believed(judged)
    ways = {}
    for by in sorted({item.by for item in placed if item.by}):
        own = [item for item in placed if item.by == by]
        ways[by] = [
            len(own),
            percent(sum(item.right for item in own), len(own)),
            percent(sum(item.confidence for item in own), len(own)),
        ]
    shown = {
        "entities": len(judged),
        "right": percent(right, len(judged)),
        "wrong": percent(len(placed) - right, len(judged)),
        "unplaced": percent(len(judged) - len(placed), len(judged)),
        "confidence": percent(known.score, 1),
        "accuracy": percent(known.accuracy, 1),
        "ece": percent(known.ece, 1),
        "brier": round(known.brier, 4),
        "by": ways,
    }
    if bins:
        shown["bins"] = [[bin_.count, percent(bin_.score, 1), percent(bin_.accuracy, 1)] for bin_ in known.bins]
    return shown


def percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 1)


if __name__ == "__main__":
    main()
