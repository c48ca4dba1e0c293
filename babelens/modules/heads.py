"""From words to tags: a linear chain over the sentence, or each word for itself."""

from collections.abc import Sequence

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from babelens.modules import crf
from babelens.modules.backbone import Streams
from babelens.modules.shapes import Emissions, PerRow, Tags, WordMask
from babelens.schema import Entity, TagSet


class Crf(msgspec.Struct, frozen=True, tag="crf", forbid_unknown_fields=True):
    """A conditional random field over the tags of a sentence (paper, equations 15 to 17).

    `forbid_illegal` makes an I- that does not follow B- or I- of its own type impossible, in training and in decoding.
    """

    forbid_illegal: bool = False

    def build(self, dim: int, auxiliary_dim: int | None, tags: TagSet) -> "CrfHead":
        """The head for words of width `dim`; an auxiliary stream is not read.

        Raises:
            ValueError: there is an auxiliary stream, whose weights would learn nothing.
        """
        _unread(auxiliary_dim)
        return CrfHead(dim, tags, self.forbid_illegal)


class Softmax(msgspec.Struct, frozen=True, tag="softmax", forbid_unknown_fields=True):
    """Each word's tag by itself."""

    def build(self, dim: int, auxiliary_dim: int | None, tags: TagSet) -> "SoftmaxHead":
        """The head for words of width `dim`; an auxiliary stream is not read.

        Raises:
            ValueError: there is an auxiliary stream, whose weights would learn nothing.
        """
        _unread(auxiliary_dim)
        return SoftmaxHead(dim, tags)


def _unread(auxiliary_dim: int | None) -> None:
    if auxiliary_dim is not None:
        raise ValueError("head: expected one that reads the fusion's auxiliary stream (span-guided-crf), found another")


class CrfHead(nn.Module):
    """Emissions by a linear layer, tags by a linear chain. Dropout belongs to the caller."""

    def __init__(self, dim: int, tags: TagSet, forbid_illegal: bool) -> None:
        super().__init__()
        self.tags = tags
        self.forbid_illegal = forbid_illegal
        self.scores = nn.Linear(dim, len(tags))
        self.transitions = nn.Parameter(torch.empty(len(tags), len(tags)).uniform_(-0.1, 0.1))
        self.start = nn.Parameter(torch.empty(len(tags)).uniform_(-0.1, 0.1))
        self.end = nn.Parameter(torch.empty(len(tags)).uniform_(-0.1, 0.1))
        self.register_buffer("may_follow", torch.tensor(tags.transition_allowed()), persistent=False)
        self.register_buffer("may_start", torch.tensor(tags.start_allowed()), persistent=False)

    @property
    def chain(self) -> crf.Chain:
        """The scores of the chain, with what is forbidden made impossible."""
        transitions, start = self.transitions, self.start
        if self.forbid_illegal:
            transitions = transitions.masked_fill(~self.get_buffer("may_follow"), crf.IMPOSSIBLE)
            start = start.masked_fill(~self.get_buffer("may_start"), crf.IMPOSSIBLE)
        return crf.Chain(transitions, start, self.end)

    def emissions(self, streams: Streams) -> Emissions:
        """The score of each tag for each word."""
        return self.scores(streams.words)

    def losses(self, streams: Streams, tags: Tags, mask: WordMask) -> dict[str, PerRow]:
        """The terms of the head's loss by name, weighted, of each sentence."""
        return {"tags": self.loss(self.emissions(streams), tags, mask)}

    def loss(self, emissions: Emissions, tags: Tags, mask: WordMask) -> PerRow:
        """The negative log-likelihood of each sentence (equation 17)."""
        return crf.negative_log_likelihood(emissions, tags, mask, self.chain)

    def decode(self, emissions: Emissions, mask: WordMask) -> list[list[int]]:
        """The tags of the best path of each row, one per word."""
        return crf.best_paths(emissions, mask, self.chain)

    def marginals(self, emissions: Emissions, mask: WordMask, temperature: float = 1.0) -> Emissions:
        """The probability of each tag for each word under all paths; 0 in the padding."""
        return crf.tag_marginals(emissions, mask, self.chain, temperature)

    def span_marginals(
        self, emissions: Emissions, mask: WordMask, spans: Sequence[Sequence[Entity]], temperature: float = 1.0
    ) -> list[list[float]]:
        """The probability that exactly this entity is there, for each entity of each row.

        Raises:
            ValueError: an entity lies outside its row, or is of a type that the tag set does not hold.
        """
        places = _places(self.tags, spans, mask)
        return _rows(crf.span_marginals(emissions, mask, self.chain, places, temperature), spans)

    def outside_marginals(
        self, emissions: Emissions, mask: WordMask, spans: Sequence[Sequence[Entity]], temperature: float = 1.0
    ) -> list[list[float]]:
        """The probability that no word of this span is part of an entity, for each of each row; types do not count.

        Raises:
            ValueError: a span lies outside its row, or is of a type that the tag set does not hold.
        """
        places = _outside(_places(self.tags, spans, mask))
        return _rows(crf.span_marginals(emissions, mask, self.chain, places, temperature), spans)

    @torch.no_grad()
    def surprises(self, emissions: Emissions, tags: Tags, mask: WordMask, temperature: float = 1.0) -> PerRow:
        """-log P(tags) of each sentence in nats, the scores of paths divided by `temperature`."""
        return crf.negative_log_likelihood(emissions, tags, mask, self.chain, temperature)


class SoftmaxHead(nn.Module):
    """Scores by a linear layer, the tag of each word by itself. Dropout belongs to the caller."""

    def __init__(self, dim: int, tags: TagSet) -> None:
        super().__init__()
        self.tags = tags
        self.scores = nn.Linear(dim, len(tags))

    def emissions(self, streams: Streams) -> Emissions:
        """The score of each tag for each word."""
        return self.scores(streams.words)

    def losses(self, streams: Streams, tags: Tags, mask: WordMask) -> dict[str, PerRow]:
        """The terms of the head's loss by name, weighted, of each sentence."""
        return {"tags": self.loss(self.emissions(streams), tags, mask)}

    def loss(self, emissions: Emissions, tags: Tags, mask: WordMask) -> PerRow:
        """The cross entropy of each sentence: the mean over its words.

        The mean of this over a batch weighs sentences alike. Published taggers take the mean over all words of a batch,
        which is this weighted by the words of each row.
        """
        tags = tags.masked_fill(~mask, 0)
        words = functional.cross_entropy(emissions.float().transpose(1, 2), tags, reduction="none")
        return torch.where(mask, words, 0.0).sum(1) / mask.sum(1)

    def decode(self, emissions: Emissions, mask: WordMask) -> list[list[int]]:
        """The best tag of each word; of equal ones the lowest."""
        lengths = mask.sum(1).tolist()
        return [row[:length] for row, length in zip(emissions.argmax(2).tolist(), lengths, strict=True)]

    @torch.no_grad()
    def marginals(self, emissions: Emissions, mask: WordMask, temperature: float = 1.0) -> Emissions:
        """The probability of each tag for each word; 0 in the padding."""
        return torch.where(mask[:, :, None], (emissions.float() / temperature).softmax(2), 0.0)

    @torch.no_grad()
    def span_marginals(
        self, emissions: Emissions, mask: WordMask, spans: Sequence[Sequence[Entity]], temperature: float = 1.0
    ) -> list[list[float]]:
        """The probability that exactly this entity is there if tags are independent, for each entity of each row.

        It is P(B-c) P(I-c) ... P(I-c) (1 - P(I-c) of the next word).

        Raises:
            ValueError: an entity lies outside its row, or is of a type that the tag set does not hold.
        """
        rows, starts, ends, begins = _places(self.tags, spans, mask)
        logs = (emissions.float() / temperature).log_softmax(2)
        inside = begins + 1
        word = torch.arange(mask.shape[1], device=mask.device)
        within = (word > starts[:, None]) & (word < ends[:, None])
        chances = logs[rows, starts, begins] + torch.where(within, logs[rows, :, inside], 0.0).sum(1)
        after = ends.clamp(max=mask.shape[1] - 1)
        goes_on = torch.where(mask[rows, after] & (ends < mask.shape[1]), logs[rows, after, inside].exp(), 0.0)
        return _rows(chances.exp() * (1 - goes_on), spans)

    @torch.no_grad()
    def outside_marginals(
        self, emissions: Emissions, mask: WordMask, spans: Sequence[Sequence[Entity]], temperature: float = 1.0
    ) -> list[list[float]]:
        """The probability that no word of this span is part of an entity, for each span of each row: that all are O.

        Raises:
            ValueError: a span lies outside its row, or is of a type that the tag set does not hold.
        """
        rows, starts, ends, _ = _places(self.tags, spans, mask)
        logs = (emissions.float() / temperature).log_softmax(2)
        word = torch.arange(mask.shape[1], device=mask.device)
        within = (word >= starts[:, None]) & (word < ends[:, None])
        return _rows(torch.where(within, logs[rows, :, 0], 0.0).sum(1).exp(), spans)

    @torch.no_grad()
    def surprises(self, emissions: Emissions, tags: Tags, mask: WordMask, temperature: float = 1.0) -> PerRow:
        """-log P(tags) of each sentence in nats if tags are independent, all scores divided by `temperature`."""
        logs = (emissions.float() / temperature).log_softmax(2)
        chosen = logs.gather(2, tags.masked_fill(~mask, 0)[:, :, None])[:, :, 0]
        return -torch.where(mask, chosen, 0.0).sum(1)


def _places(tags: TagSet, spans: Sequence[Sequence[Entity]], mask: WordMask) -> crf.Spans:
    """Entities of each row as tensors."""
    columns: list[tuple[int, int, int, int]] = []
    for row, (entities, length) in enumerate(zip(spans, mask.sum(1).tolist(), strict=True)):
        for entity in entities:
            if not 0 <= entity.start < entity.end <= length:
                raise ValueError(f"expected an entity within 0..{length} words, found {entity}")
            if entity.type not in tags.types:
                raise ValueError(f"expected a type of {', '.join(tags.types)}, found {entity}")
            columns.append((row, entity.start, entity.end, 1 + 2 * tags.types.index(entity.type)))
    return crf.Spans(*torch.tensor(columns, dtype=torch.long, device=mask.device).reshape(-1, 4).unbind(1))


def _outside(spans: crf.Spans) -> crf.Spans:
    return spans._replace(begins=torch.zeros_like(spans.begins))


def _rows(values: Tensor, spans: Sequence[Sequence[Entity]]) -> list[list[float]]:
    """One value per entity, back in the rows of the entities."""
    flat = iter(values.tolist())
    return [[next(flat) for _ in entities] for entities in spans]
