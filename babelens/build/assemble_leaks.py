"""Whether the parts of a data set share anything: counted anew from the files as they were written."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from babelens.build.assemble_pictures import distances
from babelens.data.corpus import Corpus
from babelens.data.overlap import KINDS, overlap

NEAR_PICTURE = "near picture"


@dataclass(frozen=True)
class Leaks:
    """The rows of `part` that share something with a row of `other`: by kind, and of any kind."""

    part: str
    other: str
    rows: int
    kinds: dict[str, int]
    any: int


def find_leaks(parts: Mapping[str, Corpus], hashes: Mapping[str, np.ndarray], threshold: int) -> list[Leaks]:
    """What the parts share, for all ordered pairs of them: the kinds of `overlap`, and pictures nearly the same.

    `hashes` are those of the pictures by id (see `assemble_pictures`), of all whose hash tells something.
    """
    found = []
    for part, other in permutations(parts, 2):
        shared = [set(kinds) for kinds in overlap(parts[other], parts[part])]
        alike = _near(_images(parts[part]), _images(parts[other]), hashes, threshold)
        for kinds, example in zip(shared, parts[part], strict=True):
            if not alike.isdisjoint(example.images):
                kinds.add(NEAR_PICTURE)
        kinds = {kind: sum(kind in own for own in shared) for kind in (*KINDS, NEAR_PICTURE)}
        found.append(Leaks(part, other, len(shared), kinds, sum(map(bool, shared))))
    return found


def _images(corpus: Corpus) -> list[str]:
    return list(dict.fromkeys(image for example in corpus for image in example.images))


def _near(images: list[str], others: list[str], hashes: Mapping[str, np.ndarray], threshold: int) -> set[str]:
    """Those of the pictures that are nearly the same as one of the others."""
    there = [hashes[image] for image in others if image in hashes]
    if not there:
        return set()
    stacked = np.stack(there)
    own = (image for image in images if image in hashes)
    return {image for image in own if (distances(hashes[image][None], stacked) <= threshold).any()}
