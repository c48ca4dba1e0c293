"""What a tagger makes of chosen rows of a corpus, batch after batch, in evaluation mode and without gradients."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from babelens.data import Corpus
from babelens.models.batch import Batch, CorpusRows
from babelens.models.decode import BATCH, halved, ordered_batches
from babelens.models.loading import BatchLoader, Source, Work
from babelens.models.region_store import RegionCache
from babelens.models.tagger import Tagger

T = TypeVar("T")


def over_rows(
    tagger: Tagger,
    corpus: Corpus,
    numbers: Sequence[int],
    read: Callable[[Batch], T],
    *,
    batch: int = BATCH,
    workers: int = 0,
    regions: RegionCache | None = None,
    step: Callable[[int], None] | None = None,
) -> Iterator[tuple[list[int], T]]:
    """What `read` makes of unlabelled batches on the tagger's device, each with the numbers of its rows.

    Rows come longest first. Where memory runs out, a batch is read in halves. `workers` processes make the batches (0:
    a thread), with the `regions` of pictures where they are kept; `step` is called with the rows done after each batch.

    Raises:
        ImageError: a picture cannot be opened, and the corpus was read with strict pictures.
        ShortOfMemory: memory does not hold a single row.
        WorkerError: a worker ended unexpectedly.
    """

    def look(part: Batch) -> T:
        with torch.no_grad():
            return read(part.to(tagger.device))

    order = [[numbers[place] for place in places] for places in ordered_batches(corpus.lengths[list(numbers)], batch)]
    source = Source(CorpusRows(corpus), tagger.collator(regions=regions))
    training = tagger.training
    tagger.eval()
    try:
        with BatchLoader(source, workers=workers, pinned=tagger.device.type == "cuda") as loader:
            for own, tensors in zip(order, loader.batches([Work(own) for own in order]), strict=True):
                done = 0
                for part, found in halved(tensors, look):
                    yield own[done : done + len(part.ids)], found
                    done += len(part.ids)
                if step is not None:
                    step(len(own))
    finally:
        tagger.train(training)
