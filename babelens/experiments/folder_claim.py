"""Whose the folder of an experiment is: with which data, settings and protocol its runs are made."""

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from babelens.experiments.plan import PlanError
from babelens.training.state import write_json

CLAIM = "claim.json"


def claim_folder(out: Path, made_with: Mapping[str, Any]) -> None:
    """Write down with what the runs of a folder are made, or see that they are made with the same.

    Raises:
        PlanError: they are made with something else.
    """
    path = out / CLAIM
    out.mkdir(parents=True, exist_ok=True)
    beside = out / f".claim.{platform.node()}.{os.getpid()}"
    write_json(beside, made_with)
    try:
        os.link(beside, path)  # of several machines that begin at once, one is the first
    except FileExistsError:
        pass
    finally:
        beside.unlink(missing_ok=True)
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PlanError(f"{path}: expected what the runs here are made with ({error})") from error
    for name, value in made_with.items():
        if before.get(name) != value:
            raise PlanError(_differs(out, name, before.get(name), value))


def _differs(out: Path, name: str, before: object, now: object) -> str:
    """What is told of a folder that is another command's; where nothing has been trained it can be had."""
    # The digests of a part say nothing to a reader.
    plain = not name.endswith(" part")
    shown, found = (f" ({_words(before)})", _words(now)) if plain else ("", "another")
    begun = any((out / "runs").glob("*/training"))
    instead = "" if begun else f", or remove {out / CLAIM}: nothing has been trained there"
    return f"{out}: expected the {name} of the runs that stand here{shown}, found {found}; choose a new --out{instead}"


def _words(value: object) -> str:
    """A setting, or several, in words."""
    several = value if isinstance(value, list) else [] if value is None else [value]
    return " ".join(map(str, several)) or "none"
