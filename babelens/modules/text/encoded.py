"""What every text encoder gives."""

from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor

from babelens.modules.shapes import Pooled, WordMask, Words


class Pieces(NamedTuple):
    """A text as the sub-tokens that an encoder reads, in windows (see `tokens.TextInput`).

    `rows` says which row of the batch a window belongs to; `chosen` which place (window * pieces + piece) stands for
    each word.
    """

    states: Float[Tensor, "window piece dim"]
    mask: Bool[Tensor, "window piece"]
    rows: Int[Tensor, " window"]
    chosen: Int[Tensor, "batch word"]

    def words(self, states: Float[Tensor, "window piece width"], mask: WordMask) -> Float[Tensor, "batch word width"]:
        """The states of the sub-tokens that stand for words; zero where there is no word."""
        return states.flatten(0, 1)[self.chosen].masked_fill(~mask.unsqueeze(-1), 0.0)


class EncodedText(NamedTuple):
    """Words (batch, word, dim), zero where `mask` says that there is none, and one vector per text.

    `pieces` are there where the encoder reads sub-tokens.
    """

    words: Words
    mask: WordMask
    pooled: Pooled
    pieces: Pieces | None = None
