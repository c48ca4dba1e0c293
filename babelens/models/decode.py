"""A tagger over a whole corpus."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from babelens.data import Corpus
from babelens.models.batch import Batch, Collator, CorpusRows, ImageStatus, RowBatches, Rows
from babelens.models.draw import Epoch
from babelens.models.tagger import Tagger
from babelens.schema import Entity

BATCH = 64


def ordered_batches(lengths: Sequence[int] | np.ndarray, batch: int) -> list[list[int]]:
    """Row numbers in batches of similar length (words), longest first, so that memory runs out at once or never."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    return [order[start : start + batch].tolist() for start in range(0, len(order), batch)]


def batches_of(
    rows: Rows,
    collator: Collator,
    numbers: list[list[int]],
    *,
    labelled: bool,
    workers: int = 0,
    epoch: Epoch | None = None,
) -> Iterator[Batch]:
    """The batches with these row numbers, made by `workers` processes ahead of their use (0: in this one).

    In training `epoch` says which one, of which run; what is random about pictures hangs on it.
    """
    made = RowBatches(rows, collator, labelled=labelled, epoch=epoch)
    if workers == 0:
        yield from (made[batch] for batch in numbers)
        return
    yield from torch.utils.data.DataLoader(
        made,  # pyright: ignore[reportArgumentType]
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        multiprocessing_context="spawn",
    )


def decode_corpus(
    tagger: Tagger,
    corpus: Corpus,
    *,
    batch: int = BATCH,
    collator: Collator | None = None,
    step: Callable[[int], None] | None = None,
) -> tuple[list[tuple[Entity, ...]], list[ImageStatus]]:
    """The best entities of each row and what became of its pictures, in the order of the corpus.

    `step` is called with the number of rows done after each batch.
    """
    return decode_rows(tagger, CorpusRows(corpus), corpus.lengths, batch=batch, collator=collator, step=step)


def decode_rows(
    tagger: Tagger,
    rows: Rows,
    lengths: Sequence[int] | np.ndarray,
    *,
    batch: int = BATCH,
    collator: Collator | None = None,
    step: Callable[[int], None] | None = None,
) -> tuple[list[tuple[Entity, ...]], list[ImageStatus]]:
    """The same for any rows; `lengths` are their words."""
    entities: list[tuple[Entity, ...]] = [()] * len(rows)
    status: list[ImageStatus] = ["none"] * len(rows)
    numbers = ordered_batches(lengths, batch)
    training = tagger.training
    tagger.eval()
    try:
        made = batches_of(rows, collator or tagger.collator(), numbers, labelled=False)
        for places, tensors in zip(numbers, made, strict=True):
            found = tagger.decode(tensors.to(tagger.device))
            for place, row_entities, row_status in zip(places, found, tensors.status, strict=True):
                entities[place], status[place] = row_entities, row_status
            if step is not None:
                step(len(places))
    finally:
        tagger.train(training)
    return entities, status
