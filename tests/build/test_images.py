import io
import json
import multiprocessing
import os
import shutil
import signal
import time
from hashlib import sha256
from random import Random

import numpy as np
import pytest
from PIL import Image

from babelens.build import images as step
from babelens.build.gate import BadRows
from babelens.build.images import Rules, tie_images
from babelens.build.images_album import Album
from babelens.build.images_found import Folder, Found, census
from babelens.build.rows import read_input
from babelens.data import DataError, read_corpus
from babelens.data.images import ImageStore
from babelens.data.journal import DiskFull, Interrupted, JournalError
from babelens.schema import InputError


def picture(seed=0, size=(160, 120), kind="JPEG"):
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(file, kind)
    return file.getvalue()


def write_rows(path, rows):
    path.write_text("".join(json.dumps({"text": "t", **row}) + "\n" for row in rows))
    return read_input(path)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name, bytes_ in {
        "good.jpg": picture(0),
        "odd.jpg": picture(1, kind="PNG"),
        "more/b.png": picture(2, kind="PNG"),
        "cut.jpg": picture(0)[:900],
        "page.jpg": b"<html><body>gone</body></html>",
        "empty.gif": b"",
        "tiny.webp": picture(3, (63, 200), "WEBP"),
    }.items():
        (folder / name).write_bytes(bytes_)
    return folder


ROWS = [
    {"id": "1", "image": "good"},
    {"id": "2", "image": "odd.jpg", "extra": [1]},
    {"id": "3", "image": "more/b"},
    {"id": "4", "image": "cut"},
    {"id": "5", "image": "page.jpg"},
    {"id": "6", "image": "empty"},
    {"id": "7", "image": "tiny"},
    {"id": "8", "image": "nowhere.jpg"},
    {"id": "9"},
    {"id": "10", "image": "../rows.jsonl"},
    {"id": "11", "image": "good.jpg"},
    {"id": "12", "images": ["good", "odd"]},
    {"id": "13", "image": 5},
    {"id": "14", "image": "good", "sha256": "0" * 64},
    {"id": "15", "image": "../photos/good.jpg"},
]


def test_each_row_is_told_the_status_of_its_picture(photos, tmp_path):
    out = tmp_path / "out"
    summary = tie_images(write_rows(tmp_path / "rows.jsonl", ROWS), out, Folder([photos]))
    rows, told = lines(out / "rows.jsonl"), lines(out / "provenance.jsonl")
    assert [row.get("image_status") for row in rows] == [
        *("ok", "ok", "ok", "corrupt", "changed", "corrupt", "too small", "missing"),
        *(None, "missing", "ok", None, None, "changed", "ok"),
    ]
    whys = [line["why"] for line in told]
    assert whys[8:] == ["no picture", "missing", "ok", "image field", "image field", "changed", "ok"]
    assert told[0] == {"id": "1", "did": "kept", "why": "ok", "found": "good.jpg", "size": [160, 120]}
    assert told[4]["fault"] == "no picture but a web page"
    assert told[6] == {
        **{"id": "7", "did": "kept", "why": "too small", "found": "tiny.webp"},
        **{"fault": "63 x 200 pixels", "size": [63, 200]},
    }
    assert [row["image"] for row in rows[:3]] == ["good", "odd.jpg", "more/b"]
    assert (rows[14]["image"], told[14]["renamed"]) == (f"{rows[0]['sha256']}.jpg", "../photos/good.jpg")
    assert rows[1]["extra"] == [1] and rows[13]["sha256"] == "0" * 64
    assert summary.counts["did"]["kept"] == {
        **{"changed": 2, "corrupt": 2, "image field": 2, "missing": 2},
        **{"no picture": 1, "ok": 5, "too small": 1},
    }
    names = {"good.jpg": "good.jpg", "odd.jpg": "odd.jpg", "more/b.png": "more/b.png", rows[14]["image"]: "good.jpg"}
    assert content(out / "images") == {name: (photos / origin).read_bytes() for name, origin in names.items()}
    assert sorted(path.name for path in out.iterdir()) == ["images", "provenance.jsonl", "rows.jsonl", "step.json"]


def test_the_pictures_are_found_as_data_are_read(photos, tmp_path):
    tie_images(write_rows(tmp_path / "rows.jsonl", ROWS[:8]), tmp_path / "out", Folder([photos]))
    corpus = read_corpus(tmp_path / "out" / "rows.jsonl", images=tmp_path / "out" / "images")
    opened = [corpus.picture(corpus.picture_keys(row)[0]).status for row in range(len(corpus))]
    assert opened == ["used"] * 3 + ["missing"] * 5


def test_rows_without_a_picture_are_left_out_when_one_is_needed(photos, tmp_path):
    rules = Rules(min_size=63, copy=False, need_picture=True)
    tie_images(write_rows(tmp_path / "rows.jsonl", ROWS), tmp_path / "out", Folder([photos]), rules)
    assert [row["id"] for row in lines(tmp_path / "out/rows.jsonl")] == ["1", "2", "3", "7", "11", "15"]
    told = lines(tmp_path / "out/provenance.jsonl")
    assert [line["why"] for line in told if line["did"] == "dropped"] == [
        *("corrupt", "changed", "corrupt", "missing", "no picture", "missing", "image field", "image field", "changed")
    ]
    assert not (tmp_path / "out/images").exists()


def test_a_second_run_notices_what_has_changed(photos, tmp_path):
    tie_images(write_rows(tmp_path / "rows.jsonl", ROWS[:3]), tmp_path / "one", Folder([photos]))
    (photos / "good.jpg").write_bytes(picture(7))
    again = Image.open(photos / "more/b.png")
    again.save(photos / "more/b.png", "JPEG", quality=60)
    tie_images(read_input(tmp_path / "one"), tmp_path / "two", Folder([photos]))
    rows, told = lines(tmp_path / "two/rows.jsonl"), lines(tmp_path / "two/provenance.jsonl")
    assert [row["image_status"] for row in rows] == ["changed", "ok", "ok"]
    assert told[0]["fault"].startswith("another picture: ")
    before = lines(tmp_path / "one/rows.jsonl")
    assert rows[0]["sha256"] == before[0]["sha256"] and rows[1] == before[1]
    assert rows[2]["sha256"] != before[2]["sha256"]
    assert sorted(content(tmp_path / "two/images")) == ["more/b.jpg", "odd.jpg"]


def test_a_file_that_is_too_large_is_not_read(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(step, "MOST_BYTES", 1000)
    tie_images(write_rows(tmp_path / "r.jsonl", ROWS[:1]), tmp_path / "out", Folder([photos]))
    told = lines(tmp_path / "out/provenance.jsonl")
    size = (photos / "good.jpg").stat().st_size
    assert (told[0]["why"], told[0]["fault"]) == ("corrupt", f"{size:,} bytes, more than 1,000")


def test_links(photos, tmp_path):
    tie_images(write_rows(tmp_path / "r.jsonl", ROWS[:1]), tmp_path / "out", Folder([photos]), Rules(link=True))
    assert (tmp_path / "out/images/good.jpg").samefile(photos / "good.jpg")


def test_other_pictures_are_another_step_and_the_same_ones_are_done(photos, tmp_path):
    source = write_rows(tmp_path / "rows.jsonl", ROWS[:2])
    tie_images(source, tmp_path / "out", Folder([photos]))
    assert tie_images(source, tmp_path / "out", Folder([photos])).before
    (photos / "new.jpg").write_bytes(b"x")
    with pytest.raises(JournalError, match=r"options\.files: 8, was 7"):
        tie_images(source, tmp_path / "out", Folder([photos]))


def test_places_that_cannot_be_used(photos, tmp_path):
    source = write_rows(tmp_path / "rows.jsonl", ROWS[:2])
    for out in (photos, photos / "out", tmp_path):
        with pytest.raises(InputError, match="expected a folder apart from the pictures"):
            tie_images(source, out, Folder([photos]))
    with pytest.raises(DataError, match="expected a folder of pictures, found no such folder"):
        Folder([tmp_path / "nowhere"])


def test_bad_rows_leave_nothing(photos, tmp_path):
    source = write_rows(tmp_path / "rows.jsonl", [*ROWS[:2], {"id": ""}])
    with pytest.raises(BadRows):
        tie_images(source, tmp_path / "out", Folder([photos]))
    assert list((tmp_path / "out").iterdir()) == []
    tie_images(source, tmp_path / "out", Folder([photos]), skip_bad=True)
    assert [line["did"] for line in lines(tmp_path / "out/provenance.jsonl")] == ["kept", "kept", "unreadable"]


def test_a_census_hangs_on_names_and_sizes_and_on_no_order(photos, tmp_path):
    one = census([photos])
    shutil.copytree(photos, tmp_path / "copy")
    assert census([tmp_path / "copy"]) == one
    (tmp_path / "copy/good.jpg").rename(tmp_path / "copy/better.jpg")
    assert census([tmp_path / "copy"])["files"] == one["files"] == 7
    assert census([tmp_path / "copy"]) != one
    assert census([photos], (".webp",))["files"] == 1


def found(path):
    return Found(path.name, path, None, path.stat().st_size)


def test_an_album_gives_each_row_its_own_picture(tmp_path):
    """Names that clash, lead elsewhere, or stand for folders: the store finds the right bytes under each."""
    album = Album(tmp_path / "album")
    names = [
        "a",
        "a.jpg",
        "a.png",
        "A.JPG",
        "b/c",
        "b",
        "b.jpg/d",
        "../x",
        "/etc/x",
        "",
        "n\0",
        "ü" * 150,
        "x.bmp",
        "x",
    ]
    names += ["b", "con:1", "a.tiff", "dots.in.name", ".hidden", "a/../a", "b//c", "end/"]
    for turn in range(2):  # the second time as a run that goes on
        given = []
        for number, name in enumerate(names):
            path = tmp_path / f"{number}.bin"
            kind = ("JPEG", "PNG", "BMP", "GIF")[number % 4]
            path.write_bytes(picture(number % 17, (64, 64), kind))
            ending = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "GIF": ".gif"}[kind]
            given.append((path, album.put(name, found(path), sha256(path.read_bytes()).hexdigest(), ending)))
        store = ImageStore([tmp_path / "album"])
        for path, name in given:
            at = store.find(name)
            assert at is not None and at.read_bytes() == path.read_bytes()
        assert given[0][1] == "a" and given[1][1] != "a.jpg" and given[4][1] == "b/c"
        if turn == 0:
            before, album = given, Album(tmp_path / "album")
        else:
            assert given == before


def test_a_full_disk_is_told(photos, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(DiskFull, match="run the same command to go on"):
        Album(tmp_path / "album").put("x", found(photos / "good.jpg"), "0" * 64, ".jpg")
    assert not list((tmp_path / "album").iterdir())


def many_rows(tmp_path, number):
    """Rows that draw their pictures: some are cut, and some are not there."""
    draw = Random(5)
    folder = tmp_path / "many"
    folder.mkdir()
    for name in range(40):
        (folder / f"{name}.jpg").write_bytes(picture(name, (80, 64))[: None if name % 9 else 500])
    return folder, [{"id": str(n), "image": str(draw.randrange(45))} for n in range(number)]


def slowly(path, out, folder):
    judge = step.judge

    def slow(content, least):
        time.sleep(0.01)
        return judge(content, least)

    step.judge = slow
    step._AHEAD = 4
    step._KEPT = 4
    tie_images(read_input(path), out, Folder([folder]), seconds=0.0)


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.long)])
def test_sigkill_at_random_moments_gives_the_same_files(tmp_path, kills):
    folder, rows = many_rows(tmp_path, 50 * kills)
    source = write_rows(tmp_path / "rows.jsonl", rows)
    tie_images(source, tmp_path / "whole", Folder([folder]))
    out, draw = tmp_path / "out", Random(11)
    for _ in range(kills):
        process = multiprocessing.get_context("fork").Process(
            target=slowly, args=(tmp_path / "rows.jsonl", out, folder)
        )
        process.start()
        journal, wanted = out / ".rows.jsonl.journal", draw.randint(10, 30)
        start = json.loads(journal.read_bytes())["done"] if journal.exists() else 0
        while process.is_alive() and not (
            journal.exists() and json.loads(journal.read_bytes())["done"] >= start + wanted
        ):
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    tie_images(source, out, Folder([folder]))
    assert content(out) == content(tmp_path / "whole")


def test_ctrl_c_goes_on(tmp_path, monkeypatch):
    folder, rows = many_rows(tmp_path, 100)
    source = write_rows(tmp_path / "rows.jsonl", rows)
    tie_images(source, tmp_path / "whole", Folder([folder]))
    looked = []

    def stopped(content, least, judge=step.judge):
        looked.append(1)
        if len(looked) == 20:
            raise KeyboardInterrupt
        return judge(content, least)

    with monkeypatch.context() as patch:
        patch.setattr(step, "judge", stopped)
        patch.setattr(step, "_AHEAD", 8)
        with pytest.raises(Interrupted):
            tie_images(source, tmp_path / "out", Folder([folder]), seconds=0.0)
    tie_images(source, tmp_path / "out", Folder([folder]))
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.mark.shared
def test_real_tweets_and_photos(shared, tmp_path):
    source = read_input(shared / "event-tweets" / "tweets.jsonl")
    summary = tie_images(source, tmp_path / "out", Folder([shared / "event-tweets" / "images"]))
    assert summary.counts["did"] == {"kept": {"ok": 906}}
    assert len(content(tmp_path / "out/images")) == 68
