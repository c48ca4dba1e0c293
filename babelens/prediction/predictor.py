"""Sentence and picture in, entities out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from babelens.models.batch import Batch, Collator, Row
from babelens.models.calibration import Calibration
from babelens.models.checkpoint import push_folder, save_tagger
from babelens.models.digest import model_digest
from babelens.models.tagger import Tagger
from babelens.prediction.answer import Answer, answer_row
from babelens.prediction.ask import PLAIN, Ask
from babelens.prediction.explain import answer_batch
from babelens.prediction.pictures import GivenPictures, Images
from babelens.prediction.rows import RowError, Unread, fields_row, text_row
from babelens.prediction.stream import Pace, stream_answers
from babelens.schema import InputError

Question = str | Sequence[str] | Mapping | Row | Unread

BATCH = 32


class Predictor:
    """A trained tagger, asked with texts and pictures.

    An answer does not depend on the rows that are asked with it.
    """

    def __init__(self, tagger: Tagger) -> None:
        self.tagger = tagger.eval()

    @property
    def types(self) -> tuple[str, ...]:
        """The entity types that the model knows."""
        return self.tagger.tags.types

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.tagger.device

    @cached_property
    def digest(self) -> str:
        """A name for the model that changes with whatever changes its answers (see `models.digest`); computed once."""
        return model_digest(self.tagger)

    def min_score(self, target_precision: float) -> float:
        """The least score from which entities are right as often as that (a share), as `babelens calibrate` found.

        Raises:
            CalibrationError: no threshold was found for it.
        """
        return (self.tagger.calibration or Calibration()).threshold(target_precision).score

    def predict(
        self,
        text_or_tokens: str | Sequence[str],
        image: Images = None,
        language: str | None = None,
        *,
        ask: Ask = PLAIN,
    ) -> Answer:
        """Find the entities of one text, with the help of its picture or pictures.

        A text is split into words; tokens are taken as they are, and the text of the answer is the tokens joined by
        blanks. `image` is a path, the bytes of a file, a Pillow image, or a list of these. A picture that cannot be
        opened is no error: `image_status` of the answer says so. `ask` says what else the answer tells.

        Raises:
            InputError: what was given is neither a text nor a list of tokens.
        """
        row = text_row(text_or_tokens, image, language, "0")
        if not row.example.words:
            return self.bare(row, ask)
        return self.answer([row], self.collator()([row], labelled=False), ask)[0]

    def predict_batch(self, rows: Iterable[Question], *, batch: int = BATCH, ask: Ask = PLAIN) -> Iterator[Answer]:
        """Answer any number of rows, in their order, `batch` at a time and with memory that does not grow.

        A row is a text, a list of tokens, or a mapping with `text` or `tokens` and perhaps `id`, `image` (as in
        `predict`) and `language`. A row that cannot be read is answered too: its `error` says why. `ask` says what else
        the answers tell.

        Raises:
            ValueError: `batch` is less than 1.
            ImageError: a picture cannot be opened, and the rows were read with strict pictures.
        """
        questions = (_read(row, number) for number, row in enumerate(rows))
        yield from stream_answers(self, questions, Pace(batch), ask)

    def collator(self, memory: int = 0) -> Collator:
        """What makes batches of rows for this model; `memory` bytes of cut pictures are kept."""
        return self.tagger.collator(memory)

    def answer(self, rows: Sequence[Row], made: Batch, ask: Ask = PLAIN) -> list[Answer]:
        """Answer rows, each of which has words, from the batch that was made of them (see `explain.answer_batch`)."""
        return answer_batch(self.tagger, rows, made, ask, self.digest if ask.model else None)

    def bare(self, row: Row | Unread, ask: Ask = PLAIN) -> Answer:
        """The answer to a row that the model is not asked about: it has no words, or could not be read."""
        if isinstance(row, Unread):
            return Answer("", id=row.id, error=row.error)
        return replace(answer_row(row.example, (), "none"), model=self.digest if ask.model else None)

    def save(self, folder: str | Path) -> None:
        """Write the model folder; it is there as a whole or not at all.

        Raises:
            CheckpointError: something that is no model folder stands in the way.
            OSError: the disk is full or does not allow writing.
        """
        save_tagger(self.tagger, Path(folder))

    def push(self, repository: str, *, private: bool = False) -> str:
        """Upload the model to the hub ("user/name") and return its address; the token is that of `hf auth login`.

        Raises:
            HfHubHTTPError: the hub refuses.
        """
        with TemporaryDirectory() as place:
            save_tagger(self.tagger, Path(place) / "model")
            return push_folder(Path(place) / "model", repository, private=private)


def choose_device(name: str | None = None) -> torch.device:
    """The device of that name ("cpu", "cuda", "cuda:1", "mps"); without a name the best that there is.

    Raises:
        InputError: there is no such device.
    """
    if name is None:
        found = torch.accelerator.current_accelerator(check_available=True)
        return found or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"expected a device of this machine (cpu, cuda, cuda:1), found {name!r}: {reason}") from error
    return device


def _read(row: Question, number: int) -> Row | Unread:
    """What a row of any kind says."""
    if isinstance(row, Row | Unread):
        return row
    name = str(number)
    try:
        return fields_row(row, name, _attach) if isinstance(row, Mapping) else text_row(row, id=name)
    except RowError as error:
        return Unread(name, f"row {number}: {error}")


def _attach(image: Images) -> tuple:
    pictures = GivenPictures(image)
    return (), pictures.keys, pictures.open
