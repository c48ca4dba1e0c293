"""What a pre-annotator is, and what it reads in a text."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from babelens.build.rows import Row, digest_of


class Span(NamedTuple):
    """An entity as it was found: places in Unicode code points, its label, and where there is one its score."""

    start: int
    end: int
    label: str
    score: float | None = None


@dataclass(frozen=True)
class Reading:
    """What was found in a text, in its order; or `why` it could not be read. `facts` are told of the row."""

    spans: Sequence[Span] = ()
    why: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Block(NamedTuple):
    """The readings of a block of rows, and the processor's seconds that they took."""

    readings: Sequence[Reading]
    seconds: float


@runtime_checkable
class Annotator(Protocol):
    """Finds entities. What it finds in a row hangs on no other row, but for the last bits of a model's numbers.

    `languages` are those that it reads, None is any; `by` says, by language ("*" is any), who it is, in terms of JSON:
    two annotators of equal `by` find the same; `versions` are of the libraries that have a say. It is to be given
    blocks of `block` rows, so that rows are put together in the same way however often a run is stopped.
    """

    languages: frozenset[str] | None
    by: Mapping[str, Any]
    versions: Mapping[str, str]
    block: int

    def annotate(self, blocks: Iterable[Sequence[Row]]) -> Iterator[Block]:
        """The readings of each block, in order; a few blocks may be read ahead."""
        ...


def folder_digest(folder: Path) -> str:
    """The digest of a folder's files and of their names within it: BLAKE2b, 128 bits, in hexadecimal digits."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    digest = blake2b(digest_size=16)
    for name in sorted(files):
        if "__pycache__" not in name:
            digest.update(f"{name}\0{digest_of(files[name])}\n".encode())
    return digest.hexdigest()
