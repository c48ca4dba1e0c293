"""What the documents say holds: each command line parses, each make target exists, each link leads somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
COMMAND = re.compile(r"^    (babelens [a-z].*)$", re.MULTILINE)


def found(pattern: str | re.Pattern[str], document: Path) -> list[str]:
    text = document.read_text(encoding="utf-8")
    return re.findall(pattern, re.sub(r"\\\n +", "", text))  # a command may go on in the next line


def parse(line: str) -> None:
    from babelens.cli.main import app

    command, arguments = typer.main.get_command(app), shlex.split(line, comments=True)[1:]
    while commands := getattr(command, "commands", None):
        assert arguments[0] in commands, f"no verb {arguments[0]!r} in {sorted(commands)}"
        command, arguments = commands[arguments[0]], arguments[1:]
    command.make_context(command.name, arguments)


@pytest.mark.parametrize(
    "line", sorted({line for document in DOCUMENTS for line in found(COMMAND, document)}), ids=lambda line: line[9:40]
)
def test_command_lines_parse(line):
    parse(line)


def test_an_option_that_does_not_exist_is_noticed():
    with pytest.raises(Exception, match="--outlet"):
        parse("babelens train 2m-ner --data DIR --outlet runs/first")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_make_targets_exist(document):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(found(r"(?:`|^    )make ([a-z-]+)", document))
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document):
    links = [link.partition("#")[0] for link in found(r"\]\(([^)\s]+)\)", document) if "://" not in link]
    assert [link for link in links if link and not (document.parent / link).exists()] == []


def test_the_leaderboard_is_what_the_result_files_give():
    from babelens.experiments.leaderboard import is_current

    assert is_current(sorted((ROOT / "results").glob("*.json")), ROOT / "docs" / "leaderboard.md")
