import importlib.util
import json
import os
import time
from pathlib import Path

import pytest
import torch

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "measure.py"


@pytest.fixture(scope="module")
def measure():
    spec = importlib.util.spec_from_file_location("benchmarks_measure", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_and_its_gradient_are_counted_on_the_processor(measure, dtype):
    batch, heads, words, dim = 2, 4, 32, 16
    states = torch.randn(batch, heads, words, dim, dtype=dtype, requires_grad=True)
    mask = torch.zeros(batch, 1, words, words, dtype=dtype)

    def attend():
        torch.nn.functional.scaled_dot_product_attention(states, states, states, attn_mask=mask).sum().backward()

    # Two products forward; five backward, one of which is computed a second time: each of 2 x words x words x dim.
    assert measure.count_flops(attend) == 7 * 2 * batch * heads * words * words * dim


def test_products_and_convolutions_are_counted_under_autocast(measure):
    linear, convolution = torch.nn.Linear(64, 32), torch.nn.Conv2d(3, 8, 3, padding=1, stride=2)
    vectors, maps = torch.randn(10, 64), torch.randn(2, 3, 16, 16)

    def train():
        with torch.autocast("cpu", torch.bfloat16):
            (linear(vectors).float().sum() + convolution(maps).float().sum()).backward()

    forward = 2 * 10 * 64 * 32 + 2 * (2 * 8 * 8) * 8 * (3 * 3 * 3)
    assert measure.count_flops(train) == 2 * forward  # no gradient of what is put in


def test_nothing_is_missed_without_gradients(measure):
    linear = torch.nn.Linear(64, 32)

    def tag():
        with torch.inference_mode():
            linear(torch.ones(10, 64))

    assert measure.count_flops(tag) == 2 * 10 * 64 * 32


def test_rates_are_of_this_machine(measure):
    rates = measure.matrix_rates(cube=128, runs=3)
    assert 1e6 < rates.fp32 < 1e15
    assert 1e6 < rates.bf16 < 1e15


def test_another_process_answers(measure):
    assert measure.apart(lambda: os.getpid()) != os.getpid()


def test_another_process_that_dies_is_told(measure):
    with pytest.raises(measure.Apart, match="exit code 3"):
        measure.apart(lambda: os._exit(3))


def test_another_process_that_takes_too_long_is_ended(measure):
    start = time.monotonic()
    with pytest.raises(measure.Apart, match="not done"):
        measure.apart(lambda: time.sleep(60), seconds=0.2)
    assert time.monotonic() - start < 30


def test_peaks_of_processes_do_not_mix(measure):
    def hold(mebibytes):
        held = b"1" * (mebibytes << 20)
        return len(held) and measure.peak_memory()

    assert measure.apart(hold, 200) - measure.apart(hold, 1) > 150


def test_subjects_take_turns(measure):
    turns = []
    subjects = {name: lambda name=name: turns.append(name) for name in "ab"}
    seconds = measure.side_by_side(subjects, runs=2, warm=1)
    assert turns == ["a", "b", "a", "b", "a", "b"]
    assert [len(own) for own in seconds.values()] == [2, 2]


def test_the_ratio_is_the_first_time_over_the_own(measure, capsys):
    measure.report("crf", "decode", {"peer": [0.4, 0.6, 0.5], "ours": [0.1, 0.1, 0.4]}, ["torch"], batch=3)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["ratio"], second["ratio"]) == (1.0, 5.0)
    assert (second["median_ms"], second["fastest_ms"], second["slowest_ms"]) == (100.0, 100.0, 400.0)
    assert (second["batch"], second["runs"], second["subject"]) == (3, 3, "ours")
