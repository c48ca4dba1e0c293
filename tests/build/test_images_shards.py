"""Shards are written here as img2dataset 1.47.0 writes them, and, where IMG2DATASET names its program, by itself."""

import io
import json
import os
import shlex
import socket
import sqlite3
import subprocess
import tarfile
import threading
import time
import urllib.request
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from babelens.build import images as step
from babelens.build.images import tie_images
from babelens.build.images_shards import Shards
from babelens.build.images_urls import download_command, write_urls
from babelens.build.rows import Bad, read_input
from babelens.data import DataError
from babelens.data.journal import Interrupted
from babelens.schema import InputError

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "url", "key", "status", "error_message")]
    + [(name, pa.int32()) for name in ("width", "height", "original_width", "original_height")]
    + [("sha256", pa.string())]
)
STATUSES = {
    **{"good": "ok", "png": "ok", "slow": "dead", "drip": "dead", "short": "corrupt", "cut": "corrupt", "moved": "ok"},
    **{"page": "changed", "loop": "changed", "text": "changed", "robots": "blocked", "tiny": "too small"},
    **{"empty": "corrupt", "hang": "dead", "401": "blocked", "403": "blocked", "404": "dead", "410": "dead"},
    **{"429": "blocked", "451": "blocked", "500": "dead", "é à": "ok"},
}


def picture(seed=0, size=(160, 120), kind="JPEG"):
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(file, kind)
    return file.getvalue()


GOOD = picture()


class Handler(BaseHTTPRequestHandler):
    """Answers by the name in the path: a status in digits, or what goes wrong."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        name = self.path.strip("/").split(".")[0]
        answers = {
            **{"good": GOOD, "robots": GOOD, "%C3%A9%20%C3%A0": GOOD, "png": picture(1, kind="PNG")},
            **{"cut": GOOD[:900], "tiny": picture(2, (20, 15)), "empty": b"", "text": b"just words"},
            **{"html": b"<!doctype html><html><body>gone</body></html>", "short": GOOD[:900], "drip": GOOD[:900]},
        }
        if name == "hang":
            return
        if name == "slow":
            time.sleep(1.5)
        moved = {"moved": "/good.jpg", "page": "/html", "loop": "/loop.jpg"}.get(name)
        content = answers.get(name, b"")
        self.send_response(302 if moved else 200 if name in answers else int(name) if name.isdecimal() else 404)
        if moved:
            self.send_header("Location", moved)
        if name == "robots":
            self.send_header("X-Robots-Tag", "noai")
        if name != "drip":
            self.send_header("Content-Length", str(len(GOOD) if name == "short" else len(content)))
        self.end_headers()
        self.wfile.write(content)
        if name == "drip":
            self.wfile.flush()
            time.sleep(1.5)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # who asked has gone


@pytest.fixture(scope="module")
def server():
    with Server(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def fetch(url, timeout=0.5):
    """The bytes of a URL, or the words of what went wrong, as img2dataset notes them."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            if "noai" in (answer.headers.get("X-Robots-Tag") or ""):
                return "Use of image disallowed by X-Robots-Tag directive"
            return answer.read()
    except Exception as error:
        return str(error)


def write_shard(folder, number, results, *, notes=SCHEMA, cut=None):
    """A shard of (url, bytes or words, id): KEY.jpg and KEY.json in the tar file, all of them in the Parquet file."""
    folder.mkdir(exist_ok=True)
    records = []
    with tarfile.open(folder / f"{number:05}.tar", "w") as tar:
        for place, (url, result, *id) in enumerate(results):
            record = dict.fromkeys(SCHEMA.names)
            record |= {"id": id[0] if id else None, "url": url, "key": f"{number:05}{place:04}", "status": "success"}
            if isinstance(result, bytes):
                record["sha256"] = sha256(result).hexdigest()
                told = json.dumps({name: record[name] for name in SCHEMA.names}, indent=4).encode()
                for ending, content in (("jpg", result), ("json", told)):
                    member = tarfile.TarInfo(f"{record['key']}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
            else:
                resized = result.startswith(("image ", "Image "))
                record |= {"status": f"failed_to_{'resize' if resized else 'download'}", "error_message": result}
            records.append(record)
    if notes is not None:
        pq.write_table(pa.Table.from_pylist(records, notes), folder / f"{number:05}.parquet")
        (folder / f"{number:05}_stats.json").write_text("{}")


def write_rows(path, rows):
    path.write_text("".join(json.dumps({"text": "t", **row}) + "\n" for row in rows))
    return read_input(path)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def statuses(out):
    return [row.get("image_status") for row in lines(out / "rows.jsonl")]


def server_rows(server, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    wanted = {f"{server}/{name}.jpg": status for name, status in STATUSES.items()}
    wanted |= {f"http://127.0.0.1:{port}/refused.jpg": "dead", "http://no-such-host.invalid/x.jpg": "dead"}
    wanted |= {"file:///etc/hostname": "dead", "http:///x.jpg": "dead"}
    rows = [{"id": f"r{number}", "url": url} for number, url in enumerate(wanted)]
    return write_rows(tmp_path / "rows.jsonl", rows), list(wanted.values())


def check_server_rows(out, wanted):
    rows = lines(out / "rows.jsonl")
    assert {row["url"]: row["image_status"] for row in rows} == dict(
        zip((row["url"] for row in rows), wanted, strict=True)
    )
    good = [row for row in rows if row["image_status"] == "ok"]
    files = {path.name: path.read_bytes() for path in (out / "images").iterdir()}
    kinds = {f"{row['image']}{'.png' if '/png' in row['url'] else '.jpg'}" for row in good}
    assert set(files) == kinds and len(files) == 4
    assert sorted(files.values(), key=len) == sorted([GOOD, GOOD, GOOD, picture(1, kind="PNG")], key=len)
    assert sorted(path.name for path in out.iterdir()) == ["images", "provenance.jsonl", "rows.jsonl", "step.json"]


def test_what_a_server_gives_by_way_of_shards(server, tmp_path):
    source, wanted = server_rows(server, tmp_path)
    rows = (row for row in source.rows() if not isinstance(row, Bad))
    asked = write_urls(rows, tmp_path / "urls.parquet")
    assert (asked.urls, asked.unfit) == (len(wanted) - 2, 2)
    records = pq.read_table(tmp_path / "urls.parquet").to_pylist()
    results = [(record["url"], fetch(record["url"]), record["id"]) for record in records]
    for number in range(0, len(results), 10):
        write_shard(tmp_path / "shards", number // 10, results[number : number + 10])
    tie_images(source, tmp_path / "out", Shards([tmp_path / "shards"]))
    check_server_rows(tmp_path / "out", wanted)


def test_what_a_server_gives_by_way_of_img2dataset(server, tmp_path):
    program = os.environ.get("IMG2DATASET")
    if not program:
        pytest.skip("IMG2DATASET does not name the program: it is installed in an environment of its own")
    source, wanted = server_rows(server, tmp_path)
    rows = (row for row in source.rows() if not isinstance(row, Bad))
    write_urls(rows, tmp_path / "urls.parquet")
    command = shlex.split(download_command(tmp_path / "urls.parquet", tmp_path / "shards"))
    command += ["--number_sample_per_shard", "10", "--timeout", "1", "--retries", "0", "--processes_count", "1"]
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}  # else it would ask the network for its version
    subprocess.run([program, *command[1:]], check=True, timeout=300, capture_output=True, env=environment)
    tie_images(source, tmp_path / "out", Shards([tmp_path / "shards"]))
    check_server_rows(tmp_path / "out", wanted)


def test_words_of_failures_are_told(tmp_path):
    write_shard(tmp_path / "shards", 0, [("http://a/1", "HTTP Error 302: x\nFound"), ("http://a/2", "image too small")])
    source = write_rows(tmp_path / "r.jsonl", [{"id": "1", "url": "http://a/1"}, {"id": "2", "url": "http://a/2"}])
    tie_images(source, tmp_path / "out", Shards([tmp_path / "shards"]))
    told = lines(tmp_path / "out/provenance.jsonl")
    assert [(line["why"], line["fault"], line["found"]) for line in told] == [
        ("changed", "HTTP Error 302: x Found", "00000.tar/000000000"),
        ("too small", "image too small", "00000.tar/000000001"),
    ]


def test_a_picture_is_found_by_its_url_and_by_its_name_only_without_one(tmp_path):
    """The KEY of a sample says nothing of a row that has another URL, even if that row's picture has the same name."""
    write_shard(tmp_path / "with", 0, [("http://a/1", GOOD), ("http://a/2", picture(1))])
    write_shard(tmp_path / "without", 1, [(None, picture(2)), (None, picture(3))])
    rows = [
        {"id": "url", "url": "http://a/2", "image": "000000000.jpg"},
        {"id": "key", "image": "000000000"},
        {"id": "other url", "url": "http://b/1", "image": "000000001.jpg"},
        {"id": "key of none", "url": "http://b/1", "image": "000010001.jpg"},
        {"id": "nothing", "image": "nothing"},
    ]
    places = [tmp_path / "with", tmp_path / "without"]
    tie_images(write_rows(tmp_path / "r.jsonl", rows), tmp_path / "out", Shards(places))
    assert statuses(tmp_path / "out") == ["ok", "ok", "missing", "ok", "missing"]
    given = lines(tmp_path / "out/rows.jsonl")
    assert [row.get("sha256") for row in given] == [
        *(sha256(picture(1)).hexdigest(), sha256(GOOD).hexdigest(), None),
        *(sha256(picture(3)).hexdigest(), None),
    ]
    # Both are called 000000000: the second is given another name, so that each row finds its own.
    assert given[1]["image"] == f"000000000-{sha256(GOOD).hexdigest()[:8]}.jpg"
    assert (tmp_path / "out/images" / given[1]["image"]).read_bytes() == GOOD


def test_of_several_attempts_a_success_counts(tmp_path):
    write_shard(tmp_path / "one", 0, [("http://a/1", "timed out"), ("http://a/2", GOOD), ("http://a/3", "timed out")])
    again = [("http://a/1", GOOD), ("http://a/2", picture(1)), ("http://a/3", "HTTP Error 403: Forbidden")]
    write_shard(tmp_path / "two", 0, again)
    rows = [{"id": str(n), "url": f"http://a/{n}"} for n in (1, 2, 3)]
    shards = Shards([tmp_path / "one", tmp_path / "two"])
    tie_images(write_rows(tmp_path / "r.jsonl", rows), tmp_path / "out", shards)
    assert statuses(tmp_path / "out") == ["ok", "ok", "dead"]
    assert lines(tmp_path / "out/rows.jsonl")[1]["sha256"] == sha256(GOOD).hexdigest()
    source = write_rows(tmp_path / "k.jsonl", [{"id": "k", "image": "000000001"}])
    with pytest.raises(
        InputError, match=r"row k: expected one sample 000000001, found it in 00000\.tar and 00000\.tar"
    ):
        tie_images(source, tmp_path / "keys", shards)


def test_pictures_that_were_encoded_anew_are_compared_as_they_came(tmp_path):
    folder = tmp_path / "shards"
    write_shard(folder, 0, [("http://a/1", GOOD)])
    table = pq.read_table(folder / "00000.parquet").to_pylist()
    before = picture(9)
    table[0]["sha256"] = sha256(before).hexdigest()
    pq.write_table(pa.Table.from_pylist(table, SCHEMA), folder / "00000.parquet")
    known = {"id": "same", "url": "http://a/1", "sha256": sha256(before).hexdigest()}
    other = {"id": "other", "url": "http://a/1", "sha256": "0" * 64}
    tie_images(write_rows(tmp_path / "r.jsonl", [known, other]), tmp_path / "out", Shards([folder]))
    assert statuses(tmp_path / "out") == ["ok", "changed"]


def test_shards_without_parquet_say_in_json_what_they_hold(tmp_path):
    write_shard(tmp_path / "shards", 0, [("http://a/1", GOOD), ("http://a/é", picture(1))], notes=None)
    with tarfile.open(tmp_path / "shards/more.tar", "w") as tar:
        for name, content in (("./x/one.two.jpg", b"no"), ("./x/one.JPEG", GOOD), ("./x/one.json", b"[1]")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("linked.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    rows = [{"id": "1", "url": "http://a/%C3%A9"}, {"id": "2", "image": "x/one"}, {"id": "3", "image": "linked"}]
    tie_images(write_rows(tmp_path / "r.jsonl", rows), tmp_path / "out", Shards([tmp_path / "shards"]))
    assert statuses(tmp_path / "out") == ["ok", "ok", "missing"]
    assert lines(tmp_path / "out/provenance.jsonl")[1]["found"] == "more.tar/./x/one.JPEG"


def test_an_empty_shard_is_no_fault(tmp_path):
    write_shard(tmp_path / "shards", 0, [("http://a/1", "timed out")])
    source = write_rows(tmp_path / "r.jsonl", [{"id": "1", "url": "http://a/1"}])
    tie_images(source, tmp_path / "out", Shards([tmp_path / "shards"]))
    assert statuses(tmp_path / "out") == ["dead"]


def unfinished(folder, how):
    tar, notes = folder / "00000.tar", folder / "00000.parquet"
    if how == "tar":
        tar.write_bytes(tar.read_bytes()[:3000])
    elif how == "no tar":
        tar.write_bytes(b"")
    elif how == "parquet":
        notes.write_bytes(notes.read_bytes()[:100])
    else:  # the members end at the border of one
        with tarfile.open(tar) as whole:
            end = whole.getmembers()[2].offset
        tar.write_bytes(tar.read_bytes()[:end])


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("tar", "a whole tar file, found unexpected end of data"),
        ("no tar", "a whole tar file, found empty file"),
        ("parquet", "a whole Parquet file"),
        ("member", r"the picture 000000001, which 00000\.parquet has as a success, found none"),
    ],
)
def test_shards_that_are_not_done_are_refused(tmp_path, how, expected):
    write_shard(tmp_path / "shards", 0, [("http://a/1", GOOD), ("http://a/2", GOOD)])
    unfinished(tmp_path / "shards", how)
    source = write_rows(tmp_path / "r.jsonl", [{"id": "1", "url": "http://a/1"}])
    with pytest.raises(DataError, match=rf"expected {expected}.*run the same img2dataset command again"):
        tie_images(source, tmp_path / "out", Shards([tmp_path / "shards"]))


def test_no_shards(tmp_path):
    for folder, found in ((tmp_path, r"no \*\.tar"), (tmp_path / "x", "no such folder")):
        with pytest.raises(DataError, match=f"expected a folder of tar shards, found {found}"):
            Shards([folder])


def test_a_stopped_run_goes_on_with_its_index(tmp_path, monkeypatch):
    results = [(f"http://a/{n}", picture(n, (70, 70)) if n % 5 else "timed out") for n in range(60)]
    for number in range(3):
        write_shard(tmp_path / "shards", number, results[number * 20 : number * 20 + 20])
    rows = [{"id": str(n), "url": f"http://a/{n * 7 % 65}"} for n in range(90)]
    source, out = write_rows(tmp_path / "r.jsonl", rows), tmp_path / "out"
    tie_images(source, tmp_path / "whole", Shards([tmp_path / "shards"]))
    monkeypatch.setattr(step, "_AHEAD", 8)
    for stop in (1, 15, 30):
        looked = []

        def stopped(content, least, judge=step.judge, looked=looked, stop=stop):
            looked.append(1)
            if len(looked) == stop:
                raise KeyboardInterrupt
            return judge(content, least)

        with monkeypatch.context() as patch:
            patch.setattr(step, "judge", stopped)
            with pytest.raises(Interrupted):
                tie_images(source, out, Shards([tmp_path / "shards"]), seconds=0.0)
        index = out / ".pictures.index"
        with sqlite3.connect(index) as connection:
            assert connection.execute("SELECT count(*) FROM samples").fetchone() == (60,)
        connection.close()
        if stop == 15:
            index.write_bytes(index.read_bytes()[:5000])  # as a kill may leave it: it is written anew
    tie_images(source, out, Shards([tmp_path / "shards"]))
    content = [
        {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (out, tmp_path / "whole")
    ]
    assert content[0] == content[1]
    assert len(content[0]) == 3 + 48
