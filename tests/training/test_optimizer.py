import pytest
import torch
from torch import nn

from babelens.training.optimizer import WeightAverage, make_optimizer, rate_share
from babelens.training.recipe import RecipeError, Training


def model() -> nn.Module:
    return nn.ModuleDict({"text": nn.Linear(2, 2), "head": nn.Linear(2, 1)})


def test_rates_go_by_the_longest_fitting_prefix_and_only_matrices_decay():
    training = Training(rate=1e-3, rates={"head": 1e-2, "head.bias": 1e-1}, decay=0.01, optimizer="adamw")
    made = {
        (group["lr"], group["weight_decay"]): [tuple(p.shape) for p in group["params"]]
        for group in make_optimizer(model(), training).param_groups
    }
    assert made == {
        (1e-3, 0.01): [(2, 2)],
        (1e-3, 0.0): [(2,)],
        (1e-2, 0.01): [(1, 2)],
        (1e-1, 0.0): [(1,)],
    }


def test_a_prefix_that_fits_nothing_is_refused_by_name():
    with pytest.raises(RecipeError, match=r"expected prefixes of parameters \(head, text\), found \['heads'\]"):
        make_optimizer(model(), Training(rates={"heads": 1.0}))


def test_frozen_parameters_are_left_out():
    frozen = model()
    frozen["text"].requires_grad_(False)
    assert sum(len(group["params"]) for group in make_optimizer(frozen, Training()).param_groups) == 2


def test_the_paper_rate_falls_linearly_from_full_to_zero():
    shares = [rate_share(Training(), step, 4) for step in range(5)]
    assert shares == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_warm_up_rises_to_the_full_rate():
    shares = [rate_share(Training(warmup=0.5), step, 8) for step in range(8)]
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 0.75, 0.5, 0.25])


def test_a_rate_in_steps_falls_as_torch_has_it():
    training = Training(epochs=5, schedule="step", step_factor=0.8, step_epochs=2)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.8)
    expected = []
    for _ in range(5):
        expected += [optimizer.param_groups[0]["lr"]] * 3
        optimizer.step()
        scheduler.step()
    assert [rate_share(training, step, 15) for step in range(15)] == pytest.approx(expected)


def test_weight_average_is_the_running_mean_by_hand():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    average = WeightAverage(layer, decay=0.15)
    nn.init.constant_(layer.weight, 2.0)
    average.update(layer, step=1)
    assert average.mean["weight"].item() == pytest.approx(1.0 * 0.15 + 2.0 * 0.85)
    average = WeightAverage(layer, decay=0.999)
    nn.init.constant_(layer.weight, 5.0)
    average.update(layer, step=1)
    keep = 2 / 11
    assert average.mean["weight"].item() == pytest.approx(2.0 * keep + 5.0 * (1 - keep))
    assert torch.is_tensor(average.mean["weight"])
