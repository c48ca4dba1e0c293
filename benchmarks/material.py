"""Made-up sentences with pictures, of the shape that English MMNERD has, the same in every run of every machine.

Lengths follow a lognormal distribution fitted to its 19,968 training sentences (mean 16.4 words, deviation 8.1; half of
them have 11 to 20), drawn at even quantiles, so that few rows show it as well as many. Words are made of syllables and
follow Zipf's law; a tokenizer learnt from `sentences` makes 1.4 sub-tokens of each. Every row has a picture of its own,
a JPEG of 500 x 375 pixels and some 70 kB, one in four upright.
"""

import itertools
import math
import random
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist

import numpy as np
from PIL import Image

TYPES = ("LOC", "MISC", "ORG", "PER")
_LENGTHS = NormalDist(2.691, 0.4605)
_SHORTEST, _LONGEST = 4, 107
_ENTITIES_PER_WORD = 0.112
_LEXICON = 60_000
_SENTENCES = 2_000


def lengths(rows: int) -> list[int]:
    """The words of each row, in an order that looks like chance."""
    made = [round(math.exp(_LENGTHS.inv_cdf((row + 0.5) / rows))) for row in range(rows)]
    random.Random(1).shuffle(made)
    return [min(max(length, _SHORTEST), _LONGEST) for length in made]


class Words:
    """A lexicon from which words are drawn as often as Zipf's law has it."""

    def __init__(self, seed: int) -> None:
        draw = random.Random(0)
        syllables = ["".join(parts) for parts in itertools.product("bdfgklmnprstvz", "aeiou", ("", "n", "r", "s"))]
        self._lexicon = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(_LEXICON)]
        self._weights = list(itertools.accumulate(1 / (rank + 2.7) for rank in range(_LEXICON)))
        self._draw = random.Random(seed)

    def sentence(self, length: int) -> list[str]:
        """So many words."""
        return self._draw.choices(self._lexicon, cum_weights=self._weights, k=length)


def sentences() -> Iterator[list[str]]:
    """What a tokenizer is learnt from; none of it stands in the corpus, all of it is of its language."""
    words = Words(seed=2)
    return (words.sentence(length) for length in lengths(_SENTENCES))


def write_corpus(folder: Path, rows: int) -> Path:
    """Write train.txt and its pictures into a folder; returns the file."""
    words, draw = Words(seed=3), random.Random(3)
    images = folder / "images"
    images.mkdir(parents=True)
    path = folder / "train.txt"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row, length in enumerate(lengths(rows)):
            write_picture(images / f"{row}.jpg", row)
            file.write(f"IMGID:{row}\n")
            left = 0
            for word in words.sentence(length):
                tag = "O"
                if left:
                    left, tag = left - 1, f"I-{type_}"
                elif draw.random() < _ENTITIES_PER_WORD:
                    left, type_ = draw.randint(0, 1), draw.choice(TYPES)
                    tag = f"B-{type_}"
                file.write(f"{word}\t{tag}\n")
            file.write("\n")
    return path


def write_picture(path: Path, number: int) -> None:
    """Write a JPEG of patches of colour under some grain; another one for each number."""
    draw = np.random.default_rng(number)
    size = (375, 500) if number % 4 == 0 else (500, 375)
    patches = Image.fromarray(draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = draw.normal(0, 12, (size[1], size[0], 1))
    pixels = np.clip(np.asarray(patches) + grain, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=85)
