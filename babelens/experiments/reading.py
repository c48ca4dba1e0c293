"""One reading of a test part by a chosen model: its outcomes, and the figures that are made of them."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from babelens.data import Corpus
from babelens.data.disguise import disguise
from babelens.data.mmnerd import mmnerd_source
from babelens.evaluation.evaluate import check_types
from babelens.experiments.material import Material, Sealed, Selection
from babelens.experiments.plan import PlanError, Point, Test
from babelens.experiments.results import Leaks, Reading
from babelens.models.batch import ImageStatus
from babelens.models.decode import Scored, decode_corpus_scored
from babelens.models.region_store import RegionCache
from babelens.models.regions import prepare
from babelens.models.tagger import Tagger
from babelens.schema import Entity, InputError, write_tags
from babelens.scoring.outcomes import Outcome, clean, founds, golds
from babelens.scoring.scores import UNNAMED, Entities, score, score_groups
from babelens.training.recipe import Training


def outcomes_file(folder: Path, test: str) -> Path:
    """Where the outcomes of a reading lie."""
    return folder / "outcomes" / f"{test.replace('/', '-').replace(':', '-')}.jsonl.gz"


def rows_of_test(test: Test, sealed: Sealed, point: Point) -> np.ndarray:
    """The numbers of the rows that a test reads.

    Raises:
        PlanError: there are none.
    """
    languages = test.languages or (point.variant.languages if test.data is None else None)
    rows = sealed.rows(languages)
    if not len(rows):
        raise PlanError(f"no test rows of {', '.join(languages or ('any language',))}")
    return rows


class Reader:
    """Reads corpora with a chosen model as its validation was read: with kept regions, and with pairs of pictures."""

    def __init__(
        self, tagger: Tagger, material: Material, point: Point, selection: Selection, settings: Training
    ) -> None:
        self.tagger, self.material, self.point, self.selection = tagger, material, point, selection
        self.settings = settings

    @cached_property
    def _names(self) -> Counter[str]:
        """How often each name is an entity in the training rows."""
        training = self.material.training.select(self.material.train_rows(self.point.variant))
        return Counter(surface(example.words, entity) for example in training for entity in example.entities)

    def shown(self, corpus: Corpus) -> Corpus:
        """The rows of a corpus as the model reads them."""
        return corpus.pairs() if self.settings.pictures == "pairs" else corpus

    def regions(self, corpus: Corpus) -> RegionCache | None:
        """What frozen encoders make of the pictures of a corpus, kept as in training."""
        wish = self.settings.region_cache
        return prepare(self.tagger, [corpus], wish, use="training", autocast=self.tagger.precision).cache

    def _open(
        self, test: Test, name: str, why: str
    ) -> tuple[Corpus, np.ndarray, list[list[Scored]], list[ImageStatus]]:
        """The rows of a test with their numbers in the part, and what the model finds in them.

        Types that the part does not label are left out of the answers, where the model knows more.
        """
        sealed = self.material.sealed(test)
        rows = rows_of_test(test, sealed, self.point)
        # Pictures are disguised by one seed: all models see the same.
        opened = disguise(sealed.open(self.selection, name, rows, why=why), test.pictures)
        corpus = self.shown(opened)
        if len(corpus) > len(opened):
            rows = np.repeat(rows, np.maximum(opened.picture_numbers, 1))
        check_types(self.tagger, corpus)
        collator = self.tagger.collator(regions=self.regions(corpus))
        answers, status = decode_corpus_scored(self.tagger, corpus, collator=collator)
        known = set(sealed.types)
        return corpus, rows, [[one for one in row if one[0].type in known] for row in answers], status

    def read(self, test: Test, name: str) -> list[Outcome]:
        """Read a test part, once.

        Raises:
            InputError: the part labels types that the model does not know.
        """
        sealed = self.material.sealed(test)
        shared = sealed.shared(self.material.training)
        corpus, rows, answers, status = self._open(test, name, "after selection")
        return [
            Outcome(
                id=example.id,
                words=example.words,
                gold=example.entities,
                found=tuple(entity for entity, _ in answers[number]),
                scores=tuple(float(probability) for _, probability in answers[number]),
                unit=int(sealed.units[rows[number]]),
                leaks=shared[rows[number]],
                frequencies=tuple(self._names[surface(example.words, entity)] for entity in example.entities),
                language=example.language,
                source=mmnerd_source(example) if sealed.of_mmnerd else example.source,
                status=status[number],
                images=example.images,
            )
            for number, example in enumerate(corpus)
        ]

    def f1(self, test: Test, name: str, why: str) -> float:
        """Micro F1 (per cent) of the model as it is: no choice may hang on it."""
        corpus, _, answers, _ = self._open(test, name, why)
        found = [[entity for entity, _ in row] for row in answers]
        return score([example.entities for example in corpus], found).micro.f1


def summarise_reading(outcomes: Sequence[Outcome], digest: str, run: str) -> Reading:
    """The figures of a reading, over all rows and over those that share nothing with training.

    Raises:
        InputError: seqeval gives another F1 to the same answers.
    """
    gold, found = golds(outcomes), founds(outcomes)
    published = figures(outcomes)
    theirs = seqeval_f1(gold, found, [len(outcome.words) for outcome in outcomes])
    if abs(theirs - published["micro"]["f1"]) > 1e-9:
        raise InputError(f"{run}: expected the F1 of seqeval, {theirs!r}, found {published['micro']['f1']!r}")
    cleaned = list(clean(outcomes))
    kinds = Counter(kind for outcome in outcomes for kind in outcome.leaks)
    return Reading(
        rows=len(outcomes),
        digest=digest,
        published=published,
        cleaned=figures(cleaned) if cleaned else None,
        leaks=Leaks(len(outcomes) - len(cleaned), dict(sorted(kinds.items()))),
        seqeval=theirs,
        pictures=dict(sorted(Counter(outcome.status for outcome in outcomes).items())),
    )


def seqeval_f1(gold: Entities, found: Entities, lengths: Sequence[int]) -> float:
    """Micro F1 (per cent) by seqeval, from tags; `lengths` are the words of each row.

    Raises:
        InputError: seqeval is not installed.
    """
    try:
        from seqeval.metrics import f1_score
    except ImportError:
        raise InputError("experiments check their scores with seqeval: pip install 'babelens[experiments]'") from None
    tags = [[write_tags(row, length) for row, length in zip(rows, lengths, strict=True)] for rows in (gold, found)]
    return 100 * float(f1_score(*tags, zero_division=0))  # pyright: ignore[reportArgumentType]


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Scores over all and by type, language, source and picture, in per cent."""
    gold, found = golds(outcomes), founds(outcomes)
    return score(gold, found).to_dict(
        languages=score_groups(gold, found, [outcome.language for outcome in outcomes]),
        sources=score_groups(gold, found, [outcome.source or UNNAMED for outcome in outcomes]),
        images=score_groups(gold, found, [outcome.status for outcome in outcomes]),
    )


def surface(words: Sequence[str], entity: Entity) -> str:
    """The words of an entity but for letter case."""
    return " ".join(words[entity.start : entity.end]).casefold()
