"""A loss that explodes ends a run before its hours are spent."""

from collections import deque

from babelens.training.errors import TrainingError

STEPS = 20
FACTOR = 100


class ExplosionWatch:
    """Ends a run whose loss explodes.

    It does when the mean total loss of the last 20 steps is above 100 times the lowest such mean so far, and above that
    of the first 20 steps: a model that knows its rows by heart may lose a hundred times as much on a new one.
    """

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=STEPS)
        self._first: float | None = None
        self._lowest = float("inf")

    def see(self, total: float, step: int) -> None:
        """Take in the total loss of a step, counted from 1.

        Raises:
            TrainingError: the loss has exploded.
        """
        self._last.append(total)
        if len(self._last) < STEPS:
            return
        mean = sum(self._last) / STEPS
        self._first = mean if self._first is None else self._first
        self._lowest = min(self._lowest, mean)
        if mean > max(FACTOR * self._lowest, self._first):
            raise TrainingError(
                f"step {step}: the loss has exploded: its mean over the last {STEPS} steps is {mean:g}, and was "
                f"{self._lowest:g} at its lowest; try a lower training.rate, a longer training.warmup, or training.clip"
            )
