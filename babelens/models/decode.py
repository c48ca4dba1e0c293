"""A tagger over a whole corpus."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from babelens.data import Corpus
from babelens.models.batch import Batch, Collator, CorpusRows, ImageStatus, Rows, Share
from babelens.models.draw import Epoch
from babelens.models.loading import BatchLoader, Source, Work
from babelens.models.memory import out_of_memory
from babelens.models.tagger import Tagger
from babelens.schema import Entity, InputError

BATCH = 64
Scored = tuple[Entity, float]
T = TypeVar("T")


class ShortOfMemory(InputError):
    """Memory that does not hold a row."""

    exit_code = 3


def ordered_batches(lengths: Sequence[int] | np.ndarray, batch: int) -> list[list[int]]:
    """Row numbers in batches of similar length (words), longest first, so that memory runs out at once or never."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    return [order[start : start + batch].tolist() for start in range(0, len(order), batch)]


def batches_of(
    rows: Rows,
    collator: Collator,
    numbers: Sequence[Sequence[int] | Share],
    *,
    labelled: bool,
    workers: int = 0,
    epoch: Epoch | None = None,
) -> Iterator[Batch]:
    """The batches with these row numbers, made ahead of their use by `workers` processes (0: by a thread).

    In training `epoch` says which one, of which run; what is random about pictures hangs on it. A `BatchLoader` does
    the same over many epochs.
    """
    with BatchLoader(Source(rows, collator, labelled), workers=workers) as loader:
        yield from loader.batches([Work(batch, epoch) for batch in numbers])


def decode_corpus(
    tagger: Tagger,
    corpus: Corpus,
    *,
    batch: int = BATCH,
    collator: Collator | None = None,
    workers: int = 0,
    step: Callable[[int], None] | None = None,
) -> tuple[list[tuple[Entity, ...]], list[ImageStatus]]:
    """The best entities of each row and what became of its pictures, in the order of the corpus.

    `workers` processes make the batches (0: a thread). `step` is called with the number of rows done after each batch.

    Raises:
        ImageError: a picture cannot be opened, and the corpus was read with strict pictures.
        WorkerError: a worker ended unexpectedly.
    """
    rows = CorpusRows(corpus)
    return decode_rows(tagger, rows, corpus.lengths, batch=batch, collator=collator, workers=workers, step=step)


def decode_rows(
    tagger: Tagger,
    rows: Rows,
    lengths: Sequence[int] | np.ndarray,
    *,
    batch: int = BATCH,
    collator: Collator | None = None,
    workers: int = 0,
    step: Callable[[int], None] | None = None,
) -> tuple[list[tuple[Entity, ...]], list[ImageStatus]]:
    """The same for any rows; `lengths` are their words."""
    source = Source(rows, collator or tagger.collator())
    with BatchLoader(source, workers=workers, pinned=tagger.device.type == "cuda") as loader:
        return decode_source(tagger, loader, 0, lengths, batch=batch, step=step)


def decode_corpus_scored(
    tagger: Tagger,
    corpus: Corpus,
    *,
    batch: int = BATCH,
    collator: Collator | None = None,
    workers: int = 0,
    step: Callable[[int], None] | None = None,
) -> tuple[list[list[Scored]], list[ImageStatus]]:
    """`decode_corpus`, each entity with the probability of its span."""
    source = Source(CorpusRows(corpus), collator or tagger.collator())
    with BatchLoader(source, workers=workers, pinned=tagger.device.type == "cuda") as loader:
        return _tag_source(tagger, tagger.decode_scored, loader, 0, corpus.lengths, batch, step)


def decode_batch(tagger: Tagger, batch: Batch) -> list[tuple[Entity, ...]]:
    """The best entities of each row of a batch; where memory runs out, of one half and then of the other.

    Raises:
        ShortOfMemory: memory does not hold a single row.
    """
    return _tag_batch(tagger, tagger.decode, batch)


def halved(batch: Batch, read: Callable[[Batch], T]) -> Iterator[tuple[Batch, T]]:
    """What is read of a batch; where memory runs out, of one half and then of the other, each with its part.

    Raises:
        ShortOfMemory: memory does not hold a single row.
    """
    try:
        found = read(batch)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        shortage = str(error).partition("\n")[0] or type(error).__name__
    else:
        yield batch, found
        return
    rows = len(batch.ids)
    if rows == 1:
        raise ShortOfMemory(
            f"out of memory ({shortage}) with the row {batch.ids[0]} of {batch.text.mask.shape[1]} words alone"
        )
    middle = rows // 2
    yield from halved(batch.part(0, middle), read)
    yield from halved(batch.part(middle, rows), read)


def _tag_batch(tagger: Tagger, tag: Callable[[Batch], list[T]], batch: Batch) -> list[T]:
    parts = halved(batch, lambda part: tag(part.to(tagger.device)))
    return [answer for _, answers in parts for answer in answers]


def decode_source(
    tagger: Tagger,
    loader: BatchLoader,
    source: int,
    lengths: Sequence[int] | np.ndarray,
    *,
    batch: int = BATCH,
    step: Callable[[int], None] | None = None,
) -> tuple[list[tuple[Entity, ...]], list[ImageStatus]]:
    """The same for all rows of one source of a loader, which may be that of the training."""
    return _tag_source(tagger, tagger.decode, loader, source, lengths, batch, step)


def _tag_source(
    tagger: Tagger,
    tag: Callable[[Batch], list[T]],
    loader: BatchLoader,
    source: int,
    lengths: Sequence[int] | np.ndarray,
    batch: int,
    step: Callable[[int], None] | None,
) -> tuple[list[T], list[ImageStatus]]:
    answers: dict[int, T] = {}
    status: list[ImageStatus] = ["none"] * len(lengths)
    numbers = ordered_batches(lengths, batch)
    training = tagger.training
    tagger.eval()
    try:
        made = loader.batches([Work(places) for places in numbers], source)
        for places, tensors in zip(numbers, made, strict=True):
            found = _tag_batch(tagger, tag, tensors)
            for place, answer, row_status in zip(places, found, tensors.status, strict=True):
                answers[place], status[place] = answer, row_status
            if step is not None:
                step(len(places))
    finally:
        tagger.train(training)
    return [answers[place] for place in range(len(lengths))], status
