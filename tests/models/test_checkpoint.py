import json
import os

import pytest
import torch
from PIL import Image

from babelens.data import Picture
from babelens.models.batch import Row
from babelens.models.checkpoint import CheckpointError, load_tagger, save_tagger
from babelens.schema import Example

ROWS = [
    Row(
        Example("0", ("Anna", "visited", "Paris")),
        ("x",),
        lambda key: Picture(key, Image.new("RGB", (50, 40), "red"), "used"),
    ),
    Row(Example("1", ("Le", "maire", "de", "Lyon"))),
]


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_model_read_back_gives_the_same_emissions_and_tags(tiny_tagger, tiny_folder):
    read = load_tagger(tiny_folder)
    one, other = (tagger.collator()(ROWS, labelled=False) for tagger in (tiny_tagger, read))
    with torch.no_grad():
        torch.testing.assert_close(tiny_tagger.emissions(one), read.emissions(other), atol=0, rtol=0)
    assert tiny_tagger.decode(one) == read.decode(other)
    assert read.model == tiny_tagger.model
    assert read.tags == tiny_tagger.tags
    assert not read.training


def test_a_folder_holds_no_pickle_and_all_weights_once(tiny_folder):
    files = snapshot(tiny_folder)
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pkl"))]
    assert [name for name in files if name.endswith(".safetensors")] == ["model.safetensors"]
    assert {"config.json", "README.md"} <= set(files)
    assert {name.split("/")[0] for name in files if "/" in name} == {"text", "clip", "resnet"}


def test_a_folder_is_replaced_as_a_whole(tiny_tagger, tmp_path):
    folder = tmp_path / "model"
    save_tagger(tiny_tagger, folder, {"validation_f1": 1.0})
    save_tagger(tiny_tagger, folder, {"validation_f1": 2.0})
    assert json.loads((folder / "config.json").read_text())["validation_f1"] == 2.0
    assert os.listdir(tmp_path) == ["model"]
    load_tagger(folder)


def test_a_disk_that_fills_while_saving_leaves_the_model_before(tiny_tagger, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    save_tagger(tiny_tagger, folder)
    before = snapshot(folder)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("babelens.models.checkpoint.save_file", full)
    with pytest.raises(OSError, match="No space"):
        save_tagger(tiny_tagger, folder)
    assert snapshot(folder) == before
    assert os.listdir(tmp_path) == ["model"]


def test_something_else_in_the_way_is_not_overwritten(tiny_tagger, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="found something else; not replaced"):
        save_tagger(tiny_tagger, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def broken(folder, change):
    change(folder)
    with pytest.raises(CheckpointError) as caught:
        load_tagger(folder)
    return str(caught.value)


def rewrite(folder, **changes):
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


DAMAGE = {
    "expected the weights of the model, found no such file": lambda folder: (folder / "model.safetensors").unlink(),
    "expected safetensors weights, found": lambda folder: (folder / "model.safetensors").write_bytes(b"12345"),
    "found a damaged file": lambda folder: os.truncate(folder / "model.safetensors", 2000),
    "expected the configuration of a babelens model": lambda folder: (folder / "config.json").unlink(),
    "expected JSON": lambda folder: (folder / "config.json").write_text("{"),
    "found none called model": lambda folder: rewrite(folder, model=None),
    "expected format 1, found 99": lambda folder: rewrite(folder, format=99),
    "expected the weights of the declared model, found others": lambda folder: rewrite(folder, types=["PER"]),
    "model declaration": lambda folder: rewrite(folder, model={"backbone": 3}),
    "expected the folder of the model's part": lambda folder: (folder / "clip").rename(folder / "clap"),
    "found a part that makes none: Unrecognized model": lambda folder: (folder / "resnet/config.json").write_text("{}"),
    "found a part that makes none: Can't load": lambda folder: (folder / "clip/preprocessor_config.json").unlink(),
}


@pytest.mark.parametrize(("message", "change"), DAMAGE.items())
def test_a_damaged_folder_is_named_with_what_is_wrong(tiny_tagger, tmp_path, message, change):
    folder = tmp_path / "model"
    save_tagger(tiny_tagger, folder)
    assert message in broken(folder, change)


def test_a_path_that_is_not_there_is_not_looked_up_on_the_hub(tmp_path):
    with pytest.raises(CheckpointError, match="expected a model folder, found nothing"):
        load_tagger(tmp_path / "nowhere")
