import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from babelens.build.preannotate import preannotate_rows
from babelens.build.preannotate_cluster import ClusterAnnotator, absolute_name
from babelens.build.preannotate_model import ModelAnnotator
from babelens.build.rows import read_input
from babelens.cli.main import app
from babelens.data.journal import Interrupted
from babelens.prediction.cluster_actors import Cluster, connected
from babelens.schema import InputError

pytestmark = pytest.mark.filterwarnings("ignore:::ray[.]")
TEXTS = ["Anna Lindqvist visited Paris .", "Le maire de Lyon a reçu 🎉 Zoé", "", "  Köln !", "El equipo de Bogotá"]


@pytest.fixture(scope="module")
def ray():
    if sys.platform != "linux":
        pytest.skip("the workers are found in /proc")
    pytest.importorskip("ray", reason="Ray (240 MB) is not installed: pip install 'babelens[cluster]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        with connected(Cluster(actors=2)):
            yield


@pytest.fixture
def source(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 30), (200, 30, 90)).save(tmp_path / "images/a.jpg")
    (tmp_path / "images/b.jpg").write_bytes(b"no picture")
    pictures = ["a", "a.jpg", None, "b", "gone", 3, []]
    rows = [
        {"id": f"r{number}", "text": TEXTS[number % 5], "image": pictures[number % 7], "own": [number]}
        for number in range(300)
    ]
    rows[7]["entities"] = []
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_input(tmp_path / "in.jsonl")


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def actors():
    """The processes of actors, by the name that they give themselves."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (entry / "cmdline").exists():
            command = (entry / "cmdline").read_bytes()
            if command.startswith(b"ray::") and b"_Maker" in command:
                found.append(int(entry.name))
    return found


@pytest.mark.long
def test_the_same_is_written_on_a_cluster_also_when_a_worker_is_killed(ray, tiny_folder, source, tmp_path):
    make = partial(ModelAnnotator, tiny_folder, images=tmp_path / "images", device="cpu", batch=1)
    done = preannotate_rows(source, tmp_path / "here", make())
    annotator, killed = ClusterAnnotator(make, Cluster(actors=2)), []
    annotate = annotator.annotate

    def killing(blocks):
        for number, block in enumerate(annotate(blocks)):
            if number == 3:
                killed.extend(actors()[:1])
                os.kill(killed[0], signal.SIGKILL)
            yield block

    annotator.annotate = killing
    there = preannotate_rows(source, tmp_path / "there", annotator)
    assert killed and content(tmp_path / "there") == content(tmp_path / "here")
    assert there.rows == done.rows == 299 and there.core_seconds > 0

    # What one engine has begun, the other finishes.
    begun = make()
    begun.annotate = lambda blocks: (_stop(number, block) for number, block in enumerate(make().annotate(blocks)))
    with pytest.raises(Interrupted):
        preannotate_rows(source, tmp_path / "both", begun, seconds=0.0)
    preannotate_rows(source, tmp_path / "both", ClusterAnnotator(make, Cluster()))
    assert content(tmp_path / "both") == content(tmp_path / "here")


def _stop(number, block):
    if number == 4:
        raise KeyboardInterrupt
    return block


@pytest.mark.long
def test_a_model_that_differs_on_another_machine_is_told_of(ray, tiny_folder, source, tmp_path):
    here = os.getpid()

    def make():
        annotator = ModelAnnotator(tiny_folder, device="cpu")
        if os.getpid() != here:
            annotator.versions = {**annotator.versions, "torch": "1.0"}
        return annotator

    with pytest.raises(InputError, match=r"on every machine of the cluster, found .*'torch': '1\.0'"):
        preannotate_rows(source, tmp_path / "out", ClusterAnnotator(make, Cluster()))


def test_the_command_refuses_what_belongs_to_the_other_engine(tiny_folder, source, tmp_path):
    rows, out = str(tmp_path / "in.jsonl"), str(tmp_path / "out")
    command = ["build", "preannotate", rows, "--model", str(tiny_folder), "-o", out, "--engine", "ray"]
    for other in (["--processes", "2"], ["--device", "cpu"]):
        refused = CliRunner().invoke(app, [*command, *other])
        assert refused.exit_code == 2 and "are of the local engine" in " ".join(refused.output.split())


@pytest.mark.long
def test_the_command_writes_the_same(ray, tiny_folder, source, tmp_path):
    for engine in ("local", "ray"):
        command = ["build", "preannotate", str(tmp_path / "in.jsonl"), "--model", str(tiny_folder)]
        done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / engine), "--batch", "4", "--engine", engine])
        assert done.exit_code == 0, done.output
    assert content(tmp_path / "local") == content(tmp_path / "ray")


def test_folders_of_pipelines_are_found_wherever_a_process_stands(tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path)
    assert absolute_name("own") == str(tmp_path / "own")
    assert absolute_name("en_core_web_sm") == "en_core_web_sm"
