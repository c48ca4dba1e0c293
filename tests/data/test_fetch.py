import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from babelens.data import DataError, read_split
from babelens.data.fetch import Channel, fetch
from babelens.data.fetch_download import DownloadError, Patience, Wanted, download
from babelens.data.fetch_recipe import PublishedFile, Recipe
from babelens.schema import InputError

QUICK = Patience(attempts=3, pause=0.01, longest=0.05, silence=0.3)
TRAIN = b"".join(b"IMGID:%d\nAnna%d\tB-PER\nin\tO\nRome\tB-LOC\n\n" % (n, n) for n in range(3000))
VALID = b"IMGID:9\nLyon\tB-LOC\n\n"


class Server(ThreadingHTTPServer):
    """Serves `files`; what `plans` says of a path is done once for each request, in order, and then all goes well."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.plans: dict[str, list[str]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.tag = '"one"'
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server, path = self.server, self.path
        server.asked.append((path, self.headers["Range"]))
        plan = server.plans.get(path) or ["well"]
        what, _, value = (plan.pop(0) if path in server.plans and plan else "well").partition(" ")
        if what == "status":
            self.send_response(int(value))
            self.send_header("Retry-After", "1")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if what == "redirect":
            self.send_response(302)
            self.send_header("Location", value)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        content = server.files[path]
        start = self._start(content) if what != "whole" else 0
        if start is None:
            self.send_response(416)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if start else 200)
        if server.tag:
            self.send_header("ETag", server.tag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if what != "unsaid":
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self._send(content[start:], what, value)

    def _start(self, content):
        asked = self.headers["Range"]
        if asked is None or self.headers["If-Range"] not in (None, self.server.tag):
            return 0
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        return start if start < len(content) else None

    def _send(self, content, what, value):
        if what in ("cut", "stall"):
            self.wfile.write(content[: int(value)])
            if what == "stall":
                time.sleep(0.6)
        elif what == "slow":
            for at in range(0, len(content), 4096):
                self.wfile.write(content[at : at + 4096])
                time.sleep(float(value))
        else:
            self.wfile.write(content)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        server.files = {"/v1/a/train.txt": TRAIN, "/v1/a/valid.txt": VALID}
        yield server
        server.shutdown()


def sha(content):
    return hashlib.sha256(content).hexdigest()


def recipe(server, checksums=True, **changes):
    files = [
        PublishedFile(
            path=f"a/{part}.txt",
            part=part,
            language="en",
            size=len(content) if checksums else None,
            sha256=sha(content) if checksums else None,
            rows=content.count(b"IMGID"),
            **changes,
        )
        for part, content in (("train", TRAIN), ("valid", VALID))
    ]
    return Recipe(
        name="little", title="A set", home="here", licence="CC0", sentences="3,001", pictures="none",
        languages=("en", "fr"), base=f"{server.url}/v1", files=tuple(files),
    )  # fmt: skip


def quick(**more):
    return Channel(patience=QUICK, **more)


def bring(server, tmp_path, content=TRAIN, pinned=False, size=None):
    download(Wanted(f"{server.url}/v1/a/train.txt", size, pinned), tmp_path / "f.part", patience=QUICK)
    assert (tmp_path / "f.part").read_bytes() == content
    assert not (tmp_path / "f.part.version").exists()
    return [asked for _, asked in server.asked]


def test_a_cut_download_goes_on_where_it_was(server, tmp_path):
    server.plans["/v1/a/train.txt"] = ["cut 5000", "cut 70000"]
    assert bring(server, tmp_path) == [None, "bytes=5000-", "bytes=75000-"]


def test_a_server_without_ranges_starts_anew(server, tmp_path):
    server.plans["/v1/a/train.txt"] = ["cut 5000", "whole"]
    assert bring(server, tmp_path) == [None, "bytes=5000-"]


def test_another_version_starts_anew(server, tmp_path):
    (tmp_path / "f.part").write_bytes(b"of yesterday")
    (tmp_path / "f.part.version").write_text('"zero"')
    assert bring(server, tmp_path) == ["bytes=12-"]


@pytest.mark.parametrize("pinned", [True, False])
def test_without_a_version_only_what_has_a_checksum_goes_on(server, tmp_path, pinned):
    server.tag = 'W/"weak"'
    server.plans["/v1/a/train.txt"] = ["cut 5000"]
    assert bring(server, tmp_path, pinned=pinned) == [None, "bytes=5000-" if pinned else None]


def test_a_beginning_that_is_too_long_starts_anew(server, tmp_path):
    (tmp_path / "f.part").write_bytes(TRAIN + b"more")
    assert bring(server, tmp_path, pinned=True) == [f"bytes={len(TRAIN) + 4}-", None]


def test_what_is_whole_is_not_asked_for(server, tmp_path):
    (tmp_path / "f.part").write_bytes(TRAIN)
    assert bring(server, tmp_path, pinned=True, size=len(TRAIN)) == []


def test_passing_faults_are_waited_out(server, tmp_path):
    server.plans["/v1/a/train.txt"] = ["status 500", "status 429"]
    assert len(bring(server, tmp_path)) == 3


def test_faults_that_stay_end_it(server, tmp_path):
    server.plans["/v1/a/train.txt"] = ["status 503"] * 9
    with pytest.raises(DownloadError, match="503"):
        bring(server, tmp_path)
    assert len(server.asked) == 3


def test_a_missing_file_is_asked_for_once(server, tmp_path):
    server.plans["/v1/a/train.txt"] = ["status 404"]
    with pytest.raises(DownloadError, match=r"a/train\.txt: the server answers 404"):
        bring(server, tmp_path)
    assert len(server.asked) == 1


def test_silence_is_cut_short_and_gone_on_after(server, tmp_path):
    server.plans["/v1/a/train.txt"] = ["stall 4000"]
    assert bring(server, tmp_path) == [None, "bytes=4000-"]


def test_a_slow_server_is_no_fault(server, tmp_path):
    server.plans["/v1/a/train.txt"] = ["slow 0.02"]
    assert bring(server, tmp_path) == [None]


def test_other_sizes_than_the_recipe_says(server, tmp_path):
    with pytest.raises(DownloadError, match=f"expected a file of 7 bytes, found one of {len(TRAIN):,}"):
        bring(server, tmp_path, size=7)
    server.plans["/v1/a/train.txt"] = ["unsaid", "unsaid", "unsaid", "unsaid"]
    with pytest.raises(DownloadError, match="expected 7 bytes, found more"):
        bring(server, tmp_path, size=7)


def test_redirects_are_followed_with_the_range(server, tmp_path):
    server.files["/elsewhere"] = TRAIN
    server.plans["/v1/a/train.txt"] = ["redirect /elsewhere", "redirect /elsewhere"]
    server.plans["/elsewhere"] = ["cut 5000"]
    assert bring(server, tmp_path) == [None, None, "bytes=5000-", "bytes=5000-"]


def test_no_redirect_gives_up_encryption():
    import io
    from http.client import HTTPMessage
    from urllib.request import Request

    from babelens.data.fetch_download import _Redirects

    request = Request("https://example.org/a")
    with pytest.raises(DownloadError, match="https"):
        _Redirects().redirect_request(request, io.BytesIO(), 302, "Found", HTTPMessage(), "http://example.org/a")


def test_a_set_becomes_a_data_directory(server, tmp_path):
    told = []
    fetched = fetch(recipe(server), tmp_path / "set", (), quick(progress=lambda *tell: told.append(tell)))
    assert [(f.path.relative_to(tmp_path).as_posix(), f.how, f.taken.trust) for f in fetched] == [
        ("set/en/train.txt", "downloaded", "recipe"),
        ("set/en/valid.txt", "downloaded", "recipe"),
    ]
    assert told[-1] == ("en/valid.txt", len(VALID), len(VALID))
    corpus = read_split(tmp_path / "set", "train")
    assert (len(corpus), corpus[5].words, corpus[5].language) == (3000, ("Anna5", "in", "Rome"), "en")
    note = (tmp_path / "set" / "SOURCE.md").read_text()
    assert "Licence: CC0" in note and sha(TRAIN) in note
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert left == [
        "set/SOURCE.md",
        "set/en/train.txt",
        "set/en/valid.txt",
        "set/fetch.lock.json",
        "set/published/a/train.txt",
        "set/published/a/valid.txt",
    ]


def test_what_is_there_is_not_downloaded(server, tmp_path):
    fetch(recipe(server), tmp_path, (), quick())
    asked = len(server.asked)
    assert {f.how for f in fetch(recipe(server), tmp_path, (), quick())} == {"there"}
    (tmp_path / "en" / "train.txt").unlink()  # made anew from what was published
    assert [f.how for f in fetch(recipe(server), tmp_path, (), quick())] == ["by hand", "there"]
    assert len(server.asked) == asked


def test_a_wrong_checksum_is_thrown_away(server, tmp_path):
    server.files["/v1/a/train.txt"] = TRAIN.replace(b"Rome", b"Bonn")
    with pytest.raises(InputError, match=f"expected sha256 {sha(TRAIN)}, found .*thrown away"):
        fetch(recipe(server), tmp_path, (), quick())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_without_a_checksum_the_first_download_is_trusted(server, tmp_path):
    unknown = recipe(server, checksums=False)
    assert {f.taken.trust for f in fetch(unknown, tmp_path, (), quick())} == {"first"}
    lock = json.loads((tmp_path / "fetch.lock.json").read_text())
    assert lock["files"]["en/train.txt"]["sha256"] == sha(TRAIN)
    for path in ("en/train.txt", "published/a/train.txt"):
        (tmp_path / path).unlink()
    server.files["/v1/a/train.txt"] = TRAIN.replace(b"Rome", b"Bonn")
    with pytest.raises(InputError, match=f"expected sha256 {sha(TRAIN)}"):
        fetch(unknown, tmp_path, (), quick())
    server.files["/v1/a/train.txt"] = TRAIN
    assert fetch(unknown, tmp_path, (), quick())[0].how == "downloaded"


def test_a_file_that_cannot_be_read_is_not_trusted(server, tmp_path):
    server.files["/v1/a/train.txt"] = b"<html>\n<p>Please log in to the network</p>\n</html>\n"
    unknown = recipe(server, checksums=False)
    with pytest.raises(DataError, match=r"published/a/train\.txt"):
        fetch(unknown, tmp_path, (), quick())
    server.files["/v1/a/train.txt"] = TRAIN
    assert len(fetch(unknown, tmp_path, (), quick())) == 2


def test_rows_and_results_are_held_to_the_recipe(server, tmp_path):
    server.files["/v1/a/train.txt"] = TRAIN[: len(TRAIN) // 2].rpartition(b"\n\n")[0]
    with pytest.raises(DataError, match="expected 3,000 sentences, found 1,525"):
        fetch(recipe(server, checksums=False), tmp_path, (), quick())
    server.files["/v1/a/train.txt"] = TRAIN
    with pytest.raises(DataError, match="becomes one with sha256 0000"):
        fetch(recipe(server, checksums=False, result="0" * 64), tmp_path, (), quick())


def test_files_put_by_hand_need_no_server(server, tmp_path):
    known = recipe(server)
    server.shutdown()
    server.server_close()
    with pytest.raises(
        InputError, match=rf"(?s)no connection.*put by hand at \S+/published/a/train\.txt.*{sha(TRAIN)}"
    ):
        fetch(known, tmp_path, (), quick())
    for name, content in (("train", TRAIN), ("valid", b"wrong")):
        (tmp_path / "published" / "a" / f"{name}.txt").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "published" / "a" / f"{name}.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"valid\.txt: expected sha256"):
        fetch(known, tmp_path, (), quick())
    (tmp_path / "published" / "a" / "valid.txt").write_bytes(VALID)
    assert [f.how for f in fetch(known, tmp_path, (), quick())] == ["there", "by hand"]


def test_a_mirror_has_files_at_their_addresses(server, tmp_path):
    host = server.url.removeprefix("http://")
    server.files = {f"/copy/{host}{path}": content for path, content in server.files.items()}
    fetch(recipe(server), tmp_path, (), quick(mirror=f"{server.url}/copy/"))
    assert server.asked[0] == (f"/copy/{host}/v1/a/train.txt", None)
    with pytest.raises(InputError, match="mirror: expected an address"):
        fetch(recipe(server), tmp_path, (), quick(mirror="/srv/mirror"))


def test_folders_that_hold_other_things_are_left_alone(server, tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "set"):
        with pytest.raises(DataError, match="file: expected a folder to write to, found a file"):
            fetch(recipe(server), place, (), quick())
    own = tmp_path / "own" / "en" / "valid.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine\tO\n")
    with pytest.raises(DataError, match="does not name"):
        fetch(recipe(server), tmp_path / "own", (), quick())
    fetch(recipe(server), tmp_path / "set", (), quick())
    (tmp_path / "set" / "en" / "valid.txt").write_text("changed\tO\n")
    with pytest.raises(DataError, match="a changed one"):
        fetch(recipe(server), tmp_path / "set", (), quick())
    assert own.read_text() == "mine\tO\n"
    (tmp_path / "set" / "fetch.lock.json").write_text('{"name": "large"}')
    with pytest.raises(DataError, match=r"the set little.*found the set large"):
        fetch(recipe(server), tmp_path / "set", (), quick())


def test_two_at_once_do_not_write_one_folder(server, tmp_path):
    from babelens.data.journal import locked

    with locked(tmp_path / "set"), pytest.raises(InputError, match="another process is writing this"):
        fetch(recipe(server), tmp_path / "set", (), quick())


def test_languages_are_chosen(server, tmp_path):
    with pytest.raises(InputError, match="expected languages among en, fr, found de"):
        fetch(recipe(server), tmp_path, ("de",), quick())
    assert len(fetch(recipe(server), tmp_path, ("en",), quick())) == 2


# A shell starts what runs in its background with Ctrl-C ignored, and that would be inherited.
KILLED = """
import signal, sys, msgspec
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from babelens.data.fetch import fetch
from babelens.data.fetch_recipe import Recipe
fetch(msgspec.json.decode(sys.argv[1], type=Recipe), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_midst_it_goes_on(server, tmp_path, number):
    import msgspec

    server.plans["/v1/a/train.txt"] = ["slow 0.2"]
    plain = msgspec.json.encode(recipe(server)).decode()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, plain, str(tmp_path / "set")], stderr=subprocess.DEVNULL, env=environment
    )
    beginning = tmp_path / "set" / "published" / "a" / "train.txt.part"
    until = time.monotonic() + 120  # a busy machine takes long to import
    while not (beginning.exists() and beginning.stat().st_size > 8000) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(number)
    process.wait(timeout=120)
    have = beginning.stat().st_size
    assert 8000 < have < len(TRAIN)
    fetch(recipe(server), tmp_path / "set", (), quick())
    assert server.asked[1] == ("/v1/a/train.txt", f"bytes={have}-")
    assert (tmp_path / "set" / "en" / "train.txt").read_bytes() == TRAIN
    assert not beginning.exists()
