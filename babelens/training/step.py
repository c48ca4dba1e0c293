"""One step of the optimiser: batches in, losses and gradients, new weights.

A step is made on `training.batch` x `training.accumulate` rows, over all processes. What is equal to what:

- The head's loss, and its gradient, is the mean over all rows of the step (with `reduction="sum"` the sum), however
  they are cut and on however many processes they are computed.
- The alignment is a mean over all anchors of the step. The negatives of an anchor are among the rows that are computed
  at the same time, on all processes: with `accumulate` above 1 there are fewer than in a step on one whole batch, and
  the loss is another one. With `cached_gradients` they are those of the whole step: loss and gradient are the same.
- Both hold where rows do not meet otherwise: dropout is drawn anew for each part on each process, and batch
  normalisation that is not frozen sees the rows of one part on one process.
"""

import math
from collections.abc import Mapping
from contextlib import nullcontext
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from babelens.models.batch import Batch
from babelens.models.memory import out_of_memory
from babelens.models.tagger import Tagger, Terms
from babelens.modules.alignment import Pairs, gather
from babelens.training.errors import OutOfMemory, TrainingError
from babelens.training.explosion import ExplosionWatch
from babelens.training.optimizer import gradient_sum, rate_share
from babelens.training.processes import gather_objects
from babelens.training.recipe import Training


class Made(NamedTuple):
    """What a step made: its losses by name over all processes; whether one of them was asked to stop; any news."""

    losses: dict[str, float]
    stopping: bool = False
    note: str | None = None


class Pool(NamedTuple):
    """Batches whose texts and pictures are compared with one another, and with those of the other processes.

    `groups` and `present` are of the rows of all processes, one process after the other, each filled up to `size`;
    `rows` is the number of rows that count.
    """

    batches: list[Batch]
    groups: Tensor
    present: Tensor
    size: int
    rows: int


class Cached(NamedTuple):
    """The alignments of a pool, and what their gradient is for the vectors of each of its batches."""

    losses: dict[str, Tensor]
    gradients: list[dict[str, Pairs]]


class Optimization:
    """Makes the steps of a run.

    `limit` is the number of rows that memory holds at a time, None as long as it has not run out.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: Training,
        steps: int,
    ) -> None:
        self.accelerator = accelerator
        self.model = model
        self.optimizer = optimizer
        self.settings = settings
        self.steps = steps
        self.limit: int | None = None
        self._tagger: Tagger = accelerator.unwrap_model(model)
        self.watch = ExplosionWatch()

    def step(self, group: list[Batch], number: int, *, stopping: bool = False) -> Made:
        """Make step `number`, from 0, on the batches that this process has of it; all processes have as many.

        Random numbers (dropout) are drawn from (seed, step), so that a run that was stopped goes on exactly.

        Raises:
            TrainingError: the loss or a gradient is not finite (the weights are then as before the step), or the loss
                has exploded.
            OutOfMemory: memory does not hold the batch.
        """
        note = None
        while True:
            statistics = running_statistics(self.model)
            try:
                values = self._gradients(self._pools(group), number, stopping)
                break
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                shortage = str(error).partition("\n")[0] or type(error).__name__
            # Only here is the error gone, and with it what the failed attempt held.
            put_back(statistics)
            note = self._halve(group, number, shortage)
        gradient, stop = values.pop("gradient"), values.pop("stopping")
        self._check(values, gradient, group, number)
        share = rate_share(self.settings, number, self.steps)
        for entry in self.optimizer.param_groups:
            entry["lr"] = entry["full_rate"] * share
        self.optimizer.step()
        return Made(values, stop > 0, note)

    def _pools(self, group: list[Batch]) -> list[Pool]:
        """The batches of a step by what is compared, each cut to what memory holds."""
        together = [group] if self.settings.cached_gradients else [[batch] for batch in group]
        cut = [[part for batch in own for part in cut_batch(batch, self.limit)] for own in together]
        return over_processes(self.accelerator, cut)

    def _gradients(self, pools: list[Pool], number: int, stopping: bool) -> dict[str, float]:
        """Leave the gradients of a step; its losses by name, their sum, and whether anyone is to stop."""
        self.optimizer.zero_grad(set_to_none=True)
        processes, tagger = self.accelerator.num_processes, self._tagger
        rows, present = sum(pool.rows for pool in pools), torch.stack([pool.present.sum() for pool in pools]).sum()
        task: dict[str, Tensor] = {}
        aligned: dict[str, Tensor] = {}
        part = 0
        for pool in pools:
            cached = self._cached(pool, present, number, part)
            for place, batch in enumerate(pool.batches):
                last = pool is pools[-1] and batch is pool.batches[-1]
                with nullcontext() if last else self.accelerator.no_sync(self.model):
                    terms = self._terms(batch, number, part)
                    counts = 0.0 if batch.stand_in else 1.0
                    own = {name: tagger.reduce(counts * values.sum(), rows) for name, values in terms.rows.items()}
                    if cached is None:
                        compared = self._compare(terms.pairs, pool, present)
                        loss = tagger.weigh(own, compared).total
                        _add(aligned, compared)
                    else:
                        loss = tagger.weigh(own, {}).total + _product(terms.pairs, cached.gradients[place])
                    # Over several processes the mean of the gradients is taken, and their sum is wanted.
                    self.accelerator.backward(processes * loss)
                _add(task, own)
                part += 1
            _add(aligned, {} if cached is None else cached.losses)
        losses = tagger.weigh(task, aligned)
        found = {"total": losses.total, **losses.parts, "gradient": self._clip() / processes}
        found["stopping"] = torch.tensor(float(stopping), device=losses.total.device)
        exact = torch.float32 if losses.total.device.type == "mps" else torch.float64
        summed = self.accelerator.reduce(torch.stack([value.to(exact) for value in found.values()]), "sum")
        assert isinstance(summed, Tensor)
        return dict(zip(found, summed.tolist(), strict=True))

    def _terms(self, batch: Batch, number: int, part: int) -> Terms:
        """What the model makes of a batch, the same each time."""
        torch.manual_seed(draws(self.settings.seed, number, part, self.accelerator.process_index))
        return self.model(batch.to(self.accelerator.device))

    def _compare(self, pairs: Mapping[str, Pairs], pool: Pool, present: Tensor) -> dict[str, Tensor]:
        """This process' share of the alignments of a pool, of all its vectors."""
        whole = {name: Pairs(*gather(torch.cat(own, 1), pool.size).chunk(2, 1)) for name, own in pairs.items()}
        losses = self._tagger.backbone.alignments(whole, pool.groups, pool.present, present)
        return {name: loss / self.accelerator.num_processes for name, loss in losses.items()}

    def _cached(self, pool: Pool, present: Tensor, number: int, part: int) -> Cached | None:
        """The alignments of a pool of several batches, by a first pass without gradients (Gao et al., 2021, GradCache).

        The loss over all vectors gives the gradient of each vector; in a second pass, which draws the same random
        numbers, each batch gets its own as if it had been computed with all the others.
        """
        if len(pool.batches) == 1 or not self._tagger.model.backbone.aligned:
            return None
        statistics = running_statistics(self.model)
        with torch.no_grad():
            seen = [self._terms(batch, number, part + place).pairs for place, batch in enumerate(pool.batches)]
        put_back(statistics)
        leaves = [
            {name: Pairs(*(vectors.requires_grad_() for vectors in own)) for name, own in pairs.items()}
            for pairs in seen
        ]
        joined = {
            name: Pairs(*(torch.cat(vectors) for vectors in zip(*(pairs[name] for pairs in leaves), strict=True)))
            for name in leaves[0]
        }
        losses = self._compare(joined, pool, present)
        self._tagger.weigh({}, losses).total.backward()
        return Cached(losses, [{name: Pairs(*map(_gradient, own)) for name, own in pairs.items()} for pairs in leaves])

    def _clip(self) -> Tensor:
        """Clip the gradients where that is asked for; gives what is finite if and only if all of them are."""
        parameters = list(self.model.parameters())
        if self.settings.clip is None:
            return gradient_sum(parameters)
        norm = self.accelerator.clip_grad_norm_(parameters, self.settings.clip)
        assert norm is not None
        return norm

    def _check(self, losses: dict[str, float], gradient: float, group: list[Batch], number: int) -> None:
        fault = None
        if not all(math.isfinite(value) for value in losses.values()):
            found = ", ".join(f"{name} {value:g}" for name, value in losses.items())
            fault = f"the loss is not finite ({found})"
        elif self.accelerator.scaler is None and not math.isfinite(gradient):
            fault = "a gradient is not finite"
        if fault is not None:
            own = [name for batch in group if not batch.stand_in for name in batch.ids]
            ids = [name for names in gather_objects(own) for name in names]
            raise TrainingError(f"step {number + 1}: {fault} for the rows {', '.join(ids)}")
        self.watch.see(losses["total"], number + 1)

    def _halve(self, group: list[Batch], number: int, shortage: str) -> str:
        """Compute half as many rows at a time from now on; says so."""
        parts = [part for batch in group for part in cut_batch(batch, self.limit)]
        worst = max(parts, key=lambda part: part.text.mask.numel())
        count = max(len(part.ids) for part in parts)
        where = (
            f"step {number + 1}: out of memory ({shortage}) with {len(worst.ids)} rows of up to "
            f"{worst.text.mask.shape[1]} words and pictures of {[tuple(view.shape) for view in worst.pixels]}"
        )
        alone = self.accelerator.num_processes == 1
        if not (self.settings.halve and alone) or count == 1:
            ways = "set training.batch lower and training.accumulate higher, with training.cached_gradients=true"
            if alone and not self.settings.halve:
                ways += ", or training.halve=true"
            raise OutOfMemory(f"{where} (rows {', '.join(worst.ids)}); {ways}")
        self.limit = (count + 1) // 2
        self.optimizer.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return f"{where}; from now on {self.limit} at a time, in steps of the same rows"


def over_processes(accelerator: Accelerator, cut: list[list[Batch]]) -> list[Pool]:
    """The pools of a step, of what each process has of them."""
    device = accelerator.device
    groups = [torch.cat([batch.groups for batch in batches]) for batches in cut]
    present = [torch.cat([batch.present for batch in batches]) for batches in cut]
    rows = [sum(len(batch.ids) for batch in batches if not batch.stand_in) for batches in cut]
    if accelerator.num_processes == 1:
        return [
            Pool(batches, own.to(device), there.to(device), len(own), count)
            for batches, own, there, count in zip(cut, groups, present, rows, strict=True)
        ]
    pools = []
    facts = zip(groups, present, rows, strict=True)
    every = gather_objects([(own.tolist(), there.tolist(), count) for own, there, count in facts])
    for batches, *parts in zip(cut, *every, strict=True):
        size = max(len(own) for own, _, _ in parts)
        filled = [own + [-1] * (size - len(own)) for own, _, _ in parts]
        shown = [there + [False] * (size - len(there)) for _, there, _ in parts]
        whole = torch.tensor(filled, device=device).flatten(), torch.tensor(shown, device=device).flatten()
        pools.append(Pool(batches, *whole, size, sum(count for _, _, count in parts)))
    return pools


def cut_batch(batch: Batch, limit: int | None) -> list[Batch]:
    """A batch in equal parts of at most `limit` rows."""
    rows = len(batch.ids)
    if limit is None or rows <= limit:
        return [batch]
    parts = math.ceil(rows / limit)
    cuts = [rows * part // parts for part in range(parts + 1)]
    return [batch.part(start, stop) for start, stop in pairwise(cuts)]


def draws(seed: int, step: int, part: int, process: int) -> int:
    """The seed of the random numbers of one part of a step in one process."""
    own = (seed << 32) + step
    if part == process == 0:
        return own
    return int(np.random.SeedSequence(own, spawn_key=(part, process)).generate_state(1, np.uint64)[0])


def running_statistics(model: torch.nn.Module) -> list[tuple[Tensor, Tensor]]:
    """The statistics that batch normalisation gathers in training, each with a copy."""
    norms = (module for module in model.modules() if isinstance(module, _BatchNorm) and module.training)
    return [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()]


def put_back(statistics: list[tuple[Tensor, Tensor]]) -> None:
    """Undo what a pass did to the statistics of batch normalisation."""
    for buffer, before in statistics:
        buffer.copy_(before)


def _add(sums: dict[str, Tensor], parts: Mapping[str, Tensor]) -> None:
    for name, value in parts.items():
        sums[name] = sums.get(name, 0.0) + value.detach()


def _gradient(vectors: Tensor) -> Tensor:
    assert vectors.grad is not None
    return vectors.grad


def _product(pairs: Mapping[str, Pairs], gradients: Mapping[str, Pairs]) -> Tensor:
    """What has the cached gradients as its gradient for the vectors."""
    products = [
        (vectors * gradient).sum()
        for name, own in pairs.items()
        for vectors, gradient in zip(own, gradients[name], strict=True)
    ]
    return torch.stack(products).sum()
