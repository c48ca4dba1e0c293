"""The example: its command lines parse, it says what it lacks, and (long) its corpus can be trained on."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SCRIPT = EXAMPLES / "small-corpus.sh"


def run(*arguments, **environment):
    own = {"BIN": str(Path(sys.executable).parent), "OMP_NUM_THREADS": "1", **environment}
    command = [str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env=os.environ | own, capture_output=True, text=True, timeout=1500)


def command_lines():
    text = SCRIPT.read_text("utf-8").replace("\\\n", "")
    # Options that the shell fills in are left out; they are one option, repeated, and --resume.
    return [re.sub(r"\$\(pipelines \w+\)|\$resume", "", line) for line in re.findall(r"^babelens [a-z].*$", text, re.M)]


@pytest.mark.parametrize("line", command_lines(), ids=lambda line: " ".join(line.split()[1:4]))
def test_command_lines_parse(line):
    from babelens.cli.main import app

    command, arguments = typer.main.get_command(app), shlex.split(line)[1:]
    while commands := getattr(command, "commands", None):
        command, arguments = commands[arguments[0]], arguments[1:]
    command.make_context(command.name, arguments)


def test_data_that_are_not_there_are_named(tmp_path):
    done = run(tmp_path / "nothing", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        f"found no {tmp_path}/nothing/event-tweets/tweets.jsonl. This example needs the real data sets" in done.stderr
    )
    assert not (tmp_path / "out").exists()


def test_an_environment_that_is_not_there_is_named(tmp_path):
    done = run(BIN=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"small-corpus: found no babelens in {tmp_path}; run `make setup` first\n"


def test_names_are_of_the_four_types():
    names = [json.loads(line) for line in (EXAMPLES / "names.jsonl").read_text("utf-8").splitlines()]
    assert {name["label"] for name in names} == {"PER", "LOC", "ORG", "MISC"}
    patterns = [name["pattern"] for name in names]
    assert len(set(patterns)) == len(patterns)


@pytest.mark.long
@pytest.mark.shared
def test_the_small_corpus_is_made_and_trained_on(shared, tmp_path):
    out = tmp_path / "out"
    done = run(shared, out, STEPS="200")
    assert done.returncode == 0, done.stderr
    assert "0 rows share anything with another part" in done.stdout
    assert "3 files checked: the corpus can be used" in done.stdout
    assert "SIMULATED: none or not all of this was done by people" in done.stdout
    assert "run/model on test:" in done.stdout

    leaks = json.loads((out / "corpus" / "leaks.json").read_text())
    assert leaks and not any(leak["any"] for leak in leaks)
    card = (out / "corpus" / "README.md").read_text("utf-8")
    assert "SIMULATED: no person has labelled or inspected anything" in card
    trail = [json.loads(line) for line in (out / "gold" / "trail.jsonl").read_text("utf-8").splitlines()]
    assert {version["by"] for row in trail for version in row["annotations"]} == {"simulated-ada", "simulated-bo"}
    assert {row["inspection"]["by"] for row in trail if "inspection" in row} == {"simulated-eve"}

    gold = (out / "gold" / "rows.jsonl").read_bytes()
    again = run(shared, out, STEPS="200")
    assert again.returncode == 0, again.stderr
    assert "this was done before" in again.stdout and (out / "gold" / "rows.jsonl").read_bytes() == gold
