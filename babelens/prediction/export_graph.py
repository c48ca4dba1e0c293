"""From a tagger to graphs of ONNX: words, and pixels where there are any, in; emissions out."""

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from babelens.models.tagger import Tagger
from babelens.modules.late import LateBackbone, pixels_of_none
from babelens.modules.shapes import Emissions
from babelens.modules.text.recurrent import RecurrentEncoder
from babelens.modules.text.spelling import SpelledInput
from babelens.modules.text.tokens import TextInput
from babelens.prediction.export_parts import GraphText, exchange
from babelens.prediction.export_views import exchange_views
from babelens.prediction.onnx_folder import PICTURES, PIXELS

OPSET = 20

# Sizes that a graph is made with: all different, so that none is taken for another, and none is 0 or 1.
_SIZES = {
    "rows": 3,
    "words": 5,
    "windows": 7,
    "pieces": 11,
    "different": 13,
    "characters": 17,
    "grams": 29,
    "pictures": 4,
    "slots": 2,
}
_PIECES = {
    "ids": ("windows", "pieces"),
    "attention": ("windows", "pieces"),
    "owner": ("windows", "pieces"),
    "first": ("rows", "words"),
    "last": ("rows", "words"),
    "mask": ("rows", "words"),
    "casing": ("rows", "words"),
    "window": ("rows",),
}
_SPELLED = {
    "words": ("rows", "words"),
    "casing": ("rows", "words"),
    "mask": ("rows", "words"),
    "spelling": ("rows", "words"),
    "characters": ("different", "characters"),
    "grams": ("grams",),
    "offsets": ("different",),
    "lengths": ("rows",),
    "spans": ("different",),
}
_TRUE_OR_FALSE = ("mask", "attention")


class Input(NamedTuple):
    """An input of a graph: its name, its axes (a name for one that may be of any size), and a tensor to trace with."""

    name: str
    axes: tuple[str | int, ...]
    example: Tensor


class EmissionGraph(nn.Module):
    """Emissions of flat tensors: those of the text by the names of its fields, then pixels of each view, then pictures.

    Without `pictured` the pictures are left out: every row is one without a picture.
    """

    def __init__(self, tagger: Tagger, names: Sequence[str], pictured: bool) -> None:
        super().__init__()
        self.tagger = tagger
        self.names = tuple(names)
        self.pictured = pictured
        self.kind: Any = SpelledInput if isinstance(tagger.backbone.text, RecurrentEncoder) else GraphText

    def forward(self, tensors: list[Tensor]) -> Emissions:
        """The score of each tag for each word."""
        count = len(self.names)
        text = self.kind(**dict(zip(self.names, tensors[:count], strict=True)))
        if self.pictured:
            *pixels, pictures = tensors[count:]
        else:
            pictures = torch.full((text.mask.shape[0], 1), -1, dtype=torch.long)
            pixels = [pixels_of_none(pictures) for _ in self.tagger.backbone.transforms]
        state = self.tagger.backbone(text, pixels, pictures)
        return self.tagger.head.emissions(state.streams)


def inputs_of(tagger: Tagger, pictured: bool) -> list[Input]:
    """What the graph of a tagger takes."""
    recurrent = isinstance(tagger.backbone.text, RecurrentEncoder)
    axes = _SPELLED if recurrent else _PIECES
    kind = SpelledInput if recurrent else TextInput
    found = [_text_input(field.name, axes[field.name]) for field in fields(kind) if field.name in axes]
    if not pictured:
        return found
    blank = Image.new("RGB", (64, 64))
    for name, transform in tagger.backbone.transforms.items():
        shape = transform(blank).shape
        example = torch.zeros((_SIZES["pictures"], *shape), dtype=torch.uint8)
        found.append(Input(PIXELS + name, ("pictures", *shape), example))
    return [*found, Input(PICTURES, ("rows", "slots"), _example(("rows", "slots")))]


def _text_input(name: str, axes: tuple[str, ...]) -> Input:
    example = _example(axes)
    if name in _TRUE_OR_FALSE:
        return Input(name, axes, example.bool())
    return Input(name, axes, example + 1 if name in ("lengths", "spans") else example)


def _example(axes: tuple[str, ...]) -> Tensor:
    return torch.zeros([_SIZES[axis] for axis in axes], dtype=torch.long)


def make_graph(tagger: Tagger, *, pictured: bool) -> Any:
    """The graph of a tagger as torch's `ONNXProgram`; of one that sees pictures, without them if not `pictured`.

    Raises:
        Exception: whatever torch raises of a part that it cannot put into a graph.
    """
    copied = copy.deepcopy(tagger).float().cpu().eval()
    exchange(copied)
    exchange_views(copied)
    inputs = inputs_of(copied, pictured)
    names = [own.name for own in inputs if own.name != PICTURES and not own.name.startswith(PIXELS)]
    graph = EmissionGraph(copied, names, pictured).eval()
    dynamic = [
        {place: torch.export.Dim.DYNAMIC for place, axis in enumerate(own.axes) if isinstance(axis, str)}
        for own in inputs
    ]
    with quiet():
        program = torch.export.export(
            graph, ([own.example for own in inputs],), dynamic_shapes=(dynamic,), strict=False
        )
        return torch.onnx.export(
            program,
            input_names=[own.name for own in inputs],
            output_names=["emissions"],
            opset_version=OPSET,
            dynamo=True,
            optimize=True,
            verbose=False,
        )


def blame(tagger: Tagger, pictured: bool, error: Exception) -> str:
    """Which part of a tagger cannot be put into a graph, in words: of what sees pictures, each is tried by itself."""
    reason = next((line.strip() for line in _reason(error).splitlines() if line.strip()), type(error).__name__)[:300]
    part = f"the text ({type(tagger.model.backbone).__name__} on {type(tagger.model.backbone.text).__name__})"
    if pictured:
        part = "what reads the pictures"
        views = tagger.backbone.seeing() if isinstance(tagger.backbone, LateBackbone) else {}
        for name, view in views.items():
            if view.regions is not None and not _follows(tagger, name):
                part = f"the view {name} ({type(view.regions).__name__})"
    hint = "; --text-only exports the model without its pictures" if pictured else ""
    return f"expected a model that a graph of ONNX can hold, found that {part} cannot be put into one: {reason}{hint}"


def _reason(error: Exception) -> str:
    """What stands behind the exporter's advice to write to its authors."""
    return _reason(error.__cause__) if isinstance(error.__cause__, Exception) else str(error)


def _follows(tagger: Tagger, name: str) -> bool:
    """Whether the encoder of a view alone can be put into a graph."""
    copied = copy.deepcopy(tagger).float().cpu().eval()
    exchange(copied)
    exchange_views(copied)
    encoder = _Encoder(copied.backbone.get_submodule(f"views.{name}.regions"))
    example = next(own.example for own in inputs_of(copied, True) if own.name == PIXELS + name)
    try:
        with quiet():
            shapes = ({0: torch.export.Dim.DYNAMIC},)
            torch.onnx.export(
                torch.export.export(encoder, (example,), dynamic_shapes=shapes, strict=False), verbose=False
            )
    except Exception:
        return False
    return True


class _Encoder(nn.Module):
    """The features of a region encoder, as a module."""

    def __init__(self, regions: nn.Module) -> None:
        super().__init__()
        self.regions: Any = regions

    def forward(self, pixels: Tensor) -> Tensor:
        return self.regions.features(pixels)


@contextmanager
def quiet() -> Iterator[None]:
    """Without what the exporter, its optimiser and the quantiser log, and without their warnings of one another."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
