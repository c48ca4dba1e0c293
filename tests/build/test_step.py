import json
import multiprocessing
import os
import signal
import time
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from babelens.build.gate import BadRows
from babelens.build.results import Result, Tally, changed, dropped, kept
from babelens.build.rows import read_input
from babelens.build.step import Step, run_step, run_whole_step
from babelens.data import DataError
from babelens.data.journal import Interrupted, JournalError

STEP = Step("evens", {"modulus": 2})


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"id": f"r{i}", "text": f"text {i}", "extra": [i]}) + "\n" for i in range(40)))
    return path


def take(rows):
    """Drops every third row, changes every second of the others, doubles r4."""
    for row in rows:
        number = int(row["id"][1:])
        if number % 3 == 0:
            yield dropped("threes", number=number)
        elif number == 4:
            yield Result((row, {**row, "id": "r4b"}), {"did": "doubled"})
        else:
            yield changed({**row, "text": row["text"].upper()}, "case") if number % 2 else kept(row)


def in_batches(size):
    """As `take`, but reading ahead; each row notes which rows were read with it."""

    def run(rows):
        while batch := list(islice(rows, size)):
            yield from (kept({**row, "batch": [one["id"] for one in batch]}) for row in batch)

    return run


def run(source, out, function=take, **options):
    return run_step(STEP, read_input(source), out, function, **options)


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_and_provenance_say_what_was_done(source, tmp_path):
    summary = run(source, tmp_path / "out")
    rows, told = lines(tmp_path / "out/rows.jsonl"), lines(tmp_path / "out/provenance.jsonl")
    assert [row["id"] for row in rows] == ["r1", "r2", "r4", "r4b", *(f"r{i}" for i in range(5, 40) if i % 3)]
    assert rows[0] == {"id": "r1", "text": "TEXT 1", "extra": [1]}
    assert [line["id"] for line in told] == [f"r{i}" for i in range(40)]
    assert told[:3] == [
        {"id": "r0", "did": "dropped", "why": "threes", "number": 0},
        {"id": "r1", "did": "changed", "why": "case"},
        {"id": "r2", "did": "kept"},
    ]
    step = json.loads((tmp_path / "out/step.json").read_text())
    assert (step["step"], step["options"], step["input"]["file"]) == ("evens", {"modulus": 2}, "in.jsonl")
    assert step["counts"] == {
        "read": 40,
        "rows": 27,
        "did": {"changed": {"case": 13}, "doubled": {"": 1}, "dropped": {"threes": 14}, "kept": {"": 12}},
    }
    assert (summary.counts, summary.before) == (step["counts"], False)
    assert sorted(content(tmp_path / "out")) == ["provenance.jsonl", "rows.jsonl", "step.json"]


def test_a_step_reads_the_folder_of_another(source, tmp_path):
    run(source, tmp_path / "one")
    run_step(Step("again"), read_input(tmp_path / "one"), tmp_path / "two", lambda rows: map(kept, rows))
    assert (tmp_path / "two/rows.jsonl").read_bytes() == (tmp_path / "one/rows.jsonl").read_bytes()
    assert json.loads((tmp_path / "two/step.json").read_text())["input"]["step"] == "evens"


def test_a_second_run_does_nothing(source, tmp_path):
    first = run(source, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}

    def never(rows):
        raise AssertionError("read")

    again = run(source, tmp_path / "out", never)
    assert again.before and again.counts == first.counts
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_other_options_or_other_input_are_refused(source, tmp_path):
    run(source, tmp_path / "out")
    with pytest.raises(JournalError, match=r"options\.modulus: 3, was 2"):
        run_step(Step("evens", {"modulus": 3}), read_input(source), tmp_path / "out", take)
    source.write_text('{"id": "new", "text": ""}\n')
    with pytest.raises(JournalError, match=r"input\.digest"):
        run(source, tmp_path / "out")


def test_a_folder_of_something_else_is_left_alone(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/rows.jsonl").write_text("mine")
    with pytest.raises(JournalError, match=r"expected a new or an empty folder, found rows\.jsonl"):
        run(source, tmp_path / "out")
    assert content(tmp_path / "out") == {"rows.jsonl": b"mine"}
    with pytest.raises(JournalError, match="found a file"):
        run(source, source)


def test_rows_that_cannot_be_read_are_told_together_and_nothing_is_written(source, tmp_path):
    good = source.read_text().splitlines()
    bad = ['{"id": "x"}', "{", '{"id": 5, "text": "t"}', '{"id": "r0", "text": "again"}', "[]"]
    source.write_text("\n".join([*good[:3], *bad, *good[3:]]) + "\n")
    with pytest.raises(BadRows) as caught:
        run(source, tmp_path / "out", seconds=0.0)
    assert [(problem.line, problem.expected) for problem in caught.value.problems] == [
        (4, "a string as text"),
        (5, "a JSON object"),
        (6, "a string as id"),
        (7, "an id that no other row has"),
        (8, "a JSON object"),
    ]
    assert "--skip-bad" in str(caught.value) and f"{source}:7: expected an id" in str(caught.value)
    assert not list((tmp_path / "out").iterdir())
    source.write_text("{\n" * 500)
    with pytest.raises(BadRows, match="the first 20; what follows was not read") as caught:
        run(source, tmp_path / "out")
    assert len(caught.value.problems) == 20


def test_rows_that_cannot_be_read_are_recorded_in_their_place(source, tmp_path):
    good = source.read_text().splitlines()
    source.write_text("\n".join(["{", *good[:3], "?", "?", *good[3:], "!"]) + "\n")
    summary = run(source, tmp_path / "out", in_batches(7), skip_bad=True)
    told = lines(tmp_path / "out/provenance.jsonl")
    ids = ["in:1", "r0", "r1", "r2", "in:5", "in:6", *(f"r{i}" for i in range(3, 40)), "in:44"]
    assert [line["id"] for line in told] == ids
    assert (told[4]["did"], told[4]["line"]) == ("unreadable", 5)
    assert told[4]["fault"].startswith("expected a JSON object, found '?'")
    assert summary.counts["did"] == {"kept": {"": 40}, "unreadable": {"": 4}}


@pytest.mark.parametrize("results", [lambda rows: [kept(row) for row in rows][:-1], lambda rows: iter([kept({})] * 99)])
def test_a_step_has_to_give_one_result_for_each_row(source, tmp_path, results):
    with pytest.raises(ValueError, match="expected one result for each row"):
        run(source, tmp_path / "out", results)


def until(number, error):
    """As `in_batches`, stopped before a row."""

    def run(rows):
        for row in in_batches(4)(rows):
            if row.rows[0]["id"] == f"r{number}":
                raise error
            yield row

    return run


@pytest.mark.parametrize("stops", [[1], [6, 17], [3, 4, 5, 39]])
def test_ctrl_c_keeps_what_was_done_and_batches_stay_the_same(source, tmp_path, stops):
    run(source, tmp_path / "whole", in_batches(4), block=4)
    done = []
    for stop in stops:
        with pytest.raises(Interrupted, match="run the same command to go on") as caught:
            run(source, tmp_path / "out", until(stop, KeyboardInterrupt), block=4, seconds=0.0, tell=done.append)
        assert caught.value.exit_code == 130
        assert all(number % 4 == 0 for number in done)
        assert done[-1:] == ([stop // 4 * 4] if stop >= 4 else [])
    run(source, tmp_path / "out", in_batches(4), block=4)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_what_was_written_is_given_back_before_going_on(source, tmp_path):
    with pytest.raises(Interrupted):
        run(source, tmp_path / "out", until(10, KeyboardInterrupt), seconds=0.0)
    given = []
    run(source, tmp_path / "out", take, restore=lambda rows: given.extend(row["id"] for row in rows))
    assert given == [f"r{number}" for number in range(10)]


def one_after_the_other(source, out):
    def slow(rows):
        for result in take(rows):
            time.sleep(0.002)
            yield result

    run(source, out, slow, seconds=0.0)


def test_sigkill_at_random_moments_gives_the_same_bytes(source, tmp_path):
    run(source, tmp_path / "whole")
    out, draw = tmp_path / "out", Random(3)
    for _ in range(3):
        process = multiprocessing.get_context("fork").Process(target=one_after_the_other, args=(source, out))
        process.start()
        journal, wanted = out / ".rows.jsonl.journal", draw.randint(1, 9)
        start = json.loads(journal.read_bytes())["done"] if journal.exists() else 0
        while process.is_alive() and not (
            journal.exists() and json.loads(journal.read_bytes())["done"] >= start + wanted
        ):
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert not (out / "step.json").exists()
    with pytest.raises(DataError, match="expected the folder of a step that is done"):
        read_input(out)
    run(source, out)
    assert content(out) == content(tmp_path / "whole")


def make(folder: Path):
    (folder / "cards").mkdir()
    (folder / "cards" / "one.md").write_text("card")
    return {"cards": 1}


def test_a_whole_step_appears_complete_or_not_at_all(source, tmp_path):
    def stopped(folder: Path):
        make(folder)
        raise KeyboardInterrupt

    out, step = tmp_path / "out", Step("card")
    with pytest.raises(Interrupted, match="nothing is left of it"):
        run_whole_step(step, read_input(source), out, stopped)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl"]
    (tmp_path / ".out.new").mkdir()  # as a killed run leaves it
    (tmp_path / ".out.new/half").write_text("x")
    assert run_whole_step(step, read_input(source), out, make).counts == {"cards": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out"]
    assert sorted(path.name for path in out.iterdir()) == ["cards", "step.json"]
    assert run_whole_step(step, read_input(source), out, stopped).before
    with pytest.raises(JournalError, match="step: 'other', was 'card'"):
        run_whole_step(Step("other"), read_input(source), out, make)


def test_a_whole_step_leaves_a_folder_of_something_else_alone(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("x")
    with pytest.raises(JournalError, match="found mine"):
        run_whole_step(Step("card"), read_input(source), tmp_path / "out", make)
    assert (tmp_path / "out/mine").read_text() == "x"


def test_a_tally_goes_on_where_it_was():
    results = [kept({}), dropped("a"), dropped("b"), changed({}, "a"), kept({}), dropped("a")]
    whole, half = Tally(), Tally()
    for result in results:
        whole.add(result)
    for result in results[:3]:
        half.add(result)
    half = Tally(half.plain())
    for result in results[3:]:
        half.add(result)
    assert half.plain() == whole.plain()
    assert whole.plain()["did"]["dropped"] == {"a": 2, "b": 1}
