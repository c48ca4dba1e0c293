"""The span-guided chain against sums over all paths, from the formulas of UMT."""

import itertools

import msgspec
import pytest
import torch

from babelens.modules.backbone import Streams
from babelens.modules.declaration import DeclarationError
from babelens.modules.heads import Crf
from babelens.modules.span_guided import SpanGuidedCrf, SpanGuidedCrfHead, conversion, span_tags
from babelens.schema import Entity, TagSet

TAGS = TagSet(("LOC", "PER", "ORG"))
MASK = torch.tensor([[True] * 4, [True, True, True, False], [True, False, False, False]])
GOLD = torch.tensor([[0, 3, 4, 0], [1, 2, 6, -100], [0, -100, -100, -100]])


def build(tags=TAGS, **fields):
    torch.manual_seed(0)
    head = SpanGuidedCrf(**fields).build(8, 6, tags)
    with torch.no_grad():
        for layer in (head.scores, head.spans.scores):
            layer.weight.mul_(40)
            layer.bias.normal_()
    return head, Streams(torch.randn(3, 4, 8), torch.randn(3, 4, 6))


def emissions_by_hand(head, streams, mix):
    """Mixed scores of tags and those of O, B, I, tag by tag: each type has its share of B and of I."""
    spans, mixed = torch.zeros(3, 4, 3), torch.zeros(3, 4, len(TAGS))
    for row, word in itertools.product(range(3), range(4)):
        for label in range(3):
            weight, bias = head.spans.scores.weight[label], head.spans.scores.bias[label]
            spans[row, word, label] = weight @ streams.auxiliary[row, word] + bias
        for tag, name in enumerate(TAGS.tags):
            own = head.scores.weight[tag] @ streams.words[row, word] + head.scores.bias[tag]
            share = 1.0 if name == "O" else 1 / len(TAGS.types)
            guide = share * spans[row, word, "OBI".index(name[0])]
            mixed[row, word, tag] = (1 - mix) * own + mix * guide
    return mixed, spans


def path_score(emissions, path, start, transitions, end):
    score = float(start[path[0]] + end[path[-1]])
    score += sum(float(emissions[word, tag]) for word, tag in enumerate(path))
    return score + sum(float(transitions[before, after]) for before, after in itertools.pairwise(path))


def nll_by_hand(emissions, gold, chain):
    """-log of the share of one path in the sum over all."""
    count = emissions.shape[1]
    scores = [path_score(emissions, path, *chain) for path in itertools.product(range(count), repeat=len(gold))]
    return float(torch.tensor(scores).double().logsumexp(0)) - path_score(emissions, gold, *chain)


@pytest.mark.parametrize(("mix", "weight"), [(0.5, 0.5), (0.3, 0.2)])
def test_emissions_and_both_losses_equal_the_formulas(mix, weight):
    head, streams = build(mix=mix, weight=weight)
    with torch.no_grad():
        mixed, spans = emissions_by_hand(head, streams, mix)
        torch.testing.assert_close(head.emissions(streams), mixed, atol=1e-5, rtol=1e-5)
        losses = head.losses(streams, GOLD, MASK)
        assert list(losses) == ["tags", "spans"]
        for row, length in enumerate((4, 3, 1)):
            gold = GOLD[row, :length].tolist()
            labels = ["OBI".index(TAGS.tags[tag][0]) for tag in gold]
            main = nll_by_hand(mixed[row, :length], gold, (head.start, head.transitions, head.end))
            own = head.spans
            guide = nll_by_hand(spans[row, :length], labels, (own.start, own.transitions, own.end))
            assert losses["tags"][row].item() == pytest.approx(main, abs=1e-4)
            assert losses["spans"][row].item() == pytest.approx(weight * guide, abs=1e-4)


def test_decoding_and_marginals_are_those_of_the_mixed_chain():
    head, streams = build()
    entity = Entity(0, 2, "PER")
    with torch.no_grad():
        mixed, _ = emissions_by_hand(head, streams, 0.5)
        emissions = head.emissions(streams)
        chain = (head.start, head.transitions, head.end)
        paths = list(itertools.product(range(7), repeat=3))
        scores = torch.tensor([path_score(mixed[1, :3], path, *chain) for path in paths]).double()
        shares = scores.softmax(0)
        assert head.decode(emissions, MASK)[1] == list(paths[int(scores.argmax())])
        marginals = head.marginals(emissions, MASK)
        share = sum(float(own) for path, own in zip(paths, shares, strict=True) if path[1] == 4)
        assert marginals[1, 1, 4].item() == pytest.approx(share, abs=1e-5)
        found = head.span_marginals(emissions, MASK, [[], [entity], []])[1][0]
        share = sum(float(own) for path, own in zip(paths, shares, strict=True) if path[:2] == (3, 4) and path[2] != 4)
        assert found == pytest.approx(share, abs=1e-5)


def test_the_matrix_is_the_published_one_over_the_tags_of_the_data():
    four = conversion(TagSet(("LOC", "MISC", "ORG", "PER")))
    assert four.tolist() == [[1.0] + [0.0] * 8, [0.0] + [0.25, 0.0] * 4, [0.0] + [0.0, 0.25] * 4]
    assert conversion(TagSet(())).tolist() == [[1.0], [0.0], [0.0]]


def test_tags_as_spans():
    assert span_tags(torch.tensor([[0, 1, 2, 3, 4, 5, 6, -100]])).tolist() == [[0, 1, 2, 1, 2, 1, 2, 0]]


def test_nothing_but_the_mask_and_its_row_counts():
    head, streams = build()
    with torch.no_grad():
        noisy = Streams(*(torch.where(MASK[:, :, None], part, 50.0) for part in (streams.words, streams.auxiliary)))
        together, expected = head.losses(noisy, GOLD, MASK), head.losses(streams, GOLD, MASK)
        for name, part in together.items():
            torch.testing.assert_close(part, expected[name])
            for row, length in enumerate((4, 3, 1)):
                one = Streams(streams.words[row : row + 1, :length], streams.auxiliary[row : row + 1, :length])
                alone = head.losses(one, GOLD[row : row + 1, :length], MASK[row : row + 1, :length])
                torch.testing.assert_close(part[row : row + 1], alone[name])


@pytest.mark.parametrize("forbid_illegal", [False, True])
def test_the_gradient_reaches_every_weight_in_bfloat16_too(forbid_illegal):
    gold = torch.tensor([[0, 3, 4, 0], [1, 2, 5, -100], [0, -100, -100, -100]])
    for autocast in (False, True):
        head, streams = build(forbid_illegal=forbid_illegal)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            losses = head.losses(streams, gold, MASK)
        assert all(part.shape == (3,) and part.dtype == torch.float32 for part in losses.values())
        sum(part.sum() for part in losses.values()).backward()
        assert all(weight.grad.isfinite().all() and weight.grad.any() for weight in head.parameters())


def test_forbidden_moves_are_forbidden_in_both_chains():
    head, streams = build(forbid_illegal=True)
    for path in head.decode(head.emissions(streams), MASK):
        assert path[0] % 2 == 1 or path[0] == 0
        assert all(TAGS.transition_allowed()[before][after] for before, after in itertools.pairwise(path))
    assert head.spans.marginals(head.spans.emissions(Streams(streams.auxiliary)), MASK)[:, 0, 2].eq(0).all()


def test_the_declaration():
    read = msgspec.json.decode(msgspec.json.encode(SpanGuidedCrf()), type=Crf | SpanGuidedCrf)
    assert read == SpanGuidedCrf(mix=0.5, weight=0.5) and isinstance(read.build(4, 4, TAGS), SpanGuidedCrfHead)
    with pytest.raises(ValueError, match=r"auxiliary stream \(interaction\) for span-guided-crf, found none"):
        SpanGuidedCrf().build(4, None, TAGS)
    with pytest.raises(ValueError, match="span-guided-crf"):
        Crf().build(4, 4, TAGS)
    with pytest.raises(DeclarationError, match=r"head\.mix: expected a share from 0 to 1, found 2"):
        SpanGuidedCrf(mix=2)
    with pytest.raises(DeclarationError, match=r"head\.weight: expected 0 or more, found -1"):
        SpanGuidedCrf(weight=-1)
    head, _ = build()
    with pytest.raises(ValueError, match="an auxiliary one, found none"):
        head.emissions(Streams(torch.zeros(1, 1, 8)))
