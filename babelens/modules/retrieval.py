"""How unit vectors of texts and pictures lie to one another: places in a ranking, cosines, uniformity.

Everything is computed in blocks of rows, so that memory grows with the vectors and not with their pairs, and on the
device of the vectors. Cosines are compared in steps of a millionth: what differs by less differs by rounding.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

STEPS = 1_000_000  # of 1 in cosine; floats of 32 bits hold all of them

# Pairs that are compared at a time.
_BLOCK = 1 << 22


class Standings(NamedTuple):
    """Where the best right candidate of each query stands.

    `above` counts the candidates that are more similar (all of them wrong); of those just as similar, `right` counts
    the right ones (the best itself among them) and `wrong` the others.
    """

    above: Int[Tensor, " query"]
    right: Int[Tensor, " query"]
    wrong: Int[Tensor, " query"]


def units(vectors: Float[Tensor, "row dim"]) -> Float[Tensor, "row dim"]:
    """Vectors of length 1, as the alignment compares them."""
    return functional.normalize(vectors, dim=-1)


def stand(
    queries: Float[Tensor, "query dim"],
    candidates: Float[Tensor, "candidate dim"],
    query_groups: Int[Tensor, " query"],
    candidate_groups: Int[Tensor, " candidate"],
) -> Standings:
    """Where the best right candidate of each query stands by cosine; right are those of the query's group.

    Each query has a right candidate.
    """
    # Made once: small results left between large blocks would keep their memory from being used again.
    found = Standings(*(torch.empty_like(query_groups, dtype=torch.long) for _ in range(3)))
    for part, steps in _blocks(queries, candidates):
        right = query_groups[part, None] == candidate_groups
        best = steps.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
        tied = steps == best
        found.above[part] = (steps > best).sum(1)
        found.right[part] = (tied & right).sum(1)
        found.wrong[part] = (tied & ~right).sum(1)
    return found


def count_cosines(
    texts: Float[Tensor, "text dim"],
    pictures: Float[Tensor, "picture dim"],
    text_groups: Int[Tensor, " text"],
    picture_groups: Int[Tensor, " picture"],
) -> tuple[Int[Tensor, " steps"], Int[Tensor, " steps"]]:
    """How many pairs of a text and a picture have each cosine from -1 to 1 in `STEPS`: matched pairs, and unmatched.

    A pair is matched if both are of one group. Both counts have 2 x STEPS + 1 places and lie on the CPU.
    """
    size = 2 * STEPS + 1
    matched, every = torch.zeros(size, dtype=torch.long), torch.zeros(size, dtype=torch.long)
    for part, steps in _blocks(texts, pictures):
        places = (steps + STEPS).long()
        every += torch.bincount(places.flatten(), minlength=size).cpu()
        matched += torch.bincount(places[text_groups[part, None] == picture_groups], minlength=size).cpu()
    return matched, every - matched


def uniformity(vectors: Float[Tensor, "row dim"]) -> float | None:
    """How evenly unit vectors lie on the sphere: log of the mean of exp(-2 |x - y|^2) over pairs of different rows.

    The less the more even (Wang and Isola, 2020, section 4.1.2, t = 2); 0 where all are the same. None for fewer than
    two rows.
    """
    rows = len(vectors)
    if rows < 2:
        return None
    total = torch.zeros((), dtype=torch.float64)
    for part, cosines in _cosines(vectors, vectors):
        kernel = cosines.mul_(4).sub_(4).exp_()  # |x - y|^2 = 2 - 2 cos
        own = torch.arange(len(kernel), device=kernel.device)
        kernel[own, part.start + own] = 0.0
        total += kernel.sum(1).cpu().double().sum()
    return (total / (rows * (rows - 1))).log().item()


def _cosines(one: Tensor, other: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The cosines of some of the rows of `one` with all of `other`, and which rows these are."""
    size = max(1, _BLOCK // max(1, len(other)))
    for start in range(0, len(one), size):
        part = slice(start, start + size)
        yield part, (one[part] @ other.T).clamp_(-1, 1)


def _blocks(one: Tensor, other: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The same in whole steps."""
    for part, cosines in _cosines(one, other):
        yield part, cosines.mul_(STEPS).round_()
