"""The CRF beside pytorch-crf: loss with gradient, and decoding, on the same batch with the same weights.

Before anything is timed, both have to give the same loss, the same gradient and the same paths.
"""

import argparse
import sys

import torch
from measure import report, side_by_side
from torchcrf import CRF

from babelens.modules import crf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--length", type=int, default=40, help="words of the longest row")
    parser.add_argument("--tags", type=int, default=9)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ragged", action="store_true", help="rows of any length instead of rows of one")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    emissions = torch.randn(options.batch, options.length, options.tags, requires_grad=True)
    tags = torch.randint(options.tags, (options.batch, options.length))
    lengths = torch.full((options.batch,), options.length)
    if options.ragged:
        lengths = torch.randint(1, options.length + 1, (options.batch,))
        lengths[0] = options.length
    mask = torch.arange(options.length) < lengths[:, None]
    peer = CRF(options.tags, batch_first=True)
    chain = crf.Chain(peer.transitions, peer.start_transitions, peer.end_transitions)
    leaves = [emissions, *chain]

    def our_loss() -> torch.Tensor:
        return crf.negative_log_likelihood(emissions, tags, mask, chain).sum()

    def peer_loss() -> torch.Tensor:
        return -peer(emissions, tags, mask, reduction="sum")

    losses = (our_loss(), peer_loss())
    torch.testing.assert_close(*losses)
    for ours, theirs in zip(*(torch.autograd.grad(loss, leaves) for loss in losses), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    if crf.best_paths(emissions, mask, chain) != peer.decode(emissions, mask):
        sys.exit("expected the same paths from both, found different ones")

    facts = {name: getattr(options, name) for name in ("batch", "length", "tags", "threads", "ragged")}
    cases = {
        "loss and gradient": {
            "pytorch-crf": lambda: torch.autograd.grad(peer_loss(), leaves),
            "babelens": lambda: torch.autograd.grad(our_loss(), leaves),
        },
        "decode": {
            "pytorch-crf": lambda: peer.decode(emissions, mask),
            "babelens": lambda: crf.best_paths(emissions, mask, chain),
        },
    }
    for case, subjects in cases.items():
        seconds = side_by_side(subjects, options.runs)
        report("crf", case, seconds, ["babelens", "pytorch-crf", "torch"], **facts)


if __name__ == "__main__":
    main()
