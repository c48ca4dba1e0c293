"""NT-Xent over texts and pictures against loops, a case worked by hand, and the ordinary cross entropy."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from babelens.modules.alignment import Contrastive, gather, nt_xent


def brute(text, image, groups, present, temperature, negatives):
    """The definition, one pair at a time in floats."""
    vectors = [("text", row, text[row]) for row in range(len(text)) if present[row]]
    vectors += [("image", row, image[row]) for row in range(len(image)) if present[row]]
    if len({groups[row] for _, row, _ in vectors}) < 2:
        return 0.0

    def weight(one, other):
        return math.exp(functional.cosine_similarity(one, other, dim=0).item() / temperature)

    anchors = []
    for kind, row, vector in vectors:
        pushed = sum(
            weight(vector, other)
            for other_kind, other_row, other in vectors
            if groups[other_row] != groups[row] and (negatives == "all" or other_kind != kind)
        )
        pulled = [
            weight(vector, other)
            for other_kind, other_row, other in vectors
            if groups[other_row] == groups[row] and other_kind != kind
        ]
        anchors.append(sum(-math.log(one / (one + pushed)) for one in pulled) / len(pulled))
    return sum(anchors) / len(anchors)


rows = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(rows, st.integers(0, 10_000), st.sampled_from([0.07, 0.5, 2.0]), st.sampled_from(["cross", "all"]))
def test_equals_the_definition(rows, seed, temperature, negatives):
    generator = torch.Generator().manual_seed(seed)
    text, image = torch.randn(2, len(rows), 5, generator=generator)
    groups, present = [group for group, _ in rows], [there for _, there in rows]
    found = nt_xent(text, image, torch.tensor(groups), torch.tensor(present), temperature, negatives)
    assert found.item() == pytest.approx(
        brute(text, image, groups, present, temperature, negatives), abs=1e-5, rel=1e-5
    )


def test_by_hand():
    # Two rows on the axes of a plane: every similarity is 1 or 0.
    text = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    groups, present = torch.tensor([0, 1]), torch.tensor([True, True])
    pulled, pushed = math.exp(1 / 0.5), math.exp(0)
    cross = nt_xent(text, text * 7, groups, present, 0.5, "cross")
    assert cross.item() == pytest.approx(-math.log(pulled / (pulled + pushed)), rel=1e-6)
    all_ = nt_xent(text, text * 7, groups, present, 0.5, "all")
    assert all_.item() == pytest.approx(-math.log(pulled / (pulled + 2 * pushed)), rel=1e-6)
    # The pictures swapped: what was pulled is now pushed.
    swapped = nt_xent(text, text.flip(0), groups, present, 0.5, "cross")
    assert swapped.item() == pytest.approx(-math.log(pushed / (pulled + pushed)), rel=1e-6)


def test_different_pictures_are_ordinary_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    text, image = torch.randn(2, 7, 4, generator=generator)
    everyone = torch.arange(7), torch.ones(7, dtype=torch.bool)
    one, other = functional.normalize(text, dim=1), functional.normalize(image, dim=1)
    scores = one @ other.T / 0.5
    clip = (functional.cross_entropy(scores, everyone[0]) + functional.cross_entropy(scores.T, everyone[0])) / 2
    torch.testing.assert_close(nt_xent(text, image, *everyone, 0.5, "cross"), clip)
    both = torch.cat([one, other])
    scores = (both @ both.T / 0.5).fill_diagonal_(-torch.inf)
    simclr = functional.cross_entropy(scores, (torch.arange(14) + 7) % 14)
    torch.testing.assert_close(nt_xent(text, image, *everyone, 0.5, "all"), simclr)


@pytest.mark.parametrize(
    ("groups", "present"),
    [([0], [True]), ([4, 4, 4], [True] * 3), ([0, 1, 2], [False] * 3), ([0, 1, 1], [False, True, True])],
)
@pytest.mark.parametrize("negatives", ["cross", "all"])
def test_fewer_than_two_groups_give_exactly_nothing(groups, present, negatives):
    text = torch.randn(len(groups), 4, requires_grad=True)
    image = torch.randn(len(groups), 4, requires_grad=True)
    loss = nt_xent(text, image, torch.tensor(groups), torch.tensor(present), 0.5, negatives)
    assert loss.item() == 0.0
    loss.backward()
    assert text.grad.eq(0).all() and image.grad.eq(0).all()


def test_copies_of_a_picture_are_pulled_together_and_never_pushed_apart():
    generator = torch.Generator().manual_seed(3)
    picture, other = torch.randn(2, 6, generator=generator)
    text = torch.randn(3, 6, generator=generator).requires_grad_()
    image = torch.stack([picture, picture, other])
    present = torch.ones(3, dtype=torch.bool)
    shared = nt_xent(text, image, torch.tensor([0, 0, 1]), present, 0.5, "cross")
    (gradient,) = torch.autograd.grad(shared, text)
    for row in (0, 1):
        toward = picture - (picture @ text[row]) / (text[row] @ text[row]) * text[row]
        assert gradient[row] @ toward < 0
    # Counted as strangers, the two copies push one another, and that is more loss.
    apart = nt_xent(text, image, torch.arange(3), present, 0.5, "cross")
    assert shared < apart


def test_absent_rows_take_no_part_whatever_they_hold():
    generator = torch.Generator().manual_seed(5)
    text, image = torch.randn(2, 4, 6, generator=generator)
    groups, present = torch.tensor([0, 1, 1, 2]), torch.tensor([True, True, False, True])
    expected = nt_xent(text[present], image[present], groups[present], present[present])
    image[2] = torch.nan
    text, image = text.requires_grad_(), image.requires_grad_()
    loss = nt_xent(text, image, groups, present)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert text.grad[2].eq(0).all() and image.grad[2].eq(0).all()
    assert text.grad.isfinite().all() and image.grad[present].abs().sum() > 0


@pytest.mark.parametrize("negatives", ["cross", "all"])
def test_losses_over_the_rows_of_several_batches_add_up_to_the_mean_over_their_anchors(negatives):
    generator = torch.Generator().manual_seed(6)
    text, image = torch.randn(2, 7, 6, generator=generator, dtype=torch.float64)
    groups, present = torch.tensor([0, 1, 1, 2, 3, 4, 5]), torch.tensor([True, True, True, False, True, True, False])
    parts = [slice(0, 3), slice(3, 7)]
    found = sum(nt_xent(text[p], image[p], groups[p], present[p], 0.5, negatives, present.sum()).item() for p in parts)
    means = [brute(text[p], image[p], groups[p].tolist(), present[p].tolist(), 0.5, negatives) for p in parts]
    assert found == pytest.approx((3 * means[0] + 2 * means[1]) / 5, rel=1e-9)


def test_rows_are_gathered_as_they_are_where_there_is_one_process():
    own = torch.randn(3, 2, requires_grad=True)
    assert gather(own, 3) is own


def test_order_of_rows_does_not_matter():
    generator = torch.Generator().manual_seed(9)
    text, image = torch.randn(2, 5, 6, generator=generator)
    groups, present = torch.tensor([0, 1, 1, 2, 3]), torch.tensor([True, True, True, False, True])
    expected = nt_xent(text, image, groups, present)
    for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 17):
        torch.testing.assert_close(
            nt_xent(text[[*order]], image[[*order]], groups[[*order]], present[[*order]]), expected
        )


def test_printed_equations_would_push_a_text_from_its_picture():
    # What the docstring says of equations 9 and 10: as printed, more similarity of true pairs is more loss.
    def printed(similarity, tau=0.5):
        weights = (similarity / tau).exp()
        wrong = weights.sum() - weights.diagonal().sum()
        return (weights / wrong).sum() / (2 * len(similarity))

    similarity = torch.randn(4, 4, generator=torch.Generator().manual_seed(1)).tanh().requires_grad_()
    printed(similarity).backward()
    assert (similarity.grad.diagonal() > 0).all()
    weights = (similarity.detach() / 0.5).exp()
    wrong = weights.sum() - weights.diagonal().sum()
    expected = (1 + weights.diagonal().sum() / wrong) / 8
    torch.testing.assert_close(printed(similarity.detach()), expected)


def test_module_projects_each_modality_and_counts_in_32_bits():
    torch.manual_seed(0)
    module = Contrastive(temperature=0.2, negatives="cross").build(text_dim=8, image_dim=12)
    pooled, image = torch.randn(4, 8), torch.randn(4, 12)
    groups, present = torch.tensor([0, 1, 2, 2]), torch.tensor([True, True, True, False])
    first, second = module.text[0], module.text[2]
    text = functional.linear(functional.linear(pooled, first.weight, first.bias).relu(), second.weight, second.bias)
    first, second = module.image[0], module.image[2]
    seen = functional.linear(functional.linear(image, first.weight, first.bias).relu(), second.weight, second.bias)
    assert text.shape == seen.shape == (4, 8)
    expected = nt_xent(text, seen, groups, present, 0.2, "cross")
    torch.testing.assert_close(module.compare(module(pooled, image), groups, present), expected)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = module.compare(module(pooled, image), groups, present)
    assert coarse.dtype == torch.float32
    torch.testing.assert_close(coarse, expected)
    assert module(pooled.bfloat16(), image.bfloat16()).text.dtype == torch.float32
    exact = module.double().compare(module(pooled.double(), image.double()), groups, present)
    assert exact.dtype == torch.float64 and exact.item() == pytest.approx(expected.item(), rel=1e-5)
    assert Contrastive(dim=6).build(8, 12).image[2].out_features == 6


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"above 0, found 0\.0"):
        Contrastive(temperature=0.0).build(8, 8)


def test_a_common_space_of_no_width_is_refused():
    with pytest.raises(ValueError, match=r"alignment\.dim: expected at least 1, found -1"):
        Contrastive(dim=-1).build(8, 8)
