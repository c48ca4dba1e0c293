"""Heads: declarations, what they do with entities, and the softmax head against hand-made products."""

import itertools

import msgspec
import pytest
import torch
from torch.nn import functional

from babelens.modules.backbone import Streams
from babelens.modules.heads import Crf, CrfHead, Softmax, SoftmaxHead
from babelens.schema import Entity, TagSet

TAGS = TagSet(("LOC", "PER"))
MASK = torch.tensor([[True] * 4, [True, True, True, False], [True, False, False, False]])
GOLD = torch.tensor([[0, 3, 4, 0], [1, 2, 2, -100], [0, -100, -100, -100]])


def build(declaration, seed=0):
    torch.manual_seed(seed)
    head = declaration.build(8, None, TAGS)
    words = torch.randn(3, 4, 8) * 3
    return head, words


def all_spans(lengths=(4, 3, 1)):
    return [
        [
            Entity(start, end, type_)
            for start, end in itertools.combinations(range(length + 1), 2)
            for type_ in TAGS.types
        ]
        for length in lengths
    ]


def enumerated(head, emissions, row, span):
    """The chance of a span by the sum over all paths of a row, from the head's own parameters."""
    length = int(MASK[row].sum())
    begin = 1 + 2 * TAGS.types.index(span.type)
    wanted = (begin, *[begin + 1] * (span.end - span.start - 1))
    total = chance = 0.0
    for path in itertools.product(range(5), repeat=length):
        score = head.start[path[0]] + head.end[path[-1]] + sum(emissions[row, w, t] for w, t in enumerate(path))
        score = score + sum((head.transitions[a, b] for a, b in itertools.pairwise(path)), torch.tensor(0.0))
        if head.forbid_illegal and (
            not TAGS.start_allowed()[path[0]]
            or not all(TAGS.transition_allowed()[a][b] for a, b in itertools.pairwise(path))
        ):
            continue
        weight = score.double().exp().item()
        total += weight
        ends = span.end == length or path[span.end] != begin + 1
        if path[span.start : span.end] == wanted and ends:
            chance += weight
    return chance / total


@pytest.mark.parametrize("forbid_illegal", [False, True])
def test_crf_span_scores_are_sums_over_paths(forbid_illegal):
    head, words = build(Crf(forbid_illegal=forbid_illegal))
    with torch.no_grad():
        emissions = head.emissions(Streams(words / 3))
        spans = all_spans()
        for row, (found, entities) in enumerate(zip(head.span_marginals(emissions, MASK, spans), spans, strict=True)):
            assert len(found) == len(entities)
            for score, entity in list(zip(found, entities, strict=True))[:: 1 if row else 4]:
                assert score == pytest.approx(enumerated(head, emissions, row, entity), abs=2e-6)


def test_forbidden_moves_are_never_decoded_nor_counted():
    head, words = build(Crf(forbid_illegal=True))
    free, _ = build(Crf())
    free.load_state_dict(head.state_dict())
    emissions = torch.zeros(3, 4, 5)
    emissions[:, :, 2] = 5.0
    assert free.decode(emissions, MASK) == [[2] * 4, [2] * 3, [2]]
    for path in head.decode(emissions, MASK):
        assert path[0] != 2 and all(TAGS.transition_allowed()[a][b] for a, b in itertools.pairwise(path))
    assert head.marginals(emissions, MASK)[:, 0, [2, 4]].eq(0).all()
    gold = torch.tensor([[0, 3, 4, 0], [1, 2, 2, 0], [0, 0, 0, 0]])
    # Fewer paths share the same scores.
    assert (head.loss(emissions, gold, MASK) < free.loss(emissions, gold, MASK)).all()
    head.loss(head.emissions(Streams(words)), gold, MASK).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


@pytest.mark.parametrize("declaration", [Crf(), Crf(forbid_illegal=True), Softmax()])
def test_both_heads_keep_the_contract(declaration):
    head, words = build(declaration)
    with torch.autocast("cpu", torch.bfloat16):
        emissions = head.emissions(Streams(words))
        loss = head.loss(emissions, GOLD, MASK)
        decoded = head.decode(emissions, MASK)
        marginals = head.marginals(emissions, MASK)
        scores = head.span_marginals(emissions, MASK, [[Entity(0, 2, "PER")], [], [Entity(0, 1, "LOC")]])
    assert loss.shape == (3,) and loss.dtype == torch.float32
    loss.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())
    assert [len(path) for path in decoded] == [4, 3, 1] and all(isinstance(tag, int) for tag in decoded[0])
    assert marginals.sum(2).allclose(MASK.float(), atol=1e-5)
    assert [len(row) for row in scores] == [1, 0, 1] and 0 <= scores[0][0] <= 1
    assert head.span_marginals(emissions, MASK, [[], [], []]) == [[], [], []]


@pytest.mark.parametrize("declaration", [Crf(), Softmax()])
def test_each_row_is_as_if_it_were_alone(declaration):
    head, words = build(declaration)
    head.requires_grad_(False)
    spans = all_spans()
    together = head.emissions(Streams(words))
    for row, length in enumerate((4, 3, 1)):
        alone, mask = together[row : row + 1, :length], MASK[row : row + 1, :length]
        torch.testing.assert_close(
            head.loss(together, GOLD, MASK)[row], head.loss(alone, GOLD[row : row + 1, :length], mask)[0]
        )
        assert head.decode(together, MASK)[row] == head.decode(alone, mask)[0]
        assert head.span_marginals(together, MASK, spans)[row] == pytest.approx(
            head.span_marginals(alone, mask, [spans[row]])[0], abs=1e-7
        )


def test_softmax_loss_is_the_mean_over_words():
    head, words = build(Softmax())
    emissions = head.emissions(Streams(words))
    loss = head.loss(emissions, GOLD, MASK)
    expected = [functional.cross_entropy(emissions[row, :n], GOLD[row, :n]) for row, n in enumerate((4, 3, 1))]
    torch.testing.assert_close(loss, torch.stack(expected))
    published = functional.cross_entropy(emissions.flatten(0, 1), GOLD.flatten(), ignore_index=-100)
    torch.testing.assert_close((loss * MASK.sum(1)).sum() / MASK.sum(), published)


def test_softmax_span_scores_are_products():
    head, words = build(Softmax())
    emissions = head.emissions(Streams(words / 3)).detach()
    chance = emissions.softmax(2)
    entities = [
        [Entity(1, 3, "PER"), Entity(0, 4, "LOC"), Entity(3, 4, "PER")],
        [Entity(0, 1, "LOC"), Entity(1, 3, "LOC")],
        [Entity(0, 1, "PER")],
    ]
    expected = [
        [
            chance[0, 1, 3] * chance[0, 2, 4] * (1 - chance[0, 3, 4]),
            chance[0, 0, 1] * chance[0, 1, 2] * chance[0, 2, 2] * chance[0, 3, 2],
            chance[0, 3, 3],
        ],
        [chance[1, 0, 1] * (1 - chance[1, 1, 2]), chance[1, 1, 1] * chance[1, 2, 2]],
        [chance[2, 0, 3]],
    ]
    found = head.span_marginals(emissions, MASK, entities)
    for row, wanted in zip(found, expected, strict=True):
        assert row == pytest.approx([value.item() for value in wanted], abs=1e-6)
    cooler = head.span_marginals(emissions / 2, MASK, entities)
    assert head.span_marginals(emissions, MASK, entities, temperature=2.0) == cooler


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_softmax_outside_and_surprise_are_products(temperature):
    head, words = build(Softmax())
    emissions = head.emissions(Streams(words / 3)).detach()
    chance = (emissions / temperature).softmax(2)
    found = head.outside_marginals(emissions, MASK, [[Entity(1, 4, "PER")], [], [Entity(0, 1, "LOC")]], temperature)
    assert found[0] == pytest.approx([(chance[0, 1, 0] * chance[0, 2, 0] * chance[0, 3, 0]).item()], abs=1e-6)
    assert found[1] == [] and found[2] == pytest.approx([chance[2, 0, 0].item()], abs=1e-6)
    surprises = head.surprises(emissions, GOLD, MASK, temperature)
    for row, length in enumerate((4, 3, 1)):
        right = torch.stack([chance[row, word, GOLD[row, word]] for word in range(length)])
        torch.testing.assert_close(surprises[row], -right.log().sum())


@pytest.mark.parametrize("declaration", [Crf(), Crf(forbid_illegal=True), Softmax()])
def test_what_starts_at_a_word_is_outside_or_begins_or_goes_on(declaration):
    head, words = build(declaration)
    emissions = head.emissions(Streams(words / 3)).detach()
    spans = [[Entity(0, 1, type_) for type_ in TAGS.types], [], []]
    outside = head.outside_marginals(emissions, MASK, spans, 1.5)[0]
    assert outside[0] == outside[1] == pytest.approx(head.marginals(emissions, MASK, 1.5)[0, 0, 0].item(), abs=1e-6)


def test_crf_temperature_flattens_the_whole_path():
    head, words = build(Crf())
    emissions = head.emissions(Streams(words)).detach()
    cooled, _ = build(Crf())
    with torch.no_grad():
        for parameter in (cooled.transitions, cooled.start, cooled.end):
            parameter.div_(4.0)
    expected = cooled.marginals(emissions / 4, MASK)
    torch.testing.assert_close(head.marginals(emissions, MASK, temperature=4.0), expected)


@pytest.mark.parametrize("declaration", [Crf(), Softmax()])
def test_entities_that_cannot_be_there_are_named(declaration):
    head, words = build(declaration)
    emissions = head.emissions(Streams(words))
    with pytest.raises(ValueError, match=r"within 0\.\.3 words, found .*end=4"):
        head.span_marginals(emissions, MASK, [[], [Entity(2, 4, "PER")], []])
    with pytest.raises(ValueError, match=r"type of LOC, PER, found .*ORG"):
        head.span_marginals(emissions, MASK, [[Entity(0, 1, "ORG")], [], []])


def test_declarations_are_read_by_their_tag_and_refuse_what_they_do_not_know():
    for declared, head in ((Crf(forbid_illegal=True), CrfHead), (Softmax(), SoftmaxHead)):
        read = msgspec.json.decode(msgspec.json.encode(declared), type=Crf | Softmax)
        assert read == declared and isinstance(read.build(4, None, TAGS), head)
    with pytest.raises(msgspec.ValidationError, match="smooth"):
        msgspec.convert({**msgspec.to_builtins(Softmax()), "smooth": 1}, Crf | Softmax)
