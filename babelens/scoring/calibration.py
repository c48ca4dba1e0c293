"""Whether the scores of predicted entities are to be believed: an entity with score 0.8 should be right 8 times in 10.

All here is over predicted entities: an entity that the model missed has no score and takes no part, so a model may be
well calibrated and find little. `counts_at` shows that side too. Scores, accuracies and errors are shares from 0 to 1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from babelens.scoring.outcomes import Outcome
from babelens.scoring.scores import Counts

BINS = 10
CLIP = 1e-6
"""How near to 0 and 1 a score may come in the likelihood; outcomes keep six digits."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Predicted entities with scores from `low` to `high`: how many, their mean score, and the share that is right."""

    low: float
    high: float
    count: int
    score: float
    accuracy: float

    @property
    def gap(self) -> float:
        """How far the mean score is from the share that is right."""
        return abs(self.score - self.accuracy)


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far scores of `count` predicted entities are from the share that is right (exact words and type).

    `score` is their mean score, `accuracy` the share that is right. `bins` are of equal width, without the lower edge
    but for the first; `adaptive` hold nearly the same number of entities each, and equal scores stay together. Bins
    without entities are left out.
    `ece` is the expected calibration error: the gap of `bins`, weighted by their counts (Guo et al., 2017, Eq. 3).
    `ace` is the same over `adaptive`. Nixon et al. (2019) weight these alike; ours may differ in size, by ties.
    `brier` is the mean squared distance of score and truth, `nll` the mean negative log-likelihood in nats, with scores
    clipped to `CLIP` from 0 and 1.
    """

    count: int
    score: float
    accuracy: float
    bins: tuple[ReliabilityBin, ...]
    adaptive: tuple[ReliabilityBin, ...]
    ece: float
    ace: float
    brier: float
    nll: float


def judge(outcomes: Iterable[Outcome]) -> tuple[Float[np.ndarray, " entity"], Bool[np.ndarray, " entity"]]:
    """The scores of all predicted entities, and whether each is right (exact words and type).

    An entity that is given twice in one row counts once, with its higher score.

    Raises:
        ValueError: a row has more or fewer scores than predicted entities, or a score is not a probability.
    """
    scores: list[float] = []
    right: list[bool] = []
    for outcome in outcomes:
        gold = set(outcome.gold)
        for entity, score in _scored(outcome).items():
            scores.append(score)
            right.append(entity in gold)
    return np.array(scores, np.float64), np.array(right, np.bool_)


def reliability(outcomes: Iterable[Outcome], bins: int = BINS) -> Reliability | None:
    """Measure how well scores fit the truth; None where no entity was predicted.

    Raises:
        ValueError: `bins` is less than 1, or scores are as `judge` refuses them.
    """
    if bins < 1:
        raise ValueError(f"expected at least one bin, found {bins}")
    scores, right = judge(outcomes)
    if not len(scores):
        return None
    # Divided, not multiplied up: 7 / 10 is the number that 0.7 is read as, so edges fall where they are written.
    edges = [edge / bins for edge in range(bins + 1)]
    places = np.maximum(np.searchsorted(edges, scores, side="left") - 1, 0)
    of_width = [
        _bin(scores[places == place], right[places == place], edges[place], edges[place + 1])
        for place in np.unique(places).tolist()
    ]
    places = _equal_masses(scores, bins)
    of_mass = [_bin(scores[places == place], right[places == place]) for place in np.unique(places)]
    clipped = np.clip(scores, CLIP, 1 - CLIP)
    return Reliability(
        count=len(scores),
        score=float(scores.mean()),
        accuracy=float(right.mean()),
        bins=tuple(of_width),
        adaptive=tuple(of_mass),
        ece=_error(of_width),
        ace=_error(of_mass),
        brier=float(((scores - right) ** 2).mean()),
        nll=float(-np.log(np.where(right, clipped, 1 - clipped)).mean()),
    )


def counts_at(outcomes: Sequence[Outcome], thresholds: Iterable[float]) -> dict[float, Counts]:
    """The counts of what is left when only entities with at least each threshold as score are kept.

    Their precision over the thresholds is the curve that a user chooses from; with `predicted` over that of threshold 0
    as the coverage it is the risk-coverage curve. What is not kept is missed, so recall and F1 come with it.

    Raises:
        ValueError: scores are as `judge` refuses them.
    """
    scores, right = judge(outcomes)
    support = sum(len(set(outcome.gold)) for outcome in outcomes)
    all_scores, right_scores = np.sort(scores), np.sort(scores[right])
    found: dict[float, Counts] = {}
    for threshold in thresholds:
        kept = len(all_scores) - int(np.searchsorted(all_scores, threshold, side="left"))
        tp = len(right_scores) - int(np.searchsorted(right_scores, threshold, side="left"))
        found[threshold] = Counts(tp=tp, fp=kept - tp, fn=support - tp)
    return found


def _scored(outcome: Outcome) -> dict:
    if len(outcome.scores) != len(outcome.found):
        raise ValueError(
            f"expected scores for the {len(outcome.found)} entities found in row {outcome.id}, "
            f"found {len(outcome.scores)}"
        )
    scored: dict = {}
    for entity, score in zip(outcome.found, outcome.scores, strict=True):
        if not 0 <= score <= 1:
            raise ValueError(f"expected scores from 0 to 1, found {score} in row {outcome.id}")
        scored[entity] = max(score, scored.get(entity, 0.0))
    return scored


def _equal_masses(scores: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each score so that bins hold as many; equal scores go where the middle of them falls."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((2 * ends - counts - 1) * bins // (2 * len(scores)))[inverse]


def _bin(scores: np.ndarray, right: np.ndarray, low: float | None = None, high: float | None = None) -> ReliabilityBin:
    """A bin between two edges, or between its own least and greatest score."""
    return ReliabilityBin(
        low=float(scores.min() if low is None else low),
        high=float(scores.max() if high is None else high),
        count=len(scores),
        score=float(scores.mean()),
        accuracy=float(right.mean()),
    )


def _error(bins: Sequence[ReliabilityBin]) -> float:
    return sum(bin_.count * bin_.gap for bin_ in bins) / sum(bin_.count for bin_ in bins)
