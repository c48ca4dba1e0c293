"""A tagger over a whole corpus."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from babelens.data import Corpus
from babelens.models.batch import Batch, Collator, CorpusBatches, ImageStatus
from babelens.models.tagger import Tagger
from babelens.schema import Entity


def ordered_batches(corpus: Corpus, batch: int) -> list[list[int]]:
    """Row numbers in batches of similar length (words), longest first, so that memory runs out at once or never."""
    order = np.argsort(-np.asarray(corpus.lengths), kind="stable")
    return [order[start : start + batch].tolist() for start in range(0, len(order), batch)]


def batches_of(
    corpus: Corpus, collator: Collator, numbers: list[list[int]], *, labelled: bool, workers: int = 0
) -> Iterator[Batch]:
    """The batches with these row numbers, made by `workers` processes ahead of their use (0: in this one)."""
    rows = CorpusBatches(corpus, collator, labelled=labelled)
    if workers == 0:
        yield from (rows[batch] for batch in numbers)
        return
    yield from torch.utils.data.DataLoader(
        rows,  # pyright: ignore[reportArgumentType]
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        multiprocessing_context="spawn",
    )


def decode_corpus(
    tagger: Tagger,
    corpus: Corpus,
    *,
    batch: int = 64,
    collator: Collator | None = None,
    step: Callable[[int], None] | None = None,
) -> tuple[list[tuple[Entity, ...]], list[ImageStatus]]:
    """The best entities of each row and what became of its pictures, in the order of the corpus.

    `step` is called with the number of rows done after each batch.
    """
    entities: list[tuple[Entity, ...]] = [()] * len(corpus)
    status: list[ImageStatus] = ["none"] * len(corpus)
    collator = collator or tagger.collator()
    numbers = ordered_batches(corpus, batch)
    training = tagger.training
    tagger.eval()
    try:
        for rows, made in zip(numbers, batches_of(corpus, collator, numbers, labelled=False), strict=True):
            found = tagger.decode(made.to(tagger.device))
            for row, row_entities, row_status in zip(rows, found, made.status, strict=True):
                entities[row], status[row] = row_entities, row_status
            if step is not None:
                step(len(rows))
    finally:
        tagger.train(training)
    return entities, status
