"""Where a run computes: its device, its precision, its processes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import gather_object, parse_flag_from_env

from babelens.models.tagger import Tagger
from babelens.schema import InputError
from babelens.training.errors import TrainingError
from babelens.training.recipe import Training

T = TypeVar("T")


def make_accelerator(tagger: Tagger, settings: Training, device: str | None) -> Accelerator:
    """The device of this process, in the precision that the recipe asks for, and its ties to others of the run.

    Several processes are those of `accelerate launch` or `torchrun`: on GPUs over NCCL, on processors over gloo. "auto"
    is bf16 where a GPU has it, or where a CPU has it and the encoder is wide enough to gain from it.

    Raises:
        TrainingError: the device is not there, or is one for all of several processes.
    """
    precision = settings.precision
    on_gpu = torch.cuda.is_available() and device != "cpu" and not parse_flag_from_env("ACCELERATE_USE_CPU")
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    known = ["cpu", *(["cuda", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))] if on_gpu else [])]
    if device is not None and device not in known:
        raise TrainingError(f"--device: expected a device of this machine ({', '.join(known)}), found {device!r}")
    if device is not None and device.startswith("cuda:"):
        if several:
            raise TrainingError(f"--device: expected cuda or cpu in a run of several processes, found {device!r}")
        torch.cuda.set_device(device)
    if precision == "auto":
        wide = tagger.backbone.text.dim >= 512 and torch.cpu._is_avx512_bf16_supported()  # pyright: ignore[reportAttributeAccessIssue]
        precision = "bf16" if (torch.cuda.is_bf16_supported() if on_gpu else wide) else "fp32"
    # A batch without pictures leaves the weights of the vision encoders without gradients.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    precision = "no" if precision == "fp32" else precision
    cpu = device == "cpu" or (several and not on_gpu)
    return Accelerator(mixed_precision=precision, cpu=cpu, kwargs_handlers=[unused])


def gather_objects(accelerator: Accelerator, own: T) -> list[T]:
    """What each process has, by the number of the process; all of them must ask."""
    return gather_object([own]) if accelerator.num_processes > 1 else [own]


def in_step(accelerator: Accelerator, items: Iterator[T]) -> Iterator[T]:
    """The same items, each when all processes have theirs; all must have as many.

    Raises:
        TrainingError: another process has failed to make its item; an error of this one is raised as it is.
    """
    if accelerator.num_processes == 1:
        yield from items
        return
    end = object()
    while True:
        error: Exception | None = None
        item: T | object = end
        try:
            item = next(items, end)
        except Exception as caught:
            error = caught
        failures = gather_objects(accelerator, None if error is None else f"{type(error).__name__}: {error}")
        if error is not None:
            raise error
        for process, failure in enumerate(failures):
            if failure is not None:
                raise TrainingError(f"process {process} of {len(failures)} has failed: {failure}")
        if item is end:
            return
        yield item  # pyright: ignore[reportReturnType]


@contextmanager
def ending_together(accelerator: Accelerator) -> Iterator[None]:
    """Turn the error of a process whose partner is gone into a message; where it went is the partner's to say.

    Over gloo a process learns at once that another is gone. Over NCCL it waits until its launcher ends it.

    Raises:
        TrainingError: another process is gone.
    """
    try:
        yield
    except InputError:
        raise
    except RuntimeError as error:
        if accelerator.num_processes > 1 and _lost(error):
            raise TrainingError(
                f"process {accelerator.process_index}: another process of the run is gone; its own message says why"
            ) from error
        raise


def _lost(error: RuntimeError) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.distributed.DistError) or "connection" in text or "gloo" in text
