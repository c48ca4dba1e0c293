"""What `--data`, `--train`, `--valid`, `--types` and `--limit` mean: the training and validation parts of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from babelens.data import Corpus

Boxes = Annotated[
    list[Path] | None,
    typer.Option(
        help="Boxes of the objects in pictures: JSONL or a folder of XML [default: DIR/boxes.jsonl, DIR/boxes]; can be "
        "given several times."
    ),
]


def type_map(types: Sequence[str]) -> dict[str, str]:
    """Read `OLD=NEW` pairs.

    Raises:
        InputError: one of them is no such pair.
    """
    from babelens.schema import InputError

    pairs = [entry.partition("=") for entry in types]
    for entry, (old, equals, new) in zip(types, pairs, strict=True):
        if not (old and equals and new):
            raise InputError(f"--types: expected OLD=NEW, such as OTHER=MISC, found {entry!r}")
    return {old: new for old, _, new in pairs}


def parts(
    data: Sequence[str],
    train_files: Sequence[str],
    valid_files: Sequence[str],
    *,
    images: Path | None,
    boxes: Sequence[Path] | None,
    types: Sequence[str],
    seed: int,
    limit: int | None,
    strict_images: bool,
) -> tuple["Corpus", "Corpus"]:
    """The training and the validation part that a command line asks for.

    Raises:
        InputError: a part is not given, or types of the validation part do not occur in training.
        DataError: a file cannot be read.
    """
    import numpy as np

    from babelens.data import Corpus, read_split
    from babelens.schema import InputError

    how: Any = {"types": type_map(types), "images": images, "strict_images": strict_images, "boxes": boxes}
    made: list[Corpus] = []
    for split, files in (("train", train_files), ("valid", valid_files)):
        if files:
            from babelens.data.reading import read_share

            shares = [read_share(file, part=split, seed=seed, **how) for file in files]
            part = Corpus.concatenate(shares)
        elif data:
            part = read_split(data, split, **how)
        else:
            raise InputError(f"expected --data DIR or --{split} FILE, found neither")
        part = part.select(np.flatnonzero(part.lengths > 0))  # a row without words teaches nothing
        if limit is not None:
            part = part.select(np.arange(min(limit, len(part))))
        if len(part) == 0:
            raise InputError(f"expected rows in the {split} part, found none")
        made.append(part)
    training, validation = made
    unseen = set(validation.types) - set(training.types)
    if unseen and limit is None:
        raise InputError(
            f"expected the types of the training part ({', '.join(training.types)}) in the validation part, "
            f"found {', '.join(sorted(unseen))}; --types OLD=NEW renames a type, --types OLD=O leaves it out"
        )
    return training, validation
