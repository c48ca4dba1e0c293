"""Pictures from the web, for services that allow it: one parser, addresses resolved once, none that leads inside."""

import http.client
import re
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Timer
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from babelens.data.problems import quote
from babelens.serving.addresses import is_public
from babelens.serving.refusal import Refusal

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# A name ends in a label that is no number: 127.1, 0x7f000001 and 2130706433 are addresses to many a library.
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?!0x[0-9a-f]*$|[0-9]+$){_LABEL}")
_VISIBLE = re.compile(r"[!-~]+")
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = 3
ANY = "*"


class Place(NamedTuple):
    """A URL taken apart: only these parts are used from then on, and the URL is not read again."""

    scheme: str
    host: str
    port: int
    path: str


def read_url(url: str, hosts: Sequence[str]) -> Place:
    """Take a URL apart.

    `hosts` are those that are allowed: "example.org", "*.example.org" (all below it), "example.org:8080" (with a port
    that is not the usual one) or "*" (all there are).

    Raises:
        Refusal: it is no plain http(s) URL with a name for its host, or that host is not allowed (422).
    """
    if not _VISIBLE.fullmatch(url) or "\\" in url:
        raise Refusal(422, f"image_url: expected a URL of visible ASCII without backslashes, found {quote(url)}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Refusal(422, f"image_url: expected a URL, found {quote(url)}") from None
    host = (parts.hostname or "").lower().removesuffix(".")
    if parts.scheme not in _PORTS or "@" in parts.netloc or not _NAME.fullmatch(host) or len(host) > 253:
        raise Refusal(
            422, f"image_url: expected http(s)://name/path without a user or a bare address, found {quote(url)}"
        )
    if port is None:
        port = _PORTS[parts.scheme]
    usual = port == _PORTS[parts.scheme]
    if not any(_allows(entry, host, port, usual) for entry in hosts):
        raise Refusal(422, f"image_url: expected a host that this service allows, found {quote(host)} (port {port})")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(parts.scheme, host, port, path)


def _allows(entry: str, host: str, port: int, usual: bool) -> bool:
    name, _, named = entry.lower().partition(":")
    if int(named) != port if named else not usual:
        return False
    return name in (ANY, host) or (name.startswith("*.") and host.endswith(name[1:]))


def check_hosts(hosts: Sequence[str]) -> None:
    """See that entries of the list of allowed hosts are such.

    Raises:
        ValueError: one is not; the message says which.
    """
    for entry in hosts:
        name, mark, port = entry.lower().partition(":")
        if mark and not (port.isdecimal() and 0 < int(port) < 65_536):
            raise ValueError(f"expected a port from 1 to 65535, found {entry!r}")
        if name != ANY and not _NAME.fullmatch(name.removeprefix("*.")):
            raise ValueError(f"expected a host such as example.org or *.example.org, found {entry!r}")


def resolve_name(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system knows them.

    Raises:
        OSError: there is no such host.
    """
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def connect_address(address: str, port: int, seconds: float) -> socket.socket:
    """A connection to an address.

    Raises:
        OSError: nobody answers there.
    """
    return socket.create_connection((address, port), seconds)


class Fetcher:
    """Fetches pictures from hosts that are allowed.

    A host is resolved once for each request, and refused where any of its addresses leads inside; the connection is
    made to the address that was looked at, with the host's name in its header and certificate. A redirect is a new URL
    and is looked at as the first was. No cookies, no passwords, no proxy, no other headers are sent.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        limit: int,
        *,
        resolve: Callable[[str, int], list[str]] = resolve_name,
        connect: Callable[[str, int, float], socket.socket] = connect_address,
        certificates: ssl.SSLContext | None = None,
    ) -> None:
        self._hosts = tuple(hosts)
        self._limit = limit
        self._resolve = resolve
        self._connect = connect
        self._certificates = certificates or ssl.create_default_context()

    def fetch(self, url: str, seconds: float) -> bytes:
        """The bytes behind a URL, within so many seconds.

        Raises:
            Refusal: the URL is not allowed, its host is not public, or there is no picture there (422); it is too
                large (413).
        """
        end = time.monotonic() + seconds
        for _ in range(_REDIRECTS + 1):
            found = self._read(read_url(url, self._hosts), end)
            if isinstance(found, bytes):
                return found
            url = urljoin(url, found)
        raise Refusal(422, f"image_url: expected at most {_REDIRECTS} redirects, found more")

    def _read(self, place: Place, end: float) -> bytes | str:
        """What is behind a URL, or where it leads."""
        try:
            link = self._open(place, end)
        except (OSError, UnicodeError):
            raise Refusal(422, f"image_url: expected a host that answers, found none at {place.host!r}") from None
        # A host that sends a byte now and then would never be too slow for a single read.
        watch = Timer(max(end - time.monotonic(), 0), _hang_up, (link,))
        watch.daemon = True
        watch.start()
        try:
            return self._ask(place, link, end)
        except (OSError, http.client.HTTPException):
            raise Refusal(422, f"image_url: expected a whole answer in time from {place.host!r}, found none") from None
        finally:
            watch.cancel()
            link.close()

    def _ask(self, place: Place, link: socket.socket, end: float) -> bytes | str:
        if isinstance(link, ssl.SSLSocket):
            link.do_handshake()
        connection = http.client.HTTPConnection(place.host, place.port)
        connection.default_port = _PORTS[place.scheme]  # that port is not named in the header Host
        connection.sock = link
        connection.request("GET", place.path, headers={"Accept": "image/*", "Accept-Encoding": "identity"})
        with connection.getresponse() as answer:
            if answer.status in (301, 302, 303, 307, 308):
                return answer.headers.get("Location") or ""
            if answer.status != 200:
                raise Refusal(422, f"image_url: expected a picture, found the status {answer.status}")
            content = answer.read(self._limit + 1)
            if len(content) > self._limit:
                raise Refusal(413, f"image_url: expected a picture of at most {self._limit:,} bytes, found more")
            _left(end)  # without a length, being hung up on looks like the end
            if answer.length:
                raise http.client.IncompleteRead(content)
            return content

    def _open(self, place: Place, end: float) -> socket.socket:
        """A connection to the one address that was looked at."""
        addresses = self._resolve(place.host, place.port)
        if not addresses or not all(map(is_public, addresses)):
            raise Refusal(422, f"image_url: expected a host on the public internet, found {place.host!r}")
        link = self._connect(addresses[0], place.port, _left(end))
        try:
            link.settimeout(_left(end))
            if place.scheme == "https":
                return self._certificates.wrap_socket(link, server_hostname=place.host, do_handshake_on_connect=False)
        except BaseException:
            link.close()
            raise
        return link


def _hang_up(link: socket.socket) -> None:
    with suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)


def _left(end: float) -> float:
    """The seconds that are left.

    Raises:
        TimeoutError: there are none.
    """
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
