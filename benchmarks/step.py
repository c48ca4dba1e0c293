"""A training step of 2M-NER at its full size with random weights, from fetching the batch to the new weights.

The peer is the published implementation. Its cost is rebuilt without its code: the declaration of its arithmetic
(`2m-ner-official`) in fp32, torch's plain Adam, rows that are not grouped by length, ResNet run in every step, in
training mode, without gradients, over maps laid out channel by channel. All cases train on the same rows; a run is one
pass over them, and its time is divided by the number of steps.
"""

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from material import sentences, write_corpus
from measure import Rates, apart, count_flops, matrix_rates, peak_memory, print_line, waiting
from transformers.models.resnet.modeling_resnet import ResNetConvLayer, ResNetShortCut

from babelens.data import Corpus, read_corpus
from babelens.models.batch import Collator, CorpusRows
from babelens.models.checkpoint import new_tagger
from babelens.models.compiled import compile_encoders
from babelens.models.draw import Epoch
from babelens.models.loading import BatchLoader, Source, Work
from babelens.models.memory import keep_freed_memory
from babelens.models.regions import Use
from babelens.models.regions import prepare as prepare_regions
from babelens.models.tagger import Tagger, count_parameters
from babelens.schema import TagSet
from babelens.training.optimizer import make_optimizer
from babelens.training.processes import make_accelerator
from babelens.training.recipe import Recipe, read_recipe
from babelens.training.sampler import epoch_batches
from babelens.training.step import Optimization

BATCHES = 3
PACKAGES = ("babelens", "torch", "transformers", "accelerate")


class Case(NamedTuple):
    """A model with some encoders frozen, and whether the regions of these are cached.

    The peer also has its own precision, optimizer, order of rows and layout of maps.
    """

    model: str = "2m-ner"
    frozen: tuple[str, ...] = ()
    cached: bool = False
    peer: bool = False
    compiled: bool = False


CASES = {
    "peer": Case("2m-ner-official", frozen=("resnet",), peer=True),
    "full": Case(),
    "resnet-frozen": Case(frozen=("resnet",)),
    "resnet-frozen-cached": Case(frozen=("resnet",), cached=True),
    "vision-frozen-cached": Case(frozen=("clip", "resnet"), cached=True),
}


class Measured(NamedTuple):
    """Seconds of each run, and what else is to be said of them."""

    seconds: list[float]
    facts: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--batch", type=int, default=16, help="rows of a step [%(default)s]")
    parser.add_argument("--runs", type=int, default=3, help="passes over all rows that are timed [%(default)s]")
    add_options(parser)
    options = parser.parse_args()
    with made_corpus(options.batch * BATCHES) as corpus:
        peer = None
        for name in options.cases:
            measured = apart(train, CASES[name], options, corpus)
            median = statistics.median(measured.seconds)
            peer = median if CASES[name].peer else peer
            print_line("step", "training step", name, measured.seconds, peer, PACKAGES, **measured.facts)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that all benchmarks of whole models have."""
    parser.add_argument("--threads", type=int, help="threads of torch [default: its own choice]")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N [%(default)s]")
    parser.add_argument("--compact", action="store_true", help="small encoders, to see that it works")


@contextmanager
def made_corpus(rows: int) -> Iterator[Path]:
    """A corpus of made-up rows with pictures, and a place for all that is cached, while it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BABELENS_CACHE"] = str(Path(folder) / "cache")
        yield write_corpus(Path(folder) / "corpus", rows)


def train(case: Case, options: argparse.Namespace, path: Path) -> Measured:
    """Train for one pass that warms up, in which operations are counted, and for those that are timed."""
    rates = prepare(case, options)
    corpus, recipe = read_corpus(path), make_recipe(case, options)
    settings = recipe.training
    tagger = make_tagger(recipe, corpus, case)
    accelerator = make_accelerator(tagger, settings, options.device)
    tagger.to(accelerator.device)
    optimizer = make_optimizer(tagger, settings)
    model, optimizer = accelerator.prepare(tagger, plain_adam(optimizer) if case.peer else optimizer)
    collator = make_collator(tagger, corpus, case, accelerator, "training")
    numbers = epoch_batches(corpus.lengths, settings.batch, seed=settings.seed, epoch=0, order=settings.order)
    passes = 1 + case.compiled + options.runs
    optimization = Optimization(accelerator, model, optimizer, settings, passes * len(numbers))
    rows, epoch, wait = CorpusRows(corpus), Epoch(settings.seed, 0), waiting(options.device)
    if case.peer:
        batches = (collator([rows[row] for row in batch], labelled=True, epoch=epoch) for batch in numbers * passes)
    else:
        source = Source(rows, collator, labelled=True)
        loader = BatchLoader(source, workers=settings.workers, pinned=options.device.startswith("cuda"))
        batches = loader.batches([Work(batch, epoch) for batch in numbers * passes])
    steps, fetched = itertools.count(), list[float]()
    model.train()

    def one_pass() -> float:
        """Train on all rows; returns the seconds of a step."""
        start = time.perf_counter()
        for _ in numbers:
            asked = time.perf_counter()
            batch = next(batches)
            fetched.append(time.perf_counter() - asked)
            optimization.step([batch], next(steps))
            wait()
        return (time.perf_counter() - start) / len(numbers)

    flops = count_flops(one_pass) / len(numbers)
    if case.compiled:
        compile_encoders(tagger)
        one_pass()
    fetched.clear()
    seconds = [one_pass() for _ in range(options.runs)]
    facts = {
        **facts_of(tagger, corpus, case, accelerator, options),
        "trained_parameters": sum(parameter.numel() for parameter in tagger.parameters() if parameter.requires_grad),
        "batch": settings.batch,
        "steps": len(numbers) * options.runs,
        "data_ms": round(1000 * statistics.median(fetched), 1),
        **speed(statistics.median(seconds), settings.batch, flops, rates),
        "peak_mib": round(peak(options.device)),
    }
    return Measured(seconds, facts)


def prepare(case: Case, options: argparse.Namespace) -> Rates:
    """Set torch and the allocator as a run would have them, and measure what the device can do."""
    if not case.peer:
        keep_freed_memory()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    return matrix_rates(options.device, cube=256 if options.compact else None)


def make_recipe(case: Case, options: argparse.Namespace) -> Recipe:
    """The recipe of a case: encoders of random weights, those named frozen; no cut picture is kept for the next epoch.

    A corpus of the size of MMNERD does not fit into the memory for cut pictures, so none may be found there here.
    """
    encoders = "compact" if options.compact else "random"
    views = read_recipe(case.model, encoders=encoders).model.views
    settings = [f"model.backbone.views.{views.index(name)}.regions.trained=false" for name in case.frozen]
    settings += [f"training.batch={options.batch}", "training.pixel_memory=0"]
    if case.peer:
        settings += ["training.precision=fp32", "training.order=shuffled"]
    return read_recipe(case.model, encoders=encoders, settings=settings)


def make_tagger(recipe: Recipe, corpus: Corpus, case: Case) -> Tagger:
    """The model of a recipe, its tokenizer learnt from other sentences than those of the corpus.

    The peer's residual network normalises after its convolutions, over maps laid out channel by channel.
    """
    torch.manual_seed(recipe.training.seed)
    tagger = new_tagger(recipe.model, TagSet(corpus.types), sentences)
    if case.peer:
        tagger.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
        for module in tagger.modules():
            for published in (ResNetConvLayer, ResNetShortCut):
                if isinstance(module, published):
                    module.__class__ = published
    return tagger


def make_collator(tagger: Tagger, corpus: Corpus, case: Case, accelerator: Accelerator, use: Use) -> Collator:
    """What makes the batches of a case; where regions are cached, they are computed before anything is timed."""
    if not case.cached:
        return tagger.collator(0)
    autocast = torch.bfloat16 if accelerator.mixed_precision == "bf16" else None
    kept = prepare_regions(tagger, [corpus], "bf16", use=use, autocast=autocast)
    return tagger.collator(0, kept.cache)


def plain_adam(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Adam as torch runs it when nothing is asked for, over the same parameters at the same rates."""
    kept = ("params", "lr", "full_rate", "weight_decay")
    return torch.optim.Adam([{name: group[name] for name in kept} for group in optimizer.param_groups])


def facts_of(
    tagger: Tagger, corpus: Corpus, case: Case, accelerator: Accelerator, options: argparse.Namespace
) -> dict[str, Any]:
    """What was measured, in words and numbers."""
    precision = accelerator.mixed_precision
    return {
        "model": case.model,
        "size": "compact" if options.compact else "full",
        "device": options.device,
        "threads": torch.get_num_threads(),
        "precision": "fp32" if precision == "no" else precision,
        "compiled": case.compiled,
        "parameters": count_parameters([tagger]),
        "rows": len(corpus),
        "words": int(corpus.lengths.sum()),
    }


def speed(seconds: float, rows: int, flops: float, rates: Rates) -> dict[str, Any]:
    """Samples a second, and the time beside that of the same operations at the rate of a matrix product in bf16."""
    return {
        "samples_per_s": round(rows / seconds, 3),
        "gflop": round(flops / 1e9, 3),
        "gflop_per_s": round(flops / seconds / 1e9, 3),
        "fp32_gflop_per_s": round(rates.fp32 / 1e9, 1),
        "bf16_gflop_per_s": round(rates.bf16 / 1e9, 1),
        "over_floor": round(seconds * rates.bf16 / flops, 2),
    }


def peak(device: str) -> float:
    """The most memory that was held, on the device itself where it has its own (MiB)."""
    return torch.cuda.max_memory_allocated() / (1 << 20) if device.startswith("cuda") else peak_memory()


if __name__ == "__main__":
    main()
