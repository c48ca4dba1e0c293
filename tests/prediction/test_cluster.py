import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from babelens.data.journal import Interrupted
from babelens.prediction.ask import Ask
from babelens.prediction.bulk import answer_file
from babelens.prediction.cluster import predict_on_ray
from babelens.prediction.cluster_actors import Cluster, connected, map_in_order
from babelens.prediction.cluster_disk import ClusterError
from babelens.prediction.cluster_input import Pictures
from babelens.prediction.inputs import Rows
from babelens.prediction.predictor import Predictor
from babelens.prediction.stream import Pace
from babelens.schema import InputError

NAMES = ["Anna Lindqvist", "Paris", "Real Madrid", "Köln", "Siemens", "Ko\u0308ln 😀", "Bogotá", "Lyon"]
PACE = Pace(rows=2, makers=0)  # blocks of 32 rows
ASK = Ask(model=True)

pytestmark = pytest.mark.filterwarnings("ignore:::ray[.]")


@pytest.fixture(scope="module")
def ray():
    """A cluster of this machine for all tests of this file; Ray's own warnings are not ours."""
    if sys.platform != "linux":
        pytest.skip("the workers are found in /proc")
    pytest.importorskip("ray", reason="Ray (240 MB) is not installed: pip install 'babelens[cluster]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        with connected(Cluster(actors=2)):
            assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
            yield


@pytest.fixture(scope="module")
def predictor(tiny_tagger):
    return Predictor(tiny_tagger)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """2,000 rows in three files, JSONL and Parquet, some with pictures, some that cannot be read."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "images").mkdir()
    for number in range(3):
        Image.new("RGB", (40, 30), (70 * number, 99, 200)).save(folder / "images" / f"{number}.png")
    draw = random.Random(3)
    lines, table = [], []
    for number in range(2000):
        row = {"id": f"r{number}", "text": " ".join(draw.choices(NAMES, k=draw.randint(0, 9)))}
        if number % 41 == 0:
            row["image"] = str(number % 4)
        lines.append("{broken" if number % 37 == 36 else json.dumps(row, ensure_ascii=False))
        table.append(row)
    (folder / "a.jsonl").write_text("\n".join(lines[:700]) + "\n", encoding="utf-8")
    (folder / "b.jsonl").write_text("\n\n".join(lines[700:1300]), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(table[1300:]), folder / "c.parquet", row_group_size=150)
    return folder


@pytest.fixture(scope="module")
def whole(predictor, source, tmp_path_factory):
    """What the local engine writes."""
    out = tmp_path_factory.mktemp("whole") / "out.jsonl"
    answer_file(predictor, Rows(str(source)), out, pace=PACE, ask=ASK)
    return out.read_bytes()


def joined(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.glob("part-*.jsonl")))


def actors(name):
    """The processes of actors, by the name that they give themselves."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if command.startswith(b"ray::") and name in command:
                found.append(int(entry.name))
    return found


@pytest.mark.long
def test_the_same_is_written_when_a_worker_is_killed_midway(ray, tiny_folder, predictor, source, whole, tmp_path):
    out, killed, told = tmp_path / "out", [], []

    def kill(tally):
        told.append(tally.rows)
        if tally.rows and not killed:
            killed.extend(actors(b"ShardAnswerer")[:1])
            assert len(list(out.glob("part-*"))) < 10
            os.kill(killed[0], signal.SIGKILL)

    two = Cluster(actors=2)
    options = {"pace": PACE, "ask": ASK, "blocks": 4}
    tally = predict_on_ray(str(tiny_folder), predictor.digest, str(source), str(out), cluster=two, tell=kill, **options)
    assert killed and (tally.rows, tally.errors) == (2000, whole.count(b'"error"'))
    assert joined(out) == whole
    assert len(os.listdir(out)) == 16 + 1  # 128 rows each, and the manifest
    assert told[0] == 0 and sorted(told) == told

    # The same once more has nothing to do; of what is gone, only that is made again.
    times = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    (out / "part-000007.jsonl").unlink()
    told.clear()
    predict_on_ray(str(tiny_folder), predictor.digest, str(source), str(out), tell=kill, **options)
    assert told == [2000 - 128, 2000] and joined(out) == whole
    again = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert {name for name in times if times[name] != again[name]} == {"part-000007.jsonl"}

    with pytest.raises(ClusterError, match=r"ask.alternatives: 1, was 0"):
        predict_on_ray(
            str(tiny_folder),
            predictor.digest,
            str(source),
            str(out),
            **{**options, "ask": Ask(alternatives=1, model=True)},
        )


@pytest.mark.long
def test_a_run_that_is_stopped_goes_on(ray, tiny_folder, predictor, source, whole, tmp_path):
    out, told = tmp_path / "out", []

    def stop(tally):
        told.append(tally.rows)
        if tally.rows:
            raise KeyboardInterrupt

    options = {"pace": PACE, "ask": ASK, "blocks": 8}
    with pytest.raises(Interrupted, match="run the same command to go on"):
        predict_on_ray(str(tiny_folder), predictor.digest, str(source), f"file://{out}", tell=stop, **options)
    done = told[-1]
    told.clear()
    predict_on_ray(
        str(tiny_folder),
        predictor.digest,
        str(source),
        f"file://{out}",
        tell=lambda tally: told.append(tally.rows),
        **options,
    )
    assert told[0] == done and joined(out) == whole


@pytest.mark.long
def test_faults_of_workers_come_out_as_they_are(ray, tiny_folder, predictor, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "Anna", "image": "gone"}\n')
    strict = Pictures(strict=True)
    with pytest.raises(ClusterError, match=r"gone: expected a readable picture, found no such picture"):
        predict_on_ray(str(tiny_folder), predictor.digest, str(path), str(tmp_path / "out"), pictures=strict)
    with pytest.raises(ClusterError, match=r"expected the model 0000 on every machine, found [0-9a-f]+ on "):
        predict_on_ray(str(tiny_folder), "0000", str(path), str(tmp_path / "other"))


def failing():
    def fail(given):
        if given == 3:
            raise InputError("three: expected another number, found 3")
        return given

    return fail


@pytest.mark.long
def test_things_come_back_in_order_and_errors_as_they_are(ray):
    made = map_in_order(failing, iter(range(100)), Cluster(actors=2))
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match=r"^three: expected another number, found 3$"):
        next(made)


@pytest.mark.long
def test_parquet_holds_the_rows_of_jsonl(ray, tiny_folder, predictor, source, whole, tmp_path):
    path = source / "b.jsonl"
    predict_on_ray(
        str(tiny_folder), predictor.digest, str(path), str(tmp_path / "out"), pace=PACE, limit=100, format="parquet"
    )
    table = pq.read_table(tmp_path / "out").to_pylist()
    lines = [json.loads(line) for line in whole.splitlines()[700:800]]
    assert [row["id"] for row in table] == [line["id"] for line in lines]
    assert [row["entities"] or [] for row in table][:40] == [line.get("entities", []) for line in lines][:40]


def test_what_cannot_be_is_told_without_a_cluster(monkeypatch, tiny_folder, tmp_path):
    def ask(source, out=str(tmp_path / "out"), **options):
        predict_on_ray(str(tiny_folder), "0000", source, out, **options)

    (tmp_path / "rows.jsonl").write_text('{"text": "Anna"}\n')
    (tmp_path / "blank.jsonl").write_text("\n \n")
    rows = str(tmp_path / "rows.jsonl")
    with pytest.raises(ClusterError, match=r"gone\.jsonl: expected a file or a folder of JSONL or Parquet files"):
        ask(str(tmp_path / "gone.jsonl"))
    with pytest.raises(ClusterError, match="expected at least one row, found blank lines only"):
        ask(str(tmp_path / "blank.jsonl"))
    with pytest.raises(ClusterError, match="expected a disk that all workers see, found the memory of one process"):
        ask(rows, "memory://out")
    with pytest.raises(ClusterError, match="expected a folder of pictures, found none"):
        ask(rows, pictures=Pictures(folder=str(tmp_path / "none")))
    for numbers in ({"actors": 0}, {"cpus": 0}, {"gpus": -1.0}, {"gpus": 1.5}):
        with pytest.raises(ClusterError, match="expected"):
            Cluster(**numbers)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(ClusterError, match=r"expected Ray for --engine ray, .*pip install 'babelens\[cluster\]'"):
        ask(rows)


KILLED = """
import sys
from babelens.prediction.cluster import predict_on_ray
from babelens.prediction.stream import Pace
from babelens.prediction.ask import Ask
model, digest, source, out = sys.argv[1:]
predict_on_ray(
    model, digest, source, out, pace=Pace(rows=2, makers=0), ask=Ask(model=True), blocks=1, seconds=0.0,
    tell=lambda tally: print(tally.rows, flush=True),
)
"""


@pytest.mark.long
def test_a_driver_that_is_killed_goes_on(tiny_folder, predictor, source, whole, tmp_path):
    pytest.importorskip("ray", reason="Ray (240 MB) is not installed: pip install 'babelens[cluster]'")
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(tiny_folder), predictor.digest, str(source), str(out)]
    done = [0]
    for goal in (64, 700, None):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told = [int(process.stdout.readline())]
            assert told[0] >= done[-1]
            while goal is not None and told[-1] < goal:
                told.append(int(process.stdout.readline()))
            if goal is not None:
                process.send_signal(signal.SIGKILL)
            else:
                told += [int(line) for line in process.stdout]
            done.append(told[-2] if goal else told[-1])
        time.sleep(5)  # the cluster of a killed driver ends by itself
    assert done[-1] == 2000 and joined(out) == whole
    assert not [name for name in os.listdir(out) if name.startswith(".")]
