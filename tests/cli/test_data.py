import json
import re

import pytest
from PIL import Image
from typer.testing import CliRunner

from babelens.cli.data import app
from babelens.data import DataError, read_corpus, read_split
from babelens.data.split import leaks
from babelens.schema import InputError


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    for number in range(20):
        Image.new("RGB", (2, 2), (number, 0, 0)).save(folder / "images" / f"{number}.jpg")
    blocks = [f"IMGID:{number % 20}\nAnna{number}\tB-PER\nin\tO\nRome\tB-LOC\n\n" for number in range(40)]
    (folder / "train.txt").write_text("".join(blocks))
    (folder / "valid.txt").write_text("IMGID:none\nx\tO\ny\tI-PER\n\n")
    return folder


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_check_warns_of_violations_and_missing_pictures(data):
    output = run("check", data)
    assert "train.txt: 40 sentences, 120 words, entities (iob2): PER 40, LOC 40" in output
    assert re.search(r"warning: 1 tags that break their scheme.*\n +\S+valid\.txt:3: 'y'", output)
    assert "warning: 1 pictures that cannot be used (1 missing)" in output
    assert output.endswith("2 files checked: the corpus can be used\n")
    assert "boxes" not in output


def test_strict_checks_have_exit_code_1(data):
    run("check", data, "--strict", code=1)
    run("check", data, "--strict-images", code=1)
    run("check", data, "--strict-images", "--no-pictures")
    run("check", data / "train.txt", "--strict", "--strict-images")


def test_check_shows_all_faults_of_all_files(data):
    (data / "train.txt").write_text("a\nb\tPER\n")
    (data / "valid.txt").write_text("")
    output = run("check", data, code=1)
    assert "train.txt:1: expected 2 columns" in output
    assert "train.txt:2: expected O or one of" in output
    assert "valid.txt:1: expected at least one sentence, found an empty file" in output
    assert "cannot be used as it is" in output


def test_check_refuses_types_that_train_does_not_know(data):
    (data / "valid.txt").write_text("x\tB-OTHER\n")
    assert "error: types of valid that do not occur in train: OTHER" in run("check", data, code=1)
    run("check", data, "--types", "OTHER=PER")
    report = json.loads(run("check", data, "--json", code=1))
    assert report["unknown_types"] == {"valid": ["OTHER"]}


def test_stats_as_table_and_as_json(data):
    assert re.search(r"sentences +40 +1\b", run("stats", data))
    counts = json.loads(run("stats", data, "--json"))
    assert counts["train"]["entities"] == {"PER": 40, "LOC": 40}
    assert (counts["train"]["pictures"], counts["valid"]["violations"]) == (20, 1)


def test_convert_files_and_folders(data, tmp_path):
    run("convert", data / "train.txt", tmp_path / "one.jsonl", "--types", "LOC=PLACE")
    assert read_corpus(tmp_path / "one.jsonl").types == ("PER", "PLACE")
    output = run("convert", data, tmp_path / "out", "--to", "jsonl")
    assert "20 pictures in" in output
    before, after = read_split(data, "train"), read_split(tmp_path / "out", "train")
    assert [example.entities for example in after] == [example.entities for example in before]
    assert after.picture(after.picture_keys(3)[0]).status == "used"
    run("convert", tmp_path / "out" / "train.jsonl", tmp_path / "two.txt", "--write-scheme", "bioes")
    assert "Rome\tS-LOC" in (tmp_path / "two.txt").read_text()


def test_split_keeps_pictures_together(data, tmp_path):
    output = run("split", data / "train.txt", tmp_path / "out", "--seed", "3", "--shares", "6:2:2")
    assert "shared by two parts: 0 pictures, 0 groups, 0 texts" in output
    parts = {name: read_split(tmp_path / "out", name) for name in ("train", "valid", "test")}
    assert [len(part) for part in parts.values()] == [24, 8, 8]
    assert leaks(parts) == []
    assert parts["test"].picture(parts["test"].picture_keys(0)[0]).status == "used"


def test_mistakes(data, tmp_path):
    with pytest.raises(DataError, match="none: expected a file or a data directory, found no such file or directory"):
        run("check", data / "none")
    with pytest.raises(DataError, match="expected a file that ends in one of"):
        run("convert", data, tmp_path / "a.xyz")
    with pytest.raises(DataError, match="expected --to conll, jsonl or parquet with a folder"):
        run("convert", data, tmp_path / "a")
    with pytest.raises(InputError, match="--types: expected OLD=NEW"):
        run("stats", data, "--types", "PER")
    assert "expected three shares such as 8:1:1" in run("split", data, tmp_path / "a", "--shares", "8:2", code=2)
    run("check", code=2)


def test_check_counts_boxes(data, tmp_path):
    lines = ['{"image": "1", "boxes": [[0, 0, 1, 1]]}', '{"image": "b", "boxes": []}']
    boxes = tmp_path / "b.jsonl"
    boxes.write_text("\n".join(lines))
    output = run("check", data, "--boxes", boxes)
    assert "  1 distinct pictures with boxes\n" in output
    assert f"warning: 1 pictures with boxes that no row names (first: {boxes}: b)" in output


def test_audit_as_tables_and_as_json(data, tmp_path):
    (data / "test.txt").write_text("IMGID:17_06_4705\nAnna3\tB-ORG\nin\tO\nRome\tB-LOC\n")
    other = tmp_path / "other" / "set"
    other.mkdir(parents=True)
    (other / "train.txt").write_text("anna5\tB-OTHER\nin\tO\nRome\tB-LOC\n\nAnna7\tB-PER\nin\tO\nRome\tO\n")
    output = run("audit", data, "--against", other, "--types", "OTHER=PER")
    assert re.search(r"sentences +40 +1 +1\b", output) and "published" not in output
    assert re.search(r"\n test +train +1 +1 +1 *\n", output)
    assert "1 of them (2 rows) not always with the same entities\n  Anna3 in Rome\n    train:4: Anna3 [PER]" in output
    assert "1 names; 1 mentions are not of the usual type" in output
    assert "1 rows of" in output and "0 have the same entities, 1 do not" in output
    assert re.search(r"labelled here and not there +1\b", output)
    assert "other set" not in output and "\n    here train:8: Anna7 [PER], Rome [LOC]\n" in output
    found = json.loads(run("audit", data, "--against", other, "--types", "OTHER=PER", "--json", "--no-near"))
    assert [own["kinds"]["similar text"] for own in found["against"][0]["shared"]] == [2, 0, 0]
    assert found["odd"]["top"] == [["Anna3", {"PER": 1, "ORG": 1}]]
    assert {repeats["kind"] for repeats in found["repeats"]} == {"text", "similar text"}
    with pytest.raises(DataError, match="no such file or directory"):
        run("audit", data, "--against", other / "none")
