"""babelens data boxes: the objects in the pictures of a corpus, found by a detector."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from babelens.data import Corpus
    from babelens.models.detector import Detector
    from babelens.schema import Box

_BATCH = 8


def boxes(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file or a data directory.")],
    detector: Annotated[
        str,
        typer.Option(
            help="A zero-shot object detector of transformers (OWL-ViT, Grounding DINO): a hub id or a folder."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The JSONL file to write, or to go on with.")],
    queries: Annotated[str, typer.Option(help="What to look for, parted by commas.")] = (
        "person,location,organization,miscellaneous"
    ),
    group: Annotated[
        str | None, typer.Option(help="The name of these boxes, where a file holds those of several detectors.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Most boxes of a query in a picture.")] = 1,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Only boxes that score more.")] = 0.0,
    images: Annotated[
        Path | None, typer.Option(help="The folder of pictures, where it is not `images` beside the file.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 [default: the best there is].")] = None,
) -> None:
    """Find boxes in the pictures of a corpus; the same command again goes on where it was stopped.

    Pictures that have boxes of the group in OUT are skipped. A corpus finds its boxes by itself as boxes.jsonl in its
    directory; elsewhere --boxes names them.
    """
    from babelens.data import read_corpus
    from babelens.data.box_writer import BoxWriter
    from babelens.data.places import parse_spec
    from babelens.models.detector import Detector
    from babelens.prediction.predictor import choose_device

    words = [query.strip() for query in queries.split(",") if query.strip()]
    if not words:
        raise typer.BadParameter(f"expected words parted by commas, found {queries!r}", param_hint="--queries")
    # Without the boxes that are there already: which of two sources to read is no question here.
    corpus = read_corpus(parse_spec(path)[1], images=images, boxes=())
    names = picture_names(corpus, path)
    found = 0
    with BoxWriter(out, group) as writer:
        todo = [(key, name) for key, name in names.items() if name not in writer.done]
        if todo:
            model = Detector(detector, choose_device(device))
            for name, own in _detect(model, corpus, todo, Asked(tuple(words), top, threshold)):
                writer.write(name, own)
                found += len(own)
    bad = {status: count for status, count in corpus.picture_counts.items() if status != "used"}
    before = len(names) - len(todo)
    typer.echo(
        f"{found:,} boxes in {len(todo) - sum(bad.values()):,} pictures written to {out}"
        + (f"; {before:,} pictures had theirs before" if before else "")
    )
    if bad:
        counts = ", ".join(f"{count:,} {status}" for status, count in bad.items())
        typer.echo(f"warning: pictures that cannot be used: {counts}", err=True)


class Asked(NamedTuple):
    """What is asked of each picture."""

    queries: tuple[str, ...]
    top: int
    threshold: float


def picture_names(corpus: "Corpus", path: str) -> dict[str, str]:
    """The name of each distinct picture in a file of boxes, by its key, in the order of the corpus.

    Raises:
        DataError: two folders have a picture of one name, which a file of boxes cannot tell apart.
    """
    from babelens.data.problems import fault

    names: dict[str, str] = {}
    keys: dict[str, str] = {}
    for number in range(len(corpus)):
        for key in corpus.picture_keys(number):
            name = corpus.box_names(key)[0]
            names[key] = name
            if keys.setdefault(name, key) != key:
                expected = "pictures of different names; run the command for each language by itself"
                raise fault(path, expected, f"{name} in two folders")
    return names


def _detect(
    model: "Detector", corpus: "Corpus", todo: "Sequence[tuple[str, str]]", asked: Asked
) -> "Iterator[tuple[str, list[Box]]]":
    """The name and the boxes of each picture that can be used."""
    from babelens.cli.progress import bars

    with bars() as tell:
        for start in range(0, len(todo), _BATCH):
            tell("pictures", start, len(todo))
            opened = [(name, corpus.picture(key).image) for key, name in todo[start : start + _BATCH]]
            usable = [(name, image) for name, image in opened if image is not None]
            images = [image for _, image in usable]
            found = model.find(images, asked.queries, top=asked.top, threshold=asked.threshold) if images else []
            yield from zip((name for name, _ in usable), found, strict=True)
