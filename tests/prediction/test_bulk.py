import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from babelens.data import DataError
from babelens.data.journal import Interrupted, JournalError
from babelens.prediction import bulk
from babelens.prediction.ask import Ask
from babelens.prediction.bulk import answer_file
from babelens.prediction.inputs import Rows
from babelens.prediction.output import line
from babelens.prediction.predictor import Predictor
from babelens.prediction.stream import Pace

NAMES = ["Anna Lindqvist", "Paris", "Real Madrid", "Köln", "Siemens", "Ko\u0308ln 😀", "Bogotá", "Lyon"]
PACE = Pace(rows=4, makers=0)


@pytest.fixture(scope="module")
def predictor(tiny_tagger):
    return Predictor(tiny_tagger)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Rows of many lengths, some with pictures, some that cannot be read."""
    folder = tmp_path_factory.mktemp("bulk")
    (folder / "images").mkdir()
    for number in range(3):
        Image.new("RGB", (40, 30), (70 * number, 99, 200)).save(folder / "images" / f"{number}.png")
    draw = random.Random(3)
    lines = []
    for number in range(400):
        row = {"id": f"r{number}", "text": " ".join(draw.choices(NAMES, k=draw.randint(0, 9)))}
        if number % 11 == 0:
            row["image"] = str(number % 4)
        lines.append("{broken" if number % 37 == 36 else json.dumps(row, ensure_ascii=False))
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def whole(predictor, source, tmp_path_factory):
    """The answers of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out.jsonl"
    answer_file(predictor, Rows(str(source)), out, pace=PACE)
    return out.read_bytes()


def test_answers_are_those_of_row_by_row(predictor, source, whole):
    answers = [json.loads(row) for row in whole.splitlines()]
    rows = list(Rows(str(source)))
    assert len(answers) == len(rows) == 400
    for number in range(0, 400, 13):
        row = rows[number]
        alone = next(iter(predictor.predict_batch([row])))
        expected = json.loads(line(alone))
        found = answers[number]
        assert {**found, "entities": None} == {**expected, "entities": None}
        assert [entity["text"] for entity in found.get("entities", [])] == [
            entity["text"] for entity in expected.get("entities", [])
        ]
        scores = [entity["score"] for entity in expected.get("entities", [])]
        assert [entity["score"] for entity in found.get("entities", [])] == pytest.approx(scores, abs=1e-5)
    assert [answer["id"] for answer in answers if "error" not in answer][:3] == ["r0", "r1", "r2"]
    assert sum("error" in answer for answer in answers) == 10


def test_what_was_counted_is_what_was_written(predictor, source, whole, tmp_path):
    told = []
    tally = answer_file(
        predictor, Rows(str(source)), tmp_path / "out.jsonl", pace=PACE, tell=lambda tally: told.append(tally.rows)
    )
    answers = [json.loads(row) for row in whole.splitlines()]
    assert (tally.rows, tally.errors) == (400, 10)
    assert tally.entities == sum(len(answer.get("entities", [])) for answer in answers)
    assert sum(tally.pictures.values()) == 390 and tally.pictures["used"] > 20 and tally.pictures["missing"] > 5
    assert told == [0, 64, 128, 192, 256, 320, 384, 400]
    assert os.listdir(tmp_path) == ["out.jsonl"]


@pytest.mark.parametrize("stop", [1, 64, 65, 200, 399])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(predictor, source, whole, tmp_path, monkeypatch, stop):
    out, seen = tmp_path / "out.jsonl", []

    def stopping(answer):
        seen.append(answer)
        if len(seen) == stop:
            raise KeyboardInterrupt
        return line(answer)

    with monkeypatch.context() as patch:
        patch.setattr(bulk, "line", stopping)
        with pytest.raises(Interrupted, match="stopped; what is done is kept: run the same command to go on"):
            answer_file(predictor, Rows(str(source)), out, pace=PACE, seconds=0.0)
    assert not out.exists()
    told = []
    tally = answer_file(predictor, Rows(str(source)), out, pace=PACE, tell=lambda tally: told.append(tally.rows))
    assert out.read_bytes() == whole
    assert told[0] == (stop - 1) // 64 * 64  # nothing before the last checkpoint is done again
    assert (tally.rows, tally.errors, sum(tally.pictures.values())) == (400, 10, 390)
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_a_limit_counts_from_the_first_row_also_when_going_on(predictor, source, whole, tmp_path, monkeypatch):
    out = tmp_path / "out.jsonl"
    seen = []

    def stopping(answer):
        seen.append(answer)
        if len(seen) == 100:
            raise KeyboardInterrupt
        return line(answer)

    with monkeypatch.context() as patch:
        patch.setattr(bulk, "line", stopping)
        with pytest.raises(Interrupted):
            answer_file(predictor, Rows(str(source)), out, pace=PACE, seconds=0.0, limit=150)
    assert answer_file(predictor, Rows(str(source)), out, pace=PACE, limit=150).rows == 150
    assert out.read_bytes().count(b"\n") == 150


def test_what_another_run_left_is_told_of_and_can_be_forgotten(predictor, source, whole, tmp_path, monkeypatch):
    out = tmp_path / "out.jsonl"

    def stopping(answer):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bulk, "line", stopping)
        with pytest.raises(Interrupted):
            answer_file(predictor, Rows(str(source)), out, pace=PACE, ask=Ask(alternatives=1))
    with pytest.raises(JournalError, match=r"ask.alternatives: 0, was 1"):
        answer_file(predictor, Rows(str(source)), out, pace=PACE)
    answer_file(predictor, Rows(str(source)), out, pace=PACE, anew=True)
    assert out.read_bytes() == whole


def test_other_rows_of_the_same_name_are_not_gone_on_with(predictor, tmp_path, monkeypatch):
    path, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    path.write_text('{"text": "Anna"}\n')
    with monkeypatch.context() as patch:
        patch.setattr(bulk, "stream_answers", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(Interrupted):
            answer_file(predictor, Rows(str(path)), out)
    path.write_text('{"text": "Paris"}\n')
    with pytest.raises(JournalError, match="digest"):
        answer_file(predictor, Rows(str(path)), out)


def test_a_folder_is_no_file_to_write(predictor, source, tmp_path):
    with pytest.raises(DataError, match="expected the name of a file to write, found a folder"):
        answer_file(predictor, Rows(str(source)), tmp_path)


KILLED = """
import sys
from babelens.prediction import bulk
from babelens.prediction.inputs import Rows
from babelens.prediction.predictor import Predictor
from babelens.prediction.stream import Pace
from babelens.models.checkpoint import load_tagger
import torch

torch.set_num_threads(1)
folder, source, out = sys.argv[1:]
predictor = Predictor(load_tagger(folder))
print("ready", flush=True)
bulk.answer_file(predictor, Rows(source), bulk.Path(out), pace=Pace(rows=4, makers=0), seconds=0.0)
"""


def kills(tiny_folder, source, whole, out, moments):
    """Run in a process of its own, killed so many seconds after the start; what is left goes on in the next one."""
    killed = 0
    for moment in [*moments, None]:
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tiny_folder), str(source), str(out)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        if moment is not None:
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        else:
            assert process.wait() == 0
        process.stdout.close()
    assert out.read_bytes() == whole
    assert os.listdir(out.parent) == [out.name]
    return killed


def test_a_run_killed_twice_ends_as_if_it_had_not_been(tiny_folder, source, whole, tmp_path):
    draw = random.Random(5)
    assert kills(tiny_folder, source, whole, tmp_path / "out.jsonl", [draw.uniform(0, 0.15) for _ in range(2)]) >= 1


@pytest.mark.long
def test_a_run_killed_at_ten_moments_ends_as_if_it_had_not_been(tiny_folder, source, whole, tmp_path):
    draw = random.Random(7)
    assert kills(tiny_folder, source, whole, tmp_path / "out.jsonl", [draw.uniform(0, 0.3) for _ in range(10)]) >= 5
