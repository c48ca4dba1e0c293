"""Text encoder: a bidirectional LSTM over words, with or without their characters.

Lample et al. (2016) spell words with an LSTM, Ma and Hovy (2016) with a convolution; the 2M-NER paper compares with
both (HBiLSTM-CRF, CNN-BiLSTM-CRF) and with neither (BiLSTM-CRF, Huang et al., 2015).
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from msgspec import Struct
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from babelens.modules.origin import Origin
from babelens.modules.shapes import Words
from babelens.modules.text.casing import Casing
from babelens.modules.text.characters import SPELLINGS, Characters, build_speller
from babelens.modules.text.embedding import new_table, spread
from babelens.modules.text.encoded import EncodedText
from babelens.modules.text.spelling import SpelledInput, WordSpeller
from babelens.modules.text.vectors import Coverage, Loaded, learn_with_vectors
from babelens.modules.text.vocabulary import PADDING, UNKNOWN, Vocabulary
from babelens.schema import InputError

_SINGLETONS = 0.5


class Recurrent(Struct, frozen=True, tag="recurrent", forbid_unknown_fields=True):
    """Declares a bidirectional LSTM over words.

    - `word_dim`: width of the word embeddings.
    - `vectors`: a text file of word vectors (.txt, .vec, either also with .gz), `word_dim` wide, that embeddings start
      from (`vectors`). It is read when the model is new, and by `babelens train --resume`, which builds it anew; a
      checkpoint has all that was taken from it and never asks for the file.
      `vectors_trained`: whether they are trained on. Words that the file has not are trained in any case.
      `vectors_words`: the first so many words of the file are known even if the training text has them not; each costs
      4 x word_dim bytes of the checkpoint. 0 takes those of the training text alone.
    - `characters`: how words are spelled: "lstm" (25 units each way), "cnn" (30 filters over 3 characters), "blocks"
      (three convolutions, one upon the other) or "none".
      `joined`: where the spelling comes in: "below" the first LSTM, or "between" the first and the second.
    - `casing_dim`: width of an embedding of each word's casing class; 0 leaves it out.
    - `subwords`: buckets of character 3- to 5-grams whose mean is added to the word's embedding; 0 leaves them out.
    - `hidden`: units each way, so words come out 2 x hidden wide. `layers`: LSTMs, one upon the other.
    - `dropout`: on the LSTM's input and between its layers; what comes out is left to the model's own dropout.
      `locked`: drop the same units for all words of a sentence (Gal and Ghahramani, 2016).
    - `word_dropout`: share of words that are read as unknown in training, besides half of those seen only once.
    - `rare`: words seen n times are read as unknown with probability rare / (rare + n), if that is more (Kiperwasser
      and Goldberg, 2016); what the model learns then rests on frequent words and on spelling, less on known names.
      Words of the vector file are no stranger for being seen once, and are hidden by the two rates only.
    - `vocabulary`: most words that are told apart, those of the vector file apart.
    - `forget_bias`: added to the bias of the forget gates at the start (Jozefowicz et al., 2015). Of what a unit holds,
      1.5 keeps four fifths from word to word instead of half, so a word is heard of further off before it is learnt
      that it matters there.
    - `normed`: layer norm on what comes out, so that it has the scale of a transformer's words where a fusion reads it.
    """

    word_dim: int = 300
    vectors: str | None = None
    vectors_trained: bool = False
    vectors_words: int = 100_000
    characters: Characters = "none"
    joined: Literal["below", "between"] = "below"
    casing_dim: int = 0
    subwords: int = 0
    hidden: int = 100
    layers: int = 1
    dropout: float = 0.5
    locked: bool = False
    word_dropout: float = 0.0
    vocabulary: int = 100_000
    rare: float = 0.0
    forget_bias: float = 0.0
    normed: bool = False

    def build(self, origin: Origin) -> "RecurrentEncoder":
        """Build the encoder: with the vocabulary of its folder in a checkpoint, or one learnt from training words.

        Raises:
            InputError: a size or rate that makes no encoder, no vocabulary in the folder, no training words, or a file
                of vectors that cannot be read or has another width.
        """
        self._check()
        if origin.folder is not None:
            return RecurrentEncoder(self, Vocabulary.load(origin.folder), coverage=Coverage.load(origin.folder))
        if origin.words is None:
            raise InputError("a recurrent text encoder learns its vocabulary from training words; found none")
        if self.vectors is None:
            return RecurrentEncoder(self, Vocabulary.learn(origin.words(), self.vocabulary))
        vocabulary, table, coverage = self._load(origin.words(), Path(os.path.expanduser(self.vectors)))
        return RecurrentEncoder(self, vocabulary, table, coverage)

    def _load(self, words: Iterable[Sequence[str]], path: Path) -> Loaded:
        return learn_with_vectors(
            words, self.vocabulary, path, self.word_dim, added=self.vectors_words, own=self.vectors_trained
        )

    def _check(self) -> None:
        for name in ("word_dim", "hidden", "layers", "vocabulary"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected 1 or more, found {getattr(self, name)}")
        for name in ("casing_dim", "subwords", "vectors_words"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: expected 0 or more, found {getattr(self, name)}")
        for name in ("dropout", "word_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name}: expected a share from 0 to below 1, found {getattr(self, name)}")
        if self.rare < 0:
            raise InputError(f"rare: expected 0 or more, found {self.rare}")
        if self.joined == "between" and (self.characters == "none" or self.layers < 2):
            raise InputError(
                f'joined: expected "below", or characters and 2 layers or more to join between, '
                f'found characters = "{self.characters}" and {self.layers} layers'
            )


class RecurrentEncoder(nn.Module):
    """Reads each word's embedding, spelling and casing, then the sentence both ways.

    `pooled` is the mean of a text's words (zero for a text of none). `coverage` says how much of the training text has
    a pretrained vector; None without such vectors.
    """

    hidden_share: Tensor

    def __init__(
        self,
        declaration: Recurrent,
        vocabulary: Vocabulary,
        table: Float[Tensor, "vectored width"] | None = None,
        coverage: Coverage | None = None,
    ) -> None:
        super().__init__()
        self.dim = 2 * declaration.hidden
        self.coverage = coverage
        spelling = SPELLINGS[declaration.characters]
        self.tokens = WordSpeller(vocabulary, spelling.longest, declaration.subwords)
        self.words = new_table(vocabulary.word_rows - vocabulary.vectored, declaration.word_dim)
        self.vectors = None
        if vocabulary.vectored:
            filled = torch.zeros(vocabulary.vectored, declaration.word_dim) if table is None else table
            self.vectors = nn.Embedding.from_pretrained(filled, freeze=not declaration.vectors_trained)
        shares = torch.tensor(_hidden_shares(declaration, vocabulary))
        self.register_buffer("hidden_share", shares, persistent=False)
        self.norm = nn.LayerNorm(self.dim) if declaration.normed else None
        self.subwords = None
        if declaration.subwords:
            self.subwords = nn.EmbeddingBag(declaration.subwords, declaration.word_dim, mode="mean")
            spread(self.subwords.weight)
        self.speller = build_speller(declaration.characters, vocabulary.character_rows)
        self.casing = new_table(len(Casing), declaration.casing_dim) if declaration.casing_dim else None
        self.dropout = LockedDropout(declaration.dropout) if declaration.locked else nn.Dropout(declaration.dropout)
        widths = [declaration.word_dim + declaration.casing_dim] + [self.dim] * (declaration.layers - 1)
        self.joined = 0 if declaration.joined == "below" else 1
        widths[self.joined] += spelling.dim
        self.layers = nn.ModuleList(
            nn.LSTM(size, declaration.hidden, batch_first=True, bidirectional=True) for size in widths
        )
        with torch.no_grad():
            for name, bias in self.layers.named_parameters():
                if ".bias_ih" in name:
                    # The gates stand in the order input, forget, cell, output.
                    bias.view(4, -1)[1] += declaration.forget_bias

    def forward(self, text: SpelledInput) -> EncodedText:
        """Encode sentences; words beyond the mask are zero."""
        states = self._embed(text)
        lengths = text.lengths.clamp(min=1)
        for place, layer in enumerate(self.layers):
            if place > 0 and place == self.joined:
                states = torch.cat([states, *self._spell(text)], dim=-1)
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
        if self.coverage is not None:
            self.coverage.save(folder)

    def _embed(self, text: SpelledInput) -> Words:
        """What the first LSTM reads of each word."""
        words = self._look_up(self._hide(text.words))
        if self.subwords is not None:
            words = words + self.subwords(text.grams, text.offsets)[text.spelling]
        spelled = self._spell(text) if self.joined == 0 else []
        casing = [] if self.casing is None else [self.casing(text.casing)]
        return torch.cat([words, *spelled, *casing], dim=-1)

    def _look_up(self, words: Int[Tensor, "batch word"]) -> Words:
        """The embedding of each word: those with pretrained vectors have the last numbers."""
        if self.vectors is None:
            return self.words(words)
        own = self.words.num_embeddings
        known = words >= own
        vectors = self.vectors((words - own).clamp(min=0))
        return torch.where(known.unsqueeze(-1), vectors, self.words(words.masked_fill(known, PADDING)))

    def _spell(self, text: SpelledInput) -> list[Words]:
        """The spelling of each word, where the encoder reads it."""
        return [] if self.speller is None else [self.speller(text.characters, text.spans)[text.spelling]]

    def _hide(self, words: Int[Tensor, "batch word"]) -> Int[Tensor, "batch word"]:
        """In training, make some words unknown, so that the unknown word is learnt and spelling is relied upon."""
        if not self.training:
            return words
        chance = self.hidden_share[words]
        return words.masked_fill(torch.rand_like(chance) < chance, UNKNOWN)


def _hidden_shares(declaration: Recurrent, vocabulary: Vocabulary) -> list[float]:
    """How often each word is read as unknown in training; padding and the unknown word stay what they are."""
    shares = [0.0, 0.0]
    plain = len(vocabulary.words) - vocabulary.vectored
    for place, count in enumerate(vocabulary.counts):
        once = _SINGLETONS if count == 1 and place < plain else 0.0
        rare = declaration.rare / (declaration.rare + count) if count else 0.0
        shares.append(max(declaration.word_dropout, rare, once))
    return shares


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
