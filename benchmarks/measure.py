"""Times things side by side in one process, and prints each result as one JSON line with what it was measured on."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version


def side_by_side(subjects: Mapping[str, Callable[[], object]], runs: int = 15, warm: int = 3) -> dict[str, list[float]]:
    """Seconds of each run of each subject. They take turns, so that a busy moment of the machine hits all of them."""
    for subject in subjects.values():
        for _ in range(warm):
            subject()
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(runs):
        for name, subject in subjects.items():
            start = time.perf_counter()
            subject()
            seconds[name].append(time.perf_counter() - start)
    return seconds


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
        median = statistics.median(times)
        line = {
            "benchmark": benchmark,
            "case": case,
            "subject": subject,
            "median_ms": round(1000 * median, 3),
            "fastest_ms": round(1000 * min(times), 3),
            "slowest_ms": round(1000 * max(times), 3),
            "runs": len(times),
            "ratio": round(first / median, 3),
            **facts,
            "versions": {package: version(package) for package in packages},
            "machine": machine(),
        }
        print(json.dumps(line, ensure_ascii=False), flush=True)
