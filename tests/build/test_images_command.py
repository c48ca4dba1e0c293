import io
import json
import re
import shlex

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from babelens.cli.build_images import images
from babelens.data import DataError
from babelens.schema import InputError

ROWS = [
    {"id": "1", "text": "a", "image": "photo", "url": "https://a.example/é.jpg"},
    {"id": "2", "text": "b", "image": "nowhere", "url": "https://a.example/2.jpg"},
    {"id": "3", "text": "c", "url": "file:///x"},
    {"id": "4", "text": "d"},
]


@pytest.fixture
def rows(tmp_path):
    (tmp_path / "photos").mkdir()
    small = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize((80, 70), Image.Resampling.BICUBIC).save(file, "PNG")
    (tmp_path / "photos" / "photo.jpg").write_bytes(file.getvalue())
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def run(*arguments):
    """What a command prints to both streams, and its exit code."""
    app = typer.Typer()
    app.command()(images)
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_from_a_folder(rows, tmp_path):
    out = tmp_path / "out"
    code, told, _ = run(rows, "--out", out, "--images", tmp_path / "photos")
    assert code == 0
    assert told == f"4 rows in {out}, of 4 read\n  kept: 4 (2 missing, 1 no picture, 1 ok)\n"
    assert (out / "images" / "photo.png").read_bytes() == (tmp_path / "photos" / "photo.jpg").read_bytes()
    assert "nothing is left to do" in run(rows, "--out", out, "--images", tmp_path / "photos")[1]


def test_only_checked_and_needed(rows, tmp_path):
    out = tmp_path / "out"
    options = ("--no-copy", "--need-picture", "--min-size", "71")
    code, told, _ = run(rows, "--out", out, "--images", tmp_path / "photos", *options)
    assert code == 0
    assert told == f"0 rows in {out}, of 4 read\n  dropped: 4 (2 missing, 1 no picture, 1 too small)\n"
    assert not (out / "images").exists()


def test_urls_for_img2dataset(rows, tmp_path):
    code, told, err = run(rows, "--urls", tmp_path / "work" / "urls.parquet")
    assert code == 0
    assert told.startswith(f"2 URLs of 2 rows in {tmp_path / 'work' / 'urls.parquet'}\n")
    assert "warning: 1 rows have a URL that is no address of http or https" in err
    commands = [shlex.split(line) for line in re.findall(r"^  (.+)$", told, re.MULTILINE)]
    assert [words[0] for words in commands] == ["img2dataset", "babelens"]
    assert commands[0][commands[0].index("--output_folder") + 1] == commands[1][-1] == str(tmp_path / "work" / "shards")
    assert pq.read_table(tmp_path / "work" / "urls.parquet")["url"].to_pylist() == [
        "https://a.example/%C3%A9.jpg",
        "https://a.example/2.jpg",
    ]


def test_rows_without_urls_are_told(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"id": "1", "text": "a"}))
    code, told, err = run(tmp_path / "rows.jsonl", "--urls", tmp_path / "urls.parquet")
    assert (code, told) == (0, f"0 URLs of 0 rows in {tmp_path / 'urls.parquet'}\n")
    assert "warning: none of the rows has a url that can be fetched" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "o"), "expected one of --images, --shards and --urls"),
        (("--out", "o", "--images", "i", "--urls", "u"), "expected one of --images, --shards and --urls"),
        (("--images", "i"), "expected --out, but with --urls"),
        (("--out", "o", "--urls", "u"), "expected --out, but with --urls"),
        (("--out", "o", "--images", "i", "--min-size", "0"), "--min-size"),
    ],
)
def test_wrong_usage(rows, arguments, message):
    code, _, err = run(rows, *arguments)
    assert code == 2
    assert message in " ".join(re.sub(r"[│╭╮╰╯─]", " ", err).split())


def test_places_that_cannot_be_read(rows, tmp_path):
    with pytest.raises(DataError, match=r"expected a folder of tar shards, found no \*\.tar"):
        run(rows, "--out", tmp_path / "out", "--shards", tmp_path / "photos")
    with pytest.raises(InputError, match="expected a folder apart from the pictures"):
        run(rows, "--out", tmp_path / "photos" / "out", "--images", tmp_path / "photos")
