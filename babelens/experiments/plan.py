"""An experiment as data: axes of variants, whose product with the seeds are the runs."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import product
from pathlib import Path
from typing import Any, Literal

import msgspec

from babelens.experiments.contrasts import Contrast
from babelens.experiments.layout import Layout
from babelens.models.encoders import Encoders
from babelens.schema import InputError
from babelens.training.recipe import Recipe, read_recipe

Scalar = str | int | float | bool


class PlanError(InputError):
    """An experiment that cannot be carried out as it is written: the message says which field, expected and found."""


class Slice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A share of the training rows of some languages (None: all), from `start` to `stop` of one drawn order.

    Slices of the same languages that do not overlap have no row in common; tied rows (translations, a common picture)
    lie side by side in the order. `as_many_as` cuts the slice to the rows that the same slice of these languages has.
    """

    languages: tuple[str, ...] | None = None
    start: float = 0.0
    stop: float = 1.0
    as_many_as: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop <= 1:
            raise PlanError(f"slices: expected 0 <= start < stop <= 1, found {self.start} and {self.stop}")


class Test(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which rows a chosen model is read on: of some languages (None: those of its training), with which pictures.

    `data` is the name of another corpus, given on the command line (--also NAME=DIR); None is the test part.
    """

    languages: tuple[str, ...] | None = None
    pictures: str = "true"
    data: str | None = None


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a value of an axis changes; later axes win, `settings` are put together.

    - `model`: a name of the zoo or a recipe file; `encoders`: see `babelens train --encoders`; `settings`: fields by
      their paths, as --set has them.
    - `languages`: those of training, validation and, where `tests` says nothing else, the tests.
    - `slices`: which training rows, where it is not all of these languages. `validation`: languages to choose by.
    - `pictures`: what training and validation show (see `data.disguise`).
    - `tests`: what the model is read on, by name; none at all where a choice is all that is asked for.
    """

    name: str
    model: str | None = None
    encoders: Encoders | None = None
    settings: dict[str, Scalar] = {}
    languages: tuple[str, ...] | None = None
    slices: tuple[Slice, ...] | None = None
    validation: tuple[str, ...] | None = None
    pictures: str | None = None
    tests: dict[str, Test] | None = None


class Axis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Variants by name. A value that is not written out sets one field: `sets` is its path."""

    name: str
    values: tuple[Variant | Scalar, ...]
    sets: str | None = None

    def variants(self) -> list[Variant]:
        """The values, all written out.

        Raises:
            PlanError: a plain value, and the axis does not say which field it sets.
        """
        return [value if isinstance(value, Variant) else self._variant(value) for value in self.values]

    def _variant(self, value: Scalar) -> Variant:
        name = value if isinstance(value, str) else _toml(value)
        if self.sets == "model":
            return Variant(name=name, model=name)
        if self.sets == "pictures":
            return Variant(name=name, pictures=name)
        if self.sets is None:
            raise PlanError(f"axis {self.name}: expected the field that {value!r} is for (sets = ...), found none")
        return Variant(name=name, settings={self.sets: value})


class Grid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Axes whose product are cells."""

    axes: tuple[Axis, ...]


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Comparisons declared before any result is seen: one value of an axis against others, all else being equal.

    `where` names the other labels; `against` the values compared with (None: all). Holm's correction is over all of
    them together, on the test of that name.
    """

    name: str
    axis: str
    subject: str
    against: tuple[str, ...] | None = None
    where: dict[str, str] = {}
    test: str = "test"


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An experiment as its file has it.

    `base` is changed by all axes; `controls` are pictures that models with eyes are read on besides the true ones;
    `measures` is what is measured on validation after the choice, `analyses` what is made of the outcomes besides
    tables. `twins` says of a value of an axis which other one is it without its pictures.
    """

    title: str
    grids: tuple[Grid, ...]
    about: str = ""
    declared: str = ""
    seeds: int = 5
    base: Variant = Variant(name="base")
    controls: tuple[str, ...] = ()
    families: tuple[Family, ...] = ()
    tables: tuple[Layout, ...] = ()
    measures: tuple[str, ...] = ("retrieval", "pointing")
    analyses: tuple[Literal["sources"], ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    twins: dict[str, str] = {}
    name: str = ""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise PlanError(f"seeds: expected 1 or more, found {self.seeds}")


class Point(msgspec.Struct, frozen=True):
    """A cell of the grid before it is run: its labels, and all variants put together."""

    labels: dict[str, str]
    variant: Variant

    @property
    def key(self) -> str:
        """A name for folders, from the labels; a number says of which axis it is."""
        named = (f"{axis}-{label}" if _number(label) else label for axis, label in self.labels.items())
        return "+".join(map(slug, named))

    def recipe(
        self, settings: Sequence[str], seed: int, encoders: Encoders | None, folder: Path, defaults: Sequence[str] = ()
    ) -> Recipe:
        """What is trained: `defaults`, then what the cell sets, then the `settings` of the command line.

        A recipe file is sought as it is named, beside the experiment's file in `folder`, and in the folder above.
        Encoders that the cell names win over `encoders`.

        Raises:
            RecipeError: a model or a field is not known.
            PlanError: there is no model, or the command line sets what the cell is about.
        """
        model = self.variant.model
        if model is None:
            raise PlanError(f"{self.key}: expected a model, found none; --system names one")
        if clash := sorted({setting.partition("=")[0] for setting in settings} & self.variant.settings.keys()):
            raise PlanError(f"--set {clash[0]}: expected a field that the experiment does not set itself")
        if model.endswith(".toml"):
            places = [Path(model), folder / model, folder.parent / model]
            model = str(next((place for place in places if place.is_file()), model))
        own = [f"{path}={_toml(value)}" for path, value in self.variant.settings.items()]
        chosen = self.variant.encoders or (None if model.endswith(".toml") else encoders)
        return read_recipe(model, encoders=chosen, settings=[*defaults, *own, *settings], seed=seed)


def _number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def slug(label: str) -> str:
    """A label as a part of a file's name: letters, digits, dots and dashes; others that would collide get a digest."""
    kept = "".join(character if character.isalnum() or character in ".-" else "-" for character in label).strip(".-")
    if kept == label:
        return kept
    return f"{kept or 'x'}-{blake2b(label.encode(), digest_size=3).hexdigest()}"


def _toml(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def folder_of_experiments() -> Path:
    """Where the experiments that come with babelens stand: in its repository, or with the installed package."""
    import sys

    import babelens

    beside = Path(babelens.__file__).parents[1] / "recipes" / "experiments"
    return beside if beside.is_dir() else Path(sys.prefix) / "share" / "babelens" / "recipes" / "experiments"


def known_experiments() -> dict[str, Path]:
    """The files of the experiments that come with babelens, by name."""
    return {path.stem: path for path in sorted(folder_of_experiments().glob("*.toml"))}


def read_experiment(name: str) -> tuple[Experiment, Path]:
    """Read an experiment by its name or from a TOML file, and say where it stands.

    Raises:
        PlanError: there is none, or a field is unknown or of the wrong type.
    """
    path = Path(name) if name.endswith(".toml") else known_experiments().get(name)
    if path is None:
        known = ", ".join(known_experiments())
        raise PlanError(f"expected an experiment ({known}) or a TOML file, found {name!r}")
    if not path.is_file():
        raise PlanError(f"{path}: expected the TOML file of an experiment, found no such file")
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
        found = msgspec.convert({"name": path.stem, **plain}, Experiment)
        _check(found)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, PlanError) as error:
        raise PlanError(f"{path}: {error}") from error
    return found, path


def _check(experiment: Experiment) -> None:
    """See that there are cells, and that what is compared and shown in tables is among them.

    Raises:
        PlanError: it is not.
    """
    cells = [point.labels for point in points(experiment)]
    if not cells:
        raise PlanError("grids: expected at least one cell, found none")
    axes = dict.fromkeys(axis for cell in cells for axis in cell)
    for family in experiment.families:
        _known(f"family {family.name}", "an axis", (family.axis, *family.where), axes)
        own = [cell for cell in cells if family.where.items() <= cell.items() and family.axis in cell]
        names = [cell[family.axis] for cell in own]
        if not names:
            raise PlanError(f"family {family.name}: expected a cell with the labels of `where`, found none")
        if len(set(names)) != len(names):
            raise PlanError(f"family {family.name}: expected `where` to leave one cell for each {family.axis}")
        _known(f"family {family.name}", f"a value of {family.axis}", (family.subject, *(family.against or ())), names)
    for contrast in experiment.contrasts:
        for term, _ in contrast.weighted():
            if sum(term.labels.items() <= cell.items() for cell in cells) != 1:
                raise PlanError(f"contrast {contrast.name}: expected the labels of one cell, found {term}")
    for table in experiment.tables:
        _known("tables: rows", "an axis", (name for name in table.rows if name != "test"), axes)
        _known("tables: where", "an axis", table.where, axes)
    values = dict.fromkeys(label for cell in cells for label in cell.values())
    _known("twins", "a value of an axis", (*experiment.twins, *experiment.twins.values()), values)


def _known(where: str, what: str, names: Iterable[str], known: Iterable[str]) -> None:
    """See that names are among those that there are.

    Raises:
        PlanError: one is not.
    """
    known = list(known)
    for name in names:
        if name not in known:
            raise PlanError(f"{where}: expected {what} ({', '.join(known)}), found {name!r}")


def points(experiment: Experiment, only: Mapping[str, Sequence[str]] | None = None) -> Iterator[Point]:
    """The cells of an experiment, each once; `only` keeps those whose label on an axis is among the names.

    Raises:
        PlanError: two cells have the same labels and are not the same, or `only` names what there is not.
    """
    found: dict[str, Point] = {}
    for grid in experiment.grids:
        for values in product(*(axis.variants() for axis in grid.axes)):
            labels = {axis.name: value.name for axis, value in zip(grid.axes, values, strict=True)}
            variant = experiment.base
            for value in values:
                variant = _over(variant, value)
            point = Point(labels, variant)
            if found.setdefault(point.key, point) != point:
                raise PlanError(f"{experiment.name}: two cells called {point.key}")
    for axis, names in (only or {}).items():
        _known("--only", "an axis", [axis], dict.fromkeys(name for point in found.values() for name in point.labels))
        known = dict.fromkeys(point.labels[axis] for point in found.values() if axis in point.labels)
        _known(f"--only {axis}", "a value", names, known)
    for point in found.values():
        if all(point.labels.get(axis) in names for axis, names in (only or {}).items()):
            yield point


def _over(below: Variant, above: Variant) -> Variant:
    plain = {name: getattr(above, name) for name in Variant.__struct_fields__ if getattr(above, name) is not None}
    changed = msgspec.structs.replace(below, **plain)
    return msgspec.structs.replace(changed, settings={**below.settings, **above.settings})


def plain(value: Any) -> Any:
    """A declaration as plain data, for files and digests."""
    return msgspec.to_builtins(value)
