"""The program that runs the model for the service: rows in, answers out, one batch at a time.

It speaks in frames of MessagePack over its standard input and output. The first frame that it writes says what the
model is, or why there is none; then each frame of rows is answered by a frame of as many answers.
"""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from babelens.prediction.ask import Ask
from babelens.serving.decoding import Pixels
from babelens.serving.frames import Stream, read_frame, write_frame

if TYPE_CHECKING:
    from babelens.data.images import Picture
    from babelens.models.batch import Row
    from babelens.prediction.answer import Answer
    from babelens.prediction.predictor import Predictor


class ModelRow(msgspec.Struct, frozen=True, array_like=True):
    """A row as the model's process gets it; its pictures are open."""

    text: str | None
    tokens: list[str] | None
    id: str | None
    language: str | None
    pictures: tuple[Pixels, ...]
    ask: Ask


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """The answer to a row as JSON; or, with a status of its own, why there is none."""

    body: bytes
    status: int = 200


class Facts(msgspec.Struct, frozen=True):
    """What `GET /v1/model` says of the model.

    `parameters` of an exported model are those of the model that it was made of, None where its folder does not tell.
    """

    types: tuple[str, ...]
    views: tuple[str, ...]
    text_encoder: str
    head: str
    parameters: int | None
    device: str
    threads: int
    digest: str
    versions: dict[str, str]


def main() -> None:
    """Load the model of the first argument on the device of the second ("-": the best there is), and answer."""
    frames, answers = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is not for the other side
    model, device = sys.argv[1], None if sys.argv[2] == "-" else sys.argv[2]
    from babelens.schema import InputError

    try:
        import babelens

        predictor = babelens.load(model, device)
    except InputError as error:
        write_frame(answers, msgspec.msgpack.encode(str(error)))
        return
    answer_frames(predictor, model, frames, answers)


def answer_frames(predictor: "Predictor", model: str, frames: Stream, answers: Stream) -> None:
    """Say what the model is, once it is warm, and answer frames of rows until there are no more."""
    _warm(predictor)
    write_frame(answers, msgspec.msgpack.encode(_facts(predictor, model)))
    decoder = msgspec.msgpack.Decoder(list[ModelRow])
    while (frame := read_frame(frames)) is not None:
        rows = decoder.decode(frame)
        del frame  # pictures are large, and their pixels are copied
        write_frame(answers, msgspec.msgpack.encode(answer_rows(predictor, rows)))
        del rows


def answer_rows(predictor: "Predictor", rows: Sequence[ModelRow]) -> list[Reply]:
    """The answers to rows, in their order; rows that ask for the same things are read together."""
    replies: dict[int, Reply] = {}
    groups: dict[Ask, list[int]] = {}
    read: dict[int, Row] = {}
    for number, row in enumerate(rows):
        made = _row(row)
        if isinstance(made, Reply):
            replies[number] = made
        else:
            read[number] = made
            groups.setdefault(row.ask, []).append(number)
    for ask, numbers in groups.items():
        found = _answers(predictor, [read[number] for number in numbers], _possible(predictor, ask))
        replies.update(zip(numbers, found, strict=True))
    return [replies[number] for number in range(len(rows))]


def _possible(predictor: "Predictor", ask: Ask) -> Ask:
    """A wish as far as the model can grant it: an exported one cannot tell where it looked."""
    from babelens.prediction.onnx_engine import OnnxTagger

    exported = isinstance(predictor.tagger, OnnxTagger)
    return msgspec.structs.replace(ask, regions=False) if exported else ask


def _answers(predictor: "Predictor", rows: "Sequence[Row]", ask: Ask) -> list[Reply]:
    """Answers to rows of one wish; where they fail together, each is asked alone, so that only the culprit fails."""
    try:
        return [_reply(answer) for answer in predictor.predict_batch(rows, batch=len(rows), ask=ask)]
    except Exception as error:
        if len(rows) > 1:
            return [reply for row in rows for reply in _answers(predictor, [row], ask)]
        return [_failure(error)]


def _failure(error: Exception) -> Reply:
    from babelens.models.memory import out_of_memory
    from babelens.prediction.ask import AskError

    if isinstance(error, AskError):
        return Reply(msgspec.json.encode(str(error)), 422)
    if isinstance(error, MemoryError | RuntimeError) and out_of_memory(error):
        return Reply(
            msgspec.json.encode("expected a row that fits into the memory of the model, found a longer one"), 413
        )
    # The message may quote what was asked; where it happened does not.
    print("".join(traceback.format_tb(error.__traceback__)), type(error).__name__, sep="", file=sys.stderr, flush=True)
    return Reply(msgspec.json.encode("the model could not read this row"), 500)


def _reply(answer: "Answer") -> Reply:
    row = answer.to_dict()
    if answer.error is not None:
        return Reply(msgspec.json.encode(answer.error), 422)
    if not answer.id:
        row.pop("id", None)
    return Reply(msgspec.json.encode(row))


def _row(row: ModelRow) -> "Row | Reply":
    from babelens.prediction.rows import RowError, fields_row

    fields = {"text": row.text, "tokens": row.tokens, "language": row.language, "image": row.pictures}
    try:
        return fields_row(fields, row.id or "", _attach)
    except RowError as error:
        return Reply(msgspec.json.encode(str(error)), 422)


def _attach(pictures: Sequence[Pixels]) -> "tuple[tuple[str, ...], tuple[str, ...], Callable[[str], Picture] | None]":
    from PIL import Image

    from babelens.data.images import Picture

    held = {pixels.key: pixels for pixels in pictures}

    def open(key: str) -> Picture:
        pixels = held[key]
        size = (pixels.width, pixels.height)
        image = Image.frombytes("RGB", size, pixels.rgb)  # pyright: ignore[reportArgumentType]
        return Picture(key, image, "used")

    return (), tuple(held), open


def _warm(predictor: "Predictor") -> None:
    """Answer once as will be answered later: what is made at the first call is made now."""
    words = ["A", "word", "or", "two", "."] * 8
    gray = Pixels("gray", 64, 64, memoryview(bytes([127]) * (64 * 64 * 3)))
    for pictures in ((), (gray,)):
        row = ModelRow(None, words, None, None, pictures, Ask())
        for rows in ([row], [row] * 8):
            answer_rows(predictor, rows)


def _facts(predictor: "Predictor", model: str) -> Facts:
    from importlib.metadata import version

    import torch

    from babelens.models.tagger import count_parameters
    from babelens.prediction.onnx_engine import OnnxTagger

    tagger, declared = predictor.tagger, predictor.tagger.model
    exported = tagger.export if isinstance(tagger, OnnxTagger) else None
    names = ("babelens", "torch", "transformers", *(("onnxruntime",) if exported else ()))
    return Facts(
        types=predictor.types,
        views=tuple(declared.views) if exported is None else tuple(view.name for view in exported.views),
        text_encoder=type(declared.backbone.text).__name__,
        head=type(declared.head).__name__,
        parameters=count_parameters([tagger]) if exported is None else exported.parameters,
        device=str(predictor.device),
        threads=torch.get_num_threads(),
        digest=predictor.digest,
        versions={name: version(name) for name in names},
    )


if __name__ == "__main__":
    main()
