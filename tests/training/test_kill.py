"""Real processes that train are killed, and gone on with: nothing may show it."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

SCRIPT = Path(__file__).with_name("killed.py")
ROWS = [
    ("1", "Anna/B-PER visited/O Paris/B-LOC"),
    ("2", "Paris/B-PER sang/O in/O Anna/B-LOC"),
    ("1", "Le/O maire/O de/O Lyon/B-LOC"),
    ("3", "Real/B-ORG Madrid/I-ORG won/O"),
    ("9", "Nobody/O came/O"),  # a picture that is missing
    ("3", "Siemens/B-ORG hired/O Anna/B-PER Lindqvist/I-PER"),
]


class Forge:
    """A process that forks others to train, see `killed.py`; `seed` is that of Python's hashes, of sets' order."""

    def __init__(self, corpus, seed):
        self.corpus = corpus
        self.process = subprocess.Popen(
            [sys.executable, SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def __call__(self, out, **how):
        self.process.stdin.write(json.dumps({"corpus": str(self.corpus), "out": str(out), **how}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def forges(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "images").mkdir()
    for number in (1, 2, 3):
        picture = Image.new("RGB", (20, 30), (80 * number, 10, 200 - 60 * number))
        picture.paste((255, 255, 255), (0, 0, 10, 10))  # so that it matters how a picture is cut
        picture.save(folder / "images" / f"{number}.jpg")
    blocks = [f"IMGID:{image}\n" + "\n".join(word.replace("/", "\t") for word in text.split()) for image, text in ROWS]
    (folder / "train.txt").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    started = [Forge(folder / "train.txt", seed) for seed in ("1", "2")]
    yield started
    for forge in started:
        forge.close()


@pytest.fixture(scope="module")
def undisturbed(forges, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    told = forges[0](out)
    assert told["ended"]
    return out, told


def left(out):
    """What a run has left, without how long it took and without TensorBoard's files, which are named by the time."""
    files = {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.parent != out / "tensorboard"
    }
    for name, content in files.items():
        if name == "history.json":
            files[name] = [
                {key: value for key, value in entry.items() if key != "seconds"} for entry in json.loads(content)
            ]
        if name.endswith("progress.json"):
            progress = json.loads(content)
            del progress["seconds"]
            files[name] = {**progress, "history": len(progress["history"])}
    return files


def test_the_run_is_one_that_can_tell(undisturbed):
    files = left(undisturbed[0])
    losses = [json.loads(line)["total"] for line in files["losses.jsonl"].splitlines()]
    assert len(losses) == len(set(losses)) == 12
    assert sorted(name for name in files if name.startswith("state")) == [
        f"state/{step}/{name}"
        for step in ("00000011", "00000012")
        for name in ("average.safetensors", "checksums.json", "optimizer.pt", "progress.json", "weights.safetensors")
    ]
    assert {"model/config.json", "model/model.safetensors", "run.json", "history.json"} < files.keys()
    assert not [name for name in files if "/." in f"/{name}"]


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.long)])
def test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been(forges, undisturbed, tmp_path, kills):
    expected, generator = left(undisturbed[0]), random.Random(kills)
    killed = 0
    while killed < kills:
        out, ended = tmp_path / str(killed), False
        while not ended:
            delay = generator.uniform(0, undisturbed[1]["seconds"]) if killed < kills else None
            ended = generator.choice(forges)(out, delay=delay)["ended"]
            killed += not ended
        assert left(out) == expected


@pytest.mark.parametrize("share", [4, pytest.param(None, marks=pytest.mark.long)])
def test_a_run_killed_inside_a_save_ends_as_if_it_had_not_been(forges, undisturbed, tmp_path, share):
    (one, other), moments = forges, undisturbed[1]["moments"]
    expected = left(undisturbed[0])
    assert moments > 200
    for moment in range(1, moments + 1) if share is None else random.Random(9).sample(range(1, moments + 1), share):
        out = tmp_path / str(moment)
        assert not one(out, moment=moment)["ended"]
        assert other(out)["ended"]
        assert left(out) == expected, f"killed before change {moment}"
