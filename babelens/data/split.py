"""Divides a corpus by a seed so that no picture, group or text stands on both sides, and tells where they do."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations

import numpy as np

from babelens.data.corpus import Corpus
from babelens.data.problems import fault
from babelens.schema import Example

KINDS = ("picture", "group", "text", "similar text")
_TYING = ("picture", "group", "similar text")
_EXAMPLES = 5


def normalise(words: Sequence[str]) -> str:
    """A text without what makes no other text of it: letter case, blanks, and how its characters are composed."""
    return "".join(unicodedata.normalize("NFKC", " ".join(words)).casefold().split())


def _keys(corpus: Corpus) -> Iterator[tuple[int, str, str]]:
    """What each row may share with others: (row, kind, value). Rows without words share no text.

    "text" is the same words; "similar text" the same but for letter case and blanks (see `normalise`).
    """
    for number, example in enumerate(corpus):
        if example.images:
            for key in corpus.picture_keys(number):
                yield number, "picture", key
        if example.group is not None:
            yield number, "group", example.group
        similar = normalise(example.words)
        if similar:
            yield number, "text", "\n".join(example.words)
            yield number, "similar text", similar


def hashed_keys(corpus: Corpus, wanted: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What rows may share, of the `wanted` kinds: keys, sorted, their rows, and their kinds (numbers in `KINDS`).

    A key is a 64-bit digest (with its row sixteen bytes, whatever the text weighs).
    """
    rows, kinds, digests = [], [], []
    for number, kind, value in _keys(corpus):
        if kind not in wanted:
            continue
        rows.append(number)
        kinds.append(KINDS.index(kind))
        digests.append(int.from_bytes(blake2b(f"{kind}\0{value}".encode(), digest_size=8).digest(), "big"))
    digest = np.array(digests, np.uint64)
    order = np.argsort(digest, kind="stable")
    return digest[order], np.array(rows, np.int64)[order], np.array(kinds, np.int8)[order]


def units(corpus: Corpus) -> np.ndarray:
    """The unit of each row (rows): rows tied by a picture, a group or the same text, however far around, share one.

    Units are numbered from 0 in the order of their first row.
    """
    digest, rows, _ = hashed_keys(corpus, _TYING)
    return tie_rows([(rows, digest)], len(corpus))


def tie_rows(marks: Iterable[tuple[np.ndarray, np.ndarray]], total: int) -> np.ndarray:
    """The unit of each of `total` rows: rows of one mark, directly or through others, share one.

    Marks come in kinds as (rows, marks); marks of different kinds have nothing to do with one another. Units are
    numbered from 0 in the order of their first row.
    """
    roots = np.arange(total)

    def root(row: int) -> int:
        while roots[row] != row:
            roots[row] = roots[roots[row]]
            row = int(roots[row])
        return row

    for rows, own in marks:
        order = np.argsort(own, kind="stable")
        rows, own = rows[order], own[order]
        for at in np.flatnonzero(own[1:] == own[:-1]):
            one, other = root(int(rows[at])), root(int(rows[at + 1]))
            roots[max(one, other)] = min(one, other)
    firsts = np.array([root(row) for row in range(total)], np.int64)
    return np.unique(firsts, return_inverse=True)[1]


def split(corpus: Corpus, shares: Sequence[float] = (8, 1, 1), *, seed: int = 0) -> list[Corpus]:
    """Divide a corpus in proportion to `shares`; each unit (see `units`) goes to one part as a whole.

    Units are drawn by the seed, the largest first, and each goes to the part that lacks most rows. Rows keep their
    order.

    Raises:
        DataError: so many rows are tied to one another that a part stays empty.
    """
    wanted = np.array(shares, float) / sum(shares) * len(corpus)
    unit = units(corpus)
    sizes = np.bincount(unit)
    drawn = np.random.default_rng(seed).permutation(len(sizes))
    order = drawn[np.argsort(-sizes[drawn], kind="stable")]
    part_of = np.empty(len(sizes), np.int64)
    for number in order:
        part_of[number] = part = int(np.argmax(wanted))
        wanted[part] -= sizes[number]
    parts = [corpus.select(np.flatnonzero(part_of[unit] == part)) for part in range(len(shares))]
    if any(len(part) == 0 and share > 0 for part, share in zip(parts, shares, strict=True)):
        tied = f"{len(corpus)} rows in {len(sizes)} units that share a picture, a group or a text"
        raise fault(corpus.parts[0].path if corpus.parts else "corpus", f"rows for {len(shares)} parts", tied)
    return parts


def take_share(corpus: Corpus, share: float, *, seed: int = 0, from_end: bool = False) -> Corpus:
    """About `share` of the rows, drawn in units (see `units`), from the beginning or the end of one order by the seed.

    Shares of the same corpus and seed that add up to 1 or less, one from the beginning and one from the end, have no
    unit in common.
    """
    unit = units(corpus)
    sizes = np.bincount(unit)
    order = np.random.default_rng(seed).permutation(len(sizes))
    middle = np.empty(len(sizes))
    middle[order] = (np.cumsum(sizes[order]) - sizes[order] / 2) / max(len(corpus), 1)
    cut = round(1 - share if from_end else share, 9)
    chosen = middle >= cut if from_end else middle < cut
    return corpus.select(np.flatnonzero(chosen[unit]))


@dataclass(frozen=True)
class Leak:
    """What two parts of a corpus share: how many distinct pictures, groups or texts, and the first rows that do.

    "similar text" counts the same texts too.
    """

    parts: tuple[str, str]
    kind: str
    count: int
    examples: tuple[tuple[Example, Example], ...]


def leaks(parts: Mapping[str, Corpus]) -> list[Leak]:
    """What stands in more than one part; an empty list where the parts are clean."""
    hashed = {name: hashed_keys(part, KINDS) for name, part in parts.items()}
    found: list[Leak] = []
    for one, other in combinations(parts, 2):
        digests, rows, kinds = hashed[one]
        others, other_rows, _ = hashed[other]
        shared, at, other_at = np.intersect1d(digests, others, return_indices=True)
        for number, kind in enumerate(KINDS):
            mine = np.flatnonzero(kinds[at] == number) if len(shared) else np.array([], int)
            if len(mine):
                mine = mine[np.argsort(rows[at[mine]], kind="stable")]
                examples = tuple(
                    (parts[one][int(rows[at[i]])], parts[other][int(other_rows[other_at[i]])]) for i in mine[:_EXAMPLES]
                )
                found.append(Leak((one, other), kind, len(mine), examples))
    return found
