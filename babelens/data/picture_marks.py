"""Which rows show the same picture: by its file, by what the file holds, and by its name where there is no file.

A name alone says little: "27" or "0001" is somebody else's picture in another corpus. But pictures are seldom published
with texts, so the name is often all there is: all 2,982 tweets of MMNERD (English) have the names, and the texts, that
they have in Twitter-2017. So a picture of the same name counts as the same where at least one of the two is not there
to be compared, and one of these holds:

- the pictures of both rows are looked for in a common folder;
- the name tells: digits in two groups or more, five or more of them without leading zeros ("17_06_4705"), or twenty
  characters or more ("02626611---nuance-overcome-tshirt");
- of the other names that the two folders have in common ("O_2845", "27"), more than half stand beside the same text
  (but for letter case and blanks) in both. Twitter-2017 and MMNERD agree in all of them; two corpora that count their
  pictures from 1 agree in none.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import combinations
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from babelens.data.corpus import Corpus
from babelens.data.images import ENDINGS
from babelens.data.split import normalise

_DIGITS = re.compile(r"\d+")
_TELLING_DIGITS = 5
_TELLING_LENGTH = 20
_AGREEMENT = 0.5

Folders = tuple[Path, ...]


class Marks(NamedTuple):
    """What rows share, of one kind: rows (mark,) of equal marks (mark,) share something."""

    rows: np.ndarray
    marks: np.ndarray


@dataclass
class Mention:
    """A picture that rows name: where it is looked for, how large its file is (None: there is none), rows and texts."""

    name: str
    folders: Folders
    size: int | None
    rows: list[int] = field(default_factory=list)
    texts: set[bytes] = field(default_factory=set)


def picture_name(image: str) -> str:
    """The name of a picture: its id without folders and without an ending that pictures have."""
    path = PurePath(image)
    return path.stem if path.suffix.lower() in ENDINGS[1:] else path.name


def is_telling(name: str) -> bool:
    """Whether a name is hardly given to two pictures by chance."""
    groups = _DIGITS.findall(name)
    digits = sum(len(group.lstrip("0")) for group in groups)
    return len(name) >= _TELLING_LENGTH or (len(groups) > 1 and digits >= _TELLING_DIGITS)


def find_mentions(corpus: Corpus) -> dict[str, Mention]:
    """The pictures that a corpus names, by key; no picture is opened."""
    found: dict[str, Mention] = {}
    for row, example in enumerate(corpus):
        if not example.images:
            continue
        text = normalise(example.words)
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() if text else None
        folders = corpus.picture_folders(row)
        for image, key in zip(example.images, corpus.picture_keys(row), strict=True):
            if key not in found:
                found[key] = Mention(picture_name(image), folders, corpus.picture_size(key))
            found[key].rows.append(row)
            if digest is not None:
                found[key].texts.add(digest)
    return found


def same_content(corpus: Corpus, mentions: dict[str, Mention]) -> Marks:
    """Rows whose pictures have the same bytes under different keys. Only files of equal size are opened."""
    sizes: dict[int, list[str]] = defaultdict(list)
    for key, mention in mentions.items():
        if mention.size:
            sizes[mention.size].append(key)
    keys = [key for own in sizes.values() if len(own) > 1 for key in own]
    contents: dict[bytes, list[Mention]] = defaultdict(list)
    with ThreadPoolExecutor() as pool:
        for key, digest in zip(keys, pool.map(corpus.content_digest, keys), strict=True):
            if digest is not None:
                contents[digest].append(mentions[key])
    return _marks(same for same in contents.values() if len(same) > 1)


def same_name(mentions: dict[str, Mention]) -> Marks:
    """Rows whose pictures have the same name, where that says enough (see the module) and a file is missing."""
    names: dict[str, list[Mention]] = defaultdict(list)
    for mention in mentions.values():
        names[mention.name].append(mention)
    pairs = [pair for own in names.values() if len(own) > 1 for pair in combinations(own, 2)]
    trusted = _trusted(pairs)
    return _marks(
        pair
        for pair in pairs
        if None in (pair[0].size, pair[1].size) and (_at_once(*pair) or _between(*pair) in trusted)
    )


def _at_once(one: Mention, other: Mention) -> bool:
    return is_telling(one.name) or bool(set(one.folders) & set(other.folders))


def _between(one: Mention, other: Mention) -> frozenset[Folders]:
    return frozenset((one.folders, other.folders))


def _trusted(pairs: list[tuple[Mention, Mention]]) -> set[frozenset[Folders]]:
    """The folders that agree about what their names name, two and two."""
    agreeing: dict[frozenset[Folders], list[bool]] = defaultdict(list)
    for one, other in pairs:
        if not _at_once(one, other):
            agreeing[_between(one, other)].append(not one.texts.isdisjoint(other.texts))
    return {between for between, own in agreeing.items() if sum(own) > _AGREEMENT * len(own)}


def _marks(groups: Iterator[list[Mention]] | Iterator[tuple[Mention, Mention]]) -> Marks:
    pairs = [(row, number) for number, group in enumerate(groups) for mention in group for row in mention.rows]
    rows, marks = np.array(pairs, np.int64).reshape(-1, 2).T
    return Marks(rows, marks)
