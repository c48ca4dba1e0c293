"""Pictures from the web: what may be asked, and that nothing inside can be reached."""

import http.server
import socket
import ssl
import threading
import time

import pytest

from babelens.serving.addresses import is_public
from babelens.serving.fetching import Fetcher, check_hosts, read_url
from babelens.serving.refusal import Refusal

PUBLIC = "93.184.216.34"


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address):
    assert is_public(address)


INSIDE = """
127.0.0.1 127.1.2.3 0.0.0.0 10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 169.254.170.2 100.64.0.1
100.100.100.200 192.0.0.192 192.0.2.1 198.18.0.1 198.51.100.7 203.0.113.9 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255
168.63.129.16 192.88.99.1 ::1 :: fe80::1 fe80::1%eth0 fc00::1 fd00:ec2::254 fec0::1 ff02::1 2001:db8::1 100::1
::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:a9fe:a9fe ::127.0.0.1 ::8.8.8.8 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe
64:ff9b::10.0.0.1 64:ff9b:1::7f00:1 2002:7f00:1:: 2002:a9fe:a9fe:: 2002:c0a8:101:: 2001:0:7f00:1:: 2001:0:4136:e378::
2a00:1450:0:0:0:5efe:10.0.0.1 2a00:1450:0:0:200:5efe:7f00:1
""".split()  # noqa: SIM905


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_that_lead_inside(address):
    assert not is_public(address)


@pytest.mark.parametrize("text", ["", "localhost", "0177.0.0.1", "0x7f000001", "2130706433", "127.1", "8.8.8.8 "])
def test_what_is_no_address_as_resolvers_write_them_is_not_public(text):
    assert not is_public(text)


REFUSED = [
    "http://2130706433/",  # 127.0.0.1 as one number
    "http://0177.0.0.1/",
    "http://0x7f.0.0.1/",
    "http://0x7f000001/",
    "http://127.1/",
    "http://127.0.0.1./",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[fe80::1%25eth0]/",
    "http://①②⑦.⓪.⓪.①/",
    "http://ⓔxample.org/",
    "http://example。org/",
    "http://%31%32%37.0.0.1/",
    "http://good.example@127.0.0.1/",
    "http://127.0.0.1@good.example/",
    "http://good.example\\@127.0.0.1/",
    "http://good.example:80\\.evil.example/",
    "http://good.example:http/",
    "http://good.example:99999/",
    "http://good.example:22/",
    "http:// good.example/",
    "http://good.example/\r\nHost: evil.example",
    "http://good.example/\t",
    "http://good.example\0/",
    "http://-good.example/",
    "http://good..example/",
    "http:///good.example/",
    "//good.example/",
    "good.example",
    "",
    "file:///etc/passwd",
    "ftp://good.example/",
    "gopher://good.example:70/_",
    "data:image/png;base64,AAAA",
    "https://[/",
]


@pytest.mark.parametrize("url", REFUSED)
@pytest.mark.parametrize("hosts", [["*"], ["good.example"]], ids=["any host", "one host"])
def test_urls_that_are_refused_before_anything_is_resolved(url, hosts):
    with pytest.raises(Refusal) as found:
        read_url(url, hosts)
    assert found.value.status == 422


@pytest.mark.parametrize(
    ("url", "hosts", "allowed"),
    [
        ("http://good.example/a?b=c#d", ["good.example"], True),
        ("HTTPS://GOOD.Example./a", ["good.example"], True),
        ("https://good.example:443/", ["good.example"], True),
        ("https://good.example:8443/", ["good.example"], False),
        ("https://good.example:8443/", ["good.example:8443"], True),
        ("https://good.example/", ["good.example:8443"], False),
        ("https://a.b.good.example/", ["*.good.example"], True),
        ("https://good.example/", ["*.good.example"], False),
        ("https://evilgood.example/", ["*.good.example", "good.example"], False),
        ("https://good.example.evil.example/", ["good.example"], False),
        ("https://other.example/", ["*"], True),
        ("https://xn--mnchen-3ya.example/", ["*"], True),
        ("https://good.example/", [], False),
    ],
)
def test_hosts_that_are_allowed(url, hosts, allowed):
    if not allowed:
        with pytest.raises(Refusal):
            read_url(url, hosts)
        return
    place = read_url(url, hosts)
    assert place.host == place.host.lower() and not place.host.endswith(".") and "#" not in place.path


@pytest.mark.parametrize("entry", ["127.0.0.1", "a b", "http://a.example", "a.example:0", "a.example:x", "", "*.*"])
def test_a_list_of_hosts_holds_hosts(entry):
    with pytest.raises(ValueError, match="expected"):
        check_hosts([entry])
    check_hosts(["a.example", "*.a.example:8080", "*"])


class Web:
    """A web server on loopback that stands in for all public addresses, and notes what it was asked."""

    def __init__(self) -> None:
        web = self
        self.asked: list[tuple[str, str, str]] = []
        self.connected: list[tuple[str, int]] = []
        self.resolved: list[str] = []
        self.names: dict[str, list[list[str]]] = {}
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                web.asked.append((self.headers["Host"], self.path, str(sorted(name.lower() for name in self.headers))))
                status, headers, body = web.pages[self.path]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                pieces = [body[:100], body[100:]] if body else []
                for piece in pieces:
                    self.wfile.write(piece)
                    if self.path == "/slow":
                        time.sleep(0.4)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # we close early on purpose
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def fetcher(self, *hosts: str) -> Fetcher:
        return Fetcher(hosts, 1000, resolve=self.resolve, connect=self.connect)

    def resolve(self, host: str, port: int) -> list[str]:
        self.resolved.append(host)
        answers = self.names[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        self.connected.append((address, port))
        return socket.create_connection(self._server.server_address[:2], seconds)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web():
    made = Web()
    made.names = {"good.example": [[PUBLIC]], "inside.example": [["10.0.0.5"]], "both.example": [[PUBLIC, "127.0.0.1"]]}
    made.pages = {
        "/a.png": (200, {}, b"picture"),
        "/large": (200, {}, bytes(1001)),
        "/slow": (200, {}, bytes(900)),
        "/short": (200, {"Content-Length": "100"}, b"picture"),
        "/none": (404, {}, b""),
        "/away": (302, {"Location": "/a.png"}, b""),
        "/inside": (302, {"Location": "http://inside.example/a.png"}, b""),
        "/loopback": (307, {"Location": "http://127.0.0.1/a.png"}, b""),
        "/number": (301, {"Location": "//2130706433/a.png"}, b""),
        "/file": (302, {"Location": "file:///etc/passwd"}, b""),
        "/other": (302, {"Location": "http://other.example/a.png"}, b""),
        "/nowhere": (302, {}, b""),
        "/round": (302, {"Location": "/round"}, b""),
    }
    yield made
    made.close()


def test_a_picture_is_fetched_from_the_address_that_was_looked_at(web):
    # The second time the name leads inside; nobody asks a second time.
    web.names["good.example"] = [[PUBLIC], ["127.0.0.1"]]
    assert web.fetcher("good.example").fetch("http://good.example/a.png", 5.0) == b"picture"
    assert web.resolved == ["good.example"] and web.connected == [(PUBLIC, 80)]
    assert web.asked == [("good.example", "/a.png", "['accept', 'accept-encoding', 'host']")]


def test_a_redirect_is_followed_and_its_host_resolved_anew(web):
    assert web.fetcher("good.example").fetch("http://good.example/away", 5.0) == b"picture"
    web.names["good.example"] = [[PUBLIC], ["127.0.0.1"]]
    web.connected.clear()
    with pytest.raises(Refusal, match="public internet"):
        web.fetcher("good.example").fetch("http://good.example/away", 5.0)
    assert web.connected == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    "url",
    [
        *(
            f"http://good.example/{path}"
            for path in ("inside", "loopback", "number", "file", "nowhere", "round", "none")
        ),
        "http://inside.example/a.png",
        "http://both.example/a.png",
    ],
)
def test_what_leads_inside_or_nowhere_is_refused_after_every_redirect(web, url):
    with pytest.raises(Refusal) as found:
        web.fetcher("*").fetch(url, 5.0)
    assert found.value.status == 422
    assert {address for address, _ in web.connected} <= {PUBLIC}


def test_a_redirect_to_a_host_that_is_not_allowed_is_refused(web):
    web.names["other.example"] = [[PUBLIC]]
    with pytest.raises(Refusal, match="allows"):
        web.fetcher("good.example").fetch("http://good.example/other", 5.0)
    assert web.resolved == ["good.example"]


def test_too_much_and_too_slow(web):
    with pytest.raises(Refusal) as found:
        web.fetcher("good.example").fetch("http://good.example/large", 5.0)
    assert found.value.status == 413
    with pytest.raises(Refusal, match="whole"):
        web.fetcher("good.example").fetch("http://good.example/short", 5.0)
    with pytest.raises(Refusal, match="in time"):
        web.fetcher("good.example").fetch("http://good.example/slow", 0.2)


def test_a_host_that_is_none_is_refused():
    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror("no such host")

    with pytest.raises(Refusal, match="answers"):
        Fetcher(["*"], 10, resolve=resolve).fetch("http://good.example/", 1.0)


def test_encrypted_the_name_is_what_the_certificate_must_bear(web):
    asked: list[str | None] = []

    class Certificates(ssl.SSLContext):
        def wrap_socket(self, link, server_hostname=None, do_handshake_on_connect=True):
            asked.append(server_hostname)
            return link

    certificates = Certificates(ssl.PROTOCOL_TLS_CLIENT)
    fetcher = Fetcher(["good.example"], 1000, resolve=web.resolve, connect=web.connect, certificates=certificates)
    assert fetcher.fetch("https://good.example/a.png", 5.0) == b"picture"
    assert asked == ["good.example"] and web.connected == [(PUBLIC, 443)] and web.asked[0][0] == "good.example"
