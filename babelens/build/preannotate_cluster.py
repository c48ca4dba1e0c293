"""Pre-annotation by the actors of a Ray cluster: the same blocks of rows, read elsewhere, put back in their order."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babelens.build.preannotate_reading import Annotator, Block
from babelens.build.rows import Row
from babelens.prediction.cluster_actors import Cluster, map_in_order
from babelens.prediction.cluster_disk import ClusterError


class ClusterAnnotator:
    """What `make` makes, once in each actor, in the place of the same annotator here; what it writes is the same.

    Models, pipelines and pictures are read by the actors, so every node has them under the same path or name. Rows go
    from here to the actors, and readings back; an actor whose process ends is started anew and reads its blocks again.

    Raises:
        InputError: `make` raises it; or, when rows are read, see `map_in_order`.
    """

    def __init__(self, make: Callable[[], Annotator], cluster: Cluster) -> None:
        own = make()
        self.languages: frozenset[str] | None = own.languages
        self.by: Mapping[str, Any] = own.by
        self.versions: Mapping[str, str] = own.versions
        self.block = own.block
        self._made = _Made(make, dict(own.by), dict(own.versions))
        self._cluster = cluster

    def annotate(self, blocks: Iterable[Sequence[Row]]) -> Iterator[Block]:
        """The readings of each block, in order."""
        return map_in_order(self._made, blocks, self._cluster)


@dataclass(frozen=True)
class _Made:
    """Makes in an actor what reads blocks, and makes sure that it is what is here."""

    make: Callable[[], Annotator]
    by: dict[str, Any]
    versions: dict[str, str]

    def __call__(self) -> Callable[[Sequence[Row]], Block]:
        annotator = self.make()
        for expected, found in ((self.by, annotator.by), (self.versions, annotator.versions)):
            if found != expected:
                raise ClusterError(f"expected {expected} on every machine of the cluster, found {dict(found)}")
        return lambda rows: next(iter(annotator.annotate([rows])))


def absolute_name(pipeline: str) -> str:
    """The folder of a pipeline, wherever a process is started; the name of an installed one stays as it is."""
    return str(Path(pipeline).absolute()) if Path(pipeline).exists() else pipeline
