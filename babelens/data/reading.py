"""Reads files and folders into corpora: which file is which part, which language, and where the pictures are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from babelens.data.boxes import BoxFile, find_boxes, read_boxes
from babelens.data.cache import cached, digest_file, digest_names
from babelens.data.conll import read_conll
from babelens.data.corpus import Corpus, Part
from babelens.data.images import ImageStore
from babelens.data.languages import is_language
from babelens.data.places import (
    SPLITS,
    Place,
    contents,
    find_all,
    find_split,
    kind_of,
    parse_spec,
)
from babelens.data.problems import DataError, Problems, fault, listing, quote
from babelens.data.rows import Row, write_rows
from babelens.schema import Scheme

if TYPE_CHECKING:
    from datasets import Dataset

HUB = "hub:"


@dataclass(frozen=True)
class Reading:
    """How files are read.

    `types` renames entity types ("O" leaves a type out). `images` are folders of pictures; without them it is `images`
    beside the file. `scheme` is the tag scheme of CoNLL files and of tag columns; without it, it is found out. `boxes`
    are the objects known in the pictures; None are those of `boxes.jsonl`, or of a folder `boxes` of XML files, beside
    the file (see `boxes`).
    """

    language: str | None = None
    source: str | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    images: Sequence[Path] = ()
    strict_images: bool = False
    scheme: Scheme | None = None
    boxes: Sequence[BoxFile] | None = None


def read_corpus(
    path: str | Path,
    *,
    language: str | None = None,
    source: str | None = None,
    types: Mapping[str, str] | None = None,
    images: str | Path | Sequence[str | Path] | None = None,
    strict_images: bool = False,
    scheme: Scheme | None = None,
    boxes: str | Path | Sequence[str | Path] | None = None,
) -> Corpus:
    """Read a file, or all files of a folder, as one corpus.

    A folder is read in the order train, valid, test where it has such files (itself or in folders per language), else
    all of its .txt, .jsonl and .parquet files by name. `hub:NAME` reads all parts of a Hugging Face data set,
    `hub:NAME:CONFIGURATION` those of one configuration.

    Raises:
        DataError: there is nothing to read, or what is there cannot be read; all faults of a file in one go.
    """
    how = make_reading(language, source, types, images, strict_images, scheme, boxes)
    if str(path).startswith(HUB):
        return _read_hub(str(path), None, how)
    folder = Path(path)
    return Corpus.concatenate([read_place(place, how) for place in find_all(folder)])


def read_split(
    data: str | Path | Sequence[str | Path],
    split: str,
    *,
    types: Mapping[str, str] | None = None,
    images: str | Path | Sequence[str | Path] | None = None,
    strict_images: bool = False,
    scheme: Scheme | None = None,
    boxes: str | Path | Sequence[str | Path] | None = None,
) -> Corpus:
    """Read one part ("train", "valid" or "test"; "dev" is "valid") of one or more data directories, joined.

    A directory holds `train.txt` and so on (or .jsonl, .parquet), or one such directory per language, named by its ISO
    code. `en=DIR` names the language of a directory; `hub:NAME` stands for a Hugging Face data set.

    Raises:
        DataError: a directory without that part, or files that cannot be read.
    """
    name = next((name for name, names in SPLITS.items() if split in names), None)
    if name is None:
        raise ValueError(f"expected one of {', '.join(SPLITS)}, found {split!r}")
    corpora: list[Corpus] = []
    for spec in [data] if isinstance(data, str | Path) else data:
        language, folder = parse_spec(spec)
        how = make_reading(language, None, types, images, strict_images, scheme, boxes)
        if str(folder).startswith(HUB):
            corpora.append(_read_hub(str(folder), name, how))
            continue
        if not folder.is_dir():
            raise fault(folder, "a data directory", "a file" if folder.exists() else "no such directory")
        found = find_split(folder, name)
        if not found:
            expected = f"{name}.txt (or .jsonl, .parquet), or folders per language with one"
            raise fault(folder, expected, contents(folder))
        corpora.extend(read_place(place, how) for place in found)
    return Corpus.concatenate(corpora)


def read_share(
    spec: str | Path,
    *,
    part: str = "train",
    seed: int = 0,
    types: Mapping[str, str] | None = None,
    images: str | Path | Sequence[str | Path] | None = None,
    strict_images: bool = False,
    scheme: Scheme | None = None,
    boxes: str | Path | Sequence[str | Path] | None = None,
) -> Corpus:
    """Read `FILE` (or a folder), or a share of it by a seed: `FILE:0.9`; `en=FILE` names its language.

    The part "train" takes its share from the beginning of one drawn order, all others from its end, so that
    `--train FILE:0.9 --valid FILE:0.1` have nothing in common. Rows that share a picture, a group or a text
    stay together.

    Raises:
        DataError: the file cannot be read, or the share is none.
    """
    language, path = parse_spec(spec)
    name, colon, share = str(path).rpartition(":")
    cut = None
    if colon and not path.exists():
        try:
            cut = float(share)
        except ValueError:
            cut = None
        if cut is not None and not 0 < cut <= 1:
            raise fault(name, "a share above 0 and up to 1, such as FILE:0.9", quote(share))
    how = {
        "language": language,
        "types": types,
        "images": images,
        "strict_images": strict_images,
        "scheme": scheme,
        "boxes": boxes,
    }
    corpus = read_corpus(Path(name) if cut is not None else path, **how)
    if cut is None or cut == 1:
        return corpus
    from babelens.data.split import take_share

    taken = take_share(corpus, cut, seed=seed, from_end=part != "train")
    if not len(taken):
        raise fault(name, "rows in the share", f"none in {share} of {len(corpus)} rows")
    return taken


def make_reading(
    language: str | None,
    source: str | None,
    types: Mapping[str, str] | None,
    images: str | Path | Sequence[str | Path] | None,
    strict_images: bool,
    scheme: Scheme | None,
    boxes: str | Path | Sequence[str | Path] | None = None,
) -> Reading:
    """Check and gather how files are to be read.

    Raises:
        DataError: a folder of pictures that is none, or boxes that cannot be read.
    """
    folders = [images] if isinstance(images, str | Path) else images or []
    for folder in folders:
        if not Path(folder).is_dir():
            raise fault(folder, "a folder of pictures", "a file" if Path(folder).exists() else "no such folder")
    folders = [Path(folder) for folder in folders]
    files = None if boxes is None else box_files(boxes)
    return Reading(language, source, dict(types or {}), folders, strict_images, scheme, files)


def box_files(boxes: str | Path | Sequence[str | Path]) -> list[BoxFile]:
    """Read files, or folders, of boxes.

    Raises:
        DataError: boxes that cannot be read.
    """
    places = [boxes] if isinstance(boxes, str | Path) else boxes
    return [read_boxes(Path(place)) for place in places]


def read_places(places: Sequence[Place], how: Reading) -> dict[str, Corpus]:
    """Read files as parts of one corpus, by name; files of one name (the shards of a part) are joined.

    Raises:
        DataError: a file cannot be read.
    """
    read: dict[str, list[Corpus]] = {}
    for place in places:
        read.setdefault(place.name, []).append(read_place(place, how))
    return {name: Corpus.concatenate(corpora) for name, corpora in read.items()}


def read_place(place: Place, how: Reading) -> Corpus:
    """Read a file through the cache.

    Raises:
        DataError: there is no such file, or it cannot be read.
    """
    path = place.path
    if not path.is_file():
        raise fault(path, "a file or a data directory", "no such file or directory")
    language = how.language or place.language
    kind = kind_of(path)
    digest = digest_file(path, kind, how.scheme)
    rows = cached(digest, partial(_parse, path, kind, how.scheme))
    folder = path.resolve().parent
    outer = folder.parent if is_language(folder.name) else folder
    folders = list(how.images) or [folder / "images", *([outer / "images"] if outer != folder else [])]
    boxes = boxes_beside(folder, outer) if how.boxes is None else how.boxes
    part = Part(
        rows=rows,
        digest=digest,
        path=path,
        images=ImageStore(folders, strict=how.strict_images, content=rows.picture, boxes=boxes),
        name=f"{language}/{path.stem}" if language else path.stem,
        language=language,
        source=how.source or outer.name,
        types=how.types,
    )
    return Corpus([part])


def boxes_beside(*folders: Path) -> list[BoxFile]:
    """The boxes that lie in the first of the folders that has any.

    Raises:
        DataError: boxes that cannot be read.
    """
    found = find_boxes(folders)
    return [] if found is None else [read_boxes(found)]


def from_dataset(
    dataset: "Dataset",
    *,
    name: str = "dataset",
    language: str | None = None,
    source: str | None = None,
    types: Mapping[str, str] | None = None,
    images: str | Path | Sequence[str | Path] | None = None,
    strict_images: bool = False,
    scheme: Scheme | None = None,
    boxes: str | Path | Sequence[str | Path] | None = None,
) -> Corpus:
    """A corpus from a Hugging Face data set with tokens and ner_tags, or with text and entities.

    Raises:
        DataError: rows that cannot be read, all in one go.
    """
    return _take_dataset(dataset, name, make_reading(language, source, types, images, strict_images, scheme, boxes))


def _take_dataset(dataset: "Dataset", name: str, how: Reading) -> Corpus:
    from babelens.data.tables import read_dataset

    # A fingerprint names a data set's content and all that was done to it; it is what `datasets` caches by.
    digest = digest_names(dataset._fingerprint, how.scheme)

    def write(rows: Path, pictures: Path) -> None:
        problems = Problems(Path(name))
        total = write_rows(read_dataset(dataset, problems, how.scheme), rows, pictures)
        if not total and not problems.total:
            problems.add(None, "at least one sentence", "no rows")
        problems.raise_if_any()

    rows = cached(digest, write)
    store = ImageStore(how.images, strict=how.strict_images, content=rows.picture, boxes=how.boxes or ())
    part = Part(rows, digest, Path(name), store, name, how.language, how.source or name, how.types)
    return Corpus([part])


def parse_hub(spec: str) -> tuple[str, str | None]:
    """The name and the configuration of `hub:NAME` or `hub:NAME:CONFIGURATION`.

    Raises:
        DataError: there is no name.
    """
    name, _, configuration = spec.removeprefix(HUB).partition(":")
    if not name.strip():
        raise fault(spec, "hub:NAME or hub:NAME:CONFIGURATION", "no name")
    return name, configuration or None


def unreached(spec: str, error: Exception) -> DataError:
    """The error of a Hugging Face data set that cannot be had, with the first line of what `datasets` says."""
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return fault(spec, "a Hugging Face data set within reach", reason)


def _read_hub(spec: str, split: str | None, how: Reading) -> Corpus:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    name, configuration = parse_hub(spec)
    try:
        parts = load_dataset(name, configuration)
    except (DatasetsError, OSError, ValueError) as error:
        raise unreached(spec, error) from error
    found = {part: other for part, others in SPLITS.items() for other in others if other in parts}
    chosen = list(found.values()) if split is None else [found[split]] if split in found else []
    if not chosen:
        raise fault(spec, split or "train, validation or test", listing(parts))
    how = replace(how, source=how.source or name)
    return Corpus.concatenate([_take_dataset(parts[part], f"{name}/{part}", how) for part in chosen])


def _parse(path: Path, kind: str, scheme: Scheme | None, rows: Path, pictures: Path) -> None:
    problems = Problems(path)
    read: Iterator[Row]
    if kind == "conll":
        read = read_conll(path, problems, scheme)
    elif kind == "jsonl":
        from babelens.data.jsonl import read_jsonl

        read = read_jsonl(path, problems, scheme)
    else:
        from babelens.data.tables import read_parquet

        read = read_parquet(path, problems, scheme)
    total = write_rows(read, rows, pictures)
    if not total and not problems.total:
        found = "an empty file" if path.stat().st_size == 0 else f"none in {quote(path.name)}"
        problems.add(1, "at least one sentence", found)
    problems.raise_if_any()
