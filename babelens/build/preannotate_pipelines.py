"""spaCy pipelines as pre-annotators: cut down to what marks entities, and asked in this process or in several.

Processes get whole blocks of rows of all languages and run `nlp.pipe` on them: spaCy's own `n_process` would start its
processes anew for each language and block, and could not keep rows of mixed languages in order with bounded memory.
"""

import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from time import process_time
from typing import TYPE_CHECKING, Any, NamedTuple

from babelens.build.language_codes import language_of
from babelens.build.preannotate_reading import Block, Reading, Span, folder_digest
from babelens.build.rows import Row
from babelens.schema import InputError

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

BATCH = 256
_BATCHES = 4
_AHEAD = 2
_MARKING = frozenset(("ner", "beam_ner"))
_SHARED = frozenset(("tok2vec", "transformer", "curated_transformer"))
_IDLE = frozenset(
    (
        *("tagger", "morphologizer", "parser", "senter", "sentencizer", "attribute_ruler", "lemmatizer"),
        *("trainable_lemmatizer", "textcat", "textcat_multilabel", "spancat", "spancat_singlelabel", "entity_linker"),
    )
)
_ANY_LANGUAGE = "xx"

Asked = tuple[str, str]
"""The language of a row, and its text."""


class Plan(NamedTuple):
    """Which pipelines are loaded (language and name or folder) and how: texts in a batch, and if `whole`."""

    names: tuple[tuple[str, str], ...]
    batch: int
    whole: bool


class Pipelines:
    """A pipeline for each language: the name of an installed package, or the folder of a trained one.

    Only components that mark entities are run, and what they listen to; a pipeline with others than spaCy's usual ones
    (a ruler, whose patterns may ask for any of them) is run as it is, and so are all with `whole`. The difference: an
    entity never goes across the border of two sentences that a parser has drawn before it.

    A text longer than a pipeline takes (`nlp.max_length`, a million characters) is not read, as `too long`; nor is one
    of which its tokenizer makes another (`other text`).

    Raises:
        InputError: spaCy or a pipeline is missing, or one is broken, of another language, or marks no entities.
    """

    def __init__(
        self, names: Mapping[str, str], *, processes: int = 1, batch: int = BATCH, whole: bool = False
    ) -> None:
        self.languages: frozenset[str] | None = frozenset(names)
        self.block = _BATCHES * batch
        self._plan = Plan(tuple(sorted(names.items())), batch, whole)
        self._processes = processes
        self._reader = Reader(self._plan)
        self.by: Mapping[str, Any] = self._reader.facts()
        self.versions: Mapping[str, str] = {"spacy": _spacy().__version__}

    def annotate(self, blocks: Iterable[Sequence[Row]]) -> Iterator[Block]:
        """The readings of each block, in order.

        Raises:
            InputError: a process ended of itself (or was ended for its memory).
        """
        asked = ([(_language(row), row["text"]) for row in rows] for rows in blocks)
        return map(self._reader.read, asked) if self._processes == 1 else self._apart(asked)

    def _apart(self, blocks: Iterable[Sequence[Asked]]) -> Iterator[Block]:
        waiting: deque[Future[Block]] = deque()
        # Started afresh, not forked: a copy of a process with threads may hang.
        with ProcessPoolExecutor(self._processes, get_context("spawn"), initializer=_follow_parent) as pool:
            try:
                for asked in blocks:
                    waiting.append(pool.submit(_read_apart, self._plan, asked))
                    if len(waiting) > _AHEAD * self._processes:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            except BrokenProcessPool as error:
                raise InputError(
                    f"expected {self._processes} processes to read the rows, found that one of them has ended "
                    "(memory?); the same command goes on, with fewer --processes if need be"
                ) from error
            finally:
                for future in waiting:
                    future.cancel()


class Reader:
    """The pipelines of a plan, loaded."""

    def __init__(self, plan: Plan) -> None:
        self._batch = plan.batch
        loaded = {name: _load(language, name, plan.whole) for language, name in plan.names}
        self._pipelines = {language: loaded[name] for language, name in plan.names}
        for language, name in plan.names:
            _check_language(language, name, loaded[name])

    def facts(self) -> dict[str, Any]:
        """By language: the name and the version of the pipeline, the digest of its folder, and what of it is run."""
        return {language: _facts(nlp) for language, nlp in self._pipelines.items()}

    def read(self, asked: Sequence[Asked]) -> Block:
        """The entities of a block of texts."""
        started = process_time()
        readings = [Reading(why="too long")] * len(asked)
        for language in dict.fromkeys(language for language, _ in asked):
            nlp = self._pipelines[language]
            fit = [
                number for number, (own, text) in enumerate(asked) if own == language and len(text) <= nlp.max_length
            ]
            texts = [asked[number][1] for number in fit]
            with nlp.memory_zone():  # else every new word stays in memory
                docs = nlp.pipe(texts, batch_size=self._batch)
                for number, text, doc in zip(fit, texts, docs, strict=True):
                    readings[number] = _reading(doc, text)
        return Block(readings, process_time() - started)


def _reading(doc: "Doc", text: str) -> Reading:
    if doc.text != text:
        return Reading(why="other text")
    return Reading([Span(entity.start_char, entity.end_char, entity.label_) for entity in doc.ents])


def _language(row: Row) -> str:
    return language_of(row["language"]) or ""


def _spacy() -> Any:
    try:
        import spacy
    except ImportError as error:
        raise InputError(
            "expected spaCy for --pipeline, found that it is not installed; pip install 'babelens[build]'"
        ) from error
    return spacy


def _load(language: str, name: str, whole: bool) -> "Language":
    spacy = _spacy()
    place = f"--pipeline {language}={name}"
    if not spacy.util.is_package(name) and not Path(name).exists():
        raise InputError(
            f"{place}: expected an installed spaCy pipeline or the folder of one, found neither; "
            f"python -m spacy download {name}"
        )
    try:
        nlp: Language = spacy.load(name)
    # What a package or a folder that is no pipeline makes spaCy raise is of many kinds.
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{place}: expected a spaCy pipeline, found one that cannot be loaded: {reason}") from error
    factories = {component: nlp.get_pipe_meta(component).factory for component in nlp.component_names}
    if not set(factories.values()) - _SHARED - _IDLE:
        listed = ", ".join(factories) or "no component"
        raise InputError(f"{place}: expected a pipeline that marks entities (with a component ner), found {listed}")
    if not whole and set(factories.values()) <= _MARKING | _SHARED | _IDLE:
        _cut(nlp, factories)
    return nlp


def _cut(nlp: "Language", factories: Mapping[str, str]) -> None:
    """Remove the components that entities do not hang on."""
    for component, factory in factories.items():
        if factory in _IDLE:
            nlp.remove_pipe(component)
    for component, factory in reversed(list(factories.items())):  # what stands after listens to what stands before
        if factory in _SHARED and not getattr(nlp.get_pipe(component), "listening_components", True):
            nlp.remove_pipe(component)


def _check_language(language: str, name: str, nlp: "Language") -> None:
    if nlp.lang not in (language, _ANY_LANGUAGE):
        raise InputError(
            f"--pipeline {language}={name}: expected a pipeline for {language} (or xx, for any), "
            f"found one for {nlp.lang}"
        )


def _facts(nlp: "Language") -> dict[str, Any]:
    meta = nlp.meta
    assert nlp.path is not None, "what was loaded from a package or a folder has a place"
    return {
        "pipeline": f"{meta['lang']}_{meta['name']}",
        "version": meta["version"],
        "digest": folder_digest(Path(nlp.path)),
        "components": nlp.pipe_names,
    }


def _follow_parent() -> None:
    """In a new process: end when its parent does, however that ends, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@lru_cache(maxsize=1)
def _reader(plan: Plan) -> Reader:
    return Reader(plan)


def _read_apart(plan: Plan, asked: Sequence[Asked]) -> Block:
    return _reader(plan).read(asked)
