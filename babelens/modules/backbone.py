"""What every backbone gives to the head, to the alignments and to whoever wants to know where it looked.

A backbone turns the words and the pictures of a batch into a `State`. `late.Late` encodes them apart and fuses them
afterwards; `interleaved.Interleaved` lets the layers of both encoders exchange. The tagger knows only this.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from babelens.modules.alignment import Pairs
from babelens.modules.shapes import RegionMask, Regions, Words
from babelens.modules.text.encoded import EncodedText
from babelens.schema import Box


class Streams(NamedTuple):
    """What a head reads: the words as the fusion left them, and for heads with an auxiliary task a second stream."""

    words: Words
    auxiliary: Float[Tensor, "batch word auxiliary"] | None = None


class Seen(NamedTuple):
    """What a view made of the pictures of each row.

    `regions` (batch, region, width) of all of a row's pictures, one picture after the other; `mask` says which are
    real. `image` is one vector per row for the alignment, the mean over the row's pictures; None in a view that is not
    aligned.
    """

    regions: Regions
    mask: RegionMask
    image: Float[Tensor, "batch vector"] | None = None


class State(NamedTuple):
    """What a backbone made of a batch: streams for the head, the encoded text, and each view by its name."""

    streams: Streams
    text: EncodedText
    views: Mapping[str, Seen]


@runtime_checkable
class Transform(Protocol):
    """Makes of a picture what a view reads: bytes (channel, row, column), or (crop, channel, row, column).

    It is picklable, so that data workers can hold it. `boxes` are the objects known in the picture; `draw` seeds what
    is random about the transform (nothing, in most; see `Chance`), and with 0 nothing is drawn.
    """

    def __call__(self, picture: Image.Image, boxes: Sequence[Box] = (), draw: int = 0) -> Tensor:
        """Cut one picture."""
        ...


@runtime_checkable
class Chance(Protocol):
    """What a transform of which something is random says besides; a transform that does not is never random."""

    def draws(self, training: bool) -> bool:
        """Whether something is left to chance, in training or in evaluation."""
        ...


@runtime_checkable
class Part(Protocol):
    """A part of a model with a folder of its own in a checkpoint."""

    def save(self, folder: Path) -> None:
        """Write what rebuilds the part without the hub; no weights."""
        ...


@runtime_checkable
class Backbone(Protocol):
    """Words and pictures in, streams out.

    `dim` is the width of the words that the head reads, `auxiliary_dim` that of its second stream, None where there is
    none. `text` is the text encoder.
    """

    dim: int
    auxiliary_dim: int | None
    text: Any

    @property
    def transforms(self) -> dict[str, Transform]:
        """The picture transform of each view, in the order in which a batch holds their pixels."""
        ...

    def parts(self) -> dict[str, Part]:
        """What has a folder of its own in a checkpoint, by the folder's name."""
        ...

    def __call__(self, text: Any, pixels: Sequence[Tensor], pictures: Tensor) -> State:
        """Encode and fuse a batch; `pictures` (batch, slot) says which of the pixels each row has, -1 for none."""
        ...

    def pairs(self, state: State) -> dict[str, Pairs]:
        """What each aligned view compares, by its name: a text and a picture a row."""
        ...

    def alignments(
        self, pairs: Mapping[str, Pairs], groups: Tensor, present: Tensor, rows: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The alignment loss of each aligned view by its name (see `alignment.nt_xent`)."""
        ...

    def attention(self, state: State) -> dict[str, Tensor]:
        """Where each word looks, (batch, head, word, region), for each view that can tell."""
        ...
