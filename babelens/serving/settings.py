"""How the service is set up: where it listens, and how much it takes on."""

import os

import msgspec

from babelens.schema import InputError

_MIB = 1 << 20


class Limits(msgspec.Struct, frozen=True):
    """What one request may ask for. Sizes are bytes, times seconds.

    `pixel_memory` bounds what the decoded pictures of all requests together may take (3 bytes a pixel), and
    `body_memory` what their bodies may. `decode_memory` and `decode_seconds` bound the process that decodes a picture.
    """

    body: int = 16 * _MIB
    body_memory: int = 256 * _MIB
    rows: int = 64
    characters: int = 100_000
    pictures: int = 4
    picture_bytes: int = 10 * 1000 * 1000
    picture_pixels: int = 25_000_000
    pixel_memory: int = 256 * _MIB
    decode_memory: int = 512 * _MIB
    decode_seconds: float = 10.0
    deadline: float = 10.0
    shortest_deadline: float = 0.1
    longest_deadline: float = 60.0


class Flow(msgspec.Struct, frozen=True):
    """How requests become batches: at most `requests` and `words` are in the service, the rest is told to come again.

    A batch has at most `batch_rows` rows and `batch_words` words with their padding, and waits `wait` seconds for
    company while the model is idle. `decoders` processes open pictures.
    """

    requests: int = 128
    words: int = 65_536
    batch_rows: int = 64
    batch_words: int = 4_096
    wait: float = 0.003
    decoders: int = 2


class Settings(msgspec.Struct, frozen=True):
    """All of it. `url_hosts` are the hosts that pictures are fetched from; none by default.

    On SIGTERM `/readyz` says 503 at once, requests are still taken for `drain_wait` seconds, and what was taken is
    answered within `drain_limit` seconds.
    """

    model: str
    host: str = "127.0.0.1"
    port: int = 8000
    device: str | None = None
    threads: int | None = None
    token: str | None = None
    url_hosts: tuple[str, ...] = ()
    log_requests: bool = True
    log_texts: bool = False
    drain_wait: float = 0.0
    drain_limit: float = 30.0
    limits: Limits = Limits()
    flow: Flow = Flow()


def read_token(path: str | None) -> str | None:
    """The bearer token: the first line of a file, or the variable BABELENS_TOKEN; None where there is neither.

    Raises:
        InputError: the file holds no token that fits into a header.
        OSError: it cannot be read.
    """
    if path is None:
        token, source = os.environ.get("BABELENS_TOKEN"), "BABELENS_TOKEN"
        if token is None:
            return None
    else:
        with open(path, encoding="utf-8", errors="replace") as file:
            token, source = file.readline(), path
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(f"{source}: expected a token of printable ASCII without blanks, found none")
    return token
