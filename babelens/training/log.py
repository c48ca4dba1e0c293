"""What is written down while a run goes on: the losses of every step, and curves for TensorBoard."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

# TensorBoard gets the losses of one step out of so many.
EVERY = 10


class RunLog:
    """Appends to `out`/losses.jsonl, a line a step, and to `out`/tensorboard.

    `step` is the one after which the run goes on: what a killed run wrote of later ones is taken back.
    """

    def __init__(self, out: Path, step: int) -> None:
        path = out / "losses.jsonl"
        _cut(path, step)
        self._losses = open(path, "a", encoding="utf-8")  # noqa: SIM115 (open as long as the run)
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)

    def step(self, step: int, losses: Mapping[str, float]) -> None:
        """Write down the losses of a step, to the last bit."""
        self._losses.write(json.dumps({"step": step, **losses}) + "\n")
        if step % EVERY == 0:
            for name, value in losses.items():
                self._board.add_scalar(f"loss/{name}", value, step)

    def validated(self, step: int, f1: float) -> None:
        """Write down the validation F1 (per cent) after a step."""
        self._board.add_scalar("validation/f1", f1, step)

    def flush(self) -> None:
        """Wait until all of it lies on the disk.

        Raises:
            OSError: the disk is full.
        """
        self._losses.flush()
        os.fsync(self._losses.fileno())
        self._board.flush()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._losses.close()
        self._board.close()


def _cut(path: Path, step: int) -> None:
    """Keep the lines up to those of a step."""
    if not path.is_file():
        return
    with open(path, "rb+") as file:
        end = 0
        for line in file:
            try:
                if json.loads(line)["step"] > step:
                    break
            except ValueError:  # a line of which a kill has left a part
                break
            end += len(line)
        file.truncate(end)
