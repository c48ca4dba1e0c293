"""Which parameters are trained by which rule at which rate, and how the rate falls."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from babelens.training.recipe import RecipeError, Training


def make_optimizer(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba, 2015) or AdamW over the trainable parameters, fused where the device allows.

    Parameters are grouped by the longest prefix of their name in `training.rates`; biases and norms do not decay.

    Raises:
        RecipeError: a prefix in `training.rates` fits no parameter.
    """
    groups: dict[tuple[str, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            fitting = [prefix for prefix in training.rates if name.startswith(prefix)]
            prefix = max(fitting, key=len, default="")
            groups.setdefault((prefix, parameter.ndim > 1), []).append(parameter)
    unused = set(training.rates) - {prefix for prefix, _ in groups}
    if unused:
        parts = sorted({name.split(".")[0] for name, _ in model.named_parameters()})
        raise RecipeError(
            f"training.rates: expected prefixes of parameters ({', '.join(parts)}), found {sorted(unused)}"
        )
    kind = torch.optim.Adam if training.optimizer == "adam" else torch.optim.AdamW
    return kind(
        [
            {
                "params": parameters,
                "lr": training.rates.get(prefix, training.rate),
                "full_rate": training.rates.get(prefix, training.rate),
                "weight_decay": training.decay if wide else 0.0,
            }
            for (prefix, wide), parameters in groups.items()
        ],
        fused=True,
    )


def rate_share(training: Training, step: int, steps: int) -> float:
    """The share of the full learning rate at a step: rising over the warm-up, then as the schedule says.

    "linear" falls to zero at the end, "constant" stays, "step" falls by a factor at the start of some epochs.
    """
    warm = training.warmup * steps
    if step < warm:
        return (step + 1) / (warm + 1)
    if training.schedule == "constant":
        return 1.0
    if training.schedule == "step":
        epoch = step * training.epochs // steps
        return training.step_factor ** (epoch // training.step_epochs)
    return max(0.0, (steps - step) / max(1.0, steps - warm))


class WeightAverage:
    """A running mean of the weights (Polyak averaging with exponential decay), warmed up over the first steps."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.mean = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after `step` steps; numbers that are no floats are copied."""
        keep = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.mean[name].lerp_(value, 1 - keep)
            else:
                self.mean[name].copy_(value)


def gradient_sum(parameters: Iterable[Tensor]) -> Tensor:
    """The sum of all gradients: not finite if any of them is not.

    It tells no more than that, in one pass over memory; norms of infinite order took a third of a step on a processor.
    """
    sums = [parameter.grad.sum() for parameter in parameters if parameter.grad is not None]
    return torch.stack(sums).sum()


@contextmanager
def averaged(model: nn.Module, average: WeightAverage | None) -> Iterator[None]:
    """Put the averaged weights into the model for a while."""
    if average is None:
        yield
        return
    own = {name: value.detach().clone() for name, value in model.state_dict().items()}
    model.load_state_dict(average.mean)
    try:
        yield
    finally:
        model.load_state_dict(own)
