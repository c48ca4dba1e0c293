"""The URLs of rows as img2dataset reads them, and the command that fetches them."""

import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from babelens.build.rows import Row
from babelens.build.seen import Seen

_AT_ONCE = 1 << 16
_SAFE = "%/:=&?~#+!$,;'@()*[]|"


@dataclass(frozen=True)
class Asked:
    """What was written: the numbers of `urls`, of rows with one of them, and of rows whose URL cannot be fetched."""

    urls: int
    rows: int
    unfit: int


def address(url: str) -> str | None:
    """A URL as it is asked for: in ASCII, without blanks around it and without a fragment; None if it cannot be.

    Only http and https count. urllib, which img2dataset fetches with, would also read files of the machine (`file:`),
    and refuses signs outside ASCII.
    """
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
        if parts.scheme not in ("http", "https") or not host:
            return None
        place = parts.netloc
        if not place.isascii():
            place = place.replace(host, host.encode("idna").decode()) if host in place else host.encode("idna").decode()
        path, query = (quote(part, safe=_SAFE, errors="surrogatepass") for part in (parts.path, parts.query))
    except ValueError:  # UnicodeError is one of them
        return None
    if not place.isascii() or any(sign <= " " or sign == "\x7f" for sign in place):
        return None
    return urlunsplit((parts.scheme, place, path, query, ""))


def url_digest(url: str) -> bytes:
    """What stands for a URL: BLAKE2b, 128 bits, of its `address`, or of the URL itself where it has none."""
    return blake2b((address(url) or url).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def write_urls(rows: Iterable[Row], path: Path) -> Asked:
    """Write the addresses of the rows' pictures, each once, in the order of the rows: Parquet with `url` and `id`.

    `id` is the `url_digest`, in hexadecimal digits. The file appears whole, or not at all. Memory holds 13 to 26 bytes
    for each address.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    seen, counts = Seen(), {"rows": 0, "unfit": 0}

    def addresses() -> Iterator[str]:
        for row in rows:
            url = url_of(row)
            if url is None:
                continue
            found = address(url)
            counts["unfit" if found is None else "rows"] += 1
            if found is not None and seen.add(found):
                yield found

    schema = pa.schema([("url", pa.string()), ("id", pa.string())])
    beside = path.with_name(f".{path.name}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with pq.ParquetWriter(beside, schema) as writer:
            found = addresses()
            while part := list(islice(found, _AT_ONCE)):
                ids = [url_digest(one).hex() for one in part]
                writer.write_table(pa.table({"url": part, "id": ids}, schema=schema))
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return Asked(len(seen), counts["rows"], counts["unfit"])


def url_of(row: Row) -> str | None:
    """The URL of a row's picture: its `url`, or an `image` that is one; None where it has none."""
    for name in ("url", "image"):
        value = row.get(name)
        if isinstance(value, str) and value and (name == "url" or "://" in value):
            return value
    return None


def download_command(urls: Path, shards: Path) -> str:
    """The command that fetches the pictures of a file that `write_urls` has written.

    Bytes are kept as they come (--disable_all_reencoding), so that truncated pictures and pages in the place of
    pictures are told from good ones here, and so that two downloads can be compared.
    """
    words = [
        *("img2dataset", "--url_list", str(urls), "--input_format", "parquet", "--url_col", "url"),
        *("--save_additional_columns", '["id"]', "--output_format", "webdataset", "--output_folder", str(shards)),
        *("--disable_all_reencoding", "True", "--extract_exif", "False", "--compute_hash", "sha256"),
        *("--timeout", "10", "--retries", "1", "--processes_count", "4", "--thread_count", "64"),
    ]
    return shlex.join(words)
