"""The rows of an experiment: what may be trained and chosen on at once, and what is sealed until a model is chosen."""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

import babelens.data.overlap as comparing
from babelens.data import Corpus
from babelens.data.disguise import disguise
from babelens.data.mmnerd import is_mmnerd
from babelens.data.overlap import overlap, tied_units
from babelens.data.split import units
from babelens.experiments.plan import PlanError, Slice, Test, Variant
from babelens.schema import InputError

# Whoever changes how rows are compared has them compared anew.
_CODE = [Path(comparing.__file__).with_name(f"{name}.py") for name in ("overlap", "near", "picture_marks", "split")]


@dataclass(frozen=True)
class Selection:
    """A model that has been chosen on validation; without one no test part is opened."""

    model: Path
    run: str
    validation_f1: float
    epoch: int


class Sealed:
    """A test part, whose rows are read after the choice of a model.

    Its texts and pictures may be compared with those of training at any time. Every reading is written to a ledger
    before the rows are handed out.
    """

    def __init__(self, read: Callable[[], Corpus], ledger: Path) -> None:
        self._read = read
        self._ledger = ledger
        self._shared: dict[str, list[tuple[str, ...]]] = {}

    @cached_property
    def _corpus(self) -> Corpus:
        corpus = self._read()
        return corpus.select(np.flatnonzero(corpus.lengths > 0))

    @property
    def digest(self) -> str:
        """A digest of the content."""
        return self._corpus.digest

    @property
    def types(self) -> tuple[str, ...]:
        """The entity types that the part labels."""
        return self._corpus.types

    def types_of(self, rows: np.ndarray) -> tuple[str, ...]:
        """The entity types that these rows label."""
        return self._corpus.select(rows).types

    @cached_property
    def languages(self) -> np.ndarray:
        """The language of each row (rows)."""
        return languages_of(self._corpus)

    @cached_property
    def units(self) -> np.ndarray:
        """The unit of each row (rows): rows of one are not independent."""
        return np.array(self._kept("units", "", lambda: tied_units(self._corpus).tolist()), np.int64)

    def shared(self, training: Corpus) -> list[tuple[str, ...]]:
        """What each row shares with the training part, by kind."""
        if training.digest not in self._shared:
            pictures = training.digest + training.pictures_digest()
            found = self._kept("shared", pictures, lambda: overlap(training, self._corpus))
            self._shared[training.digest] = [tuple(kinds) for kinds in found]
        return self._shared[training.digest]

    def _kept(self, name: str, other: str, make: Callable[[], list]) -> list:
        """What is the same for all runs of an experiment, made by the first of them."""
        told = (self.digest, self._corpus.pictures_digest(), other, *(path.read_bytes() for path in _CODE))
        path = (
            self._ledger.parent / "compared" / f"{name}-{blake2b(repr(told).encode(), digest_size=8).hexdigest()}.json"
        )
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
        made = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}")
        beside.write_text(json.dumps(made), encoding="utf-8")
        beside.replace(path)
        return made

    def rows(self, languages: Sequence[str] | None) -> np.ndarray:
        """The numbers of the rows of these languages."""
        return rows_of(self.languages, languages)

    @cached_property
    def of_mmnerd(self) -> bool:
        """Whether the rows are MMNERD's, whose pictures' ids tell of which source a row is."""
        return is_mmnerd(self._corpus)

    def open(self, selection: Selection, name: str, rows: np.ndarray, *, why: str = "after selection") -> Corpus:
        """Hand out rows to be tagged and scored, once a model is chosen; the reading is noted in the ledger first.

        What a run has read before, for whatever reason, is noted as read `again`.

        Raises:
            PlanError: there is no chosen model.
        """
        if not (selection.model / "config.json").is_file():
            raise PlanError(f"{selection.model}: expected a chosen model before the test part is read, found none")
        entry = {"run": selection.run, "test": name, "digest": self.digest, "rows": len(rows), "why": why}
        same = ("run", "test", "digest")
        before = [line for line in read_ledger(self._ledger) if all(line.get(key) == entry[key] for key in same)]
        if before:
            entry["again"] = len(before)
        entry |= {"epoch": selection.epoch, "validation_f1": selection.validation_f1}
        entry["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._ledger.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(self._ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(number, (json.dumps(entry, ensure_ascii=False) + "\n").encode())
        finally:
            os.close(number)
        return self._corpus.select(rows)


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """All readings of test parts so far, the oldest first."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def languages_of(corpus: Corpus) -> np.ndarray:
    """The language of each row, "" where it is not known (rows)."""
    return np.array([example.language or "" for example in corpus], dtype=np.str_)


def rows_of(languages: np.ndarray, wanted: Sequence[str] | None) -> np.ndarray:
    """The numbers of the rows of these languages; None is all."""
    return np.arange(len(languages)) if wanted is None else np.flatnonzero(np.isin(languages, list(wanted)))


def _named(languages: Sequence[str] | None) -> str:
    return ", ".join(languages or ("any language",))


def _check_languages(languages: np.ndarray, wanted: Sequence[str] | None, part: str) -> None:
    """See that there are rows of each language that is asked for.

    Raises:
        PlanError: of one there are none.
    """
    for language in wanted or ():
        if language not in languages:
            raise PlanError(f"no {part} rows of {language}")


@dataclass
class Material:
    """Training and validation rows, the sealed test part, and other sealed corpora by name.

    `cards` is the folder of the built-in corpus, which knows where each thing is drawn; None for others.
    """

    training: Corpus
    validation: Corpus
    test: Sealed
    others: Mapping[str, Sealed] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    cards: Path | None = None

    @cached_property
    def _languages(self) -> tuple[np.ndarray, np.ndarray]:
        return languages_of(self.training), languages_of(self.validation)

    @cached_property
    def _order(self) -> np.ndarray:
        """All training rows in one order, drawn by units."""
        unit = units(self.training)
        place = np.random.default_rng(self.seed).permutation(int(unit.max()) + 1 if len(unit) else 0)
        return np.argsort(place[unit], kind="stable")

    def sealed(self, test: Test) -> Sealed:
        """The part that a test reads.

        Raises:
            PlanError: no corpus of that name was given.
        """
        if test.data is None:
            return self.test
        if test.data not in self.others:
            raise PlanError(f"expected a corpus called {test.data} (--also {test.data}=DIR), found none")
        return self.others[test.data]

    def train_rows(self, variant: Variant) -> np.ndarray:
        """The numbers of the training rows that a variant asks for, in the order of the corpus.

        Raises:
            PlanError: there are none.
        """
        slices = variant.slices or (Slice(),)
        chosen = [self._slice(part, variant.languages) for part in slices]
        return np.unique(np.concatenate(chosen))

    def _slice(self, part: Slice, languages: Sequence[str] | None) -> np.ndarray:
        rows = self._cut(part, part.languages or languages)
        if part.as_many_as is not None:
            rows = rows[: len(self._cut(part, part.as_many_as))]
        if not len(rows):
            raise PlanError(f"no training rows of {_named(part.languages or languages)}")
        return rows

    def _cut(self, part: Slice, languages: Sequence[str] | None) -> np.ndarray:
        _check_languages(self._languages[0], languages, "training")
        ordered = self._order[np.isin(self._order, rows_of(self._languages[0], languages))]
        # Rounded once, so that slices that meet have neither a gap nor a row in common.
        return ordered[round(part.start * len(ordered)) : round(part.stop * len(ordered))]

    def validation_rows(self, variant: Variant) -> Corpus:
        """The validation rows that a variant chooses by, with their own pictures.

        Raises:
            PlanError: there are none.
        """
        wanted = variant.validation or variant.languages
        _check_languages(self._languages[1], wanted, "validation")
        return self.validation.select(rows_of(self._languages[1], wanted))

    def parts(self, variant: Variant) -> tuple[Corpus, Corpus]:
        """The training and the validation rows of a variant, with the pictures that it shows.

        Raises:
            PlanError: one of them is empty.
            InputError: the pictures are none that are known.
        """
        training = self.training.select(self.train_rows(variant))
        validation = self.validation_rows(variant)
        control = variant.pictures or "true"
        training = disguise(training, control, self.seed)
        validation = disguise(validation, control, self.seed)
        if unseen := set(validation.types) - set(training.types):
            raise InputError(f"expected the types of validation in training, found no {', '.join(sorted(unseen))}")
        return training, validation
