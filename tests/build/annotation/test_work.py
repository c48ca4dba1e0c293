import json
from xml.etree import ElementTree

import pytest

from babelens.build.agreement_rows import read_annotations as read_for_agreement
from babelens.build.annotation.assign import Assignment, Person
from babelens.build.annotation.gold import Trail
from babelens.build.annotation.labelstudio import Export, read_export
from babelens.build.annotation.lines import read_records, read_rows, write_lines
from babelens.build.annotation.simulate import Errors
from babelens.build.annotation.tasks import unseen
from babelens.build.annotation.work import (
    assign_rows,
    merge_versions,
    read_people,
    simulate_work,
    take_exports,
    write_gold,
    write_queue,
    write_tasks,
)
from babelens.build.rows import read_input
from babelens.data import read_corpus
from babelens.schema import InputError

TYPES = ["PER", "LOC"]
TEXT = "Zoë 😀 met Bo in Rome"
ENTITIES = [
    {"start": 0, "end": 3, "text": "Zoë", "type": "PER"},
    {"start": 16, "end": 20, "text": "Rome", "type": "LOC"},
]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_lines(path, [{"id": f"r{n}", "text": TEXT, "language": "en", "entities": ENTITIES} for n in range(30)])
    return path


def people(*names):
    return [Person(name=name) for name in names]


def answer(path, person, change=lambda row, result: result):
    """What Label Studio would export where a person takes the pre-labels, or changes them."""
    tasks = json.loads(path.read_text("utf-8"))
    for number, task in enumerate(tasks):
        result = change(task["data"]["row"], [*task["predictions"][0]["result"]])
        stamp = f"2026-01-02T10:00:{number:02}Z"
        task |= {
            "id": number,
            "annotations": [{"id": number, "completed_by": 1, "created_at": stamp, "result": result}],
        }
    path.with_suffix(".export").write_text(json.dumps(tasks), "utf-8")
    return read_export(path.with_suffix(".export"), person)


def test_exports_are_taken_together(source, tmp_path):
    work = tmp_path / "work"
    assign_rows(source, people("ada", "bob", "eve"), work)
    write_tasks(source, work, TYPES, unseen)
    ada, bob = (answer(work / "tasks" / f"{name}.json", name) for name in ("ada", "bob"))
    take_exports([ada, bob], source, work, TYPES)
    before = (work / "annotations.jsonl").read_bytes()
    with pytest.raises(InputError, match=rf"found none for {len(bob.tasks)} of bob; name all exports in one command"):
        take_exports([ada], source, work, TYPES)
    assert (work / "annotations.jsonl").read_bytes() == before
    # A task that somebody has emptied is no task that is not there.
    bob.tasks[0]["annotations"].clear()
    read = take_exports([ada, bob], source, work, TYPES)
    assert len(read.annotations) == len(ada.tasks) + len(bob.tasks) - 1
    everybody = {str(number): name for number, name in enumerate(("ada", "bob", "eve"))}
    both = [task | {"annotations": []} for task in (*ada.tasks, *bob.tasks)]
    take_exports([Export("all.json", both)], source, work, TYPES, people=everybody)
    assert (work / "annotations.jsonl").read_bytes() == b""


def test_from_rows_to_gold_by_files(source, tmp_path):
    work = tmp_path / "work"
    assignments, new = assign_rows(source, people("anna", "bo", "cleo"), work, seed=1, batch=20)
    assert new == len(assignments) == 30
    assert assign_rows(source, people("anna", "bo", "cleo"), work, seed=1, batch=20) == (assignments, 0)
    counts = write_tasks(source, work, TYPES, unseen)
    assert sum(counts.values()) == 60
    assert ElementTree.parse(work / "tasks" / "interface.xml").findall(".//Label")

    second = {assignment.id: assignment.annotators[1] for assignment in assignments}
    exports = [
        answer(
            work / "tasks" / f"{name}.json",
            name,
            lambda row, result, name=name: result[:1] if row == "r3" and second[row] == name else result,
        )
        for name in ("anna", "bo", "cleo")
    ]
    read = take_exports(exports, source, work, TYPES)
    assert len(read.annotations) == 60
    # What measures agreement reads the same file.
    rows = read_for_agreement(work / "annotations.jsonl", source).rows
    assert len(rows) == 30 and all(len(row.marked) == 2 for row in rows)
    assert {row.get("round") for row in rows} == {"1", "2"}

    merged = merge_versions(source, work)
    assert [case.id for case in merged.queue] == ["r3"]
    assert write_queue(source, work, TYPES, unseen) == {merged.queue[0].inspector: 1}
    early, _ = write_gold(source, work, tmp_path / "early")
    assert early.counts["rows"] == 29

    inspector = merged.queue[0].inspector
    export = answer(work / "inspection" / f"{inspector}.json", inspector)
    take_exports([export], source, work, TYPES, part="inspections")
    out = tmp_path / "gold"
    summary, counted = write_gold(source, work, out)
    assert (counted.agreed, counted.inspected, counted.simulated) == (29, 1, False)
    assert summary.counts["rows"] == 30
    assert [row["entities"] for row in read_rows(out)] == [ENTITIES] * 30
    assert [trail.how for trail in read_records(out / "trail.jsonl", Trail)].count("inspected") == 1
    # Done again it is as it was, and what it made is the input of the next step.
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    assert write_gold(source, work, out)[0].before
    assert {path.name: path.read_bytes() for path in out.iterdir()} == files
    assert len(read_corpus(out / "rows.jsonl")) == sum(1 for _ in read_input(out).rows()) == 30
    with pytest.raises(InputError):
        write_gold(source, work, tmp_path / "early")


def test_simulated_work_leads_to_gold_and_says_so(source, tmp_path):
    work = tmp_path / "work"
    assign_rows(source, people("simulated-a", "simulated-b", "simulated-c"), work)
    errors = Errors(missed=0.2, type=0.2)
    simulate_work(source, work, TYPES, errors, right=1.0, rate=0.5, seed=4)
    summary, counts = write_gold(source, work, tmp_path / "gold")
    assert counts.simulated and counts.disagreed and counts.sampled and not counts.waiting
    assert summary.counts["rows"] == 30
    for trail in read_records(tmp_path / "gold" / "trail.jsonl", Trail):
        assert all(version.by.startswith("simulated") for version in trail.annotations)


def test_people_are_read_from_a_file(tmp_path):
    path = tmp_path / "people.jsonl"
    path.write_text(
        '{"name": "anna", "languages": ["en"], "email": "a@example.org"}\n{"name": "bo", "inspects": false}\n'
    )
    assert read_people(path) == [
        Person(name="anna", languages=("en",), email="a@example.org"),
        Person(name="bo", inspects=False),
    ]
    path.write_text('{"name": "anna", "langauges": ["en"]}\n')
    with pytest.raises(InputError, match=r"people\.jsonl:1: expected a record of person, found .*langauges"):
        read_people(path)


def test_rows_added_later_are_added_to_the_assignment(source, tmp_path):
    work = tmp_path / "work"
    first, _ = assign_rows(source, people("a", "b", "c"), work)
    write_lines(source, [*read_rows(source), {"id": "new", "text": TEXT}])
    second, new = assign_rows(source, people("a", "b", "c"), work)
    assert new == 1 and second[:30] == first and read_records(work / "assignment.jsonl", Assignment) == second
