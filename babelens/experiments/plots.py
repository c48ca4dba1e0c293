"""All plots of an experiment, gathered from its results and the outcomes of its runs. Needs the extra `experiments`."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from babelens.experiments.results import Cell, Results
from babelens.schema import InputError
from babelens.scoring.outcomes import Outcome

Outcomes = Callable[[Cell, str], Sequence[Sequence[Outcome]]]
"""The outcomes of a cell on a test part, those of each seed apart; none where there are none."""


@dataclass(frozen=True)
class Drawn:
    """A plot as it lies on the disk: twice, as pixels and as lines and text."""

    name: str
    title: str
    caption: str
    png: Path
    svg: Path


def write_plots(
    folder: Path,
    results: Results,
    outcomes: Outcomes,
    twins: Mapping[str, str] | None = None,
    *,
    cleaned: bool = False,
) -> list[Drawn]:
    """Draw all that an experiment has figures for, as PNG and SVG in `folder`; the same results are the same bytes.

    `twins` says of a label which other one of its axis is the same without pictures, besides NAME-text of each NAME.
    `cleaned` leaves out the test rows that share something with the training part.

    Raises:
        InputError: matplotlib is not installed, or outcomes are missing or damaged.
    """
    try:
        from babelens.experiments.plot_gallery import Gallery
        from babelens.experiments.plot_style import save_plot
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise InputError(
            "expected matplotlib to draw plots, found none; pip install 'babelens[experiments]' brings it"
        ) from error
    drawn: list[Drawn] = []
    for words, plot in Gallery(results, outcomes, twins or {}, cleaned).plots():
        name = _free(f"{words} cleaned" if cleaned else words, {one.name for one in drawn})
        drawn.append(Drawn(name, plot.title, plot.caption, *save_plot(plot, folder / name)))
    return drawn


def _free(words: str, taken: set[str]) -> str:
    """A file's name made of words, one that is not taken yet; letters of any script stay."""
    plain = re.sub(r"[^\w.+]+", "-", words).strip("-.").lower() or "plot"
    return next(name for number in count(1) if (name := plain if number == 1 else f"{plain}-{number}") not in taken)
