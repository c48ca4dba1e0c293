"""`babelens build agreement`, `audit`, `audit-result` and `assemble` at the command line."""

import csv
import json
import re

import pytest

from babelens.cli.main import answer

NAMES = ["Anna", "Tom", "Omar", "Ines", "Kofi", "Li"]


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Runs a command in a folder of its own; its exit code, and what it prints to both streams."""
    monkeypatch.chdir(tmp_path)

    def run(line):
        code = answer(["build", *line.split()])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def row_of(number):
    name, text = NAMES[number % 6], f"{NAMES[number % 6]} saw {number * 7919:x} birds and {number * 104729:x} boats"
    entities = [{"start": 0, "end": len(name), "text": name, "type": "PER"}]
    return {"id": f"r{number}", "text": text, "language": ("en", "fr")[number % 2], "entities": entities}


@pytest.fixture
def rows(tmp_path):
    def write(name, rows):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    made = [row_of(number) for number in range(30)]
    write("gold.jsonl", made)
    marked = [
        {**row, "annotator": name, "entities": row["entities"] if name == "ada" or row["id"] != "r3" else []}
        for row in made
        for name in ("ada", "bob")
    ]
    write("annotations.jsonl", marked)
    write("strange.jsonl", [{**row, "id": f"x{row['id']}"} for row in marked[:2]])
    (tmp_path / "bad.jsonl").write_text("{\n")


def test_agreement(run, rows, tmp_path):
    command = "agreement annotations.jsonl --rows gold.jsonl --out agreement --draws 20 --no-plots"
    code, out, err = run(command)
    assert (code, err) == (0, "")
    assert "60 annotations of 30 rows by 2 annotators" in out and "2 files in agreement" in out
    first = (tmp_path / "agreement/agreement.json").read_bytes()
    assert json.loads(first)["overall"]["f1"]["figure"] == pytest.approx(100 * 2 * 29 / (30 + 29))
    run(command)
    assert (tmp_path / "agreement/agreement.json").read_bytes() == first


def fill(path, verdict):
    with path.open(newline="") as file:
        table = list(csv.reader(file))
    place = table[0].index("verdict")
    for cells in table[1:]:
        cells[place] = verdict if "-e" in cells[1] else ""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(table)


def test_audit_and_its_result(run, rows, tmp_path):
    code, out, err = run("audit gold.jsonl --out audit -n 10 --seed 4")
    assert (code, err) == (0, "")
    assert out.startswith("10 of 30 sentences (audit-")
    code, _, err = run("audit-result audit")
    assert code == 1 and re.search(r"expected right or wrong in the column verdict, found none of \d+ entities", err)
    fill(tmp_path / "audit/sheet.csv", "right")
    assert run("audit gold.jsonl --out audit -n 10 --seed 4")[1].endswith("drawn before, and nothing was changed\n")
    code, out, err = run("audit-result audit")
    assert (code, err) == (0, "")
    assert "10 of 10, 100.0 %" in out
    code, _, err = run("audit gold.jsonl --out audit -n 11 --seed 4")
    assert code == 1 and "found another sample" in err


def test_assemble(run, rows, tmp_path):
    code, out, err = run("assemble gold.jsonl --out data --shares 8:1:1 --seed 2")
    assert (code, err) == (0, "")
    assert out.startswith("30 rows in data, of 30 read\n  kept: 30\n  train: 24, ")
    assert out.endswith("  0 rows share anything with another part\n")
    code, out, _ = run("assemble gold.jsonl --out data --shares 8:1:1 --seed 2")
    assert (code, "this was done before, and nothing is left to do" in out) == (0, True)
    code, _, err = run("assemble gold.jsonl --out data --shares 8:1:1 --seed 3")
    assert code == 1 and "options.seed: 3, was 2" in err
    assert answer(["data", "check", "data"]) == 0


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("agreement gone --out new", 1, "gone: expected a JSONL file of annotations, found no such file"),
        ("agreement bad.jsonl --out new", 1, "bad.jsonl:1: expected a JSON object"),
        ("agreement annotations.jsonl --rows gone --out new", 1, "gone: expected the folder of a step"),
        ("agreement strange.jsonl --rows gold.jsonl --out new", 1, "expected the id of one of the rows, found 'xr0'"),
        ("agreement annotations.jsonl --out new --draws 0", 2, "--draws"),
        ("audit gone --out new", 1, "gone: expected the folder of a step, or a JSONL file"),
        ("audit bad.jsonl --out new", 1, "bad.jsonl:1: expected a JSON object"),
        ("audit gold.jsonl --out new -n 31", 1, "expected a sample of 1 to 30 rows, found 31"),
        ("audit gold.jsonl --out new -n 0", 2, "--sentences"),
        ("audit gold.jsonl --out new -n 3 --images gone", 2, "--images: expected a folder, found none at gone"),
        ("audit-result gone", 1, "gone: expected the folder of an audit, with sample.json"),
        ("assemble gone --out new", 1, "gone"),
        ("assemble bad.jsonl --out new", 1, "bad.jsonl:1"),
        ("assemble gold.jsonl --out new --shares 8", 2, "--shares: expected 8:1:1, found '8'"),
        ("assemble gold.jsonl --out new --shares 0:1:1", 1, "expected shares of train, valid and test"),
        ("assemble gold.jsonl --out new --near-text 0", 2, "--near-text"),
        ("assemble gold.jsonl --out new --types PER", 1, "--types: expected OLD=NEW"),
        ("assemble gold.jsonl --out new --licence a --licence b", 2, "--licence: expected one of the whole"),
        ("assemble gold.jsonl --out new --licence gone=free", 1, "licence of gone: expected a source of the rows"),
        ("assemble gold.jsonl --out new --compare gold", 2, "--compare: expected NAME=DIR, found 'gold'"),
        ("assemble gold.jsonl --out new --agreement bad.jsonl", 1, "bad.jsonl"),
        ("assemble gold.jsonl --out new --step gone", 1, "expected the folder of a step that is done"),
        ("assemble gold.jsonl --out new --images gone", 2, "--images: expected a folder, found none at gone"),
        ("assemble gold.jsonl --out bad.jsonl", 1, "expected a folder to write, found a file"),
    ],
)
def test_wrong_usage(run, rows, tmp_path, line, code, message):
    found, out, err = run(line)
    assert (found, out) == (code, "")
    assert message in err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"step": "choose"}', b"\xff"])
@pytest.mark.parametrize("line", ["audit damaged --out new -n 1", "assemble damaged --out new"])
def test_a_step_whose_record_is_damaged(run, rows, tmp_path, line, content):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "gold.jsonl").rename(tmp_path / "damaged/rows.jsonl")
    (tmp_path / "damaged/step.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    code, out, err = run(line)
    assert (code, out) == (1, "")
    assert "step.json: expected what a step has written" in err
