"""What a run needs to go on where it stopped, written beside and renamed: a state on disk is always whole.

`OUT/state` holds a folder for each of the last steps that were saved, named by the number of the step.
"""

import errno
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import msgspec
import torch
from safetensors.torch import load_file
from torch import Tensor

from babelens.models.checkpoint import put_back, save_weights, sync, sync_folder
from babelens.training.errors import ResumeError
from babelens.training.explosion import Means

STATE = "state"
WEIGHTS, AVERAGE, OPTIMIZER = "weights.safetensors", "average.safetensors", "optimizer.pt"
CHECKSUMS, PROGRESS = "checksums.json", "progress.json"


class Progress(msgspec.Struct, forbid_unknown_fields=True):
    """Where a run stands: `epoch` and `batch` are those to be done next; `step` counts optimiser steps.

    `sums` are the losses of the epoch so far, `scaler` is the state of the scaling of losses in fp16, `limit` that of
    the rows that memory has turned out to hold at a time, `means` what a loss that explodes is told by. `precision` and
    `regions` are what "auto" has come to: the type of number, and whether regions of pictures are kept.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: float = -1.0
    best_epoch: int = -1
    sums: dict[str, float] = {}
    seconds: float = 0.0
    history: list[dict[str, Any]] = []
    scaler: dict[str, int | float] | None = None
    limit: int | None = None
    means: Means = msgspec.field(default_factory=Means)
    precision: str | None = None
    regions: bool | None = None


class State(NamedTuple):
    """The state of a run after a step."""

    progress: Progress
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    average: dict[str, Tensor] | None


def saved_steps(out: Path) -> list[int]:
    """The steps whose states lie in `out`, ascending."""
    folder = out / STATE
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.is_dir() else []


def step_folder(out: Path, step: int) -> Path:
    """Where the state after a step lies."""
    return out / STATE / f"{step:08d}"


def save_state(out: Path, state: State, keep: int = 2) -> None:
    """Write the state of a run, then remove all but the newest `keep`.

    The weights after a step are one: where they are saved already, only the progress is written anew.

    Raises:
        OSError: the disk is full or does not allow writing; the states before stay.
    """
    place = step_folder(out, state.progress.step)
    progress = msgspec.json.encode(state.progress)
    try:
        if place.is_dir():
            write_whole(place / PROGRESS, progress)
        else:
            place.parent.mkdir(exist_ok=True)
            _write(place, state, progress)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(place)) from error
    for step in saved_steps(out)[:-keep]:
        _remove(step_folder(out, step))


def _write(place: Path, state: State, progress: bytes) -> None:
    beside = Path(tempfile.mkdtemp(prefix=f".{STATE}-", dir=place.parent.parent))
    try:
        save_weights(state.weights, beside / WEIGHTS)
        if state.average is not None:
            save_weights(state.average, beside / AVERAGE)
        _save_optimizer(state.optimizer, beside / OPTIMIZER)
        (beside / CHECKSUMS).write_text(json.dumps({path.name: _checksum(path) for path in beside.iterdir()}))
        (beside / PROGRESS).write_bytes(progress)
        os.chmod(beside, 0o755)
        sync(beside)
        os.replace(beside, place)
        sync_folder(place.parent)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _save_optimizer(optimizer: dict[str, Any], path: Path) -> None:
    try:
        torch.save(optimizer, path)
    except RuntimeError as error:
        if "inline_container" not in str(error):
            raise
        # The writer of torch, which knows no reason for bytes that did not come to lie where they should.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path)) from error


def _checksum(path: Path) -> int:
    value = 0
    with open(path, "rb") as file:
        while chunk := file.read(1 << 22):
            value = zlib.crc32(chunk, value)
    return value


def _remove(folder: Path) -> None:
    # Under a hidden name first: a folder that is removed in part is not taken for a state.
    gone = Path(tempfile.mkdtemp(prefix=f".{STATE}-", dir=folder.parent.parent))
    os.replace(folder, gone / folder.name)
    shutil.rmtree(gone, ignore_errors=True)


def load_state(out: Path, note: Callable[[str], object]) -> State | None:
    """Read the newest whole state back, or None where none was saved yet. Nothing in it is executed.

    Damaged ones are removed, and `note` is told.

    Raises:
        ResumeError: states were saved, and none of them is whole or can be read.
    """
    damaged: list[str] = []
    for step in reversed(saved_steps(out)):
        folder = step_folder(out, step)
        fault = _fault(folder)
        if fault is None:
            for name in damaged:
                _remove(folder.with_name(name))
            return _read(folder)
        damaged.append(folder.name)
        note(f"{folder}: expected the whole state of a run, found a damaged one ({fault}); the one before is taken")
    if damaged:
        raise ResumeError(f"{out / STATE}: expected the whole state of a run, found only damaged ones; start anew")
    if (out / STATE / PROGRESS).is_file():
        raise ResumeError(
            f"{out / STATE}: expected a folder for each step saved, found a state of babelens 0.1.0; start anew"
        )
    if (out / "history.json").is_file():
        raise ResumeError(f"{out / STATE}: expected the state of a run to go on with, found none")
    return None


def load_weights(out: Path, step: int) -> dict[str, Tensor]:
    """The weights that were validated after a step, their mean where the run keeps one.

    Raises:
        ResumeError: no whole state of that step is there.
    """
    folder = step_folder(out, step)
    if (fault := _fault(folder)) is not None:
        raise ResumeError(f"{folder}: expected the whole state of a run, found a damaged one ({fault})")
    state = _read(folder)
    return {**state.weights, **(state.average or {})}


def _fault(folder: Path) -> str | None:
    """What is wrong with a saved state, or None."""
    try:
        msgspec.json.decode((folder / PROGRESS).read_bytes(), type=Progress)
        checksums = msgspec.json.decode((folder / CHECKSUMS).read_bytes(), type=dict[str, int])
        wrong = [name for name, value in checksums.items() if _checksum(folder / name) != value]
    except msgspec.MsgspecError as error:
        return str(error)
    except FileNotFoundError as error:
        return f"no {Path(error.filename).name}"
    return f"{wrong[0]} has changed" if wrong else None


def _read(folder: Path) -> State:
    average = folder / AVERAGE
    try:
        return State(
            msgspec.json.decode((folder / PROGRESS).read_bytes(), type=Progress),
            load_file(folder / WEIGHTS),
            torch.load(folder / OPTIMIZER, weights_only=True, map_location="cpu"),
            load_file(average) if average.is_file() else None,
        )
    except (RuntimeError, ValueError, UnpicklingError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ResumeError(f"{folder}: expected the state of a run, found what cannot be read ({reason})") from error


def clean(out: Path) -> None:
    """Remove what killed saves have left in the folder of a run; a model that one had moved away is put back."""
    put_back(out / "model")
    for path in [*out.glob(f".{STATE}-*"), *out.glob(".model-*")]:
        shutil.rmtree(path, ignore_errors=True)
    for path in [*out.glob(".*.new"), *(out / STATE).glob("*/.*.new")]:
        path.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write JSON beside and rename it into place."""
    write_whole(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside and rename it into place.

    Raises:
        OSError: the disk is full or does not allow writing; a file that stood there stays.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
