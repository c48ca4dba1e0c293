import json

import pytest
from PIL import Image

import babelens
from babelens.build.preannotate import preannotate_rows
from babelens.build.preannotate_labels import Labels
from babelens.build.preannotate_model import ModelAnnotator
from babelens.build.rows import read_input
from babelens.data.journal import Interrupted
from babelens.schema import InputError

TEXTS = ["Anna Lindqvist visited Paris .", "Le maire de Lyon a reçu 🎉 Zoé", "", "  Köln !", "El equipo de Bogotá"]


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 30), (200, 30, 90)).save(tmp_path / "images/a.jpg")
    (tmp_path / "images/b.jpg").write_bytes(b"no picture")
    return tmp_path / "images"


@pytest.fixture
def rows():
    pictures = ["a", "a.jpg", None, "b", "gone"]
    return [
        {"id": f"r{number}", "text": text, "image": picture, "language": None if number else "en", "own": [number]}
        for number, (text, picture) in enumerate(zip(TEXTS * 5, pictures * 5, strict=True))
    ]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_input(path)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def places(entities):
    return [(one["start"], one["end"], one["text"], one["type"]) for one in entities]


def test_entities_and_scores_are_those_of_the_model_asked_row_by_row(tiny_folder, rows, images, tmp_path):
    source = write(tmp_path / "in.jsonl", rows)
    done = preannotate_rows(source, tmp_path / "out", ModelAnnotator(tiny_folder, images=images, device="cpu", batch=2))
    model, found = babelens.load(tiny_folder, "cpu"), 0
    made, told = lines(tmp_path / "out/rows.jsonl"), lines(tmp_path / "out/provenance.jsonl")
    for row, new, said in zip(rows, made, told, strict=True):
        picture = {"a": "a.jpg", "b": "b.jpg"}.get(row["image"], row["image"])
        answer = model.predict(row["text"], image=None if picture is None else images / picture)
        expected = [mention.to_dict() for mention in answer.entities]
        assert places(new["entities"]) == places(expected)
        assert [one["score"] for one in new["entities"]] == pytest.approx([one["score"] for one in expected], abs=1e-5)
        assert said["image_status"] == answer.image_status
        assert {name: value for name, value in new.items() if name != "entities"} == row
        found += len(expected)
    assert found > 10 and done.rows == len(rows)
    assert {said["image_status"] for said in told} == {"used", "missing", "unreadable", "none"}


def test_pictures_count_only_where_there_is_a_folder_of_them(tiny_folder, rows, images, tmp_path):
    source = write(tmp_path / "in.jsonl", rows)
    for name, folder in (("with", images), ("without", None)):
        preannotate_rows(source, tmp_path / name, ModelAnnotator(tiny_folder, images=folder, device="cpu"))
    told = lines(tmp_path / "without/provenance.jsonl")
    assert all("image_status" not in said for said in told)
    assert lines(tmp_path / "with/rows.jsonl") != lines(tmp_path / "without/rows.jsonl")
    by = json.loads((tmp_path / "with/step.json").read_text())["options"]["by"]["*"]
    assert (by["model"], by["images"], len(by["digest"])) == ("model", True, 32)


def test_a_stopped_run_goes_on_to_the_same_bytes(tiny_folder, rows, images, tmp_path):
    source, whole = write(tmp_path / "in.jsonl", rows), tmp_path / "whole"
    rows_at_once = {"images": images, "device": "cpu", "batch": 1}
    preannotate_rows(source, whole, ModelAnnotator(tiny_folder, **rows_at_once))
    stopped = ModelAnnotator(tiny_folder, **rows_at_once)
    annotate = stopped.annotate

    def once(blocks):
        yield next(iter(annotate(blocks)))
        raise KeyboardInterrupt

    stopped.annotate = once
    with pytest.raises(Interrupted):
        preannotate_rows(source, tmp_path / "out", stopped, seconds=0.0)
    assert json.loads((tmp_path / "out/.rows.jsonl.journal").read_text())["done"] == stopped.block == 16
    preannotate_rows(source, tmp_path / "out", ModelAnnotator(tiny_folder, **rows_at_once))
    assert content(tmp_path / "out") == content(whole)


def test_types_are_renamed_and_fields_that_name_no_picture_are_told(tiny_folder, images, tmp_path):
    rows = [{"id": "a", "text": TEXTS[0]}, {"id": "b", "text": TEXTS[0], "image": {"at": 3}}]
    labels = Labels({"PER": "PERSON", "LOC": "O"})
    source = write(tmp_path / "in.jsonl", rows)
    preannotate_rows(source, tmp_path / "out", ModelAnnotator(tiny_folder, images=images, device="cpu"), labels)
    made, told = lines(tmp_path / "out/rows.jsonl"), lines(tmp_path / "out/provenance.jsonl")
    kinds = {label: labels.type_of(label) for label in told[0]["labels"]}
    assert [one["type"] for one in made[0]["entities"]] == [kinds[label] for label in told[0]["labels"]]
    assert not {"PER", "LOC"} & {one["type"] for one in made[0]["entities"]}
    assert (told[1]["did"], told[1]["why"], made[1]) == ("kept", "image field", rows[1])


def test_missing_models_and_folders(tiny_folder, tmp_path):
    with pytest.raises(InputError, match="expected a model folder, found nothing"):
        ModelAnnotator(tmp_path / "none")
    with pytest.raises(InputError, match="expected a folder of pictures, found no such folder"):
        ModelAnnotator(tiny_folder, images=tmp_path / "none")
