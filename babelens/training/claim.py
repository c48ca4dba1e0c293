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
        write_json(path, plain)
        return
    if not path.is_file():
        raise ResumeError(f"{out}: expected a run to go on with, found none (no run.json)")
    before = json.loads(path.read_text(encoding="utf-8"))
    same = {field: before.get(field) == value for field, value in plain.items()}
    same["recipe"] = _settled(recipe) == _settled_before(before.get("recipe"))
    changed = next((field for field, equal in same.items() if not equal), None)
    if changed is not None:
        difference = _difference(before.get(changed), plain[changed])
        raise ResumeError(
            f"{path}: expected the {changed} of the run, found another{difference}; start anew with another --out"
        )


def _identity(corpus: Corpus) -> dict[str, Any]:
    return {"rows": len(corpus), "digest": corpus.digest, "pictures": corpus.pictures_digest()}


def _settled(recipe: Recipe) -> dict[str, Any]:
    """A recipe without what may change."""
    free = {name: getattr(Training(), name) for name in FREE}
    return to_plain(msgspec.structs.replace(recipe, training=msgspec.structs.replace(recipe.training, **free)))


def _settled_before(plain: object) -> dict[str, Any] | None:
    try:
        return _settled(recipe_from_plain(plain))
    except RecipeError:
        return None


def _difference(before: object, now: dict[str, Any] | list[str]) -> str:
    """Which fields of a part differ, as far as they lie on its surface."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return ""
    fields = [
        f"{name}: {before.get(name)!r} was {now[name]!r}"
        for name in now
        if not isinstance(now[name], dict) and before.get(name) != now[name]
    ]
    return f" ({', '.join(fields)})" if fields else ""


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
