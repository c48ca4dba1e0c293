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

# What a cached file holds hangs on the code that made it, which therefore names the folder that it lies in.
_READERS = ("boxes.py", "conll.py", "jsonl.py", "records.py", "rows.py", "tables.py", "words.py", "../schema/tags.py")

# The marks of the two Arrow formats.
_FILE, _STREAM = b"ARROW1", b"\xff\xff\xff\xff"


@cache
def _code() -> str:
    here = Path(__file__).parent
    return blake2b(b"".join((here / name).read_bytes() for name in _READERS), digest_size=8).hexdigest()


def cache_folder() -> Path:
    """`$BABELENS_CACHE`, or `~/.cache/babelens`."""
    return Path(os.environ.get("BABELENS_CACHE") or Path.home() / ".cache" / "babelens")


def digest_file(path: Path, *options: object) -> str:
    """The digest of a file's content and of the options that it is read with."""
    digest = blake2b(repr(options).encode(), digest_size=16)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def digest_names(*names: object) -> str:
    """The digest of names that stand for content."""
    return blake2b(repr(names).encode(), digest_size=16).hexdigest()


def cached(digest: str, write: Callable[[Path, Path], object]) -> RowFile:
    """The Arrow file of a digest; `write(rows, pictures)` makes it where it is not there yet.

    It is written under another name and then renamed, so that no half of a file is ever seen. Where the cache folder
    cannot be written, a folder for temporary files takes its place.
    """
    name = f"{digest}.arrow"
    folder = cache_folder() / "rows" / _code()
    kept = _open(folder / name)
    if kept is not None:
        return kept
    folder = writable(folder)
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
    folder = writable(cache_folder() / kind / _code())
    path = folder / f"{digest}.arrow"
    if not _whole(path):
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
    pictures = _pictures(path)
    try:
        return RowFile(path, pictures) if _whole(pictures) or not pictures.exists() else None
    except FileNotFoundError:
        return None
    except (ArrowInvalid, OSError):
        # A damaged file (disk full, copied in part) is as good as none: it is written anew.
        return None


def _whole(path: Path) -> bool:
    """Whether there is an Arrow file or stream with its beginning and its end, as the format sets them."""
    try:
        with open(path, "rb") as file:
            start = file.read(8)
            file.seek(-8, os.SEEK_END)
            end = file.read()
    except OSError:
        return False
    return (start[:6] == _FILE == end[2:]) or (start[:4] == _STREAM and end == _STREAM + b"\0\0\0\0")


def writable(folder: Path) -> Path:
    """The folder, made if it is not there; a folder for temporary files where it cannot be written."""
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
