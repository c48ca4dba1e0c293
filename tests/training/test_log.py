import json
from collections import Counter

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from babelens.training.log import RunLog


def steps(out):
    return [json.loads(line)["step"] for line in (out / "losses.jsonl").read_text().splitlines()]


def test_the_losses_of_every_step_are_written_to_the_last_bit(tmp_path):
    losses = {1: 0.1 + 0.2, 2: 1e-17 / 3, 3: 123456789.123456789}
    with RunLog(tmp_path, 0) as log:
        for step, value in losses.items():
            log.step(step, {"total": value, "tags": value / 3})
    lines = [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    assert lines == [{"step": step, "total": value, "tags": value / 3} for step, value in losses.items()]


@pytest.mark.parametrize("torn", ["", '{"step": 6, "total"', '{"step": 6, "total": 1.0}'])
@pytest.mark.parametrize(("after", "kept"), [(0, []), (3, [1, 2, 3]), (5, [1, 2, 3, 4, 5])])
def test_what_a_killed_run_wrote_of_later_steps_is_taken_back(tmp_path, torn, after, kept):
    with RunLog(tmp_path, 0) as log:
        for step in range(1, 6):
            log.step(step, {"total": float(step)})
    with open(tmp_path / "losses.jsonl", "a") as file:
        file.write(torn)
    with RunLog(tmp_path, after) as log:
        assert steps(tmp_path) == kept
        log.step(after + 1, {"total": 0.5})
    assert steps(tmp_path) == [*kept, after + 1]


def test_what_is_flushed_outlives_a_kill(tmp_path):
    with RunLog(tmp_path, 0) as log:
        for step in (1, 2):
            log.step(step, {"total": 1.0})
        log.flush()
        assert steps(tmp_path) == [1, 2]


def test_curves_have_no_step_twice(tmp_path):
    for after, last in ((0, 35), (20, 50)):
        with RunLog(tmp_path, after) as log:
            for step in range(after + 1, last + 1):
                log.step(step, {"total": float(after)})
            log.validated(last, 50.0)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss/total")] == [
        (10, 0.0),
        (20, 0.0),
        (30, 20.0),
        (40, 20.0),
        (50, 20.0),
    ]
    assert Counter(event.step for event in events.Scalars("validation/f1")) == {50: 1}
