import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babelens.build.annotation.annotations import Annotation
from babelens.build.annotation.assign import Assignment, Person, assign
from babelens.build.annotation.gold import provenance, settle
from babelens.build.annotation.merge import inspector_tasks, merge
from babelens.build.annotation.simulate import Errors, simulate_annotators, simulate_inspectors
from babelens.build.annotation.spans import cut
from babelens.build.annotation.tasks import unseen
from babelens.schema import InputError

TEXT = "Anna met Bo in Rome"
ROWS = [{"id": f"r{number}", "text": TEXT, "kept": number, "doubt": 1} for number in range(5)]
TEAM = [Assignment(id=f"r{number}", annotators=("a", "b"), inspector="c", order=4 - number) for number in range(4)]


def spans(*words, type_="PER"):
    return tuple(cut(TEXT, TEXT.index(word), TEXT.index(word) + len(word), type_) for word in words)


def done(id_, who, *words, type_="PER", text=TEXT):
    return Annotation(id=id_, annotator=who, text=text, entities=spans(*words, type_=type_), seconds=3.0)


VERSIONS = [
    done("r0", "a", "Anna", "Bo"), done("r0", "b", "Anna", "Bo"),
    done("r1", "a", "Anna", "Bo"), done("r1", "b", "Bo"),
    done("r2", "a", "Rome"), done("r2", "b", "Rome", type_="LOC"),
    done("r3", "a", "Anna"),
]  # fmt: skip


def test_agreement_passes_and_disagreement_waits_for_the_inspector():
    merged = merge(ROWS, TEAM, VERSIONS)
    # In the order of work, not of rows.
    assert [(case.id, case.inspect) for case in merged.cases] == [
        ("r2", "disagreement"),
        ("r1", "disagreement"),
        ("r0", None),
    ]
    assert [(row.id, row.missing) for row in merged.waiting] == [("r3", ("b",))]
    tasks = inspector_tasks(ROWS, merged.cases, unseen)["c"]
    assert [task["data"]["row"] for task in tasks] == ["r2", "r1"]
    assert tasks[1]["data"]["note"] == "A and B differ: 1 missed"
    versions = {one["model_version"]: len(one["result"]) for one in tasks[1]["predictions"]}
    assert versions == {"A": 2, "B": 1}


def test_gold_has_a_trail_for_every_row():
    merged = merge(ROWS, TEAM, VERSIONS)
    gold = settle(ROWS, merged, [done("r1", "c", "Anna", "Bo")])
    assert [row["id"] for row in gold.rows] == ["r0", "r1"]
    assert gold.rows[0] == {
        "id": "r0",
        "text": TEXT,
        "kept": 0,
        "entities": [
            {"start": 0, "end": 4, "text": "Anna", "type": "PER"},
            {"start": 9, "end": 11, "text": "Bo", "type": "PER"},
        ],
    }
    assert [(row.id, row.how, row.missing) for row in gold.trail] == [
        ("r0", "agreed", ()),
        ("r1", "inspected", ()),
        ("r2", "waiting", ("c",)),
        ("r3", "waiting", ("b",)),
        ("r4", "unassigned", ()),
    ]
    trail = gold.trail[1]
    assert [(version.by, version.entities) for version in trail.annotations] == [
        ("a", spans("Anna", "Bo")),
        ("b", spans("Bo")),
    ]
    assert trail.inspection is not None and trail.inspection.by == "c" and trail.gold == spans("Anna", "Bo")
    assert [found.kind for found in trail.disagreements] == ["missed"]
    counts = gold.counts
    assert (counts.rows, counts.agreed, counts.inspected, counts.waiting, counts.unassigned) == (5, 1, 1, 2, 1)
    assert (counts.disagreed, counts.sampled, counts.simulated) == (2, 0, False)
    assert counts.disagreements == {"missed": 1, "boundary": 0, "type": 1, "both": 0}
    assert counts.taken == {"first": 1, "second": 0, "neither": 0}


def test_what_happened_to_each_row_is_told():
    rows = [ROWS[0] | {"entities": [{"start": 0, "end": 4, "type": "PER"}]}, *ROWS[1:]]
    rows[1] = rows[1] | {"entities": [{"start": 9, "end": 11, "type": "PER"}]}
    gold = settle(rows, merge(rows, TEAM, VERSIONS), [done("r1", "c", "Bo")])
    assert provenance(gold.trail) == [
        {"id": "r0", "did": "changed", "why": "agreed"},
        {"id": "r1", "did": "kept", "why": "inspected"},
        {"id": "r2", "did": "dropped", "why": "waiting", "missing": ["c"]},
        {"id": "r3", "did": "dropped", "why": "waiting", "missing": ["b"]},
        {"id": "r4", "did": "dropped", "why": "unassigned"},
    ]
    assert gold.trail[0].pre == ({"start": 0, "end": 4, "type": "PER"},)


def test_sampled_rows_show_what_agreement_hides():
    merged = merge(ROWS, TEAM, VERSIONS, rate=1.0)
    assert [(case.id, case.inspect) for case in merged.queue][-1] == ("r0", "sample")
    task = inspector_tasks(ROWS, merged.cases, unseen)["c"][-1]
    assert [one["model_version"] for one in task["predictions"]] == ["A = B"]
    assert settle(ROWS, merged, []).counts.agreed == 0
    counts = settle(ROWS, merged, [done("r0", "c", "Anna")]).counts
    assert (counts.sampled, counts.sampled_changed, counts.inspected) == (1, 1, 1)


def test_the_sample_hangs_on_seed_and_id_alone():
    rows = [{"id": str(number), "text": TEXT} for number in range(2000)]
    team = [Assignment(id=row["id"], annotators=("a", "b"), inspector="c", order=0) for row in rows]
    versions = [done(row["id"], who, "Bo") for row in rows for who in "ab"]
    drawn = {case.id for case in merge(rows, team, versions, rate=0.1, seed=5).queue}
    assert 150 < len(drawn) < 250
    half = {case.id for case in merge(rows, team[:1000], versions[:2000], rate=0.1, seed=5).queue}
    assert half == {id_ for id_ in drawn if int(id_) < 1000}
    assert drawn != {case.id for case in merge(rows, team, versions, rate=0.1, seed=6).queue}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (done("r0", "a"), "row 'r0': expected one annotation by a, found another"),
        (done("r3", "c"), "row 'r3': expected annotations by a, b, found c"),
        (done("r4", "a"), "row 'r4': expected a row that is assigned, found an annotation by a"),
        (done("r3", "b", text=TEXT + "!"), "row 'r3': expected the text 'Anna met Bo in Rome', found 'Anna .*!'"),
    ],
)
def test_annotations_that_do_not_belong_are_refused(more, message):
    with pytest.raises(InputError, match=message):
        merge(ROWS, TEAM, [*VERSIONS, more])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([done("r0", "c")], "row 'r0': expected a row in the queue of the inspectors, found an inspection by c"),
        ([done("r1", "a")], "row 'r1': expected an inspection by c, found a"),
        ([done("r1", "c")] * 2, "row 'r1': expected one inspection, found another"),
        ([done("r1", "c", text="Anna")], "row 'r1': expected the text"),
    ],
)
def test_inspections_that_do_not_belong_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        settle(ROWS, merge(ROWS, TEAM, VERSIONS), given)


@given(st.integers(0, 20), st.floats(0, 1), st.integers(0, 5), st.data())
@settings(max_examples=25, deadline=None)
def test_an_inspector_who_is_always_right_makes_gold_of_all_that_disagrees(count, rate, seed, data):
    people = [Person(name=f"simulated-{name}") for name in "abcd"]
    truth = [{"start": 0, "end": 4, "type": "PER"}, {"start": 15, "end": 19, "type": "LOC"}]
    rows = [{"id": str(number), "text": TEXT, "entities": truth} for number in range(count)]
    team = assign(rows, people, seed=seed)
    errors = Errors(missed=0.3, boundary=0.3, type=0.3, invented=0.3)
    versions = simulate_annotators(rows, team, ["PER", "LOC"], errors, seed=seed)
    versions = [version for version in versions if data.draw(st.booleans(), label="done")]
    merged = merge(rows, team, versions, rate=rate, seed=seed)
    queue = [(case.id, case.inspector, case.first.entities, case.second.entities) for case in merged.queue]
    gold = settle(rows, merged, simulate_inspectors(rows, queue, 1.0, seed=seed))
    counts = gold.counts
    assert counts.agreed + counts.inspected + counts.waiting + counts.unassigned == counts.rows == count
    assert len(gold.rows) == counts.agreed + counts.inspected == len(merged.cases)
    assert counts.waiting == len(merged.waiting)
    assert counts.inspected == 0 or counts.simulated
    for row, trail in zip(rows, gold.trail, strict=True):
        assert trail.id == row["id"]
        if trail.how == "inspected":
            assert [(span.start, span.end, span.type) for span in trail.gold or ()] == [(0, 4, "PER"), (15, 19, "LOC")]
        if trail.how == "agreed":
            assert trail.gold == trail.annotations[0].entities == trail.annotations[1].entities
