"""One run of an experiment: train, choose on validation, then read each test part once."""

import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import torch

from babelens.data import Corpus
from babelens.data.disguise import disguise
from babelens.data.postcards import read_cards
from babelens.evaluation.pointing import point, targets_of
from babelens.evaluation.retrieval import measure_retrieval
from babelens.experiments.material import Material, Selection
from babelens.experiments.plan import Experiment, PlanError, Point, Test
from babelens.experiments.reading import Reader, outcomes_file, rows_of_test, summarise_reading
from babelens.experiments.results import Run
from babelens.models.checkpoint import load_tagger
from babelens.models.memory import keep_freed_memory
from babelens.models.precision import resolve
from babelens.models.spec import Model, to_plain
from babelens.models.tagger import count_parameters
from babelens.prediction.predictor import choose_device
from babelens.scoring.outcomes import read_outcomes, write_outcomes
from babelens.training.loop import train
from babelens.training.progress import Report
from babelens.training.recipe import Recipe
from babelens.training.state import load_weights, saved_steps, write_json

RECORD = "record.json"
_ALL_STATES = 1 << 30  # those of Ctrl-C come on top of one for each epoch
_PACKAGES = ("babelens", "torch", "transformers", "tokenizers", "accelerate", "numpy")


class Protocol(msgspec.Struct, frozen=True):
    """How runs are carried out: on which device, and whether by what published code does as well (`best_on_test`)."""

    device: str | None = None
    published: bool = False


def plan_of(
    experiment: Experiment, point_: Point, recipe: Recipe, material: Material, protocol: Protocol
) -> dict[str, Any]:
    """What makes a run what it is, as plain data: with another plan it would be another run.

    Raises:
        PlanError: a test asks for a corpus that was not given.
    """
    tests = tests_of(experiment, point_, recipe.model, material)
    told = {
        "variant": point_.variant,
        "recipe": to_plain(recipe),
        "tests": {name: {"test": test, "digest": material.sealed(test).digest} for name, test in tests.items()},
        "measures": experiment.measures,
        "published": protocol.published,
    }
    return msgspec.json.decode(msgspec.json.encode(told))


def carry_out(
    experiment: Experiment,
    point_: Point,
    recipe: Recipe,
    material: Material,
    folder: Path,
    protocol: Protocol,
    report: Report | None = None,
) -> Run:
    """Train, choose, measure and read one run; `folder` keeps its model, outcomes and record.

    What is there already is not done again: a record is read back, a training that was stopped goes on, a test part
    that was read is not read again.

    Raises:
        InputError: the data does not have what the run asks for, training cannot go on, or a score is not seqeval's.
    """
    seed, place = recipe.training.seed, folder / "training"
    plan = plan_of(experiment, point_, recipe, material, protocol)
    if (done := read_record(folder, plan)) is not None:
        shutil.rmtree(place / "state", ignore_errors=True)
        return done
    _claim(folder, plan)
    if protocol.published:
        settings = msgspec.structs.replace(recipe.training, keep=_ALL_STATES, save_minutes=None)
        recipe = msgspec.structs.replace(recipe, training=settings)
    training, validation = material.parts(point_.variant)
    tests = tests_of(experiment, point_, recipe.model, material)
    for line in look_ahead(tests, point_, training, material):
        (report or Report()).note(line)
    trained = train(
        recipe, training, validation, place, device=protocol.device, resume=bool(saved_steps(place)), report=report
    )
    selection = Selection(trained.model, folder.name, trained.best, trained.epoch)
    tagger = load_tagger(str(trained.model)).to(choose_device(protocol.device))
    tagger.precision = resolve(recipe.training.precision, tagger, tagger.device)
    keep_freed_memory()
    reader = Reader(tagger, material, point_, selection, recipe.training)
    measures = measure(experiment, reader)
    readings = {}
    for name, test in tests.items():
        file = outcomes_file(folder, name)
        if not file.is_file():
            write_outcomes(file, reader.read(test, name))
        readings[name] = summarise_reading(read_outcomes(file), material.sealed(test).digest, folder.name)
    best: dict[str, float] = {}
    if protocol.published:
        for entry in trained.history:
            tagger.load_state_dict(load_weights(place, entry["step"]))
            for name, test in tests.items():
                f1 = reader.f1(test, name, f"published protocol, epoch {entry['epoch']}")
                best[name] = max(best.get(name, 0.0), f1)
    run = Run(
        seed=seed,
        validation_f1=trained.best,
        epoch=trained.epoch,
        epochs=len(trained.history),
        seconds=trained.history[-1]["seconds"],
        parameters=count_parameters([tagger]),
        readings=readings,
        measures=measures,
        best_on_test=best,
        history=trained.history,
        recipe=to_plain(recipe),
        data={
            "training": {"rows": len(training), "digest": training.digest, "pictures": training.pictures_digest()},
            "validation": {"rows": len(validation), "digest": validation.digest},
        },
        machine=machine(tagger.device),
        versions={name: version(name) for name in _PACKAGES} | {"python": platform.python_version()},
        folder=folder.name,
    )
    write_json(folder / RECORD, {"plan": plan, "run": msgspec.to_builtins(run)})
    shutil.rmtree(place / "state", ignore_errors=True)
    return run


def read_record(folder: Path, plan: Mapping[str, Any] | None = None) -> Run | None:
    """What a run has found, or None where it is not done.

    Raises:
        PlanError: what was found is that of another plan.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes())
        run = msgspec.convert(found["run"], Run)
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise PlanError(
            f"{path}: expected the record of a run ({error}); remove it to have the run done again"
        ) from None
    if plan is not None:
        _check_plan(folder, found["plan"], plan)
    return run


def _claim(folder: Path, plan: Mapping[str, Any]) -> None:
    """Write down what a run is before it begins, or see that what is begun there is the same."""
    path = folder / "plan.json"
    if path.is_file():
        _check_plan(folder, msgspec.json.decode(path.read_bytes()), plan)
    else:
        write_json(path, plan)


def _check_plan(folder: Path, before: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    if changed := [name for name, value in plan.items() if before.get(name) != value]:
        raise PlanError(
            f"{folder}: expected the run that stands there, found a plan with another {', '.join(changed)}; choose a "
            "new --out, or remove the folder to have it run anew"
        )


def look_ahead(tests: Mapping[str, Test], point_: Point, training: Corpus, material: Material) -> Iterator[str]:
    """What is to be known of the tests before anything is trained: that they can be read, and what they share with it.

    Raises:
        InputError: a test labels types that training does not, or asks for pictures or rows that there are not.
    """
    for name, test in tests.items():
        sealed = material.sealed(test)
        rows = rows_of_test(test, sealed, point_)
        if unknown := set(sealed.types_of(rows)) - set(training.types):
            raise PlanError(
                f"{name}: expected the types of training ({', '.join(training.types)}), found "
                f"{', '.join(sorted(unknown))}; --types OLD=NEW renames a type, --types OLD=O leaves it out"
            )
        disguise(material.validation.select([0]), test.pictures)
        leaking = sum(sealed.shared(material.training)[row] != () for row in rows)
        if leaking and test.pictures == "true":
            yield f"{name}: {leaking} of {len(rows)} rows share something with training; F1 is also given without them"


def tests_of(experiment: Experiment, point_: Point, model: Model, material: Material) -> dict[str, Test]:
    """What a run is read on: the tests of its variant, other corpora, and the controls of a model that sees."""
    tests = point_.variant.tests
    if tests is None:
        tests = {"test": Test()}
    if tests:
        tests = {**tests, **_others(tests, material)}
    if not tests or not model.views:
        return dict(tests)
    spoilt = {
        f"{name}, {control}": msgspec.structs.replace(test, pictures=control)
        for name, test in tests.items()
        if test.data is None
        for control in experiment.controls
    }
    return {**tests, **spoilt}


def _others(tests: Mapping[str, Test], material: Material) -> dict[str, Test]:
    """The tests on other corpora.

    Raises:
        PlanError: one of them is called as a test of the experiment.
    """
    others = {name: Test(data=name) for name in material.others}
    for name, test in others.items():
        if tests.get(name, test).data != name:
            raise PlanError(f"--also {name}: expected a name that no test of the experiment has")
    return others


def measure(experiment: Experiment, reader: Reader) -> dict[str, Any]:
    """What is measured on validation after the choice, by kind, with its true pictures; nothing of a model without."""
    tagger, material = reader.tagger, reader.material
    if not tagger.model.views or not experiment.measures:
        return {}
    validation = reader.shown(material.validation_rows(reader.point.variant))
    regions = reader.regions(validation)
    found: dict[str, Any] = {}
    if "retrieval" in experiment.measures:
        retrieved = measure_retrieval(tagger, validation, regions=regions)
        found["retrieval"] = {name: one.to_dict() for name, one in retrieved.items()}
    if "pointing" in experiment.measures and material.cards is not None:
        targets = targets_of(validation, read_cards(material.cards, "valid"))
        pointed = point(tagger, validation, targets, regions=regions)
        found["pointing"] = {name: one.to_dict() for name, one in pointed.items()}
    return {kind: one for kind, one in found.items() if one}


def machine(device: torch.device) -> dict[str, Any]:
    """What a run was made on."""
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {"device": device.type, "chip": chip, "threads": torch.get_num_threads(), "time": int(time.time())}


def processor() -> str:
    """The name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
