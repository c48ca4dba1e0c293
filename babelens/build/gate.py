"""What stands between an input and a step: rows that cannot be read are kept back, and put into their place again."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from babelens.build.results import Result
from babelens.build.rows import Bad, Input, Row
from babelens.data.problems import DataError, Problem

_FAULTS = 20


class BadRows(DataError):
    """An input with rows that cannot be read."""

    def __str__(self) -> str:
        more = f" (the first {_FAULTS}; what follows was not read)" if self.total >= _FAULTS else ""
        return f"{super().__str__()}\nrows that cannot be read{more}; --skip-bad leaves them out and records them"


def refuse_bad_rows(source: Input) -> None:
    """Read an input through before anything is made of it.

    Raises:
        BadRows: rows that cannot be read, up to 20 of them together.
    """
    found = (row.problem for row in source.rows() if isinstance(row, Bad))
    if problems := list(islice(found, _FAULTS)):
        raise BadRows(problems)


class Gate:
    """The rows of an input as a step gets them, and the results of the step as they are written.

    With `skip_bad`, rows that cannot be read get a result of their own; else the first of them ends what the step gets,
    and `problems` are the first faults of the input. `taken` counts the results of the step.
    """

    def __init__(self, rows: Iterator[Row | Bad], skip_bad: bool) -> None:
        self.problems: list[Problem] = []
        self.taken = 0
        self._rows = rows
        self._skip_bad = skip_bad
        self._waiting: deque[str | Bad] = deque()

    def results(self, take: Callable[[Iterator[Row]], Iterable[Result]]) -> Iterator[tuple[str, Result]]:
        """The id and the result of each row of the input, in order."""
        waiting = self._waiting
        for result in take(self._readable()):
            yield from self._bad_ones()
            if not waiting:
                raise ValueError("expected one result for each row, found more")
            self.taken += 1
            yield waiting.popleft(), result  # pyright: ignore[reportReturnType]
        yield from self._bad_ones()
        if waiting and not self.problems:
            raise ValueError(f"expected one result for each row, found {len(waiting)} fewer")

    def _readable(self) -> Iterator[Row]:
        waiting = self._waiting
        for row in self._rows:
            if not isinstance(row, Bad):
                waiting.append(row["id"])
                yield row
            elif self._skip_bad:
                waiting.append(row)
            else:
                self.problems.append(row.problem)
                self.problems.extend(self._further())
                return

    def _further(self) -> Iterator[Problem]:
        """The faults after the first: nothing else is done any more."""
        found = (row.problem for row in self._rows if isinstance(row, Bad))
        return islice(found, _FAULTS - 1)

    def _bad_ones(self) -> Iterator[tuple[str, Result]]:
        waiting = self._waiting
        while waiting and isinstance(waiting[0], Bad):
            bad = waiting.popleft()
            assert isinstance(bad, Bad)
            fault = f"expected {bad.problem.expected}, found {bad.problem.found}"
            yield bad.id, Result((), {"did": "unreadable", "line": bad.problem.line, "fault": fault})
