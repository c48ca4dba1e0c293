"""What a model made of each row of a labelled part, as plain data that all later analyses read."""

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from babelens.schema import Entity, InputError

# Words may hold halves of a surrogate pair, from a file that was cut in the wrong place.
_SURROGATES = "surrogatepass"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row: what is right, what a model found, and what is known of the row.

    `scores` are the probabilities of the entities of `found`, in their order. `unit` is the number of the group of rows
    that are not independent (a common picture, translations, nearly the same text). `leaks` names what the row shares
    with the training part ("picture", "picture name", "group", "text", "similar text", "near text"). `frequencies`
    counts, for each entity of `gold`, how often the same words (but for letter case) are an entity of any type in the
    training part. `status` is what became of the row's pictures, `images` their names.
    """

    id: str
    words: tuple[str, ...]
    gold: tuple[Entity, ...]
    found: tuple[Entity, ...]
    scores: tuple[float, ...]
    unit: int
    leaks: tuple[str, ...] = ()
    frequencies: tuple[int, ...] = ()
    language: str | None = None
    source: str | None = None
    status: str = "none"
    images: tuple[str, ...] = ()


def write_outcomes(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Write outcomes as compressed JSON lines, beside their place and renamed; the same outcomes are the same bytes.

    Scores are rounded to six digits; all else is read back as it was, lone surrogates included.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
            for outcome in outcomes:
                file.write((json.dumps(_plain(outcome), ensure_ascii=False) + "\n").encode("utf-8", _SURROGATES))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_outcomes(path: Path) -> list[Outcome]:
    """Read outcomes back.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        if not path.stat().st_size:
            raise EOFError("the file is empty")
        with gzip.open(path, "rt", encoding="utf-8", errors=_SURROGATES, newline="\n") as file:
            return [_outcome(json.loads(line)) for line in file]
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path}: expected the outcomes of a model (compressed JSON lines): {error}") from error


def _plain(outcome: Outcome) -> dict:
    return {
        "id": outcome.id,
        "words": outcome.words,
        "gold": [[entity.start, entity.end, entity.type] for entity in outcome.gold],
        "found": [
            [entity.start, entity.end, entity.type, round(score, 6)]
            for entity, score in zip(outcome.found, outcome.scores, strict=True)
        ],
        "unit": outcome.unit,
        "leaks": outcome.leaks,
        "frequencies": outcome.frequencies,
        "language": outcome.language,
        "source": outcome.source,
        "status": outcome.status,
        "images": outcome.images,
    }


def _outcome(row: dict) -> Outcome:
    return Outcome(
        id=row["id"],
        words=tuple(row["words"]),
        gold=tuple(Entity(*span) for span in row["gold"]),
        found=tuple(Entity(*found[:3]) for found in row["found"]),
        scores=tuple(float(found[3]) for found in row["found"]),
        unit=int(row["unit"]),
        leaks=tuple(row["leaks"]),
        frequencies=tuple(row["frequencies"]),
        language=row["language"],
        source=row["source"],
        status=row["status"],
        images=tuple(row["images"]),
    )


def golds(outcomes: Sequence[Outcome]) -> list[tuple[Entity, ...]]:
    """The right entities, row by row."""
    return [outcome.gold for outcome in outcomes]


def founds(outcomes: Sequence[Outcome]) -> list[tuple[Entity, ...]]:
    """The found entities, row by row."""
    return [outcome.found for outcome in outcomes]


def clean(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """The rows that share nothing with the training part."""
    return (outcome for outcome in outcomes if not outcome.leaks)
