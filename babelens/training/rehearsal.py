"""A dry run: what a recipe is made of and what a step of it costs, before hours are spent."""

import math
import resource
import time

from accelerate.utils import set_seed
from rich.console import Console
from rich.table import Table

from babelens.data import Corpus
from babelens.models.anatomy import sizes
from babelens.models.batch import CorpusRows
from babelens.models.checkpoint import new_tagger
from babelens.models.decode import batches_of, ordered_batches
from babelens.models.draw import Epoch
from babelens.models.tagger import Tagger
from babelens.schema import TagSet
from babelens.training.optimizer import make_optimizer
from babelens.training.processes import make_accelerator
from babelens.training.recipe import Recipe
from babelens.training.step import Optimization


def rehearse(recipe: Recipe, corpus: Corpus, console: Console, *, device: str | None = None, steps: int = 3) -> None:
    """Build the model, print its size, make a few real steps on the longest rows, and say what they cost.

    Nothing is saved. Memory is the peak of this process (MiB); the estimate is that of the slowest batches.
    """
    settings = recipe.training
    set_seed(settings.seed)
    tagger = new_tagger(recipe.model, TagSet(corpus.types), lambda: (example.words for example in corpus))
    console.print(parameters_table(tagger))
    coverage = getattr(tagger.backbone.text, "coverage", None)
    if coverage is not None:
        console.print(f"word vectors: {coverage}", highlight=False)
    accelerator = make_accelerator(tagger, settings, device)
    optimizer = make_optimizer(tagger, settings)
    tagger.to(accelerator.device)
    model, optimizer = accelerator.prepare(tagger, optimizer)
    numbers = ordered_batches(corpus.lengths, settings.batch)[:steps]
    model.train()
    optimization = Optimization(accelerator, model, optimizer, settings, steps)
    seconds = []
    collator = tagger.collator(settings.pixel_memory)
    batches = batches_of(CorpusRows(corpus), collator, numbers, labelled=True, epoch=Epoch(settings.seed, 0))
    for step, batch in enumerate(batches):
        if step == 0:
            shapes = [f"words {tuple(batch.text.mask.shape)}"]
            shapes += [
                f"{name} {tuple(view.shape)}"
                for name, view in zip(tagger.backbone.transforms, batch.pixels, strict=True)
            ]
            console.print(f"batch: {', '.join(shapes)}; precision {accelerator.mixed_precision}", highlight=False)
        start = time.perf_counter()
        losses = optimization.step([batch], step).losses
        seconds.append(time.perf_counter() - start)
        parts = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
        console.print(f"step {step + 1}: {seconds[-1]:.2f} s  {parts}", highlight=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    per_epoch = math.ceil(len(corpus) / settings.batch)
    hours = min(seconds) * per_epoch * settings.epochs / 3600
    console.print(
        f"fastest step {min(seconds):.2f} s; peak memory {peak:,.0f} MiB; "
        f"{per_epoch} steps an epoch, {settings.epochs} epochs: about {hours:.2f} h at this rate",
        highlight=False,
    )


def parameters_table(tagger: Tagger) -> Table:
    """The number of parameters of each part, and how many of them are trained."""
    table = Table("part", "parameters", "trained", box=None, header_style="bold")
    for name, size in sizes(tagger).items():
        table.add_row(name, f"{size.all:,}", f"{size.trained:,}")
    return table
