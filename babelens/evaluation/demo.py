"""The main job on the built-in corpus: 2M-NER and its text-only twin, with true pictures and with wrong ones."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from babelens.data import read_split
from babelens.data.postcards import Sizes, read_cards, write_postcards
from babelens.data.postcards.ceilings import Ceiling, ceilings
from babelens.data.postcards.controls import true_pictures
from babelens.data.postcards.measures import flip_rate
from babelens.evaluation.demo_report import choose_examples, in_words, show_examples, write_demo_report
from babelens.evaluation.demo_table import headline, rich_table
from babelens.evaluation.trials import SWAPPED, TRUE, Trial, rows_of, trial, try_pictures
from babelens.models.checkpoint import load_tagger
from babelens.models.spec import to_plain
from babelens.schema import InputError
from babelens.training.loop import Trained, train
from babelens.training.progress import ConsoleReport
from babelens.training.recipe import Recipe, read_recipe
from babelens.training.state import write_json

SEED = 1  # early trials that shaped the encoders showed scores of the test part of seed 0
EPOCHS = 4  # as many as fit well into the six minutes that the demo may take on two cores


@dataclass(frozen=True)
class Demo:
    """What the demo found out: the models, their figures on the test part, and what is possible there at best."""

    full: Trained
    text: Trained
    trials: Mapping[str, Trial]
    twin: Trial
    ceilings: Mapping[str, Ceiling]
    flipped: float


def run_demo(out: Path, console: Console, *, seed: int = SEED, rows: int = 20_000, epochs: int | None = None) -> Demo:
    """Make the corpus, train both models, try them on the test part, print one table and write the report.

    `out` gets corpus, runs, model, results.json and report.html; runs of an earlier demo there are replaced.

    Raises:
        InputError: `rows` is not a multiple of 8.
        FileExistsError: `out`/postcards is something else than the built-in corpus.
    """
    started = time.monotonic()
    corpus = out / "postcards"
    write_postcards(corpus, seed=seed, sizes=sizes_for(rows))
    console.print(f"built-in corpus: {corpus} ({time.monotonic() - started:.0f} s)", highlight=False)
    recipe = read_recipe("2m-ner", encoders="compact", settings=[f"training.epochs={epochs or EPOCHS}"], seed=seed)
    full = _train("2M-NER", recipe, corpus, out, console)
    text = _train("text-only", Recipe(recipe.model.text_only(), recipe.training), corpus, out, console)
    cards, test = read_cards(corpus, "test"), read_split(corpus, "test")
    tagger = load_tagger(full.model)
    trials = {kind.name: kind for kind in try_pictures(tagger, test, cards)}
    own_rows = rows_of(test, true_pictures(cards))
    demo = Demo(
        full=full,
        text=text,
        trials=trials,
        twin=trial("text-only twin", load_tagger(text.model), own_rows, cards, None),
        ceilings=ceilings(cards),
        flipped=flip_rate(cards, trials[TRUE].answers, trials[SWAPPED].answers),
    )
    write_json(out / "results.json", to_json(demo, recipe))
    shutil.copytree(full.model, out / "model", dirs_exist_ok=True)
    console.print(rich_table(trials, demo.twin, demo.ceilings))
    for fact in headline(trials, demo.twin, demo.ceilings, demo.flipped):
        console.print(f"{fact.name}: {fact.value}  {fact.note}", highlight=False)
    examples = show_examples(tagger, choose_examples(cards, {row.example.images[0]: row for row in own_rows}))
    write_demo_report(out / "report.html", demo, examples)
    console.print("\nthree answers:")
    for example in examples[:3]:
        console.print(f"  {in_words(example)}", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"\n{time.monotonic() - started:.0f} s in all\n"
        f"report: {out / 'report.html'}\n"
        f"next:   babelens evaluate {out / 'model'} --data {corpus}\n"
        f"        babelens predict {out / 'model'} {corpus / 'en' / 'test.txt'} -o answers.jsonl\n"
        f"        babelens train 2m-ner --encoders compact --data {corpus} --out runs/mine",
        highlight=False,
        soft_wrap=True,
    )
    return demo


def sizes_for(rows: int) -> Sizes:
    """The sizes of all parts for so many training rows: at full size 20,000, 800 and 1,600.

    Raises:
        InputError: `rows` is not a multiple of 8, or none.
    """
    if rows < 8 or rows % 8:
        raise InputError(f"--rows: expected a multiple of 8, found {rows}")
    return Sizes(rows, max(rows // 200 * 8, 8), max(rows // 100 * 8, 8))


def _train(name: str, recipe: Recipe, corpus: Path, out: Path, console: Console) -> Trained:
    place = out / "runs" / name.lower()
    shutil.rmtree(place, ignore_errors=True)
    training, validation = read_split(corpus, "train"), read_split(corpus, "valid")
    return train(recipe, training, validation, place, report=ConsoleReport(name, console))


def to_json(demo: Demo, recipe: Recipe) -> dict[str, Any]:
    """The figures of the demo as they stand in results.json."""
    return {
        "2m-ner": {name: kind.to_dict() for name, kind in demo.trials.items()},
        "text-only twin": demo.twin.to_dict(),
        "ceilings": {name: vars(ceiling) for name, ceiling in demo.ceilings.items()},
        "ambiguous entities flipped by swapped pictures": demo.flipped,
        "validation_f1": {"2m-ner": demo.full.best, "text-only twin": demo.text.best},
        "seconds": {"2m-ner": demo.full.history[-1]["seconds"], "text-only twin": demo.text.history[-1]["seconds"]},
        "recipe": to_plain(recipe),
        "threads": torch.get_num_threads(),
    }
