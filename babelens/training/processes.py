"""Where a run computes: its device, its precision, its processes."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object, parse_flag_from_env
from torch import distributed

from babelens.models.precision import resolve
from babelens.models.tagger import Tagger
from babelens.schema import InputError
from babelens.training.errors import DiskFull, Halted, Interrupted, OutOfMemory, ResumeError, TrainingError
from babelens.training.optimizer import WeightAverage
from babelens.training.recipe import Training

T = TypeVar("T")


def join_processes(device: str | None) -> PartialState:
    """Find the device of this process, and the other processes of the run where it was started as several.

    Several processes are those of `accelerate launch` or `torchrun`: on GPUs over NCCL, on processors over gloo. Each
    has the whole model (DistributedDataParallel).

    Raises:
        TrainingError: the device is not there, or is one for all of several processes; or the launcher asks for models
            in pieces.
    """
    for name in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if parse_flag_from_env(f"ACCELERATE_USE_{name}"):
            raise TrainingError(f"accelerate: expected processes that each have the whole model, found {name}")
    on_gpu = torch.cuda.is_available() and device != "cpu" and not parse_flag_from_env("ACCELERATE_USE_CPU")
    known = ["cpu", *(["cuda", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))] if on_gpu else [])]
    if device is not None and device not in known:
        raise TrainingError(f"--device: expected a device of this machine ({', '.join(known)}), found {device!r}")
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if device is not None and device.startswith("cuda:"):
        if several:
            raise TrainingError(f"--device: expected cuda or cpu in a run of several processes, found {device!r}")
        torch.cuda.set_device(device)
    return PartialState(cpu=device == "cpu" or (several and not on_gpu))


def make_accelerator(tagger: Tagger, settings: Training, device: str | None) -> Accelerator:
    """What moves a tagger to the device of this process and computes in the precision that the recipe asks for.

    The tagger is told of the precision, for validation.

    Raises:
        TrainingError: the device is not there, or is one for all of several processes.
    """
    found = join_processes(device).device
    assert found is not None
    tagger.precision = resolve(settings.precision, tagger, found)
    if tagger.precision == torch.float16 and found.type != "cuda":
        raise TrainingError(
            f"training.precision: expected bf16 or fp32 on this device ({found.type}), found fp16, whose small "
            "gradients would be lost"
        )
    # A batch without pictures leaves the weights of the vision encoders without gradients.
    unused = DistributedDataParallelKwargs(find_unused_parameters=bool(tagger.model.views))
    AcceleratorState._reset_state()  # else a second run of this process, in another precision, would be refused
    return Accelerator(
        mixed_precision={None: "no", torch.bfloat16: "bf16", torch.float16: "fp16"}[tagger.precision],
        cpu=found.type == "cpu",
        kwargs_handlers=[unused],
    )


def count() -> int:
    """The number of processes of the run."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def local_share() -> tuple[int, int]:
    """The number of this process among those of its machine, and how many these are."""
    if count() == 1:
        return 0, 1
    return int(os.environ.get("LOCAL_RANK", rank())), int(os.environ.get("LOCAL_WORLD_SIZE", count()))


def share_statistics(tagger: Tagger, average: WeightAverage | None) -> None:
    """Give all processes the buffers of the first one, which are saved: batch normalisation gathers its own in each."""
    if count() == 1:
        return
    means = {} if average is None else average.mean
    for name, buffer in tagger.named_buffers():
        distributed.broadcast(buffer, 0)
        if name in means:
            distributed.broadcast(means[name], 0)


def rank() -> int:
    """The number of this process; process 0 is the one that writes and prints."""
    return distributed.get_rank() if count() > 1 else 0


def gather_objects(own: T) -> list[T]:
    """What each process has, by the number of the process; all of them must ask."""
    return gather_object([own]) if count() > 1 else [own]


def agreed(act: Callable[[], T]) -> T:
    """Do something in each process; gives what this one did once all have done theirs.

    Raises:
        TrainingError, ResumeError, DiskFull, Halted, Interrupted, OutOfMemory: another process has failed, with its
            message. An error of this one is raised as it is.
    """
    if count() == 1:
        return act()
    done: T | None = None
    failure: Exception | None = None
    try:
        done = act()
    except Exception as error:
        failure = error
    told = None if failure is None else (type(failure).__name__, str(failure))
    failures = gather_objects(told)
    if failure is not None:
        raise failure
    for number, own in enumerate(failures):
        if own is not None:
            kinds = {one.__name__: one for one in (ResumeError, DiskFull, Halted, Interrupted, OutOfMemory)}
            raise kinds.get(own[0], TrainingError)(
                f"process {number} of {len(failures)} has failed: {own[1] or own[0]}"
            )
    return done  # pyright: ignore[reportReturnType]


def by_the_first(act: Callable[[], object]) -> None:
    """Let process 0 do something while the others wait; errors are as those of `agreed`."""
    agreed(act if rank() == 0 else lambda: None)


def in_step(items: Iterator[T]) -> Iterator[T]:
    """The same items, each when all processes have theirs; all must have as many. Errors are as those of `agreed`."""
    end = object()
    while (item := agreed(lambda: next(items, end))) is not end:
        yield item  # pyright: ignore[reportReturnType]


@contextmanager
def ending_together() -> Iterator[None]:
    """Turn the error of a process whose partner is gone into a message; why it went is the partner's to say.

    Over gloo a process learns at once that another is gone. Over NCCL it waits until its launcher ends it.

    Raises:
        TrainingError: another process is gone.
    """
    try:
        yield
    except InputError:
        raise
    except RuntimeError as error:
        lost = isinstance(error, distributed.DistError) or any(sign in str(error).lower() for sign in ("gloo", "peer"))
        if count() > 1 and lost:
            raise TrainingError(
                f"process {rank()} of {count()}: another process of the run is gone; its own message says why"
            ) from error
        raise
