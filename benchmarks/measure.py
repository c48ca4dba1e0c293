"""Times things side by side in one process, or each in a process of its own, and prints each result as one JSON line.

A line says what was measured, on what, by which command, and beside what: `ratio` is the time of a peer, or of what the
benchmark names first, over its own. Run as a program, it prints a name for this machine.
"""

import functools
import json
import multiprocessing
import os
import platform
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

CUBE = 2048


def side_by_side(
    subjects: Mapping[str, Callable[[], object]],
    runs: int = 15,
    warm: int = 3,
    wait: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds of each run of each subject. They take turns, so that a busy moment of the machine hits all of them.

    `wait` returns once the device is done, where it works on while Python goes ahead.
    """
    for subject in subjects.values():
        for _ in range(warm):
            subject()
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(runs):
        for name, subject in subjects.items():
            wait()
            start = time.perf_counter()
            subject()
            wait()
            seconds[name].append(time.perf_counter() - start)
    return seconds


@functools.cache
def machine() -> dict[str, object]:
    """What it ran on."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def report(benchmark: str, case: str, seconds: Mapping[str, list[float]], packages: list[str], **facts: object) -> None:
    """Print one line for each subject. `ratio` is the first subject's median time over its own: above 1 is faster."""
    first = statistics.median(next(iter(seconds.values())))
    for subject, times in seconds.items():
        print_line(benchmark, case, subject, times, first, packages, **facts)


def print_line(
    benchmark: str,
    case: str,
    subject: str,
    seconds: Sequence[float],
    peer: float | None,
    packages: Sequence[str],
    **facts: object,
) -> None:
    """Print the line of one subject; `peer` is the time that its own is compared with, None where there is none."""
    median = statistics.median(seconds)
    line = {
        "benchmark": benchmark,
        "case": case,
        "subject": subject,
        "median_ms": round(1000 * median, 3),
        "fastest_ms": round(1000 * min(seconds), 3),
        "slowest_ms": round(1000 * max(seconds), 3),
        "runs": len(seconds),
        "ratio": None if peer is None else round(peer / median, 3),
        **facts,
        "command": command(),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {package: version(package) for package in packages},
        "machine": machine(),
    }
    print(json.dumps(line, ensure_ascii=False), flush=True)


def command() -> str:
    """The command line of this run."""
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def peak_memory() -> float:
    """The most memory that this process has held so far, in MiB (macOS counts bytes, Linux KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


class Apart(RuntimeError):
    """What ran in a process of its own ended without an answer; the message says how."""


def apart(function: Callable[..., Any], *arguments: object, seconds: float | None = None) -> Any:
    """What a function returns in a process of its own, so that peaks of memory and settings of torch do not mix.

    The process is a fork: what is imported is there, and nothing may have been computed by torch before.

    Raises:
        Apart: it failed, or took longer than `seconds`.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        if not ours.poll(seconds):
            raise Apart(f"not done after {seconds:.0f} seconds")
        return ours.recv()
    except EOFError:
        process.join()
        code = process.exitcode
        raise Apart(f"ended with exit code {code} (-9 is the system's answer when memory runs out)") from None
    finally:
        process.kill()
        process.join()
        ours.close()


def _answer(connection: Connection, function: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    connection.send(function(*arguments))
    connection.close()


class Rates(NamedTuple):
    """Floating-point operations a second of a matrix product of this machine, by the type of its numbers."""

    fp32: float
    bf16: float


def matrix_rates(device: str = "cpu", cube: int | None = None, runs: int = 15) -> Rates:
    """The median rates of square matrix products; fp32 as torch is set, so with TF32 where that is on."""
    import torch

    side = cube or (CUBE if device == "cpu" else 4 * CUBE)
    rates = []
    for kind in (torch.float32, torch.bfloat16):
        left, right = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
        product = functools.partial(torch.matmul, left, right)
        seconds = side_by_side({"product": product}, runs, wait=waiting(device))["product"]
        rates.append(2 * side**3 / statistics.median(seconds))
    return Rates(*rates)


def waiting(device: str) -> Callable[[], object]:
    """What returns once a device is done."""
    import torch

    return functools.partial(torch.cuda.synchronize, device) if device.startswith("cuda") else lambda: None


def count_flops(function: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and convolutions of a call, backward passes included.

    torch's counter knows attention on CUDA and not on the CPU; it is told. What fused attention computes a second time
    for its gradient counts, as torch has it: an eighth of a thousandth of a step of 2M-NER at full size.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

    # The counter calls these with the shapes of an operator's tensors, and with more than is needed here.
    attention = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda *shapes, **_: sdpa_flop_count(*shapes[:3]),
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda *shapes, **_: (
            sdpa_backward_flop_count(*shapes[:4])
        ),
    }
    with FlopCounterMode(display=False, custom_mapping=attention) as counter:
        function()
    return counter.get_total_flops()


def machine_name() -> str:
    """A name for this machine that files can bear: its processor and the number of its cores."""
    words = re.sub(r"\(.*?\)|processor|cpu|@.*", " ", str(machine()["processor"]), flags=re.IGNORECASE).lower()
    return "-".join([*re.findall(r"[a-z0-9]+", words), str(machine()["cores"]), "cores"])


if __name__ == "__main__":
    print(machine_name())
