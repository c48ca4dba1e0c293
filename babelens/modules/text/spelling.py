"""From sentences, given as lists of words, to word numbers, characters and character n-grams."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from babelens.modules.text.casing import casing_of
from babelens.modules.text.vocabulary import PADDING, Vocabulary, hash_grams

_CACHED_WORDS = 200_000
_ON_HOST = ("lengths", "spans")


@dataclass(frozen=True)
class SpelledInput:
    """Sentences as word numbers, and the different words of the batch, each spelled once.

    - `words`, `casing`, `mask`: number, casing class (`casing.Casing`) and presence of each word.
    - `spelling`: which of the different words stands at each place.
    - `characters`: characters of the different words; empty where the encoder reads none.
    - `grams`, `offsets`: buckets of their n-grams, one word after another, and where each word's begin.
    - `lengths`, `spans`: words of each row and characters of each different word. They stay in main memory, where
      packing reads them.
    """

    words: Int[Tensor, "batch word"]
    casing: Int[Tensor, "batch word"]
    mask: Bool[Tensor, "batch word"]
    spelling: Int[Tensor, "batch word"]
    characters: Int[Tensor, "distinct character"]
    grams: Int[Tensor, " gram"]
    offsets: Int[Tensor, " distinct"]
    lengths: Int[Tensor, " batch"]
    spans: Int[Tensor, " distinct"]

    def part(self, start: int, stop: int) -> "SpelledInput":
        """The rows from `start` up to `stop`, as wide as all of them, and the different words that stand in them."""
        distinct, spelling = self.spelling[start:stop].unique(return_inverse=True)
        chosen = torch.zeros_like(self.offsets, dtype=torch.bool)
        chosen[distinct] = True
        counts = self.offsets.diff(append=self.offsets.new_tensor([len(self.grams)]))
        own = counts[distinct]
        return SpelledInput(
            words=self.words[start:stop],
            casing=self.casing[start:stop],
            mask=self.mask[start:stop],
            spelling=spelling,
            characters=self.characters[distinct],
            grams=self.grams[chosen.repeat_interleave(counts)],
            offsets=own.cumsum(0) - own,
            lengths=self.lengths[start:stop],
            spans=self.spans[distinct.to(self.spans.device)],
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "SpelledInput":
        """The same input on another device."""
        moved = {name: value for name, value in vars(self).items() if name not in _ON_HOST}
        return replace(self, **{name: value.to(device, non_blocking=non_blocking) for name, value in moved.items()})

    def pin_memory(self) -> "SpelledInput":
        """The same input in page-locked memory, for copies to a GPU that do not wait."""
        moved = {name: value for name, value in vars(self).items() if name not in _ON_HOST}
        return replace(self, **{name: value.pin_memory() for name, value in moved.items()})


@dataclass(frozen=True)
class _Spelled:
    """What is known of one word."""

    number: int
    casing: int
    characters: list[int]
    grams: list[int]


class WordSpeller:
    """Turns sentences into `SpelledInput`. Picklable, so it can work in the processes that load data.

    `characters` is the most characters of a word that are spelled, half of them from its start and half from its end; 0
    spells none. Its n-grams are all read.
    """

    def __init__(self, vocabulary: Vocabulary, characters: int, buckets: int) -> None:
        self.vocabulary = vocabulary
        self.characters = characters
        self.buckets = buckets
        self._cache: dict[str, _Spelled] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": {}}

    def __call__(self, sentences: Sequence[Sequence[str]]) -> SpelledInput:
        """Look up and spell the words of sentences.

        Raises:
            ValueError: there is no sentence.
        """
        if not sentences:
            raise ValueError("expected at least one sentence, found none")
        places: dict[str, int] = {}
        lengths = np.asarray([len(sentence) for sentence in sentences], dtype=np.int64)
        width = max(1, int(lengths.max()))
        spelling = np.zeros((len(sentences), width), dtype=np.int64)
        for row, sentence in enumerate(sentences):
            spelling[row, : len(sentence)] = [places.setdefault(word, len(places)) for word in sentence]
        # A batch of empty texts spells one word that no place shows, so that no tensor is empty.
        known = [self._spell(word) for word in places] or [self._spell("")]
        mask = np.arange(width) < lengths[:, None]
        numbers = np.asarray([word.number for word in known], dtype=np.int64)
        classes = np.asarray([word.casing for word in known], dtype=np.int64)
        spans = np.asarray([len(word.characters) for word in known], dtype=np.int64)
        characters = np.full((len(known), int(spans.max())), PADDING, dtype=np.int64)
        for place, word in enumerate(known):
            characters[place, : len(word.characters)] = word.characters
        counts = [len(word.grams) for word in known]
        return SpelledInput(
            words=torch.from_numpy(np.where(mask, numbers[spelling], PADDING)),
            casing=torch.from_numpy(np.where(mask, classes[spelling], 0)),
            mask=torch.from_numpy(mask),
            spelling=torch.from_numpy(spelling),
            characters=torch.from_numpy(characters),
            grams=torch.tensor([gram for word in known for gram in word.grams], dtype=torch.int64),
            offsets=torch.from_numpy(np.cumsum([0, *counts[:-1]], dtype=np.int64)),
            lengths=torch.from_numpy(lengths),
            spans=torch.from_numpy(spans),
        )

    def _spell(self, word: str) -> _Spelled:
        found = self._cache.get(word)
        if found is None:
            if len(self._cache) >= _CACHED_WORDS:
                self._cache.clear()
            half = self.characters // 2
            shown = word if len(word) <= self.characters else word[:half] + word[len(word) - half :]
            found = self._cache[word] = _Spelled(
                number=self.vocabulary.number(word),
                casing=int(casing_of(word)),
                characters=self.vocabulary.spell(shown) if self.characters else [],
                grams=hash_grams(word, self.buckets) if self.buckets else [],
            )
        return found
