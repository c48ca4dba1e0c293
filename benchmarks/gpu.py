"""Training steps, evaluation and the CRF on one CUDA device, with torch.compile and without, and how well it is used.

The cases are those of step.py and evaluate.py, in bf16 autocast but for the peer; whether products and convolutions in
fp32 go through TF32 stands in each line, as torch is set. `utilisation` is the model's operations a second over the
rate of a matrix product in bf16 that the same process measured; `utilisation_published` is over the dense rate that the
chip's maker publishes, where that is known here. What does not fit into the minutes is left out, and said on stderr.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import evaluate
import step
import torch
from measure import Apart, apart, print_line, report, side_by_side, waiting
from step import PACKAGES, Case, Measured
from torchcrf import CRF

from babelens.modules import crf

# Dense bf16 TFLOP/s with sums in fp32, from NVIDIA's data sheets, which print twice as much for sparse matrices from
# Ampere on; the RTX 4090 from its whitepaper (Ada GPU Architecture, appendix A).
PUBLISHED = {
    "NVIDIA A100-SXM4-40GB": 312,
    "NVIDIA A100-SXM4-80GB": 312,
    "NVIDIA A100-PCIE-40GB": 312,
    "NVIDIA A100 80GB PCIe": 312,
    "NVIDIA H100 80GB HBM3": 989,
    "NVIDIA H100 PCIe": 756,
    "NVIDIA H200": 989,
    "NVIDIA B200": 2250,
    "NVIDIA L4": 121,
    "NVIDIA L40S": 362,
    "NVIDIA GeForce RTX 4090": 165,
}


class Job(NamedTuple):
    """What is measured in a process of its own."""

    case: str
    subject: str
    function: Callable[[Case, argparse.Namespace, Path], Measured]
    declared: Case
    options: argparse.Namespace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="after which nothing more is measured [%(default)s]")
    names = list(dict.fromkeys([*step.CASES, *evaluate.CASES]))
    parser.add_argument("--cases", nargs="+", choices=names, default=names, metavar="CASE", help=", ".join(names))
    parser.add_argument("--uncompiled", action="store_true", help="without torch.compile alone")
    parser.add_argument("--batch", type=int, default=16, help="rows of a step [%(default)s]")
    parser.add_argument("--rows", type=int, default=512, help="sentences that are tagged [%(default)s]")
    parser.add_argument("--runs", type=int, default=5, help="passes that are timed [%(default)s]")
    step.add_options(parser)
    parser.set_defaults(device="cuda")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    try:
        device = apart(describe, options.device)
        crf_seconds = apart(time_crf, options, seconds=end - time.monotonic())
    except Apart as error:
        sys.exit(f"gpu: {error}")
    if device is None:
        sys.exit(
            f"gpu: expected a CUDA device, found none that torch {torch.__version__} can use as {options.device}; "
            "--device cpu --compact runs the same code on the processor"
        )
    for case, seconds in crf_seconds.items():
        report("gpu", case, seconds, ["babelens", "pytorch-crf", "torch"], **device, batch=128, length=40, tags=9)
    with step.made_corpus(options.rows) as tagged, step.made_corpus(options.batch * step.BATCHES) as trained:
        peers: dict[str, float] = {}
        for job in jobs(options):
            path = trained if job.case == "training step" else tagged
            try:
                left = end - time.monotonic()
                measured = apart(job.function, job.declared, job.options, path, seconds=max(left, 0.0))
            except Apart as error:
                print(f"gpu: {job.case}, {job.subject}: left out: {error}", file=sys.stderr)
                continue
            median = statistics.median(measured.seconds)
            if job.declared.peer:
                peers[job.case] = median
            facts = {**measured.facts, **device, **utilisation(measured.facts, device)}
            print_line("gpu", job.case, job.subject, measured.seconds, peers.get(job.case), PACKAGES, **facts)


def jobs(options: argparse.Namespace) -> Iterator[Job]:
    """All that is measured, what takes long to compile last."""
    tagging = argparse.Namespace(**{**vars(options), "batch": 64})
    training = {name: case for name, case in step.CASES.items() if name in options.cases}
    for name, case in training.items():
        yield Job("training step", name, step.train, case, options)
    for name, case in evaluate.CASES.items():
        if name in options.cases:
            yield Job("evaluation", name, evaluate.tag, case, tagging)
    for name, case in training.items():
        if not (case.peer or options.uncompiled):
            yield Job("training step", f"{name}, compiled", step.train, case._replace(compiled=True), options)


def describe(device: str) -> dict[str, Any] | None:
    """The chip and how torch computes in fp32 on it; None where it is not there."""
    if not device.startswith("cuda"):
        return {"accelerator": None}
    if not torch.cuda.is_available():
        return None
    return {
        "accelerator": torch.cuda.get_device_name(device),
        "cuda": torch.version.cuda,
        "tf32_products": torch.backends.cuda.matmul.allow_tf32,
        "tf32_convolutions": torch.backends.cudnn.allow_tf32,
    }


def utilisation(facts: dict[str, Any], device: dict[str, Any]) -> dict[str, float | None]:
    """The model's operations a second over the measured and the published rate of the device."""
    published = PUBLISHED.get(device["accelerator"])
    return {
        "utilisation": round(facts["gflop_per_s"] / facts["bf16_gflop_per_s"], 4),
        "utilisation_published": None if published is None else round(facts["gflop_per_s"] / (1000 * published), 4),
    }


def time_crf(options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Seconds of loss with gradient, and of decoding, beside pytorch-crf on the same numbers."""
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        return {}
    torch.manual_seed(0)
    emissions = torch.randn(128, 40, 9, device=options.device, requires_grad=True)
    tags = torch.randint(9, (128, 40), device=options.device)
    mask = torch.ones_like(tags, dtype=torch.bool)
    peer = CRF(9, batch_first=True).to(options.device)
    chain = crf.Chain(peer.transitions, peer.start_transitions, peer.end_transitions)
    leaves = [emissions, *chain]
    cases = {
        "CRF, loss and gradient": {
            "pytorch-crf": lambda: torch.autograd.grad(-peer(emissions, tags, mask, reduction="sum"), leaves),
            "babelens": lambda: torch.autograd.grad(
                crf.negative_log_likelihood(emissions, tags, mask, chain).sum(), leaves
            ),
        },
        "CRF, decoding": {
            "pytorch-crf": lambda: peer.decode(emissions, mask),
            "babelens": lambda: crf.best_paths(emissions, mask, chain),
        },
    }
    wait = waiting(options.device)
    return {case: side_by_side(subjects, options.runs, wait=wait) for case, subjects in cases.items()}


if __name__ == "__main__":
    main()
