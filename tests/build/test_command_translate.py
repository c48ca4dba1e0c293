"""`babelens build preannotate` and `translate` at the command line."""

import json

import pytest

from babelens.cli.main import answer

ROWS = [
    {"id": "a", "text": "Anna leaves Paris today", "language": "en"},
    {"id": "b", "text": "Tom stays in Riga", "language": "en"},
]
ENTITIES = [
    [{"start": 0, "end": 4, "text": "Anna", "type": "PER"}, {"start": 12, "end": 17, "text": "Paris", "type": "LOC"}],
    [{"start": 0, "end": 3, "text": "Tom", "type": "PER"}],
]


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Runs a command in a folder of its own; its exit code, and what it prints to both streams."""
    monkeypatch.chdir(tmp_path)

    def run(line):
        code = answer(["build", *line.split()])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def rows(tmp_path):
    write(tmp_path / "in.jsonl", ROWS)
    write(tmp_path / "labelled.jsonl", [row | {"entities": own} for row, own in zip(ROWS, ENTITIES, strict=True)])
    (tmp_path / "bad.jsonl").write_text("{\n" * 30)


@pytest.fixture
def pipeline(tmp_path):
    spacy = pytest.importorskip("spacy", reason="the extra build is not installed")
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "GPE", "pattern": "Paris"}])
    nlp.to_disk(tmp_path / "pipeline")
    (tmp_path / "nothing").mkdir()


def test_preannotate_by_a_pipeline(run, rows, pipeline, tmp_path):
    command = "preannotate in.jsonl -o out --pipeline en=pipeline"
    code, out, err = run(command)
    assert (code, err) == (0, "")
    assert out.startswith("2 rows in out, of 2 read\n  preannotated: 2\n  2 rows read in ")
    assert "rows/s per core" in out
    assert [row["entities"] for row in lines(tmp_path / "out/rows.jsonl")] == [ENTITIES[0][1:], []]
    code, out, _ = run(command)
    assert (code, "this was done before, and nothing is left to do" in out) == (0, True)
    code, _, err = run(command + " --types GPE=MISC")
    assert code == 1 and "choose another --out" in err


def test_preannotate_by_a_model(run, rows, tiny_folder, tmp_path):
    command = f"preannotate in.jsonl -o out --model {tiny_folder} --device cpu"
    code, out, err = run(command)
    assert (code, err) == (0, "")
    assert "preannotated: 2" in out
    assert [row["id"] for row in lines(tmp_path / "out/rows.jsonl")] == ["a", "b"]
    assert "this was done before" in run(command)[1]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("in.jsonl", 2, "--pipeline, --model: expected one of both, found none"),
        ("in.jsonl --pipeline en=pipeline --model x", 2, "expected one of both, found both"),
        ("in.jsonl --pipeline pipeline", 2, "--pipeline: expected en=en_core_web_sm, found 'pipeline'"),
        ("in.jsonl --pipeline klingon=pipeline", 2, "found klingon"),
        ("in.jsonl --pipeline en=gone", 1, "expected an installed spaCy pipeline or the folder of one"),
        ("in.jsonl --pipeline en=nothing", 1, "one that cannot be loaded"),
        ("in.jsonl --pipeline fr=pipeline", 1, "expected a pipeline for fr"),
        ("in.jsonl --pipeline en=pipeline --types GPE", 1, "--types: expected OLD=NEW"),
        ("in.jsonl --pipeline en=pipeline --batch 0", 2, "greater than or equal to 1"),
        ("in.jsonl --model gone --images gone", 2, "--images: expected a folder, found none at gone"),
        ("in.jsonl --model nothing", 1, "nothing"),
        ("gone.jsonl --pipeline en=pipeline", 1, "gone.jsonl: expected the folder of a step, or a JSONL file"),
        ("bad.jsonl --pipeline en=pipeline", 1, "--skip-bad leaves them out"),
    ],
)
def test_wrong_usage_of_preannotate(run, rows, pipeline, arguments, code, message):
    found, out, err = run(f"preannotate -o out {arguments}")
    assert (found, out) == (code, "")
    assert message in err


def test_translate_by_a_service_outside(run, rows, tmp_path):
    code, out, err = run("translate labelled.jsonl --to fr --export texts.jsonl")
    assert (code, err) == (0, "")
    asked = lines(tmp_path / "texts.jsonl")
    assert out.startswith(f"{len(asked)} texts in texts.jsonl\n") and "--translations FILE --out OUT" in out
    assert run("translate labelled.jsonl --to fr --export texts.jsonl")[0] == 0
    for request in asked:
        request["translation"] = request["text"].replace("leaves", "quitte").replace("today", "ici")
    write(tmp_path / "texts.jsonl", asked)
    code, _, err = run("translate labelled.jsonl --to fr --export texts.jsonl")
    assert code == 1 and "expected a new file" in err
    assert lines(tmp_path / "texts.jsonl") == asked

    command = "translate labelled.jsonl --to fr --translations texts.jsonl -o out"
    code, out, err = run(command)
    assert (code, err) == (0, "")
    assert out.startswith("4 rows in out, of 2 read\n")
    french = {row["id"]: row for row in lines(tmp_path / "out/rows.jsonl")}["a-fr"]
    assert french["text"] == "Anna quitte Paris ici"
    assert [(one["text"], one["type"]) for one in french["entities"]] == [("Anna", "PER"), ("Paris", "LOC")]
    assert "this was done before" in run(command)[1]
    code, _, err = run(command + " --no-keep")
    assert code == 1 and "options.keep: False, was True" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("in.jsonl --to fr", 2, "expected one of --model, --export and --translations"),
        ("in.jsonl --to fr --export x --translations y", 2, "expected one of --model, --export and --translations"),
        ("in.jsonl --to fr --export x -o out", 2, "--out: expected --out, but with --export"),
        ("in.jsonl --to fr --translations x", 2, "--out: expected --out, but with --export"),
        ("in.jsonl --to klingon --export x", 2, "--to: expected codes of languages such as en,fr, found klingon"),
        ("in.jsonl --to fr --language klingon --export x", 2, "--language: expected codes of languages"),
        ("in.jsonl --to fr --method best --export x", 2, "'best' is not one of"),
        ("in.jsonl --to fr --model x --beams 0 -o out", 2, "greater than or equal to 1"),
        ("in.jsonl --to fr --model nothing -o out", 1, "nothing"),
        ("in.jsonl --to fr --translations gone -o out", 1, "gone: expected a file of translations"),
        ("in.jsonl --to fr --translations bad.jsonl -o out", 1, "expected a JSON object"),
        ("gone.jsonl --to fr --export x", 1, "expected the folder of a step, or a JSONL file"),
        ("bad.jsonl --to fr --export x", 1, "the first 20; what follows was not read"),
    ],
)
def test_wrong_usage_of_translate(run, rows, tmp_path, arguments, code, message):
    (tmp_path / "nothing").mkdir()
    found, out, err = run(f"translate {arguments}")
    assert (found, out) == (code, "")
    assert message in err
    assert not (tmp_path / "x").exists()


def test_bad_rows_are_not_exported_when_asked(run, rows, tmp_path):
    (tmp_path / "some.jsonl").write_text("{\n" + json.dumps(ROWS[0]) + "\n")
    code, out, _ = run("translate some.jsonl --to fr --export x.jsonl --skip-bad")
    assert code == 0 and out.startswith("1 texts in x.jsonl\n")
