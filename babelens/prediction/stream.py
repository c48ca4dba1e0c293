"""Rows in, answers out in their order: batches of rows of similar length, made ahead of the model by threads."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from threading import local
from typing import TYPE_CHECKING

import torch

from babelens.models.batch import Batch, Collator, Row
from babelens.prediction.answer import Answer
from babelens.prediction.ask import PLAIN, Ask
from babelens.prediction.rows import Unread

if TYPE_CHECKING:
    from babelens.prediction.predictor import Predictor

_BATCHES_AHEAD = 16
_PICTURE_BYTES = 64 << 20


@dataclass(frozen=True)
class Pace:
    """How many rows the model reads at once: at most `rows`, and so many that they have `words` with their padding.

    `makers` threads cut texts and pictures ahead of the model; None is one where a core is left for it, 0 none. The
    answers do not hang on it.

    Raises:
        ValueError: a number is too small.
    """

    rows: int = 32
    words: int = 16_384
    makers: int | None = None

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError(f"expected a batch of at least 1 row, found {self.rows}")
        if self.words < 1:
            raise ValueError(f"expected a batch of at least 1 word, found {self.words}")
        if self.makers is not None and self.makers < 0:
            raise ValueError(f"expected 0 makers of batches or more, found {self.makers}")

    @property
    def block(self) -> int:
        """Rows that are put in order by their length, and answered, together."""
        return self.rows * _BATCHES_AHEAD


def stream_answers(
    predictor: "Predictor", rows: Iterable[Row | Unread], pace: Pace | None = None, ask: Ask = PLAIN
) -> Iterator[Answer]:
    """Answer rows in their order, with memory that does not grow.

    Rows are read in blocks of `pace.block`, and batches made of what is alike in length within a block: which rows a
    batch has hangs on the block alone. Few more rows are read than one block and the batches that are made ahead.

    Raises:
        ImageError: a picture cannot be opened, and the rows were read with strict pictures.
    """
    pace = pace or Pace()
    makers = _makers(predictor) if pace.makers is None else pace.makers
    waiting: deque[tuple[_Block, _Part, Future[Batch] | None]] = deque()
    with _Making(predictor, makers) as making:
        for block in _blocks(predictor, rows, pace, ask):
            for part in block.parts:
                waiting.append((block, part, making.begin(part.rows)))
                if len(waiting) > 2 * makers:
                    yield from _finish(predictor, making, *waiting.popleft(), ask)
        while waiting:
            yield from _finish(predictor, making, *waiting.popleft(), ask)


@dataclass(frozen=True)
class _Part:
    """Rows of a block that are read at once, and their places in it."""

    places: Sequence[int]
    rows: Sequence[Row]
    last: bool


@dataclass(frozen=True)
class _Block:
    answers: list[Answer]
    parts: Sequence[_Part]


def _blocks(predictor: "Predictor", rows: Iterable[Row | Unread], pace: Pace, ask: Ask) -> Iterator[_Block]:
    rest = iter(rows)
    while taken := list(islice(rest, pace.block)):
        asked = {place: row for place, row in enumerate(taken) if isinstance(row, Row)}
        groups = length_groups({place: len(row.example.words) for place, row in asked.items()}, pace.rows, pace.words)
        # Rows with pictures stand together (see `answer_batch`).
        groups = [sorted(group, key=lambda place: not asked[place].keys) for group in groups] or [[]]
        parts = [_Part(group, [asked[place] for place in group], group is groups[-1]) for group in groups]
        yield _Block([predictor.bare(row, ask) for row in taken], parts)


def _finish(
    predictor: "Predictor", making: "_Making", block: _Block, part: _Part, made: Future[Batch] | None, ask: Ask
) -> list[Answer]:
    """Answer a part; returns the answers of its block once it is the last of it."""
    if part.rows:
        batch = making.make(part.rows) if made is None else made.result()
        for place, answer in zip(part.places, predictor.answer(part.rows, batch, ask), strict=True):
            block.answers[place] = answer
    return block.answers if part.last else []


class _Making:
    """Makes batches in threads, each with a collator and a memory of cut pictures of its own."""

    def __init__(self, predictor: "Predictor", makers: int) -> None:
        self._predictor = predictor
        self._memory = _PICTURE_BYTES // max(makers, 1)
        self._pinned = predictor.device.type == "cuda"
        self._own = local()
        self._threads = ThreadPoolExecutor(makers, "batches") if makers else None

    def __enter__(self) -> "_Making":
        return self

    def __exit__(self, *_: object) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def begin(self, rows: Sequence[Row]) -> Future[Batch] | None:
        """Have a batch made by a thread, where there are some and it has rows."""
        return self._threads.submit(self.make, rows) if self._threads is not None and rows else None

    def make(self, rows: Sequence[Row]) -> Batch:
        """Make a batch here and now."""
        if not hasattr(self._own, "collator"):
            self._own.collator = self._predictor.collator(self._memory)
        collator: Collator = self._own.collator
        batch = collator(rows, labelled=False)
        return batch.pin_memory() if self._pinned else batch


def _makers(predictor: "Predictor") -> int:
    """One thread beside the model, unless it would take a core from torch."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(predictor.device.type == "cuda" or torch.get_num_threads() < cores)


def length_groups(lengths: Mapping[int, int], rows: int, words: int) -> list[list[int]]:
    """Rows (number: words) in groups of similar length, longest first, rows without words left out.

    A group has at most `rows` rows, and one row only where more would have more than `words` words with the padding.
    """
    groups: list[list[int]] = []
    longest = 0
    for number in sorted((number for number in lengths if lengths[number]), key=lambda number: -lengths[number]):
        full = not groups or len(groups[-1]) == rows or (len(groups[-1]) + 1) * longest > words
        if full:
            groups.append([])
            longest = lengths[number]
        groups[-1].append(number)
    return groups
