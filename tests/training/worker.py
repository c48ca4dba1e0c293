"""What the tests of several processes run in each of them, and what they compare it with in one.

A plain script: a process of a group runs it by its path, with RANK, WORLD and FOLDER set, and leaves FOLDER/RANK.pt.
"""

import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import torch
from PIL import Image

from babelens.data import Picture, read_corpus
from babelens.models.batch import Row, RowBatches
from babelens.models.checkpoint import new_tagger
from babelens.models.spec import Model
from babelens.modules.alignment import Contrastive, gather
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.modules.late import Late, View
from babelens.modules.text.transformer import Transformer
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.resnet import Resnet
from babelens.schema import Entity, Example, InputError, TagSet
from babelens.training.errors import Interrupted
from babelens.training.loop import train
from babelens.training.optimizer import make_optimizer
from babelens.training.processes import ending_together, gather_objects, in_step, make_accelerator
from babelens.training.progress import Report
from babelens.training.recipe import Recipe, Training
from babelens.training.sampler import shares
from babelens.training.step import Optimization

TYPES = TagSet(("LOC", "PER"))
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def model(dropout=0.0, reduction="mean"):
    """A 2M-NER with tiny encoders, one of them with frozen batch norm."""
    dropped = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    text = {"model_type": "bert", **SIZES, **dropped, "max_position_embeddings": 20}
    regions = (
        Clip(scratch={**SIZES, "attention_dropout": dropout, "image_size": 16, "patch_size": 8}),
        Resnet(scratch={"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "size": 32}),
    )
    fusion = CrossAttention(heads=2, dropout=dropout)
    views = tuple(View(encoder, fusion, Contrastive()) for encoder in regions)
    backbone = Late(Transformer(scratch=text, vocabulary=200), views)
    return Model(backbone, alpha=0.8, dropout=dropout, reduction=reduction, factor=2.0)


def opened(key):
    red, green, blue = (int(part) for part in key.split(","))
    picture = Image.new("RGB", (20, 24), (red, green, blue))
    picture.paste((255, 255, 255), (0, 0, 5 + red // 20, 9))
    return Picture(key, picture, "used")


def _row(number, words, keys=(), group=None):
    sentence = tuple(f"w{(number * 7 + place * 3) % 23}" for place in range(words))
    entities = (Entity(0, 1, "PER"), *([Entity(2, 4, "LOC")] if words > 3 else []))
    return Row(Example(str(number), sentence, entities, group=group), tuple(keys), opened)


# Of all lengths (one of several windows); some without a picture, some that share one, some that are translations.
ROWS = [
    _row(0, 2, ["9,9,9"]),
    _row(1, 3, ["200,9,9"], "t"),
    _row(2, 3),
    _row(3, 4, ["9,200,9"], "t"),
    _row(4, 5, ["90,90,9"]),
    _row(5, 6, ["200,9,9", "1,2,3"]),
    _row(6, 6, ["9,9,200"]),
    _row(7, 8, ["9,9,9"]),
    _row(8, 9),
    _row(9, 30, ["77,9,140"]),
    _row(10, 12, ["250,250,9"]),
]
BARE = [_row(number, 2 + number) for number in range(5)]


def tagger(declared, dtype=torch.float64):
    torch.manual_seed(4)
    made = new_tagger(declared, TYPES, lambda: [row.example.words for row in ROWS])
    with torch.no_grad():
        for value in made.parameters():
            value.add_(0.02 * torch.randn_like(value))
    return made.to(dtype)


def batches(made, rows, settings, process=0, processes=1):
    """What one of several processes has of a step."""
    own = RowBatches(rows, made.collator(), labelled=True)
    return [own[share] for share in shares(range(len(rows)), settings.batch, process=process, processes=processes)]


def prepared(settings, declared=None):
    """A process' part of a run: its tagger and what makes the steps."""
    made = tagger(declared or model())
    accelerator = make_accelerator(made, settings, "cpu")
    optimizer = make_optimizer(made, settings)
    wrapped, optimizer = accelerator.prepare(made, optimizer)
    return made.train(), Optimization(accelerator, wrapped.train(), optimizer, settings, steps=9)


def run(settings, steps, declared=None):
    """Make steps on lists of rows; gives the losses of each, the gradients of the last, and the weights after it."""
    made, optimization = prepared(settings, declared)
    place = {"process": optimization.accelerator.process_index, "processes": optimization.accelerator.num_processes}
    done = [
        optimization.step(batches(made, rows, settings, **place), number).losses for number, rows in enumerate(steps)
    ]
    gradients = {name: value.grad for name, value in made.named_parameters() if value.requires_grad}
    weights = {name: value.detach().clone() for name, value in made.state_dict().items()}
    return {"losses": done, "gradients": gradients, "weights": weights}


def settings(**fields):
    return Training(precision="fp32", rate=1e-2, seed=5, **fields)


# Which settings, which rows in each step, which model.
RUNS = {
    "uneven": (settings(batch=11), [ROWS], model()),
    "fewer rows than processes": (settings(batch=8), [ROWS[3:6]], model()),
    "one row": (settings(batch=8), [ROWS[3:4]], model()),
    "sum": (settings(batch=11), [ROWS], model(reduction="sum")),
    "accumulated": (settings(batch=4, accumulate=3), [ROWS], model()),
    "cached": (settings(batch=4, accumulate=3, cached_gradients=True), [ROWS], model()),
    "cached, few rows": (settings(batch=2, accumulate=3, cached_gradients=True), [ROWS[3:6]], model()),
    "clipped": (settings(batch=11, clip=0.1), [ROWS], model()),
    "no pictures": (settings(batch=8), [BARE], model()),
    "with pictures, without, with": (settings(batch=11, decay=0.1), [ROWS, BARE, ROWS], model()),
}


def gathered():
    """Gradients through `gather` for a function of all rows that has no symmetry."""
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    own = ROWS_OF_ALL[rank::world].clone().requires_grad_()
    size = -(-len(ROWS_OF_ALL) // world)
    every = gather(own, size)
    (every.cumsum(0).sin() * every).sum().div(world).backward()
    return {"every": every.detach(), "gradient": own.grad}


ROWS_OF_ALL = torch.arange(21, dtype=torch.float64).reshape(7, 3).cos()


def not_finite():
    """A weight that is no number in one process alone."""
    made, optimization = prepared(settings(batch=11))
    accelerator = optimization.accelerator
    step = batches(made, ROWS, optimization.settings, accelerator.process_index, accelerator.num_processes)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    if accelerator.process_index == 1:
        step[0].text.ids[0, 0] = 0  # the first sub-token of this process' first row alone is [PAD], whose row is NaN
        with torch.no_grad():
            made.backbone.text.encoder.embeddings.word_embeddings.weight[0] = torch.nan
    message = message_of(lambda: optimization.step(step, 3))
    same = all(torch.equal(value, before[name]) for name, value in made.state_dict().items() if "word_emb" not in name)
    return {"message": message, "same": same}


def stopping():
    """One process is asked to stop."""
    made, optimization = prepared(settings(batch=11))
    accelerator = optimization.accelerator
    own = accelerator.process_index, accelerator.num_processes
    asked = [accelerator.process_index == 1, False]
    found = [
        optimization.step(batches(made, ROWS, optimization.settings, *own), number, stopping=stop).stopping
        for number, stop in enumerate(asked)
    ]
    return {"stopping": found, "processes": gather_objects(own[0])}


def lost_rows():
    """One process cannot read its second item."""
    accelerator = make_accelerator(tagger(model()), settings(), "cpu")

    def items():
        yield 1
        if accelerator.process_index == 1:
            raise OSError("no such row")
        yield 2
        yield 3

    seen = []

    def read():
        for item in in_step(items()):
            seen.append(item)

    return {"message": message_of(read), "seen": seen, "whole": list(in_step(iter([4, 5])))}


def gone():
    """One process ends in the middle of a step."""
    made, optimization = prepared(settings(batch=11))
    accelerator = optimization.accelerator
    step = batches(made, ROWS, optimization.settings, accelerator.process_index, accelerator.num_processes)
    if accelerator.process_index == 1:
        os._exit(3)

    def make():
        with ending_together():
            optimization.step(step, 0)

    return {"message": message_of(make)}


SENTENCES = [
    ("1", "Anna/B-PER visited/O Paris/B-LOC"),
    ("2", "Paris/B-PER sang/O in/O Anna/B-LOC"),
    ("1", "Le/O maire/O de/O Lyon/B-LOC"),
    ("3", "Real/B-PER Madrid/I-PER won/O"),
    ("9", "Nobody/O came/O"),
    ("3", "Siemens/B-PER hired/O Anna/B-PER Lindqvist/I-PER"),
    ("2", "Bonn/B-LOC"),
]


def write_corpus(folder):
    """Seven sentences with three pictures; one more is missing."""
    (folder / "images").mkdir()
    for number in (1, 2, 3):
        opened(f"{80 * number},10,{200 - 60 * number}").image.save(folder / "images" / f"{number}.jpg")
    rows = [
        f"IMGID:{image}\n" + "\n".join(word.replace("/", "\t") for word in text.split()) for image, text in SENTENCES
    ]
    (folder / "train.txt").write_text("\n\n".join(rows) + "\n", encoding="utf-8")


RECIPE = Recipe(model(), settings(epochs=3, batch=2, accumulate=2, cached_gradients=True, save_minutes=0, average=0.5))


class Stop(Report):
    """Sends the process that reports a termination signal in its fourth step."""

    def __init__(self):
        self.steps = 0

    def step(self, losses, best):
        self.steps += 1
        if self.steps == 4:
            os.kill(os.getpid(), signal.SIGTERM)


def trained(folder, stopped):
    """A whole training, stopped and gone on with where that is asked for."""
    corpus, out = read_corpus(folder / "train.txt"), folder / "run"
    message = None
    if stopped:
        try:
            train(RECIPE, corpus, corpus, out, device="cpu", report=Stop())
        except Interrupted as error:
            message = str(error)
    done = train(RECIPE, corpus, corpus, out, device="cpu", resume=stopped)
    again = message_of(lambda: train(RECIPE, corpus, corpus, out, device="cpu"))
    history = [{name: value for name, value in entry.items() if name != "seconds"} for entry in done.history]
    return {"message": message, "history": history, "best": done.best, "epoch": done.epoch, "again": again}


def message_of(act):
    """The message of the error that ends an act."""
    try:
        act()
    except (InputError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return None


CASES_OF_GROUPS = {
    "gathered": gathered,
    "not finite": not_finite,
    "stopping": stopping,
    "lost rows": lost_rows,
}


def main(rank, world, folder):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), LOCAL_WORLD_SIZE=str(world))
    os.environ["BABELENS_CACHE"] = f"{folder}/cache"
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    found = {}
    for name in [*RUNS, *CASES_OF_GROUPS]:
        found[name] = run(*RUNS[name]) if name in RUNS else CASES_OF_GROUPS[name]()
    found["trained"] = trained(Path(folder), stopped=True)
    torch.save(found, f"{folder}/{rank}.pt")
    start = time.monotonic()
    found = gone()  # the last: it ends the group
    torch.save({**found, "seconds": time.monotonic() - start}, f"{folder}/{rank}-left.pt")
    os._exit(0)


if __name__ == "group":
    main(RANK, WORLD, FOLDER)
