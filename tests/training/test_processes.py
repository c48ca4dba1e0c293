"""Real groups of 2 and 4 processes over gloo against one process, in 64 bits. What they run stands in worker.py."""

import importlib.util
import multiprocessing
import runpy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from babelens.data import read_corpus
from babelens.models.checkpoint import load_tagger
from babelens.models.decode import decode_corpus
from babelens.scoring.scores import score
from babelens.training.errors import TrainingError
from babelens.training.processes import agreed, ending_together, gather_objects, in_step, join_processes

WORKER = Path(__file__).with_name("worker.py")
spec = importlib.util.spec_from_file_location("worker", WORKER)
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Where each process of a group of 2 and one of 4 leaves what it finds; both run side by side."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["babelens.training.step", "babelens.models.checkpoint"])
    started = {world: tmp_path_factory.mktemp(f"group{world}") for world in (2, 4)}
    for folder in started.values():
        worker.write_corpus(folder)
    processes = [
        context.Process(
            target=runpy.run_path,
            args=(str(WORKER), {"RANK": rank, "WORLD": world, "FOLDER": str(folder)}, "group"),
        )
        for world, folder in started.items()
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        process.kill()
    return started


@pytest.fixture(scope="module", params=[2, 4])
def world(request):
    """The size of a group."""
    return request.param


@pytest.fixture(scope="module")
def group(folders, world):
    """What each process of a group found."""
    return [torch.load(folders[world] / f"{rank}.pt") for rank in range(world)]


@pytest.fixture(scope="module")
def alone():
    """What one process finds."""
    return {name: worker.run(*case) for name, case in worker.RUNS.items()}


@pytest.mark.parametrize("name", worker.RUNS)
def test_processes_make_the_step_of_one(group, alone, name):
    one = alone[name]
    for own in group:
        many = own[name]
        for losses, expected in zip(many["losses"], one["losses"], strict=True):
            assert losses == pytest.approx(expected, rel=1e-6, abs=1e-12)
        assert many["gradients"].keys() == one["gradients"].keys()
        for part, expected in one["gradients"].items():
            found = many["gradients"][part]
            assert (found is None) == (expected is None), part
            if expected is not None:
                torch.testing.assert_close(
                    found, expected, rtol=1e-5, atol=1e-8, msg=lambda text, part=part: f"{part}: {text}"
                )
        for part, expected in one["weights"].items():
            torch.testing.assert_close(many["weights"][part], group[0][name]["weights"][part], rtol=0, atol=0)
            torch.testing.assert_close(
                many["weights"][part], expected, rtol=0, atol=1e-5, msg=lambda text, part=part: f"{part}: {text}"
            )


def test_the_gradient_of_gathered_rows_is_that_of_all_rows(group, world):
    rows = worker.ROWS_OF_ALL.clone().requires_grad_()
    size = -(-len(rows) // world)
    filled = []
    for rank in range(world):
        own = rows[rank::world]
        filled.append(torch.cat([own, own.new_zeros(size - len(own), 3)]))
    every = torch.cat(filled)
    (every.cumsum(0).sin() * every).sum().backward()
    for rank, own in enumerate(group):
        torch.testing.assert_close(own["gathered"]["every"], every.detach(), rtol=0, atol=0)
        torch.testing.assert_close(own["gathered"]["gradient"], rows.grad[rank::world])


def test_what_is_not_finite_in_one_process_ends_all_with_the_rows_of_all(group):
    for own in group:
        found = own["not finite"]
        assert "step 4: the loss is not finite" in found["message"]
        assert all(row.example.id in found["message"] for row in worker.ROWS)
        assert found["same"]


def test_a_stop_asked_of_one_process_is_heard_by_all(group, world):
    for own in group:
        assert own["stopping"]["stopping"] == [True, False]
        assert own["stopping"]["processes"] == list(range(world))


def test_rows_that_one_process_cannot_read_end_all(group, world):
    for rank, own in enumerate(group):
        told = "OSError: no such row" if rank == 1 else f"TrainingError: process 1 of {world} has failed: no such row"
        assert own["lost rows"]["message"] == told
        assert own["lost rows"]["seen"] == [1]
        assert own["lost rows"]["whole"] == [4, 5]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A training by one process, and its folder."""
    folder = tmp_path_factory.mktemp("undisturbed")
    worker.write_corpus(folder)
    return worker.trained(folder, stopped=False), folder / "run"


def test_a_run_of_several_processes_that_is_stopped_ends_as_that_of_one(group, folders, world, undisturbed):
    expected, place = undisturbed
    out = folders[world] / "run"
    for own in group:
        found = own["trained"]
        assert "stopped in epoch 2 at step" in found["message"] and "--resume" in found["message"]
        assert (found["best"], found["epoch"]) == (expected["best"], expected["epoch"])
        for one, other in zip(found["history"], expected["history"], strict=True):
            assert one["losses"] == pytest.approx(other["losses"], rel=1e-5)
            assert (one["step"], one["validation_f1"]) == (other["step"], other["validation_f1"])
        assert "a run stands here already" in found["again"] and found["again"].startswith("ResumeError")
    lines = [(folder / "losses.jsonl").read_text().splitlines() for folder in (out, place)]
    assert len(lines[0]) == len(lines[1]) == 6
    assert sorted(path.name for path in (out / "state").iterdir()) == [f"{step:08d}" for step in (5, 6)]
    for name in ("weights.safetensors", "average.safetensors"):
        one, other = (load_file(folder / "state" / "00000006" / name) for folder in (out, place))
        for part, value in one.items():
            # Gradients of the keys' biases are rounding alone, and Adam makes whole steps of them.
            if "key.bias" not in part and "k_proj.bias" not in part:
                torch.testing.assert_close(
                    value, other[part], rtol=0, atol=1e-5, msg=lambda text, part=part: f"{part}: {text}"
                )
    model = load_tagger(out / "model")
    corpus = read_corpus(out.parent / "train.txt")
    assert score([row.entities for row in corpus], decode_corpus(model, corpus)[0]).micro.f1 == expected["best"]


def test_a_process_that_is_gone_ends_the_others(folders, world):
    left = {int(path.stem[0]): torch.load(path) for path in folders[world].glob("*-left.pt")}
    assert sorted(left) == [rank for rank in range(world) if rank != 1]
    for own in left.values():
        assert "another process of the run is gone" in own["message"]
        assert own["seconds"] < 30


def test_models_in_pieces_are_refused(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(TrainingError, match="expected processes that each have the whole model, found FSDP"):
        join_processes(None)


def test_one_device_for_several_processes_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(
        TrainingError, match="--device: expected cuda or cpu in a run of several processes, found 'cuda:1'"
    ):
        join_processes("cuda:1")


def test_alone_a_process_agrees_with_itself():
    assert agreed(lambda: 3) == 3 and gather_objects("own") == ["own"] and list(in_step(iter([1, 2]))) == [1, 2]
    with pytest.raises(RuntimeError, match="gloo"), ending_together():
        raise RuntimeError("gloo")
