"""Where a part of a model comes from: the hub, its folder in a checkpoint, or nothing but the training text."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Origin:
    """What a declaration needs to build its part.

    `folder` is the part's folder in a checkpoint: its configuration, tokenizer and preprocessor are read from there,
    and its weights are filled in later by the checkpoint, so nothing is downloaded. Without a folder the part is new:
    pretrained by name, or from scratch, and then `words` gives the training sentences to learn a vocabulary from.
    """

    folder: Path | None = None
    words: Callable[[], Iterable[Sequence[str]]] | None = None
