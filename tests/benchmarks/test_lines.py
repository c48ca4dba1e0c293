"""Each benchmark, as small as it can be had, prints lines from which the tables can be made."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# All in one process, for importing takes longer than the rest; first those that fork, before anything is computed.
DRIVER = """
import contextlib, io, json, runpy, sys

folder, runs = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, folder)
for name, arguments in runs.items():
    sys.argv, out, message = [f"{name}.py", *arguments], io.StringIO(), None
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_path(f"{folder}/{name}.py", run_name="__main__")
    except SystemExit as error:
        message = error.code
    print(json.dumps([name, out.getvalue(), message]))
"""
SMALL = ["--compact", "--runs", "1", "--threads", "1"]
RUNS = {
    "step": [*SMALL, "--batch", "4", "--cases", "peer", "vision-frozen-cached"],
    "evaluate": [*SMALL, "--rows", "8", "--cases", "peer", "cached"],
    "gpu": [*SMALL, "--device", "cpu", "--uncompiled", "--batch", "4", "--rows", "8", "--cases", "peer"],
    "../benchmarks/gpu": [],
    "bulk": ["--rows", "8", "--alone", "4"],
    "predict": ["--rows", "2", "--batch", "2", "--runs", "1"],
    "collate": ["--rows", "4", "--batch", "4", "--workers", "--runs", "1", "--steps", "1"],
    "crf": ["--batch", "4", "--length", "6", "--runs", "1"],
    "reading": ["--rows", "40", "--runs", "1"],
    "preannotate": ["--rows", "40", "--runs", "1", "--examples", "20", "--processes", "1"],
    "captions": ["--rows", "200", "--runs", "1"],
}
COMMON = {"benchmark", "case", "subject", "median_ms", "fastest_ms", "slowest_ms", "runs", "ratio", "command", "date"}
MODEL = {
    "samples_per_s",
    "gflop",
    "gflop_per_s",
    "bf16_gflop_per_s",
    "over_floor",
    "peak_mib",
    "precision",
    "parameters",
}


@pytest.fixture(scope="module")
def printed():
    """What each benchmark printed, and the message with which it ended, if it did."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        command = [sys.executable, "-c", DRIVER, str(ROOT / "benchmarks"), json.dumps(RUNS)]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name: (out, message) for name, out, message in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", [name for name, arguments in RUNS.items() if arguments])
def test_lines_are_whole(name, printed):
    out, message = printed[name]
    assert message is None
    lines = [json.loads(row) for row in out.splitlines()]
    assert any(line["ratio"] == 1 for line in lines)
    assert any(line["ratio"] not in (1, None) for line in lines)
    for line in lines:
        assert line.keys() >= COMMON | {"versions", "machine"}
        assert line["benchmark"] == name
        assert line["runs"] >= 1
        assert 0 < line["fastest_ms"] <= line["median_ms"] <= line["slowest_ms"]
        assert line["ratio"] is None or line["ratio"] > 0
        assert str(ROOT) not in json.dumps(line)


@pytest.mark.parametrize("name", ["step", "evaluate", "gpu"])
def test_lines_of_models_say_how_near_the_machine_they_come(name, printed):
    lines = [line for line in map(json.loads, printed[name][0].splitlines()) if "gflop" in line]
    assert lines
    for line in lines:
        assert line.keys() >= MODEL
        assert line["over_floor"] == pytest.approx(line["bf16_gflop_per_s"] / line["gflop_per_s"], rel=0.05)
        assert line["gflop"] > 0
        assert line["peak_mib"] > 10


def test_what_is_cached_is_not_computed_again(printed):
    peer, cached = (json.loads(row)["gflop"] for row in printed["evaluate"][0].splitlines())
    assert cached < peer


def test_without_a_gpu_it_is_said(printed):
    out, message = printed["../benchmarks/gpu"]
    assert out == ""
    assert message.startswith("gpu: expected a CUDA device, found none")
