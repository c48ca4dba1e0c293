import json
import os
import resource
import shutil
from contextlib import contextmanager

import pytest
import torch

from babelens.training.errors import ResumeError
from babelens.training.state import Progress, State, clean, load_state, save_state, saved_steps

CHANGES = ("replace", "fsync", "mkdir", "unlink", "rmdir")


def state(step, average=True, size=3, **progress):
    generator = torch.Generator().manual_seed(step)
    parameter = torch.nn.Parameter(torch.rand(size, generator=generator))
    optimizer = torch.optim.AdamW([parameter], lr=step / 7)
    parameter.grad = torch.rand(size, generator=generator)
    optimizer.step()
    weights = {"one": parameter.detach().clone(), "two": torch.tensor(step)}
    mean = {name: value / 2 for name, value in weights.items()} if average else None
    return State(Progress(step=step, **progress), weights, optimizer.state_dict(), mean)


def same(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def load(out):
    """The state that is read back, which must have been read without a note."""
    notes = []
    found = load_state(out, notes.append)
    assert not notes
    return found


def hidden(out):
    return [path for path in out.rglob(".*")]


@pytest.mark.parametrize("average", [True, False])
def test_a_state_comes_back_to_the_last_bit(tmp_path, average):
    history = [{"epoch": 1, "losses": {"total": 0.1 + 0.2}, "validation_f1": 100 / 3}]
    scaler = {
        "scale": 65536.0,
        "growth_factor": 2.0,
        "backoff_factor": 0.5,
        "growth_interval": 2000,
        "_growth_tracker": 3,
    }
    saved = state(5, average, epoch=1, sums={"total": 1e-17 / 3}, history=history, best=100 / 7, scaler=scaler)
    save_state(tmp_path, saved)
    found = load(tmp_path)
    assert same(tuple(found), tuple(saved))
    assert isinstance(found.progress.scaler["growth_interval"], int)
    assert not hidden(tmp_path)


def test_the_last_states_stay(tmp_path):
    for step in (1, 2, 9, 10, 200_000_000):
        save_state(tmp_path, state(step), keep=3)
    assert saved_steps(tmp_path) == [9, 10, 200_000_000]
    assert load(tmp_path).progress.step == 200_000_000
    save_state(tmp_path, state(200_000_001), keep=1)
    assert saved_steps(tmp_path) == [200_000_001]


def test_the_weights_of_a_step_are_written_once(tmp_path):
    save_state(tmp_path, state(4, batch=3))
    before = {path.name: path.stat().st_ino for path in (tmp_path / "state" / "00000004").iterdir()}
    save_state(tmp_path, state(4, epoch=1))
    after = {path.name: path.stat().st_ino for path in (tmp_path / "state" / "00000004").iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"progress.json"}
    assert before.keys() == after.keys()
    assert same(tuple(load(tmp_path)), tuple(state(4, epoch=1)))


def flip(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        ("weights.safetensors", flip, "weights.safetensors has changed"),
        ("average.safetensors", flip, "average.safetensors has changed"),
        ("optimizer.pt", flip, "optimizer.pt has changed"),
        ("optimizer.pt", lambda path: os.truncate(path, 100), "optimizer.pt has changed"),
        ("weights.safetensors", os.unlink, "no weights.safetensors"),
        ("checksums.json", os.unlink, "no checksums.json"),
        ("progress.json", os.unlink, "no progress.json"),
        ("progress.json", lambda path: os.truncate(path, 20), "truncated"),
        ("checksums.json", lambda path: os.truncate(path, 0), "truncated"),
    ],
)
def test_of_a_damaged_state_the_one_before_is_taken(tmp_path, name, damage, reason):
    for step in (1, 2):
        save_state(tmp_path, state(step))
    damage(tmp_path / "state" / "00000002" / name)
    notes = []
    assert same(tuple(load_state(tmp_path, notes.append)), tuple(state(1)))
    assert len(notes) == 1 and "state/00000002: expected the whole state" in notes[0] and reason in notes[0]
    assert saved_steps(tmp_path) == [1]
    # What comes again takes the place of what was damaged.
    save_state(tmp_path, state(2))
    assert same(tuple(load(tmp_path)), tuple(state(2)))


def test_where_no_state_is_whole_there_is_nothing_to_go_on_with(tmp_path):
    assert load(tmp_path) is None
    for step in (1, 2):
        save_state(tmp_path, state(step))
        (tmp_path / "state" / f"{step:08d}" / "progress.json").unlink()
    with pytest.raises(ResumeError, match="found only damaged ones"):
        load_state(tmp_path, lambda _: None)
    assert saved_steps(tmp_path) == [1, 2]


def test_a_state_that_is_gone_or_of_another_version_is_refused(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "progress.json").write_text("{}")
    with pytest.raises(ResumeError, match=r"found a state of babelens 0\.1\.0; start anew"):
        load(tmp_path)
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "history.json").write_text("[]")
    with pytest.raises(ResumeError, match="expected the state of a run to go on with, found none"):
        load(tmp_path)


def test_nothing_in_a_state_is_executed(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    save_state(tmp_path, state(1)._replace(optimizer={"state": Attack()}))
    with pytest.raises(ResumeError, match=r"found what cannot be read \(Weights only load failed"):
        load(tmp_path)
    assert not (tmp_path / "executed").exists()


@contextmanager
def before_changes(act):
    """Call `act` with a number before each change of names on the disk."""
    count = 0

    def watched(change):
        def changed(*arguments, **more):
            nonlocal count
            count += 1
            act(count)
            return change(*arguments, **more)

        return changed

    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGES:
            patch.setattr(os, name, watched(getattr(os, name)))
        yield


@pytest.mark.parametrize("last", [2, 3], ids=["the same step again", "the next step"])
def test_what_a_kill_at_any_moment_leaves_is_one_of_the_two_states(tmp_path, last):
    """A copy of the folder at a moment is what a kill at this moment leaves."""
    out, copies = tmp_path / "run", []
    out.mkdir()
    for step in (1, 2):
        save_state(out, state(step))

    def copy(number):
        if not copying:
            copying.append(number)
            shutil.copytree(out, tmp_path / str(number))
            copies.append(tmp_path / str(number))
            copying.clear()

    copying = []
    new = state(last, epoch=7)
    with before_changes(copy):
        save_state(out, new)
    found = []
    for place in copies:
        clean(place)
        assert not hidden(place)
        left = load(place)
        found.append("new" if same(tuple(left), tuple(new)) else "old")
        assert found[-1] == "new" or same(tuple(left), tuple(state(2)))
        save_state(place, new)  # and it goes on
        assert same(tuple(load(place)), tuple(new))
    assert len(copies) > (2 if last == 2 else 10)
    assert sorted(found, reverse=True) == found and set(found) == {"old", "new"}


def test_a_ctrl_c_at_any_moment_of_saving_leaves_no_halves(tmp_path):
    interrupted = 0
    for moment in range(1, 100):
        out = tmp_path / str(moment)
        out.mkdir()
        for step in (1, 2):
            save_state(out, state(step))

        def press(number, moment=moment):
            if number == moment:
                raise KeyboardInterrupt

        try:
            with before_changes(press):
                save_state(out, state(3))
        except KeyboardInterrupt:
            interrupted += 1
            assert load(out).progress.step in (2, 3)
            clean(out)
            assert not hidden(out)
        else:
            break
    assert interrupted > 10


@contextmanager
def no_file_above(size):
    """Let the system refuse to write more than so many bytes into a file, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("limit", [20, 400, 1000, 5000, 41_000, 70_000])
def test_a_disk_that_fills_leaves_the_states_before(tmp_path, limit):
    save_state(tmp_path, state(1, size=10_000))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with no_file_above(limit), pytest.raises(OSError, match="00000002") as caught:
        save_state(tmp_path, state(2, size=10_000))
    assert os.strerror(caught.value.errno) in ("File too large", "No space left on device")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert same(tuple(load(tmp_path)), tuple(state(1, size=10_000)))
    with no_file_above(2), pytest.raises(OSError, match="00000001"):
        save_state(tmp_path, state(1, size=10_000, epoch=1))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_model_that_a_kill_has_moved_away_is_put_back(tmp_path):
    (tmp_path / ".model-old-abc" / "model").mkdir(parents=True)
    (tmp_path / ".model-old-abc" / "model" / "config.json").write_text("{}")
    (tmp_path / ".model-xyz").mkdir()
    (tmp_path / ".history.json.new").write_text("[")
    (tmp_path / "kept").mkdir()
    clean(tmp_path)
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["config.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "model"]
    # Where a new one is in already, the old one goes.
    (tmp_path / ".model-old-abc" / "model").mkdir(parents=True)
    (tmp_path / ".model-old-abc" / "model" / "old").write_text("")
    clean(tmp_path)
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["config.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "model"]


def test_progress_is_text(tmp_path):
    save_state(tmp_path, state(3, seconds=1.5))
    assert json.loads((tmp_path / "state" / "00000003" / "progress.json").read_text())["seconds"] == 1.5
