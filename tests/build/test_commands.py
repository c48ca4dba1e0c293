import json

import pytest

from babelens.cli.main import answer

TABLE = "image_file\tcaption\turl\tlang_id\r\n" + "".join(
    f"{i // 2}.jpg\ta caption of number {i // 2 % 7}\thttps://x/{i}.jpg\t{('en', 'fr')[i % 2]}\r\n" for i in range(20)
)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text(TABLE, newline="")
    return path


@pytest.fixture
def run(capsys):
    """Runs a command; what it prints to both streams, and its exit code."""

    def run(*arguments):
        code = answer(["build", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_captions_then_choose(run, table, tmp_path):
    code, out, err = run("captions", table, "-o", tmp_path / "one", "--languages", "en,fr")
    assert (code, err) == (0, "")
    assert out == f"14 rows in {tmp_path / 'one'}, of 20 read\n  dropped: 6 (6 repeat)\n  kept: 14\n"
    arguments = ("choose", tmp_path / "one", "-o", tmp_path / "two", "--number", "en=3,fr=9", "--entities", 0)
    code, out, err = run(*arguments, "--seed", 1)
    assert code == 0
    assert out.startswith(f"10 rows in {tmp_path / 'two'}, of 14 read\n")
    assert "  en: 3\n  fr: 7 of the 9 asked for\n" in out
    assert err == "warning: there are no more rows at all of fr\n"
    code, out, err = run(*arguments, "--seed", 1)
    assert (code, "this was done before, and nothing is left to do" in out) == (0, True)
    assert "warning" in err


def test_another_seed_on_the_same_folder(run, table, tmp_path):
    run("captions", table, "-o", tmp_path / "one")
    arguments = ("choose", tmp_path / "one", "-o", tmp_path / "two", "--number", "en=3", "--entities", 0)
    run(*arguments)
    code, out, err = run(*arguments, "--seed", 1)
    assert (code, out) == (1, "")
    assert "options.seed: 1, was 0" in err and "choose another --out" in err


def test_bad_rows_are_told_and_skipped_when_asked(run, table, tmp_path):
    table.write_text(TABLE + "x\n")
    code, out, err = run("captions", table, "-o", tmp_path / "one")
    assert (code, out) == (1, "")
    assert f"{table}:22: expected 4 columns, found 1" in err and "--skip-bad" in err
    code, out, _ = run("captions", table, "-o", tmp_path / "one", "--skip-bad")
    assert (code, "unreadable: 1" in out) == (0, True)


def test_rules_come_from_the_options(run, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("WHO,SAYS\n1.jpg,a <PERSON> smiles\n2.jpg,no\n")
    columns = ("--column", "text=SAYS", "--column", "image=WHO")
    code, _, _ = run("captions", f"en={path}", "-o", tmp_path / "out", *columns, "--person", "mask", "--min-words", 1)
    rows = [json.loads(line) for line in (tmp_path / "out/rows.jsonl").read_text().splitlines()]
    assert code == 0
    assert [(row["id"], row["text"], row["image"]) for row in rows] == [
        ("x:2", "a PERSON smiles", "1.jpg"),
        ("x:3", "no", "2.jpg"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--languages", "en,klingon"), "--languages: expected codes of languages such as en,fr, found klingon"),
        (("--column", "text"), "--column: expected text=TITLE, found 'text'"),
        (("--min-words", "9", "--max-words", "3"), "--max-words: expected at least 9, found 3"),
        (("--person", "hide"), "'hide' is not one of"),
    ],
)
def test_wrong_usage_of_captions(run, table, tmp_path, arguments, message):
    code, _, err = run("captions", table, "-o", tmp_path / "out", *arguments)
    assert code == 2
    assert message in err


@pytest.mark.parametrize("number", ["en", "en=many", "klingon=5", "en=-1", "eng=5"])
def test_wrong_numbers(run, table, tmp_path, number):
    code, _, err = run("choose", table, "-o", tmp_path / "out", "--number", number)
    assert code == 2
    assert "expected" in err


def test_an_unfinished_step_is_no_input(run, tmp_path):
    (tmp_path / "half").mkdir()
    (tmp_path / "half/.rows.jsonl.part").write_text("")
    code, _, err = run("choose", tmp_path / "half", "-o", tmp_path / "out", "--number", "en=1")
    assert code == 1
    assert "expected the folder of a step that is done (with step.json)" in err
