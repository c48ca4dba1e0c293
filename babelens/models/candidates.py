"""The spans of a sentence that a model holds possible: those over which it can be asked whether scores are true."""

import torch

from babelens.models.tagger import Reading, Tagger
from babelens.schema import Entity

LEAST = 0.01
"""How likely a span must be to be a candidate."""


@torch.no_grad()
def candidate_spans(tagger: Tagger, reading: Reading, least: float = LEAST) -> list[list[Entity]]:
    """All spans of each row, of whatever type and length, of a probability of at least `least` at temperature 1.

    A span is no likelier than its first word is a B and each of its other words an I of its type, so that only those
    have to be asked about whose words are that likely: none is overlooked, and few are asked about in vain.
    """
    head, tags = tagger.head, tagger.tags
    chances = head.marginals(reading.emissions, reading.mask).cpu()
    possible = [_possible(row, tags.types) for row in (chances >= least).tolist()]
    scores = head.span_marginals(reading.emissions, reading.mask, possible)
    return [
        [span for span, score in zip(spans, own, strict=True) if score >= least]
        for spans, own in zip(possible, scores, strict=True)
    ]


def _possible(likely: list[list[bool]], types: tuple[str, ...]) -> list[Entity]:
    """The spans whose words are all likely to have their tags; `likely` is (word, tag)."""
    spans: list[Entity] = []
    for start in range(len(likely)):
        for number, type_ in enumerate(types):
            if not likely[start][1 + 2 * number]:
                continue
            end = start + 1
            spans.append(Entity(start, end, type_))
            while end < len(likely) and likely[end][2 + 2 * number]:
                end += 1
                spans.append(Entity(start, end, type_))
    return spans
