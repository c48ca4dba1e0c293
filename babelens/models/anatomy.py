"""What a declared model is made of: its parts, their parameters, and the shapes that pass from one to the next."""

from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from babelens.data import Picture
from babelens.models.batch import Batch, Row
from babelens.models.encoders import unloaded
from babelens.models.spec import Model
from babelens.models.tagger import Tagger
from babelens.modules.origin import Origin
from babelens.schema import Example, TagSet

_TYPES = ("LOC", "MISC", "ORG", "PER")
_SENTENCE = ("Ada", "Lovelace", "visited", "the", "Eiffel", "Tower", "in", "Paris", ".")


class Size(NamedTuple):
    """The number of parameters of a part, and of those that are trained."""

    all: int
    trained: int


class Step(NamedTuple):
    """A part and the shapes of what came out of it for one sentence with one picture."""

    part: str
    shapes: tuple[tuple[int, ...], ...]


def parts(tagger: Tagger) -> dict[str, nn.Module]:
    """The parts of a tagger by name, in the order in which a batch passes them; what has no weights is left out."""
    found: dict[str, nn.Module] = {}
    for name, module in tagger.backbone.named_children():
        if isinstance(module, nn.ModuleDict):
            for view, modules in module.items():
                found.update({f"{view}.{part}": own for part, own in modules.named_children()})
        else:
            found[name] = module
    return {name: module for name, module in {**found, "head": tagger.head}.items() if size_of(module).all}


def sizes(tagger: Tagger) -> dict[str, Size]:
    """The parameters of each part, and of "all"."""
    return {name: size_of(module) for name, module in {**parts(tagger), "all": tagger}.items()}


def size_of(module: nn.Module) -> Size:
    """The number of parameters of a module."""
    weights = list(module.parameters())
    return Size(sum(p.numel() for p in weights), sum(p.numel() for p in weights if p.requires_grad))


def unfilled(model: Model, *, compact: bool = False) -> Tagger:
    """A model whose weights take no memory: nothing is loaded and nothing can be computed.

    Pretrained encoders are taken to have the published sizes of those that the paper names; a `compact` model is as it
    is declared. A vocabulary that is learnt from the training text counts as that of one sentence.
    """
    declared = model if compact else unloaded(model)
    with torch.device("meta"):
        return Tagger(declared, TagSet(_TYPES), lambda _: Origin(words=lambda: [_SENTENCE]))


def flow(tagger: Tagger) -> list[Step]:
    """What comes out of each part for one sentence of nine words with one picture.

    The tagger is one of `unfilled`; its weights become zeros in memory (4 bytes each).
    """
    tagger = tagger.to_empty(device="cpu").eval()
    with torch.no_grad():
        for tensor in [*tagger.parameters(), *tagger.buffers()]:
            tensor.zero_()
    batch = _one_row(tagger)
    named = zip(tagger.backbone.transforms, batch.pixels, strict=True)
    steps = [Step(f"pixels of {name}", (tuple(own.shape),)) for name, own in named]
    hooks = [module.register_forward_hook(_recorder(name, steps)) for name, module in _stages(tagger).items()]
    try:
        with torch.no_grad():
            emissions = tagger.emissions(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return [*steps, Step("emissions", (tuple(emissions.shape),))]


def _stages(tagger: Tagger) -> dict[str, nn.Module]:
    """The modules that a batch passes, by name. A view is called as a whole to make its regions."""
    views = {f"{name}.regions": view for name, view in getattr(tagger.backbone, "views", {}).items()}
    return {name: views.get(name, module) for name, module in parts(tagger).items()}


def _recorder(name: str, steps: list[Step]) -> Any:
    def record(module: nn.Module, inputs: object, output: object) -> None:
        steps.append(Step(name, tuple(_shapes(output))))

    return record


def _shapes(output: object) -> list[tuple[int, ...]]:
    """The shapes of all numbers in what a module gave; masks and places are left out."""
    if isinstance(output, Tensor):
        return [tuple(output.shape)] if output.is_floating_point() else []
    if isinstance(output, tuple):
        return [shape for part in output for shape in _shapes(part)]
    return []


def _one_row(tagger: Tagger) -> Batch:
    def opened(key: str) -> Picture:
        return Picture(key, Image.new("RGB", (640, 480)), "used")

    return tagger.collator()([Row(Example("1", _SENTENCE), ("picture",), opened)], labelled=False)
