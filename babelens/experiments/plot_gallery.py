"""Which plots an experiment has, and the figures that each of them shows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from babelens.experiments.plot_alignment import CosineBins, draw_cosines, draw_recalls
from babelens.experiments.plot_arrangement import LINES, PANELS, ROWS, Arrangement, figures, number, portions
from babelens.experiments.plot_dots import draw_gains, draw_scores
from babelens.experiments.plot_findings import draw_findings
from babelens.experiments.plot_lines import draw_curves, draw_sweeps
from babelens.experiments.plot_style import Mark, Plot, marks
from babelens.experiments.results import Cell, Results, Run, figure
from babelens.scoring.outcomes import Outcome, clean

TWIN = "text-only twin"
_DOSES = {
    "misleading": "share of misleading pictures at test",
    "noise": "severity of noise at test",
    "blur": "severity of blur at test",
}
_UNITS = {
    "share": "share of the training rows",
    "rate": "learning rate",
    "batch": "batch size",
    "misleading": "share of misleading pictures in training",
}
Named = Iterator[tuple[str, Plot]]


class Gallery:
    """The plots of an experiment, each with the words that name its files.

    `cleaned` takes figures over the rows that share nothing with the training part; `twins` are as in `write_plots`.
    """

    def __init__(
        self,
        results: Results,
        outcomes: Callable[[Cell, str], Sequence[Sequence[Outcome]]],
        twins: Mapping[str, str],
        cleaned: bool,
    ) -> None:
        self.results, self.outcomes, self.twins, self.cleaned = results, outcomes, twins, cleaned
        self.arrangement = Arrangement(results)
        self.looks: dict[str, Mark] = marks(self.arrangement.every_series)
        self.note = "Without the test rows that share something with training." if cleaned else ""

    def plots(self) -> Named:
        """All plots that there are figures for."""
        yield from self._scores()
        yield from self._gains()
        yield from self._sweeps()
        yield from self._doses()
        if not self.cleaned:
            # These are of validation, whose rows are all kept.
            yield from self._curves()
            yield from self._alignment()
        for panel, test, cells in self.arrangement.places():
            read = {self.arrangement.series(cell): self._read(cell, test) for cell in cells}
            found = {name: seeds for name, seeds in read.items() if any(seeds)}
            yield from draw_findings(panel, found, partial(self._title, panel=panel), self.looks, self.note)

    def _scores(self) -> Named:
        """F1 over all, by language and by type."""
        panels: dict[str, dict[str, list[float]]] = {}
        for panel, test, cells in self.arrangement.places():
            panels[panel] = self._by_series(cells, test, "micro.f1")
            for kind in ("types", "languages"):
                parts = self._parts(cells, test, kind)
                if len(parts) > 1:
                    by = kind.removesuffix("s")
                    found = {part: self._by_series(cells, test, f"{kind}.{part}.f1") for part in parts}
                    yield from self._dots(f"f1 by {by} {panel}", self._title(f"F1 by {by}", panel), found)
        if panels and not self.arrangement.numeric:
            yield from self._dots("f1", self._title("F1"), panels)
        if not panels and not self.arrangement.numeric:
            chosen = {
                group: {self.arrangement.series(cell): _validation(cell) for cell in cells}
                for group, cells in self.arrangement.groups().items()
            }
            yield from self._dots("validation f1", self._title("F1 on validation"), chosen)

    def _dots(self, words: str, title: str, panels: Mapping[str, Mapping[str, list[float]]]) -> Named:
        rows = list(dict.fromkeys(row for panel in panels.values() for row in panel if panel[row]))
        for suffix, some in portions(rows, ROWS):
            kept = {name: {row: panel[row] for row in some if row in panel} for name, panel in panels.items()}
            yield (
                words + suffix,
                draw_scores(kept, title=title, systems=self.looks, note=f"{self.arrangement.rows} {self.note}".strip()),
            )

    def _gains(self) -> Named:
        """F1 with true pictures less that of the twin without, and of the same model shown other pictures."""
        panels: dict[str, dict[str, dict[str, list[float]]]] = {}
        for panel, test, cells in self.arrangement.places():
            if gains := self._gain(cells, test, "micro.f1"):
                panels[panel] = gains
            for kind in ("types", "languages"):
                parts = self._parts(cells, test, kind)
                found = {part: self._gain(cells, test, f"{kind}.{part}.f1") for part in parts}
                if len(parts) > 1 and any(found.values()):
                    by = kind.removesuffix("s")
                    title = self._title(f"gain by the picture, by {by}", panel)
                    yield f"gain by {by} {panel}", self._draw_gains(found, title)
        if panels:
            yield "gain", self._draw_gains(panels, self._title("gain by the picture"))

    def _draw_gains(self, panels: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]], title: str) -> Plot:
        controls = dict.fromkeys(one for some in self.arrangement.controls.values() for one in some if ":" not in one)
        references = marks([_over(TWIN), *(_over(f"{control} pictures") for control in controls)])
        note = f"Differences are between runs of one seed. {self.arrangement.rows} {self.note}".rstrip()
        return draw_gains(panels, title=title, references=references, note=note)

    def _gain(self, cells: Sequence[Cell], test: str, path: str) -> dict[str, dict[str, list[float]]]:
        found: dict[str, dict[str, list[float]]] = {}
        for cell in cells:
            own = self._by_seed(cell, test, path)
            others: dict[str, dict[int, float]] = {}
            if (twin := self._twin(cell)) is not None:
                others[_over(TWIN)] = self._by_seed(twin, test, path)
            for control, name in self.arrangement.controls[test].items():
                if ":" not in control:
                    others[_over(f"{control} pictures")] = self._by_seed(cell, name, path)
            gains = {name: [own[seed] - other[seed] for seed in own if seed in other] for name, other in others.items()}
            if kept := {name: some for name, some in gains.items() if some}:
                found[self.arrangement.series(cell)] = kept
        return found

    def _twin(self, cell: Cell) -> Cell | None:
        """The cell with the same labels but for one, which is that of a model without pictures."""
        for axis, value in cell.labels.items():
            for name in (self.twins.get(value), f"{value}-text"):
                wanted = {**cell.labels, axis: name}
                for other in self.results.cells if name is not None else ():
                    if other.labels == wanted:
                        return other
        return None

    def _sweeps(self) -> Named:
        """F1 over the numbers of an axis; on validation where no test was read."""
        for axis in self.arrangement.numeric:
            panels, levels = {}, {}
            for panel, test, cells in self.arrangement.places():
                panels[panel], levels[panel] = self.arrangement.along(
                    axis, cells, partial(self._value, test=test, path="micro.f1")
                )
            y = "F1 (%)"
            if not panels:
                y = "validation F1 (%)"
                for group, cells in self.arrangement.groups().items():
                    panels[group], levels[group] = self.arrangement.along(axis, cells, lambda run: run.validation_f1)
            percent = any("%" in value for value in self.arrangement.axes[axis])
            what = _UNITS.get(axis, axis)
            x = what + (" (%)" if percent else "")
            yield from self._lines(
                f"f1 by {axis}", self._title(f"{y.removesuffix(' (%)')} by {what}"), panels, x, y, levels
            )

    def _doses(self) -> Named:
        """F1 over the strength of what was done to the pictures of a test."""
        kinds = {
            control.partition(":")[0]: None
            for controls in self.arrangement.controls.values()
            for control in controls
            if number(control.partition(":")[2]) is not None
        }
        for kind in kinds:
            panels: dict[str, dict[str, dict[float, list[float]]]] = {}
            for panel, test, cells in self.arrangement.places():
                doses = {0.0: test} | {
                    dose: name
                    for control, name in self.arrangement.controls[test].items()
                    if control.startswith(f"{kind}:") and (dose := number(control.partition(":")[2])) is not None
                }
                found = {
                    self.arrangement.series(cell): {
                        dose: self._values(cell, name, "micro.f1") for dose, name in sorted(doses.items())
                    }
                    for cell in cells
                }
                kept = {name: one for name, one in found.items() if any(one[dose] for dose in one if dose)}
                if kept:
                    panels[panel] = kept
            x = _DOSES.get(kind, f"{kind} at test")
            yield from self._lines(f"f1 by {kind} at test", self._title(f"F1 by {x}"), panels, x, "F1 (%)", log=False)

    def _lines(
        self,
        words: str,
        title: str,
        panels: Mapping[str, Mapping[str, Mapping[float, list[float]]]],
        x: str,
        y: str,
        levels: Mapping[str, Mapping[str, list[float]]] | None = None,
        log: bool | None = None,
    ) -> Named:
        names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
        for suffix, some in portions(names, LINES):
            kept = {panel: {name: one[name] for name in some if name in one} for panel, one in panels.items()}
            look = {name: mark for name, mark in self.looks.items() if name in some}
            how: dict[str, Any] = {"x": x, "y": y, "log": log, "series": look, "levels": levels, "note": self.note}
            yield words + suffix, draw_sweeps({name: one for name, one in kept.items() if one}, title=title, **how)

    def _curves(self) -> Named:
        """Validation F1 and losses by epoch."""
        for group, cells in self.arrangement.groups().items():
            histories = {self.arrangement.series(cell): [run.history for run in cell.runs] for cell in cells}
            histories = {name: [one for one in runs if one] for name, runs in histories.items() if any(runs)}
            for suffix, some in portions(list(histories), LINES):
                kept = {name: histories[name] for name in some}
                losses = {
                    loss: None
                    for runs in kept.values()
                    for run in runs
                    for entry in run
                    for loss in entry.get("losses", {})
                }
                panels = {"F1 on validation": {name: [_curve(run) for run in runs] for name, runs in kept.items()}}
                for loss in losses:
                    curves = {name: [_curve(run, loss) for run in runs] for name, runs in kept.items()}
                    panels[f"loss: {loss}"] = {name: one for name, one in curves.items() if any(one)}
                y = {panel: "F1 (%)" if panel == "F1 on validation" else "mean of the epoch" for panel in panels}
                title = self._title("learning curves", group)
                plot = draw_curves(panels, title=title, y=y, series=self.looks)
                yield f"learning curves {group}{suffix}", plot

    def _alignment(self) -> Named:
        """Cosines of texts and pictures, and retrieval of one by the other, as measured on validation."""
        for group, cells in self.arrangement.groups().items():
            cosines: dict[str, CosineBins] = {}
            recalls: dict[str, dict[str, dict[int, list[float]]]] = {}
            chance: dict[str, dict[int, list[float]]] = {}
            for cell in cells:
                name = self.arrangement.series(cell)
                measured = [found for run in cell.runs if (found := run.measures.get("retrieval"))]
                for view in dict.fromkeys(view for found in measured for view in found):
                    seeds = [found[view] for found in measured if view in found]
                    cosines[f"{name}, {view}"] = CosineBins.of([seed["cosines"] for seed in seeds])
                    for way, told in (("text_to_picture", "picture by text"), ("picture_to_text", "text by picture")):
                        panel = f"{view}: {told}"
                        for seed in seeds:
                            for rank, share in _recalls(seed[way]).items():
                                recalls.setdefault(panel, {}).setdefault(name, {}).setdefault(rank, []).append(share)
                            for rank, share in _recalls(seed[way]["chance"]).items():
                                chance.setdefault(panel, {}).setdefault(rank, []).append(share)
            for suffix, some in portions(list(cosines), PANELS):
                title = self._title("cosines of texts and pictures on validation", group)
                yield f"cosines {group}{suffix}", draw_cosines({name: cosines[name] for name in some}, title=title)
            if recalls:
                title = self._title("retrieval on validation", group)
                means = {
                    panel: {rank: sum(one) / len(one) for rank, one in ranks.items()} for panel, ranks in chance.items()
                }
                yield f"retrieval {group}", draw_recalls(recalls, chance=means, title=title, systems=self.looks)

    def _read(self, cell: Cell, test: str) -> list[list[Outcome]]:
        seeds = self.outcomes(cell, test)
        return [list(clean(seed)) if self.cleaned else list(seed) for seed in seeds]

    def _title(self, what: str, panel: str = "") -> str:
        where = f", {panel}" if panel and len(list(self.arrangement.places())) > 1 else ""
        return f"{self.results.title}: {what}{where}"

    def _value(self, run: Run, test: str, path: str) -> float | None:
        return figure(run.readings[test], path, cleaned=self.cleaned) if test in run.readings else None

    def _values(self, cell: Cell, test: str, path: str) -> list[float]:
        return figures(cell, partial(self._value, test=test, path=path))

    def _by_seed(self, cell: Cell, test: str, path: str) -> dict[int, float]:
        found = {run.seed: self._value(run, test, path) for run in cell.runs}
        return {seed: value for seed, value in found.items() if value is not None}

    def _by_series(self, cells: Sequence[Cell], test: str, path: str) -> dict[str, list[float]]:
        return {self.arrangement.series(cell): self._values(cell, test, path) for cell in cells}

    def _parts(self, cells: Sequence[Cell], test: str, kind: str) -> list[str]:
        """The types or languages of a test, in order."""
        readings = [run.readings[test].published for cell in cells for run in cell.runs if test in run.readings]
        return list(dict.fromkeys(part for reading in readings for part in reading.get(kind, {})))


def _over(reference: str) -> str:
    return f"over {'its ' if reference == TWIN else ''}{reference}"


def _validation(cell: Cell) -> list[float]:
    return figures(cell, lambda run: run.validation_f1)


def _curve(history: Sequence[Mapping[str, Any]], loss: str | None = None) -> dict[int, float]:
    """Validation F1, or a loss, of a run by epoch."""
    if loss is None:
        return {entry["epoch"]: float(entry["validation_f1"]) for entry in history if "validation_f1" in entry}
    return {entry["epoch"]: float(entry["losses"][loss]) for entry in history if loss in entry.get("losses", {})}


def _recalls(found: Mapping[str, Any]) -> dict[int, float]:
    return {int(name.partition("@")[2]): float(share) for name, share in found.items() if name.startswith("recall@")}
