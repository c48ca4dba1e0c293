"""Brings one file from a web server to the disk: what was begun is gone on with, and passing faults are waited out.

Proxies are those of the environment (`https_proxy`, `no_proxy` and so on).
"""

import contextlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from babelens.schema import InputError

_CHUNK = 1 << 16
_PASSING = (408, 425, 429, 500, 502, 503, 504)
Progress = Callable[[int, int], object]


class DownloadError(InputError):
    """A file that did not come; `reason` says why, without the address."""

    def __init__(self, url: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{url}: {reason}")


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for: attempts in a row that bring nothing new, and times in seconds.

    The first pause is `pause`, each later one twice as long, none longer than `longest` (even if the server asks for
    more); `silence` is how long a connection may bring nothing.
    """

    attempts: int = 5
    pause: float = 0.5
    longest: float = 60.0
    silence: float = 30.0


@dataclass(frozen=True)
class Wanted:
    """A file to bring. `size` is in bytes where it is known; `pinned` says that its content will be compared with a
    checksum, so that a beginning of it can be gone on with even where the server does not say of which version it is.
    """

    url: str
    size: int | None = None
    pinned: bool = False


class _Passing(Exception):
    """A fault that may pass; `wait` are the seconds that the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _Redirects(HTTPRedirectHandler):
    """Follows other addresses, but none that gives up encryption."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if urlsplit(req.full_url).scheme == "https" != urlsplit(newurl).scheme:
            raise DownloadError(req.full_url, f"expected an address with https:// to go on to, found {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    wanted: Wanted, beginning: Path, progress: Progress = lambda done, of: None, patience: Patience | None = None
) -> None:
    """Bring a file to `beginning`, which may hold the first part of it from an earlier call.

    The version of what is begun (the server's ETag or date) is kept beside, in `NAME.version`. Whatever interrupts the
    call, what has come stays.

    Raises:
        DownloadError: the server has no such file or another one, or there is no way to it.
    """
    patience = patience or Patience()
    opener = build_opener(_Redirects)
    failures = 0
    while True:
        before = _length(beginning)
        try:
            _receive(opener, wanted, beginning, progress, patience.silence)
        except _Passing as passing:
            failures = 1 if _length(beginning) > before else failures + 1
            if failures >= patience.attempts:
                raise DownloadError(wanted.url, str(passing)) from passing
            time.sleep(min(patience.longest, max(passing.wait, patience.pause * 2 ** (failures - 1))))
        else:
            _version_of(beginning).unlink(missing_ok=True)
            return


def discard(beginning: Path) -> None:
    """Take away what has come of a file."""
    beginning.unlink(missing_ok=True)
    _version_of(beginning).unlink(missing_ok=True)


def _receive(opener: OpenerDirector, wanted: Wanted, beginning: Path, progress: Progress, silence: float) -> None:
    """One attempt: it ends with the whole file in `beginning`, or raises."""
    version = _read_version(beginning)
    have = _length(beginning)
    if have and not (version or wanted.pinned):
        discard(beginning)
        have = 0
    if have and have == wanted.size:
        return
    with _open(opener, wanted.url, beginning, have, version, silence) as answer:
        start, total = _extent(answer, wanted, have)
        if start != have:
            discard(beginning)
            if start:
                raise _Passing(f"expected the file from byte {have:,} on, found it from byte {start:,} on")
        _write_version(beginning, answer)
        with open(beginning, "ab") as file:
            done = start
            while piece := _read(answer):
                file.write(piece)
                done += len(piece)
                if total is not None:
                    if done > total:
                        raise DownloadError(wanted.url, f"expected {total:,} bytes, found more")
                    progress(done, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and done != total:
        raise _Passing(f"the connection ended after {done:,} of {total:,} bytes")


def _open(opener: OpenerDirector, url: str, beginning: Path, have: int, version: str, silence: float) -> HTTPResponse:
    headers = {"User-Agent": "babelens", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if version:
            headers["If-Range"] = version
    try:
        return opener.open(Request(url, headers=headers), timeout=silence)
    except HTTPError as error:
        error.close()
        if error.code == 416:  # nothing lies behind what is here, so this is no beginning of the file
            discard(beginning)
            raise _Passing("what was begun is longer than the file") from error
        reason = f"the server answers {error.code} ({error.reason})"
        if error.code not in _PASSING:
            raise DownloadError(url, reason) from error
        raise _Passing(reason, _seconds(error.headers.get("Retry-After"))) from error
    except (OSError, HTTPException) as error:
        raise _Passing(_why(error)) from error


def _read(answer: HTTPResponse) -> bytes:
    try:
        return answer.read1(_CHUNK)
    except (OSError, HTTPException) as error:
        raise _Passing(_why(error)) from error


def _extent(answer: HTTPResponse, wanted: Wanted, have: int) -> tuple[int, int | None]:
    """Where an answer starts in the file, and how long the file is where the server or the recipe says so."""
    start, total = 0, None
    if answer.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
        if found is None:
            raise DownloadError(wanted.url, "expected a part of the file with its place (Content-Range), found none")
        start = int(found[1])
        total = int(found[2]) if found[2] != "*" else None
    elif (length := answer.headers.get("Content-Length", "")).isdigit():
        total = int(length)
    if total is not None and wanted.size is not None and total != wanted.size:
        raise DownloadError(wanted.url, f"expected a file of {wanted.size:,} bytes, found one of {total:,}")
    return start, wanted.size if total is None else total


def _why(error: Exception) -> str:
    """What went wrong with a connection, in words."""
    inner = error.reason if isinstance(error, URLError) else error
    if isinstance(inner, TimeoutError):
        return "the server does not answer in time"
    words = inner.strerror if isinstance(inner, OSError) else None
    return f"no connection ({words or inner or type(inner).__name__})"


def _seconds(text: str | None) -> float:
    """What Retry-After says, where it says it in seconds."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else 0.0


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _version_of(beginning: Path) -> Path:
    return beginning.with_name(f"{beginning.name}.version")


def _read_version(beginning: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return _version_of(beginning).read_text(encoding="latin-1")
    return ""


def _write_version(beginning: Path, answer: HTTPResponse) -> None:
    """Note which version of a file comes; a weak ETag does not tell bytes apart, and is none."""
    tag = answer.headers.get("ETag", "")
    version = tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")
    if version:
        _version_of(beginning).write_text(version, encoding="latin-1")
