"""The page of all results: systems side by side where they were trained, chosen and tested on the same rows."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babelens.experiments.columns import HEADLINE, summary
from babelens.experiments.results import Cell, Reading, Results, Run, Summary, read_results
from babelens.experiments.table_markdown import escape, pipes
from babelens.experiments.tables import write_text

_FIGURES = ("test F1", "cleaned", "seeds", "validation F1", "million parameters")
_ORIGIN = ("machine", "from")
_PREFACE = """\
# Leaderboard

Every figure is read from a result file; nothing is written in by hand. `babelens experiment --leaderboard FOLDER PAGE`
makes this page anew.

F1 is micro, exact spans, in per cent: mean and standard deviation over seeds. *Cleaned* leaves out the rows of the test
part that share a text, a picture or a group with training. Every model is chosen on validation, and test is read after
that.

What this page is not:

- **No ranking across tables.** Systems stand in one table where they were trained, chosen and tested on the same rows.
  Figures of different tables do not compare, even of the same data set.
- **No figures of papers, and none of the best epoch on test**, which published code reports: these are other
  protocols.
- **No test of significance.** The order is that of the means; where spreads overlap, or there is one seed, it may be
  chance. The tables of each experiment have the tests that were declared.
- **No more than the labels allow.** What is said of a data set below, such as that its labels are silver (made by
  machines), holds for every figure on it.
"""


@dataclass(frozen=True)
class _Entry:
    """A cell of a result file, read on one part."""

    file: Path
    results: Results
    cell: Cell
    test: str
    f1: Summary

    @property
    def runs(self) -> list[tuple[Run, Reading]]:
        return [(run, run.readings[self.test]) for run in self.cell.runs if self.test in run.readings]

    @property
    def protocol(self) -> tuple[str, ...]:
        """What entries must have in common to be ranked: the part that was read, what was trained and chosen on."""
        parts = [
            [sorted({f"{reading.digest} {reading.rows}" for _, reading in self.runs})],
            [sorted({_canonical(run.data) for run, _ in self.runs})],
        ]
        return (_canonical(self.results.data), self.test, _canonical(parts))


def render_leaderboard(results: Iterable[Path]) -> str:
    """The page from result files; the same files give the same page.

    Raises:
        InputError: a file is missing or holds no results.
    """
    read = [(file, read_results(file)) for file in sorted(results, key=lambda file: file.as_posix())]
    by_data: dict[str, list[tuple[Path, Results]]] = {}
    for file, one in read:
        by_data.setdefault(_canonical(one.data), []).append((file, one))
    groups = sorted(by_data.values(), key=lambda group: (_name(group[0][1]), _canonical(group[0][1].data)))
    parts = [_PREFACE.rstrip("\n"), *(part for group in groups for part in _data_set(group))]
    return "\n\n".join(parts) + "\n"


def write_leaderboard(results: Iterable[Path], page: Path) -> None:
    """Write the page, beside its place and renamed.

    Raises:
        InputError: a file is missing or holds no results.
    """
    write_text(page, render_leaderboard(results))


def is_current(results: Iterable[Path], page: Path) -> bool:
    """Whether a page is what these result files give.

    Raises:
        InputError: a file is missing or holds no results.
    """
    return page.is_file() and page.read_text(encoding="utf-8") == render_leaderboard(results)


def _data_set(group: Sequence[tuple[Path, Results]]) -> Iterator[str]:
    """All results on one data set: what is known of it, a table for each protocol, and where they come from."""
    yield f"## {escape(_name(group[0][1]))}"
    if facts := _facts(group[0][1].data):
        yield facts
    notes = dict.fromkeys(note for _, results in group for note in results.notes)
    said = [note for note in notes if _of_data(note, [results for _, results in group])]
    yield from (escape(" ".join(note.split())) for note in said)
    entries = [entry for file, results in group for entry in _entries(file, results)]
    protocols: dict[tuple[str, ...], list[_Entry]] = {}
    for entry in entries:
        protocols.setdefault(entry.protocol, []).append(entry)
    for own in protocols.values():
        if len(own) > 1:
            yield from _ranking(sorted(own, key=lambda entry: -entry.f1.mean))
    if alone := [own[0] for own in protocols.values() if len(own) == 1]:
        yield from _unranked(alone)
    yield "### Where these come from"
    yield "\n".join(line for file, results in group for line in _source(file, results, said))


def _of_data(note: str, results: Sequence[Results]) -> bool:
    """Whether a note speaks of the data: that labels are silver, or what all results on the data set say."""
    return "silver" in note.casefold() or all(note in one.notes for one in results)


def _entries(file: Path, results: Results) -> Iterator[_Entry]:
    for cell in results.cells:
        for test in dict.fromkeys(test for run in cell.runs for test in run.readings):
            f1 = summary(cell, test, HEADLINE)
            if f1 is not None:
                yield _Entry(file, results, cell, test, f1)


def _ranking(entries: Sequence[_Entry]) -> Iterator[str]:
    """The table of one protocol, the highest mean first; means that are printed alike share a place."""
    labels = [entry.cell.labels for entry in entries]
    shared = {axis: label for axis, label in labels[0].items() if all(other.get(axis) == label for other in labels)}
    shared.pop("system", None)
    about = "".join(f"{axis}: {label}; " for axis, label in shared.items())
    yield f"### {escape(about)}read on {escape(entries[0].test)}"
    _, reading = entries[0].runs[0]
    rows = ", ".join((*_rows_of(entries[0]), f"{reading.rows:,} tested"))
    yield f"Rows: {rows}, of which {reading.leaks.rows:,} share something with training."
    means = [f"{entry.f1.mean:.2f}" for entry in entries]
    cells = [
        [str(means.index(mean) + 1), escape(_named(entry, shared)), *_figures(entry), *_origin(entry)]
        for entry, mean in zip(entries, means, strict=True)
    ]
    heads = ("", "system", *_FIGURES, *_ORIGIN)
    yield "\n".join(pipes(heads, cells, (1, len(heads) - 2, len(heads) - 1)))


def _unranked(entries: Sequence[_Entry]) -> Iterator[str]:
    """Those that nothing else can be ranked with."""
    yield "### Not ranked"
    yield "Each is the only one that was trained, chosen and tested on its rows."
    cells = []
    for entry in entries:
        run, reading = entry.runs[0]
        trained = (run.data.get("training") or {}).get("rows")
        sizes = ["–" if trained is None else f"{trained:,}", f"{reading.rows:,}"]
        cells.append([escape(_named(entry, {})), escape(entry.test), *sizes, *_figures(entry), *_origin(entry)])
    heads = ("system", "read on", "rows trained on", "tested", *_FIGURES, *_ORIGIN)
    yield "\n".join(pipes(heads, cells, (0, 1, len(heads) - 2, len(heads) - 1)))


def _rows_of(entry: _Entry) -> Iterator[str]:
    """How many rows were trained and chosen on, as far as it is known."""
    run, _ = entry.runs[0]
    for part, done in (("training", "trained on"), ("validation", "chosen on")):
        rows = (run.data.get(part) or {}).get("rows")
        if rows is not None:
            yield f"{rows:,} {done}"


def _named(entry: _Entry, shared: Mapping[str, str]) -> str:
    """The system and what else tells it apart; without a system, the other labels."""
    labels = {axis: label for axis, label in entry.cell.labels.items() if axis not in shared}
    system = labels.pop("system", None)
    others = ", ".join(f"{axis}: {label}" for axis, label in labels.items())
    return f"{system} ({others})" if system and others else system or others or entry.results.experiment


def _figures(entry: _Entry) -> Iterator[str]:
    yield _spread(entry.f1)
    yield _spread(summary(entry.cell, entry.test, HEADLINE, cleaned=True))
    asked = len(entry.results.seeds)
    yield str(entry.f1.count) if entry.f1.count == asked else f"{entry.f1.count} of {asked}"
    yield _spread(summary(entry.cell, entry.test, "validation"))
    yield " / ".join(dict.fromkeys(f"{run.parameters / 1e6:,.1f}" for run, _ in entry.runs))


def _origin(entry: _Entry) -> Iterator[str]:
    yield escape("; ".join(dict.fromkeys(_machine(run.machine) for run, _ in entry.runs)))
    yield _place(entry.file)


def _source(file: Path, results: Results, said: Sequence[str]) -> Iterator[str]:
    """A file: its command, what its author notes, and what was not run."""
    yield f"- {_place(file)}: {escape(results.title)}. `{' '.join(results.command.split())}`"
    yield from (f"    - {escape(' '.join(note.split()))}" for note in results.notes if note not in said)
    if not any(run.readings for cell in results.cells for run in cell.runs):
        yield "    - Nothing of it was read on a test part."
    reasons: dict[str, list[str]] = {}
    for cell in results.cells:
        if not cell.runs:
            reason = " ".join((cell.reason or "not run yet").split())
            reasons.setdefault(reason, []).append(" ".join(cell.labels.values()))
    for reason, cells in reasons.items():
        yield f"    - Not run ({escape(reason)}): {escape('; '.join(cells))}."


def _name(results: Results) -> str:
    return str(results.data.get("name") or "data without a name")


def _facts(data: dict[str, Any]) -> str:
    """What a result file says of its data, in one line."""
    said = []
    for part in ("training", "validation"):
        rows = (data.get(part) or {}).get("rows") if isinstance(data.get(part), dict) else None
        said += [f"{rows:,} {part} rows"] if isinstance(rows, int) else []
    types = data.get("types")
    if isinstance(types, list):
        said.append(f"types {', '.join(map(str, types))}")
    return escape(f"{'; '.join(said)}.") if said else ""


def _machine(machine: dict[str, Any]) -> str:
    chip = str(machine.get("chip") or machine.get("device") or "not known")
    threads = machine.get("threads")
    return (
        f"{chip}, {threads} thread{'' if threads == 1 else 's'}" if machine.get("device") == "cpu" and threads else chip
    )


def _spread(value: Summary | None) -> str:
    if value is None:
        return "–"
    return f"{value.mean:.2f}" + ("" if value.deviation is None else f" ±{value.deviation:.2f}")


def _place(file: Path) -> str:
    """A result file with its folder. It is no link: the site has pages, and no result files."""
    return f"`{file.parent.name}/{file.name}`"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
