import json
import os

import pytest

from babelens.data import DataError
from babelens.prediction.answer import Answer, Mention, answer_row
from babelens.prediction.output import line, write_answers
from babelens.schema import Entity, Example


def answers():
    yield Answer("Köln 😀", (Mention(0, 4, "Köln", "LOC", 0.12345678),), "used", "1", "de", ("a",))
    yield Answer("", (), "none", "2")
    yield Answer("", id="3", error="rows.jsonl:3: expected JSON")


EXPECTED = [
    {
        "id": "1",
        "text": "Köln 😀",
        "entities": [{"start": 0, "end": 4, "text": "Köln", "type": "LOC", "score": 0.123457}],
        "image_status": "used",
        "image": "a",
        "language": "de",
    },
    {"id": "2", "text": "", "entities": [], "image_status": "none"},
    {"id": "3", "error": "rows.jsonl:3: expected JSON"},
]


def test_one_object_a_line_and_a_count_of_all(tmp_path):
    seen = []
    tally = write_answers(answers(), tmp_path / "deep" / "out.jsonl", lambda tally: seen.append(tally.rows))
    raw = (tmp_path / "deep" / "out.jsonl").read_text(encoding="utf-8")
    assert [json.loads(row) for row in raw.splitlines()] == EXPECTED and "Köln 😀" in raw
    assert (tally.rows, tally.entities, tally.errors, dict(tally.pictures)) == (3, 1, 1, {"used": 1, "none": 1})
    assert seen == [1, 2, 3]
    assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["out.jsonl"]


def test_standard_output(capfd):
    write_answers(answers(), None)
    assert [json.loads(row) for row in capfd.readouterr().out.splitlines()] == EXPECTED


def test_half_a_surrogate_pair_comes_out_as_it_came_in():
    answer = Answer("a \ud83d", (Mention(2, 3, "\ud83d", "LOC", 1.0),))
    assert json.loads(line(answer))["entities"][0]["text"] == "\ud83d"


def test_what_was_there_stays_until_the_new_file_is_whole(tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("old")

    def broken():
        yield Answer("a")
        assert out.read_text() == "old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_answers(broken(), out)
    assert out.read_text() == "old" and os.listdir(tmp_path) == ["out.jsonl"]
    write_answers(answers(), out)
    assert len(out.read_text(encoding="utf-8").splitlines()) == 3


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path):
    (tmp_path / "real.jsonl").touch()
    (tmp_path / "link.jsonl").symlink_to("real.jsonl")
    write_answers(answers(), tmp_path / "link.jsonl")
    assert (tmp_path / "link.jsonl").is_symlink()
    assert len((tmp_path / "real.jsonl").read_text(encoding="utf-8").splitlines()) == 3
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_answers(answers(), tmp_path / "pipe")
    assert len(os.read(reader, 10_000).splitlines()) == 3
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_a_folder_is_no_file_to_write(tmp_path):
    with pytest.raises(DataError, match="expected the name of a file to write, found a folder"):
        write_answers(answers(), tmp_path)


def test_an_answer_cuts_its_mentions_out_of_the_text():
    example = Example("x", ("Real", "Madrid", "!"), text="¡Real  Madrid!", offsets=((1, 5), (7, 13), (13, 14)))
    answer = answer_row(example, [(Entity(0, 2, "ORG"), 0.5)], "missing")
    assert answer.entities == (Mention(1, 13, "Real  Madrid", "ORG", 0.5),)
    assert (answer.image_status, answer.id) == ("missing", "x")
