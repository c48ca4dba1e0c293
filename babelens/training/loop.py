"""The training loop: batches in an order that is a function of the seed, losses, steps, choice on validation."""

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from accelerate.utils import set_seed
from torch.utils.tensorboard import SummaryWriter

from babelens.data import Corpus
from babelens.models.batch import Collator, CorpusRows
from babelens.models.checkpoint import new_tagger, save_tagger
from babelens.models.decode import batches_of, decode_corpus
from babelens.models.draw import Epoch
from babelens.models.spec import to_plain
from babelens.models.tagger import Tagger
from babelens.schema import InputError, TagSet
from babelens.scoring.scores import score
from babelens.training.optimizer import WeightAverage, make_optimizer
from babelens.training.processes import make_accelerator
from babelens.training.progress import Report
from babelens.training.recipe import Recipe, Training
from babelens.training.sampler import epoch_batches
from babelens.training.state import Progress, ResumeError, load_state, save_state, write_json
from babelens.training.step import in_groups, optimize


class Interrupted(InputError):
    """Training was stopped from outside; its state is saved, and the message says how to go on."""

    exit_code = 130


class Trained(NamedTuple):
    """Where the chosen model stands, its validation F1 (per cent), its epoch (from 1) and the history of all epochs."""

    model: Path
    best: float
    epoch: int
    history: list[dict[str, Any]]


def train(
    recipe: Recipe,
    training: Corpus,
    validation: Corpus,
    out: Path,
    *,
    device: str | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> Trained:
    """Train a recipe and leave the model of the best validation F1 in `out`/model.

    `out` also gets history.json, TensorBoard logs and, after every epoch and on Ctrl-C, the state that `resume` goes
    on with. Test data has no way in.

    Raises:
        TrainingError: the loss or a gradient is not a finite number.
        ResumeError: there is nothing to go on with, or data or recipe are not those of the run.
        Interrupted: Ctrl-C or a termination signal; the state is saved.
    """
    settings, report = recipe.training, report or Report()
    if settings.pictures == "pairs":
        training, validation = training.pairs(), validation.pairs()
    out.mkdir(parents=True, exist_ok=True)
    _claim(recipe, training, validation, out, resume)
    set_seed(settings.seed)
    tagger = new_tagger(recipe.model, TagSet(training.types), lambda: (example.words for example in training))
    accelerator = make_accelerator(tagger, settings, device)
    tagger.to(accelerator.device)
    optimizer = make_optimizer(tagger, settings)
    average = WeightAverage(tagger, settings.average) if settings.average is not None else None
    progress = Progress()
    if resume:
        progress, weights, optimizer_state, mean = load_state(out)
        tagger.load_state_dict(weights)
        optimizer.load_state_dict(optimizer_state)
        if average is not None and mean is not None:
            average.mean = {name: value.to(accelerator.device) for name, value in mean.items()}
    model, optimizer = accelerator.prepare(tagger, optimizer)
    rows, collator = CorpusRows(training), tagger.collator(settings.pixel_memory)
    validation_collator = tagger.collator(settings.pixel_memory // 4)
    per_epoch = math.ceil(math.ceil(len(training) / settings.batch) / settings.accumulate)
    steps = per_epoch * settings.epochs
    log = SummaryWriter(str(out / "tensorboard"))

    def keep() -> None:
        mean = average.mean if average is not None else None
        save_state(out, progress, tagger.state_dict(), optimizer.state_dict(), mean)

    report.start(settings.epochs, per_epoch, progress.epoch)
    started = time.monotonic() - progress.seconds
    with stop_signals() as stopped, report:
        while progress.epoch < settings.epochs and not _patience_over(progress, settings):
            batches = epoch_batches(training.lengths, settings.batch, seed=settings.seed, epoch=progress.epoch)
            remaining = batches[progress.batch :]
            epoch = Epoch(settings.seed, progress.epoch)
            groups = batches_of(rows, collator, remaining, labelled=True, workers=settings.workers, epoch=epoch)
            model.train()
            for group in in_groups(groups, settings.accumulate):
                losses = optimize(accelerator, model, optimizer, group, settings, progress.step, steps)
                progress.step += 1
                progress.batch += len(group)
                for name, value in losses.items():
                    progress.sums[name] = progress.sums.get(name, 0.0) + value
                if average is not None:
                    average.update(tagger, progress.step)
                if progress.step % 10 == 0:
                    for name, value in losses.items():
                        log.add_scalar(f"loss/{name}", value, progress.step)
                report.step(losses, progress.best)
                if stopped():
                    progress.seconds = time.monotonic() - started
                    keep()
                    raise Interrupted(
                        f"stopped in epoch {progress.epoch + 1} at step {progress.step}; the state is saved: "
                        f"run the same command with --resume to go on"
                    )
            with averaged(tagger, average):
                f1 = validate(tagger, validation, validation_collator, report)
                means = {name: value / per_epoch for name, value in progress.sums.items()}
                progress.seconds = time.monotonic() - started
                entry = {"epoch": progress.epoch + 1, "step": progress.step, "losses": means, "validation_f1": f1}
                progress.history.append({**entry, "seconds": round(progress.seconds, 1)})
                log.add_scalar("validation/f1", f1, progress.step)
                if f1 > progress.best:
                    progress.best, progress.best_epoch = f1, progress.epoch
                    facts = {"validation_f1": round(f1, 4), "epoch": progress.epoch + 1, "recipe": to_plain(recipe)}
                    save_tagger(tagger, out / "model", facts)
            progress.epoch, progress.batch, progress.sums = progress.epoch + 1, 0, {}
            write_json(out / "history.json", progress.history)
            keep()
            report.epoch(progress.history[-1], progress.best_epoch + 1)
    log.close()
    return Trained(out / "model", progress.best, progress.best_epoch + 1, progress.history)


def validate(tagger: Tagger, corpus: Corpus, collator: Collator, report: Report) -> float:
    """Micro F1 (per cent) of a tagger on a corpus."""
    entities, _ = decode_corpus(tagger, corpus, collator=collator, step=report.validated)
    return score([example.entities for example in corpus], entities).micro.f1


@contextmanager
def averaged(tagger: Tagger, average: WeightAverage | None) -> Iterator[None]:
    """Put the averaged weights into the tagger for a while."""
    if average is None:
        yield
        return
    own = {name: value.detach().clone() for name, value in tagger.state_dict().items()}
    tagger.load_state_dict(average.mean)
    try:
        yield
    finally:
        tagger.load_state_dict(own)


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or termination signal into a question asked between steps; a second one ends at once."""
    received = 0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received += 1
        if received > 1:
            raise KeyboardInterrupt

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # signals can be had in the main thread only
        before = {}
    try:
        yield lambda: received > 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _patience_over(progress: Progress, settings: Training) -> bool:
    return settings.patience is not None and progress.epoch - 1 - progress.best_epoch >= settings.patience > 0


def _claim(recipe: Recipe, training: Corpus, validation: Corpus, out: Path, resume: bool) -> None:
    """Write down what is trained on what, or, to go on, check that it is the same."""
    path = out / "run.json"
    plain = {
        "recipe": to_plain(recipe),
        "types": list(training.types),
        "training": {"rows": len(training), "digest": training.digest},
        "validation": {"rows": len(validation), "digest": validation.digest},
    }
    plain = json.loads(json.dumps(plain))  # as it will be read back: lists for tuples
    if not resume:
        if (out / "state").exists():
            raise ResumeError(
                f"{out}: a run stands here already; add --resume to go on with it, or choose another --out"
            )
        write_json(path, plain)
        return
    if not path.is_file():
        raise ResumeError(f"{out}: expected a run to go on with, found none (no run.json)")
    before = json.loads(path.read_text(encoding="utf-8"))
    for field, value in plain.items():
        if before.get(field) != value:
            raise ResumeError(f"{path}: expected the {field} of the run, found another; start anew with another --out")
