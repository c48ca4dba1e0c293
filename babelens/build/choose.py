"""A seeded choice of so many rows of each language, among those with enough entities."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from heapq import heappush, heappushpop
from pathlib import Path

import msgspec

from babelens.build.results import Result, dropped, kept
from babelens.build.rows import ROWS, Bad, Input, Row
from babelens.build.step import SECONDS, Step, Summary, run_step


@dataclass(frozen=True)
class Wish:
    """So many rows of each language, of those with at least `entities` entities, by a seed.

    The paper has 30,000 of en and 5,000 of fr, de and es each, of captions with two entities or more.
    """

    numbers: Mapping[str, int]
    entities: int = 2
    seed: int = 0


@dataclass(frozen=True)
class Choice:
    """The step that was done, and how many rows of each language were chosen."""

    summary: Summary
    chosen: Mapping[str, int]


def choose_rows(
    source: Input,
    out: Path,
    wish: Wish,
    *,
    skip_bad: bool = False,
    tell: Callable[[int], object] = lambda done: None,
    seconds: float = SECONDS,
) -> Choice:
    """Run the step: of each language the rows that draw the lowest numbers, in the order of the input.

    Which rows are chosen hangs on the seed and the ids alone, not on the order of the input; of more rows of a language
    all that were chosen before remain, but for those that new ones have pushed out. The input is read twice: once for
    the draw at which to stop, for which only the lowest draws are kept (some 50 bytes for each row to be chosen), once
    for the rows. Rows are dropped as `language` (none was asked for), `few entities`, `not drawn`.

    Raises:
        BadRows, JournalError, Interrupted, DiskFull: as `run_step` says.
    """
    options = {"numbers": dict(sorted(wish.numbers.items())), "entities": wish.entities, "seed": wish.seed}
    summary = run_step(
        Step("choose", options),
        source,
        out,
        lambda rows: _take(rows, wish, last_draws(source.rows(), wish)),
        skip_bad=skip_bad,
        tell=tell,
        seconds=seconds,
    )
    decode = msgspec.json.Decoder(_Spoken).decode
    with open(out / ROWS, "rb") as file:
        chosen = Counter(decode(line).language for line in file)
    return Choice(summary, {language: chosen[language] for language in wish.numbers})


class _Spoken(msgspec.Struct):
    language: str


def draw_of(seed: int, id: str) -> int:
    """The number that a row draws: a keyed hash of its id (BLAKE2b, 128 bits), in which no other row has a say."""
    key = str(seed).encode()
    return int.from_bytes(blake2b(id.encode(), digest_size=16, key=key).digest(), "big")


def last_draws(rows: Iterable[Row | Bad], wish: Wish) -> dict[str, int]:
    """The highest draw with which a row of a language is still chosen; -1 where there is none."""
    lowest: dict[str, list[int]] = {language: [] for language in wish.numbers}  # heaps of draws times -1
    for row in rows:
        if isinstance(row, Bad) or _unfit(row, wish) is not None:
            continue
        language = row["language"]
        heap, draw = lowest[language], draw_of(wish.seed, row["id"])
        if len(heap) < wish.numbers[language]:
            heappush(heap, -draw)
        elif heap:
            heappushpop(heap, -draw)
    return {language: -heap[0] if heap else -1 for language, heap in lowest.items()}


def _unfit(row: Row, wish: Wish) -> str | None:
    if row.get("language") not in wish.numbers:
        return "language"
    return "few entities" if len(row.get("entities") or ()) < wish.entities else None


def _take(rows: Iterator[Row], wish: Wish, limits: Mapping[str, int]) -> Iterator[Result]:
    for row in rows:
        reason = _unfit(row, wish)
        if reason is None and draw_of(wish.seed, row["id"]) > limits[row["language"]]:
            reason = "not drawn"
        yield kept(row) if reason is None else dropped(reason)
