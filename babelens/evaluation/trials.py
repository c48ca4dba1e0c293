"""A model on the test part of the built-in corpus, with its true pictures and with wrong ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from babelens.data import Corpus, Picture
from babelens.data.postcards import Card
from babelens.data.postcards.controls import blank, corrupt, shuffled, shuffled_within, swapped, true_pictures
from babelens.data.postcards.measures import contradiction_flip_rate, pair_accuracy
from babelens.models.batch import Collator, Row
from babelens.models.decode import decode_rows
from babelens.models.tagger import Tagger
from babelens.schema import Entity
from babelens.scoring.scores import Scores, score, score_groups

Answers = Mapping[str, tuple[Entity, ...]]
Spoil = Callable[[Image.Image], Image.Image]
TRUE, SWAPPED = "true", "swapped"


@dataclass(frozen=True)
class Trial:
    """A model on the test part with one kind of pictures: its scores, and its answers by row."""

    name: str
    scores: Scores
    languages: Mapping[str, Scores]
    pairs: float
    contradicted: float
    answers: Answers

    def to_dict(self) -> dict[str, Any]:
        """The figures, in per cent."""
        return {
            **self.scores.to_dict(languages=self.languages),
            "pair_accuracy": self.pairs,
            "contradictions_flipped": self.contradicted,
        }


def try_pictures(tagger: Tagger, test: Corpus, cards: Sequence[Card]) -> list[Trial]:
    """A model on the test part with its true pictures, without any, and with those of other rows."""
    collator = tagger.collator(1 << 29)
    kinds: list[tuple[str, Mapping[str, str], Spoil | None]] = [
        (TRUE, true_pictures(cards), None),
        ("blank", true_pictures(cards), blank),
        ("shuffled alike", shuffled_within(cards), None),
        ("shuffled", shuffled(cards), None),
        ("noisy", true_pictures(cards), lambda picture: corrupt(picture, "noise", 3)),
        (SWAPPED, swapped(cards), None),
    ]
    return [trial(name, tagger, rows_of(test, donors, spoil, name), cards, collator) for name, donors, spoil in kinds]


def rows_of(
    test: Corpus,
    donors: Mapping[str, str],
    spoil: Spoil | None = None,
    name: str = "",
) -> list[Row]:
    """The rows of the test part, each with the picture of its donor, perhaps spoilt; `name` tells spoilt ones apart."""
    keys = {test[number].images[0]: test.picture_keys(number)[0] for number in range(len(test))}
    true = {f"{name} {key}" if spoil else key: key for key in keys.values()}

    def opened(key: str) -> Picture:
        picture = test.picture(true[key])
        return picture if spoil is None or picture.image is None else replace(picture, image=spoil(picture.image))

    prefix = f"{name} " if spoil else ""
    return [Row(example, (prefix + keys[donors[example.images[0]]],), opened) for example in test]


def trial(name: str, tagger: Tagger, rows: Sequence[Row], cards: Sequence[Card], collator: Collator | None) -> Trial:
    """Tag rows of the test part and compare with their gold."""
    found, _ = decode_rows(tagger, rows, [len(row.example.words) for row in rows], collator=collator)
    gold = [row.example.entities for row in rows]
    answers = {row.example.images[0]: own for row, own in zip(rows, found, strict=True)}
    return Trial(
        name=name,
        scores=score(gold, found),
        languages=score_groups(gold, found, [row.example.language for row in rows]),
        pairs=pair_accuracy(cards, answers),
        contradicted=contradiction_flip_rate(cards, answers),
        answers=answers,
    )
