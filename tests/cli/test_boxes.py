"""The command that finds boxes: what it writes, skips and goes on with."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from babelens.cli.data import app
from babelens.data import DataError, read_corpus
from babelens.models.detector import Detector
from babelens.schema import Box


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    for name in ("one.jpg", "two.png"):
        Image.new("RGB", (40, 20)).save(folder / "images" / name)
    (folder / "images" / "broken.jpg").write_bytes(b"\xff\xd8")
    ids = ["one", "broken", "two.png", "one", "gone"]
    (folder / "train.txt").write_text("".join(f"IMGID:{name}\nx\tO\n\n" for name in ids))
    return folder


@pytest.fixture
def asked(monkeypatch):
    """A detector that finds each query at its place among them, and notes what it is asked."""
    calls = []

    def find(self, pictures, queries, *, top, threshold):
        calls.append((len(pictures), list(queries), top, threshold))
        return [[Box(float(n), 0.0, 9.0, 9.0, query, 0.5) for n, query in enumerate(queries)] for _ in pictures]

    monkeypatch.setattr(Detector, "__init__", lambda self, name, device: None)
    monkeypatch.setattr(Detector, "find", find)
    return calls


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["boxes", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_boxes_of_a_corpus_are_found_once(data, asked):
    out = data / "boxes.jsonl"
    command = [data, "--detector", "any", "-o", out, "--queries", "person, flag", "--group", "g", "--device", "cpu"]
    output = run(*command, "--top", 2, "--threshold", 0.25)
    assert f"4 boxes in 2 pictures written to {out}" in output
    assert "warning: pictures that cannot be used: 1 unreadable, 1 missing" in output
    assert asked == [(2, ["person", "flag"], 2, 0.25)]
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["image"], line["group"], len(line["boxes"])) for line in lines] == [
        ("one.jpg", "g", 2),
        ("two.png", "g", 2),
    ]
    corpus = read_corpus(data)
    assert [len(corpus.boxes(corpus.picture_keys(row)[0])) for row in range(5)] == [2, 0, 2, 2, 0]
    assert corpus.boxes(corpus.picture_keys(0)[0])[1] == Box(1.0, 0.0, 9.0, 9.0, "flag", 0.5, "g")
    # Again: only what had no boxes is looked at, and another group is another matter.
    output = run(*command)
    assert f"0 boxes in 0 pictures written to {out}; 2 pictures had theirs before" in output and len(asked) == 1
    run(*command[:-4], "--group", "other", "--device", "cpu")
    assert len(asked) == 2 and len(out.read_text().splitlines()) == 4


def test_a_broken_run_keeps_what_it_has(data, asked, monkeypatch):
    monkeypatch.setattr("babelens.cli.boxes._BATCH", 1)
    out, working = data / "found.jsonl", Detector.find

    def breaking(self, pictures, queries, **how):
        if len(asked) == 1:
            raise KeyboardInterrupt
        return working(self, pictures, queries, **how)

    command = [data, "--detector", "any", "-o", out, "--device", "cpu"]
    monkeypatch.setattr(Detector, "find", breaking)
    CliRunner().invoke(app, ["boxes", *map(str, command)])
    assert not out.exists() and len(asked) == 1
    monkeypatch.setattr(Detector, "find", working)
    output = run(*command)
    assert "1 pictures had theirs before" in output and len(asked) == 2
    assert [json.loads(line)["image"] for line in out.read_text().splitlines()] == ["one.jpg", "two.png"]
    assert asked[0][1] == ["person", "location", "organization", "miscellaneous"]


def test_mistakes_are_named(data, asked, tmp_path):
    out = tmp_path / "b.jsonl"
    assert "expected words parted by commas" in run(data, "--detector", "x", "-o", out, "--queries", " ,", code=2)
    for language in ("fr", "de"):
        (data / language / "images").mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(data / language / "images" / "one.jpg")
        (data / language / "train.txt").write_text("IMGID:one\nx\tO\n\n")
    (data / "train.txt").unlink()
    with pytest.raises(DataError, match=r"for each language by itself, found one\.jpg in two folders"):
        run(data, "--detector", "x", "-o", out)
    assert not asked and not out.exists()
