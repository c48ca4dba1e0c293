import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MACHINE = {"processor": "AMD EPYC", "cores": 2, "system": "Linux", "python": "3.11.7"}
COMMON = {
    "benchmark": "reading",
    "case": "decode",
    "fastest_ms": 1.0,
    "slowest_ms": 2500.0,
    "runs": 15,
    "batch": 128,
    "command": "python benchmarks/reading.py",
    "date": "2026-01-02",
    "versions": {"torch": "2.13.0"},
    "machine": MACHINE,
}
PEER = {**COMMON, "subject": "peer", "median_ms": 10.54, "ratio": 1.0, "length": 40}
OURS = {**COMMON, "subject": "ours", "median_ms": 2.0, "ratio": 5.27, "length": 512}
SECTION = """
## Reading a corpus

    python benchmarks/reading.py

AMD EPYC, 2 cores, Linux, Python 3.11.7, torch 2.13.0. 2026-01-02.

decode: runs 15, batch 128

|  | ms | fastest, ms | slowest, ms | times as fast | length |
| --- | --- | --- | --- | --- | --- |
| peer | 10.54 | 1.00 | 2,500 | 1.00 | 40 |
| ours | 2.00 | 1.00 | 2,500 | 5.27 | 512 |
"""


@pytest.fixture(scope="module")
def table():
    spec = importlib.util.spec_from_file_location("benchmarks_table", ROOT / "benchmarks" / "table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_command_makes_of_the_results(table, tmp_path, monkeypatch):
    page = tmp_path / "benchmarks.md"
    page.write_text(table.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["table.py", "--page", str(page)])
    table.main()
    assert page.read_text(encoding="utf-8") == table.PAGE.read_text(encoding="utf-8")


def test_a_table_says_what_was_run_where_and_when(table):
    assert table.tables([PEER, OURS]) == SECTION


def test_sizes_get_a_row_each_where_subjects_are_paired(table):
    sizes = [{**line, "benchmark": "crf", "length": length} for length in (5, 40) for line in (PEER, OURS)]
    made = table.tables(sizes).splitlines()
    assert made[-4:] == [
        "| length | peer, ms | ours, ms | times as fast |",
        "| --- | --- | --- | --- |",
        "| 5 | 10.54 | 2.00 | 5.27 |",
        "| 40 | 10.54 | 2.00 | 5.27 |",
    ]


def test_runs_of_two_machines_stand_apart(table):
    other = {**OURS, "machine": {**MACHINE, "cores": 64}}
    made = table.tables([PEER, other])
    assert made.count("    python benchmarks/reading.py\n") == 2
    assert "64 cores" in made


def test_a_column_without_values_is_left_out(table):
    made = table.tables([{**PEER, "ratio": None}])
    assert "times as fast" not in made


def test_the_text_above_the_mark_stays(table, tmp_path, monkeypatch):
    page, lines = tmp_path / "page.md", tmp_path / "lines.jsonl"
    page.write_text(f"# Mine\n\n{table.MARK}old\n", encoding="utf-8")
    lines.write_text("".join(json.dumps(line) + "\n" for line in (PEER, OURS)), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["table.py", str(lines), "--page", str(page)])
    table.main()
    assert page.read_text(encoding="utf-8") == f"# Mine\n\n{table.MARK}{SECTION}"


def test_a_line_that_lacks_a_field_is_told(table):
    with pytest.raises(SystemExit, match=r"results, line 1: .* found none of ratio, machine"):
        table.read_lines(
            '{"benchmark": "crf", "case": "", "subject": "", "median_ms": 1, "runs": 1, "command": "",'
            ' "date": "", "versions": {}}',
            "results",
        )


def test_the_page_is_on_the_site():
    assert "benchmarks.md" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
