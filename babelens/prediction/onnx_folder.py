"""The folder of an exported model: graphs of ONNX, and what makes batches for them and tags of what they say."""

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec
from PIL import UnidentifiedImageError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoTokenizer

from babelens.models.batch import Collator
from babelens.models.spec import Model
from babelens.modules.backbone import Transform
from babelens.modules.heads import CrfHead, Softmax, SoftmaxHead
from babelens.modules.text.recurrent import Recurrent
from babelens.modules.text.spelling import WordSpeller
from babelens.modules.text.tokens import WordTokenizer
from babelens.modules.text.vocabulary import Vocabulary
from babelens.modules.vision.objects import CropTransform, Objects
from babelens.modules.vision.transform import Fit, PictureTransform
from babelens.schema import InputError, TagSet

FORMAT = 1
EXPORT, HEAD, TEXT = "export.json", "head.safetensors", "text"
WITHOUT, WITH = "text.onnx", "full.onnx"

# Inputs of a graph beside those of the text, named as its fields: pixels of each view, and which row has which.
PIXELS, PICTURES = "pixels_", "pictures"


class EngineError(InputError):
    """An exported model that cannot be loaded or asked: the message says what was expected and what was found."""


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file holds: so many bytes, of this SHA-256."""

    bytes: int
    sha256: str


class Speller(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the words of a text are read: sub-tokens of a window, or characters of a word and buckets of its n-grams."""

    limit: int
    buckets: int = 0


class Sight(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How pictures are cut for a view: `fit` of whole ones, or of the crops that `objects` tells of."""

    name: str
    fit: Fit
    augmented: bool = False
    objects: Objects | None = None


class Export(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in `export.json`.

    `files` are the graphs and weights of the folder; `source` those of the model folder that it was made of. `opset` is
    the version of ONNX's operators; `checked` is what was found when the graphs were compared with torch. `parameters`
    are counted in the model that it was made of, all of it; None in folders that do not tell.
    """

    model: Model
    types: tuple[str, ...]
    int8: bool
    speller: Speller
    views: tuple[Sight, ...]
    files: dict[str, Mark]
    source: dict[str, Mark]
    versions: dict[str, str]
    opset: int
    checked: dict[str, Any]
    parameters: int | None = None
    format: int = FORMAT

    @property
    def pictured(self) -> bool:
        """Whether the folder has a graph that sees pictures."""
        return WITH in self.files


def is_exported(place: str | os.PathLike[str]) -> bool:
    """Whether a folder holds an exported model."""
    return (Path(place) / EXPORT).is_file()


def read_export(folder: Path) -> Export:
    """What the folder of an exported model says of itself; its files are looked at for their size.

    Raises:
        EngineError: it is no such folder, another version made it, or a file is missing or of another size.
    """
    path = folder / EXPORT
    if not path.is_file():
        found = "no such folder" if not folder.exists() else f"no {EXPORT} in it"
        raise EngineError(f"{folder}: expected the folder of an exported model, found {found}")
    try:
        export = msgspec.json.decode(path.read_bytes(), type=Export)
    except (msgspec.DecodeError, InputError, UnicodeDecodeError) as error:
        raise EngineError(f"{path}: expected the description of an exported model, found another: {error}") from error
    if export.format != FORMAT:
        raise EngineError(f"{path}: expected format {FORMAT}, found {export.format} (made by another version?)")
    for name, mark in export.files.items():
        own = folder / name
        size = own.stat().st_size if own.is_file() else None
        if size != mark.bytes:
            found = "no such file" if size is None else f"{size:,}"
            raise EngineError(f"{own}: expected {mark.bytes:,} bytes, found {found}")
    return export


def mark(path: Path) -> Mark:
    """The size and the checksum of a file."""
    with path.open("rb") as file:
        return Mark(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def read_collator(folder: Path, export: Export) -> Collator:
    """What makes batches for an exported model.

    Raises:
        EngineError: what makes the model's input cannot be read.
    """
    try:
        transforms = [_transform(folder / sight.name, sight) for sight in export.views if export.pictured]
        return Collator(_speller(folder / TEXT, export), transforms, TagSet(export.types))
    except (OSError, ValueError, KeyError, UnidentifiedImageError) as error:
        raise EngineError(f"{folder}: expected a whole exported model, found a part that is none: {error}") from error


def _speller(folder: Path, export: Export) -> WordTokenizer | WordSpeller:
    speller = export.speller
    if isinstance(export.model.backbone.text, Recurrent):
        return WordSpeller(Vocabulary.load(folder), speller.limit, speller.buckets)
    return WordTokenizer(AutoTokenizer.from_pretrained(folder, local_files_only=True), speller.limit)


def _transform(folder: Path, sight: Sight) -> Transform:
    cut = PictureTransform.read(folder, sight.fit, sight.augmented)
    return cut if sight.objects is None else CropTransform(sight.objects, cut)


def save_transform(folder: Path, name: str, transform: Transform) -> Sight:
    """Write how pictures are cut for a view into a folder of its own name, and tell it.

    Raises:
        EngineError: the transform is of a kind that no folder holds.
    """
    objects, cut = (transform.objects, transform.cut) if isinstance(transform, CropTransform) else (None, transform)
    if not isinstance(cut, PictureTransform):
        raise EngineError(f"{name}: expected pictures that are cut into squares, found a {type(transform).__name__}")
    cut.processor.save_pretrained(folder / name)
    return Sight(name, cut.fit, cut.augmented, objects)


def head_weights(head: CrfHead | SoftmaxHead) -> dict[str, Tensor]:
    """What the decoding of a head needs of its weights: the chain."""
    if isinstance(head, SoftmaxHead):
        return {}
    return {name: getattr(head, name) for name in ("transitions", "start", "end")}


def read_head(folder: Path, export: Export) -> CrfHead | SoftmaxHead:
    """The head of an exported model: it decodes emissions, and makes none.

    Raises:
        EngineError: its weights are missing or those of another head.
    """
    tags, declared = TagSet(export.types), export.model.head
    if isinstance(declared, Softmax):
        head: CrfHead | SoftmaxHead = SoftmaxHead(1, tags)
    else:
        head = CrfHead(1, tags, declared.forbid_illegal)
        try:
            head.load_state_dict(load_file(folder / HEAD), strict=False)
        except (SafetensorError, RuntimeError, OSError) as error:
            reason = " ".join(str(error).split())[:300]
            raise EngineError(f"{folder / HEAD}: expected the weights of the head, found others: {reason}") from error
    for parameter in head.scores.parameters():
        nn.init.zeros_(parameter)
    return head.requires_grad_(False).eval()
