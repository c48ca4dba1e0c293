"""What a step makes of a row, and how often it did what."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from babelens.build.rows import Row


class Result(NamedTuple):
    """What a step makes of a row: the rows that take its place, and what is to be told of it besides its id.

    `said` has `did` (a word: kept, changed, dropped, ...) and, where there is a reason, `why`. Both are counted in
    `step.json`, so they come from a small set of words; whatever tells one row from another goes into other fields.
    """

    rows: Sequence[Row]
    said: Mapping[str, Any]


_KEPT = {"did": "kept"}


def kept(row: Row, **facts: Any) -> Result:
    """The row remains as it is."""
    return Result((row,), {"did": "kept", **facts} if facts else _KEPT)


def changed(row: Row, why: str | None = None, **facts: Any) -> Result:
    """The row remains, in another form."""
    return Result((row,), {"did": "changed", **({} if why is None else {"why": why}), **facts})


def dropped(why: str, **facts: Any) -> Result:
    """The row is left out."""
    return Result((), {"did": "dropped", "why": why, **facts})


class Tally:
    """How many rows were read, written, and what was done to them, by why.

    `plain` is what a tally looks like in JSON; made of that, it goes on counting.
    """

    def __init__(self, plain: Mapping[str, Any] | None = None) -> None:
        plain = plain or {}
        self.read: int = plain.get("read", 0)
        self.rows: int = plain.get("rows", 0)
        self._counts: Counter[tuple[str, str]] = Counter()
        for did, whys in plain.get("did", {}).items():
            self._counts.update({(did, why): number for why, number in whys.items()})

    def add(self, result: Result) -> None:
        """Count what was made of a row."""
        self.read += 1
        self.rows += len(result.rows)
        self._counts[result.said["did"], result.said.get("why", "")] += 1

    def plain(self) -> dict[str, Any]:
        """`read`, `rows` (written) and `did`: by what was done, then by why ("" where there is no reason), numbers."""
        did: dict[str, dict[str, int]] = {}
        for (name, why), number in sorted(self._counts.items()):
            did.setdefault(name, {})[why] = number
        return {"read": self.read, "rows": self.rows, "did": did}
