"""Rows of a data set to be in parts: what belongs together stays together, and languages are shared out evenly."""

from collections.abc import Sequence

import numpy as np

from babelens.schema import InputError

PARTS = ("train", "valid", "test")


def divide(
    unit: np.ndarray,
    language: np.ndarray,
    types: Sequence[frozenset[str]],
    shares: Sequence[int | float] = (8, 1, 1),
    *,
    seed: int = 0,
) -> np.ndarray:
    """The number of the part of each row (rows).

    `unit` (rows) are the groups that go to one part as a whole, numbered from 0, `language` (rows) the languages as
    numbers from 0, `types` the entity types of each row. Units are drawn by the seed, the largest first, and each goes
    to the part that lacks most rows of the unit's languages, each language measured against all its rows. Then, for
    each type that the first part (training) has not got, the smallest unit with it is moved there.

    Raises:
        InputError: so many rows are tied to one another that a part stays empty.
    """
    total = len(unit)
    units, languages = int(unit.max(initial=-1)) + 1, int(language.max(initial=-1)) + 1
    counts = np.zeros((units, languages))
    np.add.at(counts, (unit, language), 1)
    rows = counts.sum(0)
    weights = counts / np.maximum(rows, 1)
    sizes = counts.sum(1)
    lacking = np.array(shares, float)[:, None] / sum(shares) * rows
    open_ = np.array(shares, float) > 0
    drawn = np.random.default_rng(seed).permutation(units)
    order = drawn[np.argsort(-sizes[drawn], kind="stable")]
    part_of = np.zeros(units, np.int64)
    for number in order:
        wanted = np.where(open_, lacking @ weights[number], -np.inf)
        part_of[number] = part = int(np.argmax(wanted))
        lacking[part] -= counts[number]
    _give_types(part_of, unit, types, order[::-1])
    found = part_of[unit]
    for number in np.flatnonzero(open_):
        if not (found == number).any():
            raise InputError(
                f"expected rows for {', '.join(np.array(PARTS)[open_].tolist())}, found {total:,} rows in {units:,} "
                f"units that share a picture, a group or a text, and none for {PARTS[number]}"
            )
    return found


def _give_types(part_of: np.ndarray, unit: np.ndarray, types: Sequence[frozenset[str]], order: np.ndarray) -> None:
    """Move units to the first part until it has every type; `order` has the smallest units first."""
    of_unit: list[set[str]] = [set() for _ in range(len(part_of))]
    for number, own in zip(unit.tolist(), types, strict=True):
        of_unit[number] |= own
    have = set().union(*(own for number, own in enumerate(of_unit) if part_of[number] == 0))
    for number in order.tolist():
        if of_unit[number] - have:
            part_of[number] = 0
            have |= of_unit[number]
