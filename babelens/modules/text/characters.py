"""Spellers: the characters of a word in, one vector out, whatever other words are in the batch."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import batch_norm, max_pool1d, pad, relu
from torch.nn.utils.rnn import pack_padded_sequence

from babelens.modules.text.embedding import new_table
from babelens.modules.text.vocabulary import PADDING

Characters = Literal["none", "lstm", "cnn", "blocks"]


class Spelling(NamedTuple):
    """Sizes of a speller: of a character's embedding, of a word's vector, and the most characters that are read."""

    width: int
    dim: int
    longest: int


SPELLINGS: dict[Characters, Spelling] = {
    "none": Spelling(0, 0, 0),
    "lstm": Spelling(25, 50, 64),
    "cnn": Spelling(30, 30, 64),
    "blocks": Spelling(30, 50, 30),
}
_READ = (2, 3, 4)
_FILTERS = 32
_PLACES = 3


class LstmSpeller(nn.Module):
    """Reads a word's characters both ways and keeps the last state of each (Lample et al., 2016)."""

    def __init__(self, rows: int, width: int, dim: int) -> None:
        super().__init__()
        self.characters = new_table(rows, width)
        self.lstm = nn.LSTM(width, dim // 2, batch_first=True, bidirectional=True)

    def forward(
        self, characters: Int[Tensor, "distinct character"], spans: Int[Tensor, " distinct"]
    ) -> Float[Tensor, "distinct dim"]:
        """Spell words of so many characters each."""
        packed = pack_padded_sequence(self.characters(characters), spans, batch_first=True, enforce_sorted=False)
        last = self.lstm(packed)[1][0]
        return torch.cat([last[0], last[1]], dim=-1)


class CnnSpeller(nn.Module):
    """Runs filters over three characters at a time and keeps the largest answer of each (Ma and Hovy, 2016)."""

    def __init__(self, rows: int, width: int, dim: int) -> None:
        super().__init__()
        self.characters = new_table(rows, width)
        self.filters = nn.Conv1d(width, dim, kernel_size=3, padding=1)

    def forward(
        self, characters: Int[Tensor, "distinct character"], spans: Int[Tensor, " distinct"]
    ) -> Float[Tensor, "distinct dim"]:
        """Spell words; places after a word's last character take no part."""
        answers = self.filters(self.characters(characters).transpose(1, 2))
        return answers.masked_fill((characters == PADDING).unsqueeze(1), -torch.inf).amax(2)


class BlockSpeller(nn.Module):
    """Three convolutions, one upon the other, over at most 30 characters (published code of Zhang et al., 2018).

    Each block is 32 filters over 2, then 3, then 4 characters, ReLU, max-pooling by 2 and dropout; the three places
    that are left are normed over the batch and go through two linear layers. The paper has filters side by side.

    Published code lets what stands after a word's end take part in the norm and in what comes out. Here such places are
    zero throughout, and the norm counts only places within words, each different word of a batch once.
    """

    def __init__(self, rows: int, width: int, dim: int) -> None:
        super().__init__()
        self.characters = new_table(rows, width)
        self.filters = nn.ModuleList(
            nn.Conv1d(width if place == 0 else _FILTERS, _FILTERS, kernel_size=read) for place, read in enumerate(_READ)
        )
        self.norm = nn.BatchNorm1d(_FILTERS)
        self.inner = nn.Linear(_PLACES * _FILTERS, 100)
        self.outer = nn.Linear(100, dim)
        self.dropout = nn.Dropout(0.25)

    def forward(
        self, characters: Int[Tensor, "distinct character"], spans: Int[Tensor, " distinct"]
    ) -> Float[Tensor, "distinct dim"]:
        """Spell words of at most 30 characters."""
        framed = pad(characters, (0, SPELLINGS["blocks"].longest - characters.shape[1]), value=PADDING)
        real = framed != PADDING
        states = self.characters(framed).transpose(1, 2)
        for filters, read in zip(self.filters, _READ, strict=True):
            answers = relu(filters(pad(states, ((read - 1) // 2, read // 2)))).masked_fill(~real.unsqueeze(1), 0.0)
            states = self.dropout(max_pool1d(answers, 2))
            real = real[:, ::2][:, : states.shape[2]]
        places = self._normed(states.transpose(1, 2), real)
        return self.outer(self.dropout(relu(self.inner(places.flatten(1)))))

    def _normed(
        self, places: Float[Tensor, "distinct place filter"], real: Tensor
    ) -> Float[Tensor, "distinct place filter"]:
        """Batch norm over the real places; all others are zero."""
        chosen = places[real]
        # One place has no variance: a batch of one short word is normed as it will be after training.
        alone = self.training and len(chosen) == 1
        norm = self.norm
        normed = (
            batch_norm(chosen, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
            if alone
            else norm(chosen)
        )
        return torch.zeros_like(places, dtype=normed.dtype).index_put((real,), normed)


def build_speller(kind: Characters, rows: int) -> LstmSpeller | CnnSpeller | BlockSpeller | None:
    """The speller of that kind for a table of so many characters; None for "none"."""
    width, dim, _ = SPELLINGS[kind]
    if kind == "lstm":
        return LstmSpeller(rows, width, dim)
    if kind == "cnn":
        return CnnSpeller(rows, width, dim)
    return BlockSpeller(rows, width, dim) if kind == "blocks" else None
