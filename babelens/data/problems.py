"""What is wrong with a file: where, what was expected, and what was found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from babelens.schema import InputError

_KEPT = 1000
_SHOWN = 50
_LONGEST = 100


@dataclass(frozen=True)
class Problem:
    """One fault of one file. `line` counts from 1; None where the fault is the file as a whole."""

    path: Path
    line: int | None
    expected: str
    found: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line is not None else str(self.path)
        return f"{place}: expected {self.expected}, found {self.found}"


class DataError(InputError):
    """A corpus that cannot be used. `problems` holds the faults of a file in one go, `total` counts them all."""

    def __init__(self, problems: Sequence[Problem], total: int | None = None) -> None:
        self.problems = list(problems)
        self.total = len(self.problems) if total is None else total
        lines = [str(problem) for problem in self.problems[:_SHOWN]]
        if self.total > len(lines):
            lines.append(f"... and {self.total - len(lines):,} more")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.problems, self.total), self.__dict__


class ImageError(DataError):
    """A picture that is missing or cannot be read, where pictures are asked to be strict."""


class Problems:
    """Collects the faults of one file.

    Beyond the first thousand they are only counted, so that a file of the wrong kind does not fill the memory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept: list[Problem] = []
        self.total = 0

    def add(self, line: int | None, expected: str, found: str) -> None:
        """Note a fault."""
        self.total += 1
        if len(self.kept) < _KEPT:
            self.kept.append(Problem(self.path, line, expected, found))

    def raise_if_any(self) -> None:
        """Raise what was noted, in the order of lines.

        Raises:
            DataError: at least one fault was noted.
        """
        if self.total:
            raise DataError(sorted(self.kept, key=lambda problem: problem.line or 0), self.total)


def fault(path: str | Path, expected: str, found: str, line: int | None = None) -> DataError:
    """The error of a single fault."""
    return DataError([Problem(Path(path), line, expected, found)])


def quote(value: object) -> str:
    """A value as it is shown in a message: printable on any terminal, and cut where it is long."""
    shown = repr(value)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 3] + "..."


def listing(values: Iterable[object]) -> str:
    """Values joined for a message, or "nothing"."""
    return ", ".join(str(value) for value in values) or "nothing"
