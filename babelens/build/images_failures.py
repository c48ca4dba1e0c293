"""What the failures that img2dataset writes down mean for a picture.

img2dataset (read and run: 1.47.0) gives each sample a `status` (success, failed_to_download, failed_to_resize) and an
`error_message`: the words of Python's urllib for what went wrong on the way (`downloader.py`, download_image), "hash
mismatch" (`downloader.py`, with --verify_hash), or the words of its `resizer.py`. There are no codes: words are read.
"""

import re
from typing import Literal

Status = Literal["ok", "dead", "changed", "corrupt", "too small", "blocked", "missing"]
"""What became of a picture; "missing" if nothing is known of it."""

SUCCESS, DOWNLOAD, RESIZE = "success", "failed_to_download", "failed_to_resize"

_HTTP = re.compile(r"HTTP Error (\d{3})")
_BLOCKED = frozenset({401, 403, 407, 429, 451})
_RESIZE: dict[str, Status] = {
    "image too small": "too small",
    "aspect ratio too large": "too small",
    "image area too large": "corrupt",
    "Image decoding error": "corrupt",
}


def failure_status(status: str, message: str) -> Status:
    """The status of a picture of which img2dataset has none, from its status and its words.

    blocked: HTTP 401, 403, 407, 429, 451, or X-Robots-Tag forbids it. changed: a redirect that leads nowhere (HTTP
    3xx), or "hash mismatch". corrupt: fewer bytes than were announced; not to be decoded; more pixels than allowed.
    too small: its short side, or its long side in comparison with it. dead: all else on the way, be it HTTP 404, 410
    or 5xx, a name that is not known, a refused or broken connection, a certificate, a time out, or an address
    that is none. A page in the place of a picture is "changed" where img2dataset keeps its bytes, and "corrupt" where
    it was told to encode pictures anew: it then says no more than that they cannot be decoded.
    """
    if status == RESIZE:
        return _RESIZE.get(message, "corrupt")
    if message == "hash mismatch":
        return "changed"
    if "X-Robots-Tag" in message:
        return "blocked"
    if message.startswith("IncompleteRead"):
        return "corrupt"
    found = _HTTP.match(message)
    if found is None:
        return "dead"
    code = int(found[1])
    if code in _BLOCKED:
        return "blocked"
    return "changed" if 300 <= code < 400 else "dead"
