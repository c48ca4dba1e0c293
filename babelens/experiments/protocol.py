"""One run of an experiment: train, choose on validation, then read each test part once."""

import platform
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
from babelens.models.checkpoint import load_tagger
from babelens.models.decode import decode_corpus_scored
from babelens.models.memory import keep_freed_memory
from babelens.models.precision import resolve
from babelens.models.spec import Model, to_plain
from babelens.models.tagger import Tagger, count_parameters
from babelens.prediction.predictor import choose_device
from babelens.schema import Entity, InputError, write_tags
from babelens.scoring.outcomes import Outcome, clean, founds, golds, write_outcomes
from babelens.scoring.scores import UNNAMED, Entities, score, score_groups
from babelens.training.loop import train
from babelens.training.progress import Report
from babelens.training.recipe import Recipe
from babelens.training.state import load_weights, saved_steps, write_json

RECORD = "record.json"
PUBLISHED = "published"
_PACKAGES = ("babelens", "torch", "transformers", "tokenizers", "accelerate", "numpy")


class Protocol(msgspec.Struct, frozen=True):
    """How runs are carried out: on which device, and whether by what published code does as well (`best_on_test`)."""

    device: str | None = None
    published: bool = False


def carry_out(
    experiment: Experiment,
    point_: Point,
    recipe: Recipe,
    seed: int,
    material: Material,
    folder: Path,
    protocol: Protocol,
    report: Report | None = None,
) -> Run:
    """Train, choose, measure and read one run; `folder` keeps its model, outcomes and record.

    What is there already is not done again: a record is read back, a training that was stopped goes on.

    Raises:
        InputError: the data does not have what the run asks for, training cannot go on, or a score is not seqeval's.
    """
    plan = {"variant": msgspec.to_builtins(point_.variant), "recipe": to_plain(recipe), "published": protocol.published}
    if (done := read_record(folder, plan)) is not None:
        return done
    if protocol.published:
        settings = msgspec.structs.replace(recipe.training, keep=recipe.training.epochs, save_minutes=None)
        recipe = msgspec.structs.replace(recipe, training=settings)
    training, validation = material.parts(point_.variant, seed)
    tests = tests_of(experiment, point_, recipe.model, material)
    for line in leaks_in_words(tests, point_, material):
        (report or Report()).note(line)
    place = folder / "training"
    trained = train(
        recipe, training, validation, place, device=protocol.device, resume=bool(saved_steps(place)), report=report
    )
    selection = Selection(trained.model, folder.name, trained.best, trained.epoch)
    tagger = load_tagger(str(trained.model)).to(choose_device(protocol.device))
    tagger.precision = resolve(recipe.training.precision, tagger, tagger.device)
    keep_freed_memory()
    measures = measure(experiment, tagger, material.validation_rows(point_.variant), material)
    readings = {}
    for name, test in tests.items():
        reading, outcomes = read(tagger, material, test, name, point_, selection, seed)
        write_outcomes(outcomes_file(folder, name), outcomes)
        readings[name] = reading
    best: dict[str, float] = {}
    if protocol.published:
        best = best_on_test(tagger, place, trained.history, material, tests, point_, selection, seed)
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
    if plan is not None and found["plan"] != msgspec.json.decode(msgspec.json.encode(plan)):
        raise PlanError(f"{folder}: expected the run of this plan, found one of another recipe; choose another --out")
    return run


def outcomes_file(folder: Path, test: str) -> Path:
    """Where the outcomes of a reading lie."""
    return folder / "outcomes" / f"{test.replace('/', '-').replace(':', '-')}.jsonl.gz"


def leaks_in_words(tests: Mapping[str, Test], point_: Point, material: Material) -> Iterator[str]:
    """What each test part shares with training, looked up before anything is trained."""
    for name, test in tests.items():
        if test.pictures != "true":
            continue
        sealed = material.sealed(test)
        rows = rows_of_test(test, sealed, point_)
        shared = sealed.shared(material.training)
        leaking = sum(shared[row] != () for row in rows)
        if leaking:
            yield f"{name}: {leaking} of {len(rows)} rows share something with training; F1 is also given without them"


def tests_of(experiment: Experiment, point_: Point, model: Model, material: Material) -> dict[str, Test]:
    """What a run is read on: the tests of its variant, other corpora, and the controls of a model that sees."""
    tests = point_.variant.tests
    if tests is None:
        tests = {"test": Test()}
    if tests:
        tests = {**tests, **{name: Test(data=name) for name in material.others}}
    if not tests or not model.views:
        return dict(tests)
    spoilt = {
        f"{name}, {control}": msgspec.structs.replace(test, pictures=control)
        for name, test in tests.items()
        if test.data is None
        for control in experiment.controls
    }
    return {**tests, **spoilt}


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


def read(
    tagger: Tagger, material: Material, test: Test, name: str, point_: Point, selection: Selection, seed: int
) -> tuple[Reading, list[Outcome]]:
    """Read a test part with the chosen model, once.

    Types that the part does not label are left out of the answers, where the model knows more.

    Raises:
        InputError: the part labels types that the model does not know, or a score is not seqeval's.
    """
    sealed = material.sealed(test)
    rows = rows_of_test(test, sealed, point_)
    shared = sealed.shared(material.training)
    corpus = disguise(sealed.open(selection, name, rows), test.pictures, seed)
    check_types(tagger, corpus)
    answers, status = decode_corpus_scored(tagger, corpus)
    known = set(sealed.types)
    names = training_names(material.training.select(material.train_rows(point_.variant)))
    outcomes = []
    for number, example in enumerate(corpus):
        kept = [(entity, probability) for entity, probability in answers[number] if entity.type in known]
        outcomes.append(
            Outcome(
                id=example.id,
                words=example.words,
                gold=example.entities,
                found=tuple(entity for entity, _ in kept),
                scores=tuple(float(probability) for _, probability in kept),
                unit=int(sealed.units[rows[number]]),
                leaks=shared[rows[number]],
                frequencies=tuple(names[surface(example.words, entity)] for entity in example.entities),
                language=example.language,
                source=mmnerd_source(example) if sealed.of_mmnerd else example.source,
                status=status[number],
                images=example.images,
            )
        )
    return summarise_reading(outcomes, corpus.digest, selection.run), outcomes


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


def training_names(training: Corpus) -> Counter[str]:
    """How often each name is an entity in the training rows."""
    return Counter(surface(example.words, entity) for example in training for entity in example.entities)


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


def best_on_test(
    tagger: Tagger,
    place: Path,
    history: Sequence[Mapping[str, Any]],
    material: Material,
    tests: Mapping[str, Test],
    point_: Point,
    selection: Selection,
    seed: int,
) -> dict[str, float]:
    """The best F1 on each test part over all epochs: what published code reports. It chooses by test data."""
    best = dict.fromkeys(tests, 0.0)
    for entry in history:
        tagger.load_state_dict(load_weights(place, entry["step"]))
        for name, test in tests.items():
            sealed = material.sealed(test)
            rows = rows_of_test(test, sealed, point_)
            why = f"published protocol, epoch {entry['epoch']}"
            corpus = disguise(sealed.open(selection, name, rows, why=why), test.pictures, seed)
            answers, _ = decode_corpus_scored(tagger, corpus)
            known = set(sealed.types)
            found = [[entity for entity, _ in row if entity.type in known] for row in answers]
            best[name] = max(best[name], score([example.entities for example in corpus], found).micro.f1)
    return best


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
