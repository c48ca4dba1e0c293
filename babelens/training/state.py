"""What a run needs to go on where it stopped, written beside and renamed: a state on disk is always whole."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file
from torch import Tensor

from babelens.models.checkpoint import replace_folder, save_weights
from babelens.schema import InputError

STATE = "state"


class ResumeError(InputError):
    """A run that cannot be gone on with: the message says why."""


class Progress(msgspec.Struct, forbid_unknown_fields=True):
    """Where a run stands: `epoch` and `batch` are those to be done next; `step` counts optimiser steps."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: float = -1.0
    best_epoch: int = -1
    sums: dict[str, float] = {}
    seconds: float = 0.0
    history: list[dict[str, Any]] = []


def save_state(
    out: Path,
    progress: Progress,
    weights: dict[str, Tensor],
    optimizer: dict[str, Any],
    average: dict[str, Tensor] | None,
) -> None:
    """Write the whole state of a run into `out`/state.

    Raises:
        OSError: the disk is full or does not allow writing; the state before stays.
    """
    beside = Path(tempfile.mkdtemp(prefix=f".{STATE}-", dir=out))
    try:
        save_weights(weights, beside / "weights.safetensors")
        if average is not None:
            save_weights(average, beside / "average.safetensors")
        torch.save(optimizer, beside / "optimizer.pt")
        (beside / "progress.json").write_bytes(msgspec.json.encode(progress))
        replace_folder(beside, out / STATE)
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        if isinstance(error, RuntimeError) and "PytorchStreamWriter" in str(error):
            raise OSError(f"{out / STATE}: could not be written (is the disk full?): {error}") from error
        raise


def load_state(out: Path) -> tuple[Progress, dict[str, Tensor], dict[str, Any], dict[str, Tensor] | None]:
    """Read the state of a run back: progress, weights, optimiser state, averaged weights. Nothing in it is executed.

    Raises:
        ResumeError: there is no state in `out`, or it cannot be read.
    """
    folder = out / STATE
    if not (folder / "progress.json").is_file():
        raise ResumeError(f"{folder}: expected the state of a run to go on with, found none")
    try:
        progress = msgspec.json.decode((folder / "progress.json").read_bytes(), type=Progress)
        weights = load_file(folder / "weights.safetensors")
        optimizer = torch.load(folder / "optimizer.pt", weights_only=True, map_location="cpu")
        averaged = folder / "average.safetensors"
        return progress, weights, optimizer, load_file(averaged) if averaged.is_file() else None
    except (msgspec.MsgspecError, OSError, RuntimeError, ValueError) as error:
        raise ResumeError(f"{folder}: expected the whole state of a run, found a damaged one ({error})") from error


def write_json(path: Path, content: object) -> None:
    """Write JSON beside and rename it into place."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    beside.replace(path)
