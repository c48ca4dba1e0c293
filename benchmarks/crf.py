"""The CRF beside pytorch-crf: loss with gradient, and decoding, on the same batch with the same weights.

Without a size, all sizes of the grid are measured; any of --batch, --length, --tags or --ragged asks for one alone.
Before anything is timed, both have to give the same loss, the same gradient and equally good paths, else this ends with
exit code 1.
"""

import argparse
import itertools
import sys
import time
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import torch
from measure import report, side_by_side
from torchcrf import CRF

from babelens.modules import crf


class Size(NamedTuple):
    """Rows, words of the longest row, tags; `ragged` rows are of any length."""

    batch: int = 128
    length: int = 40
    tags: int = 9
    ragged: bool = False


# 3, 9 and 41 tags are 1, 4 and 20 types of entities.
GRID = [
    *(Size(*sizes) for sizes in itertools.product((1, 16, 128), (5, 40, 128, 512), (3, 9, 41))),
    *(Size(*sizes, ragged=True) for sizes in ((16, 40, 9), (128, 40, 9), (128, 512, 9))),
]


@dataclass
class Trial:
    """One batch and one chain for both."""

    emissions: torch.Tensor
    tags: torch.Tensor
    mask: torch.Tensor
    peer: CRF

    @property
    def chain(self) -> crf.Chain:
        return crf.Chain(self.peer.transitions, self.peer.start_transitions, self.peer.end_transitions)

    @property
    def leaves(self) -> list[torch.Tensor]:
        return [self.emissions, *self.chain]

    def our_loss(self) -> torch.Tensor:
        return crf.negative_log_likelihood(self.emissions, self.tags, self.mask, self.chain).sum()

    def peer_loss(self) -> torch.Tensor:
        return -self.peer(self.emissions, self.tags, self.mask, reduction="sum")

    def our_gradient(self) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(self.our_loss(), self.leaves)

    def peer_gradient(self) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(self.peer_loss(), self.leaves)

    def our_paths(self) -> list[list[int]]:
        return crf.best_paths(self.emissions, self.mask, self.chain)

    def peer_paths(self) -> list[list[int]]:
        return self.peer.decode(self.emissions, self.mask)

    def compare(self) -> None:
        """Raise AssertionError where the two differ; gradients are those of the first rows, the peer's in 64 bits."""
        torch.testing.assert_close(self.our_loss(), self.peer_loss(), rtol=1e-5, atol=1e-4)
        few = Trial(self.emissions[:4].detach().double(), self.tags[:4], self.mask[:4], deepcopy(self.peer).double())
        few.emissions.requires_grad_()
        for ours, theirs in zip(few.our_gradient(), few.peer_gradient(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
        # In 32 bits two paths may be equally good but for rounding.
        ours, theirs = self.our_paths(), self.peer_paths()
        if ours != theirs:
            torch.testing.assert_close(self._losses(ours), self._losses(theirs), rtol=1e-5, atol=1e-3)

    def _losses(self, paths: list[list[int]]) -> torch.Tensor:
        tags = torch.nn.utils.rnn.pad_sequence([torch.tensor(path) for path in paths], batch_first=True)
        return crf.negative_log_likelihood(self.emissions, tags, self.mask, self.chain)


def draw(size: Size) -> Trial:
    torch.manual_seed(0)
    lengths = torch.full((size.batch,), size.length)
    if size.ragged:
        lengths[1:] = torch.randint(1, size.length + 1, (size.batch - 1,))
    mask = torch.arange(size.length) < lengths[:, None]
    emissions = torch.randn(size.batch, size.length, size.tags, requires_grad=True)
    tags = torch.randint(size.tags, (size.batch, size.length))
    return Trial(emissions, tags, mask, CRF(size.tags, batch_first=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int)
    parser.add_argument("--length", type=int, help="words of the longest row")
    parser.add_argument("--tags", type=int)
    parser.add_argument("--ragged", action="store_true", default=None, help="rows of any length instead of rows of one")
    parser.add_argument("--runs", type=int, default=100, help="the most runs of each")
    parser.add_argument("--seconds", type=float, default=0.3, help="fewer runs where they would take longer than this")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    asked = {name: getattr(options, name) for name in Size._fields if getattr(options, name) is not None}

    for size in [Size(**asked)] if asked else GRID:
        trial = draw(size)
        try:
            trial.compare()
        except AssertionError as error:
            sys.exit(f"expected the same values from both at {size}, found different ones: {error}")
        cases = {
            "loss and gradient": {"pytorch-crf": trial.peer_gradient, "babelens": trial.our_gradient},
            "decode": {"pytorch-crf": trial.peer_paths, "babelens": trial.our_paths},
        }
        for case, subjects in cases.items():
            start = time.perf_counter()
            for subject in subjects.values():
                subject()
            once = time.perf_counter() - start
            runs = min(options.runs, max(3, int(options.seconds / once)))
            seconds = side_by_side(subjects, runs, warm=1)
            facts = {**size._asdict(), "threads": options.threads}
            report("crf", case, seconds, ["babelens", "pytorch-crf", "torch"], **facts)


if __name__ == "__main__":
    main()
