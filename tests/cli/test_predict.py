import json
import os

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from babelens.cli.predict import predict
from babelens.data import DataError, ImageError
from babelens.models.checkpoint import CheckpointError
from babelens.prediction.predictor import Predictor
from babelens.schema import InputError

ROWS = [
    {"id": "1", "text": "Anna Lindqvist visited Paris 😀!", "image": "photo", "language": "en"},
    {"id": "2", "tokens": ["El", "Real", "Madrid"], "image": "nowhere"},
    {"id": "3", "text": "", "image": "photo"},
    {"id": "4", "text": "Die Sängerin aus Köln", "image": "broken"},
]


@pytest.fixture
def source(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGBA", (50, 20), (30, 60, 90, 128)).save(tmp_path / "images" / "photo.jpg", "PNG")
    (tmp_path / "images" / "broken.jpg").write_bytes(b"")
    file = tmp_path / "rows.jsonl"
    lines = [json.dumps(row) for row in ROWS]
    file.write_text("\n".join([*lines[:2], "{broken", *lines[2:]]) + "\n", encoding="utf-8")
    return file


def run(*arguments, device="cpu", stdin=None):
    app = typer.Typer()
    app.command()(predict)
    result = CliRunner().invoke(app, [*map(str, arguments), "--device", device], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_every_row_is_answered_in_its_order(tiny_folder, tiny_tagger, source, tmp_path):
    result = run(tiny_folder, source, "-o", tmp_path / "out.jsonl", "--batch", 2)
    assert result.exit_code == 0 and result.stdout == ""
    answers = [json.loads(row) for row in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [answer["id"] for answer in answers] == ["1", "2", "3", "3", "4"]
    broken = answers.pop(2)
    assert set(broken) == {"id", "error"} and f"{source}:3: expected a JSON object" in broken["error"]
    assert [answer["image_status"] for answer in answers] == ["used", "missing", "none", "unreadable"]
    assert [answer["text"] for answer in answers] == [ROWS[0]["text"], "El Real Madrid", "", ROWS[3]["text"]]
    assert sum(len(answer["entities"]) for answer in answers) > 3
    for answer in answers:
        assert all(answer["text"][e["start"] : e["end"]] == e["text"] for e in answer["entities"])
    with Image.open(source.parent / "images" / "photo.jpg") as photo:
        expected = Predictor(tiny_tagger).predict(ROWS[0]["text"], photo)
    assert [entity["score"] for entity in answers[0]["entities"]] == pytest.approx(
        [mention.score for mention in expected.entities], abs=1e-5
    )
    count = sum(len(answer["entities"]) for answer in answers)
    assert f"5 rows, {count} entities; pictures: 1 missing, 1 none, 1 unreadable, 1 used; " in result.stderr
    assert f"rows/s; written to {tmp_path / 'out.jsonl'}" in result.stderr
    assert "warning: 1 row could not be read; the field error says why" in result.stderr


def test_without_a_file_the_answers_go_to_standard_output(tiny_folder, source):
    result = run(tiny_folder, source, "--limit", 2)
    assert [json.loads(row)["id"] for row in result.stdout.splitlines()] == ["1", "2"]
    assert "2 rows" in result.stderr and "warning" not in result.stderr


def test_the_answers_are_rows_that_can_be_asked_again(tiny_folder, source, tmp_path):
    run(tiny_folder, source, "-o", source.parent / "once.jsonl", "--limit", 2)
    run(tiny_folder, source.parent / "once.jsonl", "-o", source.parent / "twice.jsonl")
    once, twice = (
        [json.loads(row) for row in (source.parent / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in ("once", "twice")
    )
    assert once == twice and once[0]["image"] == "photo"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["{model}", "{folder}/nowhere.jsonl"], DataError, "nowhere.jsonl: expected a file or a data directory"),
        (["{folder}/none", "{folder}/rows.jsonl"], CheckpointError, "none: expected a model folder, found nothing"),
        (["{model}", "{folder}/rows.jsonl", "--images", "{folder}/no"], DataError, "expected a folder of pictures"),
        (["{model}", "{folder}/rows.jsonl", "--strict-images"], ImageError, "broken.jpg: expected a readable picture"),
        (["{model}", "{folder}/rows.jsonl", "-o", "{folder}"], DataError, "found a folder"),
        (["{model}", "{folder}/rows.jsonl", "-o", "{folder}/rows.jsonl/a/b"], DataError, "found a file in its way"),
    ],
)
def test_mistakes_are_said_and_leave_nothing_behind(tiny_folder, source, arguments, error, message):
    before = sorted(os.listdir(source.parent))
    with pytest.raises(error, match=message):
        run(*(part.format(model=tiny_folder, folder=source.parent) for part in arguments))
    assert sorted(os.listdir(source.parent)) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--show", "-o", "answers.jsonl"], "--show: expected no --out beside it"),
        (["--anew"], "--anew: expected --out"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(tiny_folder, source, options, words):
    result = run(tiny_folder, source, *options)
    assert result.exit_code == 2 and words in " ".join(result.stderr.replace("│", "").split())


def test_answers_are_shown_as_text_with_their_entities_marked(tiny_folder, source, tmp_path):
    run(tiny_folder, source, "-o", tmp_path / "out.jsonl")
    answers = [json.loads(row) for row in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    result = run(tiny_folder, source, "--show")
    assert result.exit_code == 0 and "\x1b" not in result.stdout
    blocks = [" ".join(block.split()) for block in result.stdout.split("\n\n")]
    for answer, block in zip(answers, blocks, strict=False):
        for entity in answer.get("entities", ()):
            assert f"{entity['text']} {entity['type']} {100 * entity['score']:.0f} %" in block
    assert "expected a JSON object" in result.stdout
    assert "warning: 1 row could not be read; the reasons stand in their places" in result.stderr


def test_an_unknown_device_is_the_users_mistake(tiny_folder, source):
    with pytest.raises(InputError, match="found 'nodevice'"):
        run(tiny_folder, source, device="nodevice")


def test_standard_input_and_clean_output(tiny_folder, source):
    result = run(tiny_folder, "-", "--images", source.parent / "images", stdin=source.read_bytes())
    answers = [json.loads(row) for row in result.stdout.splitlines()]
    assert [answer.get("image_status") for answer in answers] == ["used", "missing", None, "none", "unreadable"]
    assert answers[2]["error"].startswith("standard input:3: expected a JSON object")
    assert "\x1b" not in result.stdout + result.stderr


@pytest.mark.shared
def test_all_real_tweets_are_answered_with_their_photos(tiny_folder, shared, tmp_path):
    result = run(tiny_folder, shared / "event-tweets", "-o", tmp_path / "out.jsonl", "--limit", 120)
    answers = [json.loads(row) for row in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(answers) == 120 and all(answer["image_status"] == "used" for answer in answers)
    assert "pictures: 120 used" in result.stderr
