"""Which rows make which batch: a function of seed and epoch, and of nothing else."""

from collections.abc import Sequence

import numpy as np


def epoch_batches(
    lengths: Sequence[int] | np.ndarray, batch: int, *, seed: int, epoch: int, pool: int = 50
) -> list[list[int]]:
    """Cut one epoch into batches of rows of similar length, in an order drawn from (seed, epoch).

    Rows are shuffled over the whole corpus, so languages mix; then each run of `pool` batches is sorted by length
    (words) and cut, so that a batch holds little padding; then the batches are shuffled. Every row stands in exactly
    one batch; one batch may be short.
    """
    generator = np.random.default_rng([seed, epoch])
    lengths = np.asarray(lengths)
    order = generator.permutation(len(lengths))
    batches: list[list[int]] = []
    for start in range(0, len(order), batch * pool):
        run = order[start : start + batch * pool]
        run = run[np.argsort(lengths[run], kind="stable")]
        batches.extend(run[place : place + batch].tolist() for place in range(0, len(run), batch))
    return [batches[number] for number in generator.permutation(len(batches))]
