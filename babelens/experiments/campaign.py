"""All runs of an experiment: what is done is kept, what is left is run here, side by side, or listed for elsewhere."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from babelens.experiments.material import Material
from babelens.experiments.plan import Experiment, Point
from babelens.experiments.protocol import Protocol, carry_out, read_record
from babelens.experiments.results import Cell, Run
from babelens.models.encoders import Encoders
from babelens.schema import InputError
from babelens.training.errors import Interrupted
from babelens.training.progress import ConsoleReport


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
    """An experiment, its cells and seeds, and where its runs are kept."""

    experiment: Experiment
    file: Path
    points: Sequence[Point]
    seeds: Sequence[int]
    out: Path
    protocol: Protocol
    settings: Sequence[str] = ()
    encoders: Encoders | None = None
    command: Sequence[str] = ()
    notes: Sequence[str] = ()

    def jobs(self) -> Iterator[Job]:
        """All runs, seed by seed, so that a campaign that is stopped early has something of every cell."""
        for seed in self.seeds:
            yield from (Job(point, seed) for point in self.points)

    def folder(self, job: Job) -> Path:
        """Where a run is kept."""
        return self.out / "runs" / job.key

    def left(self) -> list[Job]:
        """The runs that are not done."""
        return [job for job in self.jobs() if read_record(self.folder(job)) is None]

    def run(self, job: Job, material: Material, console: Console | None = None) -> Run:
        """Carry one run out; what the data does not have is noted as the reason why it was not run.

        Raises:
            InputError: it cannot be carried out.
        """
        folder = self.folder(job)
        folder.mkdir(parents=True, exist_ok=True)
        reason = folder / "reason.txt"
        reason.unlink(missing_ok=True)
        recipe = job.point.recipe(self.settings, job.seed, self.encoders, self.file.parent)
        report = None if console is None else ConsoleReport(job.key, console)
        try:
            return carry_out(self.experiment, job.point, recipe, job.seed, material, folder, self.protocol, report)
        except Interrupted:
            raise
        except InputError as error:
            reason.write_text(f"{error}\n", encoding="utf-8")
            raise

    def run_all(self, material: Material, console: Console) -> int:
        """Carry out all that is left, one after the other; returns how many failed.

        Raises:
            Interrupted: Ctrl-C; what was saved is gone on with by the same command.
        """
        failed, left, started = 0, self.left(), time.monotonic()
        for number, job in enumerate(left, 1):
            try:
                done = self.run(job, material, console)
            except Interrupted as error:
                raise Interrupted(f"{job.key}: stopped; what is done is kept: run the same command to go on") from error
            except InputError as error:
                failed += 1
                console.print(f"{number}/{len(left)} {job.key}: not run: {error}", highlight=False, markup=False)
                continue
            console.print(_line(number, len(left), job, done, started), highlight=False, markup=False)
        return failed

    def run_beside(self, command: Sequence[str], jobs: int, console: Console) -> int:
        """Carry out all that is left, so many `jobs` side by side, each a process with its share of cores or a GPU.

        Raises:
            Interrupted: Ctrl-C; every run saves its state before.
        """
        waiting, left, started = self.left(), len(self.left()), time.monotonic()
        running: dict[int, tuple[subprocess.Popen[bytes], Job]] = {}
        failed = finished = 0
        try:
            while waiting or running:
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
                    done = read_record(self.folder(job))
                    if done is None:
                        failed += 1
                        told = f"not run: {_reason(self.folder(job))}"
                        console.print(f"{finished}/{left} {job.key}: {told}", highlight=False, markup=False)
                    else:
                        console.print(_line(finished, left, job, done, started), highlight=False, markup=False)
        except KeyboardInterrupt:
            for process, _ in running.values():
                process.terminate()
            for process, _ in running.values():
                process.wait()
            raise Interrupted("stopped; what is done is kept: run the same command to go on") from None
        return failed

    def _start(self, command: Sequence[str], job: Job, place: int, jobs: int) -> subprocess.Popen[bytes]:
        folder = self.folder(job)
        folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **_share(place, jobs)}
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
            runs = [run for job in jobs if (run := read_record(self.folder(job))) is not None]
            reasons = [_reason(self.folder(job)) for job in jobs if read_record(self.folder(job)) is None]
            made.append(Cell(point.labels, runs, "; ".join(dict.fromkeys(reasons)) or None))
        return made


def this_command(arguments: Sequence[str]) -> list[str]:
    """The command line that runs babelens with these arguments in another process."""
    return [sys.executable, "-m", "babelens", *arguments]


def _share(place: int, jobs: int) -> Mapping[str, str]:
    """The environment of one of several runs: a GPU of its own where there are some, else a share of the cores."""
    import torch

    if torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
        devices = visible.split(",")
        return {"CUDA_VISIBLE_DEVICES": devices[place % len(devices)]}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"OMP_NUM_THREADS": str(max(1, cores // jobs))}


def _reason(folder: Path) -> str:
    """Why a run is not done, as far as its folder tells."""
    path = folder / "reason.txt"
    if path.is_file():
        return path.read_text(encoding="utf-8").strip()
    if (folder / "training").is_dir():
        return "begun, not finished"
    log = folder / "log.txt"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    return lines[-1] if lines else "not run yet"


def _line(number: int, total: int, job: Job, run: Run, started: float) -> str:
    spent = time.monotonic() - started
    rest = spent / number * (total - number)
    scores = ", ".join(f"{name} {reading.published['micro']['f1']:.2f}" for name, reading in run.readings.items())
    tests = f"; test F1: {scores}" if scores else ""
    return (
        f"{number}/{total} {job.key}: validation F1 {run.validation_f1:.2f} (epoch {run.epoch} of {run.epochs}, "
        f"{run.seconds:.0f} s){tests}; about {rest / 60:.0f} min left"
    )
