"""A random sample of sentences for a person to look at: drawn, kept in a folder, and the result of the look.

The folder holds `sample.json` (what was drawn from what, and how), `sheet.csv` to be filled in a spreadsheet and
`sheet.html`, which shows the sentences with their pictures and can be filled as well. Once the sheet is filled, the
share of right entities is what the paper gives as "626 of 631".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from random import Random

import msgspec

from babelens.build.audit_page import render_sheet
from babelens.build.audit_rows import AuditedEntity, AuditedRow, Marking, Sample
from babelens.build.audit_sheet import write_sheet
from babelens.build.rows import Bad, Row, read_input
from babelens.data.journal import write_whole
from babelens.data.problems import DataError, Problem, fault, quote
from babelens.schema import InputError
from babelens.scoring.proportions import Share, share_in_clusters
from babelens.scoring.scores import UNNAMED

SAMPLE, SHEET, PAGE, RESULT = "sample.json", "sheet.csv", "sheet.html", "audit.json"


@dataclass(frozen=True)
class Wrong:
    """An entity that was found wrong."""

    key: str
    row: str
    text: str
    type: str
    remark: str


@dataclass(frozen=True)
class AuditResult:
    """What an audit says of the data it was drawn from.

    `right` is the share of right entities among those in the data, that is, precision; `recall` the share of right ones
    among all that should be there, where missed ones were counted (None where not). An entity of wrong boundaries or of
    a wrong type is wrong, and what should stand there is missed. Both have an interval as if entities were independent,
    and one for entities in sentences (see `Share`). `types` and `languages` are shares of right entities.
    """

    sample: str
    sentences: int
    of_sentences: int
    right: Share
    missed: int | None
    recall: Share | None
    types: dict[str, Share]
    languages: dict[str, Share]
    wrong: list[Wrong]


def draw_sample(place: Path, number: int, *, seed: int = 0, by_language: bool = False) -> Sample:
    """Draw so many rows of a JSONL file, or of the folder of a step, at random and without replacement.

    With `by_language` every language has as many as its share of the rows (largest remainders), so that shares over the
    whole sample need no weights. The rows are read twice, and only those drawn are kept. They stand in the order of the
    draw, by which fatigue falls on no part of the data more than on another.

    Raises:
        DataError: the rows cannot be read, are fewer than asked for, or entities of a drawn row overlap.
    """
    source = read_input(place)
    languages: dict[str, list[int]] = {}
    problems: list[Problem] = []
    for position, row in enumerate(source.rows()):
        if isinstance(row, Bad):
            problems.append(row.problem)
        else:
            languages.setdefault(str(row.get("language") or UNNAMED) if by_language else "", []).append(position)
    if problems:
        raise DataError(problems)
    total = sum(map(len, languages.values()))
    if not 1 <= number <= total:
        raise fault(place, f"a sample of 1 to {total:,} rows", str(number))
    shares = _allot({name: len(rows) for name, rows in languages.items()}, number)
    chosen = [
        position
        for name in sorted(shares)
        for position in Random(f"{seed}/{name}").sample(languages[name], shares[name])
    ]
    Random(f"{seed}").shuffle(chosen)
    numbers = {position: place for place, position in enumerate(chosen, 1)}
    drawn = [
        _audited(place, row, numbers[position])
        for position, row in enumerate(source.rows())
        if position in numbers and not isinstance(row, Bad)
    ]
    drawn.sort(key=lambda row: row.number)
    digest = blake2b(msgspec.json.encode(drawn), digest_size=4).hexdigest()
    return Sample(f"audit-{digest}", dict(source.facts), total, seed, by_language, tuple(drawn))


def write_sample(sample: Sample, out: Path, images: Path | None = None) -> bool:
    """Write the folder of a sample, but for what is there already; `images` has the pictures that the page shows.

    Returns:
        Whether anything was written.

    Raises:
        InputError: another sample is in the folder.
        OSError: a file cannot be written.
    """
    content = msgspec.json.format(msgspec.json.encode(sample), indent=2) + b"\n"
    path = out / SAMPLE
    if (path.read_bytes() != content) if path.is_file() else (out / SHEET).exists():
        raise InputError(f"{out}: expected a folder without an audit, or with this sample, found another sample")
    out.mkdir(parents=True, exist_ok=True)
    # A sheet that is there stays as it is: it may be half filled.
    pieces = {
        SAMPLE: lambda: content,
        SHEET: lambda: write_sheet(sample),
        PAGE: lambda: render_sheet(sample, images).encode(),
    }
    wanted = [name for name in pieces if not (out / name).exists()]
    for name in wanted:
        write_whole(out / name, pieces[name]())
    return bool(wanted)


def read_sample(out: Path) -> Sample:
    """The sample of a folder.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    path = out / SAMPLE
    if not path.is_file():
        raise fault(out, f"the folder of an audit, with {SAMPLE}", "none")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Sample)
    except msgspec.MsgspecError as error:
        raise fault(path, "a sample that was drawn for an audit", str(error)) from None


def judge_sample(sample: Sample, markings: Sequence[Marking]) -> AuditResult:
    """The result of a filled sheet (see `audit_sheet.read_sheet`), one marking for each row of the sample, in order."""
    rights = [list(marking.right) for marking in markings]
    counts = [marking.missed for marking in markings]
    known = [count for count in counts if count is not None]
    hits = [sum(own) for own in rights]
    recall = None
    if len(known) == len(markings):
        recall = share_in_clusters(hits, [hit + count for hit, count in zip(hits, known, strict=True)])
    return AuditResult(
        sample.name,
        len(sample.rows),
        sample.population,
        share_in_clusters(hits, [len(own) for own in rights]),
        None if recall is None else sum(known),
        recall,
        _shares(sample.rows, rights, lambda row, entity: entity.type),
        _shares(sample.rows, rights, lambda row, entity: row.language or UNNAMED),
        [
            Wrong(row.key(place), row.id, entity.text, entity.type, marking.remarks[place])
            for row, marking in zip(sample.rows, markings, strict=True)
            for place, entity in enumerate(row.entities)
            if not marking.right[place]
        ],
    )


def write_result(result: AuditResult, out: Path) -> list[Path]:
    """Write `audit.json` and `audit.md` into a folder; give their paths.

    Raises:
        OSError: a file cannot be written.
    """
    contents = {
        RESULT: msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n",
        "audit.md": ("# Audit of entities\n\n" + "\n\n".join(told(result)) + "\n").encode(),
    }
    for name, content in contents.items():
        write_whole(out / name, content)
    return [out / name for name in contents]


def told(result: AuditResult) -> list[str]:
    """The result in sentences."""
    words = [
        f"{result.sentences:,} of {result.of_sentences:,} sentences were read ({result.sample}).",
        f"Right among the entities of the data (precision): {_share(result.right)}.",
    ]
    if result.recall is not None:
        words.append(f"Right among all that should be there (recall): {_share(result.recall)}.")
    for title, shares in (("type", result.types), ("language", result.languages)):
        if len(shares) > 1:
            words.append("\n".join([f"By {title}:", "", *(f"- {name}: {_share(own)}" for name, own in shares.items())]))
    return words


def _share(share: Share) -> str:
    if share.share is None:
        return "no entities"
    return (
        f"{share.part:,} of {share.total:,}, {share.share:.1f} % (95 %: {share.low:.1f} to {share.high:.1f} as single "
        f"entities, {share.cluster_low:.1f} to {share.cluster_high:.1f} in {share.clusters:,} sentences)"
    )


def _shares(
    rows: Sequence[AuditedRow], rights: Sequence[Sequence[bool]], label: Callable[[AuditedRow, AuditedEntity], str]
) -> dict[str, Share]:
    """Shares of right entities by a label of theirs, in alphabetical order, with sentences as clusters."""
    counts: dict[str, list[tuple[int, int]]] = {}
    for row, own in zip(rows, rights, strict=True):
        labels = [label(row, entity) for entity in row.entities]
        for name in sorted(set(labels)):
            hits = [right for right, given in zip(own, labels, strict=True) if given == name]
            counts.setdefault(name, []).append((sum(hits), len(hits)))
    return {
        name: share_in_clusters([part for part, _ in own], [total for _, total in own])
        for name, own in sorted(counts.items())
    }


def _allot(sizes: Mapping[str, int], number: int) -> dict[str, int]:
    """So many places by size, whole numbers: largest remainders, the earlier name where two are alike."""
    total = sum(sizes.values())
    found = {name: number * size // total for name, size in sizes.items()}
    rest = number - sum(found.values())
    for name in sorted(sizes, key=lambda name: (-(number * sizes[name] % total), name))[:rest]:
        found[name] += 1
    return found


def _audited(place: Path, row: Row, number: int) -> AuditedRow:
    """A drawn row as it is looked at.

    Raises:
        DataError: entities of it overlap.
    """
    given = sorted(row.get("entities") or (), key=lambda entity: (entity["start"], entity["end"]))
    for one, other in pairwise(given):
        if other["start"] < one["end"]:
            found = f"{quote(one['text'])} and {quote(other['text'])}"
            raise fault(place, f"entities that do not overlap in row {row['id']}", found)
    images = row.get("images") or row.get("image") or ()
    entities = [AuditedEntity(one["start"], one["end"], one["text"], one["type"]) for one in given]
    names = (images,) if isinstance(images, str | int) else images
    language = row.get("language")
    return AuditedRow(
        number,
        row["id"],
        row["text"],
        None if language is None else str(language),
        tuple(str(name) for name in names),
        tuple(entities),
    )
