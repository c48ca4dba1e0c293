"""A model's temperature, and the thresholds of its scores, from labelled data that its choice did not use."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from babelens.data import Corpus
from babelens.data.split import split, units
from babelens.models.batch import Batch, CorpusRows
from babelens.models.calibration import Calibration, Threshold
from babelens.models.candidates import candidate_spans
from babelens.models.decode import BATCH, halved, ordered_batches
from babelens.models.loading import BatchLoader, Source, Work
from babelens.models.tagger import Reading, Tagger
from babelens.schema import Entity
from babelens.scoring.calibration import judge, reliability
from babelens.scoring.outcomes import Outcome
from babelens.scoring.thresholds import LEVEL, STEPS, bound_precision, lowest_score

COLDEST, HOTTEST = 0.05, 20.0
_GOLDEN = (math.sqrt(5) - 1) / 2
_NEAR = 1e-4

Figures = dict[str, dict[str, Any]]


class Sample(NamedTuple):
    """Rows of one batch as a model read them: numbers, scores of tags, right tags, what became of the pictures."""

    rows: list[int]
    reading: Reading
    tags: Tensor
    status: tuple[str, ...]


def calibrate(
    tagger: Tagger,
    corpus: Corpus,
    *,
    targets: Sequence[float] = (),
    seed: int = 0,
    batch: int = BATCH,
    facts: dict[str, Any] | None = None,
    step: Callable[[int], None] | None = None,
) -> Calibration:
    """Fit a temperature on one half of a labelled corpus; on the other, measure it and find thresholds.

    Rows that share a picture, a group (translations) or a text stay in one half. `targets` are precisions from 0 to 1;
    one that is not reached has no threshold. `facts` are kept with the calibration. `step` is called with the rows done
    after each batch. The tagger stays as it is.

    For the scores to be believed, the corpus must have had no part in training or in the choice of the model: scores
    are too high where the model has already been fitted.

    Raises:
        DataError: the rows are so few, or so tied to one another, that a half stays empty.
        KeyError: the corpus holds a type that the model does not know.
        ImageError: a picture cannot be opened, and the corpus was read with strict pictures.
    """
    fitted, held = split(corpus, (1.0, 1.0), seed=seed)
    temperature = fit_temperature(tagger, list(read_samples(tagger, fitted, batch, step)))
    samples = list(read_samples(tagger, held, batch, step))
    bounds = bound_precision(*_judged(found_entities(tagger, held, samples, temperature)))
    chosen = ((target, lowest_score(bounds, target)) for target in targets)
    known = {
        "rows": {"fitted": len(fitted), "held": len(held)},
        "seed": seed,
        "measures": _measures(tagger, held, samples, temperature),
        "search": {
            "thresholds": STEPS,
            "level": LEVEL,
            "targets": list(targets),
            "highest_bound": round(max((bound.low for bound in bounds), default=0.0), 6),
        },
    }
    return Calibration(
        temperature=temperature,
        thresholds=tuple(
            Threshold(target, bound.score, bound.entities, bound.right, bound.low, LEVEL)
            for target, bound in chosen
            if bound is not None
        ),
        facts={**(facts or {}), **known},
    )


def read_samples(
    tagger: Tagger, corpus: Corpus, batch: int = BATCH, step: Callable[[int], None] | None = None
) -> Iterator[Sample]:
    """What a tagger reads in the rows of a labelled corpus, longest first."""

    def read(part: Batch) -> tuple[Reading, Tensor]:
        part = part.to(tagger.device)
        assert part.tags is not None
        return tagger.read(part), part.tags

    training = tagger.training
    tagger.eval()
    numbers = ordered_batches(corpus.lengths, batch)
    source = Source(CorpusRows(corpus), tagger.collator(), labelled=True)
    try:
        with BatchLoader(source, pinned=tagger.device.type == "cuda") as loader:
            for own, made in zip(numbers, loader.batches([Work(own) for own in numbers]), strict=True):
                done = 0
                for part, (reading, tags) in halved(made, read):
                    yield Sample(own[done : done + len(part.ids)], reading, tags, part.status)
                    done += len(part.ids)
                if step is not None:
                    step(len(own))
    finally:
        tagger.train(training)


def surprise(tagger: Tagger, samples: Sequence[Sample], temperature: float) -> float:
    """-log P(right tags) of all samples together, in nats."""
    head = tagger.head
    own = (head.surprises(one.reading.emissions, one.tags, one.reading.mask, temperature) for one in samples)
    return float(torch.stack([values.double().sum() for values in own]).sum())


def fit_temperature(tagger: Tagger, samples: Sequence[Sample]) -> float:
    """The temperature at which the right tags are likeliest (Guo et al., 2017, section 4.2, of whole paths).

    All scores of a path, of words and of moves, are divided by it, so that the best path stays the best. The logarithm
    of the likelihood is concave in its inverse, so there is one best value, which a golden-section search finds to four
    digits; where it would lie outside of 0.05 to 20, the nearer end is taken.
    """
    low, high = math.log(COLDEST), math.log(HOTTEST)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = (surprise(tagger, samples, math.exp(place)) for place in (left, right))
    while high - low > _NEAR:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = surprise(tagger, samples, math.exp(left))
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = surprise(tagger, samples, math.exp(right))
    return round(math.exp((low + high) / 2), 6)


def found_entities(tagger: Tagger, corpus: Corpus, samples: Sequence[Sample], temperature: float) -> list[Outcome]:
    """The entities that a tagger finds, with their scores, beside the right ones."""
    return _outcomes(tagger, corpus, samples, temperature, lambda sample: tagger.entities(sample.reading))


def candidates(tagger: Tagger, corpus: Corpus, samples: Sequence[Sample], temperature: float) -> list[Outcome]:
    """All spans that are possible for the model, and all right ones, as if they had been found, with their scores.

    Which are possible is settled at temperature 1, so that they are the same at all. Right entities that the model
    holds impossible count with the score that they have.
    """

    def spans(sample: Sample) -> list[list[Entity]]:
        possible = candidate_spans(tagger, sample.reading)
        right = [corpus[number].entities for number in sample.rows]
        return [sorted({*own, *gold}) for own, gold in zip(possible, right, strict=True)]

    return _outcomes(tagger, corpus, samples, temperature, spans)


def _outcomes(
    tagger: Tagger,
    corpus: Corpus,
    samples: Sequence[Sample],
    temperature: float,
    spans: Callable[[Sample], Sequence[Sequence[Entity]]],
) -> list[Outcome]:
    unit = units(corpus).tolist()
    outcomes: list[Outcome] = []
    for sample in samples:
        asked, (emissions, mask, _) = spans(sample), sample.reading
        scores = tagger.head.span_marginals(emissions, mask, asked, temperature)
        for number, found, own, status in zip(sample.rows, asked, scores, sample.status, strict=True):
            row = corpus[number]
            outcomes.append(
                Outcome(
                    id=row.id,
                    words=row.words,
                    gold=row.entities,
                    found=tuple(found),
                    scores=tuple(own),
                    unit=unit[number],
                    language=row.language,
                    source=row.source,
                    status=status,
                )
            )
    return outcomes


def _judged(outcomes: Sequence[Outcome]) -> tuple:
    """Scores, whether each is right, and the unit of each."""
    scores, right = judge(outcomes)
    return scores, right, torch.tensor([one.unit for one in outcomes for _ in set(one.found)], dtype=torch.long).numpy()


def _measures(tagger: Tagger, corpus: Corpus, samples: Sequence[Sample], temperature: float) -> dict[str, Any]:
    """How far scores are true, before and after: over candidates by language and picture, and over found entities."""
    before, after = (candidates(tagger, corpus, samples, value) for value in (1.0, temperature))
    found = [found_entities(tagger, corpus, samples, value) for value in (1.0, temperature)]
    measures: dict[str, Any] = {"all": _both(before, after)}
    kinds: dict[str, Callable[[Outcome], str]] = {
        "languages": lambda outcome: outcome.language or "unknown",
        "images": lambda outcome: outcome.status,
    }
    for name, kind in kinds.items():
        parted = [
            {label: list(own) for label, own in groupby(sorted(part, key=kind), key=kind)} for part in (before, after)
        ]
        measures[name] = {label: _both(own, parted[1][label]) for label, own in parted[0].items()}
    measures["found"] = _both(*found)
    return measures


def _both(before: Sequence[Outcome], after: Sequence[Outcome]) -> Figures | None:
    """Figures before and after; None where there is nothing to measure."""
    made: Figures = {}
    for name, outcomes in (("before", before), ("after", after)):
        figures = reliability(outcomes)
        if figures is None:
            return None
        made[name] = {
            "spans": figures.count,
            "nll": round(figures.nll, 6),
            "brier": round(figures.brier, 6),
            "ace": round(figures.ace, 6),
        }
    return made
