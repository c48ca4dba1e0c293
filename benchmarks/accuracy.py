"""What speed costs in accuracy: the fast settings against plain ones on the built-in corpus, several seeds each.

    python benchmarks/accuracy.py

A compact 2M-NER is trained once; its picture encoders are then frozen, so that their regions can be cached. From there
on every run learns text, fusion and head from nothing, chosen on validation. "plain" is fp32, rows in any order and
pictures encoded in every step; "fast" is bf16, batches of like length and cached regions. The test part is not read.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import msgspec
from measure import print_line
from rich.console import Console
from torch import nn

from babelens.data import read_split
from babelens.data.postcards import write_postcards
from babelens.evaluation.demo import sizes_for
from babelens.models.checkpoint import load_tagger
from babelens.models.spec import Model
from babelens.modules.late import Late, LateBackbone
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.resnet import Resnet
from babelens.training.loop import train
from babelens.training.progress import ConsoleReport
from babelens.training.recipe import Recipe, read_recipe

PLAIN = {"precision": "fp32", "order": "shuffled", "region_cache": "off"}
FAST = {"precision": "bf16", "order": "grouped", "region_cache": "bf16"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000, help="training rows of the built-in corpus")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["BABELENS_CACHE"] = str(folder / "cache")
        write_postcards(folder / "corpus", seed=0, sizes=sizes_for(options.rows))
        training, validation = (read_split(folder / "corpus", part) for part in ("train", "valid"))
        recipe = read_recipe("2m-ner", encoders="compact", settings=[f"training.epochs={options.epochs}"])
        teacher = train(recipe, training, validation, folder / "teacher", report=ConsoleReport("encoders", console))
        model = frozen(recipe.model, teacher.model, folder / "encoders")
        f1: dict[str, list[float]] = {"plain": [], "fast": []}
        seconds: dict[str, list[float]] = {"plain": [], "fast": []}
        for seed in range(1, options.seeds + 1):
            for case, settings in (("plain", PLAIN), ("fast", FAST)):
                own = Recipe(model, msgspec.structs.replace(recipe.training, seed=seed, **settings))
                started = time.perf_counter()
                place = folder / f"{case}-{seed}"
                done = train(own, training, validation, place, report=ConsoleReport(f"{case}, seed {seed}", console))
                f1[case].append(round(done.best, 2))
                seconds[case].append(round(time.perf_counter() - started, 1))
    means = {case: statistics.mean(found) for case, found in f1.items()}
    spreads = {case: statistics.stdev(found) if len(found) > 1 else 0.0 for case, found in f1.items()}
    for case, found in f1.items():
        print_line(
            "accuracy",
            "2M-NER, compact, frozen pictures",
            case,
            seconds[case],
            statistics.median(seconds["plain"]),
            ["babelens", "torch"],
            rows=len(training),
            epochs=options.epochs,
            validation_f1=found,
            mean=round(means[case], 2),
            deviation=round(spreads[case], 2),
            difference=round(means[case] - means["plain"], 2),
            within_one_deviation=abs(means[case] - means["plain"]) <= spreads["plain"],
        )


def frozen(model: Model, teacher: Path, folder: Path) -> Model:
    """The same model over the picture encoders of a trained one, which stay as they are."""
    backbone = load_tagger(teacher).backbone
    assert isinstance(backbone, LateBackbone) and isinstance(model.backbone, Late)
    views = []
    for view in model.backbone.views:
        regions = backbone.seeing()[view.name].regions
        assert regions is not None and isinstance(view.regions, Clip | Resnet)
        if isinstance(view.regions, Clip):
            # The norm of the pooled output, which regions do not pass, belongs to a published folder all the same.
            regions.encoder.post_layernorm = nn.LayerNorm(regions.native_dim)
        regions.encoder.save_pretrained(folder / view.name)
        regions.transform.processor.save_pretrained(folder / view.name)
        settings = {"name": str(folder / view.name), "scratch": None, "trained": False}
        norm = {"norm": "frozen"} if isinstance(view.regions, Resnet) else {}
        views.append(msgspec.structs.replace(view, regions=msgspec.structs.replace(view.regions, **settings, **norm)))
    return msgspec.structs.replace(model, backbone=msgspec.structs.replace(model.backbone, views=tuple(views)))


if __name__ == "__main__":
    main()
