import base64
import io
import json

import msgspec
import pytest
from PIL import Image

from babelens.build.annotation.assign import Assignment
from babelens.build.annotation.spans import cut
from babelens.build.annotation.tasks import NO_PICTURE, annotator_tasks, embedded, make_task, served, unseen
from babelens.schema import InputError

TEXT = "😀 Anna\n in  Rome"
TEAM = [
    Assignment(id="x", annotators=("a", "b"), inspector="c", order=1, round=1),
    Assignment(id="y", annotators=("b", "c"), inspector="a", order=0, round=1),
    Assignment(id="z", annotators=("a", "c"), inspector="b", order=2, round=2),
]


def row(id_, **more):
    return {"id": id_, "text": TEXT} | more


def label(_):
    return [cut(TEXT, 2, 6, "PER")]


def test_each_annotator_gets_own_rows_in_the_order_of_work():
    rows = [row(id_, entities=[{}] if id_ != "z" else []) for id_ in "xyzw"]
    tasks = annotator_tasks(rows, TEAM, label, unseen)
    assert {name: [task["data"]["row"] for task in part] for name, part in tasks.items()} == {
        "a": ["x", "z"],
        "b": ["y", "x"],
        "c": ["y", "z"],
    }
    first = tasks["a"][0]
    assert first["data"] == {"row": "x", "text": TEXT, "image": NO_PICTURE, "order": 1, "round": 1}
    (prediction,) = first["predictions"]
    (region,) = prediction["result"]
    # A code point before "Anna" lies outside the first plane: UTF-16 would count from 3.
    assert region["value"] == {"start": 2, "end": 6, "text": "Anna", "labels": ["PER"]}
    assert tasks["a"][1]["predictions"] == []
    assert set(annotator_tasks(rows, TEAM, label, unseen, round=2)) == {"a", "c"}


def test_text_survives_json_byte_for_byte():
    text = "\t<b>&amp; \u2028 \r\n e\u0301 \u200f$text"
    task = json.loads(msgspec.json.encode(make_task({"id": "x", "text": text}, None, {})))
    assert task["data"]["text"] == text


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "root" / "photos ü"
    pictures.mkdir(parents=True)
    Image.new("RGB", (3000, 1000), "red").save(pictures / "big.png")
    (pictures / "broken.jpg").write_bytes(b"no picture")
    Image.new("RGB", (9, 9)).save(tmp_path / "outside.jpg")
    return pictures


def test_pictures_inside_tasks_are_small_jpegs(folder):
    show = embedded(folder, longest=300)
    shown = show(row("x", image="big"))
    assert shown is not None and shown.startswith("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(base64.b64decode(shown.partition(",")[2]))) as image:
        assert image.format == "JPEG" and image.size == (300, 100)
    for name in ("broken", "none", "../../outside", None, ""):
        assert show(row("x", image=name)) is None
    assert show(row("x")) is None


def test_served_pictures_are_named_from_the_root(folder):
    show = served(folder, folder.parent)
    assert show(row("x", image="big")) == "/data/local-files/?d=photos%20%C3%BC/big.png"
    assert show(row("x", image="../../outside")) is None
    with pytest.raises(InputError, match=r"expected a folder in .*, which Label Studio serves"):
        served(folder, folder)
