import json

import msgspec
import pytest
from seqeval.metrics import f1_score

from babelens.cli.main import answer
from babelens.experiments.material import read_ledger
from babelens.experiments.protocol import RECORD, read_record
from babelens.experiments.reading import outcomes_file, seqeval_f1, summarise_reading
from babelens.experiments.results import read_results
from babelens.schema import Entity, InputError, write_tags
from babelens.scoring.outcomes import Outcome, read_outcomes
from babelens.training.claim import locked

SMALL = (
    "--set=model.backbone.text.hidden=4",
    "--set=model.backbone.text.word_dim=4",
    "--set=training.epochs=2",
    "--set=training.batch=4",
)
NAMES = ("Anna", "Paris", "Siemens", "Lyon", "Berlin", "Emil", "Renault", "Oslo")
TYPES = ("PER", "LOC", "ORG", "LOC", "LOC", "PER", "ORG", "LOC")


def block(number, language):
    name, type_ = NAMES[number % 8], TYPES[number % 8]
    return f"{language}{number}\tO\nsaw\tO\n{name}\tB-{type_}\n\n"


@pytest.fixture
def data(tmp_path):
    for language in ("en", "de"):
        folder = tmp_path / "data" / language
        folder.mkdir(parents=True)
        for name, numbers in (("train", range(24)), ("valid", range(100, 108)), ("test", (*range(200, 208), 3))):
            text = "".join(block(number, language) for number in numbers)
            (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return tmp_path / "data"


@pytest.fixture
def plan(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        'title = "Mine"\nseeds = 2\n'
        '[[grids]]\n[[grids.axes]]\nname = "data"\nvalues = [{ name = "both" }, { name = "en", languages = ["en"] },'
        ' { name = "fr", languages = ["fr"] }]\n'
        '[[grids.axes]]\nname = "system"\nsets = "model"\nvalues = ["bilstm-crf", "bert-crf"]\n'
        '[[families]]\nname = "mine"\naxis = "system"\nsubject = "bert-crf"\nwhere = { data = "both" }\n'
        '[[tables]]\nrows = ["data", "system"]\ncolumns = ["validation", "micro.f1", "types.PER.f1"]\n',
        encoding="utf-8",
    )
    return file


def run(plan, data, *more):
    out = plan.parent / "out"
    return answer(
        ["experiment", str(plan), "--data", str(data), "--encoders", "compact", *SMALL, "--out", str(out), *more]
    )


def test_an_experiment_runs_once_and_keeps_what_it_found(plan, data, capsys):
    out = plan.parent / "out"
    assert run(plan, data) == 1  # there is no French
    told = capsys.readouterr().err
    assert "no training rows of fr" in told
    results = read_results(out / "results.json")
    by_labels = {tuple(cell.labels.values()): cell for cell in results.cells}
    assert [len(cell.runs) for cell in results.cells] == [2, 2, 2, 2, 0, 0]
    assert by_labels["fr", "bert-crf"].reason == "no training rows of fr"

    cell = by_labels["both", "bert-crf"]
    reading = cell.runs[0].readings["test"]
    assert (reading.rows, by_labels["en", "bert-crf"].runs[0].readings["test"].rows) == (18, 9)
    # One row of each language stands in training as well.
    assert reading.leaks.rows == 2 and reading.leaks.kinds["text"] == 2
    assert reading.published["micro"]["support"] == 18 and reading.cleaned["micro"]["support"] == 16
    assert set(reading.published["languages"]) == {"de", "en"}
    assert reading.seqeval == pytest.approx(reading.published["micro"]["f1"], abs=1e-9)
    assert {run_.seed for run_ in cell.runs} == {1, 2}
    assert cell.runs[0].recipe["training"]["seed"] == 1
    assert cell.runs[0].versions["torch"] and cell.runs[0].machine["device"] == "cpu"

    ledger = read_ledger(out / "test-reads.jsonl")
    assert [entry["test"] for entry in ledger if entry["why"] == "after selection"] == ["test"] * 8
    compared = [(one.cleaned, one.baseline["system"]) for one in results.comparisons]
    assert compared == [(False, "bilstm-crf"), (True, "bilstm-crf")]
    assert {path.suffix for path in (out / "tables").iterdir()} == {".md", ".csv", ".tex"}
    assert list((out / "reports").glob("*.html"))

    # The same command does nothing again.
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/record.json")}
    assert run(plan, data) == 1
    assert {path: path.stat().st_mtime_ns for path in out.glob("runs/*/record.json")} == before
    again = [entry for entry in read_ledger(out / "test-reads.jsonl") if entry["why"] == "after selection"]
    assert len(again) == 8


def test_outcomes_say_all_that_analyses_ask_for(plan, data):
    assert run(plan, data, "--only", "data=both", "--only", "system=bert-crf", "--seeds", "1") == 0
    folder = plan.parent / "out" / "runs" / "both+bert-crf+seed-1"
    outcomes = read_outcomes(outcomes_file(folder, "test"))
    assert len(outcomes) == 18
    record = read_record(folder)
    assert summarise_reading(outcomes, record.readings["test"].digest, "x") == record.readings["test"]
    # Anna is an entity in every eighth training row of two languages, as all names are.
    assert {outcome.frequencies for outcome in outcomes} == {(6,)}
    assert [outcome.leaks != () for outcome in outcomes].count(True) == 2
    assert {outcome.status for outcome in outcomes} == {"none"}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--set", "training.epoch=2"), "unknown field `epoch`"),
        (("--set", "nothing"), "--set: expected path=value"),
        (("--also", "both=nowhere"), "nowhere: expected a file or a data directory"),
        (("--also", "test={data}"), "--also test: expected a name that no test of the experiment has"),
        (("--only", "data=fr", "--only", "system=none"), "--only system: expected a value"),
    ],
)
def test_a_slip_that_fails_all_runs_is_told_of_before_anything_is_written(plan, data, capsys, more, told):
    assert run(plan, data, *(word.format(data=data) for word in more)) == 1
    assert told in capsys.readouterr().err
    assert not (plan.parent / "out").exists()


def test_a_test_part_that_cannot_be_read_is_told_of_before_anything_is_written(plan, data, capsys):
    (data / "en" / "test.txt").write_text("Anna\tQ-PER\n", encoding="utf-8")
    assert run(plan, data) == 1
    told = capsys.readouterr().err
    assert "test.txt:1: expected O or one of" in told and "not run" not in told
    assert not (plan.parent / "out").exists()


def test_a_folder_in_which_nothing_was_trained_can_be_had_again(plan, data, capsys):
    assert run(plan, data, "--list", "--set", "training.rate=0.5") == 0
    capsys.readouterr()
    assert run(plan, data, "--list") == 1
    told = capsys.readouterr().err
    claim = plan.parent / "out" / "claim.json"
    assert "training.rate=0.5)" in told and f"or remove {claim}" in told
    claim.unlink()
    assert run(plan, data, "--list") == 0


def test_a_run_that_another_process_is_at_says_so(plan, data, capsys):
    only = ("--only", "data=en", "--only", "system=bert-crf", "--seeds", "1")
    folder = plan.parent / "out" / "runs" / "en+bert-crf+seed-1"
    folder.mkdir(parents=True)
    with locked(folder):
        assert run(plan, data, *only) == 1
    assert "not run: " + str(folder) + ": another process trains here" in capsys.readouterr().err
    assert run(plan, data, *only) == 0


def test_a_summary_leaves_nothing_of_an_earlier_one(plan, data):
    only = ("--only", "data=en", "--only", "system=bert-crf")
    assert run(plan, data, *only, "--seeds", "1") == 0
    out = plan.parent / "out"
    old = [out / "plots" / "old.png", out / "reports" / "old.html", out / "tables" / "mine-2.md"]
    own = out / "tables" / "notes.md"  # of a person: stays
    for path in (*old, own):
        path.write_text("x", encoding="utf-8")
    with (out / "summary.txt").open("a", encoding="utf-8") as listed:
        listed.writelines(f"{path.relative_to(out)}\n" for path in old)
    assert run(plan, data, *only, "--seeds", "1", "--summary") == 0
    assert own.is_file() and not any(path.exists() for path in old)
    assert [path.name for path in (out / "reports").iterdir()] == ["en+bert-crf+seed-1.html"]
    assert all((out / name).is_file() for name in (out / "summary.txt").read_text(encoding="utf-8").splitlines())
    assert "Seed 1, read on test." in (out / "reports" / "en+bert-crf+seed-1.html").read_text(encoding="utf-8")


def test_the_system_of_all_cells_is_named(plan, data):
    plan.write_text(
        plan.read_text().replace('[[grids]]\n', '[base]\nname = "base"\nmodel = "bilstm-crf"\n[[grids]]\n', 1)
        .split('[[grids.axes]]\nname = "system"')[0],
        encoding="utf-8",
    )  # fmt: skip
    assert run(plan, data, "--only", "data=en", "--seeds", "1") == 0
    assert read_results(plan.parent / "out" / "results.json").notes == ["System: bilstm-crf."]


def test_another_recipe_does_not_pass_for_a_run_that_is_done(plan, data, capsys):
    only = ("--only", "data=en", "--only", "system=bert-crf", "--seeds", "1")
    assert run(plan, data, *only) == 0
    assert run(plan, data, *only, "--set", "training.rate=0.5") == 1
    told = capsys.readouterr().err
    assert "expected the settings of the runs that stand here (" in told and "training.rate=0.5; choose a new" in told
    assert "or remove" not in told
    plan.write_text(plan.read_text().replace('["en"]', '["de"]'))
    assert run(plan, data, *only) == 1
    assert "a plan with another variant" in capsys.readouterr().err


def test_other_data_does_not_pass_for_that_of_the_runs(plan, data, capsys):
    only = ("--only", "data=en", "--only", "system=bert-crf", "--seeds", "1")
    assert run(plan, data, *only) == 0
    with (data / "en" / "train.txt").open("a", encoding="utf-8") as file:
        file.write(block(50, "en"))
    assert run(plan, data, *only, "--seeds", "2") == 1
    assert "expected the training part of the runs that stand here" in capsys.readouterr().err


def test_a_damaged_record_is_told_of(plan, data, capsys):
    only = ("--only", "data=en", "--only", "system=bert-crf", "--seeds", "1")
    assert run(plan, data, *only) == 0
    record = plan.parent / "out" / "runs" / "en+bert-crf+seed-1" / RECORD
    record.write_text(record.read_text()[:100])
    assert run(plan, data, *only) == 1
    assert "expected the record of a run" in capsys.readouterr().err


def test_the_list_has_a_command_for_each_run_that_is_left(plan, data, capsys):
    only = ("--only", "system=bert-crf", "--only", "data=en,both")
    assert run(plan, data, *only, "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("babelens experiment") and "--run" in line for line in lines)
    import shlex

    assert answer(shlex.split(lines[0])[1:]) == 0
    capsys.readouterr()
    assert run(plan, data, *only, "--list") == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_runs_side_by_side_find_what_they_find_one_by_one(plan, data, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    only = ("--only", "data=both", "--seeds", "1")
    assert run(plan, data, *only) == 0
    alone = read_results(plan.parent / "out" / "results.json")
    (plan.parent / "out").rename(plan.parent / "alone")
    assert run(plan, data, *only, "--jobs", "2") == 0
    beside = read_results(plan.parent / "out" / "results.json")
    assert [len(cell.runs) for cell in alone.cells] == [len(cell.runs) for cell in beside.cells] == [1, 1, 0, 0, 0, 0]
    for one, other in zip(alone.cells[:2], beside.cells[:2], strict=True):
        assert one.runs[0].validation_f1 == other.runs[0].validation_f1
        assert one.runs[0].readings == other.runs[0].readings


def test_the_published_protocol_reports_the_best_epoch_on_test_beside_ours(plan, data):
    only = ("--only", "data=both", "--only", "system=bert-crf", "--seeds", "1", "--set", "training.epochs=3")
    assert run(plan, data, *only, "--protocol", "published") == 0
    out = plan.parent / "out"
    [found] = [run for cell in read_results(out / "results.json").cells for run in cell.runs]
    assert found.best_on_test["test"] >= found.readings["test"].published["micro"]["f1"]
    why = [entry["why"] for entry in read_ledger(out / "test-reads.jsonl")]
    assert [reason for reason in why if reason.startswith("published")] == [
        f"published protocol, epoch {epoch}" for epoch in (1, 2, 3)
    ]


def test_other_corpora_are_read_on_the_types_that_they_label(plan, data, tmp_path):
    other = tmp_path / "people.txt"
    other.write_text("".join(block(number, "xx") for number in (0, 5)), encoding="utf-8")
    only = ("--only", "data=en", "--only", "system=bert-crf", "--seeds", "1")
    assert run(plan, data, *only, "--also", f"people={other}") == 0
    [found] = [run for cell in read_results(plan.parent / "out" / "results.json").cells for run in cell.runs]
    assert set(found.readings) == {"test", "people"}
    assert set(found.readings["people"].published["types"]) <= {"PER"}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["table55"], 1, "table5"),
        (["table5", "--data", "nowhere"], 1, "nowhere: expected a data directory"),
        (["table5", "--only", "system"], 1, "AXIS=VALUE"),
        (["table5", "--only", "system=berd"], 1, "bert-crf"),
        (["table5", "--system", "bert"], 1, "names its systems"),
        (["table9", "--protocol", "theirs"], 2, "ours or published"),
        (["table9", "--encoders", "huge"], 2, "compact"),
        (["--leaderboard", "nowhere", "page.md"], 1, "expected result files"),
    ],
)
def test_a_mistake_is_answered_by_a_message(tmp_path, monkeypatch, capsys, arguments, code, told):
    monkeypatch.chdir(tmp_path)
    assert answer(["experiment", *arguments]) == code
    error = capsys.readouterr().err
    assert told in error and "Traceback" not in error


def test_without_a_name_the_experiments_are_shown(capsys):
    assert answer(["experiment"]) == 0
    shown = capsys.readouterr().out
    assert "table5" in shown and "rq4" in shown


def test_seqeval_counts_what_we_count():
    gold = [(Entity(0, 2, "PER"), Entity(3, 4, "LOC")), (), (Entity(1, 2, "ORG"),)]
    found = [(Entity(0, 2, "PER"), Entity(3, 4, "ORG")), (Entity(0, 1, "LOC"),), (Entity(1, 2, "ORG"),)]
    tags = [[write_tags(row, 5) for row in rows] for rows in (gold, found)]
    assert seqeval_f1(gold, found, [5, 5, 5]) == 100 * f1_score(*tags) == pytest.approx(100 * 4 / 7)


def test_a_score_that_is_not_seqevals_ends_the_run(monkeypatch):
    monkeypatch.setattr("babelens.experiments.reading.seqeval_f1", lambda *_: 12.5)
    row = Outcome("1", ("Anna",), (Entity(0, 1, "PER"),), (Entity(0, 1, "PER"),), (1.0,), 0)
    with pytest.raises(InputError, match="seqeval"):
        summarise_reading([row], "d", "run")


def test_results_are_read_back_as_they_were_written(plan, data):
    assert run(plan, data, "--only", "data=en", "--only", "system=bert-crf", "--seeds", "1") == 0
    path = plan.parent / "out" / "results.json"
    assert msgspec.to_builtins(read_results(path)) == json.loads(path.read_text(encoding="utf-8"))
