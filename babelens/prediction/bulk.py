"""Many rows to a file of answers, in checkpoints: a run that was killed goes on where it was."""

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from babelens import __version__
from babelens.data.journal import Interrupted, Journal, locked
from babelens.data.problems import fault
from babelens.prediction.ask import PLAIN, Ask
from babelens.prediction.inputs import Rows
from babelens.prediction.output import Tally, line, make_parent
from babelens.prediction.predictor import Predictor
from babelens.prediction.stream import Pace, stream_answers

SECONDS = 2.0
"""How much time lies between two checkpoints, so how much work a kill can cost, besides one block of rows."""


def answer_file(
    predictor: Predictor,
    rows: Rows,
    out: Path,
    *,
    pace: Pace | None = None,
    ask: Ask = PLAIN,
    limit: int | None = None,
    anew: bool = False,
    tell: Callable[[Tally], object] = lambda tally: None,
    seconds: float = SECONDS,
) -> Tally:
    """Answer the rows, or the first `limit` of them, into a JSONL file, in the order of the input.

    The file appears when it is whole; until then what is done stands beside it (see `data.journal`). The same call
    after a kill goes on, and ends with the same bytes as if there had been none: checkpoints are made between blocks of
    rows only, so that batches are the same. `anew` forgets what a stopped run has left. `tell` is called with what has
    been written, at the start and then with each block.

    Raises:
        DataError: `out` is a folder, or has a file for one.
        JournalError: a stopped run there had another model, other rows or options, or another process writes there.
        Interrupted: Ctrl-C; the same call goes on.
        DiskFull: there is no room; what was done is kept.
    """
    pace = pace or Pace()
    if out.is_dir():
        raise fault(out, "the name of a file to write", "a folder")
    out = out.resolve()  # a link stays a link
    make_parent(out)
    identity = {
        "verb": "predict",
        "babelens": __version__,
        "model": predictor.digest,
        **rows.facts(),
        "ask": msgspec.to_builtins(ask),
        "batch": pace.rows,
        "words": pace.words,
        "limit": limit,
    }
    if anew:
        with locked(out):
            Journal([out], identity).discard()
    try:
        with Journal([out], identity) as journal:
            tally = _restored(journal.state)
            tell(tally)
            if not journal.whole:
                _go_on(journal, tally, predictor, rows, pace, ask, limit, tell, seconds)
            journal.finish()
    except KeyboardInterrupt:
        raise Interrupted(f"{out}: stopped; what is done is kept: run the same command to go on") from None
    return tally


def _go_on(
    journal: Journal,
    tally: Tally,
    predictor: Predictor,
    rows: Rows,
    pace: Pace,
    ask: Ask,
    limit: int | None,
    tell: Callable[[Tally], object],
    seconds: float,
) -> None:
    left = None if limit is None else max(0, limit - journal.done)
    next_time = monotonic() + seconds
    for answer in stream_answers(predictor, islice(rows.rows(journal.done), left), pace, ask):
        journal.write(0, line(answer))
        tally.add(answer)
        if tally.rows % pace.block == 0:
            tell(tally)
            if monotonic() >= next_time:
                journal.checkpoint(tally.rows, msgspec.to_builtins(tally))
                next_time = monotonic() + seconds
    tell(tally)
    journal.checkpoint(tally.rows, msgspec.to_builtins(tally))


def _restored(state: Mapping[str, Any]) -> Tally:
    return Tally(**{**state, "pictures": Counter(state["pictures"])}) if state else Tally()
