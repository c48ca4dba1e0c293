"""The training loop: batches in an order that is a function of the seed, losses, steps, choice on validation."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from accelerate.utils import set_seed

from babelens.data import Corpus
from babelens.data.split import split
from babelens.models.batch import Batch, CorpusRows
from babelens.models.checkpoint import CheckpointError, new_tagger, read_config, save_tagger
from babelens.models.compiled import compile_encoders
from babelens.models.decode import decode_source
from babelens.models.draw import Epoch
from babelens.models.loading import BatchLoader, Source, Work
from babelens.models.memory import keep_freed_memory
from babelens.models.regions import prepare
from babelens.models.spec import to_plain
from babelens.models.tagger import Tagger
from babelens.schema import Entity, InputError, TagSet
from babelens.scoring.scores import score
from babelens.training.calibrated import calibrate_chosen
from babelens.training.claim import claim, locked
from babelens.training.errors import Halted, Interrupted, OutOfMemory, ResumeError, TrainingError
from babelens.training.guards import room, stop_signals
from babelens.training.log import RunLog
from babelens.training.optimizer import WeightAverage, averaged, make_optimizer
from babelens.training.processes import (
    agreed,
    by_the_first,
    count,
    ending_together,
    gather_objects,
    in_step,
    join_processes,
    local_share,
    make_accelerator,
    rank,
    share_statistics,
)
from babelens.training.progress import Report
from babelens.training.recipe import Recipe, Training
from babelens.training.sampler import epoch_batches, shares
from babelens.training.state import Progress, State, clean, load_state, save_state, write_json
from babelens.training.step import Optimization


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

    `out` also gets history.json, losses.jsonl (all steps), TensorBoard logs and the state that `resume` goes on with:
    after every epoch, every `save_minutes` within one, on Ctrl-C, and where the next rows cannot be had. A run killed
    at any moment and gone on with gives on the CPU, with as many threads and the same versions, bit for bit what it
    would have given undisturbed. Test data has no way in.

    Several processes (`accelerate launch`, `torchrun`) train as one: each step has the same rows, shared among them.
    The first one writes and reports; all read `out` to go on, so it lies on a disk that all machines see.

    Raises:
        TrainingError: the loss or a gradient is not a finite number.
        Halted: the next rows cannot be had (a worker died, a picture is missing where none may be); the state is saved.
        DiskFull: the disk has no room for the state or the model; what was saved before is whole.
        ResumeError: there is nothing to go on with, or data or recipe are not those of the run.
        Interrupted: Ctrl-C or a termination signal; the state is saved.
    """
    if recipe.training.pictures == "pairs":
        training, validation = training.pairs(), validation.pairs()
    spared = None
    if recipe.training.calibrate:
        validation, spared = split(validation, (1.0, 1.0), seed=recipe.training.seed)
    join_processes(device)
    with ExitStack() as held, ending_together():

        def begin() -> None:
            out.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(out))
            claim(recipe, training, validation, out, resume)
            clean(out)

        by_the_first(begin)
        data = (training.digest, validation.digest, training.pictures_digest(), validation.pictures_digest())
        if count() > 1 and len(set(gather_objects(data))) > 1:
            raise TrainingError("expected the same data and pictures in all processes, found others in some")
        keep_freed_memory()
        with room(out):
            told = report if report is not None and rank() == 0 else Report()
            trained = _train(recipe, training, validation, out, device, resume, told)
            if spared is not None:
                by_the_first(lambda: calibrate_chosen(trained.model, spared, recipe.training, device))
            return trained


def _train(
    recipe: Recipe, training: Corpus, validation: Corpus, out: Path, device: str | None, resume: bool, report: Report
) -> Trained:
    settings, place = recipe.training, out / "model"
    set_seed(settings.seed)
    tagger = new_tagger(recipe.model, TagSet(training.types), lambda: (example.words for example in training))
    accelerator = make_accelerator(tagger, settings, device)
    tagger.to(accelerator.device)
    if settings.compile:
        compile_encoders(tagger)
    optimizer = make_optimizer(tagger, settings)
    average = WeightAverage(tagger, settings.average) if settings.average is not None else None
    progress = Progress()
    if resume and (state := _newest(out, report)) is not None:
        progress = state.progress
        tagger.load_state_dict(state.weights)
        optimizer.load_state_dict(state.optimizer)
        if average is not None and state.average is not None:
            for name, value in state.average.items():
                average.mean[name].copy_(value)
        if accelerator.scaler is not None and progress.scaler is not None:
            accelerator.scaler.load_state_dict(progress.scaler)
        del state
    with report:
        regions = prepare(
            tagger,
            [training, validation],
            "off" if progress.regions is False else settings.region_cache,
            use="training",
            autocast=tagger.precision,
            share=local_share(),
            wait=accelerator.wait_for_everyone,
            step=report.pictures,
        )
    if regions.note:
        report.note(regions.note)
    _check_found(progress, accelerator.mixed_precision, regions.cache is not None, out)
    model, optimizer = accelerator.prepare(tagger, optimizer)
    own_validation = validation if count() == 1 else validation.select(range(rank(), len(validation), count()))
    memory = settings.pixel_memory
    loader = BatchLoader(
        Source(CorpusRows(training), tagger.collator(memory, regions.cache), labelled=True),
        Source(CorpusRows(own_validation), tagger.collator(memory // 4, regions.cache)),
        workers=settings.workers,
        pinned=accelerator.device.type == "cuda",
    )
    first, alone = rank() == 0, count() == 1
    rows_of_step = settings.batch * settings.accumulate
    per_epoch = math.ceil(len(training) / rows_of_step)
    optimization = Optimization(accelerator, model, optimizer, settings, per_epoch * settings.epochs)
    optimization.limit, optimization.watch.means = progress.limit, progress.means
    started = saved = time.monotonic()
    started -= progress.seconds

    def keep() -> None:
        nonlocal saved
        if log is None:
            return
        log.flush()
        progress.limit = optimization.limit
        progress.seconds = time.monotonic() - started
        progress.scaler = None if accelerator.scaler is None else accelerator.scaler.state_dict()
        mean = None if average is None else average.mean
        save_state(out, State(progress, tagger.state_dict(), optimizer.state_dict(), mean), settings.keep)
        saved = time.monotonic()

    def keep_model() -> None:
        facts = {"validation_f1": round(progress.best, 4), "epoch": progress.best_epoch + 1}
        with averaged(tagger, average):
            save_tagger(tagger, place, {**facts, "recipe": to_plain(recipe)})

    def groups(steps: list[list[int]]) -> Iterator[list[Batch]]:
        """What this process has of each step."""
        own = [shares(step, settings.batch, process=rank(), processes=count()) for step in steps]
        epoch = Epoch(settings.seed, progress.epoch)
        made = loader.batches([Work(share, epoch) for step in own for share in step])
        for step in own:
            yield list(islice(made, len(step)))

    def validated(done: int) -> None:
        report.validated(done)
        if alone and stopped():
            raise Interrupted(_stopped(progress))

    def finish() -> None:
        """Make up for what a kill has left out: the state is saved before the history and the model are."""
        if progress.history:
            write_json(out / "history.json", progress.history)
        if progress.best_epoch >= 0 and _epoch_of(place) != progress.best_epoch + 1:
            if progress.batch == 0 and progress.best_epoch == progress.epoch - 1:
                keep_model()
            elif not place.exists():
                raise ResumeError(
                    f"{place}: expected the model of epoch {progress.best_epoch + 1}, found none; put it back"
                )

    if resume:
        report.note(_where(progress, settings, out))
    report.start(settings.epochs, per_epoch, progress.step)
    with stop_signals() as stopped, loader, report, RunLog(out, progress.step) if first else nullcontext() as log:
        by_the_first(finish)
        try:
            while not _finished(progress, settings):
                order = epoch_batches(
                    training.lengths, rows_of_step, seed=settings.seed, epoch=progress.epoch, order=settings.order
                )
                model.train()
                for group in in_step(_had(groups(order[progress.batch :]), progress, stopped)):
                    made = optimization.step(group, progress.step, stopping=stopped())
                    progress.step += 1
                    progress.batch += 1
                    for name, value in made.losses.items():
                        progress.sums[name] = progress.sums.get(name, 0.0) + value
                    if average is not None:
                        average.update(tagger, progress.step)
                    if made.note is not None:
                        report.note(made.note)
                    if log is not None:
                        log.step(progress.step, made.losses)
                    report.step(made.losses, progress.best)
                    if stopped() if alone else made.stopping:
                        raise Interrupted(_stopped(progress))
                    if settings.save_minutes is not None and time.monotonic() - saved >= 60 * settings.save_minutes:
                        keep()
                share_statistics(tagger, average)
                with averaged(tagger, average), _halting(progress, stopped, "the validation"):
                    f1 = validate(tagger, validation, own_validation, loader, validated)
                if any(gather_objects(stopped())):
                    raise Interrupted(_stopped(progress))
                if log is not None:
                    log.validated(progress.step, f1)
                means = {name: value / per_epoch for name, value in progress.sums.items()}
                entry = {"epoch": progress.epoch + 1, "step": progress.step, "losses": means, "validation_f1": f1}
                progress.history.append({**entry, "seconds": round(time.monotonic() - started, 1)})
                better = f1 > progress.best
                if better:
                    progress.best, progress.best_epoch = f1, progress.epoch
                progress.epoch, progress.batch, progress.sums = progress.epoch + 1, 0, {}
                keep()
                if first and better:
                    keep_model()
                if first:
                    write_json(out / "history.json", progress.history)
                report.epoch(progress.history[-1], progress.best_epoch + 1)
        except (Interrupted, Halted):
            by_the_first(keep)
            raise
        except OutOfMemory:
            if alone:  # others may wait for this process elsewhere
                keep()
            raise
    return Trained(place, progress.best, progress.best_epoch + 1, progress.history)


def _check_found(progress: Progress, precision: str, regions: bool, out: Path) -> None:
    """See that what "auto" comes to is what it was when the run began; of a new run it is noted.

    Raises:
        ResumeError: it is something else, by which the run would become another.
    """
    if progress.precision not in (None, precision):
        raise ResumeError(
            f"{out}: expected a machine on which training.precision is {progress.precision}, as the run began, found "
            f"{precision}; start anew with another --out"
        )
    if progress.regions and not regions:
        raise ResumeError(
            f"{out}: expected room for the regions of pictures (training.region_cache), with which the run began"
        )
    progress.precision, progress.regions = precision, regions


GO_ON = "the state is saved: run the same command with --resume to go on"


def _newest(out: Path, report: Report) -> State | None:
    """The newest whole state, read by all processes, after the first one has removed what is damaged.

    Raises:
        ResumeError: see `load_state`; or the processes do not see the same states.
    """
    by_first = agreed(lambda: load_state(out, report.note) if rank() == 0 else None)
    by_others = agreed(lambda: load_state(out, report.note) if rank() > 0 else None)
    state = by_first if rank() == 0 else by_others
    steps = gather_objects(None if state is None else state.progress.step)
    if len(set(steps)) > 1:
        raise ResumeError(
            f"{out}: expected a folder on a disk that all processes see, found the states of steps "
            f"{', '.join(map(str, steps))}"
        )
    return state


@contextmanager
def _halting(progress: Progress, stopped: Callable[[], bool], what: str) -> Iterator[None]:
    """Where rows cannot be had, an error that lets the state be saved, for it is whole between steps.

    A Ctrl-C reaches the workers as well, so that they may be gone before it is asked about.
    """
    try:
        yield
    except (InputError, OSError) as error:
        if isinstance(error, Interrupted | Halted):
            raise
        if stopped():
            raise Interrupted(_stopped(progress)) from error
        halted = Halted(f"no rows for {what} of epoch {progress.epoch + 1}: {error}; {GO_ON}")
        halted.exit_code = getattr(error, "exit_code", halted.exit_code)
        raise halted from error


def _had(groups: Iterator[list[Batch]], progress: Progress, stopped: Callable[[], bool]) -> Iterator[list[Batch]]:
    """The same, each with `_halting`."""
    while True:
        with _halting(progress, stopped, f"step {progress.step + 1}"):
            group = next(groups, None)
        if group is None:
            return
        yield group


def _stopped(progress: Progress) -> str:
    return f"stopped in epoch {progress.epoch + 1} at step {progress.step}; {GO_ON}"


def _where(progress: Progress, settings: Training, out: Path) -> str:
    """From where a run goes on."""
    if _finished(progress, settings):
        return f"{out}: the run is finished already, after {progress.epoch} epochs"
    if not progress.step:
        return f"{out}: the run had not saved a state yet; it begins anew"
    return f"{out}: goes on in epoch {progress.epoch + 1}, after step {progress.step}"


def _finished(progress: Progress, settings: Training) -> bool:
    over = settings.patience is not None and progress.epoch - 1 - progress.best_epoch >= settings.patience > 0
    return over or progress.epoch >= settings.epochs


def _epoch_of(model: Path) -> int | None:
    """The epoch that a model folder is of, or None where there is no whole one."""
    try:
        return read_config(model).get("epoch")
    except CheckpointError:
        return None


def validate(
    tagger: Tagger, corpus: Corpus, own: Corpus, loader: BatchLoader, step: Callable[[int], None] | None = None
) -> float:
    """Micro F1 (per cent) of a tagger on a corpus, of which this process tags its `own` rows.

    They are the source number 1 of the loader. `step` is called with the number of rows done after each batch.
    """
    entities: list[tuple[Entity, ...]] = [()] * len(corpus)
    found, _ = agreed(lambda: decode_source(tagger, loader, 1, own.lengths, step=step))
    for process, share in enumerate(gather_objects(found)):
        entities[process :: count()] = share
    return score([example.entities for example in corpus], entities).micro.f1
