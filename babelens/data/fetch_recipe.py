"""Where public data sets lie, as data: one TOML file a set, in `recipes/` beside this file or a user's own."""

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal
from urllib.parse import quote as escape
from urllib.parse import urlsplit

import msgspec

from babelens.data.languages import is_language
from babelens.data.problems import fault, listing, quote
from babelens.schema import InputError

Layout = Literal["conll", "conllu", "jsonl", "parquet"]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_ENDINGS: dict[Layout, str] = {"conll": ".txt", "conllu": ".txt", "jsonl": ".jsonl", "parquet": ".parquet"}


class PublishedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file as its publishers have it, and what becomes of it.

    `path` follows the recipe's `base`. `layout` says what is done with it: `conll`, `jsonl` and `parquet` are kept byte
    for byte, `conllu` (token number, token, tag) becomes CoNLL. `size` (bytes) and `sha256` are those of the published
    file, `result` is the SHA-256 of what it becomes, `rows` its sentences; None where that is not known.
    """

    path: str
    part: Literal["train", "valid", "test"]
    language: str | None = None
    layout: Layout = "conll"
    size: int | None = None
    sha256: Sha256 | None = None
    result: Sha256 | None = None
    rows: int | None = None

    @property
    def target(self) -> str:
        """The name in the data directory: `en/train.txt`, or `train.txt` where no language is given."""
        name = f"{self.part}{_ENDINGS[self.layout]}"
        return f"{self.language}/{name}" if self.language else name


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A public data set: what it is, whose it is, and its files.

    `base` is the address that the paths of the files follow, of a fixed version. `ask` says whom to ask for what cannot
    be downloaded; a recipe without files says nothing else. `pictures` says where the pictures are.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    title: str
    home: str
    licence: str
    sentences: str
    pictures: str
    cite: str = ""
    ask: str = ""
    base: str = ""
    files: tuple[PublishedFile, ...] = ()
    languages: tuple[str, ...] = ()

    def url(self, file: PublishedFile, mirror: str | None = None) -> str:
        """The address of a file; on a mirror, what follows the mirror's is the address without its `https://`."""
        address = f"{self.base.rstrip('/')}/{escape(file.path)}"
        return address if mirror is None else f"{mirror.rstrip('/')}/{address.partition('://')[2]}"

    def select(self, languages: Sequence[str]) -> tuple[PublishedFile, ...]:
        """The files of some languages, of all where none is named.

        Raises:
            InputError: the set has no such language.
        """
        unknown = [language for language in languages if language not in self.languages]
        if unknown:
            known = ", ".join(self.languages)
            raise InputError(f"{self.name}: expected languages among {known}, found {', '.join(unknown)}")
        return tuple(file for file in self.files if not languages or file.language in languages)


def known_recipes() -> dict[str, Recipe]:
    """The recipes that come with the package, by name."""
    folder = files("babelens.data").joinpath("recipes")
    texts = {
        entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.name.endswith(".toml")
    }
    recipes = [parse_recipe(text, Path("recipes") / name) for name, text in texts.items()]
    return {recipe.name: recipe for recipe in sorted(recipes, key=lambda recipe: recipe.name)}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name, or that of a file that ends in .toml.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise fault(path, "a recipe", "a directory" if path.exists() else "no such file")
        return parse_recipe(path.read_bytes().decode("utf-8", "replace"), path)
    known = known_recipes()
    if name not in known:
        raise InputError(f"fetch: expected one of {', '.join(known)}, or a file such as my.toml, found {quote(name)}")
    return known[name]


def parse_recipe(text: str, path: Path) -> Recipe:
    """Read a recipe; `path` is where it stands.

    Raises:
        InputError: it is not TOML, has unknown or wrong fields, or files that could not be fetched or told apart.
    """
    try:
        recipe = msgspec.convert(tomllib.loads(text), Recipe)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InputError(f"{path}: {error}") from error
    if not recipe.files and not recipe.ask:
        raise fault(path, "files, or words on whom to ask for them (ask)", "neither")
    if recipe.files and not is_address(recipe.base):
        raise fault(path, "base = an address that starts with https:// or http://", quote(recipe.base))
    for file in recipe.files:
        _check_file(file, recipe, path)
    for names, what in (([file.target for file in recipe.files], "part"), ([f.path for f in recipe.files], "path")):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise fault(path, f"one file of each {what}", f"several of {listing(twice)}")
    return recipe


def _check_file(file: PublishedFile, recipe: Recipe, path: Path) -> None:
    steps = PurePosixPath(file.path).parts
    if not steps or ".." in steps or steps[0] == "/" or "\\" in file.path or "\0" in file.path:
        raise fault(path, "paths below base, without ..", quote(file.path))
    if file.language is not None and not is_language(file.language):
        raise fault(path, "a language code such as en", quote(file.language))
    if file.language is not None and file.language not in recipe.languages:
        raise fault(path, f"{file.language} among the languages of the set", listing(recipe.languages))


def is_address(text: str) -> bool:
    """Whether a text is the address of something on a web server."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("https", "http") and bool(parts.netloc)
