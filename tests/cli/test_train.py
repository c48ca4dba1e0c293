import pytest

from babelens.cli.main import answer

BLOCKS = "Anna\tB-PER\nvisited\tO\nParis\tB-LOC\n\nLyon\tB-LOC\nwon\tO\n"
SMALL = (
    "--set=model.backbone.text.hidden=4",
    "--set=model.backbone.text.word_dim=4",
    "--set=training.epochs=2",
    "--set=training.batch=2",
)


@pytest.fixture
def folder(tmp_path):
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.txt").write_text(BLOCKS, encoding="utf-8")
    return tmp_path


def train(folder, *more):
    model = ["train", "bert-crf", "--encoders", "compact", *SMALL]
    return answer([*model, "--data", str(folder), "--out", str(folder / "run"), *more])


def test_train_evaluate_and_predict_one_after_the_other(folder, capsys):
    assert train(folder) == 0
    assert "best validation F1" in capsys.readouterr().err
    model = str(folder / "run" / "model")
    assert answer(["evaluate", model, "--data", str(folder), "--json"]) == 0
    assert '"micro"' in capsys.readouterr().out
    assert answer(["predict", model, str(folder / "test.txt"), "-o", str(folder / "answers.jsonl")]) == 0
    assert len((folder / "answers.jsonl").read_text().splitlines()) == 2


def test_a_dry_run_shows_sizes_and_saves_nothing(folder, capsys):
    assert train(folder, "--dry-run") == 0
    assert "peak memory" in capsys.readouterr().err
    assert not (folder / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--data", "nowhere"], 1, "nowhere: expected a data directory"),
        (["--set", "training.speed=1"], 1, "unknown field `speed`"),
        (["--encoders", "huge"], 1, "expected one of pretrained, compact, random, found 'huge'"),
        (["--types", "PER"], 1, "expected OLD=NEW"),
        (["--resume"], 1, "expected a run to go on with, found none"),
        (["--colour", "red"], 2, "No such option"),
        (["--device", "cuda:7"], 1, "expected a device of this machine"),
    ],
)
def test_a_mistake_is_answered_by_a_message_and_a_code(folder, capsys, arguments, code, message):
    assert train(folder, *arguments) == code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("line", "warned"),
    [
        ('{"image": "one", "boxes": [{"left": 0, "top": 0, "right": 9, "bottom": 9, "label": "Person"}]}', True),
        ('{"image": "one", "group": "grounding", "boxes": [[0, 0, 9, 9]]}', True),
        (
            '{"image": "one", "group": "grounding", "boxes": '
            '[{"left": 0, "top": 0, "right": 9, "bottom": 9, "label": "Person"}]}',
            False,
        ),
    ],
    ids=["no group", "no label", "read"],
)
def test_boxes_that_a_model_does_not_read_are_told(folder, capsys, line, warned):
    (folder / "train.txt").write_text(f"IMGID:one\n{BLOCKS}", encoding="utf-8")
    (folder / "boxes.jsonl").write_text(line, encoding="utf-8")
    boxes = "model.backbone.views.0.regions.objects={source='boxes', group='grounding', count=1, labels=['person']}"
    arguments = ["train", "umgf", "--encoders", "compact", "--data", str(folder), "--dry-run", "--set", boxes]
    assert answer(arguments) == 0
    told = "boxes of the group grounding labelled person, and no picture" in " ".join(capsys.readouterr().err.split())
    assert told == warned


def test_ctrl_c_says_how_to_go_on_and_resume_does(folder, capsys, monkeypatch):
    from contextlib import contextmanager

    @contextmanager
    def pressed():
        yield lambda: True

    with monkeypatch.context() as patch:
        patch.setattr("babelens.training.loop.stop_signals", pressed)
        assert train(folder) == 130
    error = capsys.readouterr().err
    assert "stopped in epoch 1 at step 1; the state is saved: run the same command with --resume" in error
    assert "Traceback" not in error
    assert train(folder) == 1
    assert "add --resume" in capsys.readouterr().err
    assert train(folder, "--resume") == 0


def test_resume_says_what_it_does(folder, capsys):
    assert train(folder) == 0
    weights = (folder / "run" / "model" / "model.safetensors").read_bytes()
    capsys.readouterr()
    assert train(folder, "--resume") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "run: the run is finished already, after 2 epochs best validation F1" in told
    assert train(folder, "--resume", "--set=training.keep=5", "--set=training.save_minutes=0") == 0
    assert "finished already" in capsys.readouterr().err
    assert train(folder, "--resume", "--set=training.epochs=3") == 1
    error = capsys.readouterr().err
    assert "found another (recipe.training.epochs: 3, was 2); start anew with another --out" in error
    assert train(folder, "--resume", "--seed=5") == 1
    assert "recipe.training.seed: 5, was 19" in capsys.readouterr().err
    (folder / "valid.txt").write_text(BLOCKS.replace("Lyon", "Nice"), encoding="utf-8")
    assert train(folder, "--resume") == 1
    error = capsys.readouterr().err
    assert "expected the validation of the run, found another (validation.digest: " in error
    assert "Traceback" not in error
    assert (folder / "run" / "model" / "model.safetensors").read_bytes() == weights


def test_resume_tells_of_a_damaged_state(folder, capsys):
    assert train(folder) == 0
    newest = max((folder / "run" / "state").iterdir())
    (newest / "weights.safetensors").write_bytes(b"damaged")
    capsys.readouterr()
    assert train(folder, "--resume") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert f"{newest}: expected the whole state of a run, found a damaged one (weights.safetensors has changed)" in told
    assert "run: goes on in epoch 2, after step 1" in told


def test_a_full_disk_has_its_own_code(folder, capsys, monkeypatch):
    from safetensors import SafetensorError

    def full(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr("babelens.models.checkpoint.save_file", full)
        assert train(folder) == 3
    error = capsys.readouterr().err
    assert "the disk is full" in error
    assert "no state was saved before" in error
    assert not (folder / "run" / "model").exists()
    assert train(folder, "--resume") == 0


def test_a_disk_that_the_system_fills_leaves_what_was_saved(folder, capsys):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        assert train(folder) == 3
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    error = capsys.readouterr().err
    assert "the disk is full" in error
    assert "make room, then run the same command with --resume" in error
    assert "Traceback" not in error
    assert not [path for path in (folder / "run").rglob(".*")]
    assert train(folder, "--resume") == 0


def test_a_broken_line_is_named_with_its_place(folder, capsys):
    (folder / "train.txt").write_text("Anna\tB-PER\nvisited\nParis\tX-LOC\n", encoding="utf-8")
    assert train(folder) == 1
    error = capsys.readouterr().err
    assert "train.txt:2: expected" in error
    assert "train.txt:3: expected" in error


def test_types_that_only_validation_has_are_refused_and_can_be_renamed(folder, capsys):
    (folder / "valid.txt").write_text("Anna\tB-OTHER\n", encoding="utf-8")
    assert train(folder) == 1
    assert "found OTHER; --types OLD=NEW" in capsys.readouterr().err
    assert train(folder, "--types", "OTHER=PER") == 0


def test_a_name_that_no_encoder_has_is_an_error_without_traceback(folder, capsys):
    assert answer(["train", "bert", "--data", str(folder), "--set", "model.backbone.text.name=./nothing"]) == 1
    assert "./nothing" in capsys.readouterr().err
