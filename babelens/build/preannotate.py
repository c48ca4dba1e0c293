"""Rows with entities to begin with: found by spaCy pipelines or by a model, for people to correct (paper, section 3).

A row that has `entities`, be it an empty list, is labelled already and stays as it is, unless they are to be replaced.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from babelens.build.language_codes import language_of
from babelens.build.preannotate_labels import Labels
from babelens.build.preannotate_reading import Annotator, Reading
from babelens.build.results import Result, kept
from babelens.build.rows import Bad, Input, Row
from babelens.build.step import SECONDS, Step, Summary, run_step
from babelens.schema import InputError


@dataclass(frozen=True)
class Preannotation:
    """The step that was done; and of this run: rows that were read for entities, the seconds that it took from its
    start to its end, and those of the processor (of all processes and threads) that reading took.
    """

    summary: Summary
    rows: int
    seconds: float
    core_seconds: float


def preannotate_rows(
    source: Input,
    out: Path,
    annotator: Annotator,
    labels: Labels | None = None,
    *,
    replace: bool = False,
    skip_languages: bool = False,
    skip_bad: bool = False,
    tell: Callable[[int], object] = lambda done: None,
    seconds: float = SECONDS,
) -> Preannotation:
    """Run the step: all rows of the input, with the entities that the annotator finds, in `out`.

    What is said of a row: `did` is "preannotated", with the `labels` of its entities as the annotator has them, what
    was `left_out` ([start, end, label]) and what it `had` before ([start, end, type]); or "kept", and `why`: it is
    `labelled` already, there is no pipeline for its `language` (with `skip_languages`), or it could not be read.

    Raises:
        InputError: there are rows in languages that the annotator does not read, without `skip_languages`.
        BadRows, JournalError, Interrupted, DiskFull: as `run_step` says.
    """
    started = perf_counter()
    labels = labels or Labels()
    if not skip_languages:
        _check_languages(source, annotator, replace)
    options = {
        "by": annotator.by,
        **labels.options(),
        "replace": replace,
        "skip_languages": skip_languages,
        "block": annotator.block,
    }
    taker = _Taker(annotator, labels, replace)
    summary = run_step(
        Step("preannotate", options, annotator.versions),
        source,
        out,
        taker.take,
        skip_bad=skip_bad,
        block=annotator.block,
        tell=tell,
        seconds=seconds,
    )
    return Preannotation(summary, taker.rows, perf_counter() - started, taker.core_seconds)


class _Taker:
    """Puts rows through an annotator, block by block, and counts what that takes."""

    def __init__(self, annotator: Annotator, labels: Labels, replace: bool) -> None:
        self.rows = 0
        self.core_seconds = 0.0
        self._annotator = annotator
        self._labels = labels
        self._replace = replace

    def take(self, rows: Iterator[Row]) -> Iterator[Result]:
        """What becomes of each row; the rows themselves are changed."""
        ahead: deque[tuple[list[Row], list[str | None]]] = deque()

        def blocks() -> Iterator[Sequence[Row]]:
            while part := list(islice(rows, self._annotator.block)):
                reasons = [_unasked(row, self._annotator, self._replace) for row in part]
                ahead.append((part, reasons))
                yield [row for row, reason in zip(part, reasons, strict=True) if reason is None]

        for found in self._annotator.annotate(blocks()):
            part, reasons = ahead.popleft()
            self.rows += len(found.readings)
            self.core_seconds += found.seconds
            readings = iter(found.readings)
            for row, reason in zip(part, reasons, strict=True):
                yield label_row(row, next(readings), self._labels) if reason is None else kept(row, why=reason)


def label_row(row: Row, reading: Reading, labels: Labels) -> Result:
    """A row with the entities of a reading in the place of those that it had; the row itself is changed."""
    if reading.why is not None:
        return kept(row, why=reading.why, **reading.facts)
    text: str = row["text"]
    entities: list[dict[str, Any]] = []
    said: dict[str, Any] = {"did": "preannotated", "labels": []}
    left_out: list[tuple[int, int, str]] = []
    for start, end, label, score in reading.spans:
        type_ = labels.type_of(label)
        if type_ is None:
            left_out.append((start, end, label))
            continue
        entity = {"start": start, "end": end, "text": text[start:end], "type": type_}
        entities.append(entity if score is None else {**entity, "score": score})
        said["labels"].append(label)
    had = [(entity["start"], entity["end"], entity["type"]) for entity in row.get("entities") or ()]
    said |= {name: value for name, value in (("left_out", left_out), ("had", had)) if value}
    row["entities"] = entities
    return Result((row,), {**said, **reading.facts})


def _unasked(row: Row, annotator: Annotator, replace: bool) -> str | None:
    """Why a row is not given to an annotator, or None."""
    if row.get("entities") is not None and not replace:
        return "labelled"
    if annotator.languages is None:
        return None
    language = row.get("language")
    known = isinstance(language, str) and language_of(language) in annotator.languages
    return None if known else "language"


def _check_languages(source: Input, annotator: Annotator, replace: bool) -> None:
    """Refuse rows that the annotator cannot read, before anything is done.

    Raises:
        InputError: there are some; the message counts them by language.
    """
    if annotator.languages is None:
        return
    lacking: Counter[str] = Counter()
    for row in source.rows():
        if not isinstance(row, Bad) and _unasked(row, annotator, replace) == "language":
            lacking[str(row.get("language") or "no language")] += 1
    if lacking:
        listed = ", ".join(f"{language} ({number:,} rows)" for language, number in lacking.most_common(8))
        raise InputError(
            f"expected rows in the languages of the pipelines ({', '.join(sorted(annotator.languages))}), found "
            f"{listed}; --pipeline LANGUAGE=NAME adds one, --skip-languages hands such rows on as they are"
        )
