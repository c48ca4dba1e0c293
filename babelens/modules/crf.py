"""A linear chain over tags (paper, section 4.5, equations 15 to 17): likelihood, best path, exact marginals.

The functions are pure and take a `Chain`. Masks are left-aligned (a row is words, then padding) and each row has a
word; what stands in the padding changes nothing. Whatever the autocast, sums over paths are taken in 64 bits where the
device has them (over long texts the scores grow while the probabilities do not) and given back in 32.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from babelens.modules.shapes import Emissions, PerRow, Tags, WordMask

# In place of minus infinity: its exponential is exactly 0, and neither sums nor differences of it are NaN.
IMPOSSIBLE = -1e30


class Chain(NamedTuple):
    """The scores of a linear chain: from tag (row) to the next tag (column), of the first tag and of the last."""

    transitions: Float[Tensor, "tag tag"]
    start: Float[Tensor, " tag"]
    end: Float[Tensor, " tag"]

    def tempered(self, temperature: float, dtype: torch.dtype) -> "Chain":
        """The chain with its scores divided by a temperature."""
        return Chain(*(scores.to(dtype) / temperature for scores in self))


class Spans(NamedTuple):
    """Spans of words to be scored: the row of each, its first word, the word after its last, and its first tag.

    The tag of its other words is the number after that of its first, as `TagSet` orders them.
    """

    rows: Int[Tensor, " span"]
    starts: Int[Tensor, " span"]
    ends: Int[Tensor, " span"]
    begins: Int[Tensor, " span"]


def negative_log_likelihood(emissions: Emissions, tags: Tags, mask: WordMask, chain: Chain) -> PerRow:
    """-log P(tags | emissions) of each row (equation 17)."""
    emissions, chain = _precise(emissions, chain, 1.0)
    return (_LogPartition.apply(emissions, mask, *chain) - _path_score(emissions, tags, mask, chain)).float()


def path_score(emissions: Emissions, tags: Tags, mask: WordMask, chain: Chain) -> PerRow:
    """The score of a path of tags in each row (equation 15, with scores for its start and its end)."""
    emissions, chain = _precise(emissions, chain, 1.0)
    return _path_score(emissions, tags, mask, chain).float()


def log_partition(emissions: Emissions, mask: WordMask, chain: Chain) -> PerRow:
    """The log of the sum of exp(score) over all paths of each row (denominator of equation 16)."""
    emissions, chain = _precise(emissions, chain, 1.0)
    return _LogPartition.apply(emissions, mask, *chain).float()


@torch.no_grad()
def best_paths(emissions: Emissions, mask: WordMask, chain: Chain) -> list[list[int]]:
    """The path of the highest score in each row (Viterbi, 1967). Of equal ones, that of lower tags from the end."""
    emissions, chain = emissions.float(), chain.tempered(1.0, torch.float32)
    best = chain.start + emissions[:, 0]
    bests, origins = [best], []
    for word in range(1, emissions.shape[1]):
        best, origin = (best[:, :, None] + chain.transitions).max(1)
        best = best + emissions[:, word]
        bests.append(best)
        origins.append(origin)
    last = _last(mask)
    finals = torch.stack(bests, 1)[torch.arange(len(mask), device=mask.device), last] + chain.end
    tags = finals.argmax(1).tolist()
    back = torch.stack(origins, 1).tolist() if origins else [[] for _ in tags]
    paths = []
    for tag, end, steps in zip(tags, last.tolist(), back, strict=True):
        path = [tag] if end >= 0 else []  # a row without words has a path without tags
        for word in range(end - 1, -1, -1):
            path.append(steps[word][path[-1]])
        paths.append(path[::-1])
    return paths


@torch.no_grad()
def tag_marginals(emissions: Emissions, mask: WordMask, chain: Chain, temperature: float = 1.0) -> Emissions:
    """P(y_i = tag) of each word under all paths, whose scores are divided by `temperature`; 0 in the padding."""
    emissions, chain = _precise(emissions, chain, temperature)
    before, after = _both_ways(emissions, mask, chain)
    joint = before + after - emissions
    return torch.where(mask[:, :, None], joint.softmax(2), 0.0).float()


@torch.no_grad()
def span_marginals(
    emissions: Emissions, mask: WordMask, chain: Chain, spans: Spans, temperature: float = 1.0
) -> Float[Tensor, " span"]:
    """P(y_i = B-c, y_i+1..j = I-c, y_j+1 is not I-c) of each span, summed over all paths: that exactly this is found.

    `temperature` divides the scores of paths. The time is that of one pass over the words, however many spans
    there are and however long they are.
    """
    emissions, chain = _precise(emissions, chain, temperature)
    rows, starts, ends, begins = spans
    before, after = _both_ways(emissions, mask, chain)
    final, total = _last(mask)[rows], _total(before, mask, chain)[rows]

    inside, last = begins + 1, ends - 1
    onward = chain.transitions[inside, inside]
    running = emissions.cumsum(1)
    length = last - starts
    within = running[rows, last, inside] - running[rows, starts, inside]
    within = within + chain.transitions[begins, inside] + (length - 1) * onward
    score = before[rows, starts, begins] + torch.where(length > 0, within, 0.0)

    closing = torch.where(length > 0, inside, begins)
    following = (last + 1).clamp(max=emissions.shape[1] - 1)
    leaving = chain.transitions[closing] + after[rows, following]
    leaving = leaving.scatter(1, inside[:, None], IMPOSSIBLE).logsumexp(1)
    score = score + torch.where(last == final, chain.end[closing], leaving)
    # Rounding may pass 1 by a hair.
    return (score - total).exp().clamp(max=1.0).float()


def _last(mask: WordMask) -> Int[Tensor, " batch"]:
    return mask.sum(1) - 1


def _precise(emissions: Emissions, chain: Chain, temperature: float) -> tuple[Emissions, Chain]:
    dtype = torch.float32 if emissions.device.type == "mps" else torch.float64
    return emissions.to(dtype) / temperature, chain.tempered(temperature, dtype)


def _path_score(emissions: Emissions, tags: Tags, mask: WordMask, chain: Chain) -> PerRow:
    tags = tags.masked_fill(~mask, 0)
    last = tags.gather(1, _last(mask)[:, None]).squeeze(1)
    given = emissions.gather(2, tags[:, :, None]).squeeze(2)
    moves = chain.transitions[tags[:, :-1], tags[:, 1:]]
    inside = torch.where(mask, given, 0.0).sum(1) + torch.where(mask[:, 1:], moves, 0.0).sum(1)
    return chain.start[tags[:, 0]] + inside + chain.end[last]


class _LogPartition(torch.autograd.Function):
    """The log of the sum over paths, with its gradient in closed form.

    The gradient by a score is how often that score is expected to count: the marginals of tags and of pairs of tags.
    Both directions run in one loop that records nothing, so that there is no second loop when gradients are taken.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: FunctionCtx, emissions: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor
    ) -> Tensor:
        chain = Chain(transitions, start, end)
        if not any(ctx.needs_input_grad):  # type: ignore[attr-defined]
            return _total(_forward(emissions, chain), mask, chain)
        before, after = _both_ways(emissions, mask, chain)
        total = _total(before, mask, chain)
        # Words in the padding end no path.
        after = torch.where(mask[:, :, None], after - total[:, None, None], IMPOSSIBLE)
        tags = (before + after - emissions).exp_()
        pairs = before[:, :-1, :, None] + after[:, 1:, None, :]
        pairs = pairs.add_(transitions).exp_().sum(1)
        ctx.save_for_backward(tags, pairs, _last(mask))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        tags, pairs, last = ctx.saved_tensors  # type: ignore[attr-defined]
        tags = tags * gradient[:, None, None]
        ends = tags[torch.arange(len(last), device=last.device), last]
        return tags, None, torch.einsum("r,rab->ab", gradient, pairs), tags[:, 0].sum(0), ends.sum(0)


def _total(before: Emissions, mask: WordMask, chain: Chain) -> PerRow:
    ends = before[torch.arange(len(mask), device=mask.device), _last(mask)]
    return torch.logsumexp(ends + chain.end, dim=1)


def _forward(emissions: Emissions, chain: Chain) -> Emissions:
    """Log of the summed scores of all beginnings up to each tag of each word, that word included.

    No step looks at the mask: what is past a row's end is never read.
    """
    states = [chain.start + emissions[:, 0]]
    for word in emissions.unbind(1)[1:]:
        states.append(torch.logsumexp(states[-1][:, :, None] + chain.transitions, dim=1) + word)
    return torch.stack(states, 1)


def _both_ways(emissions: Emissions, mask: WordMask, chain: Chain) -> tuple[Emissions, Emissions]:
    """Log of the summed scores of all beginnings up to each tag of each word, and of all endings from it on.

    Both include the word itself. Endings are beginnings of the rows read from their last word to their first, so one
    loop does both.
    """
    turned = (_last(mask)[:, None] - torch.arange(mask.shape[1], device=mask.device)).clamp(min=0)
    turned = turned[:, :, None].expand_as(emissions)
    both = torch.stack([emissions, emissions.gather(1, turned)])
    moves = torch.stack([chain.transitions, chain.transitions.T])[:, None]
    states = [torch.stack([chain.start, chain.end])[:, None] + both[:, :, 0]]
    for word in both.unbind(2)[1:]:
        states.append(torch.logsumexp(states[-1][..., None] + moves, dim=2) + word)
    before, after = torch.stack(states, 2)
    return before, after.gather(1, turned)
