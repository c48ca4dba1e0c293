"""A linear chain over tags (paper, section 4.5, equations 15 to 17): likelihood, best path, exact marginals.

The functions are pure and take a `Chain`. Masks are left-aligned (a row is words, then padding) and each row has a
word; what stands in the padding changes nothing. Whatever the autocast, sums over paths are taken in 64 bits where the
device has them (over long texts the scores grow while the probabilities do not) and given back in 32.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from babelens.modules.shapes import Emissions, PerRow, Tags, WordMask

# In place of minus infinity: its exponential is exactly 0, and neither sums nor differences of it are NaN.
IMPOSSIBLE = -1e30

# Scores up to this size, in 64 bits, may be summed as products of their exponentials: see `_near`.
NEAR = 50.0


class Chain(NamedTuple):
    """The scores of a linear chain: from tag (row) to the next tag (column), of the first tag and of the last."""

    transitions: Float[Tensor, "tag tag"]
    start: Float[Tensor, " tag"]
    end: Float[Tensor, " tag"]


class Spans(NamedTuple):
    """Spans of words to be scored: the row of each, its first word, the word after its last, and its first tag.

    The tag of its other words is the number after that of its first, as `TagSet` orders them. A first tag of 0 (O) is
    that of all its words: none of them is part of an entity.
    """

    rows: Int[Tensor, " span"]
    starts: Int[Tensor, " span"]
    ends: Int[Tensor, " span"]
    begins: Int[Tensor, " span"]


def negative_log_likelihood(
    emissions: Emissions, tags: Tags, mask: WordMask, chain: Chain, temperature: float = 1.0
) -> PerRow:
    """-log P(tags | emissions) of each row (equation 17); the scores of paths are divided by `temperature`."""
    if temperature != 1:
        emissions, chain = _tempered(emissions, chain, temperature)
    return _NegativeLogLikelihood.apply(emissions, tags, mask, *chain)


@torch.no_grad()
def best_paths(emissions: Emissions, mask: WordMask, chain: Chain) -> list[list[int]]:
    """The path of the highest score in each row (Viterbi, 1967). Of equal ones, that of lower tags from the end.

    Where the best path to a tag comes from is not kept for every tag, but asked again of the tags on the path. A row
    without words has a path without tags.
    """
    transitions, start, end = (scores.float() for scores in chain)
    words = start.new_empty(*emissions.shape[1:], len(mask)).copy_(emissions.permute(1, 2, 0))
    words[0] += start[:, None]
    moves = transitions[:, :, None]
    for before, word in pairwise(words.unbind(0)):
        word += (before[:, None] + moves).amax(0)
    best = words.transpose(1, 2).contiguous().cpu().numpy()
    into, end, lengths = transitions.T.cpu().numpy(), end.cpu().numpy(), mask.sum(1).cpu().numpy()
    # All rows are read from their last word to their first; those that are done read their first over again.
    places = (lengths - 1 - np.arange(len(words))[:, None]).clip(0)
    steps = best[places, np.arange(len(lengths))]
    tags = (steps[0] + end).argmax(1)
    path = [tags]
    for step in steps[1:]:
        tags = (step + into[tags]).argmax(1)
        path.append(tags)
    return [row[:length][::-1] for row, length in zip(np.stack(path, 1).tolist(), lengths, strict=True)]


@torch.no_grad()
def tag_marginals(emissions: Emissions, mask: WordMask, chain: Chain, temperature: float = 1.0) -> Emissions:
    """P(y_i = tag) of each word under all paths, whose scores are divided by `temperature`; 0 in the padding."""
    emissions, chain = _tempered(emissions, chain, temperature)
    return _expectations(_lay_out(emissions, mask, chain)).tags.permute(2, 0, 1).float().contiguous()


@torch.no_grad()
def span_marginals(
    emissions: Emissions, mask: WordMask, chain: Chain, spans: Spans, temperature: float = 1.0
) -> Float[Tensor, " span"]:
    """P(y_i = B-c, y_i+1..j = I-c, y_j+1 is not I-c) of each span, summed over all paths: that exactly this is found.

    Of a span of O it is P(y_i..j = O), whatever follows.
    `temperature` divides the scores of paths. The time is that of one pass over the words, however many spans
    there are and however long they are.
    """
    rows, starts, ends, begins = spans
    emissions, chain = _tempered(emissions, chain, temperature)
    lattice = _lay_out(emissions, mask, chain)
    running = lattice.words[0].cumsum(0)
    before, after, total = _log_sums(lattice)
    transitions, end = lattice.moves[1], lattice.first[1, :, 0]

    entity = begins > 0
    inside, last = torch.where(entity, begins + 1, 0), ends - 1
    onward = transitions[inside, inside]
    length = last - starts
    within = running[last, inside, rows] - running[starts, inside, rows]
    within = within + transitions[begins, inside] + (length - 1) * onward
    score = before[starts, begins, rows] + torch.where(length > 0, within, 0.0)

    closing = torch.where(length > 0, inside, begins)
    following = (last + 1).clamp(max=len(after) - 1)
    leaving = transitions[closing] + after[following, :, rows]
    going_on = torch.nn.functional.one_hot(inside, leaving.shape[1]).bool() & entity[:, None]
    leaving = leaving.masked_fill(going_on, IMPOSSIBLE).logsumexp(1)
    score = score + torch.where(last == lattice.turned[0, rows], end[closing], leaving)
    # Rounding may pass 1 by a hair.
    return (score - total[rows]).exp().clamp(max=1.0).float()


def _tempered(emissions: Emissions, chain: Chain, temperature: float) -> tuple[Emissions, Chain]:
    dtype = _precision(emissions)
    return emissions.to(dtype) / temperature, Chain(*(scores.to(dtype) / temperature for scores in chain))


class _NegativeLogLikelihood(torch.autograd.Function):
    """-log P(tags), with its gradient in closed form.

    The gradient by a score is how often it is expected to count less how often it counts for the given tags. Both
    directions run in one loop that records nothing, so that there is no second loop when gradients are taken.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: FunctionCtx, emissions: Tensor, tags: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor
    ) -> Tensor:
        lattice = _lay_out(emissions, mask, Chain(transitions, start, end))
        given = tags.T[:, None].masked_fill(lattice.padding, 0)
        score = _path_score(lattice, given)
        total, expected, before, after = _expectations(lattice)
        ctx.near, ctx.dtype = lattice.near, emissions.dtype  # type: ignore[attr-defined]
        ctx.save_for_backward(expected, before, after, given, lattice.padding, lattice.turned, lattice.moves[1])
        return (total - score).float()

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        expected, before, after, given, padding, turned, transitions = ctx.saved_tensors  # type: ignore[attr-defined]
        gradient = gradient.to(expected.dtype)
        less = -gradient.expand(given.shape).masked_fill(padding, 0.0)
        tags = (expected * gradient).scatter_add_(1, given, less)
        if ctx.near:  # type: ignore[attr-defined]
            pairs = ((before[:-1] * gradient) @ after[1:].transpose(1, 2)).sum(0) * transitions.exp()
        else:
            pairs = torch.zeros_like(transitions)
            for first, second in zip(before[:-1], after[1:], strict=True):
                pairs += (first[:, None] + second + transitions[:, :, None]).exp_() @ gradient
        moves = given[:-1] * len(transitions) + given[1:]
        pairs.view(-1).scatter_add_(0, moves.flatten(), less[1:].flatten())
        ends = tags.gather(0, turned[:1, None].expand_as(tags[:1]))
        emissions = tags.permute(2, 0, 1).to(ctx.dtype, memory_format=torch.contiguous_format)  # type: ignore[attr-defined]
        return emissions, None, None, pairs, tags[0].sum(1), ends.sum((0, 2))


class _Lattice(NamedTuple):
    """The scores of a batch as the loops read them: forwards and backwards, rows last, where memory is in order.

    A row backwards goes from its last word to its first, which `turned` counts and which it repeats when it is done.
    No step of a loop looks at the mask: what is past a row's end is never read.
    """

    words: Float[Tensor, "2 word tag batch"]
    first: Float[Tensor, "2 tag 1"]
    moves: Float[Tensor, "2 tag tag"]
    turned: Int[Tensor, "word batch"]
    padding: Bool[Tensor, "word 1 batch"]
    near: bool


def _lay_out(emissions: Emissions, mask: WordMask, chain: Chain) -> _Lattice:
    transitions, start, end = chain
    turned = (mask.sum(1) - 1 - torch.arange(mask.shape[1], device=mask.device)[:, None]).clamp_(min=0)
    padding = ~mask.T[:, None]
    dtype = _precision(emissions)
    words = emissions.new_empty(2, *emissions.shape[1:], len(mask), dtype=dtype)
    forwards, backwards = words
    forwards.copy_(emissions.permute(1, 2, 0)).masked_fill_(padding, 0.0)
    torch.gather(forwards, 0, turned[:, None].expand_as(forwards), out=backwards)
    first = torch.stack([start, end])[:, :, None].to(dtype)
    moves = torch.stack([transitions.T, transitions]).to(dtype)
    return _Lattice(words, first, moves, turned, padding, _near(forwards, first, moves))


def _precision(scores: Tensor) -> torch.dtype:
    return torch.float32 if scores.device.type == "mps" else torch.float64


def _near(words: Tensor, *chain: Tensor) -> bool:
    """Whether all scores, but impossible moves, are so small that products of exponentials in 64 bits lose no path.

    What follows one tag and what follows another differ by no more than the scores of the way to a tag that may follow
    both, two words at most. A path that is behind by more than that, and by what numbers can tell apart, counts for
    nothing, and only such paths leave the range of numbers when the largest sum of each word is brought back to 1.
    """
    if words.dtype != torch.float64:
        return False
    moves = torch.cat([scores.flatten() for scores in chain])
    moves = moves.masked_fill_(moves < IMPOSSIBLE / 1e6, 0.0)
    return bool(torch.stack([*words.aminmax(), *moves.aminmax()]).abs().amax() < NEAR)


def _path_score(lattice: _Lattice, given: Int[Tensor, "word 1 batch"]) -> PerRow:
    """The score of a path of tags in each row (equation 15, with scores for its start and its end)."""
    words, first, moves, turned, padding, _ = lattice
    steps = moves[1][given[:-1], given[1:]].masked_fill(padding[1:], 0.0)
    last = given[:, 0].gather(0, turned[:1])[0]
    inside = words[0].gather(1, given).sum((0, 1)) + steps.sum((0, 1))
    return first[0, given[0, 0], 0] + inside + first[1, last, 0]


class _Expectations(NamedTuple):
    """The log of the sum over all paths, how often each tag is expected, and two factors of how often each pair is.

    In a near lattice a pair is expected `before * exp(transition) * after` times, else exp of the sum of these; `after`
    is that of the second word. What comes after words in the padding is impossible.
    """

    total: PerRow
    tags: Float[Tensor, "word tag batch"]
    before: Float[Tensor, "word tag batch"]
    after: Float[Tensor, "word tag batch"]


def _expectations(lattice: _Lattice) -> _Expectations:
    return _near_expectations(lattice) if lattice.near else _far_expectations(lattice)


def _near_expectations(lattice: _Lattice) -> _Expectations:
    padding, turned = lattice.padding, lattice.turned
    (before, after), scales = _scaled_sums(lattice)
    after = after.gather(0, turned[:, None].expand_as(after))
    # All beginnings up to each tag of each word without the word itself, and all endings with it: at each word, this is
    # the sum over all paths, but for the scales.
    tags = torch.empty_like(after)
    tags[0] = lattice.first[0].exp()
    torch.bmm(lattice.moves[0].exp().expand(len(tags) - 1, -1, -1), before[:-1], out=tags[1:])
    chances = tags.mul_(after).sum(1, keepdim=True)
    tags.div_(chances).masked_fill_(padding, 0.0)
    after.div_(chances).masked_fill_(padding, 0.0)
    total = chances[0, 0].log() + scales[1].log().masked_fill(padding, 0.0).sum((0, 1))
    return _Expectations(total, tags, before, after)


def _far_expectations(lattice: _Lattice) -> _Expectations:
    before, after, total = _log_sums(lattice)
    after = (after - total).masked_fill_(lattice.padding, IMPOSSIBLE)
    return _Expectations(total, (before + after - lattice.words[0]).exp_(), before, after)


def _log_sums(lattice: _Lattice) -> tuple[Tensor, Tensor, PerRow]:
    """Log of the summed scores of all beginnings up to each tag of each word, of all endings from it on, and of all.

    Both include the word itself. Endings are beginnings of the rows read from their last word to their first, so one
    loop does both.
    """
    words, first, moves, turned, _, near = lattice
    if near:
        states, scales = _scaled_sums(lattice)
        sums = states.log_().add_(scales.log_().cumsum(1))
    else:
        states = [first + words[:, 0]]
        for word in words.unbind(1)[1:]:
            states.append(torch.logsumexp(moves[..., None] + states[-1][:, None], dim=2) + word)
        sums = torch.stack(states, 1)
    before, after = sums
    after = after.gather(0, turned[:, None].expand_as(after))
    return before, after, torch.logsumexp(first[0] + after[0], dim=0)


def _scaled_sums(lattice: _Lattice) -> tuple[Float[Tensor, "2 word tag batch"], Float[Tensor, "2 word 1 batch"]]:
    """The same sums by matrix products of exponentials, in place of the words.

    Those of each word are given over the largest of them, which is what the word adds to the scale.
    """
    words, moves, reached = lattice.words.exp_(), lattice.moves.exp(), lattice.first.exp()
    scales = []
    for word in words.unbind(1):
        scale = word.mul_(reached).amax(1, keepdim=True)
        reached = torch.bmm(moves, word.div_(scale))
        scales.append(scale)
    return words, torch.stack(scales, 1)
