"""An interrupted run goes on where it was, and what is in place is always whole."""

import pytest

from babelens.data import DataError
from babelens.data.box_writer import BoxWriter
from babelens.data.boxes import read_boxes
from babelens.schema import Box

ONE, TWO = Box(1.0, 2.0, 3.0, 4.0, "person", 0.5), Box(0.0, 0.0, 1.0, 1.0)


def grouped(box, group):
    return Box(box.left, box.top, box.right, box.bottom, box.label, box.score, group)


def test_lines_are_read_back(tmp_path):
    path = tmp_path / "deep" / "boxes.jsonl"
    with BoxWriter(path, "g") as writer:
        writer.write("one", [ONE, TWO])
        writer.write("none", [])
        assert not path.exists()
    assert [file.name for file in path.parent.iterdir()] == ["boxes.jsonl"]
    found = read_boxes(path)
    assert found.boxes("one") == (grouped(ONE, "g"), grouped(TWO, "g")) and "none" in found


def test_an_interrupted_run_goes_on(tmp_path):
    path = tmp_path / "boxes.jsonl"
    path.write_text('{"image": "old", "boxes": []}')
    with pytest.raises(KeyboardInterrupt), BoxWriter(path, None) as writer:
        assert writer.done == {"old"}
        writer.write("one", [ONE])
        raise KeyboardInterrupt
    # The run ends in the middle of a line, longer than what is read at once.
    with open(f"{path}.part", "ab") as file:
        file.write(b'{"image": "two", ' + b" " * 200_000)
    assert path.read_text() == '{"image": "old", "boxes": []}'
    with BoxWriter(path, None) as again:
        assert again.done == {"old", "one"}
        again.write("two", [TWO])
    found = read_boxes(path)
    assert list(found.images) == ["old", "one", "two"] and found.boxes("two") == (TWO,)
    assert not again.part.exists()


def test_a_finished_part_takes_its_place_without_more_lines(tmp_path):
    path = tmp_path / "boxes.jsonl"
    path.with_name("boxes.jsonl.part").write_text('{"image": "one", "boxes": []}\n')
    with BoxWriter(path, None) as writer:
        assert writer.done == {"one"}
    assert "one" in read_boxes(path)
    # Nothing to do: nothing is touched.
    before = path.stat().st_mtime_ns
    with BoxWriter(path, None):
        pass
    assert path.stat().st_mtime_ns == before


def test_groups_are_done_each_by_itself(tmp_path):
    path = tmp_path / "boxes.jsonl"
    for group, box in (("a", ONE), ("b", TWO)):
        with BoxWriter(path, group) as writer:
            assert writer.done == set()
            writer.write("one", [box])
            writer.write("none", [])
        assert BoxWriter(path, group).done == {"one", "none"}
    assert BoxWriter(path, None).done == set()
    assert read_boxes(path).boxes("one") == (grouped(ONE, "a"), grouped(TWO, "b"))


def test_what_is_no_file_of_boxes_is_left_alone(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "Anna"}\n')
    with pytest.raises(DataError, match=r"rows\.jsonl:1: expected a picture id in the field image"):
        BoxWriter(path, None)
    with pytest.raises(DataError, match="the name of a file to write, found a folder"):
        BoxWriter(tmp_path, None)
    assert path.read_text() == '{"text": "Anna"}\n'
