"""All runs of an experiment: what is done is kept, what is left is run here, side by side, or listed for elsewhere."""

import os
import shlex
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from babelens.experiments.folder_claim import claim_folder
from babelens.experiments.material import Material
from babelens.experiments.plan import Experiment, Point
from babelens.experiments.protocol import RECORD, Protocol, carry_out, plan_of, read_record
from babelens.experiments.results import Cell, Run
from babelens.models.encoders import Encoders
from babelens.schema import InputError
from babelens.training.claim import locked
from babelens.training.errors import DiskFull, Interrupted
from babelens.training.guards import stop_signals
from babelens.training.progress import ConsoleReport
from babelens.training.recipe import Recipe


@dataclass(frozen=True)
class Job:
    """One run to be carried out: a cell with a seed."""

    point: Point
    seed: int

    @property
    def key(self) -> str:
        """The name of its folder, and of the run on the command line."""
        return f"{self.point.key}+seed-{self.seed}"


@dataclass(frozen=True)
class Campaign:
    """An experiment, its rows, cells and seeds, and where its runs are kept.

    `points` are all cells, `chosen` those to be run now. `defaults` are settings that an experiment may override,
    `settings` those of the command line.
    """

    experiment: Experiment
    file: Path
    material: Material
    points: Sequence[Point]
    chosen: Sequence[Point]
    seeds: Sequence[int]
    out: Path
    protocol: Protocol
    settings: Sequence[str] = ()
    defaults: Sequence[str] = ()
    encoders: Encoders | None = None
    command: Sequence[str] = ()
    notes: Sequence[str] = ()

    def check(self) -> None:
        """See that one of the chosen cells at least can be planned, before anything is written.

        So a slip in the command or in the data, which would fail all runs, is told of at once. What fails some cells
        alone is left out with its reason when its turn comes.

        Raises:
            InputError: none can be; why the first of them cannot.
        """
        slip: InputError | None = None
        for point in self.chosen:
            try:
                recipe = self.recipe(Job(point, self.seeds[0]))
                plan_of(self.experiment, point, recipe, self.material, self.protocol)
                return
            except InputError as error:
                slip = slip or error
        if slip is not None:
            raise slip

    def claim(self) -> None:
        """Write down with what the runs of a folder are made, or see that they are made with the same.

        Raises:
            PlanError: data, settings or protocol are not those of the runs that are there.
        """
        rows = self.material
        now = {
            "experiment": self.experiment.name,
            "system": self.experiment.base.model,
            "training part": [rows.training.digest, rows.training.pictures_digest()],
            "validation part": [rows.validation.digest, rows.validation.pictures_digest()],
            "settings": list(self.settings),
            "encoders": self.encoders,
            "protocol": "published" if self.protocol.published else "ours",
        }
        claim_folder(self.out, now)

    def jobs(self, points: Sequence[Point] | None = None) -> Iterator[Job]:
        """All runs, seed by seed, so that a campaign that is stopped early has something of every cell."""
        for seed in self.seeds:
            yield from (Job(point, seed) for point in points or self.chosen)

    def folder(self, job: Job) -> Path:
        """Where a run is kept."""
        return self.out / "runs" / job.key

    def recipe(self, job: Job) -> Recipe:
        """What a run trains.

        Raises:
            InputError: it cannot be made.
        """
        return job.point.recipe(self.settings, job.seed, self.encoders, self.file.parent, self.defaults)

    def record(self, job: Job) -> Run | None:
        """What a run has found, or None where it is not done.

        Raises:
            PlanError: what stands there is a run of another plan.
        """
        if not (self.folder(job) / RECORD).is_file():
            return None
        plan = plan_of(self.experiment, job.point, self.recipe(job), self.material, self.protocol)
        return read_record(self.folder(job), plan)

    def left(self) -> list[Job]:
        """The chosen runs that are not done."""
        return [job for job in self.jobs() if self.record(job) is None]

    def run(self, job: Job, console: Console | None = None) -> Run:
        """Carry one run out; where it cannot be, the reason is kept in its folder.

        Raises:
            InputError: it cannot be carried out, or another process is at it.
        """
        folder = self.folder(job)
        folder.mkdir(parents=True, exist_ok=True)
        reason = folder / "reason.txt"
        report = None if console is None else ConsoleReport(job.key, console)
        with locked(folder):
            reason.unlink(missing_ok=True)
            try:
                recipe = self.recipe(job)
                return carry_out(self.experiment, job.point, recipe, self.material, folder, self.protocol, report)
            except Interrupted:
                raise
            except InputError as error:
                reason.write_text(f"{error}\n", encoding="utf-8")
                raise
            except Exception as error:
                reason.write_text(f"{type(error).__name__}: {error}\n", encoding="utf-8")
                (folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
                raise

    def run_all(self, console: Console) -> int:
        """Carry out all that is left, one after the other; returns how many failed.

        Raises:
            Interrupted: Ctrl-C; what was saved is gone on with by the same command.
            DiskFull: there is no room for more.
        """
        failed, left, started = 0, self.left(), time.monotonic()
        for number, job in enumerate(left, 1):
            try:
                done = self.run(job, console)
            except (Interrupted, KeyboardInterrupt) as error:
                raise Interrupted(f"{job.key}: stopped; what is done is kept: run the same command to go on") from error
            except DiskFull:
                raise
            except Exception as error:
                failed += 1
                told = str(error) if isinstance(error, InputError) else _reason(self.folder(job))
                console.print(f"{number}/{len(left)} {job.key}: not run: {told}", highlight=False, markup=False)
                continue
            console.print(_line(number, len(left), job, done, started), highlight=False, markup=False)
        return failed

    def run_beside(self, command: Sequence[str], jobs: int, console: Console) -> int:
        """Carry out all that is left, so many `jobs` side by side, each a process with its share of cores or a GPU.

        Raises:
            Interrupted: Ctrl-C or a termination signal; every run saves its state before.
        """
        waiting = self.left()
        left, started = len(waiting), time.monotonic()
        running: dict[int, tuple[subprocess.Popen[bytes], Job]] = {}
        failed = finished = 0
        if left:
            logs = self.out / "runs" / "KEY" / "log.txt"
            console.print(f"{left} runs, {jobs} side by side; what each says: {logs}", highlight=False, markup=False)
        with stop_signals() as stopped:
            try:
                while (waiting or running) and not stopped():
                    for place in range(jobs):
                        if waiting and place not in running:
                            job = waiting.pop(0)
                            running[place] = (self._start(command, job, place, jobs), job)
                    time.sleep(0.2)
                    for place, (process, job) in list(running.items()):
                        if process.poll() is None:
                            continue
                        del running[place]
                        finished += 1
                        done = self.record(job)
                        if done is None:
                            failed += 1
                            told = f"not run: {_reason(self.folder(job), crashed=True)}"
                            console.print(f"{finished}/{left} {job.key}: {told}", highlight=False, markup=False)
                        else:
                            console.print(_line(finished, left, job, done, started), highlight=False, markup=False)
            finally:
                for process, _ in running.values():
                    process.terminate()
                for process, _ in running.values():
                    process.wait()
            if stopped():
                raise Interrupted("stopped; what is done is kept: run the same command to go on")
        return failed

    def _start(self, command: Sequence[str], job: Job, place: int, jobs: int) -> subprocess.Popen[bytes]:
        folder = self.folder(job)
        folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **_share(place, jobs, self.protocol.device)}
        with (folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [*command, "--run", job.key],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches this process alone, which ends the others in order
            )

    def commands(self, command: Sequence[str]) -> list[str]:
        """A command for each run that is left, for a queue such as Slurm's."""
        return [shlex.join([*command, "--run", job.key]) for job in self.left()]

    def cells(self) -> list[Cell]:
        """What there is so far: a cell for each point, with the runs that are done."""
        made = []
        for point in self.points:
            jobs = [Job(point, seed) for seed in self.seeds]
            found = [(job, self.record(job)) for job in jobs]
            reasons = [_reason(self.folder(job)) for job, run in found if run is None]
            runs = [run for _, run in found if run is not None]
            made.append(Cell(point.labels, runs, "; ".join(dict.fromkeys(reasons)) or None))
        return made


def this_command(arguments: Sequence[str]) -> list[str]:
    """The command line that runs babelens with these arguments in another process."""
    return [sys.executable, "-m", "babelens", *arguments]


def _share(place: int, jobs: int, device: str | None) -> Mapping[str, str]:
    """The environment of one of several runs: a share of the cores, and a GPU where there are some."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = {"OMP_NUM_THREADS": str(max(1, cores // jobs))}
    if device is None and torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
        devices = visible.split(",")
        share["CUDA_VISIBLE_DEVICES"] = devices[place % len(devices)]
    return share


def _reason(folder: Path, *, crashed: bool = False) -> str:
    """Why a run is not done, as far as its folder tells; of one that `crashed`, the last error in its log, or line."""
    path = folder / "reason.txt"
    if path.is_file():
        return path.read_text(encoding="utf-8").strip()
    log = folder / "log.txt"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    if crashed and lines:
        # Another process may be at work there and write on.
        told = next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1])
        return told.removeprefix("error: ")
    return "begun, not finished" if (folder / "training").is_dir() else "not run yet"


def _line(number: int, total: int, job: Job, run: Run, started: float) -> str:
    spent = time.monotonic() - started
    rest = spent / number * (total - number)
    scores = ", ".join(f"{name} {reading.published['micro']['f1']:.2f}" for name, reading in run.readings.items())
    tests = f"; test F1: {scores}" if scores else ""
    left = f"; about {max(1, round(rest / 60))} min left" if number < total else ""
    return (
        f"{number}/{total} {job.key}: validation F1 {run.validation_f1:.2f} (epoch {run.epoch} of {run.epochs}, "
        f"{run.seconds:.0f} s){tests}{left}"
    )
