"""Where a run computes: its device, its precision, its processes."""

import torch
from accelerate import Accelerator

from babelens.models.tagger import Tagger
from babelens.training.errors import TrainingError
from babelens.training.recipe import Training


def make_accelerator(tagger: Tagger, settings: Training, device: str | None) -> Accelerator:
    """One process on one device, in the precision that the recipe asks for.

    "auto" is bf16 where a GPU has it, or where a CPU has it and the encoder is wide enough to gain from it.

    Raises:
        TrainingError: the run was started as several processes, or on a device that is not there.
    """
    precision = settings.precision
    on_gpu = torch.cuda.is_available() and device != "cpu"
    known = ["cpu", *(["cuda", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))] if on_gpu else [])]
    if device is not None and device not in known:
        raise TrainingError(f"--device: expected a device of this machine ({', '.join(known)}), found {device!r}")
    if precision == "auto":
        wide = tagger.backbone.text.dim >= 512 and torch.cpu._is_avx512_bf16_supported()  # pyright: ignore[reportAttributeAccessIssue]
        precision = "bf16" if (torch.cuda.is_bf16_supported() if on_gpu else wide) else "fp32"
    if device is not None and device.startswith("cuda:"):
        torch.cuda.set_device(device)
    accelerator = Accelerator(mixed_precision="no" if precision == "fp32" else precision, cpu=device == "cpu")
    if accelerator.num_processes > 1:
        raise TrainingError("expected one process; training on several is not built yet")
    return accelerator
