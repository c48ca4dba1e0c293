"""Assembling a data set: merge inputs, leave out copies, divide without leakage, write all formats, card and sums."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from babelens.build.assemble_copies import Copy, find_copies, preference
from babelens.build.assemble_files import (
    CONLL,
    PARQUET,
    fits,
    make_row,
    write_conll,
    write_parquet,
    write_rows,
    write_sums,
)
from babelens.build.assemble_inputs import PICTURES, Kept, Merged, Source, kept_fields, make_ids, merge
from babelens.build.assemble_leaks import find_leaks
from babelens.build.assemble_pictures import (
    THRESHOLD,
    Usable,
    choose_pictures,
    find_usable,
    name_pictures,
    near_marks,
    put_picture,
    tell_near,
)
from babelens.build.assemble_split import PARTS, divide
from babelens.build.card import Card, write_card
from babelens.build.card_tables import sources_of
from babelens.build.results import Result, Tally, changed, dropped, kept
from babelens.build.rows import PROVENANCE, Input
from babelens.build.step import Step, Summary, run_whole_step
from babelens.data import near
from babelens.data.corpus import Corpus
from babelens.data.overlap import find_marks
from babelens.data.problems import listing
from babelens.data.reading import read_corpus
from babelens.data.split import tie_rows
from babelens.schema import InputError

NAME = "assemble"
LEAKS = "leaks.json"
Tell = Callable[[int], object]


@dataclass(frozen=True)
class Wish:
    """How a data set is assembled.

    `shares` are those of train, valid and test. `near_text` is the similarity from which a text is a copy (None: only
    the same text is), `near_picture` the bits in which pictures that are nearly the same differ at most; with
    `one_picture`, the best of them is shown in the place of the others. `link` gives pictures a second name where it
    can, instead of copying them. `embed` puts their bytes into the Parquet files. `types` renames entity types.
    """

    shares: tuple[int | float, int | float, int | float] = (8, 1, 1)
    seed: int = 0
    near_text: float | None = near.THRESHOLD
    near_picture: int = THRESHOLD
    one_picture: bool = False
    link: bool = False
    embed: bool = True
    types: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Plan:
    """What becomes of each row: its part (-1: none), why it is left out, its id, and the pictures it shows.

    `shown` are the pictures in the place of those of each key, `files` their names by digest.
    """

    part: np.ndarray
    why: Mapping[int, str]
    copies: Mapping[int, Copy]
    ids: Sequence[str]
    shown: Mapping[str, Usable]
    files: Mapping[bytes, str]
    kept: Mapping[int, Kept]
    units: int


def assemble(
    sources: Sequence[Source],
    out: Path,
    wish: Wish | None = None,
    card: Card | None = None,
    *,
    tell: Tell = lambda done: None,
) -> Summary:
    """Make a data set of several inputs in a folder, which appears complete or not at all.

    Of rows with the same text, or nearly the same, in one language, one remains: that of the earlier input, of one
    input that with a picture, then the earlier one. Rows without labels and rows that no file can hold are left out.
    Rows that share a picture, a group or a text go to one part (see `overlap.find_marks`). Pictures that are not there
    or cannot be read are taken from their rows, and their ids kept in `missing_images`. `tell` is told the pictures
    looked at.

    Raises:
        DataError: an input cannot be read.
        InputError: too few rows for the parts; a licence of a source that no row has; or the parts share something,
            which nothing but a mistake here can bring about: then nothing is written.
        JournalError, Interrupted: as `run_whole_step` says.
    """
    wish, card = wish or Wish(), card or Card()
    _check(sources, wish)
    merged = merge(sources, wish.types)
    named = sources_of(merged.corpus)
    if unknown := sorted(card.licences.keys() - named.keys()):
        raise InputError(f"licence of {listing(unknown)}: expected a source of the rows ({listing(named)}), found none")
    options = {**_options(wish), "card": card.options()}
    step = Step(NAME, options, _versions())
    source = Input({"inputs": list(merged.facts)}, lambda: iter(()))
    return run_whole_step(step, source, out, lambda folder: _make(merged, folder, wish, card, tell))


def _check(sources: Sequence[Source], wish: Wish) -> None:
    if not sources:
        raise InputError("expected at least one input, found none")
    if len(wish.shares) != len(PARTS) or min(wish.shares) < 0 or not wish.shares[0] > 0:
        raise InputError(f"expected shares of train, valid and test such as 8:1:1, found {listing(wish.shares)}")
    if wish.near_text is not None and not 0 < wish.near_text <= 1:
        raise InputError(f"expected a similarity of texts above 0 and up to 1, found {wish.near_text}")
    if not 0 <= wish.near_picture <= 128:
        raise InputError(f"expected 0 to 128 bits in which pictures may differ, found {wish.near_picture}")


def _options(wish: Wish) -> dict[str, Any]:
    return {**msgspec.to_builtins(wish), "shares": [float(share) for share in wish.shares]}


def _versions() -> dict[str, str]:
    """What the bytes of pictures' hashes and of tables hang on."""
    import datasets
    import PIL
    import pyarrow

    return {"datasets": datasets.__version__, "pillow": PIL.__version__, "pyarrow": pyarrow.__version__}


def _make(merged: Merged, folder: Path, wish: Wish, card: Card, tell: Tell) -> Mapping[str, Any]:
    usable = find_usable(merged.corpus, tell)
    plan = _plan(merged, usable, wish)
    _put_pictures(merged.corpus, plan, folder / PICTURES, wish.link)
    tally = _write_rows(merged, plan, folder)
    parts = {
        part: read_corpus(folder / f"{part}.jsonl", source=NAME, images=folder / PICTURES if plan.files else None)
        for number, part in enumerate(PARTS)
        if (plan.part == number).any()
    }
    hashes = {plan.files[one.digest]: one.bits for one in plan.shown.values() if one.bits is not None}
    leaks = find_leaks(parts, hashes, wish.near_picture)
    if found := [leak for leak in leaks if leak.any]:
        shared = "; ".join(
            f"{leak.any:,} rows of {leak.part} with {leak.other} ({_kinds(leak.kinds)})" for leak in found
        )
        raise InputError(f"expected parts that share nothing, found {shared}")
    (folder / LEAKS).write_bytes(msgspec.json.format(msgspec.json.encode(leaks), indent=2) + b"\n")
    write_conll(parts, folder / CONLL)
    write_parquet(parts, folder / PARQUET, embed=wish.embed, place=PICTURES)
    counts = {
        **tally.plain(),
        "parts": {part: len(corpus) for part, corpus in parts.items()},
        "units": plan.units,
        "pictures": len(plan.files),
        "labels_of_copies_that_differ": sum(copy.disagrees is True for copy in plan.copies.values()),
        "leaks": sum(leak.any for leak in leaks),
    }
    write_card(folder, parts, counts, leaks, merged.steps, _options(wish), card)
    write_sums(folder)
    return counts


def _kinds(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number)


def _plan(merged: Merged, usable: Mapping[str, Usable], wish: Wish) -> _Plan:
    corpus = merged.corpus
    fields = kept_fields(corpus)
    why: dict[int, str] = {}
    pictured = np.zeros(len(corpus), bool)
    types: list[frozenset[str]] = []
    languages: list[str] = []
    for row, example in enumerate(corpus):
        if row in fields and not fields[row].labelled:
            why[row] = "no labels"
        elif not fits(example):
            why[row] = "words"
        pictured[row] = any(key in usable for key in corpus.picture_keys(row))
        types.append(frozenset(entity.type for entity in example.entities))
        languages.append(example.language or "")
    order = [row for row in preference(merged.input_of, pictured).tolist() if row not in why]
    copies = find_copies(corpus, order, wish.near_text)
    remaining = np.array(sorted(set(order) - copies.keys()), np.int64)
    pairs = tell_near(usable, wish.near_picture)
    # Over all rows: what was left out still tells which names of pictures can be trusted.
    marks = [*find_marks(corpus).values(), near_marks(corpus, usable, pairs)]
    unit = np.unique(tie_rows(marks, len(corpus))[remaining], return_inverse=True)[1]
    language = np.unique(np.array(languages)[remaining], return_inverse=True)[1]
    part = np.full(len(corpus), -1)
    part[remaining] = divide(unit, language, [types[row] for row in remaining], wish.shares, seed=wish.seed)
    rows = corpus.select(remaining)
    chosen = choose_pictures(usable, pairs) if wish.one_picture else {}
    keys = {key for row in range(len(rows)) for key in rows.picture_keys(row) if key in usable}
    shown = {key: chosen.get(usable[key].digest, usable[key]) for key in sorted(keys)}
    files = name_pictures(corpus, usable, {one.digest for one in shown.values()})
    return _Plan(part, why, copies, make_ids(merged), shown, files, fields, int(unit.max(initial=-1)) + 1)


def _put_pictures(corpus: Corpus, plan: _Plan, folder: Path, link: bool) -> None:
    if plan.files:
        folder.mkdir()
    for one in {one.digest: one for one in plan.shown.values()}.values():
        put_picture(corpus, one.key, folder / plan.files[one.digest], link)


def _write_rows(merged: Merged, plan: _Plan, folder: Path) -> Tally:
    """Write the rows of each part, and what became of each row read."""
    tally = Tally()
    told: list[Mapping[str, Any]] = []
    for number, part in enumerate(PARTS):
        rows = np.flatnonzero(plan.part == number)
        if len(rows):
            write_rows((_row(merged, plan, row)[0] for row in rows.tolist()), folder / f"{part}.jsonl")
    for row in range(len(merged.corpus)):
        result = _told(merged, plan, row)
        tally.add(result)
        told.append({"id": plan.ids[row], "input": merged.names[merged.input_of[row]], **result.said})
    write_rows((dict(line) for line in told), folder / PROVENANCE)
    return tally


def _row(merged: Merged, plan: _Plan, row: int) -> tuple[dict[str, Any], list[str], list[str]]:
    """A row of the data set; the ids of pictures that it has lost, and of those that others stand for."""
    example = merged.corpus[row]
    keys = merged.corpus.picture_keys(row)
    pairs = list(zip(example.images, keys, strict=True))
    images = list(dict.fromkeys(plan.files[plan.shown[key].digest] for _, key in pairs if key in plan.shown))
    missing = [image for image, key in pairs if key not in plan.shown]
    content = merged.corpus.content_digest
    replaced = [image for image, key in pairs if key in plan.shown and plan.shown[key].digest != content(key)]
    return make_row(example, plan.ids[row], images, missing, plan.kept.get(row)), missing, replaced


def _told(merged: Merged, plan: _Plan, row: int) -> Result:
    if row in plan.why:
        return dropped(plan.why[row])
    if row in plan.copies:
        copy = plan.copies[row]
        labels = {} if copy.disagrees is None else {"labels": "others" if copy.disagrees else "the same"}
        return dropped(copy.why, of=plan.ids[copy.of], **labels)
    made, missing, replaced = _row(merged, plan, row)
    facts: dict[str, Any] = {"part": PARTS[plan.part[row]]}
    whys = []
    if made["id"] != (own := merged.corpus[row].id):
        whys.append("id")
        facts["was"] = own
    for reason, images in (("picture missing", missing), ("picture of another", replaced)):
        if images:
            whys.append(reason)
            facts[reason.replace(" ", "_")] = images
    return changed(made, ", ".join(whys), **facts) if whys else kept(made, **facts)
