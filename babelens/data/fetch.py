"""Fetches public data sets: downloads, verifies and converts them to a data directory.

DIR/en/train.txt ...      what babelens reads
DIR/published/...         the files as they were published
DIR/fetch.lock.json       their checksums
DIR/SOURCE.md             whose they are, and their licence
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from babelens.data.fetch_convert import convert
from babelens.data.fetch_download import DownloadError, Patience, Wanted, discard, download
from babelens.data.fetch_lock import LOCK, Lock, Taken, read_lock, write_lock
from babelens.data.fetch_recipe import PublishedFile, Recipe, is_address
from babelens.data.journal import locked, sync_folder, write_whole
from babelens.data.problems import fault, quote
from babelens.schema import InputError

PUBLISHED = "published"
NOTE = "SOURCE.md"
Progress = Callable[[str, int, int], object]


@dataclass(frozen=True)
class Channel:
    """How files come: from a mirror or their own address, with how much patience, and whom to tell (bytes)."""

    mirror: str | None = None
    patience: Patience | None = None
    progress: Progress = lambda what, done, of: None


class Fetched(NamedTuple):
    """A file of the data directory: whether it came now, was put by hand, or was there before; and its checksums."""

    path: Path
    how: Literal["downloaded", "by hand", "there"]
    taken: Taken


def fetch(recipe: Recipe, out: Path, languages: Sequence[str] = (), channel: Channel | None = None) -> list[Fetched]:
    """Bring a set, or some of its languages, into a folder; what is there already is verified and left.

    A file is taken from `out/published` where somebody has put it there. Interrupted in whatever way, the same call
    goes on.

    Raises:
        InputError: the set cannot be downloaded at all, a file did not come or has another checksum, the folder holds
            other things, or another process is writing it.
    """
    channel = channel or Channel()
    if channel.mirror is not None and not is_address(channel.mirror):
        raise InputError(
            f"mirror: expected an address that starts with https:// or http://, found {quote(channel.mirror)}"
        )
    chosen = recipe.select(languages)
    if not chosen:
        raise InputError(f"{recipe.name} cannot be downloaded. {recipe.ask}")
    _make_folder(out)
    with locked(out):
        lock = read_lock(out, recipe.name)
        there = [file for file in chosen if _is_there(out, file, lock)]
        fetched: list[Fetched] = []
        for file in chosen:
            how: Literal["downloaded", "by hand", "there"] = "there"
            if file not in there:
                lock, how = _take(recipe, file, out, lock, channel)
            fetched.append(Fetched(out / file.target, how, lock.files[file.target]))
        note = describe(recipe, lock).encode()
        if not (out / NOTE).is_file() or (out / NOTE).read_bytes() != note:
            write_whole(out / NOTE, note)
    return fetched


def _make_folder(out: Path) -> None:
    wrong = next((path for path in (out, *out.parents) if path.exists() and not path.is_dir()), None)
    if wrong is not None:
        raise fault(wrong, "a folder to write to", "a file")
    out.mkdir(parents=True, exist_ok=True)


def _is_there(out: Path, file: PublishedFile, lock: Lock) -> bool:
    """Whether a file of the data directory is what was fetched.

    Raises:
        DataError: something else is there, or it was fetched by a recipe with another checksum.
    """
    target, taken = out / file.target, lock.files.get(file.target)
    for expected, found in ((file.sha256, taken and taken.sha256), (file.result, taken and taken.result)):
        if expected and found and expected != found:
            other = f"{file.target} with {found} in {LOCK}; choose another folder"
            raise fault(out, f"{file.target} with the checksum {expected} of the recipe", other)
    if not target.exists():
        return False
    if taken is None:
        raise fault(target, "nothing, or what was fetched", f"a file that {LOCK} does not name; choose another folder")
    if sha256_of(target) != taken.result:
        raise fault(target, "the file as it was fetched", "a changed one; remove it to have it made anew")
    return True


def _take(
    recipe: Recipe, file: PublishedFile, out: Path, lock: Lock, channel: Channel
) -> tuple[Lock, Literal["downloaded", "by hand"]]:
    """Bring, verify and convert one file, and write it down before it gets its name."""
    published = out / PUBLISHED / file.path
    known = lock.files.get(file.target)
    expected = file.sha256 or (known.sha256 if known else None)
    how = "by hand" if published.exists() else "downloaded"
    if how == "downloaded":
        _bring(recipe, file, published, expected, channel)
    sha256 = sha256_of(published)
    if expected and sha256 != expected:
        raise fault(published, f"sha256 {expected}", f"{sha256}; remove the file to have it downloaded")
    target = out / file.target
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".new-{target.name}")
    try:
        rows = convert(published, beside, file.layout)
        result = sha256_of(beside)
        _check_result(file, known, published, result, rows)
        trust = "recipe" if file.sha256 else "result" if file.result else "first"
        size = published.stat().st_size
        lock = lock.adding(file.target, Taken(recipe.url(file), size, sha256, trust, result, rows))
        write_lock(out, lock)
        os.replace(beside, target)
    except InputError:
        if how == "downloaded":
            published.unlink()  # or else the same command would find it again
        raise
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(target.parent)
    return lock, how


def _check_result(file: PublishedFile, known: Taken | None, published: Path, result: str, rows: int) -> None:
    expected = file.result or (known.result if known else None)
    if expected and result != expected:
        raise fault(published, f"a file that becomes one with sha256 {expected}", result)
    if file.rows is not None and rows != file.rows:
        raise fault(published, f"{file.rows:,} sentences", f"{rows:,}")


def _bring(recipe: Recipe, file: PublishedFile, published: Path, expected: str | None, channel: Channel) -> None:
    """Download a file to its place in `published`.

    Raises:
        InputError: it did not come (the message says how it can be put there by hand), or has another checksum.
    """
    url = recipe.url(file, channel.mirror)
    beginning = published.with_name(f"{published.name}.part")
    beginning.parent.mkdir(parents=True, exist_ok=True)
    wanted = Wanted(url, file.size, pinned=bool(expected or file.result))
    try:
        download(wanted, beginning, lambda done, of: channel.progress(file.target, done, of), channel.patience)
    except DownloadError as error:
        checksum = f"its sha256 must be {expected}" if expected else "its checksum is not known beforehand"
        raise InputError(
            f"{error}\nThe file can also be put by hand at {published} ({checksum}), or come from a mirror (--mirror). "
            "What has come is kept; the same command goes on."
        ) from error
    sha256 = sha256_of(beginning)
    if expected and sha256 != expected:
        discard(beginning)
        raise InputError(f"{url}: expected sha256 {expected}, found {sha256}; what came was thrown away")
    os.replace(beginning, published)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(recipe: Recipe, lock: Lock) -> str:
    """The note that is put beside the data: whose it is, its licence, and what was fetched."""
    lines = [f"# {recipe.title}", "", f"- From: {recipe.home}", f"- Licence: {recipe.licence}"]
    lines += [f"- Cite: {recipe.cite}"] if recipe.cite else []
    lines += [f"- Pictures: {recipe.pictures}"]
    lines += [f"- {recipe.ask}"] if recipe.ask else []
    lines += ["", "| file | sentences | published at | its sha256 | known from |", "|---|---|---|---|---|"]
    lines += [
        f"| {target} | {taken.rows:,} | {taken.url} | {taken.sha256} | {_TRUST[taken.trust]} |"
        for target, taken in lock.files.items()
    ]
    return "\n".join([*lines, ""])


_TRUST = {
    "recipe": "the recipe",
    "result": "the first download; what it becomes is known from the recipe",
    "first": "the first download",
}
