"""An exported model beside the tagger that it was made of: emissions, tags, scores."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from babelens.data import Corpus, Picture
from babelens.models.batch import Batch, CorpusRows, Row, Rows
from babelens.models.decode import ordered_batches
from babelens.models.loading import BatchLoader, Source, Work
from babelens.models.tagger import Tagger
from babelens.modules.late import pixels_of_none
from babelens.prediction.onnx_engine import OnnxTagger
from babelens.schema import Entity, Example
from babelens.scoring.scores import score

TOLERANCE = 1e-4

_SENTENCES = (
    "Anna Lindqvist visited Paris with the team of Siemens in 2019 .",
    "Le maire de Lyon a reçu les joueurs du Real Madrid .",
    "Köln",
    "¿ Quién ganó la copa en Bogotá ? #copa @realmadrid http://t.co/x",
    "Die Sängerin aus der Elbphilharmonie singt morgen .",
    "東京 กรุงเทพ \u200b [SEP] 🏳️‍🌈",
)
_LONG = 60


@dataclass(frozen=True)
class Comparison:
    """How an exported model differs from its tagger on some rows.

    `difference` is the largest one of emissions where words stand; `same` counts the rows with the same entities. `f1`
    is the micro-averaged score of the exported model and `torch_f1` that of its tagger, in per cent, None on rows
    without labels.
    """

    rows: int
    difference: float
    same: int
    f1: float | None
    torch_f1: float | None


def compare(
    tagger: Tagger,
    exported: OnnxTagger,
    corpus: Corpus | None,
    *,
    batch: int = 32,
    step: Callable[[int], None] | None = None,
) -> Comparison:
    """Ask both about the rows of a labelled corpus; without one, about a few sentences and pictures of noise.

    `step` is called with the number of rows done after each batch.
    """
    rows: Rows = dict(enumerate(sample_rows())) if corpus is None else CorpusRows(corpus)  # pyright: ignore
    lengths = [len(rows[number].example.words) for number in range(len(rows))]
    groups = ordered_batches(lengths, batch)
    found: list[list[tuple[Entity, ...]]] = [[() for _ in lengths], [() for _ in lengths]]
    difference = 0.0
    for numbers, made in zip(groups, _batches(rows, groups, exported), strict=True):
        ours, theirs = tagger.read(_seen(made, tagger).to(tagger.device)), exported.read(made)
        apart = (ours.emissions.cpu() - theirs.emissions)[made.text.mask].abs()
        difference = max(difference, float(apart.max()) if len(apart) else 0.0)
        for place, entities in enumerate((tagger.entities(ours), exported.entities(theirs))):
            for number, own in zip(numbers, entities, strict=True):
                found[place][number] = own
        if step is not None:
            step(len(numbers))
    same = sum(one == two for one, two in zip(*found, strict=True))
    if corpus is None:
        return Comparison(len(lengths), difference, same, None, None)
    gold = [rows[number].example.entities for number in range(len(rows))]
    scores = [score(gold, own).micro.f1 for own in found]
    return Comparison(len(lengths), difference, same, scores[1], scores[0])


def _batches(rows: Rows, groups: Sequence[Sequence[int]], exported: OnnxTagger) -> Iterator[Batch]:
    with BatchLoader(Source(rows, exported.collator())) as loader:
        yield from loader.batches([Work(group) for group in groups])


def _seen(made: Batch, tagger: Tagger) -> Batch:
    """A batch as a tagger reads it that has views, where the exported model has none."""
    if made.pixels:
        return made
    return replace(made, pixels=tuple(pixels_of_none(made.pictures) for _ in tagger.backbone.transforms))


def sample_rows() -> list[Row]:
    """Sentences of several languages, one of them long, with no picture, one or two."""
    sentences = [*_SENTENCES, " ".join(_SENTENCES[:2] * _LONG)]
    keys = [("a",), (), ("b", "c"), ("a", "c"), (), ("d",), ("b",)]
    return [
        Row(Example(str(number), tuple(sentence.split())), own, _noise)
        for number, (sentence, own) in enumerate(zip(sentences, keys, strict=True))
    ]


def _noise(key: str) -> Picture:
    seed = ord(key)
    pixels = np.random.default_rng(seed).integers(0, 256, (60 + seed, 90, 3), dtype=np.uint8)
    return Picture(key, Image.fromarray(pixels), "used")
