"""Batches made ahead of their use, by a thread of this process or by data workers that live as long as a run."""

import os
import pickle
import signal
import sys
import threading
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver, get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from babelens.data.images import Status
from babelens.models.batch import Batch, Collator, CorpusRows, RowBatches, Rows, Share
from babelens.models.draw import Epoch
from babelens.schema import InputError

# Batches that may lie ready before they are asked for, of each worker or of the thread.
AHEAD = 2


class WorkerError(InputError):
    """A data worker is no more; the message says what may help."""

    exit_code = 3


class Work(NamedTuple):
    """One batch to make: the numbers of its rows, and in training the epoch, on which what is random hangs."""

    rows: Sequence[int] | Share
    epoch: Epoch | None = None


class Source(NamedTuple):
    """Rows, and what makes batches of them; with `labelled` these carry tags."""

    rows: Rows
    collator: Collator
    labelled: bool = False

    def batch(self, work: Work) -> Batch:
        """Make one batch."""
        return RowBatches(self.rows, self.collator, labelled=self.labelled, epoch=work.epoch)[work.rows]


class BatchLoader:
    """Makes batches ahead of their use, in order. What they hold and the errors that come are the same either way.

    Without `workers` a thread makes the next batches while the step computes, where a core is left for it; where torch
    has as many threads as there are cores, batches are made between steps. (A compact model on 2 cores, pictures
    opened in each step: 1.5 times the steps a second where torch had one thread, 0.95 times where it had two.)

    With workers so many processes make them, from the first batch that is asked for until `close`, over all epochs and
    sources. Each has a copy of the sources (with the pixel memory of their collators), and at most `AHEAD` batches wait
    for each. They are forked from a server that has imported the package, on Linux; elsewhere they are spawned. Neither
    inherits the threads of this process, which a plain fork would break. Ctrl-C is left to this process.

    `pinned` batches lie in page-locked memory, from which copies to a GPU need not wait.
    """

    def __init__(self, *sources: Source, workers: int = 0, pinned: bool = False) -> None:
        self.sources = sources
        self.workers = workers
        self.pinned = pinned
        self.ahead = AHEAD if pinned or torch.get_num_threads() < _cores() else 0
        self._turn = 0
        self._thread: ThreadPoolExecutor | None = None
        self._jobs = _Jobs()
        self._loader: DataLoader | None = None
        self._processes: Any = None
        if workers:
            self._loader = DataLoader(
                _Batches(sources),
                batch_size=None,
                sampler=self._jobs,  # read anew by each pass
                num_workers=workers,
                multiprocessing_context=_context(),
                prefetch_factor=AHEAD,
                persistent_workers=True,
                pin_memory=pinned,
                worker_init_fn=_begin,
                generator=torch.Generator(),  # else every pass draws from the one that dropout draws from
            )

    def __enter__(self) -> "BatchLoader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the thread or the workers. Batches that were not asked for are dropped."""
        self._turn += 1
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
            self._thread = None
        if self._processes is not None:
            self._processes._shutdown_workers()
            self._processes = None

    def batches(self, work: Sequence[Work], source: int = 0) -> Iterator[Batch]:
        """The batches of a source, in the order of `work`. A pass that is begun ends the one before it.

        Raises:
            WorkerError: a worker ended unexpectedly, most likely for want of memory.
            ImageError: a picture cannot be opened, and the corpus was read with strict pictures.
        """
        self._turn += 1
        make = self._by_processes if self.workers else self._by_thread if self.ahead else self._in_turn
        return make([_Job(source, one) for one in work], self._turn)

    def _in_turn(self, jobs: Sequence["_Job"], turn: int) -> Iterator[Batch]:
        for job in jobs:
            yield self._make(job)
            self._check(turn)

    def _by_thread(self, jobs: Sequence["_Job"], turn: int) -> Iterator[Batch]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "batches")
        waiting: deque[Future[Batch]] = deque()
        try:
            for number in range(len(jobs) + self.ahead):
                if number < len(jobs):
                    waiting.append(self._thread.submit(self._make, jobs[number]))
                if number >= self.ahead:
                    yield waiting.popleft().result()
                    self._check(turn)
        finally:
            for future in waiting:
                future.cancel()

    def _make(self, job: "_Job") -> Batch:
        batch = self.sources[job.source].batch(job.work)
        return batch.pin_memory() if self.pinned else batch

    def _by_processes(self, jobs: Sequence["_Job"], turn: int) -> Iterator[Batch]:
        self._jobs.now = jobs
        for number, job in enumerate(jobs):
            made, opened = self._receive(first=number == 0)
            if isinstance(made, Exception):
                raise made
            rows = self.sources[job.source].rows
            if isinstance(rows, CorpusRows):
                rows.corpus.count_pictures(opened)
            yield made
            self._check(turn)

    def _receive(self, first: bool) -> "_Made":
        try:
            if first:
                self._processes = iter(self._loader) if self._loader is not None else None
            return next(self._processes)
        except (RuntimeError, OSError, EOFError) as error:  # all others that a worker may meet come as what it made
            reason = f" ({str(error).splitlines()[0]})" if isinstance(error, RuntimeError) else ""
            raise WorkerError(
                f"a data worker ended unexpectedly{reason}: most likely memory ran out, or shared memory "
                f"(/dev/shm); fewer workers (training.workers, found {self.workers}) or a smaller batch need less"
            ) from error

    def _check(self, turn: int) -> None:
        if turn != self._turn:
            raise RuntimeError(
                "expected one pass over batches at a time, found that another was begun or all was closed"
            )


class _Job(NamedTuple):
    source: int
    work: Work


class _Jobs:
    """The jobs of the pass that is under way, for a sampler that lasts longer than a pass."""

    def __init__(self) -> None:
        self.now: Sequence[_Job] = ()

    def __iter__(self) -> Iterator[_Job]:
        return iter(self.now)


# A batch, or the error in its place, and how many pictures were opened for it, by status.
_Made = tuple[Batch | Exception, dict[Status, int]]


class _Batches(Dataset):
    """The data set of the workers: asked for a job, it answers with the batch."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources

    def __getitem__(self, job: _Job) -> _Made:
        rows = self.sources[job.source].rows
        before = _opened(rows)
        made: Batch | Exception
        try:
            made = self.sources[job.source].batch(job.work)
        except Exception as error:
            made = _portable(error)
        return made, dict(_opened(rows) - before)


def _opened(rows: Rows) -> Counter[Status]:
    return Counter(rows.corpus.picture_counts if isinstance(rows, CorpusRows) else {})


def _portable(error: Exception) -> Exception:
    """An error with its traceback as a note, as it can be sent to another process."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        if str(pickle.loads(pickle.dumps(error))) == str(error):
            return error
    except Exception:  # it cannot be sent as what it is
        pass
    told = RuntimeError(f"{type(error).__name__}: {error}")
    told.__notes__ = error.__notes__
    return told


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _context() -> BaseContext:
    """How workers are started; on Linux the server that forks them begins to import what they need."""
    if sys.platform != "linux":
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["babelens.models.tagger"])
    with _interrupts_ignored():  # as it is, a Ctrl-C would end the server while it imports
        forkserver.ensure_running()
    return context


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ignore Ctrl-C for a moment; processes that are started meanwhile ignore it for good."""
    before = None
    if threading.current_thread() is threading.main_thread():  # signals can be had in the main thread only
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _begin(_: int) -> None:
    """Set up a worker: Ctrl-C is not for it, and it does not outlive the process that it works for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    # The library watches the server that forked the worker, which lasts as long as the worker does.
    wait([parent.sentinel])
    os._exit(1)
