"""What a person sees while a model trains."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Report:
    """Says nothing: the report of a run that nobody watches."""

    def start(self, epochs: int, steps: int, done: int) -> None:
        """A run of `epochs` epochs of `steps` steps starts, `done` steps being done."""

    def note(self, text: str) -> None:
        """Something that a person should know of."""

    def pictures(self, done: int, total: int) -> None:
        """Of the pictures whose regions are to be kept, so many are done."""

    def step(self, losses: Mapping[str, float], best: float) -> None:
        """A step was made; `best` is the best validation F1 so far, below 0 if there is none."""

    def validated(self, rows: int) -> None:
        """So many more rows of the validation part were tagged."""

    def epoch(self, entry: Mapping[str, Any], best_epoch: int) -> None:
        """An epoch was validated."""

    def __enter__(self) -> "Report":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class ConsoleReport(Report):
    """A bar with the parts of the loss on a terminal; a line an epoch everywhere."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self.title = title
        self.console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(title, total=None, losses="")
        self._epochs = 0

    def pictures(self, done: int, total: int) -> None:
        """Show how far the regions of pictures are."""
        self._bar.update(self._task, total=total, completed=done, losses="regions of pictures")

    def start(self, epochs: int, steps: int, done: int) -> None:
        """Set the length of the bar."""
        self._epochs = epochs
        self._bar.update(self._task, total=epochs * steps, completed=done, losses="")

    def note(self, text: str) -> None:
        """Print it."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def step(self, losses: Mapping[str, float], best: float) -> None:
        """Move the bar and show the losses."""
        text = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
        self._bar.update(self._task, advance=1, losses=text if best < 0 else f"{text} | best F1 {best:.2f}")

    def epoch(self, entry: Mapping[str, Any], best_epoch: int) -> None:
        """Print the epoch's line."""
        losses = " ".join(f"{name} {value:.3f}" for name, value in entry["losses"].items())
        mark = "  best so far" if entry["epoch"] == best_epoch else ""
        self.console.print(
            f"{self.title}: epoch {entry['epoch']}/{self._epochs}  {losses}  "
            f"validation F1 {entry['validation_f1']:.2f}  {entry['seconds']:.0f} s{mark}",
            highlight=False,
        )

    def __enter__(self) -> "Report":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
