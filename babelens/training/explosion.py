"""A loss that explodes ends a run before its hours are spent."""

import msgspec

from babelens.training.errors import TrainingError

STEPS = 20
FACTOR = 100


class Means(msgspec.Struct, forbid_unknown_fields=True):
    """The losses of the last steps, and the first and the lowest of their means."""

    last: list[float] = []
    first: float | None = None
    lowest: float | None = None


class ExplosionWatch:
    """Ends a run whose loss explodes.

    It does when the mean total loss of the last 20 steps is above 100 times the lowest such mean so far, and above that
    of the first 20 steps: a model that knows its rows by heart may lose a hundred times as much on a new one.
    """

    def __init__(self, means: Means | None = None) -> None:
        self.means = means or Means()

    def see(self, total: float, step: int) -> None:
        """Take in the total loss of a step, counted from 1.

        Raises:
            TrainingError: the loss has exploded.
        """
        means = self.means
        means.last = [*means.last, total][-STEPS:]
        if len(means.last) < STEPS:
            return
        mean = sum(means.last) / STEPS
        means.first = mean if means.first is None else means.first
        means.lowest = mean if means.lowest is None else min(means.lowest, mean)
        if mean > max(FACTOR * means.lowest, means.first):
            raise TrainingError(
                f"step {step}: the loss has exploded: its mean over the last {STEPS} steps is {mean:g}, and was "
                f"{means.lowest:g} at its lowest; try a lower training.rate, a longer training.warmup, or training.clip"
            )
