"""How the cells of an experiment fall into panels, series and numbers of a plot: read from their labels alone."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from babelens.experiments.results import Cell, Results, Run

# As many as can be told apart in one figure: rows of dots, lines, panels.
ROWS, LINES, PANELS = 40, 12, 9

Figure = Callable[[Run], float | None]
"""A figure of a run, None where it has none."""


@dataclass(frozen=True)
class Arrangement:
    """The axes of an experiment: numbers, groups, and the series, the last axis that is neither; and the tests.

    An axis on which all cells have the same label says nothing and is left out. A test "T, C" is the test "T" with the
    pictures of control C.
    """

    results: Results

    @cached_property
    def axes(self) -> dict[str, list[str]]:
        """The labels of each axis on which cells differ, in order."""
        found: dict[str, dict[str, None]] = {}
        for cell in self.results.cells:
            for axis, value in cell.labels.items():
                found.setdefault(axis, {})[value] = None
        cells = self.results.cells
        return {
            axis: list(values)
            for axis, values in found.items()
            if len(values) > 1 or any(axis not in cell.labels for cell in cells)
        }

    @cached_property
    def numeric(self) -> list[str]:
        """The axes whose labels are numbers, but for one or two perhaps, such as a twin that has none."""
        counts = {axis: sum(number(value) is not None for value in values) for axis, values in self.axes.items()}
        return [axis for axis, count in counts.items() if count > max(1, len(self.axes[axis]) - count)]

    @cached_property
    def tests(self) -> list[str]:
        """The tests with true pictures, in order."""
        return [name for name in self._names if self._control(name) is None]

    @cached_property
    def controls(self) -> dict[str, dict[str, str]]:
        """Of each test with true pictures, the names of the same test by the control of its pictures."""
        found: dict[str, dict[str, str]] = {test: {} for test in self.tests}
        for name in self._names:
            if (control := self._control(name)) is not None:
                test, kind = control
                found[test][kind] = name
        return found

    @cached_property
    def _names(self) -> list[str]:
        return list(dict.fromkeys(name for cell in self.results.cells for run in cell.runs for name in run.readings))

    def _control(self, name: str) -> tuple[str, str] | None:
        test, comma, control = name.rpartition(", ")
        return (test, control) if comma and test in self._names else None

    @cached_property
    def _categories(self) -> list[str]:
        return [axis for axis in self.axes if axis not in self.numeric]

    @property
    def rows(self) -> str:
        """What the series are, in words for a caption; none where they are systems."""
        axes = [*self._categories[-1:], *self.numeric]
        return "" if axes in ([], ["system"]) else f"Rows: {', '.join(axes)}."

    def group(self, cell: Cell) -> str:
        """What stands above the series: the labels of all axes but the last of those that are no numbers."""
        return ", ".join(cell.labels[axis] for axis in self._categories[:-1] if axis in cell.labels)

    def series(self, cell: Cell, but: str | None = None) -> str:
        """The name of a cell within its group, perhaps without the number on one axis."""
        words = [cell.labels[axis] for axis in self._categories[-1:] if axis in cell.labels]
        numbers = [axis for axis in self.numeric if axis != but and axis in cell.labels]
        words += [f"{axis} {cell.labels[axis]}" for axis in numbers]
        if not words and but is None:
            return ", ".join(cell.labels.values())
        return ", ".join(words)

    @cached_property
    def every_series(self) -> list[str]:
        """The names of all cells within their groups."""
        return list(dict.fromkeys(self.series(cell) for cell in self.results.cells))

    def panel(self, cell: Cell, test: str) -> str:
        """The name of a test of a group, as short as it can be: none where there is one of each."""
        group = self.group(cell)
        if len(self.tests) < 2 or group == test:
            return group
        return f"{group}, read on {test}" if group else test

    def places(self) -> Iterator[tuple[str, str, list[Cell]]]:
        """Each panel with its test and cells, in order."""
        found: dict[str, tuple[str, list[Cell]]] = {}
        for test in self.tests:
            for cell in self.results.cells:
                if any(test in run.readings for run in cell.runs):
                    found.setdefault(self.panel(cell, test), (test, []))[1].append(cell)
        yield from ((panel, test, cells) for panel, (test, cells) in found.items())

    def groups(self) -> dict[str, list[Cell]]:
        """The cells of each group, in order."""
        found: dict[str, list[Cell]] = {}
        for cell in self.results.cells:
            found.setdefault(self.group(cell), []).append(cell)
        return found

    def along(
        self, axis: str, cells: Sequence[Cell], value: Figure
    ) -> tuple[dict[str, dict[float, list[float]]], dict[str, list[float]]]:
        """Series over the numbers of an axis, and levels: cells that have no number there, nor on any other axis."""
        series: dict[str, dict[float, list[float]]] = {}
        levels: dict[str, list[float]] = {}
        for cell in cells:
            values = figures(cell, value)
            place = number(cell.labels[axis]) if axis in cell.labels else None
            if not values:
                continue
            if place is not None:
                series.setdefault(self.series(cell, axis) or axis, {})[place] = values
            elif axis in cell.labels:
                name = self.series(cell, axis)
                levels[", ".join(word for word in (name, cell.labels[axis]) if word)] = values
            elif not any(other in cell.labels for other in self.numeric):
                levels[self.series(cell)] = values
        return series, levels


def number(text: str) -> float | None:
    """The number that a label is, such as "0.1", "1e-05" or "5 %" (5); None where it is none."""
    try:
        found = float(text.strip().removesuffix("%"))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def figures(cell: Cell, value: Figure) -> list[float]:
    """A figure of each run that has it."""
    return [found for run in cell.runs if (found := value(run)) is not None]


def portions(names: Sequence[str], most: int) -> Iterator[tuple[str, list[str]]]:
    """Names in portions of nearly equal size, none larger than `most`, each with words to put behind a file's name."""
    several = -(-len(names) // most)
    for place in range(several):
        some = list(names[place * len(names) // several : (place + 1) * len(names) // several])
        yield "" if several == 1 else f" part {place + 1}", some
