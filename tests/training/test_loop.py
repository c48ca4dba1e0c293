import json
import os
import signal
from multiprocessing import active_children

import msgspec
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from babelens.data import read_corpus
from babelens.models.checkpoint import load_tagger
from babelens.models.decode import decode_corpus
from babelens.models.loading import BatchLoader
from babelens.models.spec import Model
from babelens.modules.alignment import Contrastive
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.modules.late import Late, View
from babelens.modules.text.transformer import Transformer
from babelens.modules.vision.clip import Clip
from babelens.schema import InputError
from babelens.training.errors import DiskFull, Halted, Interrupted, ResumeError, TrainingError
from babelens.training.loop import train
from babelens.training.processes import make_accelerator
from babelens.training.progress import Report
from babelens.training.recipe import Recipe, Training

ROWS = [
    ("1", "Anna/B-PER visited/O Paris/B-LOC"),
    ("2", "Paris/B-PER sang/O in/O Anna/B-LOC"),
    ("1", "Le/O maire/O de/O Lyon/B-LOC"),
    ("3", "Real/B-ORG Madrid/I-ORG won/O"),
    ("9", "Nobody/O came/O"),
    ("3", "Siemens/B-ORG hired/O Anna/B-PER Lindqvist/I-PER"),
]
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = Transformer(scratch={"model_type": "bert", **SMALL, "max_position_embeddings": 40}, vocabulary=200)
VIEW = View(Clip(scratch={**SMALL, "image_size": 16, "patch_size": 8}), CrossAttention(heads=2), Contrastive())
MODEL = Model(Late(TEXT, (VIEW,)), alpha=0.8)
AUGMENTED = Model(
    Late(TEXT, (msgspec.structs.replace(VIEW, regions=msgspec.structs.replace(VIEW.regions, augmented=True)),)),
    alpha=0.8,
)
TRAINING = Training(epochs=3, batch=2, rate=5e-3, precision="fp32", seed=3)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "images").mkdir()
    for number in (1, 2, 3):  # picture 9 is missing on purpose
        picture = Image.new("RGB", (20, 30), (80 * number, 10, 200 - 60 * number))
        picture.paste((255, 255, 255), (0, 0, 10, 10))  # so that it matters how a picture is cut
        picture.save(folder / "images" / f"{number}.jpg")
    blocks = [f"IMGID:{image}\n" + "\n".join(word.replace("/", "\t") for word in text.split()) for image, text in ROWS]
    (folder / "train.txt").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return read_corpus(folder / "train.txt")


class Stop(Report):
    """Sends this process a signal after so many steps."""

    def __init__(self, after, number=signal.SIGINT):
        self.left, self.number = after, number

    def step(self, losses, best):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)


def newest(out):
    return max((out / "state").iterdir())


def weights(out):
    return load_file(newest(out) / "weights.safetensors")


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def losses(out):
    return [(entry["losses"], entry["validation_f1"]) for entry in json.loads((out / "history.json").read_text())]


def test_eight_rows_are_learnt_by_heart_and_the_best_model_is_left(corpus, tmp_path):
    done = train(Recipe(MODEL, Training(epochs=25, batch=3, rate=1e-2, precision="fp32")), corpus, corpus, tmp_path)
    assert done.best == 100.0
    entities, status = decode_corpus(load_tagger(done.model), corpus)
    assert entities == [example.entities for example in corpus]
    assert status.count("missing") == 1
    history = json.loads((tmp_path / "history.json").read_text())
    assert [entry["epoch"] for entry in history] == list(range(1, 26))
    assert (
        history[done.epoch - 1]["validation_f1"]
        == done.best
        > max((e["validation_f1"] for e in history[: done.epoch - 1]), default=-1)
    )
    assert history[-1]["losses"]["tags"] < history[0]["losses"]["tags"] / 5
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.fixture(scope="module")
def undisturbed(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    train(Recipe(MODEL, TRAINING), corpus, corpus, out)
    return out


@pytest.mark.parametrize(("after", "number"), [(1, signal.SIGINT), (3, signal.SIGTERM), (5, signal.SIGINT)])
def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(corpus, undisturbed, tmp_path, after, number):
    recipe = Recipe(MODEL, TRAINING)
    with pytest.raises(Interrupted, match="--resume"):
        train(recipe, corpus, corpus, tmp_path, report=Stop(after, number))
    train(recipe, corpus, corpus, tmp_path, resume=True)
    assert losses(tmp_path) == losses(undisturbed)
    expected = weights(undisturbed)
    assert weights(tmp_path).keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in weights(tmp_path).items())


def test_pictures_are_augmented_alike_after_a_stop(corpus, undisturbed, tmp_path):
    recipe = Recipe(AUGMENTED, TRAINING)
    train(recipe, corpus, corpus, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(recipe, corpus, corpus, tmp_path / "stopped", report=Stop(4))
    train(recipe, corpus, corpus, tmp_path / "stopped", resume=True)
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole") != losses(undisturbed)


def test_averaged_weights_survive_a_stop(corpus, tmp_path):
    recipe = Recipe(MODEL, Training(epochs=2, batch=2, rate=5e-3, precision="fp32", average=0.9))
    train(recipe, corpus, corpus, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(recipe, corpus, corpus, tmp_path / "stopped", report=Stop(4))
    train(recipe, corpus, corpus, tmp_path / "stopped", resume=True)
    one, other = (load_file(newest(tmp_path / name) / "average.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_two_half_batches_make_the_step_of_a_whole_one(corpus, tmp_path):
    # Without alignment (its negatives are those of a batch) and dropout, rows add up.
    plain = TEXT.__class__(
        scratch={**TEXT.scratch, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}, vocabulary=200
    )
    model = Model(Late(plain), dropout=0.0)
    rows = corpus.select([0, 1, 2, 3])
    for name, batch, accumulate in (("whole", 4, 1), ("halves", 2, 2)):
        recipe = Recipe(model, Training(epochs=4, batch=batch, accumulate=accumulate, rate=1e-3, precision="fp32"))
        train(recipe, rows, rows, tmp_path / name)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], atol=2e-4, rtol=0)


def test_a_loss_that_is_not_finite_stops_with_the_rows(corpus, tmp_path):
    with pytest.raises(TrainingError, match=r"step \d+: (the loss|a gradient) is not finite.*rows .*train:"):
        train(Recipe(MODEL, Training(epochs=9, batch=2, rate=1e30, precision="fp32")), corpus, corpus, tmp_path)


def test_a_run_is_not_overwritten_and_not_gone_on_with_on_other_data(corpus, undisturbed, tmp_path):
    recipe = Recipe(MODEL, TRAINING)
    with pytest.raises(ResumeError, match="a run stands here already; add --resume"):
        train(recipe, corpus, corpus, undisturbed)
    with pytest.raises(ResumeError, match="expected the training of the run, found another"):
        train(recipe, corpus.select([5, 4, 3, 2, 1, 0]), corpus, undisturbed, resume=True)
    with pytest.raises(
        ResumeError, match=r"the recipe of the run, found another \(recipe.training.epochs: 4, was 3\);"
    ):
        train(Recipe(MODEL, msgspec.structs.replace(TRAINING, epochs=4)), corpus, corpus, undisturbed, resume=True)
    with pytest.raises(ResumeError, match="found none"):
        train(recipe, corpus, corpus, tmp_path, resume=True)


def test_what_changes_no_result_may_change(corpus, undisturbed, tmp_path):
    with pytest.raises(Interrupted):
        train(Recipe(MODEL, TRAINING), corpus, corpus, tmp_path, report=Stop(2))
    changed = msgspec.structs.replace(TRAINING, save_minutes=0, keep=5, pixel_memory=0)
    train(Recipe(MODEL, changed), corpus, corpus, tmp_path, resume=True)
    assert losses(tmp_path) == losses(undisturbed)
    assert len(list((tmp_path / "state").iterdir())) == 5


def test_a_picture_that_has_changed_is_noticed(tmp_path):
    for name in ("train.txt", "images"):
        source = tmp_path / name
        if name == "images":
            source.mkdir()
            Image.new("RGB", (9, 9)).save(source / "1.png")
        else:
            source.write_text("IMGID:1\nAnna\tB-PER\n", encoding="utf-8")
    recipe = Recipe(MODEL, Training(epochs=1, batch=2, precision="fp32"))
    train(recipe, read_corpus(tmp_path / "train.txt"), read_corpus(tmp_path / "train.txt"), tmp_path / "run")
    Image.new("RGB", (90, 9), (3, 2, 1)).save(tmp_path / "images" / "1.png")
    with pytest.raises(ResumeError, match=r"found another \(training.pictures: "):
        corpus = read_corpus(tmp_path / "train.txt")
        train(recipe, corpus, corpus, tmp_path / "run", resume=True)


class Notes(Report):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def test_a_finished_run_stays_as_it_is(corpus, undisturbed):
    before, report = files(undisturbed / "model"), Notes()
    done = train(Recipe(MODEL, TRAINING), corpus, corpus, undisturbed, resume=True, report=report)
    assert report.notes == [f"{undisturbed}: the run is finished already, after 3 epochs"]
    assert [entry["epoch"] for entry in done.history] == [1, 2, 3]
    assert done.best == max(entry["validation_f1"] for entry in done.history)
    assert files(undisturbed / "model") == before


def test_a_run_killed_before_its_first_state_begins_anew(corpus, undisturbed, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("babelens.training.loop.save_state", kill)
        train(Recipe(MODEL, TRAINING), corpus, corpus, tmp_path)
    report = Notes()
    train(Recipe(MODEL, TRAINING), corpus, corpus, tmp_path, resume=True, report=report)
    assert report.notes == [f"{tmp_path}: the run had not saved a state yet; it begins anew"]
    assert losses(tmp_path) == losses(undisturbed)
    assert len((tmp_path / "losses.jsonl").read_text().splitlines()) == 9


def test_a_model_that_was_not_saved_is_made_from_the_state(corpus, undisturbed, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "model")

    with monkeypatch.context() as patch:
        patch.setattr("babelens.models.checkpoint._write", full)
        with pytest.raises(
            DiskFull, match="model could not be written; the state of step 3 is whole: make room"
        ) as caught:
            train(Recipe(MODEL, TRAINING), corpus, corpus, tmp_path)
    assert caught.value.exit_code == 3
    assert not (tmp_path / "model").exists()
    with pytest.raises(Interrupted):
        train(Recipe(MODEL, TRAINING), corpus, corpus, tmp_path, resume=True, report=Stop(1))
    tagger = load_tagger(tmp_path / "model")
    state = load_file(tmp_path / "state" / "00000003" / "weights.safetensors")
    assert all(torch.equal(value, state[name]) for name, value in tagger.state_dict().items())
    train(Recipe(MODEL, TRAINING), corpus, corpus, tmp_path, resume=True)
    assert files(tmp_path / "model") == files(undisturbed / "model")


def test_a_model_that_cannot_be_made_anew_is_asked_for(corpus, tmp_path):
    recipe = Recipe(MODEL, Training(epochs=3, batch=6, rate=1e-12, precision="fp32"))  # the first epoch stays the best
    assert train(recipe, corpus, corpus, tmp_path).epoch == 1
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    with pytest.raises(ResumeError, match="model: expected the model of epoch 1, found none; put it back"):
        train(recipe, corpus, corpus, tmp_path, resume=True)
    (tmp_path / "elsewhere").rename(tmp_path / "model")
    train(recipe, corpus, corpus, tmp_path, resume=True)


@pytest.mark.parametrize(("minutes", "written"), [(0, [1, 2, 3, 4, 5, 6]), (None, [3, 6]), (30.0, [3, 6])])
def test_the_state_is_written_when_it_is_due_and_once_for_each_step(corpus, tmp_path, monkeypatch, minutes, written):
    from babelens.training import state

    steps, write = [], state._write

    def watched(place, saved, progress):
        steps.append(saved.progress.step)
        write(place, saved, progress)

    monkeypatch.setattr(state, "_write", watched)
    settings = msgspec.structs.replace(TRAINING, epochs=2, save_minutes=minutes, keep=1)
    train(Recipe(MODEL, settings), corpus, corpus, tmp_path)
    assert steps == written
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["00000006"]


class Shortage(InputError):
    exit_code = 3


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError("images/2.jpg: Input/output error"), "images/2.jpg: Input/output error"),
        (InputError("images/2.jpg: expected a readable picture"), "images/2.jpg: expected a readable picture"),
        (Shortage("a data worker ended unexpectedly"), "a data worker ended unexpectedly"),
    ],
)
def test_rows_that_cannot_be_had_halt_the_run_with_its_state(
    corpus, undisturbed, tmp_path, monkeypatch, error, message
):
    whole = BatchLoader.batches

    def broken(*arguments):
        for number, batch in enumerate(whole(*arguments)):
            if number == 2:
                raise error
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(BatchLoader, "batches", broken)
        with pytest.raises(
            Halted, match=f"no rows for step 3 of epoch 1: {message}.*; the state is saved: run .* --resume"
        ) as caught:
            train(Recipe(MODEL, TRAINING), corpus, corpus, tmp_path)
    assert caught.value.exit_code == getattr(error, "exit_code", 1)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["00000002"]
    train(Recipe(MODEL, TRAINING), corpus, corpus, tmp_path, resume=True)
    assert losses(tmp_path) == losses(undisturbed)


class KillWorkers(Report):
    """Kills all data workers after a step."""

    def __init__(self):
        self.killed = 0

    def step(self, losses, best):
        for child in active_children():
            child.kill()
            self.killed += 1


def test_a_run_whose_worker_is_killed_keeps_its_state_and_goes_on(corpus, undisturbed, tmp_path):
    settings = msgspec.structs.replace(TRAINING, workers=1)
    report = KillWorkers()
    with pytest.raises(Halted, match=r"a data worker ended unexpectedly.*; the state is saved") as caught:
        train(Recipe(MODEL, settings), corpus, corpus, tmp_path, report=report)
    assert caught.value.exit_code == 3 and report.killed
    train(Recipe(MODEL, settings), corpus, corpus, tmp_path, resume=True)
    assert losses(tmp_path) == losses(undisturbed)


def test_a_validation_that_cannot_be_made_keeps_the_state(corpus, undisturbed, tmp_path, monkeypatch):
    whole = BatchLoader.batches

    def broken(loader, work, source=0):
        if source == 1:
            raise Shortage("a data worker ended unexpectedly")
        return whole(loader, work, source)

    with monkeypatch.context() as patch:
        patch.setattr(BatchLoader, "batches", broken)
        with pytest.raises(Halted, match=r"no rows for the validation of epoch 1: .*; the state is saved"):
            train(Recipe(MODEL, TRAINING), corpus, corpus, tmp_path)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["00000003"]
    train(Recipe(MODEL, TRAINING), corpus, corpus, tmp_path, resume=True)
    assert losses(tmp_path) == losses(undisturbed)


def test_a_ctrl_c_that_takes_the_workers_away_is_a_ctrl_c(corpus, tmp_path, monkeypatch):
    def broken(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        raise Shortage("a data worker ended unexpectedly")
        yield

    monkeypatch.setattr(BatchLoader, "batches", broken)
    with pytest.raises(Interrupted, match="stopped in epoch 1 at step 0; the state is saved"):
        train(Recipe(MODEL, TRAINING), corpus, corpus, tmp_path)


def test_a_stop_is_heard_within_the_validation(corpus, undisturbed, tmp_path):
    class StopValidation(Report):
        def validated(self, rows):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="stopped in epoch 1 at step 3"):
        train(Recipe(MODEL, TRAINING), corpus, corpus, tmp_path, report=StopValidation())
    assert not (tmp_path / "history.json").exists()
    train(Recipe(MODEL, TRAINING), corpus, corpus, tmp_path, resume=True)
    assert losses(tmp_path) == losses(undisturbed)


def test_two_processes_do_not_train_in_one_folder(corpus, undisturbed):
    class Again(Notes):
        def start(self, epochs, steps, done):
            train(Recipe(MODEL, TRAINING), corpus, corpus, undisturbed, resume=True)

    with pytest.raises(ResumeError, match="another process trains here"):
        train(Recipe(MODEL, TRAINING), corpus, corpus, undisturbed, resume=True, report=Again())


def test_the_scaling_of_losses_survives_a_stop(corpus, tmp_path, monkeypatch):
    """The scaler of fp16, on the CPU: it grows every second step, so a run that forgets it has another scale."""
    from babelens.training import loop

    made = []

    def scaled(*arguments):
        accelerator = make_accelerator(*arguments)
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
        made.append(accelerator.scaler)
        return accelerator

    monkeypatch.setattr(loop, "make_accelerator", scaled)
    recipe = Recipe(MODEL, TRAINING)
    train(recipe, corpus, corpus, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(recipe, corpus, corpus, tmp_path / "stopped", report=Stop(3))
    train(recipe, corpus, corpus, tmp_path / "stopped", resume=True)
    whole, _, stopped = (scaler.state_dict() for scaler in made)
    assert whole == stopped
    assert whole["scale"] == 4.0 * 2 ** (9 // 2)


def test_patience_ends_a_run_that_does_not_get_better(corpus, tmp_path):
    recipe = Recipe(MODEL, Training(epochs=50, batch=6, rate=1e-12, patience=2, precision="fp32"))
    assert len(train(recipe, corpus, corpus, tmp_path).history) <= 4


def test_a_disk_that_fills_leaves_the_state_before(corpus, undisturbed, tmp_path, monkeypatch):
    import shutil

    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(Recipe(MODEL, TRAINING), corpus, corpus, out, report=Stop(2))
    before = files(out / "state")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("babelens.training.state.torch.save", full)
        with pytest.raises(DiskFull, match="state/00000003 could not be written; the state of step 2 is whole: make"):
            train(Recipe(MODEL, TRAINING), corpus, corpus, out, resume=True)
    assert files(out / "state") == before
    assert not [path for path in out.iterdir() if path.name.startswith(".state")]
    train(Recipe(MODEL, TRAINING), corpus, corpus, out, resume=True)
    assert losses(out) == losses(undisturbed)
    shutil.rmtree(out)


def test_a_device_that_is_not_there_is_refused(corpus, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(TrainingError, match=r"expected a device of this machine \(cpu\), found 'cuda'"):
        train(Recipe(MODEL, TRAINING), corpus, corpus, tmp_path, device="cuda")


def test_workers_make_the_same_batches(corpus, tmp_path):
    for workers in (0, 1):
        recipe = Recipe(AUGMENTED, Training(epochs=1, batch=2, rate=5e-3, precision="fp32", workers=workers))
        train(recipe, corpus, corpus, tmp_path / str(workers))
    assert losses(tmp_path / "1") == losses(tmp_path / "0")


def test_runs_of_one_process_may_differ_in_precision(corpus, tmp_path):
    for precision in ("fp32", "bf16", "fp32"):
        settings = msgspec.structs.replace(TRAINING, precision=precision, epochs=1)
        train(Recipe(MODEL, settings), corpus, corpus, tmp_path / f"{precision}{len(list(tmp_path.iterdir()))}")


def test_fp16_is_refused_where_small_gradients_would_be_lost(corpus, tmp_path):
    settings = msgspec.structs.replace(TRAINING, precision="fp16")
    with pytest.raises(TrainingError, match=r"training.precision: expected bf16 or fp32 .*\(cpu\), found fp16"):
        train(Recipe(MODEL, settings), corpus, corpus, tmp_path, device="cpu")


class StopAtOnce(Report):
    def step(self, losses, best):
        os.kill(os.getpid(), signal.SIGTERM)


def test_what_auto_has_come_to_is_kept_to(corpus, tmp_path, monkeypatch):
    frozen = msgspec.structs.replace(VIEW, regions=msgspec.structs.replace(VIEW.regions, trained=False))
    recipe = Recipe(Model(Late(TEXT, (frozen,)), alpha=0.8), msgspec.structs.replace(TRAINING, precision="auto"))
    for first, later in ((0.0, 0.9), (0.9, 0.0)):  # the share of the disk that regions may take
        out = tmp_path / str(first)
        monkeypatch.setenv("BABELENS_CACHE", str(tmp_path / f"cache-{first}"))
        monkeypatch.setattr("babelens.models.regions._SHARE_OF_DISK", first)
        with pytest.raises(Interrupted):
            train(recipe, corpus, corpus, out, report=StopAtOnce())
        monkeypatch.setattr("babelens.models.regions._SHARE_OF_DISK", later)
        if first:
            for shard in (tmp_path / f"cache-{first}").glob("regions/*/*.safetensors"):
                shard.unlink()
            with pytest.raises(ResumeError, match="expected room for the regions of pictures"):
                train(recipe, corpus, corpus, out, resume=True)
        else:
            train(recipe, corpus, corpus, out, resume=True)
            assert not list((tmp_path / f"cache-{first}").glob("regions/*/*.safetensors"))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr("babelens.models.precision._WIDE", 1)
    with pytest.raises(ResumeError, match=r"expected a machine on which training\.precision is no"):
        train(recipe, corpus, corpus, tmp_path / "0.0", resume=True)
