"""What every text encoder gives."""

from typing import NamedTuple

from babelens.modules.shapes import Pooled, WordMask, Words


class EncodedText(NamedTuple):
    """Words (batch, word, dim), zero where `mask` says that there is none, and one vector per text."""

    words: Words
    mask: WordMask
    pooled: Pooled
