"""Where the parts of a corpus lie: which file of a folder is which part, and in which language."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from babelens.data.languages import is_language
from babelens.data.problems import fault, listing

SPLITS: dict[str, tuple[str, ...]] = {
    "train": ("train",),
    "valid": ("valid", "dev", "validation"),
    "test": ("test",),
}
CONLL = (".txt", ".conll", ".tsv", ".iob", ".iob2", ".bio")
JSONL = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet",)
BOXES = "boxes.jsonl"
Kind = Literal["conll", "jsonl", "parquet"]
KINDS: dict[Kind, tuple[str, ...]] = {"conll": CONLL, "jsonl": JSONL, "parquet": PARQUET}
ENDINGS = (*CONLL, *JSONL, *PARQUET)


@dataclass(frozen=True)
class Place:
    """A file of a corpus. `name` is that of its part ("train", "fr/train"), or of the file where it is no such part."""

    name: str
    path: Path
    split: str | None
    language: str | None


def find_split(folder: Path, split: str) -> list[Place]:
    """The files of a part ("train", "valid", "test") in a folder, else in its folders per language.

    Raises:
        DataError: more than one file may be meant.
    """
    files = _files(folder, split)
    if files:
        return [Place(split, file, split, _code(folder.resolve().name)) for file in files]
    languages = sorted(entry for entry in folder.iterdir() if entry.is_dir() and is_language(entry.name))
    return [
        Place(f"{entry.name}/{split}", file, split, entry.name) for entry in languages for file in _files(entry, split)
    ]


def find_all(path: Path) -> list[Place]:
    """A file; or all files of a folder: its parts train, valid and test where it has them, else all that can be read.

    Raises:
        DataError: there is nothing.
    """
    if not path.exists():
        raise fault(path, "a file or a data directory", "no such file or directory")
    if not path.is_dir():
        return [place_of(path)]
    found = [place for split in SPLITS for place in find_split(path, split)]
    # Tables of ids and the like end in .tsv too: only what is named as a part is taken for a corpus.
    endings = [ending for ending in ENDINGS if ending != ".tsv"]
    files = (file for file in sorted(path.iterdir()) if file.suffix in endings and file.name != BOXES)
    found = found or [place_of(file) for file in files]
    if not found:
        expected = f"train, valid or test ({', '.join(ENDINGS[:1] + JSONL[:1] + PARQUET)}), or folders per language"
        raise fault(path, expected, contents(path))
    return found


def place_of(path: Path) -> Place:
    """A single file; its language is that of its name or of its folder, where they are codes."""
    split = next((split for split, names in SPLITS.items() if path.stem in names), None)
    return Place(path.stem, path, split, _code(path.stem) or _code(path.resolve().parent.name))


def contents(folder: Path) -> str:
    """The first names in a folder, for a message."""
    return listing(sorted(entry.name for entry in folder.iterdir())[:10])


def _code(name: str) -> str | None:
    return name if is_language(name) else None


def _files(folder: Path, split: str) -> list[Path]:
    names = SPLITS[split]
    whole = [folder / f"{name}{ending}" for name in names for ending in ENDINGS]
    files = [path for path in whole if path.is_file()]
    if len(files) > 1:
        raise fault(folder, f"one file for {split}", listing(path.name for path in files))
    return files or sorted(path for name in names for path in folder.glob(f"{name}-*-of-*.parquet"))


def parse_spec(spec: str | Path) -> tuple[str | None, Path]:
    """Take `en=DIR` apart into its language and its path; a plain path has no language."""
    language, equals, rest = str(spec).partition("=")
    if equals and is_language(language) and not Path(spec).exists():
        return language, Path(rest)
    return None, Path(spec)


def kind_of_name(path: Path) -> Kind | None:
    """What a file is by the ending of its name, or None where that says nothing."""
    for kind, endings in KINDS.items():
        if path.suffix in endings:
            return kind
    return None


def kind_of(path: Path) -> Kind:
    """What a file is, by its ending; by its first bytes where the ending says nothing."""
    kind = kind_of_name(path)
    if kind is not None:
        return kind
    with open(path, "rb") as file:
        start = file.read(64).lstrip()
    if start.startswith(b"PAR1"):
        return "parquet"
    return "jsonl" if start.startswith(b"{") else "conll"
