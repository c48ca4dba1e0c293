"""One step of making a data set: rows in, a folder out, in which a killed run goes on where it was.

The folder holds `rows.jsonl` (the rows that remain, in the order of the input), `provenance.jsonl` (what became of each
row read) and `step.json` (what was done to what: written last, so a folder that has it is complete). Nothing in them
hangs on the time, the machine or on how often the run was killed.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from babelens.build.gate import BadRows, Gate
from babelens.build.results import Result, Tally
from babelens.build.rows import PROVENANCE, ROWS, STEP, Input, Row, read_step
from babelens.data.journal import Interrupted, Journal, JournalError, differences, locked, sync_folder
from babelens.data.problems import listing

SECONDS = 2.0
"""How much time lies between two checkpoints, so how much work a kill can cost."""

_ROWS, _PROVENANCE, _STEP = range(3)


@dataclass(frozen=True)
class Step:
    """What a step is: its name, the options that its output hangs on, and versions of what decides besides babelens."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """What `step.json` says of a step. `before` is true if it was done before, and nothing was done now."""

    folder: Path
    counts: Mapping[str, Any]
    before: bool


def run_step(
    step: Step,
    source: Input,
    out: Path,
    take: Callable[[Iterator[Row]], Iterable[Result]],
    *,
    restore: Callable[[Iterator[Row]], object] | None = None,
    skip_bad: bool = False,
    block: int = 1,
    tell: Callable[[int], object] = lambda done: None,
    seconds: float = SECONDS,
) -> Summary:
    """Put the rows of the input through a step, one after the other, and write its folder.

    `take` gets the rows and gives one result for each, in their order; it may read ahead (for batches, by as much as it
    likes). What it makes of a row may hang on the rows before it only by way of those that were written: when a stopped
    run goes on, `take` gets the rows that are left, and `restore`, before that, the rows that were written already.
    A step with random numbers draws them from a seed and the row's id. `tell` is called now and then with the rows
    done. A checkpoint is made every so many `seconds`, and only where `take` has had a multiple of `block` rows: a step
    that works in batches of so many then has the same batches, however often it is stopped.

    Raises:
        BadRows: rows that cannot be read, up to 20 of them together, without `skip_bad`; nothing is written then.
        JournalError: another step, or the same of other input, is in the folder, or another process writes there.
        Interrupted: Ctrl-C; the same call goes on.
        DiskFull: there is no room; what was done is kept.
    """
    identity = _identity(step, source, skip_bad)
    # Where a kill came after the last file was in its place, what is hidden has still to be removed.
    if (done := _done_before(out, identity)) is not None and not _hidden(out):
        return done
    _check_folder(out, resumable=True)
    try:
        with Journal([out / ROWS, out / PROVENANCE, out / STEP], identity) as journal:
            if (done := _done_before(out, identity)) is not None:  # a moment ago, or but for its journal
                journal.discard()
                return done
            if not journal.whole:
                _go_through(journal, identity, source, take, restore, skip_bad, block, tell, seconds)
            journal.finish()
    except KeyboardInterrupt:
        raise Interrupted(f"{out}: stopped; what is done is kept: run the same command to go on") from None
    return Summary(out, read_step(out)["counts"], False)


def _go_through(
    journal: Journal,
    identity: Mapping[str, Any],
    source: Input,
    take: Callable[[Iterator[Row]], Iterable[Result]],
    restore: Callable[[Iterator[Row]], object] | None,
    skip_bad: bool,
    block: int,
    tell: Callable[[int], object],
    seconds: float,
) -> None:
    encode = msgspec.json.Encoder().encode
    tally = Tally(journal.state)
    if journal.done and restore is not None:
        restore(_written(journal.parts[_ROWS]))
    gate = Gate(islice(source.rows(), journal.done, None), skip_bad)
    next_time = monotonic() + seconds
    for id, result in gate.results(take):
        for row in result.rows:
            journal.write(_ROWS, encode(row) + b"\n")
        journal.write(_PROVENANCE, encode({"id": id, **result.said}) + b"\n")
        tally.add(result)
        # Once a fault is found nothing will come of it all: a run that goes on has to find it again.
        if monotonic() >= next_time and gate.taken % block == 0 and not gate.problems:
            journal.checkpoint(tally.read, tally.plain())
            tell(tally.read)
            next_time = monotonic() + seconds
    if gate.problems:
        journal.discard()
        raise BadRows(gate.problems)
    content = {**identity, "counts": tally.plain()}
    # Nothing of it stands in any checkpoint, so that it is written once however often a run was killed.
    journal.write(_STEP, msgspec.json.format(encode(content), indent=2) + b"\n")


def run_whole_step(step: Step, source: Input, out: Path, make: Callable[[Path], Mapping[str, Any]]) -> Summary:
    """Write the folder of a step that needs all rows at once: it appears complete, or not at all.

    `make` writes files into the folder that it is given, and returns the counts for `step.json`. A run that was killed
    begins anew.

    Raises:
        JournalError: another step, or the same of other input, is in the folder, or another process writes there.
        Interrupted: Ctrl-C; nothing is left.
    """
    identity = _identity(step, source, False)
    with locked(out):
        if (done := _done_before(out, identity)) is not None:
            return done
        _check_folder(out, resumable=False)
        beside = out.with_name(f".{out.name}.new")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        try:
            content = {**identity, "counts": make(beside)}
            (beside / STEP).write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
            _sync(beside)
            os.replace(beside, out)
        except KeyboardInterrupt:
            raise Interrupted(f"{out}: stopped, and nothing is left of it: run the same command again") from None
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        sync_folder(out.parent)
    return Summary(out, read_step(out)["counts"], False)


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())
        else:
            sync_folder(path)
    sync_folder(folder)


def _identity(step: Step, source: Input, skip_bad: bool) -> dict[str, Any]:
    import babelens

    return {
        "step": step.name,
        "options": {**step.options, **({"skip_bad": True} if skip_bad else {})},
        "input": source.facts,
        "versions": {"babelens": babelens.__version__, **step.versions},
    }


def _done_before(out: Path, identity: Mapping[str, Any]) -> Summary | None:
    """What was done in a folder, if it was this.

    Raises:
        JournalError: something else was done there.
        DataError: what says so is damaged.
    """
    if not (out / STEP).is_file():
        return None
    before = read_step(out)
    now = msgspec.json.decode(msgspec.json.encode(identity))
    if changes := differences({name: before.get(name) for name in now}, now):
        raise JournalError(
            f"{out / STEP}: expected the step that is done there, found other options or another input "
            f"({'; '.join(changes[:4])}); choose another --out, or remove that folder"
        )
    return Summary(out, before["counts"], True)


def _check_folder(out: Path, resumable: bool) -> None:
    """Refuse a folder in which there is something else than a run to go on with, where there can be one.

    Raises:
        JournalError: there is.
    """
    if out.exists() and not out.is_dir():
        raise JournalError(f"{out}: expected a folder to write, found a file")
    found = [entry.name for entry in sorted(out.iterdir())] if out.exists() else []
    if found and not (resumable and _hidden(out)):
        raise JournalError(f"{out}: expected a new or an empty folder, found {listing(found[:5])}")


def _hidden(out: Path) -> bool:
    """Whether a run that was stopped has left something in a folder."""
    names = (f".{ROWS}.journal", f".{ROWS}.lock", *(f".{name}.part" for name in (ROWS, PROVENANCE, STEP)))
    return any((out / name).exists() for name in names)


def _written(path: Path) -> Iterator[Row]:
    decode = msgspec.json.Decoder().decode
    with open(path, "rb") as file:
        for line in file:
            yield decode(line)
