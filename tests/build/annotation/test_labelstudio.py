import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from babelens.build.annotation.labelstudio import Export, read_annotations, read_export
from babelens.build.annotation.spans import cut
from babelens.build.annotation.tasks import make_task, region
from babelens.schema import InputError

TYPES = ["PER", "LOC", "ORG", "MISC"]
TEXT = "👩🏽‍🚒 Anna's friends, Anna and Zoë, saw e\u0301te\u0301 in Paris 🇫🇷\nParis"


def span(word, type_, nth=0, text=TEXT):
    start = -1
    for _ in range(nth + 1):
        start = text.index(word, start + 1)
    return cut(text, start, start + len(word), type_)


def version(number, person, *spans, created="2026-01-02T10:00:00Z", **more):
    return {
        "id": number,
        "completed_by": person,
        "result": [region(one, f"r{place}") for place, one in enumerate(spans)],
        "was_cancelled": False,
        "created_at": created,
        "updated_at": created,
        "lead_time": 7.5,
    } | more


def row(text=TEXT, id_="x"):
    return {"id": id_, "text": text, "language": "en"}


def export(*versions, drafts=(), given=None, annotator=None):
    task = make_task(given or row(), None, {}) | {"id": 5, "annotations": list(versions), "drafts": list(drafts)}
    return Export("anna.json", [task], annotator)


def test_repeated_words_emoji_and_combining_marks_survive():
    spans = [
        span("👩🏽‍🚒", "MISC"), span("Anna", "PER", 1), span("e\u0301te\u0301", "MISC"),
        span("Paris", "LOC", 0), span("Paris", "ORG", 1),
    ]  # fmt: skip
    read = read_annotations([export(version(1, 3, *spans), annotator="anna")], [row()], TYPES)
    (annotation,) = read.annotations
    assert annotation.entities == tuple(spans)
    assert (annotation.id, annotation.annotator, annotation.language) == ("x", "anna", "en")
    assert (annotation.order, annotation.seconds) == (0, 7.5)
    assert read.changes == [] and read.left_out == []


def test_spans_are_snapped_and_that_is_recorded():
    spans = [span("nna", "PER", 1), span(" Zoë", "PER"), span("Zoë", "PER")]
    read = read_annotations([export(version(9, 3, *spans), annotator="anna")], [row()], TYPES)
    assert read.annotations[0].entities == (span("Anna", "PER", 1), span("Zoë", "PER"))
    assert [(change.did, change.before.text, change.annotation) for change in read.changes] == [
        ("snapped", "nna", 9),
        ("snapped", " Zoë", 9),
        ("repeated", "Zoë", 9),
    ]
    assert read.changes[0].after == span("Anna", "PER", 1)


def test_text_over_lines_is_as_the_editor_writes_it():
    across = span("🇫🇷\nParis", "LOC")
    one = version(1, 3, across)
    one["result"][0]["value"]["text"] = "🇫🇷\\nParis"
    read = read_annotations([export(one, annotator="anna")], [row()], TYPES)
    assert read.annotations[0].entities == (across,)


def test_several_people_in_a_project_are_told_apart():
    versions = [
        version(1, 3, span("Zoë", "PER"), created="2026-01-02T10:00:00Z"),
        version(2, {"id": 4, "email": "bo@example.org"}, created="2026-01-02T11:00:00+00:00"),
    ]
    people = {"3": "anna", "bo@example.org": "bo"}
    read = read_annotations([export(*versions)], [row()], TYPES, people=people)
    assert [(annotation.annotator, len(annotation.entities)) for annotation in read.annotations] == [
        ("anna", 1),
        ("bo", 0),
    ]
    with pytest.raises(InputError, match=r"anna.json: task 5, annotation 2: expected an annotation by anna, found bo"):
        read_annotations([export(*versions, annotator="anna")], [row()], TYPES, people=people)
    with pytest.raises(InputError, match=r"task 5, annotation 2: expected one of 3, found {'id': 4"):
        read_annotations([export(*versions)], [row()], TYPES, people={"3": "anna"})
    with pytest.raises(InputError, match=r"annotation 1: expected to be told who annotated"):
        read_annotations([export(*versions)], [row()], TYPES)


def test_drafts_skipped_and_earlier_versions_do_not_count():
    versions = [
        version(1, 3, span("Zoë", "PER"), created="2026-01-02T12:00:00Z"),
        version(2, 3, created="2026-01-02T10:00:00Z"),
        version(3, 3, was_cancelled=True),
    ]
    drafts = [{"id": 8, "user": "anna@example.org", "result": [region(span("Paris", "LOC"), "d")]}, 4]
    read = read_annotations([export(*versions, drafts=drafts, annotator="anna")], [row()], TYPES)
    assert [annotation.entities for annotation in read.annotations] == [(span("Zoë", "PER"),)]
    assert [(version.annotation, version.why) for version in read.left_out] == [
        (3, "skipped"),
        (8, "draft"),
        (2, "superseded"),
    ]


def test_rows_are_numbered_in_the_order_of_time():
    rows = [row(id_=name) for name in "abc"]
    times = {"a": "2026-01-02T12:00:00Z", "b": "2026-01-02T09:00:00Z", "c": "2026-01-02T10:00:00Z"}
    exports = [export(version(1, 3, created=times[one["id"]]), given=one, annotator="anna") for one in rows]
    read = read_annotations(exports, rows, TYPES)
    assert [(annotation.id, annotation.order) for annotation in read.annotations] == [("a", 2), ("b", 0), ("c", 1)]


def faulty(**value):
    one = version(31, 3, span("Zoë", "PER"))
    one["result"][0]["value"] |= value
    return one


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (faulty(labels=["EVENT"]), "expected one label of PER, LOC, ORG, MISC, found ['EVENT']"),
        (faulty(labels=["PER", "LOC"]), "expected one label of PER, LOC, ORG, MISC, found ['PER', 'LOC']"),
        (faulty(end=400), "expected a span within 0..62, found 30..400"),
        (faulty(start="30"), "expected a span within 0..62, found '30'..33"),
        # Places in UTF-16, as a browser counts: 3 more after the astral characters of the first emoji.
        (faulty(start=33, end=36), "expected 'Zoë' at 33..36 (Unicode code points), found ', s'"),
        (faulty(start=29, end=30, text=" "), "expected a span with at least one word, found ' ' 29..30"),
        (
            version(31, 3, span("Anna and", "PER"), span("and Zoë", "PER")),
            "expected entities that do not overlap, found 'Anna and' 21..29 PER and 'and Zoë' 26..33 PER",
        ),
        (version(31, 3) | {"result": [{"type": "choices", "from_name": "q", "to_name": "text"}]},
         "expected labels from 'label' on 'text', found {'type': 'choices', 'from_name': 'q', 'to_name': 'text'}"),
    ],
)  # fmt: skip
def test_faults_name_task_and_annotation(one, message):
    with pytest.raises(InputError) as error:
        read_annotations([export(one, annotator="anna")], [row()], TYPES)
    assert str(error.value) == f"anna.json: task 5, annotation 31: {message}"


SHAPE = "expected an annotation as Label Studio writes it, found "


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (7, f"number 1: {SHAPE}7 (Expected `object`, got `int`)"),
        ({"id": 31, "result": "none"}, f"31: {SHAPE}{{'id': 31, 'result': 'none'}} (Expected `array | null`, got `str` "
         "- at `$.result`)"),
        ({"id": 31, "result": [4]}, f"31: {SHAPE}{{'id': 31, 'result': [4]}} (Expected `object`, got `int` "
         "- at `$.result[0]`)"),
        ({"id": 31, "lead_time": "7 s"}, f"31: {SHAPE}{{'id': 31, 'lead_time': '7 s'}} (Expected `float | null`, got "
         "`str` - at `$.lead_time`)"),
        ({"id": [1]}, f"number 1: {SHAPE}{{'id': [1]}} (Expected `int | str | null`, got `array` - at `$.id`)"),
        ({"id": 31, "updated_at": "soon"}, "31: expected times in ISO 8601, found 'soon'"),
        (faulty() | {"result": [region(span("Zoë", "PER"), "r") | {"value": 3}]},
         "31: expected a value with start, end and labels, found 3"),
        (faulty(start=True), "31: expected a span within 0..62, found True..33"),
    ],
)  # fmt: skip
def test_what_is_no_annotation_is_told_with_its_place(one, message):
    with pytest.raises(InputError) as error:
        read_annotations([export(one, annotator="anna")], [row()], TYPES)
    assert str(error.value) == f"anna.json: task 5, annotation {message}"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"data": {"row": ["x"], "text": TEXT}}, ": expected the id of a row, found ['x']"),
        ({"data": {"row": "x", "text": TEXT, "round": "1"}}, ": expected the number of a round, found '1'"),
        ({"drafts": 4}, ": expected a list of drafts, found 4"),
        ({"drafts": ["old"]}, ", draft number 1: expected a draft as Label Studio writes it, found 'old' (Expected "
         "`object`, got `str`)"),
    ],
)  # fmt: skip
def test_what_is_no_task_is_told_with_its_number(task, message):
    whole = export(annotator="anna")
    with pytest.raises(InputError) as error:
        read_annotations([Export(whole.where, [whole.tasks[0] | task], "anna")], [row()], TYPES)
    assert str(error.value) == f"anna.json: task 5{message}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["id", "result", "value", "start", "end", "labels", "type", "lead_time", "user", "completed_by", "text"]
    ), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
PATHS = [
    ("data",), ("annotations",), ("drafts",), ("data", "row"), ("data", "text"), ("data", "round"),
    *[("annotations", 0, *rest) for rest in (
        (), ("id",), ("result",), ("completed_by",), ("created_at",), ("updated_at",), ("was_cancelled",),
        ("lead_time",), ("result", 0), ("result", 0, "value"), ("result", 0, "type"), ("result", 0, "value", "labels"),
        ("result", 0, "value", "start"), ("result", 0, "value", "text"),
    )],
]  # fmt: skip


@given(st.sampled_from(PATHS), JSON)
def test_whatever_stands_in_an_export_is_read_or_refused_in_words(tmp_path_factory, place, value):
    tasks = json.loads(json.dumps(export(version(31, 3, span("Zoë", "PER"))).tasks))
    *path, last = (0, *place)
    there = tasks
    for step in path:
        there = there[step]
    there[last] = value
    file = tmp_path_factory.getbasetemp() / "export.json"
    file.write_text(json.dumps(tasks))
    try:
        read = read_annotations([read_export(file, "anna")], [row()], TYPES)
    except InputError as error:
        assert re.search(r"export\.json.*: expected .*, found ", str(error))
    else:
        assert len(read.annotations) <= 1


def test_changed_texts_and_unknown_rows_are_refused():
    with pytest.raises(InputError, match=r"anna.json: task 5: expected the text of row 'x', 'other'"):
        read_annotations([export(version(1, 3), annotator="anna")], [row("other")], TYPES)
    with pytest.raises(InputError, match=r"anna.json: task 5: expected the id of a row, found 'x'"):
        read_annotations([export(version(1, 3), annotator="anna")], [row(id_="y")], TYPES)


def test_files_of_other_shapes_are_refused(tmp_path):
    path = tmp_path / "export.json"
    for content in ("[]x", '{"a": 1}', '[{"id": 1, "text": "x", "label": []}]'):
        path.write_text(content)
        with pytest.raises(InputError, match=re.escape("not JSON-MIN, CSV or CoNLL")):
            read_export(path)
    path.write_text(json.dumps(list(export(version(1, 3)).tasks)))
    assert read_export(path, "anna").annotator == "anna"
    with pytest.raises(InputError, match="found no such file"):
        read_export(tmp_path / "none.json")
