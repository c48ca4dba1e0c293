"""From sentences, given as lists of words, to the sub-tokens of a transformer, without ever losing a word's place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from babelens.modules.text.casing import casing_of

_CACHED_WORDS = 500_000
_CONTROL = ("cls", "sep", "pad", "mask", "bos", "eos")


@dataclass(frozen=True)
class TextInput:
    """Sentences as sub-tokens. A text longer than the encoder reads at once takes several windows, in reading order.

    - `ids`, `attention`: sub-tokens of every window, and where one stands.
    - `owner`: the word that a sub-token belongs to, as row * words + word, or -1 ([CLS], [SEP], padding).
    - `first`, `last`: a word's first and last sub-token, as window * pieces + piece, in the window that knows most of
      the text around it. 0 where there is no word.
    - `mask`: where there is a word. `casing`: its casing class (see `casing.Casing`).
    - `window`: the first window of each row.
    - `unknown`: words that the tokenizer dropped and that stand as its unknown token; `lost`: sub-tokens beyond the
      window of a single word that alone is longer than one.
    """

    ids: Int[Tensor, "window piece"]
    attention: Bool[Tensor, "window piece"]
    owner: Int[Tensor, "window piece"]
    first: Int[Tensor, "batch word"]
    last: Int[Tensor, "batch word"]
    mask: Bool[Tensor, "batch word"]
    casing: Int[Tensor, "batch word"]
    window: Int[Tensor, " batch"]
    unknown: int = 0
    lost: int = 0

    @property
    def rows(self) -> Int[Tensor, " window"]:
        """The row of the batch that each window belongs to: the last one that starts at or before it."""
        windows = torch.arange(len(self.ids), device=self.ids.device)
        return torch.searchsorted(self.window, windows, right=True) - 1

    def part(self, start: int, stop: int) -> "TextInput":
        """The rows from `start` up to `stop`, as wide as all of them; what was dropped is counted of all."""
        places = [*self.window.tolist(), len(self.ids)]
        begin, end = places[start], places[stop]
        mask, (pieces, words) = self.mask[start:stop], (self.ids.shape[1], self.mask.shape[1])
        owner = self.owner[begin:end]
        return replace(
            self,
            ids=self.ids[begin:end],
            attention=self.attention[begin:end],
            owner=torch.where(owner < 0, owner, owner - start * words),
            first=torch.where(mask, self.first[start:stop] - begin * pieces, 0),
            last=torch.where(mask, self.last[start:stop] - begin * pieces, 0),
            mask=mask,
            casing=self.casing[start:stop],
            window=self.window[start:stop] - begin,
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "TextInput":
        """The same input on another device."""
        return replace(
            self, **{name: value.to(device, non_blocking=non_blocking) for name, value in self._tensors().items()}
        )

    def pin_memory(self) -> "TextInput":
        """The same input in page-locked memory, for copies to a GPU that do not wait."""
        return replace(self, **{name: value.pin_memory() for name, value in self._tensors().items()})

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}


@dataclass(frozen=True)
class _Window:
    """The words from `start` up to `end` of one sentence."""

    start: int
    end: int


class WordTokenizer:
    """Turns sentences into `TextInput`. Picklable, so it can work in the processes that load data.

    Each word is tokenised by itself, as it would be after a blank, so its neighbours never change its sub-tokens, and
    is remembered. A word for which the tokenizer has nothing (control characters, zero-width spaces, U+FFFD) gets the
    unknown token, so words keep their places. A word that spells a control token ("[SEP]") is read as plain text.

    `limit` is the number of sub-tokens that the encoder reads at once, with those that frame a text. A longer text is
    cut between words into windows that overlap by about half; where windows overlap, a word is read in the one where it
    stands farthest from the cut.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, limit: int) -> None:
        self.tokenizer = tokenizer
        self.limit = limit
        self._blank = " " if _needs_blank(tokenizer) else ""
        numbers = [getattr(tokenizer, f"{name}_token_id", None) for name in _CONTROL]
        self._control = {number for number in numbers if isinstance(number, int)}.difference([tokenizer.unk_token_id])
        self._prefix, self._suffix = self._frame()
        self._body = limit - len(self._prefix) - len(self._suffix)
        if self._body < 1:
            raise ValueError(f"expected an encoder that reads at least one sub-token, found a limit of {limit}")
        filler = (tokenizer.unk_token_id, tokenizer.mask_token_id, tokenizer.eos_token_id, 0)
        self._unknown: int = next(number for number in filler if isinstance(number, int))
        self._pad: int = tokenizer.pad_token_id if isinstance(tokenizer.pad_token_id, int) else 0
        self._cache: dict[str, tuple[tuple[int, ...], int]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": {}}

    def __call__(self, sentences: Sequence[Sequence[str]]) -> TextInput:
        """Tokenise sentences.

        Raises:
            ValueError: there is no sentence.
        """
        if not sentences:
            raise ValueError("expected at least one sentence, found none")
        self._remember({word for sentence in sentences for word in sentence})
        cache = self._cache
        read = [[cache[word] for word in sentence] for sentence in sentences]
        words = max(1, *(len(row) for row in read))
        shape = (len(read), words)
        first, last, casing = (np.zeros(shape, dtype=np.int64) for _ in range(3))
        lengths = np.fromiter(map(len, read), dtype=np.int64, count=len(read))
        window = np.zeros(len(read), dtype=np.int64)
        ids: list[list[int]] = []
        owners: list[list[int]] = []
        homes: list[tuple[int, int, int, int, int]] = []
        unknown = lost = 0
        for row, entries in enumerate(read):
            window[row] = len(ids)
            pieces: list[tuple[int, ...]] = []
            for place, (own, class_) in enumerate(entries):
                casing[row, place] = class_
                if not own:
                    own = (self._unknown,)
                    unknown += 1
                elif len(own) > self._body:
                    lost += len(own) - self._body
                    own = own[: self._body]
                pieces.append(own)
            windows = self._windows([len(own) for own in pieces])
            keep = _homes(windows, [len(own) for own in pieces])
            for number, span in enumerate(windows):
                window_ids = list(self._prefix)
                window_owners = [-1] * len(self._prefix)
                for place in range(span.start, span.end):
                    if keep[place] == number:
                        homes.append((row, place, len(ids), len(window_ids), len(pieces[place])))
                    window_ids += pieces[place]
                    window_owners += [row * words + place] * len(pieces[place])
                window_ids += self._suffix
                ids.append(window_ids)
                owners.append(window_owners)
        width = max(1, max(map(len, ids)))
        filled = np.full((len(ids), width), self._pad, dtype=np.int64)
        owner = np.full((len(ids), width), -1, dtype=np.int64)
        for number, (window_ids, window_owners) in enumerate(zip(ids, owners, strict=True)):
            filled[number, : len(window_ids)] = window_ids
            owner[number, : len(window_owners)] = window_owners
        if homes:
            rows, places, numbers, starts, counts = np.asarray(homes, dtype=np.int64).T
            first[rows, places] = numbers * width + starts
            last[rows, places] = first[rows, places] + counts - 1
        sizes = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        return TextInput(
            ids=torch.from_numpy(filled),
            attention=torch.from_numpy(np.arange(width) < sizes[:, None]),
            owner=torch.from_numpy(owner),
            first=torch.from_numpy(first),
            last=torch.from_numpy(last),
            mask=torch.from_numpy(np.arange(words) < lengths[:, None]),
            casing=torch.from_numpy(casing),
            window=torch.from_numpy(window),
            unknown=unknown,
            lost=lost,
        )

    def pieces(self, word: str) -> tuple[int, ...]:
        """The ids of a word's sub-tokens; none where the tokenizer drops the word."""
        self._remember({word})
        return self._cache[word][0]

    def _remember(self, words: set[str]) -> None:
        missing = sorted(word for word in words if word not in self._cache)
        if not missing:
            return
        if len(self._cache) + len(missing) > _CACHED_WORDS:
            self._cache = {word: self._cache[word] for word in words if word in self._cache}
        for word, ids in zip(missing, self._encode(missing), strict=True):
            self._cache[word] = (tuple(ids), int(casing_of(word)))

    def _encode(self, words: list[str], plain: bool = False) -> list[list[int]]:
        """The sub-tokens of each word by itself; `plain` reads the names of control tokens as text."""
        # Half a surrogate pair is no character: tokenizers refuse it, so it is read as U+FFFD.
        texts = [self._blank + word.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for word in words]
        options: dict[str, Any] = {"split_special_tokens": True} if plain else {}
        encoded = self.tokenizer(
            texts,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
            **options,
        )["input_ids"]
        if not plain:
            spelt = [number for number, ids in enumerate(encoded) if self._control.intersection(ids)]
            if spelt:
                for number, ids in zip(spelt, self._encode([words[n] for n in spelt], plain=True), strict=True):
                    encoded[number] = ids
        return encoded

    def _frame(self) -> tuple[list[int], list[int]]:
        """The sub-tokens that the tokenizer sets before and after a text."""
        bare = self.tokenizer(self._blank + "a", add_special_tokens=False)["input_ids"]
        framed = self.tokenizer(self._blank + "a", add_special_tokens=True)["input_ids"]
        start = next(n for n in range(len(framed)) if framed[n : n + len(bare)] == bare)
        return list(framed[:start]), list(framed[start + len(bare) :])

    def _windows(self, counts: list[int]) -> list[_Window]:
        """Cut words with so many sub-tokens each into windows of whole words that overlap by about half."""
        if sum(counts) <= self._body:
            return [_Window(0, len(counts))]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        windows: list[_Window] = []
        start = 0
        while True:
            end = int(np.searchsorted(offsets, offsets[start] + self._body, side="right")) - 1
            if end == len(counts):
                # The last window reaches back as far as it can: its words see the most text.
                start = int(np.searchsorted(offsets, offsets[-1] - self._body, side="left"))
                return [*windows, _Window(start, end)]
            windows.append(_Window(start, end))
            half = int(np.searchsorted(offsets, offsets[start] + self._body // 2, side="left"))
            start = min(end, max(start + 1, half))


def _homes(windows: list[_Window], counts: list[int]) -> list[int]:
    """For each word the window where it stands farthest from a cut (the ends of the text are no cuts)."""
    if len(windows) == 1:
        return [0] * len(counts)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    homes, best = [0] * len(counts), [-1] * len(counts)
    for number, window in enumerate(windows):
        for place in range(window.start, window.end):
            far = int(offsets[-1]) + 1
            before = int(offsets[place] - offsets[window.start]) if window.start > 0 else far
            after = int(offsets[window.end] - offsets[place + 1]) if window.end < len(counts) else far
            if min(before, after) > best[place]:
                homes[place], best[place] = number, min(before, after)
    return homes


def _needs_blank(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a word reads as it does inside a text only after a blank (RoBERTa, mmBERT), which BERT drops or adds."""
    first, second, both = (
        tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in ("a", " a", "a a")
    )
    return both == first + second and both != first + first
