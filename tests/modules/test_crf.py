"""The linear chain against the enumeration of all paths and against pytorch-crf."""

import itertools
import math
from unittest.mock import patch

import pytest
import torch
import torchcrf
from hypothesis import given, settings
from hypothesis import strategies as st

from babelens.modules import crf
from babelens.modules.crf import (
    IMPOSSIBLE,
    Chain,
    Spans,
    best_paths,
    negative_log_likelihood,
    span_marginals,
    tag_marginals,
)


def random_case(seed, types, lengths, spread=2.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    tags, width = 1 + 2 * types, max(lengths)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype) * spread

    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    chosen = torch.randint(0, tags, (len(lengths), width), generator=generator)
    return draw(len(lengths), width, tags), chosen, mask, Chain(draw(tags, tags), draw(tags), draw(tags))


def all_paths(emissions, length, chain):
    """Every path of one row with its score, one addition at a time."""
    for path in itertools.product(range(emissions.shape[-1]), repeat=length):
        score = chain.start[path[0]] + chain.end[path[-1]]
        for word, tag in enumerate(path):
            score = score + emissions[word, tag]
        for before, after in itertools.pairwise(path):
            score = score + chain.transitions[before, after]
        yield path, score


def brute_partition(emissions, length, chain):
    return torch.stack([score for _, score in all_paths(emissions, length, chain)]).logsumexp(0)


def peer_of(chain):
    """pytorch-crf with the scores of a chain, in their precision."""
    peer = torchcrf.CRF(len(chain.start), batch_first=True).to(chain.start.dtype)
    with torch.no_grad():
        peer.transitions.copy_(chain.transitions)
        peer.start_transitions.copy_(chain.start)
        peer.end_transitions.copy_(chain.end)
    return peer


# Sums over paths are taken as sums of logarithms where a score is larger than this, else as products.
both_sums = pytest.mark.parametrize("near", [0.0, crf.NEAR], ids=["logarithms", "products"])

cases = st.tuples(
    st.integers(0, 10_000), st.integers(1, 2), st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
)


@both_sums
@settings(max_examples=15, deadline=None)
@given(cases)
def test_likelihood_is_that_of_all_paths(near, case):
    emissions, tags, mask, chain = random_case(*case)
    expected = []
    for row, length in enumerate(case[2]):
        scores = dict(all_paths(emissions[row], length, chain))
        expected.append(brute_partition(emissions[row], length, chain) - scores[tuple(tags[row, :length].tolist())])
    with patch.object(crf, "NEAR", near):
        found = negative_log_likelihood(emissions, tags, mask, chain)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.stack(expected).float(), atol=2e-5, rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(cases)
def test_best_path_is_best_of_all(case):
    emissions, _, mask, chain = random_case(*case)
    expected = []
    for row, length in enumerate(case[2]):
        path, _ = max(all_paths(emissions[row], length, chain), key=lambda pair: pair[1].item())
        expected.append(list(path))
    assert best_paths(emissions, mask, chain) == expected


@both_sums
@settings(max_examples=15, deadline=None)
@given(cases, st.sampled_from([1.0, 0.5, 3.0]))
def test_marginals_are_sums_over_all_paths(near, case, temperature):
    emissions, _, mask, chain = random_case(*case)
    _, types, lengths = case
    expected = torch.zeros_like(emissions)
    spans, chances = [], []
    for row, length in enumerate(lengths):
        paths = [(path, score / temperature) for path, score in all_paths(emissions[row], length, chain)]
        total = torch.stack([score for _, score in paths]).logsumexp(0)
        paths = [(path, (score - total).exp()) for path, score in paths]
        for path, chance in paths:
            expected[row, torch.arange(length), torch.tensor(path)] += chance
        for start, end, type_ in itertools.product(range(length), range(1, length + 1), range(types)):
            if start < end:
                begin, inside = 1 + 2 * type_, 2 + 2 * type_
                wanted = (begin, *[inside] * (end - start - 1))
                spans.append((row, start, end, begin))
                chances.append(
                    sum(
                        chance.item()
                        for path, chance in paths
                        if path[start:end] == wanted and (end == length or path[end] != inside)
                    )
                )
    places = Spans(*torch.tensor(spans).unbind(1))
    with patch.object(crf, "NEAR", near):
        of_tags = tag_marginals(emissions, mask, chain, temperature)
        of_spans = span_marginals(emissions, mask, chain, places, temperature)
    torch.testing.assert_close(of_tags, expected.float(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(of_spans, torch.tensor(chances), atol=1e-6, rtol=1e-5)


@both_sums
@settings(max_examples=10, deadline=None)
@given(cases, st.sampled_from([1.0, 0.4, 3.0]))
def test_spans_of_o_and_tempered_likelihood_are_sums_over_all_paths(near, case, temperature):
    emissions, tags, mask, chain = random_case(*case)
    spans, chances, surprises = [], [], []
    for row, length in enumerate(case[2]):
        paths = {path: score / temperature for path, score in all_paths(emissions[row], length, chain)}
        total = torch.stack(list(paths.values())).logsumexp(0)
        surprises.append(total - paths[tuple(tags[row, :length].tolist())])
        for start, end in itertools.combinations(range(length + 1), 2):
            spans.append((row, start, end, 0))
            outside = (score for path, score in paths.items() if not any(path[start:end]))
            chances.append(sum((score - total).exp().item() for score in outside))
    places = Spans(*torch.tensor(spans).unbind(1))
    with patch.object(crf, "NEAR", near):
        found = span_marginals(emissions, mask, chain, places, temperature)
        tempered = negative_log_likelihood(emissions, tags, mask, chain, temperature)
    torch.testing.assert_close(found, torch.tensor(chances), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(tempered, torch.stack(surprises).float(), atol=2e-5, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(cases, st.floats(0.05, 20.0))
def test_a_temperature_changes_no_path(case, temperature):
    emissions, _, mask, chain = random_case(*case)
    scaled = Chain(*(scores / temperature for scores in chain))
    assert best_paths(emissions / temperature, mask, scaled) == best_paths(emissions, mask, chain)


@both_sums
def test_gradients_are_those_of_the_enumeration(near):
    emissions, tags, mask, chain = random_case(3, 1, (4, 2, 1))
    leaves = [leaf.requires_grad_() for leaf in (emissions, *chain)]
    weights = (1.0, -2.0, 0.5)
    with patch.object(crf, "NEAR", near):
        losses = negative_log_likelihood(emissions, tags, mask, chain)
    found = torch.autograd.grad((losses * torch.tensor(weights)).sum(), leaves)
    total = torch.zeros((), dtype=torch.float64)
    for row, length in enumerate((4, 2, 1)):
        scores = dict(all_paths(emissions[row], length, chain))
        loss = brute_partition(emissions[row], length, chain) - scores[tuple(tags[row, :length].tolist())]
        total = total + weights[row] * loss
    for gradient, expected in zip(found, torch.autograd.grad(total, leaves), strict=True):
        torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4)


def test_gradient_of_the_emissions_is_expectation_less_gold():
    emissions, tags, mask, chain = random_case(8, 3, (9, 40, 1, 17))
    emissions.requires_grad_()
    negative_log_likelihood(emissions, tags, mask, chain).sum().backward()
    gold = torch.nn.functional.one_hot(tags, 7) * mask[:, :, None]
    torch.testing.assert_close(
        emissions.grad.float(), tag_marginals(emissions, mask, chain) - gold, atol=1e-5, rtol=1e-4
    )


def test_equals_pytorch_crf():
    emissions, tags, mask, chain = random_case(1, 4, (12, 30, 1, 7, 30), dtype=torch.float32)
    other = peer_of(chain)
    expected = -other(emissions, tags, mask, reduction="none")
    torch.testing.assert_close(negative_log_likelihood(emissions, tags, mask, chain), expected, rtol=1e-5, atol=1e-4)
    assert best_paths(emissions, mask, chain) == other.decode(emissions, mask)


@both_sums
@pytest.mark.parametrize("scheme", ["any", "IOB2"])
def test_large_scores_over_long_texts_equal_pytorch_crf(near, scheme):
    # As large as products of exponentials may be asked to hold, and against each other.
    types, lengths = 2, (400, 37, 1, 2)
    emissions, tags, mask, chain = random_case(7, types, lengths)
    emissions, *chain = (scores.sign() * 49.9 for scores in (emissions, *chain))
    if scheme == "IOB2":
        inside, every = torch.arange(2, 2 * types + 1, 2), torch.arange(1 + 2 * types)
        illegal = (every[:, None] != inside) & (every[:, None] != inside - 1)
        chain[0][:, inside] = chain[0][:, inside].masked_fill(illegal, IMPOSSIBLE)
        chain[1][inside] = IMPOSSIBLE
        tags = torch.where(tags % 2 == 0, 0, tags)
    chain = Chain(*chain)
    peer = peer_of(chain)
    leaves, others = [emissions.requires_grad_(), *(scores.requires_grad_() for scores in chain)], emissions.detach()
    with patch.object(crf, "NEAR", near):
        losses = negative_log_likelihood(emissions, tags, mask, chain)
        marginals = tag_marginals(emissions, mask, chain)
    expected = -peer(others.requires_grad_(), tags, mask, reduction="none")
    torch.testing.assert_close(losses, expected.float())
    assert marginals.sum(2)[mask].allclose(torch.ones(sum(lengths)))
    found = torch.autograd.grad(losses.sum(), leaves)
    wanted = [others, peer.transitions, peer.start_transitions, peer.end_transitions]
    for gradient, other in zip(found, torch.autograd.grad(expected.sum(), wanted), strict=True):
        torch.testing.assert_close(gradient, other, atol=1e-7, rtol=1e-7)


def test_scores_choose_the_sum_that_holds_them():
    small, moves = torch.tensor([-49.9, 49.9]).double(), torch.tensor([IMPOSSIBLE, 49.9]).double()
    assert crf._near(small, moves)
    for large in (-50.1, 50.1, math.inf, math.nan):
        assert not crf._near(torch.tensor([0.0, large]).double(), moves)
        assert not crf._near(small, torch.tensor([0.0, large]).double())
    assert not crf._near(small.float(), moves.float())


def test_padding_changes_nothing():
    emissions, tags, mask, chain = random_case(5, 2, (6, 3, 1))
    spans = Spans(*torch.tensor([[0, 1, 4, 1], [1, 1, 3, 3], [2, 0, 1, 1]]).unbind(1))
    noisy = torch.where(mask[:, :, None], emissions, 1e4)
    other_tags = torch.where(mask, tags, -100)
    for row in range(3):
        alone = slice(row, row + 1), slice(0, int(mask[row].sum()))
        one, one_mask = emissions[alone], mask[alone]
        torch.testing.assert_close(
            negative_log_likelihood(noisy, other_tags, mask, chain)[row],
            negative_log_likelihood(one, tags[alone], one_mask, chain)[0],
        )
        assert best_paths(noisy, mask, chain)[row] == best_paths(one, one_mask, chain)[0]
        torch.testing.assert_close(
            tag_marginals(noisy, mask, chain)[alone], tag_marginals(one, one_mask, chain), rtol=0, atol=1e-7
        )
        own = Spans(torch.tensor([0]), *(column[row : row + 1] for column in spans[1:]))
        torch.testing.assert_close(
            span_marginals(noisy, mask, chain, spans)[row], span_marginals(one, one_mask, chain, own)[0]
        )
    assert tag_marginals(noisy, mask, chain)[~mask].eq(0).all()


def test_equal_paths_are_told_apart_the_same_way_always():
    chain = Chain(torch.zeros(3, 3), torch.zeros(3), torch.zeros(3))
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    assert best_paths(torch.zeros(2, 4, 3), mask, chain) == [[0] * 4, [0] * 2]
    tied = torch.zeros(2, 4, 3)
    tied[:, :, 0] = -1.0
    assert best_paths(tied, mask, chain) == [[1] * 4, [1] * 2]


def test_impossible_moves_have_no_chance_and_no_gradient():
    emissions, _, mask, chain = random_case(4, 1, (4, 3))
    transitions, start = chain.transitions.clone(), chain.start.clone()
    transitions[0, 2] = start[2] = IMPOSSIBLE
    leaves = [transitions.requires_grad_(), start.requires_grad_(), emissions.requires_grad_()]
    barred = Chain(transitions, start, chain.end)
    tags = torch.tensor([[0, 1, 2, 0], [1, 2, 2, -100]])
    losses = negative_log_likelihood(emissions, tags, mask, barred)
    losses.sum().backward()
    assert transitions.grad[0, 2] == 0 and start.grad[2] == 0
    assert all(leaf.grad.isfinite().all() for leaf in leaves)
    for row, length in enumerate((4, 3)):
        legal = {
            path: score
            for path, score in all_paths(emissions[row], length, chain)
            if path[0] != 2 and (0, 2) not in itertools.pairwise(path)
        }
        expected = torch.stack(list(legal.values())).logsumexp(0) - legal[tuple(tags[row, :length].tolist())]
        torch.testing.assert_close(losses[row], expected.float(), atol=1e-5, rtol=1e-5)
    assert tag_marginals(emissions, mask, barred)[:, 0, 2].eq(0).all()


def test_long_spans_and_long_texts_stay_exact():
    # One type, emissions that do not depend on the word: the chance of a span is a ratio of powers of a 3 x 3 matrix.
    length, start, end = 2000, 100, 1500
    emissions = torch.tensor([[3.0, -1.0, 5.0]], dtype=torch.float64).expand(length, 3)[None]
    chain = Chain(torch.tensor([[1.0, 0.0, -2.0], [0.5, 0.0, 2.0], [0.0, -1.0, 0.4]]), torch.zeros(3), torch.zeros(3))
    mask = torch.ones(1, length, dtype=torch.bool)
    step = (chain.transitions.double() + emissions[0, 0]).exp()
    scale = torch.linalg.eigvals(step).abs().max()
    step = step / scale
    before = (emissions[0, 0].exp()[None] @ torch.linalg.matrix_power(step, start))[0, 1]
    inside = torch.log(before) + torch.log(step[1, 2]) + (end - start - 2) * torch.log(step[2, 2])
    after = torch.linalg.matrix_power(step, length - end - 1).sum(1)
    leaving = (step[2, :2] * after[:2]).sum().log()
    total = (emissions[0, 0].exp()[None] @ torch.linalg.matrix_power(step, length - 1)).sum().log()
    expected = (inside + leaving - total).exp().float()
    found = span_marginals(emissions.float(), mask, chain, Spans(*torch.tensor([[0, start, end, 1]]).unbind(1)))[0]
    assert 0 < expected < 1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


def test_scores_far_apart_overflow_nothing():
    emissions, tags, mask, chain = random_case(2, 2, (5, 3), spread=400.0, dtype=torch.float32)
    emissions.requires_grad_()
    loss = negative_log_likelihood(emissions, tags, mask, chain)
    loss.sum().backward()
    assert loss.isfinite().all() and (loss >= -1e-2).all() and emissions.grad.isfinite().all()
    assert tag_marginals(emissions, mask, chain).sum(2)[mask].allclose(torch.ones(8))


def test_bfloat16_emissions_are_summed_in_32_bits():
    emissions, tags, mask, chain = random_case(6, 4, (60, 20), dtype=torch.float32)
    coarse = emissions.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = negative_log_likelihood(coarse, tags, mask, chain)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, negative_log_likelihood(coarse.float(), tags, mask, chain))


def test_a_sentence_of_one_word_by_hand():
    chain = Chain(torch.zeros(3, 3), torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, 2.0]))
    emissions, mask = torch.tensor([[[1.0, 0.5, -1.0]]]), torch.ones(1, 1, dtype=torch.bool)
    total = math.log(math.exp(1.0) + math.exp(1.5) + math.exp(1.0))
    loss = negative_log_likelihood(emissions, torch.tensor([[1]]), mask, chain)
    assert loss.item() == pytest.approx(total - 1.5, abs=1e-6)
