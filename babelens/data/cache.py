"""The folder where parsed corpora lie as Arrow files, named by their content, so that each is parsed once."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path

from pyarrow import ArrowInvalid

from babelens.data.rows import RowFile

# What a cached file holds hangs on the code that made it.
_READERS = ("boxes.py", "conll.py", "jsonl.py", "records.py", "rows.py", "tables.py", "words.py", "../schema/tags.py")


@cache
def _code() -> str:
    here = Path(__file__).parent
    return blake2b(b"".join((here / name).read_bytes() for name in _READERS), digest_size=16).hexdigest()


def cache_folder() -> Path:
    """`$BABELENS_CACHE`, or `~/.cache/babelens`."""
    return Path(os.environ.get("BABELENS_CACHE") or Path.home() / ".cache" / "babelens")


def digest_file(path: Path, *options: object) -> str:
    """The digest of a file's content, of the options that it is read with, and of the code that reads it."""
    digest = blake2b(repr((_code(), *options)).encode(), digest_size=16)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def digest_names(*names: object) -> str:
    """The digest of names that stand for content, and of the code that reads it."""
    return blake2b(repr((_code(), *names)).encode(), digest_size=16).hexdigest()


def cached(digest: str, write: Callable[[Path, Path], object]) -> RowFile:
    """The Arrow file of a digest; `write(rows, pictures)` makes it where it is not there yet.

    It is written under another name and then renamed, so that no half of a file is ever seen. Where the cache folder
    cannot be written, a folder for temporary files takes its place.
    """
    name = f"{digest}.arrow"
    folder = cache_folder() / "rows"
    kept = _open(folder / name)
    if kept is not None:
        return kept
    folder = _writable(folder)
    mark = uuid.uuid4().hex
    rows, pictures = folder / f".{name}.{mark}", folder / f".{digest}.pictures.{mark}"
    try:
        write(rows, pictures)
        if pictures.exists():
            os.replace(pictures, _pictures(folder / name))
        os.replace(rows, folder / name)
    finally:
        rows.unlink(missing_ok=True)
        pictures.unlink(missing_ok=True)
    return RowFile(folder / name, _pictures(folder / name))


def cached_stream(digest: str, write: Callable[[Path], object], kind: str = "datasets") -> Path:
    """The Arrow file of a digest, of data sets of Hugging Face or another kind; `write(path)` makes it."""
    folder = _writable(cache_folder() / kind)
    path = folder / f"{digest}.arrow"
    if not path.exists():
        beside = folder / f".{digest}.{uuid.uuid4().hex}"
        try:
            write(beside)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    return path


def _pictures(path: Path) -> Path:
    return path.with_suffix(".pictures.arrow")


def _open(path: Path) -> RowFile | None:
    try:
        return RowFile(path, _pictures(path))
    except FileNotFoundError:
        return None
    except (ArrowInvalid, OSError):
        # A damaged file (disk full, copied in part) is as good as none: it is written anew.
        return None


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return _temporary()


def _temporary() -> Path:
    import atexit

    folder = Path(tempfile.mkdtemp(prefix="babelens-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
