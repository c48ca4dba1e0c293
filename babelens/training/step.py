"""One step of the optimiser: batches in, losses and gradients, new weights."""

import math
from collections.abc import Iterator

import torch
from accelerate import Accelerator

from babelens.models.batch import Batch
from babelens.training.errors import TrainingError
from babelens.training.optimizer import gradients_finite, rate_share
from babelens.training.recipe import Training


def optimize(
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    group: list[Batch],
    settings: Training,
    step: int,
    steps: int,
) -> dict[str, float]:
    """Make one step of the optimiser on the mean loss of a group of batches; returns the losses by name.

    Random numbers (dropout) are drawn from (seed, step), so that a run that was stopped goes on exactly.

    Raises:
        TrainingError: the loss or a gradient is not finite; the weights are then as before the step.
    """
    torch.manual_seed((settings.seed << 32) + step)
    optimizer.zero_grad(set_to_none=True)
    sums: dict[str, float] = {}
    for batch in group:
        losses = model(batch.to(accelerator.device))
        named = {"total": losses.total, **losses.parts}
        values = torch.stack([value.detach().float() for value in named.values()]).tolist()
        if not all(math.isfinite(value) for value in values):
            found = ", ".join(f"{name} {value:g}" for name, value in zip(named, values, strict=True))
            raise TrainingError(
                f"step {step + 1}: the loss is not finite ({found}) for the rows {', '.join(batch.ids)}"
            )
        accelerator.backward(losses.total / len(group))
        for name, value in zip(named, values, strict=True):
            sums[name] = sums.get(name, 0.0) + value / len(group)
    if settings.clip is not None:
        accelerator.clip_grad_norm_(model.parameters(), settings.clip)
    if accelerator.scaler is None and not gradients_finite(model.parameters()):
        ids = ", ".join(name for batch in group for name in batch.ids)
        raise TrainingError(f"step {step + 1}: a gradient is not finite for the rows {ids}")
    share = rate_share(settings, step, steps)
    for entry in optimizer.param_groups:
        entry["lr"] = entry["full_rate"] * share
    optimizer.step()
    return sums


def in_groups(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    """Runs of `size` batches; the last may be shorter."""
    group: list[Batch] = []
    for batch in batches:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
