"""Text encoder: a bidirectional LSTM over words, with or without their characters.

Lample et al. (2016) spell words with an LSTM, Ma and Hovy (2016) with a convolution; the 2M-NER paper compares with
both (HBiLSTM-CRF, CNN-BiLSTM-CRF) and with neither (BiLSTM-CRF).
"""

from math import sqrt
from pathlib import Path
from typing import Literal

import msgspec
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from babelens.modules.origin import Origin
from babelens.modules.shapes import Words
from babelens.modules.text.casing import Casing
from babelens.modules.text.encoded import EncodedText
from babelens.modules.text.spelling import SpelledInput, WordSpeller
from babelens.modules.text.vocabulary import PADDING, UNKNOWN, Vocabulary
from babelens.schema import InputError

Characters = Literal["none", "lstm", "cnn"]

_SINGLETONS = 0.5
_SPELLERS: dict[Characters, tuple[int, int]] = {"none": (0, 0), "lstm": (25, 50), "cnn": (30, 30)}


class Recurrent(msgspec.Struct, frozen=True, tag="recurrent", forbid_unknown_fields=True):
    """Declares a bidirectional LSTM over words.

    - `word_dim`: width of the word embeddings.
    - `characters`: how words are spelled: "lstm" (25 units each way), "cnn" (30 filters over 3 characters), or "none".
    - `casing_dim`: width of an embedding of each word's casing class; 0 leaves it out.
    - `subwords`: buckets of character 3- to 5-grams whose mean is added to the word's embedding; 0 leaves them out.
    - `hidden`: units each way, so words come out 2 x hidden wide. `layers`: LSTMs, one upon the other.
    - `dropout`: on the LSTM's input and between its layers; what comes out is left to the model's own dropout.
      `locked`: drop the same units for all words of a sentence (Gal and Ghahramani, 2016).
    - `word_dropout`: share of words that are read as unknown in training, besides half of those seen only once.
    - `rare`: words seen n times are read as unknown with probability rare / (rare + n), if that is more (Kiperwasser
      and Goldberg, 2016); what the model learns then rests on frequent words and on spelling, less on known names.
    - `vocabulary`: most words that are told apart.
    - `normed`: layer norm on what comes out, so that it has the scale of a transformer's words where a fusion reads it.
    """

    word_dim: int = 300
    characters: Characters = "none"
    casing_dim: int = 0
    subwords: int = 0
    hidden: int = 100
    layers: int = 1
    dropout: float = 0.5
    locked: bool = False
    word_dropout: float = 0.0
    vocabulary: int = 100_000
    rare: float = 0.0
    normed: bool = False

    def build(self, origin: Origin) -> "RecurrentEncoder":
        """Build the encoder: with the vocabulary of its folder in a checkpoint, or one learnt from training words.

        Raises:
            InputError: a size or rate that makes no encoder, no vocabulary in the folder, or no training words.
        """
        for name in ("word_dim", "hidden", "layers", "vocabulary"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected 1 or more, found {getattr(self, name)}")
        for name in ("casing_dim", "subwords"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: expected 0 or more, found {getattr(self, name)}")
        for name in ("dropout", "word_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name}: expected a share from 0 to below 1, found {getattr(self, name)}")
        if self.rare < 0:
            raise InputError(f"rare: expected 0 or more, found {self.rare}")
        if origin.folder is not None:
            return RecurrentEncoder(self, Vocabulary.load(origin.folder))
        if origin.words is None:
            raise InputError("a recurrent text encoder learns its vocabulary from training words; found none")
        return RecurrentEncoder(self, Vocabulary.learn(origin.words(), self.vocabulary))


class RecurrentEncoder(nn.Module):
    """Reads each word's embedding, spelling and casing, then the sentence both ways.

    `pooled` is the mean of a text's words (zero for a text of none).
    """

    hidden_share: Tensor

    def __init__(self, declaration: Recurrent, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.dim = 2 * declaration.hidden
        self.tokens = WordSpeller(vocabulary, declaration.characters != "none", declaration.subwords)
        self.words = _embedding(vocabulary.word_rows, declaration.word_dim)
        # Padding and the unknown word stay what they are.
        shares = [0.0, 0.0, *(_hidden_share(declaration, count) for count in vocabulary.counts)]
        self.register_buffer("hidden_share", torch.tensor(shares), persistent=False)
        self.norm = nn.LayerNorm(self.dim) if declaration.normed else None
        self.subwords = None
        if declaration.subwords:
            self.subwords = nn.EmbeddingBag(declaration.subwords, declaration.word_dim, mode="mean")
            _spread(self.subwords.weight)
        self.speller = _speller(declaration.characters, vocabulary.character_rows)
        self.casing = _embedding(len(Casing), declaration.casing_dim) if declaration.casing_dim else None
        self.dropout = LockedDropout(declaration.dropout) if declaration.locked else nn.Dropout(declaration.dropout)
        width = declaration.word_dim + _SPELLERS[declaration.characters][1] + declaration.casing_dim
        widths = [width] + [self.dim] * (declaration.layers - 1)
        self.layers = nn.ModuleList(
            nn.LSTM(size, declaration.hidden, batch_first=True, bidirectional=True) for size in widths
        )

    def forward(self, text: SpelledInput) -> EncodedText:
        """Encode sentences; words beyond the mask are zero."""
        states = self._embed(text)
        lengths = text.lengths.clamp(min=1)
        for layer in self.layers:
            packed = pack_padded_sequence(self.dropout(states), lengths, batch_first=True, enforce_sorted=False)
            states, _ = pad_packed_sequence(layer(packed)[0], batch_first=True, total_length=text.words.shape[1])
        if self.norm is not None:
            states = self.norm(states)
        words = states.masked_fill(~text.mask.unsqueeze(-1), 0.0)
        pooled = words.sum(1) / text.mask.sum(1, keepdim=True).clamp(min=1)
        return EncodedText(words, text.mask, pooled)

    def drop_pooler(self) -> None:
        """Nothing: the mean has no weights."""

    def save(self, folder: Path) -> None:
        """Write the vocabulary, no weights; `Origin(folder)` rebuilds the encoder from it."""
        self.tokens.vocabulary.save(folder)

    def _embed(self, text: SpelledInput) -> Words:
        parts = [self.words(self._hide(text.words))]
        if self.subwords is not None:
            parts[0] = parts[0] + self.subwords(text.grams, text.offsets)[text.spelling]
        if self.speller is not None:
            parts.append(self.speller(text.characters, text.spans)[text.spelling])
        if self.casing is not None:
            parts.append(self.casing(text.casing))
        return torch.cat(parts, dim=-1)

    def _hide(self, words: Int[Tensor, "batch word"]) -> Int[Tensor, "batch word"]:
        """In training, make some words unknown, so that the unknown word is learnt and spelling is relied upon."""
        if not self.training:
            return words
        chance = self.hidden_share[words]
        return words.masked_fill(torch.rand_like(chance) < chance, UNKNOWN)


def _hidden_share(declaration: Recurrent, count: int) -> float:
    """How often a word that was seen `count` times is read as unknown in training."""
    once = _SINGLETONS if count == 1 else 0.0
    return max(declaration.word_dropout, declaration.rare / (declaration.rare + count), once)


class LockedDropout(nn.Module):
    """Dropout that hides the same units of every word of a sentence (Gal and Ghahramani, 2016)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, words: Words) -> Words:
        """Hide units, in training only."""
        if not self.training or self.rate == 0:
            return words
        kept = torch.full_like(words[:, :1], 1 - self.rate).bernoulli()
        return words * kept / (1 - self.rate)


class LstmSpeller(nn.Module):
    """Reads a word's characters both ways and keeps the last state of each (Lample et al., 2016)."""

    def __init__(self, rows: int, width: int, dim: int) -> None:
        super().__init__()
        self.characters = _embedding(rows, width)
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
        self.characters = _embedding(rows, width)
        self.filters = nn.Conv1d(width, dim, kernel_size=3, padding=1)

    def forward(
        self, characters: Int[Tensor, "distinct character"], spans: Int[Tensor, " distinct"]
    ) -> Float[Tensor, "distinct dim"]:
        """Spell words; places after a word's last character take no part."""
        answers = self.filters(self.characters(characters).transpose(1, 2))
        return answers.masked_fill((characters == PADDING).unsqueeze(1), -torch.inf).amax(2)


def _speller(kind: Characters, rows: int) -> LstmSpeller | CnnSpeller | None:
    width, dim = _SPELLERS[kind]
    if kind == "lstm":
        return LstmSpeller(rows, width, dim)
    return CnnSpeller(rows, width, dim) if kind == "cnn" else None


def _embedding(rows: int, dim: int) -> nn.Embedding:
    """A table whose row 0 is padding."""
    table = nn.Embedding(rows, dim, padding_idx=PADDING)
    _spread(table.weight)
    with torch.no_grad():
        table.weight[PADDING].zero_()
    return table


def _spread(weight: Tensor) -> None:
    """Uniform within the square root of 3 / width (Ma and Hovy, 2016): vectors of length 1 on average."""
    bound = sqrt(3 / weight.shape[-1])
    nn.init.uniform_(weight, -bound, bound)
