"""The comparison of sources as tables of text."""

from collections.abc import Iterator

from babelens.experiments.sources import SourceComparison, SourceDifference, SourceFigure, SourceRows
from babelens.scoring.significance import Interval

TextTable = list[list[str]]
"""Rows of cells, the head first."""


def source_tables(comparison: SourceComparison) -> dict[str, TextTable]:
    """The rows, the figures and the differences, by title; what there is not is an empty cell."""
    return {
        "Rows of each source": list(_rows(comparison)),
        "F1 by source and type": list(_figures(comparison)),
        "Differences between sources": list(_differences(comparison)),
    }


def _rows(comparison: SourceComparison) -> Iterator[list[str]]:
    yield ["source", "rows", "words", "entities", "in common strata", "effective rows", "words held", "entities held"]
    for one in comparison.sources:
        yield _row(one)


def _row(one: SourceRows) -> list[str]:
    held = (one.held_words, one.held_entities)
    words, entities = (
        "" if value is None else f"{value:.{digits}f}" for value, digits in zip(held, (1, 2), strict=True)
    )
    share, effective = f"{one.common:.1f} %", f"{one.effective:.0f}"
    return [one.source, str(one.rows), f"{one.words:.1f}", f"{one.entities:.2f}", share, effective, words, entities]


def _figures(comparison: SourceComparison) -> Iterator[list[str]]:
    yield ["source", "type", "entities", "F1", "entities in common strata", "F1 held"]
    for one in comparison.figures:
        yield _figure(one, _type(comparison, one.type, held=False))


def _figure(one: SourceFigure, type_: str) -> list[str]:
    return [one.source, type_, str(one.support), _bounded(one.raw), str(one.held_support), _bounded(one.held)]


def _differences(comparison: SourceComparison) -> Iterator[list[str]]:
    yield ["sources", "type", "sentences", "difference", "p", "p after Holm"]
    for one in comparison.differences:
        yield _difference(one, _type(comparison, one.type, one.held))


def _difference(one: SourceDifference, type_: str) -> list[str]:
    bounded = f"{one.difference:+.1f} [{one.low:+.1f}, {one.high:+.1f}]"
    sentences = "held" if one.held else "raw"
    return [f"{one.source} less {one.other}", type_, sentences, bounded, f"{one.p:.4f}", f"{one.adjusted:.4f}"]


def _type(comparison: SourceComparison, type_: str | None, held: bool) -> str:
    return type_ or f"mean of {', '.join(comparison.held_types if held else comparison.types)}"


def _bounded(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.figure:.1f} [{interval.low:.1f}, {interval.high:.1f}]"
