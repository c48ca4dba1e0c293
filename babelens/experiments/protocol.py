"""One run of an experiment: train, choose on validation, then read each test part once."""

import platform
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from babelens.data import Corpus
from babelens.data.disguise import disguise
from babelens.data.mmnerd import mmnerd_source
from babelens.data.postcards import read_cards
from babelens.evaluation.evaluate import check_types
from babelens.evaluation.pointing import point, targets_of
from babelens.evaluation.retrieval import measure_retrieval
from babelens.experiments.material import Material, Sealed, Selection
from babelens.experiments.plan import Experiment, PlanError, Point, Test
from babelens.experiments.results import Leaks, Reading, Run
from babelens.models.batch import ImageStatus
from babelens.models.checkpoint import load_tagger
from babelens.models.decode import Scored, decode_corpus_scored
from babelens.models.memory import keep_freed_memory
from babelens.models.precision import resolve
from babelens.models.spec import Model, to_plain
from babelens.models.tagger import Tagger, count_parameters
from babelens.prediction.predictor import choose_device
from babelens.schema import Entity, InputError, write_tags
from babelens.scoring.outcomes import Outcome, clean, founds, golds, read_outcomes, write_outcomes
from babelens.scoring.scores import UNNAMED, Entities, score, score_groups
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
    reader = Reader(tagger, material, point_, selection, recipe.training.pictures == "pairs")
    measures = measure(experiment, tagger, reader.shown(material.validation_rows(point_.variant)), material)
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


def outcomes_file(folder: Path, test: str) -> Path:
    """Where the outcomes of a reading lie."""
    return folder / "outcomes" / f"{test.replace('/', '-').replace(':', '-')}.jsonl.gz"


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


def rows_of_test(test: Test, sealed: Sealed, point_: Point) -> np.ndarray:
    """The numbers of the rows that a test reads.

    Raises:
        PlanError: there are none.
    """
    languages = test.languages or (point_.variant.languages if test.data is None else None)
    rows = sealed.rows(languages)
    if not len(rows):
        raise PlanError(f"no test rows of {', '.join(languages or ('any language',))}")
    return rows


class Reader:
    """Reads test parts with a chosen model. With `pairs`, rows of several pictures are read as training had them."""

    def __init__(self, tagger: Tagger, material: Material, point_: Point, selection: Selection, pairs: bool) -> None:
        self.tagger, self.material, self.point, self.selection, self.pairs = tagger, material, point_, selection, pairs

    @cached_property
    def _names(self) -> Counter[str]:
        """How often each name is an entity in the training rows."""
        training = self.material.training.select(self.material.train_rows(self.point.variant))
        return Counter(surface(example.words, entity) for example in training for entity in example.entities)

    def shown(self, corpus: Corpus) -> Corpus:
        """The rows of a corpus as the model reads them."""
        return corpus.pairs() if self.pairs else corpus

    def _open(
        self, test: Test, name: str, why: str
    ) -> tuple[Corpus, np.ndarray, list[list[Scored]], list[ImageStatus]]:
        """The rows of a test with their numbers in the part, and what the model finds in them.

        Types that the part does not label are left out of the answers, where the model knows more.
        """
        sealed = self.material.sealed(test)
        rows = rows_of_test(test, sealed, self.point)
        opened = disguise(sealed.open(self.selection, name, rows, why=why), test.pictures, self.seed)
        if self.pairs:
            rows = np.repeat(rows, np.maximum(opened.picture_numbers, 1))
        corpus = self.shown(opened)
        check_types(self.tagger, corpus)
        answers, status = decode_corpus_scored(self.tagger, corpus)
        known = set(sealed.types)
        return corpus, rows, [[one for one in row if one[0].type in known] for row in answers], status

    @property
    def seed(self) -> int:
        """The seed by which pictures are disguised: the same for all models, which so see the same."""
        return 0

    def read(self, test: Test, name: str) -> list[Outcome]:
        """Read a test part, once.

        Raises:
            InputError: the part labels types that the model does not know.
        """
        sealed = self.material.sealed(test)
        shared = sealed.shared(self.material.training)
        corpus, rows, answers, status = self._open(test, name, "after selection")
        return [
            Outcome(
                id=example.id,
                words=example.words,
                gold=example.entities,
                found=tuple(entity for entity, _ in answers[number]),
                scores=tuple(float(probability) for _, probability in answers[number]),
                unit=int(sealed.units[rows[number]]),
                leaks=shared[rows[number]],
                frequencies=tuple(self._names[surface(example.words, entity)] for entity in example.entities),
                language=example.language,
                source=mmnerd_source(example) if sealed.of_mmnerd else example.source,
                status=status[number],
                images=example.images,
            )
            for number, example in enumerate(corpus)
        ]

    def f1(self, test: Test, name: str, why: str) -> float:
        """Micro F1 (per cent) of the model as it is: no choice may hang on it."""
        corpus, _, answers, _ = self._open(test, name, why)
        found = [[entity for entity, _ in row] for row in answers]
        return score([example.entities for example in corpus], found).micro.f1


def summarise_reading(outcomes: Sequence[Outcome], digest: str, run: str) -> Reading:
    """The figures of a reading, over all rows and over those that share nothing with training.

    Raises:
        InputError: seqeval gives another F1 to the same answers.
    """
    gold, found = golds(outcomes), founds(outcomes)
    published = figures(outcomes)
    theirs = seqeval_f1(gold, found, [len(outcome.words) for outcome in outcomes])
    if abs(theirs - published["micro"]["f1"]) > 1e-9:
        raise InputError(f"{run}: expected the F1 of seqeval, {theirs!r}, found {published['micro']['f1']!r}")
    cleaned = list(clean(outcomes))
    kinds = Counter(kind for outcome in outcomes for kind in outcome.leaks)
    return Reading(
        rows=len(outcomes),
        digest=digest,
        published=published,
        cleaned=figures(cleaned) if cleaned else None,
        leaks=Leaks(len(outcomes) - len(cleaned), dict(sorted(kinds.items()))),
        seqeval=theirs,
        pictures=dict(sorted(Counter(outcome.status for outcome in outcomes).items())),
    )


def seqeval_f1(gold: Entities, found: Entities, lengths: Sequence[int]) -> float:
    """Micro F1 (per cent) by seqeval, from tags; `lengths` are the words of each row.

    Raises:
        InputError: seqeval is not installed.
    """
    try:
        from seqeval.metrics import f1_score
    except ImportError:
        raise InputError("experiments check their scores with seqeval: pip install 'babelens[experiments]'") from None
    tags = [[write_tags(row, length) for row, length in zip(rows, lengths, strict=True)] for rows in (gold, found)]
    return 100 * float(f1_score(*tags, zero_division=0))  # pyright: ignore[reportArgumentType]


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Scores over all and by type, language, source and picture, in per cent."""
    gold, found = golds(outcomes), founds(outcomes)
    return score(gold, found).to_dict(
        languages=score_groups(gold, found, [outcome.language for outcome in outcomes]),
        sources=score_groups(gold, found, [outcome.source or UNNAMED for outcome in outcomes]),
        images=score_groups(gold, found, [outcome.status for outcome in outcomes]),
    )


def surface(words: Sequence[str], entity: Entity) -> str:
    """The words of an entity but for letter case."""
    return " ".join(words[entity.start : entity.end]).casefold()


def measure(experiment: Experiment, tagger: Tagger, validation: Corpus, material: Material) -> dict[str, Any]:
    """What is measured on validation after the choice, by kind; empty for a model without pictures."""
    if not tagger.model.views:
        return {}
    found: dict[str, Any] = {}
    if "retrieval" in experiment.measures:
        found["retrieval"] = {name: one.to_dict() for name, one in measure_retrieval(tagger, validation).items()}
    if "pointing" in experiment.measures and material.cards is not None:
        targets = targets_of(validation, read_cards(material.cards, "valid"))
        found["pointing"] = {name: one.to_dict() for name, one in point(tagger, validation, targets).items()}
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
