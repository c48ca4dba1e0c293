"""Makes the tables of docs/benchmarks.md from the lines in benchmarks/results.

All below the mark in the page is written anew, and the text above it is left as it is. The same lines give the same
page.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
MARK = "<!-- What follows is made by benchmarks/table.py. -->\n"
REQUIRED = ("benchmark", "case", "subject", "median_ms", "runs", "ratio", "command", "date", "versions", "machine")

Line = Mapping[str, Any]


class Column(NamedTuple):
    """A column's head and what stands in it; a column in which nothing stands is left out."""

    head: str
    cell: Callable[[Line], str]


def number(name: str, digits: int = 0, share: float = 1.0) -> Callable[[Line], str]:
    """A cell with a field times `share`, empty where there is none."""

    def cell(line: Line) -> str:
        value = line.get(name)
        return "" if value is None else f"{value * share:,.{digits}f}"

    return cell


def word(name: str) -> Callable[[Line], str]:
    """A cell with a field as it is."""
    return lambda line: "" if line.get(name) is None else str(line[name])


def spread(share: float, digits: int) -> Callable[[Line], str]:
    """A cell with the fastest and the slowest run."""
    return lambda line: f"{line['fastest_ms'] * share:,.{digits}f} to {line['slowest_ms'] * share:,.{digits}f}"


def milliseconds(name: str) -> Callable[[Line], str]:
    """A cell with three figures, more where they stand before the point."""
    return lambda line: "" if line.get(name) is None else f"{line[name]:,.{0 if line[name] >= 100 else 2}f}"


SUBJECT = Column("", word("subject"))
RATIO = Column("times as fast", number("ratio", 2))
MODEL = [
    SUBJECT,
    Column("precision", word("precision")),
    Column("rows a batch", word("batch")),
    Column("seconds", number("median_ms", 2, 1e-3)),
    Column("fastest to slowest", spread(1e-3, 2)),
    Column("rows/s", number("samples_per_s", 2)),
    RATIO,
    Column("GFLOP", number("gflop")),
    Column("GFLOP/s", number("gflop_per_s")),
    Column("product in bf16, GFLOP/s", number("bf16_gflop_per_s")),
    Column("times its floor", number("over_floor", 2)),
    Column("data, ms", number("data_ms")),
    Column("peak memory, MiB", number("peak_mib")),
]
GPU = [
    SUBJECT,
    Column("precision", word("precision")),
    Column("rows a batch", word("batch")),
    Column("ms", milliseconds("median_ms")),
    Column("rows/s", number("samples_per_s", 1)),
    RATIO,
    Column("TFLOP/s", number("gflop_per_s", 1, 1e-3)),
    Column("of the measured rate, %", number("utilisation", 1, 100)),
    Column("of the published rate, %", number("utilisation_published", 1, 100)),
    Column("peak memory, MiB", number("peak_mib")),
]
TIMES = [
    SUBJECT,
    Column("ms", milliseconds("median_ms")),
    Column("fastest, ms", milliseconds("fastest_ms")),
    Column("slowest, ms", milliseconds("slowest_ms")),
    RATIO,
]


class Benchmark(NamedTuple):
    """A benchmark's title and columns.

    With `facts` whatever else differs from line to line gets a column of its own. With `paired` there is a row for each
    such difference, with the times of all subjects in it and the ratio of the last.
    """

    title: str
    columns: Sequence[Column]
    facts: bool = False
    paired: bool = False


BENCHMARKS = {
    "step": Benchmark("Training", MODEL),
    "evaluate": Benchmark("Evaluation", MODEL),
    "crf": Benchmark("CRF", [], paired=True),
    "accuracy": Benchmark(
        "Accuracy of what is fast", [SUBJECT, Column("seconds", number("median_ms", 0, 1e-3)), RATIO], facts=True
    ),
    "reading": Benchmark("Reading a corpus", TIMES, facts=True),
    "collate": Benchmark("Making batches", TIMES, facts=True),
    "predict": Benchmark("Prediction", TIMES, facts=True),
    "bulk": Benchmark("Bulk prediction", TIMES, facts=True),
    "serve": Benchmark("Service", TIMES, facts=True),
    "export": Benchmark("ONNX", TIMES, facts=True),
    "captions": Benchmark("Making a data set: captions", TIMES, facts=True),
    "preannotate": Benchmark("Making a data set: pre-annotation", TIMES, facts=True),
    "gpu": Benchmark("On a GPU", GPU),
}
GENERAL = ("size", "device", "threads", "rows", "words", "steps", "runs", "tf32_products", "tf32_convolutions")
TOLD = {*REQUIRED, "fastest_ms", "slowest_ms"} - {"runs"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="files of lines, - for stdin [default: benchmarks/results]")
    parser.add_argument("--page", type=Path, default=PAGE, help="whose tables are made anew [docs/benchmarks.md]")
    options = parser.parse_args()
    texts = []
    for file in options.files or result_files():
        texts.append((str(file), sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")))
    lines = [line for name, text in texts for line in read_lines(text, name)]
    head = options.page.read_text(encoding="utf-8").partition(MARK)[0]
    beside = options.page.with_name(f".{options.page.name}.new")
    beside.write_text(head + MARK + tables(lines), encoding="utf-8")
    beside.replace(options.page)


def result_files() -> list[Path]:
    """The files of results that belong to the project."""
    return sorted(RESULTS.glob("*.jsonl"))


def read_lines(text: str, name: str) -> list[Line]:
    """The lines of a file, seen to be whole."""
    lines = []
    for place, row in enumerate(filter(str.strip, text.splitlines()), 1):
        line = json.loads(row)
        lacking = [field for field in REQUIRED if field not in line]
        if lacking or line["benchmark"] not in BENCHMARKS:
            known = ", ".join(BENCHMARKS)
            sys.exit(f"{name}, line {place}: expected a line of {known}, found none of {', '.join(lacking) or 'these'}")
        lines.append(line)
    return lines


def tables(lines: Sequence[Line]) -> str:
    """All tables: benchmarks in a fixed order, their runs and lines as they come."""
    parts = []
    for name, benchmark in BENCHMARKS.items():
        own = [line for line in lines if line["benchmark"] == name]
        if own:
            parts.append(f"\n## {benchmark.title}\n")
        for run in grouped(own, lambda line: (where(line), line["command"], line["date"])):
            parts.append(f"\n    {run[0]['command']}\n\n{where(run[0])}. {run[0]['date']}.\n")
            parts += [table(benchmark, same) for same in grouped(run, lambda line: line["case"])]
    return "".join(parts)


def grouped(lines: Iterable[Line], key: Callable[[Line], object]) -> list[list[Line]]:
    """Lines of one key together, keys in the order in which they come."""
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(str(key(line)), []).append(line)
    return list(groups.values())


def where(line: Line) -> str:
    """The machine and the versions of a line, in words."""
    machine = line["machine"]
    chip = [line["accelerator"]] if line.get("accelerator") else []
    place = [*chip, machine["processor"], f"{machine['cores']} cores", machine["system"], f"Python {machine['python']}"]
    return ", ".join(place + [f"{name} {version}" for name, version in line["versions"].items()])


def table(benchmark: Benchmark, lines: Sequence[Line]) -> str:
    """One case: what all lines have in common, then a row for each line, or for each size."""
    facts = list(dict.fromkeys(name for line in lines for name in line if name not in TOLD))
    differing = [name for name in facts if len({str(line.get(name)) for line in lines}) > 1]
    told_of = facts if benchmark.facts or benchmark.paired else [name for name in GENERAL if name in facts]
    heading = [f"{said(name)} {told(lines[0][name])}" for name in told_of if name not in differing]
    columns = [column for column in benchmark.columns if column is SUBJECT or any(map(column.cell, lines))]
    own = [Column(said(name), lambda line, name=name: told(line.get(name))) for name in differing]
    rows: list[list[str]] = []
    if benchmark.paired:
        own = [column for column in own if column.head != "runs"]
        subjects = list(dict.fromkeys(line["subject"] for line in lines))
        heads = [*(column.head for column in own), *(f"{subject}, ms" for subject in subjects), RATIO.head]
        sizes = grouped(lines, lambda line: [column.cell(line) for column in own])
        for size in sizes:
            times = {line["subject"]: milliseconds("median_ms")(line) for line in size}
            of_all = [times.get(subject, "") for subject in subjects]
            rows.append([*(column.cell(size[0]) for column in own), *of_all, RATIO.cell(size[-1])])
    else:
        columns += own if benchmark.facts else []
        heads = [column.head for column in columns]
        rows = [[column.cell(line) for column in columns] for line in lines]
    body = "".join(f"| {' | '.join(row)} |\n" for row in [heads, ["---"] * len(heads), *rows])
    return f"\n{lines[0]['case']}{': ' if heading else ''}{', '.join(heading)}\n\n{body}"


def said(name: str) -> str:
    """A field's name in words, its unit after a comma."""
    for unit, written in (("_mib", ", MiB"), ("_ms", ", ms")):
        name = name.removesuffix(unit) + written if name.endswith(unit) else name
    return name.replace("_", " ")


def told(value: object) -> str:
    """A field's value in words."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


if __name__ == "__main__":
    main()
