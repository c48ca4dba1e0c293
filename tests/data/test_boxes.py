"""Boxes files: what is read, what is refused, and that they arrive in the pictures of a corpus."""

import json
import pickle
from typing import Any

import pytest
from PIL import Image

from babelens.data import DataError, read_corpus, read_share, read_split
from babelens.data.boxes import read_boxes
from babelens.prediction.inputs import Rows
from babelens.schema import Box

VOC = """<annotation><filename>elsewhere.jpg</filename><size><width>500</width></size>
{}
</annotation>"""
OBJECT = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def refused(path):
    with pytest.raises(DataError) as raised:
        read_boxes(path)
    return raised.value


def test_all_fields_and_both_shapes(tmp_path):
    full = {"left": 1, "top": 2.5, "right": 3, "bottom": 4, "label": "person", "score": 0.5, "group": "detector"}
    bare = {"left": 0, "top": 0, "right": 0, "bottom": 0, "colour": "red"}
    lines = [{"image": "b", "boxes": [full, bare]}, "", {"image": 7, "group": "g", "boxes": [[1, 2, 3, 4], full]}]
    found = read_boxes(write(tmp_path / "any.jsonl", *lines))
    one = Box(1.0, 2.5, 3.0, 4.0, "person", 0.5, "detector")
    assert found.boxes("b") == (one, Box(0.0, 0.0, 0.0, 0.0))
    assert found.boxes("7") == (Box(1.0, 2.0, 3.0, 4.0, group="g"), one)
    assert found.boxes("a") == found.boxes("c") == found.boxes("") == ()
    assert "b" in found and "a" not in found and list(found.images) == ["b", "7"]


def test_lines_of_one_picture_are_joined_in_their_order(tmp_path):
    lines = [{"image": f"p{n % 3000}", "boxes": [[n, 0, n, 0]]} for n in range(6000)]
    found = read_boxes(write(tmp_path / "boxes.jsonl", *lines, {"image": "empty", "boxes": []}))
    assert all([box.left for box in found.boxes(f"p{n}")] == [n, n + 3000] for n in range(0, 3000, 97))
    assert "empty" in found and found.boxes("empty") == ()
    again = pickle.loads(pickle.dumps(found))
    assert again.boxes("p5") == found.boxes("p5") and len(pickle.dumps(found)) < 500


def test_no_line_at_all(tmp_path):
    found = read_boxes(write(tmp_path / "boxes.jsonl"))
    assert found.boxes("a") == () and list(found.images) == []


def test_every_fault_is_told_by_line_and_field(tmp_path):
    path = write(
        tmp_path / "boxes.jsonl",
        "{",
        '"text"',
        {"image": "", "boxes": []},
        {"image": "a", "boxes": {}},
        {"image": "a", "boxes": [[1, 2, 3], "x", [1, 2, "3", 4]]},
        {"image": "a", "boxes": [{"left": 1, "top": True, "right": 3, "label": 5, "score": "high"}]},
        {"image": "a", "boxes": [[5, 5, 4, 4]], "group": 3},
        {"image": "ok", "boxes": [[1, 2, 3, 4]]},
    )
    error = refused(path)
    assert [str(problem).removeprefix(f"{path}:") for problem in error.problems[1:]] == [
        "2: expected an object with image and boxes, found 'text'",
        "3: expected a picture id in the field image, found ''",
        "4: expected a list in the field boxes, found {}",
        "5: expected an object or 4 edges (left, top, right, bottom) in boxes[0], found [1, 2, 3]",
        "5: expected an object or 4 edges (left, top, right, bottom) in boxes[1], found 'x'",
        "5: expected a number in boxes[2].right, found '3'",
        "6: expected a number in boxes[0].top, found True",
        "6: expected a number in boxes[0].bottom, found none",
        "6: expected a number in boxes[0].score, found 'high'",
        "6: expected a string in boxes[0].label, found 5",
        "7: expected a string in the field group, found 3",
        "7: expected right at or after left in boxes[0], found left 5, right 4",
        "7: expected bottom at or after top in boxes[0], found top 5, bottom 4",
    ]
    assert str(error.problems[0]).startswith(f"{path}:1: expected a JSON object, found '{{'")
    # Nothing of a file with faults is kept.
    assert refused(path).total == error.total == 14


def test_places_without_boxes_are_told(tmp_path):
    assert "a JSONL file of boxes, or a folder of XML files, found no such" in str(refused(tmp_path / "none.jsonl"))
    assert f"{tmp_path}: expected XML files with boxes, found none" in str(refused(tmp_path))


def test_xml_counts_pixels_from_one_and_is_named_by_its_file(tmp_path):
    write(tmp_path / "17.xml", VOC.format(OBJECT.format("Bieber", 1, 22, 500, 706) + OBJECT.format("", 3, 3, 3, 3)))
    write(tmp_path / "none.xml", VOC.format(""))
    found = read_boxes(tmp_path)
    assert found.boxes("17") == (Box(0.0, 21.0, 500.0, 706.0, "Bieber"), Box(2.0, 2.0, 3.0, 3.0))
    assert found.boxes("elsewhere") == found.boxes("none") == () and "none" in found
    # A changed file is read anew.
    write(tmp_path / "none.xml", VOC.format(OBJECT.format("x", 1, 1, 2, 2)))
    assert read_boxes(tmp_path).boxes("none") == (Box(0.0, 0.0, 2.0, 2.0, "x"),)


def test_every_fault_of_every_xml_file_is_told(tmp_path):
    write(tmp_path / "a.xml", "<annotation>", "<object>")
    write(tmp_path / "b.xml", VOC.format(OBJECT.format("x", 5, "y", 2, "nan") + OBJECT.format("x", 5, 1, 2, 2)))
    write(tmp_path / "c.xml", VOC.format("<object/>"))
    messages = [str(problem).removeprefix(f"{tmp_path}/") for problem in refused(tmp_path).problems]
    assert messages[0].startswith("a.xml:3: expected XML, found")
    assert messages[1:4] == [
        "b.xml: expected a number in object[1]/bndbox/ymin, found 'y'",
        "b.xml: expected a number in object[1]/bndbox/ymax, found 'nan'",
        "b.xml: expected right at or after left in object[2], found left 4, right 2",
    ]
    assert len(messages) == 8 and messages[4] == "c.xml: expected a number in object[1]/bndbox/xmin, found none"


@pytest.fixture
def folder(tmp_path):
    for name in ("one.jpg", "two.png", "deep/three.jpg"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "images" / name)
    ids = ["one", "two.png", "deep/three", "gone"]
    text = "".join(f"IMGID:{name}\nword\tO\n\n" for name in ids)
    write(tmp_path / "train.txt", text)
    write(tmp_path / "fr" / "valid.txt", text)
    rows = [{"tokens": ["word"], "image": name} for name in ids]
    write(tmp_path / "rows" / "test.jsonl", *rows)
    return tmp_path


LINES = [{"image": name, "boxes": [[n, 0, 9, 9]]} for n, name in enumerate(["one.jpg", "two", "deep/three", "gone"])]


def opened(corpus):
    return [corpus.picture(corpus.picture_keys(row)[0]) for row in range(len(corpus))]


def lefts(corpus):
    return [[box.left for box in picture.boxes] for picture in opened(corpus)]


def test_boxes_beside_the_data_arrive_in_its_pictures(folder):
    assert lefts(read_split(folder, "train")) == [[], [], [], []]
    write(folder / "boxes.jsonl", *LINES)
    corpus = read_corpus(folder / "train.txt")
    assert lefts(corpus) == lefts(pickle.loads(pickle.dumps(corpus))) == [[0], [1], [2], []]
    assert [picture.status for picture in opened(corpus)] == ["used"] * 3 + ["missing"]
    assert corpus.boxes(corpus.picture_keys(3)[0]) == (Box(3.0, 0.0, 9.0, 9.0),)
    assert lefts(read_split(folder, "train")) == [[0], [1], [2], []]
    # A language's folder takes those of the folder around it, unless it has its own.
    valid = read_corpus(folder / "fr" / "valid.txt")
    assert lefts(valid) == [[0], [1], [2], []]
    write(folder / "fr" / "boxes" / "one.xml", VOC.format(OBJECT.format("x", 6, 6, 7, 7)))
    assert lefts(read_corpus(folder / "fr" / "valid.txt")) == [[5], [], [], []]


def test_boxes_are_part_of_what_a_corpus_is(folder):
    before = read_corpus(folder / "train.txt").digest
    write(folder / "boxes.jsonl", *LINES)
    boxed = read_corpus(folder / "train.txt").digest
    write(folder / "boxes.jsonl", *LINES[:1])
    assert len({before, boxed, read_corpus(folder / "train.txt").digest}) == 3


def test_a_folder_of_boxes_of_both_kinds_asks_which(folder):
    write(folder / "boxes.jsonl", *LINES)
    write(folder / "boxes" / "one.xml", VOC.format(""))
    with pytest.raises(DataError, match=r"boxes\.jsonl or a folder boxes; --boxes says which to read, found both"):
        read_corpus(folder / "train.txt")
    both = read_corpus(folder / "train.txt", boxes=[folder / "boxes", folder / "boxes.jsonl"])
    assert lefts(both) == [[0], [1], [2], []]


def test_named_boxes_take_the_place_of_those_beside(folder):
    write(folder / "boxes.jsonl", *LINES)
    other = write(folder / "other.jsonl", {"image": "one", "boxes": [[7, 0, 9, 9]]})
    third = write(folder / "third.jsonl", {"image": "one.jpg", "boxes": [[8, 0, 9, 9]]})
    assert lefts(read_split(folder, "train", boxes=other)) == [[7], [], [], []]
    assert lefts(read_share(folder / "train.txt", boxes=[other, third])) == [[7, 8], [], [], []]


def test_a_file_of_boxes_is_no_corpus(folder):
    (folder / "train.txt").rename(folder / "rows" / "other.txt")
    (folder / "rows" / "test.jsonl").unlink()
    write(folder / "rows" / "boxes.jsonl", *LINES)
    assert len(read_corpus(folder / "rows")) == len(list(Rows(str(folder / "rows")))) == 4


def test_pictures_in_the_file_itself_are_named_by_their_digest(folder, tmp_path):
    from babelens.data.convert import write_corpus

    out = tmp_path / "out" / "train.parquet"
    out.parent.mkdir()
    write_corpus(read_corpus(folder / "train.txt").select([0]), out, "parquet")
    corpus = read_corpus(out)
    (key,) = corpus.picture_keys(0)
    assert key.startswith("sha256:")
    boxes = write(tmp_path / "named.jsonl", {"image": key, "boxes": [[4, 4, 5, 5]]})
    assert lefts(read_corpus(out, boxes=boxes)) == [[4]]


@pytest.mark.parametrize("source", ["rows/test.jsonl", "train.txt"])
def test_boxes_of_rows_to_predict(folder, source):
    def found(**given):
        rows: list[Any] = list(Rows(str(folder / source), images=folder / "images", **given))
        return [[box.left for box in row.open(row.keys[0]).boxes] for row in rows]

    other = write(folder / "other.jsonl", *LINES)
    assert found() == [[], [], [], []]
    assert found(boxes=[other]) == [[0], [1], [2], []]
    other.rename((folder / source).parent / "boxes.jsonl")
    assert found() == [[0], [1], [2], []]


def test_an_encoding_that_nobody_knows_is_told(tmp_path):
    (tmp_path / "a.xml").write_text('<?xml version="1.0" encoding="klingon"?><annotation/>', encoding="utf-8")
    assert "expected XML in an encoding that is known" in str(refused(tmp_path))
