"""One process: steps against plain autograd on the whole batch, in 64 bits."""

import importlib.util
import json
import math
from pathlib import Path

import msgspec
import pytest
import torch

from babelens.data import read_corpus
from babelens.models.batch import RowBatches, tie
from babelens.models.memory import out_of_memory
from babelens.models.tagger import Tagger
from babelens.training.errors import OutOfMemory, TrainingError
from babelens.training.explosion import ExplosionWatch, Means
from babelens.training.loop import train
from babelens.training.progress import Report
from babelens.training.recipe import Recipe
from babelens.training.step import Optimization, cut_batch, draws

spec = importlib.util.spec_from_file_location("worker", Path(__file__).with_name("worker.py"))
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)

ROWS, settings = worker.ROWS, worker.settings


def plain(rows, declared=None):
    """Losses and gradients of a batch by the tagger alone."""
    tagger = worker.tagger(declared or worker.model()).train()
    losses = tagger.loss(tagger.collator()(rows, labelled=True))
    losses.total.backward()
    named = {"total": losses.total, **losses.parts}
    return (
        {name: value.item() for name, value in named.items()},
        {name: value.grad for name, value in tagger.named_parameters() if value.requires_grad},
    )


def close(found, expected, rtol=1e-5, atol=1e-8):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name] is None) == (value is None), name
        if value is not None:
            torch.testing.assert_close(
                found[name], value, rtol=rtol, atol=atol, msg=lambda text, n=name: f"{n}: {text}"
            )


@pytest.mark.parametrize(
    "fields",
    [{"batch": 11}, *({"batch": size, "accumulate": 11, "cached_gradients": True} for size in (1, 4, 6))],
    ids=str,
)
def test_cached_gradients_make_any_cut_equal_to_the_whole_batch(fields):
    losses, gradients = plain(ROWS)
    found = worker.run(settings(**fields), [ROWS])
    assert found["losses"] == [pytest.approx(losses, rel=1e-6)]
    close(found["gradients"], gradients)


def test_without_them_the_head_is_equal_and_negatives_come_from_the_rows_of_a_part():
    whole, _ = plain(ROWS)
    found = worker.run(settings(batch=4, accumulate=3), [ROWS])["losses"][0]
    assert found["tags"] == pytest.approx(whole["tags"], rel=1e-6)
    tagger = worker.tagger(worker.model()).train()
    # Rows 3 and 5 are tied by row 1, of another part: groups are those of the whole step.
    groups = tie([row.marks for row in ROWS])
    parts = [
        tagger.collator()(ROWS[rows], labelled=True, groups=groups[rows])
        for rows in (slice(0, 3), slice(3, 7), slice(7, 11))
    ]
    anchors = [int(part.present.sum()) for part in parts]
    for view in ("alignment/clip", "alignment/resnet"):
        each = [tagger.loss(part).parts[view].item() for part in parts]
        expected = sum(count * loss for count, loss in zip(anchors, each, strict=True)) / sum(anchors)
        assert found[view] == pytest.approx(expected, rel=1e-6)
        assert abs(found[view] - whole[view]) > 0.1


def test_a_sum_over_rows_is_one_over_all_parts():
    declared = worker.model(reduction="sum")
    losses, gradients = plain(ROWS, declared)
    found = worker.run(settings(batch=4, accumulate=3, cached_gradients=True), [ROWS], declared)
    assert found["losses"] == [pytest.approx(losses, rel=1e-6)]
    close(found["gradients"], gradients)


def test_both_passes_draw_the_same_random_numbers(monkeypatch):
    made, optimization = worker.prepared(
        settings(batch=4, accumulate=3, cached_gradients=True), worker.model(dropout=0.3)
    )
    seen = []
    kept = Optimization._terms

    def noted(self, batch, number, part):
        terms = kept(self, batch, number, part)
        seen.append((part, {name: torch.cat(own).detach().clone() for name, own in terms.pairs.items()}))
        return terms

    monkeypatch.setattr(Optimization, "_terms", noted)
    step = worker.batches(made, ROWS, optimization.settings)
    optimization.step(step, 0)
    assert [part for part, _ in seen] == [0, 1, 2, 0, 1, 2]
    for (_, first), (_, second) in zip(seen[:3], seen[3:], strict=True):
        assert first.keys() == {"clip", "resnet"} == second.keys()
        assert all(torch.equal(value, second[name]) for name, value in first.items())
    again = worker.run(settings(batch=4, accumulate=3, cached_gradients=True), [ROWS], worker.model(dropout=0.3))
    close(again["gradients"], {name: value.grad for name, value in made.named_parameters()}, rtol=0, atol=0)


def test_parts_steps_and_processes_draw_different_numbers_and_one_process_those_of_seed_and_step():
    assert draws(7, 3, 0, 0) == (7 << 32) + 3
    many = [
        draws(seed, step, part, process) for seed in (0, 1) for step in (0, 1) for part in (0, 1) for process in (0, 1)
    ]
    assert len(set(many)) == 16
    for seed in many:
        torch.manual_seed(seed)


def test_the_first_pass_leaves_drifting_statistics_as_they_were():
    import msgspec

    declared = worker.model()
    clip, resnet = declared.backbone.views
    drifting = msgspec.structs.replace(resnet.regions, norm="drifting", trained=False)
    views = (clip, msgspec.structs.replace(resnet, regions=drifting))
    declared = msgspec.structs.replace(declared, backbone=msgspec.structs.replace(declared.backbone, views=views))
    before = worker.tagger(declared).state_dict()
    once, cached = (
        worker.run(settings(batch=4, accumulate=3, cached_gradients=cached), [ROWS], declared)["weights"]
        for cached in (False, True)
    )
    means = [name for name in before if "running_mean" in name]
    assert means and any(not torch.equal(before[name], once[name]) for name in means)
    for name in before:
        if "running" in name or "num_batches" in name:
            torch.testing.assert_close(cached[name], once[name], rtol=0, atol=0)


@pytest.mark.parametrize("cut", [(0, 4), (4, 11), (9, 10), (2, 3), (0, 11)])
def test_a_part_of_a_batch_is_the_batch_of_its_rows(cut):
    tagger = worker.tagger(worker.model()).eval()
    collator = tagger.collator()
    whole = collator(ROWS, labelled=True)
    part, own = whole.part(*cut), collator(ROWS[slice(*cut)], labelled=True)
    assert part.ids == own.ids and part.status == own.status
    assert part.present.equal(own.present) and [len(view) for view in part.pixels] == [len(view) for view in own.pixels]
    words = own.text.mask.shape[1]
    with torch.no_grad():
        found, expected = tagger.emissions(part)[:, :words], tagger.emissions(own)
        torch.testing.assert_close(found * own.text.mask[..., None], expected * own.text.mask[..., None])
        losses, others = tagger(part), tagger(own)
    torch.testing.assert_close(losses.rows["tags"], others.rows["tags"])
    for name, pairs in losses.pairs.items():
        torch.testing.assert_close(torch.cat(pairs), torch.cat(others.pairs[name]))


def test_batches_are_cut_evenly():
    whole = worker.tagger(worker.model()).collator()(ROWS, labelled=True)
    assert [len(part.ids) for part in cut_batch(whole, 4)] == [3, 4, 4]
    assert cut_batch(whole, 11) == [whole] == cut_batch(whole, None)


class Shortage:
    """Lets a model run out of memory above a number of rows, in its forward or in its backward pass."""

    def __init__(self, tagger, rows, error, backward=False):
        self.rows, self.error, self.calls = rows, error, []
        self.forward = type(tagger).forward
        self.tagger, self.backward = tagger, backward

    def __call__(self, batch):
        self.calls.append(len(batch.ids))
        terms = self.forward(self.tagger, batch)
        if len(batch.ids) > self.rows:
            if not self.backward:
                raise self.error
            if terms.rows["tags"].requires_grad:
                terms.rows["tags"].register_hook(self.fail)
        return terms

    def fail(self, gradient):
        raise self.error


GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore.")
CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
)


def short(monkeypatch, rows, error, *, backward=False, **fields):
    made, optimization = worker.prepared(settings(**fields))
    shortage = Shortage(made, rows, error, backward)
    monkeypatch.setattr(made, "forward", shortage)
    return made, optimization, shortage


@pytest.mark.parametrize(
    ("error", "backward", "fields"),
    [
        (GPU, False, {"batch": 11}),
        (GPU, True, {"batch": 11}),
        (CPU, True, {"batch": 6, "accumulate": 2}),
        (MemoryError(), False, {"batch": 6, "accumulate": 2}),
    ],
)
def test_a_step_that_memory_does_not_hold_is_made_in_halves_and_equal(monkeypatch, error, backward, fields):
    undisturbed = worker.run(settings(**fields), [ROWS, ROWS])
    made, optimization, shortage = short(monkeypatch, 3, error, backward=backward, **fields)
    step = worker.batches(made, ROWS, optimization.settings)
    first, second = (optimization.step(step, number) for number in (0, 1))
    assert optimization.limit == 3 and max(shortage.calls[-11:]) <= 3
    assert "out of memory" in first.note and "from now on 3 at a time" in first.note and second.note is None
    assert [first.losses, second.losses] == [pytest.approx(own, rel=1e-6) for own in undisturbed["losses"]]
    gradients = {name: value.grad for name, value in made.named_parameters()}
    close(gradients, undisturbed["gradients"], rtol=1e-5, atol=1e-7)
    close(made.state_dict(), undisturbed["weights"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("rows", "fields"), [(0, {}), (3, {"halve": False})], ids=["one row", "not to be halved"])
def test_a_batch_that_memory_cannot_hold_is_named(monkeypatch, rows, fields):
    made, optimization, _ = short(monkeypatch, rows, GPU, batch=11, **fields)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    with pytest.raises(TrainingError) as raised:
        optimization.step(worker.batches(made, ROWS, optimization.settings), 6)
    message = str(raised.value)
    assert message.startswith("step 7: out of memory (CUDA out of memory. Tried to allocate 2.00 GiB.) with ")
    assert "words and pictures of [(" in message and "3, 16, 16)" in message and "More" not in message
    assert "training.batch lower and training.accumulate higher" in message
    assert ("training.halve=true" in message) == ("halve" in fields)
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    if fields:
        assert "11 rows of up to 30 words" in message and "(rows 0, 1, 2," in message


def test_other_errors_are_no_shortage(monkeypatch):
    made, optimization, _ = short(monkeypatch, 3, RuntimeError("shapes do not fit"), batch=11)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        optimization.step(worker.batches(made, ROWS, optimization.settings), 0)
    assert out_of_memory(CPU) and out_of_memory(GPU) and not out_of_memory(RuntimeError("shapes do not fit"))


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_ends_the_run_before_the_weights_change(monkeypatch, clip, value):
    made, optimization = worker.prepared(settings(batch=11, clip=clip))
    before = {name: weights.clone() for name, weights in made.state_dict().items()}
    made.head.start.register_hook(lambda gradient: gradient.index_fill(0, torch.tensor([2]), value))
    with pytest.raises(TrainingError, match="step 5: a gradient is not finite for the rows 0, 1, 2, 3"):
        optimization.step(worker.batches(made, ROWS, optimization.settings), 4)
    assert all(torch.equal(weights, before[name]) for name, weights in made.state_dict().items())


def test_a_loss_that_is_not_finite_is_told_with_its_terms():
    made, optimization = worker.prepared(settings(batch=4, accumulate=3))
    with torch.no_grad():
        made.head.scores.bias.fill_(math.inf)
    with pytest.raises(
        TrainingError, match=r"step 1: the loss is not finite \(total nan, tags nan, alignment/clip [\d.]+"
    ):
        optimization.step(worker.batches(made, ROWS, optimization.settings), 0)


def watch(totals):
    """The step at which a run of these losses is ended."""
    seen = ExplosionWatch()
    for step, total in enumerate(totals, 1):
        try:
            seen.see(total, step)
        except TrainingError as error:
            return step, str(error)
    return None


def test_a_loss_that_explodes_ends_the_run():
    step, message = watch([5.0] * 30 + [1.0] * 30 + [400.0 * n for n in range(20)])
    # The mean is lowest with the 0 in it, 19 / 20; it passes 95 with 400 x (1 + 2 + 3) / 20 + 16 / 20 = 120.8.
    assert step == 64 and f"step {step}: the loss has exploded" in message
    assert "mean over the last 20 steps is 120.8, and was 0.95 at its lowest" in message and "training.rate" in message


def test_a_single_outlier_and_a_model_that_knows_its_rows_by_heart_are_no_explosion():
    assert watch([5.0] * 30 + [1.0] * 30 + [1500.0] + [1.0] * 40) is None
    assert watch([20.0] * 30 + [1e-4] * 100 + [30.0] + [1e-4] * 100) is None
    assert watch([1e9] * 19) is None


def test_losses_are_scaled_in_fp16_through_both_passes(monkeypatch):
    fields = {"batch": 4, "accumulate": 3, "cached_gradients": True}
    made, optimization = worker.prepared(settings(**fields))
    monkeypatch.setattr(optimization.accelerator, "scaler", torch.amp.GradScaler("cpu", init_scale=64.0))
    monkeypatch.setattr(optimization.optimizer, "step", lambda: None)
    found = optimization.step(worker.batches(made, ROWS, optimization.settings), 0)
    expected = worker.run(settings(**fields), [ROWS])
    assert found.losses == pytest.approx(expected["losses"][0], rel=1e-6)
    close({name: value.grad / 64 for name, value in made.named_parameters()}, expected["gradients"])


class Notes(Report):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def test_a_run_goes_on_with_the_rows_that_memory_holds_and_says_so_once(monkeypatch, tmp_path):
    worker.write_corpus(tmp_path)
    corpus = read_corpus(tmp_path / "train.txt")
    recipe = Recipe(worker.model(), settings(epochs=2, batch=4))
    expected = train(recipe, corpus, corpus, tmp_path / "plain", device="cpu")
    forward, calls = Tagger.forward, []

    def short(self, batch):
        calls.append(len(batch.ids))
        if len(batch.ids) > 2:
            raise MemoryError
        return forward(self, batch)

    monkeypatch.setattr(Tagger, "forward", short)
    report = Notes()
    found = train(recipe, corpus, corpus, tmp_path / "short", device="cpu", report=report)
    for one, other in zip(found.history, expected.history, strict=True):
        assert one["losses"] == pytest.approx(other["losses"], rel=1e-5)
    assert len(report.notes) == 1 and "from now on 2 at a time" in report.notes[0]
    assert [rows for rows in calls if rows > 2] in ([4], [3])
    assert json.loads((tmp_path / "short" / "state" / "00000004" / "progress.json").read_text())["limit"] == 2
    calls.clear()
    longer = Recipe(recipe.model, settings(epochs=2, batch=4, halve=False))
    with pytest.raises(OutOfMemory, match=r"step 1: out of memory \(MemoryError\) .*training\.halve=true") as raised:
        train(longer, corpus, corpus, tmp_path / "ended", device="cpu")
    assert raised.value.exit_code == 3


def test_groups_are_numbered_over_all_rows_of_a_step():
    tagger = worker.tagger(worker.model())
    step = worker.batches(tagger, ROWS, settings(batch=4))
    groups = torch.cat([batch.groups for batch in step]).tolist()
    tied = {frozenset(n for n, group in enumerate(groups) if group == one) for one in groups}
    # 0 and 7 show one picture; 1 and 5 another; 1 and 3 are translations.
    assert frozenset({0, 7}) in tied and frozenset({1, 3, 5}) in tied and len(tied) == 8
    assert not any(batch.stand_in for batch in step)
    own = RowBatches(ROWS, tagger.collator(), labelled=True)[worker.shares([4, 5], 8, process=3, processes=4)[0]]
    assert own.stand_in and own.ids == ("4",) and own.present.tolist() == [False]


def test_an_explosion_is_measured_by_the_whole_run_though_it_was_stopped():
    before = ExplosionWatch()
    for step in range(40):
        before.see(1.0 if step < 20 else 1e-3, step + 1)
    after = ExplosionWatch(msgspec.json.decode(msgspec.json.encode(before.means), type=Means))
    for step in range(40, 80):
        after.see(0.5, step + 1)  # 500 times the lowest mean, and below the first one
    with pytest.raises(TrainingError, match="the loss has exploded"):
        for step in range(80, 120):
            after.see(2.0, step + 1)
