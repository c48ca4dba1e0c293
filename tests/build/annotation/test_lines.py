import pytest

from babelens.build.annotation.annotations import Annotation
from babelens.build.annotation.lines import read_records, read_rows, write_lines
from babelens.build.annotation.spans import Span
from babelens.schema import InputError


def test_annotations_are_plain_json_lines(tmp_path):
    path = tmp_path / "folder" / "annotations.jsonl"
    annotation = Annotation(id="x", annotator="anna", text="Zoë", entities=(Span(0, 3, "Zoë", "PER"),), order=0)
    assert write_lines(path, [annotation]) == 1
    assert path.read_text("utf-8") == (
        '{"id":"x","annotator":"anna","text":"Zoë",'
        '"entities":[{"start":0,"end":3,"text":"Zoë","type":"PER"}],"order":0}\n'
    )
    assert read_records(path, Annotation) == [annotation]
    assert [child.name for child in path.parent.iterdir()] == ["annotations.jsonl"]


def test_all_faults_of_a_file_are_told(tmp_path):
    path = tmp_path / "annotations.jsonl"
    path.write_bytes(b'{"id": "a", "annotator": "b", "text": "x", "entities": []}\nno json\n{"id": 3}\n')
    with pytest.raises(InputError) as error:
        read_records(path, Annotation)
    assert [line.split(": ")[0].rpartition(":")[2] for line in str(error.value).split("\n")] == ["2", "3"]
    assert "expected a record of annotation, found 'no json'" in str(error.value)
    path.write_bytes(b'{"id": "a", "text": "x", "more": 1}\n{"id": "a", "text": "y"}\n{"id": "b"}\n')
    with pytest.raises(InputError) as error:
        read_rows(path)
    assert "annotations.jsonl:2: expected an id that no other row has, found 'a'" in str(error.value)
    assert "annotations.jsonl:3: expected a string as text, found id" in str(error.value)
    for read in (read_rows, lambda path: read_records(path, Annotation)):
        with pytest.raises(InputError, match="found no such file"):
            read(tmp_path / "none")
