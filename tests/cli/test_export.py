"""babelens export: what it prints, and what it refuses."""

import pytest
import torch
import typer
from typer.testing import CliRunner

from babelens.cli.export import export
from babelens.data import read_split
from babelens.models.checkpoint import CheckpointError, new_tagger, save_tagger
from babelens.models.spec import Model
from babelens.modules.late import Late
from babelens.modules.text.recurrent import Recurrent
from babelens.prediction.export_check import compare
from babelens.prediction.onnx_engine import load_exported
from babelens.schema import TagSet

pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

SENTENCES = ["Anna Lindqvist visited Paris .", "Le maire de Lyon a reçu le Real Madrid .", "Köln", "morgen"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model folder, and beside it a data directory."""
    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(5)
    model = Model(Late(Recurrent(word_dim=8, hidden=4)))
    tagger = new_tagger(model, TagSet(("LOC", "PER")), lambda: [sentence.split() for sentence in SENTENCES])
    save_tagger(tagger, folder / "model")
    (folder / "data").mkdir()
    lines = []
    for sentence in SENTENCES * 5:
        lines += [f"{word} {'B-PER' if word[0].isupper() else 'O'}" for word in sentence.split()] + [""]
    (folder / "data" / "valid.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def run(*arguments):
    app = typer.Typer()
    app.command()(export)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_it_prints_what_8_bits_cost(place, tmp_path):
    data = place / "data"
    done = run(place / "model", "--out", tmp_path / "out", "--int8", "--data", data, "--limit", 18)
    assert done.exit_code == 0, done.output
    printed = " ".join(done.output.split())
    assert all(word in printed for word in ("18 rows", "F1 of torch", "cost", "float32", "int8", "MiB written to"))
    exported = load_exported(tmp_path / "out")
    told = exported.export.checked
    from babelens.models.checkpoint import load_tagger

    corpus = read_split([str(data)], "valid").select(range(18))
    again = compare(load_tagger(place / "model"), exported, corpus)
    assert (again.rows, again.f1, again.same) == (18, told["int8"]["f1"], told["int8"]["same"])
    assert f"{told['int8']['torch_f1'] - told['int8']['f1']:+.2f}" in printed
    assert told["float32"]["same"] == 18 and told["float32"]["f1"] == told["int8"]["torch_f1"]


def test_what_is_no_model_folder_is_refused_and_nothing_is_written(place, tmp_path):
    done = run(tmp_path / "none", "--out", tmp_path / "out")
    assert isinstance(done.exception, CheckpointError) and "expected a model folder, found nothing" in str(
        done.exception
    )
    assert run(place / "model", "--out", tmp_path / "out", "--data", place / "data", "--split", "dev9").exit_code == 2
    assert list(tmp_path.iterdir()) == []
