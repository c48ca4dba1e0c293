"""What an experiment has found so far, gathered from its runs: results, tables, plots and the pages of mistakes."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.measure import Measurement

from babelens.data import Corpus
from babelens.data.disguise import disguise
from babelens.evaluation.cards import Look
from babelens.evaluation.looks import looks
from babelens.evaluation.mistakes_page import write_mistakes_page
from babelens.experiments.campaign import Campaign, Job
from babelens.experiments.comparisons import compare_families
from babelens.experiments.contrasts import estimate_contrasts
from babelens.experiments.material import Selection
from babelens.experiments.plots import write_plots
from babelens.experiments.protocol import tests_of
from babelens.experiments.reading import outcomes_file, rows_of_test
from babelens.experiments.results import Cell, Results, Run, write_results
from babelens.experiments.source_tables import source_tables
from babelens.experiments.sources import SourceComparison, compare_sources
from babelens.experiments.table import make_table
from babelens.experiments.table_terminal import rich_table
from babelens.experiments.tables import write_tables, write_text
from babelens.models.batch import CorpusRows
from babelens.models.checkpoint import load_tagger
from babelens.schema import Entity, InputError
from babelens.scoring.calibration import reliability
from babelens.scoring.outcomes import Outcome, read_outcomes


class Runs:
    """The outcomes of an experiment's runs, read from disk when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, run: Run, test: str) -> list[Outcome]:
        """The outcomes of one run on one test part."""
        return read_outcomes(outcomes_file(self.folder / run.folder, test))

    def by_seed(self, cell: Cell, test: str) -> list[list[Outcome]]:
        """The outcomes of a cell, those of each seed apart."""
        return [self.of(run, test) for run in cell.runs if test in run.readings]


def gather(campaign: Campaign, sources: Mapping[str, SourceComparison]) -> Results:
    """All that the runs so far have found, with what is compared as the experiment declares."""
    cells = campaign.cells()
    runs = Runs(campaign.out / "runs")
    experiment = campaign.experiment
    measures: dict[str, Any] = {"calibration": calibration(cells, runs)}
    if experiment.contrasts:
        parts = {name: name for name in campaign.material.others}
        for name, cleaned in (("contrasts", False), ("contrasts, cleaned", True)):
            made = estimate_contrasts(experiment.contrasts, cells, runs.by_seed, parts=parts, cleaned=cleaned)
            measures[name] = [estimate.to_dict() for estimate in made]
    if sources:
        measures["sources"] = {name: comparison.to_dict() for name, comparison in sources.items()}
    words = (" ".join(experiment.about.split()), _system(campaign), _declared(experiment.declared), *campaign.notes)
    return Results(
        experiment=experiment.name,
        title=experiment.title,
        command=shlex.join(campaign.command),
        data=campaign.material.facts,
        seeds=list(campaign.seeds),
        cells=cells,
        comparisons=compare_families(experiment, cells, runs.by_seed),
        measures=measures,
        notes=[note for note in words if note],
    )


def _asked(analysis: str, campaign: Campaign) -> bool:
    return analysis in campaign.experiment.analyses


def compare_all_sources(cells: Sequence[Cell], runs: Runs) -> dict[str, SourceComparison]:
    """How hard each source is for each cell, on the test part."""
    read = {" ".join(cell.labels.values()): runs.by_seed(cell, "test") for cell in cells}
    return {name: compare_sources(outcomes) for name, outcomes in read.items() if outcomes}


def _system(campaign: Campaign) -> str:
    """Which system all cells are of, where no label says so."""
    models = {point.variant.model for point in campaign.points}
    model = models.pop() if len(models) == 1 else None
    return f"System: {Path(model).stem if model.endswith('.toml') else model}." if model else ""


def _declared(text: str) -> str:
    return f"Declared before any run: {' '.join(text.split())}" if text.strip() else ""


def calibration(cells: Sequence[Cell], runs: Runs) -> dict[str, dict[str, Any]]:
    """How well the scores of found entities fit the truth, by cell and test: means over seeds."""
    found: dict[str, dict[str, Any]] = {}
    for cell in cells:
        for test in dict.fromkeys(name for run in cell.runs for name in run.readings):
            made = [one for read in runs.by_seed(cell, test) if (one := reliability(read)) is not None]
            if made:
                means = {name: float(np.mean([getattr(one, name) for one in made])) for name in ("ece", "ace", "brier")}
                found.setdefault(" ".join(cell.labels.values()), {})[test] = means
    return found


def summarise_campaign(campaign: Campaign, console: Console) -> list[str]:
    """Write results.json, tables, plots and pages into the folder of an experiment; returns where they are."""
    out = campaign.out
    sources = compare_all_sources(campaign.cells(), Runs(out / "runs")) if _asked("sources", campaign) else {}
    results = gather(campaign, sources)
    write_results(out / "results.json", results)
    tables = [make_table(results, layout) for layout in campaign.experiment.tables]
    for table in tables:
        shown = rich_table(table)
        # A line too long for the terminal can still be read; figures that are cut off cannot.
        needed = Measurement.get(console, console.options.update(max_width=1_000), shown).maximum
        console.width = max(console.width, needed)
        console.print(shown)
    for line in told(results):
        console.print(line, highlight=False, markup=False)
    written = write_tables(out / "tables", tables)
    if sources:
        written.append(out / "tables" / "sources.md")
        write_text(written[-1], _sources_page(sources))
    lines = [f"results: {out / 'results.json'}", f"tables:  {out / 'tables'}"]
    runs = Runs(out / "runs")
    try:
        drawn = write_plots(out / "plots", results, runs.by_seed, campaign.experiment.twins)
        written += [path for plot in drawn for path in (plot.png, plot.svg)]
        lines.append(f"plots:   {out / 'plots'}" if drawn else "no plots: there are no figures yet")
    except InputError as error:
        lines.append(f"no plots: {error}")
    pages = write_pages(campaign, results, runs)
    written += [page for page, problem in pages.items() if problem is None]
    lines += [f"report:  {page}" if problem is None else f"no page: {problem}" for page, problem in pages.items()]
    _forget_earlier(out, written)
    return lines


def _forget_earlier(out: Path, written: Sequence[Path]) -> None:
    """Remove what an earlier summary, of fewer runs, wrote and this one did not; nobody else's files."""
    listed, now = out / "summary.txt", sorted(path.relative_to(out).as_posix() for path in written)
    before = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    for name in before:
        if name not in now:
            (out / name).unlink(missing_ok=True)
    write_text(listed, "".join(f"{name}\n" for name in now))


def _sources_page(compared: Mapping[str, SourceComparison]) -> str:
    """The sources of all cells as Markdown."""
    lines: list[str] = []
    for name, comparison in compared.items():
        for title, (head, *rows) in source_tables(comparison).items():
            lines += [f"## {name}: {title.lower()}", ""]
            lines += [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)] + [""]
    return "\n".join(lines)


def told(results: Results) -> Iterator[str]:
    """What was compared, in words."""
    for one in results.comparisons:
        rows = "clean rows" if one.cleaned else "all rows"
        system, baseline = " ".join(one.system.values()), " ".join(one.baseline.values())
        yield (
            f"{system} against {baseline} ({one.test}, {rows}): {one.difference:+.2f} points, 95 % {one.low:+.2f} to "
            f"{one.high:+.2f}, p {one.p:.4f}, by Holm {one.adjusted:.4f}"
        )
    for contrast in results.measures.get("contrasts", []):
        if contrast["reason"] is not None:
            yield f"{contrast['name']}: not run: {contrast['reason']}"
        else:
            yield (
                f"{contrast['name']}: {contrast['difference']:+.2f} points, 95 % {contrast['low']:+.2f} to "
                f"{contrast['high']:+.2f}, p {contrast['p']:.4f}, by Holm {contrast['adjusted']:.4f}"
            )


def write_pages(campaign: Campaign, results: Results, runs: Runs) -> dict[Path, str | None]:
    """A page of mistakes for each cell that has a twin, or else for the best one; returns why one was not written.

    The best is that of the best validation F1 among those that were read on most rows. Of several seeds the one in the
    middle by validation is shown.
    """
    twins = {**campaign.experiment.twins}
    cells = [cell for cell in results.cells if cell.runs and any(run.readings for run in cell.runs)]
    paired = [(cell, twin) for cell in cells if (twin := _twin(cell, cells, twins)) is not None]
    if not paired and cells:
        paired = [(max(cells, key=_standing), None)]
    pages: dict[Path, str | None] = {}
    for cell, twin in paired:
        run = _middle(cell)
        page = campaign.out / "reports" / f"{run.folder}.html"
        try:
            _write_page(page, campaign, cell, run, twin, runs)
            pages[page] = None
        except InputError as error:
            pages[page] = f"{run.folder}: {error}"
    return pages


def _standing(cell: Cell) -> tuple[int, float]:
    return next(iter(cell.runs[0].readings.values())).rows, float(np.mean([run.validation_f1 for run in cell.runs]))


def _twin(cell: Cell, cells: Sequence[Cell], twins: dict[str, str]) -> Cell | None:
    """The cell that is the same without pictures."""
    for axis, label in cell.labels.items():
        wanted = {**cell.labels, axis: twins.get(label, f"{label}-text")}
        if (found := next((other for other in cells if other.labels == wanted), None)) is not None:
            return found
    return None


def _middle(cell: Cell) -> Run:
    ordered = sorted(cell.runs, key=lambda run: run.validation_f1)
    return ordered[(len(ordered) - 1) // 2]


def _standing_of(runs: int) -> str:
    """Which one of several runs is shown, in words."""
    return "" if runs == 1 else f", the {'lower' if runs == 2 else 'middle'} one of {runs} on validation"


def _write_page(page: Path, campaign: Campaign, cell: Cell, run: Run, twin: Cell | None, runs: Runs) -> None:
    name = next(iter(run.readings))
    point = next(point for point in campaign.points if point.labels == cell.labels)
    material, recipe = campaign.material, campaign.recipe(Job(point, run.seed))
    test = tests_of(campaign.experiment, point, recipe.model, material)[name]
    sealed = material.sealed(test)
    place = campaign.out / "runs" / run.folder / "training" / "model"
    outcomes = runs.of(run, name)
    own_twin = next((other for other in (twin.runs if twin else []) if name in other.readings), None)
    if twin is not None:
        own_twin = next((other for other in twin.runs if other.seed == run.seed and name in other.readings), own_twin)
    selection = Selection(place, run.folder, run.validation_f1, run.epoch)
    corpus = sealed.open(selection, name, rows_of_test(test, sealed, point), why="page of mistakes")
    corpus = disguise(corpus.pairs() if recipe.training.pictures == "pairs" else corpus, test.pictures)
    pictures = _Pictures(corpus, outcomes)
    against = "" if twin is None else f" Its twin without pictures is {' '.join(twin.labels.values())}."
    shown = f"Seed {run.seed}{_standing_of(len(cell.runs))}, read on {name}."
    write_mistakes_page(
        page,
        outcomes,
        None if own_twin is None else runs.of(own_twin, name),
        title=f"Mistakes of {' '.join(cell.labels.values())}",
        summary=f"{campaign.experiment.title}. {shown}{against}",
        picture=pictures.picture if any(outcome.images for outcome in outcomes) else None,
        look=(lambda asked: pictures.looks(place, asked)) if run.readings[name].pictures.get("used") else None,
    )


class _Pictures:
    """The pictures of rows that were read, and where a model looks in them."""

    def __init__(self, corpus: Corpus, outcomes: Sequence[Outcome]) -> None:
        self._corpus = corpus
        self._rows = CorpusRows(corpus)
        self._numbers = {id(outcome): number for number, outcome in enumerate(outcomes)}  # names may be double

    def picture(self, outcome: Outcome) -> Any:
        """The first picture of a row, or None."""
        keys = self._corpus.picture_keys(self._numbers[id(outcome)])
        return self._corpus.picture(keys[0]).image if keys else None

    def looks(self, model: Path, outcomes: Sequence[Outcome]) -> list[dict[Entity, tuple[Look, ...]]]:
        """Where a model looks for the entities of rows, right and found ones."""
        rows = [self._rows[self._numbers[id(outcome)]] for outcome in outcomes]
        return looks(load_tagger(str(model)), rows, [{*outcome.gold, *outcome.found} for outcome in outcomes])
