"""Plots of what models found in one test part, row by row: by group of entities, by probability, and by type."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from babelens.experiments.plot_arrangement import LINES, PANELS, portions
from babelens.experiments.plot_confusion import draw_confusions
from babelens.experiments.plot_lines import draw_groups
from babelens.experiments.plot_reliability import draw_reliability
from babelens.experiments.plot_style import Mark, Plot
from babelens.scoring.breakdown import by_entity_length, by_frequency, by_novelty, by_sentence_length, confusion
from babelens.scoring.calibration import reliability
from babelens.scoring.outcomes import Outcome
from babelens.scoring.scores import Counts

# The words that name the files, the breakdown, the title, the axis, and whether F1 has a meaning there (else recall).
_BREAKDOWNS: tuple[tuple[str, Callable[[Sequence[Outcome]], dict[str, Counts]], str, str, bool], ...] = (
    ("length of entities", by_entity_length, "length of entities", "entity length (words)", True),
    ("length of sentences", by_sentence_length, "length of sentences", "sentence length (words)", True),
    ("frequency", by_frequency, "frequency in training", "times the name is an entity in training", False),
    ("novelty", by_novelty, "whether training has the name", "names in training", False),
)


def draw_findings(
    name: str,
    systems: Mapping[str, Sequence[Sequence[Outcome]]],
    title: Callable[[str], str],
    looks: Mapping[str, Mark],
    note: str = "",
) -> Iterator[tuple[str, Plot]]:
    """Each plot of the outcomes of the seeds of each system on one test part, with the words that name its files.

    `title` makes a title of what a plot shows.
    """
    for words, breakdown, what, axis, whole in _BREAKDOWNS:
        rate = "F1" if whole else "recall"
        found = {system: [breakdown(seed) for seed in seeds] for system, seeds in systems.items()}
        groups = {system: _rates(seeds, whole) for system, seeds in found.items()}
        shown = {group for rates in groups.values() for group in rates}
        every = {group: one.support for seeds in found.values() for group, one in seeds[0].items()}
        sizes = {group: size for group, size in every.items() if group in shown}
        for suffix, part in portions(list(groups), LINES):
            some = {system: groups[system] for system in part}
            labels = {"x": axis, "y": f"{rate} (%)", "unit": "gold entities"}
            plot = draw_groups(
                {"": some}, title=title(f"{rate} by {what}"), counts=sizes, series=looks, note=note, **labels
            )
            yield f"{rate} by {words} {name}{suffix}", plot
    tables = {system: [confusion(seed) for seed in seeds] for system, seeds in systems.items()}
    for suffix, part in portions(list(tables), PANELS):
        some = {system: tables[system] for system in part}
        yield (
            f"confusion {name}{suffix}",
            draw_confusions(some, title=title("gold types and what was found"), note=note),
        )
    scored = {system: [one for seed in seeds if (one := reliability(seed))] for system, seeds in systems.items()}
    scored = {system: seeds for system, seeds in scored.items() if seeds}
    for suffix, part in portions(list(scored), PANELS):
        some = {system: scored[system] for system in part}
        what = "reliability of the probabilities of found entities"
        yield f"reliability {name}{suffix}", draw_reliability(some, title=title(what), note=note)


def _rates(seeds: Sequence[Mapping[str, Counts]], whole: bool) -> dict[str, list[float]]:
    """F1 or recall of each group over the seeds; none where there is nothing to find and nothing was found."""
    found: dict[str, list[float]] = {}
    for groups in seeds:
        for group, one in groups.items():
            if one.support or (whole and one.predicted):
                found.setdefault(group, []).append(one.f1 if whole else one.recall)
    return found
