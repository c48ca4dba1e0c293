"""Which rows make which step, and which process computes which of them: functions of seed and epoch alone."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from babelens.models.batch import Share
from babelens.training.recipe import Order


def epoch_batches(
    lengths: Sequence[int] | np.ndarray, batch: int, *, seed: int, epoch: int, pool: int = 50, order: Order = "grouped"
) -> list[list[int]]:
    """Cut one epoch into batches of rows of similar length, in an order drawn from (seed, epoch).

    Rows are shuffled over the whole corpus, so languages mix; then each run of `pool` batches is sorted by length
    (words) and cut, so that a batch holds little padding; then the batches are shuffled. Every row stands in exactly
    one batch; one batch may be short. By the `order` "shuffled" rows are only shuffled, by "file" they stay as they
    stand, in every epoch alike.
    """
    generator = np.random.default_rng([seed, epoch])
    lengths = np.asarray(lengths)
    rows = np.arange(len(lengths)) if order == "file" else generator.permutation(len(lengths))
    if order != "grouped":
        return [rows[place : place + batch].tolist() for place in range(0, len(rows), batch)]
    batches: list[list[int]] = []
    for start in range(0, len(rows), batch * pool):
        run = rows[start : start + batch * pool]
        run = run[np.argsort(lengths[run], kind="stable")]
        batches.extend(run[place : place + batch].tolist() for place in range(0, len(run), batch))
    return [batches[number] for number in generator.permutation(len(batches))]


def shares(rows: Sequence[int], batch: int, *, process: int = 0, processes: int = 1) -> list[Share]:
    """What one process computes of the rows of a step, in as many parts as every other process.

    The rows are cut evenly into parts of at most `batch`, the same ones however many processes there are. Of each part
    a process takes every row at the distance of the number of processes: where rows are sorted by length, all get as
    long ones. It may get none.
    """
    parts = math.ceil(len(rows) / batch)
    cuts = [len(rows) * part // parts for part in range(parts + 1)]
    return [Share(rows[start:stop][process::processes], rows) for start, stop in itertools.pairwise(cuts)]
