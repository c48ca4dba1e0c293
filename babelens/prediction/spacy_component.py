"""A babelens model as a component of spaCy pipelines: `nlp.add_pipe("babelens", config={"model": "runs/first/model"})`.

spaCy finds this file by the entry point `spacy_factories` of the package, and imports it when it is asked for.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, no_type_check

import msgspec
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import minibatch

import babelens
from babelens.prediction.answer import Answer, Mention
from babelens.prediction.ask import Ask, AskError
from babelens.prediction.predictor import BATCH, Predictor
from babelens.schema import InputError

ANSWER, IMAGE, SCORE = "babelens", "image", "babelens_score"
ALIGNMENTS = ("strict", "contract", "expand")
_MODEL = "model"


class BabelensComponent:
    """Sets `doc.ents` to the entities that a babelens model finds in the text of a document.

    The model reads the text as it does everywhere else, split into words of its own. An entity whose borders lie within
    a token of spaCy is aligned by `alignment`, as `Doc.char_span` does: "expand" (to whole tokens), "contract" or
    "strict" (left out). Of entities that then overlap, that with the better score stays. Entities that were there
    before are replaced.

    The picture, or a list of pictures, is what stands in `doc.user_data["image"]`: a path, the bytes of a file, or a
    Pillow image. `span._.babelens_score` is the score of an entity; `doc.user_data["babelens"]` is the whole answer as
    it stands in JSON, which has what `ask` (the fields of `Ask`) asked for.

    The model is loaded when the first document comes. `to_disk` writes it into the pipeline's folder, from where it
    is read back: the folder that it came from is no longer needed.
    """

    def __init__(
        self,
        name: str,
        model: str | None,
        device: str | None = None,
        batch: int = BATCH,
        alignment: str = "expand",
        ask: Mapping[str, Any] | None = None,
    ) -> None:
        if alignment not in ALIGNMENTS:
            raise InputError(f"alignment: expected {', '.join(ALIGNMENTS)}, found {alignment!r}")
        if batch < 1:
            raise InputError(f"batch: expected 1 row or more, found {batch}")
        try:
            self.ask = msgspec.convert(dict(ask or {}), Ask)
        except (msgspec.ValidationError, AskError) as error:
            raise AskError(f"ask: {error}") from error
        self.name, self.model, self.device = name, model, device
        self.batch, self.alignment = batch, alignment
        self._predictor: Predictor | None = None
        if not Span.has_extension(SCORE):
            Span.set_extension(SCORE, default=None)

    @property
    def predictor(self) -> Predictor:
        """The model, loaded when it is first asked for.

        Raises:
            InputError: no model was named, or there is none of that name.
        """
        if self._predictor is None:
            if self.model is None:
                raise InputError(
                    f'component {self.name}: expected config={{"model": "a folder or hub id"}}, found none'
                )
            self._predictor = babelens.load(self.model, self.device)
        return self._predictor

    def __call__(self, doc: Doc) -> Doc:
        """Set the entities of one document."""
        return next(self._annotate([doc]))

    def pipe(self, stream: Iterable[Doc], batch_size: int = 128) -> Iterator[Doc]:
        """Set the entities of documents, `batch_size` of which are taken at a time; the model reads `batch` at once."""
        for docs in minibatch(stream, batch_size):
            yield from self._annotate(docs)

    def _annotate(self, docs: list[Doc]) -> Iterator[Doc]:
        rows = [
            {"text": doc.text, "image": doc.user_data.get(IMAGE), "language": doc.lang_ or None, "id": str(number)}
            for number, doc in enumerate(docs)
        ]
        answers = self.predictor.predict_batch(rows, batch=self.batch, ask=self.ask)
        for doc, answer in zip(docs, answers, strict=True):
            if answer.error is not None:
                raise InputError(f"component {self.name}: {answer.error}")
            self._set(doc, answer)
            yield doc

    def _set(self, doc: Doc, answer: Answer) -> None:
        taken: set[int] = set()
        spans: list[Span] = []
        for mention in sorted(answer.entities, key=lambda mention: (-mention.score, mention.start)):
            span = self._span(doc, mention)
            if span is None or not taken.isdisjoint(range(span.start, span.end)):
                continue
            taken.update(range(span.start, span.end))
            span._.set(SCORE, mention.score)
            spans.append(span)
        doc.set_ents(spans)
        doc.user_data[ANSWER] = {name: value for name, value in answer.to_dict().items() if name != "id"}

    def _span(self, doc: Doc, mention: Mention) -> Span | None:
        return doc.char_span(mention.start, mention.end, label=mention.type, alignment_mode=self.alignment)

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the model into a folder of the pipeline.

        Raises:
            InputError: no model was named, or there is none of that name.
            OSError: the disk is full or does not allow writing.
        """
        Path(path).mkdir(parents=True, exist_ok=True)
        self.predictor.save(Path(path) / _MODEL)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "BabelensComponent":
        """Read the model back from a folder of the pipeline; it is loaded when the first document comes."""
        self.model, self._predictor = str(Path(path) / _MODEL), None
        return self


# spaCy asks for the names of the arguments, and checks their types itself; a wrapper that checks them hides them.
@no_type_check
@Language.factory(
    "babelens",
    assigns=["doc.ents", "span._.babelens_score"],
    default_config={"model": None, "device": None, "batch": BATCH, "alignment": "expand", "ask": {}},
)
def make_component(
    nlp: Language,
    name: str,
    model: str | None,
    device: str | None,
    batch: int,
    alignment: str,
    ask: dict[str, Any],
) -> BabelensComponent:
    """The component that spaCy asks for by the name "babelens"."""
    return BabelensComponent(name, model, device, batch, alignment, ask)
