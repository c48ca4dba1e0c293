import json

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from babelens.cli.evaluate import evaluate
from babelens.data import DataError, ImageError, read_split
from babelens.evaluation.evaluate import evaluate as evaluate_corpus
from babelens.schema import InputError


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (9, 9), (0, 100, 200)).save(folder / "images" / "1.jpg")
    text = "IMGID:1\nAnna\tB-PER\nLind\tI-PER\nin\tO\nKöln\tB-LOC\n\nIMGID:2\nSiemens\tB-ORG\n\nx\tO\n\n"
    (folder / "test.txt").write_text(text, encoding="utf-8")
    (folder / "valid.txt").write_text("a\tB-OTHER\nb\tB-PER\n\n", encoding="utf-8")
    return folder


def run(*arguments):
    app = typer.Typer()
    app.command()(evaluate)
    result = CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"], env={"COLUMNS": "120"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_json_is_the_evaluation_of_the_corpus(tiny_folder, tiny_tagger, data):
    result = run(tiny_folder, "--data", f"de={data}", "--json")
    plain = json.loads(result.stdout)
    corpus = read_split(f"de={data}", "test")
    assert plain == json.loads(json.dumps(evaluate_corpus(tiny_tagger, corpus).to_dict()))
    assert plain["micro"]["support"] == 3 and plain["rows"] == 3
    assert plain["pictures"] == {"missing": 1, "none": 1, "used": 1}
    assert list(plain["languages"]) == ["de"] and list(plain["sources"]) == ["set"]


def test_the_table_shows_types_averages_and_pictures(tiny_folder, tiny_tagger, data):
    shown = run(tiny_folder, "--data", data).stdout
    scores = evaluate_corpus(tiny_tagger, read_split(data, "test")).scores
    lines = {line.strip("│ ").split("│")[0].strip(): line for line in shown.splitlines() if "│" in line}
    for name, part in {"micro": scores.micro, "macro": scores.macro, "boundaries alone": scores.boundaries}.items():
        assert f"{part.f1:.2f}" in lines[name] and str(part.support) in lines[name]
    assert f"{scores.types['ORG'].recall:.2f}" in lines["ORG"]
    assert "by picture" in shown and "by language" not in shown
    assert "rows by picture: 1 missing, 1 none, 1 used" in shown


def test_several_directories_and_a_limit(tiny_folder, data):
    both = json.loads(run(tiny_folder, "--data", f"de={data}", "--data", f"fr={data}", "--json").stdout)
    assert {name: part["support"] for name, part in both["languages"].items()} == {"de": 3, "fr": 3}
    assert json.loads(run(tiny_folder, "--data", data, "--limit", 1, "--json").stdout)["micro"]["support"] == 2


def test_types_of_the_data_are_renamed(tiny_folder, data):
    with pytest.raises(InputError, match=r"found OTHER in the data; --types OTHER="):
        run(tiny_folder, "--data", data, "--split", "valid")
    plain = json.loads(run(tiny_folder, "--data", data, "--split", "dev", "--types", "OTHER=MISC", "--json").stdout)
    assert plain["types"]["MISC"]["support"] == 1 and plain["micro"]["support"] == 2


def test_mistakes_are_said(tiny_folder, data, tmp_path):
    with pytest.raises(DataError, match="nowhere: expected a data directory, found no such directory"):
        run(tiny_folder, "--data", tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"expected train.txt"):
        run(tiny_folder, "--data", data, "--split", "train")
    with pytest.raises(ImageError, match="expected a readable picture, found no such picture"):
        run(tiny_folder, "--data", data, "--strict-images")
    wrong = run(tiny_folder, "--data", data, "--split", "best")
    assert wrong.exit_code == 2 and "expected train, valid, test, found 'best'" in wrong.output
    assert run(tiny_folder).exit_code == 2


def test_rows_of_several_pictures_are_judged_as_pairs_where_that_is_asked_for(tiny_folder, tmp_path):
    row = {"id": "a", "tokens": ["Anna"], "ner_tags": ["B-PER"], "images": ["1", "2"]}
    (tmp_path / "test.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    joined, pairs = (
        json.loads(run(tiny_folder, "--data", tmp_path, "--pictures", how, "--json").stdout)
        for how in ("join", "pairs")
    )
    assert (joined["rows"], pairs["rows"]) == (1, 2)
    assert run(tiny_folder, "--data", tmp_path, "--pictures", "both").exit_code == 2
