"""Whose a folder is: what is trained on what stands in its run.json, and one process at a time trains in it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from babelens.data import Corpus
from babelens.models.spec import to_plain
from babelens.training.errors import ResumeError
from babelens.training.recipe import FREE, Recipe, RecipeError, Training, recipe_from_plain
from babelens.training.state import STATE, write_json


def claim(recipe: Recipe, training: Corpus, validation: Corpus, out: Path, resume: bool) -> None:
    """Write down what is trained on what, or, to go on, check that it is the same.

    Raises:
        ResumeError: a run stands there already; to go on, there is none, or its recipe or data were others.
    """
    path = out / "run.json"
    plain = {
        "recipe": to_plain(recipe),
        "types": list(training.types),
        "training": _identity(training),
        "validation": _identity(validation),
    }
    if not resume:
        if any(out.glob(f"{STATE}/*")):
            raise ResumeError(
                f"{out}: a run stands here already; add --resume to go on with it, or choose another --out"
            )
        (out / "history.json").unlink(missing_ok=True)  # of a run whose states were removed
        write_json(path, plain)
        return
    if not path.is_file():
        raise ResumeError(f"{out}: expected a run to go on with, found none (no run.json)")
    before = json.loads(path.read_text(encoding="utf-8"))
    before["recipe"], plain["recipe"] = _settled_before(before.get("recipe")), _settled(recipe)
    for field, now in plain.items():
        if changes := _changes(before.get(field), now, field):
            raise ResumeError(
                f"{path}: expected the {field} of the run, found another ({', '.join(changes[:4])}); start anew with "
                "another --out"
            )


def _identity(corpus: Corpus) -> dict[str, Any]:
    return {"rows": len(corpus), "digest": corpus.digest, "pictures": corpus.pictures_digest()}


def _settled(recipe: Recipe) -> dict[str, Any]:
    """A recipe as it is read back from JSON, without what may change."""
    free = {name: getattr(Training(), name) for name in FREE}
    kept = msgspec.structs.replace(recipe, training=msgspec.structs.replace(recipe.training, **free))
    return json.loads(json.dumps(to_plain(kept)))


def _settled_before(plain: object) -> dict[str, Any] | None:
    try:
        return _settled(recipe_from_plain(plain))
    except RecipeError:
        return None


def _changes(before: object, now: object, path: str) -> list[str]:
    """What has changed, by its path in nested dictionaries."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = {**before, **now}
        return [change for name in names for change in _changes(before.get(name), now.get(name), f"{path}.{name}")]
    return [] if before == now else [f"{path}: {now!r}, was {before!r}"]


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep other processes from training in the same folder; however this one ends, the system lets go of it.

    Raises:
        ResumeError: another process trains there.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        yield
        return
    number = os.open(out, os.O_RDONLY)
    try:
        # Some network disks know no locks: there a run goes on without.
        with suppress(OSError):
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ResumeError(
                    f"{out}: another process trains here; wait for its end, or choose another --out"
                ) from None
        yield
    finally:
        os.close(number)
