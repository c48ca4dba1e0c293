"""docs/extending.md carried out: what it says is done to a copy of the package, which then has one more model."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import babelens

PACKAGE = Path(babelens.__file__).parent
PAGE = PACKAGE.parent / "docs" / "extending.md"


@pytest.fixture
def extended(tmp_path):
    """A copy of the package with the page's file, its line in the union and its line in the zoo."""
    text = PAGE.read_text(encoding="utf-8")
    part, entry = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(part.splitlines()) + 2 < 60, "the page promises fewer than 60 lines"
    place = re.search(r"^`(babelens/\S+\.py)`:$", text, re.MULTILINE)
    bring = re.search(r"^    (from \S+ import (\w+))$", text, re.MULTILINE)
    assert place and bring
    shutil.copytree(PACKAGE, tmp_path / "babelens", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / place[1]).write_text(part, encoding="utf-8")

    late = tmp_path / "babelens" / "modules" / "late.py"
    source, unions = re.subn(
        r"^(Fusion = .*)$", rf"\1 | {bring[2]}", late.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert unions == 1
    late.write_text(source.replace("\nimport msgspec\n", f"\nimport msgspec\n{bring[1]}\n", 1), encoding="utf-8")

    zoo = tmp_path / "babelens" / "models" / "zoo.py"
    source = zoo.read_text(encoding="utf-8").replace("\nZOO: ", f"\n{bring[1]}\n\nZOO: ", 1)
    zoo.write_text(source.replace("] = {\n", f"] = {{\n{entry}", 1), encoding="utf-8")

    encoders = tmp_path / "babelens" / "models" / "encoders.py"
    source = encoders.read_text(encoding="utf-8")
    line = f"{bring[1]}\nCOMPACT_FUSIONS[{bring[2]}] = {{}}\n\n_Declaration"
    encoders.write_text(source.replace("\n_Declaration", f"\n{line}", 1), encoding="utf-8")
    return tmp_path


def run(folder, *command):
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_model_of_the_page_keeps_the_contract_of_the_zoo(extended):
    tests = PACKAGE.parent / "tests" / "models" / "test_zoo.py"
    shutil.copy(tests, extended / "test_zoo.py")
    said = run(extended, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_zoo.py", "-k", "mean-gate")
    assert re.search(r"\b1\d passed", said), said


def test_the_command_line_knows_it(extended):
    assert "MeanGate" in run(extended, "-m", "babelens.cli.main", "models", "diff", "bert-crf", "mean-gate")
    assert "mean-gate" in run(extended, "-m", "babelens.cli.main", "models", "list")
