"""The allocator keeps what was freed: seen from outside, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pathlib import Path

import torch

from babelens.models.memory import keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = resident()
tensor = torch.ones(64 << 20)
peak = resident()
del tensor
print((peak - before) >> 20, (resident() - before) >> 20)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="the size of a process is read from Linux's /proc")
def test_freed_memory_stays_only_where_that_was_asked_for():
    if not any(Path("/").glob("lib*/**/libc.so.6")) and not any(Path("/usr/lib").glob("**/libc.so.6")):
        pytest.skip("no glibc here")
    found = {}
    for choice in ("keep", "leave"):
        run = subprocess.run([sys.executable, "-c", SCRIPT, choice], capture_output=True, text=True, check=True)
        found[choice] = [int(number) for number in run.stdout.split()]
    assert found["keep"][0] >= 255 and found["leave"][0] >= 255
    assert found["keep"][1] >= 255
    assert found["leave"][1] < 32
