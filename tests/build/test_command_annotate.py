"""`babelens build annotate` at the command line, but for the verbs that need a server."""

import json

import pytest

from babelens.cli.main import answer

TEXT = "Anna leaves Paris 🎉 today"
ENTITIES = [
    {"start": 0, "end": 4, "text": "Anna", "type": "PER"},
    {"start": 12, "end": 17, "text": "Paris", "type": "LOC"},
]
PEOPLE = ["simulated-a", "simulated-b", "simulated-c"]


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Runs a command in a folder of its own; its exit code, and what it prints to both streams."""
    monkeypatch.chdir(tmp_path)

    def run(line):
        code = answer(["build", "annotate", *line.split()])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def rows(tmp_path):
    write(
        tmp_path / "in.jsonl",
        [{"id": f"r{n}", "text": TEXT, "language": "en", "entities": ENTITIES} for n in range(60)],
    )
    write(tmp_path / "others.jsonl", [{"id": "other", "text": TEXT, "language": "en"}])
    write(tmp_path / "people.jsonl", [{"name": name} for name in PEOPLE])
    (tmp_path / "bad.jsonl").write_text("{\n" * 30)


def mark(folder, part, person, change):
    """Write what Label Studio would export where a person takes over the first prediction, or changes it."""
    tasks = json.loads((folder / f"work/{part}/{person}.json").read_text())
    for number, task in enumerate(tasks):
        result = change(task["data"]["row"], task["predictions"][0]["result"])
        stamp = f"2026-01-02T10:{number // 60:02}:{number % 60:02}Z"
        task |= {
            "id": number,
            "annotations": [{"id": number, "completed_by": 1, "created_at": stamp, "result": result}],
        }
    (folder / f"{person}.json").write_text(json.dumps(tasks))


def test_the_whole_way(run, rows, tmp_path):
    assign = "assign in.jsonl --people people.jsonl --work work --batch 40"
    code, out, err = run(assign)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "60 rows assigned, 60 of them now"
    assert run(assign)[1].startswith("60 rows assigned, 0 of them now\n")
    code, out, _ = run("export in.jsonl --work work")
    assert code == 0 and out.count("40 tasks in work/tasks/simulated-") == 3

    second = {line["id"]: line["annotators"][1] for line in lines(tmp_path / "work/assignment.jsonl")}
    for person in PEOPLE:
        mark(
            tmp_path,
            "tasks",
            person,
            lambda row, result, person=person: result[:1] if row == "r7" and second[row] == person else result,
        )
    given = " ".join(f"{name}={name}.json" for name in PEOPLE)
    code, out, err = run(f"import in.jsonl {given} --work work")
    assert (code, err) == (0, "")
    assert out.startswith("120 annotations: simulated-a 40, simulated-b 40, simulated-c 40\n")
    code, out, _ = run("merge in.jsonl --work work --rate 0")
    assert code == 0
    assert out.splitlines()[1:] == [
        "  59 agree, 0 of them go to the inspector as a sample",
        "  1 differ (1 missed)",
    ]
    code, out, _ = run("inspect in.jsonl --work work")
    assert code == 0 and out.startswith("1 tasks in work/inspection/simulated-")
    code, out, _ = run("gold in.jsonl --work work --out early")
    assert (code, "1 wait" in out) == (0, True)

    (inspector,) = [line["inspector"] for line in lines(tmp_path / "work/assignment.jsonl") if line["id"] == "r7"]
    mark(tmp_path, "inspection", inspector, lambda row, result: result)
    code, out, _ = run(f"import in.jsonl {inspector}={inspector}.json --work work --part inspections")
    assert (code, out.splitlines()[0]) == (0, f"1 annotations: {inspector} 1")
    code, out, err = run("gold in.jsonl --work work --out gold")
    assert (code, err) == (0, "")
    assert out.startswith("60 rows in gold\n  59 agreed, 1 inspected, 0 wait\n")
    assert "SIMULATED" in out
    made = lines(tmp_path / "gold/rows.jsonl")
    assert [row["id"] for row in made] == [f"r{n}" for n in range(60)]
    assert all(row["entities"] in (ENTITIES, ENTITIES[:1]) for row in made)
    assert len(lines(tmp_path / "gold/trail.jsonl")) == len(lines(tmp_path / "gold/provenance.jsonl")) == 60
    assert run("gold in.jsonl --work work --out gold")[1].startswith("60 rows in gold; done before\n")
    code, _, err = run("gold in.jsonl --work work --out early")
    assert code == 1 and "choose another --out" in err


def test_simulated_people_do_the_work(run, rows, tmp_path):
    run("assign in.jsonl --people people.jsonl --work work")
    code, out, err = run("simulate in.jsonl --work work --missed 0.5 --rate 0.5 --seed 3")
    assert (code, err) == (0, "")
    assert out.startswith("SIMULATED: 120 annotations, ")
    first = (tmp_path / "work/annotations.jsonl").read_bytes()
    run("simulate in.jsonl --work work --missed 0.5 --rate 0.5 --seed 3")
    assert (tmp_path / "work/annotations.jsonl").read_bytes() == first
    assert "0 wait" in run("gold in.jsonl --work work --out gold")[1]


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("assign gone --people people.jsonl --work new", 1, "gone: expected the folder of a step, or a JSONL file"),
        ("assign bad.jsonl --people people.jsonl --work new", 1, "and 10 more"),
        ("assign in.jsonl --people gone --work new", 1, "gone: expected a file of one JSON object a line"),
        ("assign in.jsonl --people bad.jsonl --work new", 1, "and 10 more"),
        ("assign in.jsonl --people others.jsonl --work new", 1, "expected a record of person"),
        ("assign in.jsonl --people people.jsonl --work new --batch 0", 2, "--batch"),
        ("export in.jsonl --work gone", 1, "expected a file of one JSON object a line, found no such file"),
        ("export in.jsonl --work work --images gone", 2, "--images: expected a folder, found none at gone"),
        ("export in.jsonl --work work --round 9", 1, "expected one of the rounds 1, 2, found 9 asked for"),
        ("export in.jsonl --work work --types PER,", 2, "--types: expected PER,LOC,ORG,MISC, found 'PER,'"),
        ("export in.jsonl --work work --granularity letter", 2, "'letter' is not one of"),
        ("import in.jsonl ada --work work", 2, "expected NAME=FILE, found ada"),
        ("import in.jsonl ada=gone --work work", 1, "gone: expected Label Studio's JSON"),
        ("import in.jsonl ada=bad.jsonl --work work", 1, "bad.jsonl: expected Label Studio's JSON"),
        ("import in.jsonl ada=bad.jsonl --work work --part all", 2, "'all' is not one of"),
        ("merge in.jsonl --work gone", 1, "expected a file of one JSON object a line, found no such file"),
        ("merge in.jsonl --work work --rate 2", 2, "--rate"),
        ("merge others.jsonl --work work", 1, "and 160 more"),
        ("inspect in.jsonl --work gone", 1, "expected a file of one JSON object a line, found no such file"),
        ("inspect others.jsonl --work work", 1, "the queue of the inspectors: expected rows that are there"),
        ("gold in.jsonl --work gone --out new", 1, "expected a file of one JSON object a line, found no such file"),
        ("gold others.jsonl --work work --out new", 1, "and 40 more"),
        ("gold in.jsonl --work work --out people.jsonl", 1, "expected a folder to write, found a file"),
        ("simulate in.jsonl --work gone", 1, "expected a file of one JSON object a line, found no such file"),
        ("simulate in.jsonl --work work --missed 2", 2, "--missed"),
    ],
)
def test_wrong_usage(run, rows, tmp_path, line, code, message):
    run("assign in.jsonl --people people.jsonl --work work --batch 40")
    run("simulate in.jsonl --work work --rate 1")
    found, out, err = run(line)
    assert (found, out) == (code, "")
    assert message in err
    assert len(err.splitlines()) <= 22
    assert not (tmp_path / "new").exists()


def test_rows_that_are_not_assigned_make_no_tasks(run, rows):
    run("assign in.jsonl --people people.jsonl --work work")
    code, out, err = run("export others.jsonl --work work")
    assert (code, out) == (0, "")
    assert err == "warning: none of the rows is assigned, so there are no tasks\n"
