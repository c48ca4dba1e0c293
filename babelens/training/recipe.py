"""A recipe says what is trained and how: a model, its encoders, and the settings of the training run."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from babelens.models.encoders import ENCODERS, Encoders, with_encoders
from babelens.models.naming import named
from babelens.models.spec import DeclarationError, Model, from_plain, to_plain
from babelens.models.zoo import ZOO
from babelens.schema import InputError


class RecipeError(InputError):
    """A recipe that cannot be followed: the message says which field, what was expected and what was found."""


Order = Literal["grouped", "shuffled", "file"]


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of a run. The defaults are those of the 2M-NER paper (Table 4, section 5.1).

    `rates` gives parts of the model (name prefixes of parameters, such as "text" or "head") their own learning rate;
    `warmup` is a share of all steps; by the `schedule` "step" the rate is multiplied by `step_factor` after every
    `step_epochs` epochs (the defaults are UMGF's); `clip` is the largest gradient norm; `patience` is the number of
    epochs without a better validation F1 after which training ends; `average` is the decay of a running mean of the
    weights, which is then what is validated and saved; `pixel_memory` is the number of bytes of cut pictures that each
    process keeps. So many `workers` are processes that make batches ahead of the steps; with 0 a thread does, where
    torch leaves it a core (see `models.loading`).
    `batch` x `accumulate` rows, over all processes, make one step of the optimiser, `batch` of them at a time. The loss
    is the mean over all of them; only the alignment compares no more than what is computed at a time, unless
    `cached_gradients` compares all rows of a step, at the cost of a second pass forward (see `step.Optimization`).
    `order` is that of the rows: "grouped" by similar length in an order drawn anew for each epoch, "shuffled" without
    regard to length, or as in the "file", every epoch alike. With `halve`, one process that runs out of memory goes on
    with half the rows at a time, in steps of the same rows.
    `region_cache` keeps what frozen image encoders make of pictures on disk, in "bf16" or "fp16"; "auto" is bf16, and
    nothing where the disk is too small (see `models.regions`). `compile` lets torch make the encoders faster, which
    takes it minutes at the start (see `models.compiled`).
    The state of a run is saved after every epoch, and within one whenever `save_minutes` have gone by (0: after every
    step, none: never); the last `keep` states stay. These two, `workers` and `pixel_memory` change no result, and may
    be others when a run goes on, and so may `halve`.
    `pictures` says what becomes of a row of several pictures: "join" shows the model all of them at once, "pairs" makes
    it so many pairs of the sentence with one picture, in training and validation, as the paper counts its data.
    With `calibrate`, half of the validation rows have no part in the choice of the model, drawn by the seed, rows that
    share a picture, a text or a translation together; its scores are then calibrated on them (see
    `models.calibrating`), with thresholds for the precisions of `targets`.
    """

    epochs: int = 8
    batch: int = 16
    accumulate: int = 1
    cached_gradients: bool = False
    order: Order = "grouped"
    halve: bool = True
    optimizer: Literal["adam", "adamw"] = "adam"
    rate: float = 5e-5
    rates: dict[str, float] = {}
    decay: float = 0.0
    warmup: float = 0.0
    schedule: Literal["linear", "constant", "step"] = "linear"
    step_factor: float = 0.8
    step_epochs: int = 2
    clip: float | None = None
    average: float | None = None
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    pictures: Literal["join", "pairs"] = "join"
    seed: int = 19
    patience: int | None = None
    workers: int = 0
    pixel_memory: int = 1 << 30
    region_cache: Literal["auto", "bf16", "fp16", "off"] = "auto"
    compile: bool = False
    save_minutes: float | None = 30.0
    keep: int = 2
    calibrate: bool = False
    targets: tuple[float, ...] = (0.9, 0.95)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "accumulate", "step_epochs", "keep"):
            if getattr(self, name) < 1:
                raise RecipeError(f"training.{name}: expected 1 or more, found {getattr(self, name)}")
        for name, rate in [("rate", self.rate), *((f"rates.{part}", own) for part, own in self.rates.items())]:
            if not rate > 0:
                raise RecipeError(f"training.{name}: expected more than 0, found {rate}")
        if self.clip is not None and not self.clip > 0:
            raise RecipeError(f"training.clip: expected more than 0, found {self.clip}")
        for name in ("decay", "workers", "pixel_memory"):
            if not getattr(self, name) >= 0:
                raise RecipeError(f"training.{name}: expected 0 or more, found {getattr(self, name)}")
        if self.save_minutes is not None and not self.save_minutes >= 0:
            raise RecipeError(f"training.save_minutes: expected 0 or more, or none, found {self.save_minutes}")
        if strange := next((target for target in self.targets if not 0 <= target <= 1), None):
            raise RecipeError(f"training.targets: expected precisions from 0 to 1, found {strange}")
        if not 0 <= self.seed < 1 << 32:
            raise RecipeError(f"training.seed: expected 0 or more, below 2^32, found {self.seed}")
        if not 0 < self.step_factor <= 1:
            raise RecipeError(f"training.step_factor: expected more than 0, at most 1, found {self.step_factor}")
        for name in ("warmup", "average"):
            share = getattr(self, name)
            if share is not None and not 0 <= share < 1:
                raise RecipeError(f"training.{name}: expected a share from 0 to below 1, found {share}")


# What may change between a run and its resume.
FREE = ("save_minutes", "keep", "workers", "pixel_memory", "halve")


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A declaration and the settings to train it with."""

    model: Model
    training: Training = Training()


COMPACT_TRAINING = {
    "optimizer": "adamw",
    "rate": 2e-3,
    "decay": 0.01,
    "warmup": 0.15,
    "clip": 1.0,
    "batch": 32,
    "epochs": 20,
    "precision": "fp32",
}


def read_recipe(
    name: str, *, encoders: Encoders | None = None, settings: Sequence[str] = (), seed: int | None = None
) -> Recipe:
    """Make a recipe from a model's name or a TOML file, then change single fields by `path=value`.

    A file has `model` (a name of the zoo, or a whole declaration), optionally `encoders`, and a table `training`.
    Compact encoders bring training settings that suit weights from scratch, where the file does not say others.

    Raises:
        RecipeError: no such model or file, or a field is unknown or of the wrong type.
    """
    plain: dict[str, Any] = {"model": name}
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise RecipeError(f"{name}: expected a recipe (TOML file), found no such file")
        try:
            plain = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RecipeError(f"{name}: expected TOML: {error}") from error
    unknown = set(plain) - {"model", "encoders", "training"}
    if unknown or "model" not in plain:
        raise RecipeError(f"{name}: expected the fields model, encoders and training, found {', '.join(sorted(plain))}")
    chosen: Encoders = encoders or plain.get("encoders", "pretrained")
    if chosen not in ENCODERS:
        raise RecipeError(f"{name}: expected encoders of {', '.join(ENCODERS)}, found {chosen!r}")
    settled = plain.get("training", {})
    if not isinstance(settled, dict):
        raise RecipeError(f"{name}: expected a table training, found {settled!r}")
    try:
        declared = plain["model"]
        model = named(declared, chosen) if isinstance(declared, str) else with_encoders(from_plain(declared), chosen)
    except DeclarationError as error:
        known = f"a recipe file or a model ({', '.join(ZOO)})"
        raise RecipeError(f"{error}" if name != plain["model"] else f"expected {known}, found {name!r}") from error
    defaults = COMPACT_TRAINING if chosen == "compact" else {}
    whole = {"model": to_plain(model), "training": {**defaults, **settled}}
    for setting in [*settings, *([] if seed is None else [f"training.seed={seed}"])]:
        _change(whole, setting)
    return recipe_from_plain(whole)


def recipe_from_plain(plain: object) -> Recipe:
    """Read a recipe back from plain dictionaries.

    Raises:
        RecipeError: a field is unknown or of the wrong type.
    """
    try:
        return msgspec.convert(plain, Recipe)
    except msgspec.ValidationError as error:
        raise RecipeError(f"recipe: {error}") from error


def _change(whole: dict[str, Any], setting: str) -> None:
    path, equals, text = setting.partition("=")
    if not equals:
        raise RecipeError(f"--set: expected path=value, found {setting!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = None if text in ("none", "null") else text
    _put(whole, path, value)
    if value is None and not _readable(whole):
        _put(whole, path, text)  # a field that knows the word itself, such as `characters`


def _readable(whole: dict[str, Any]) -> bool:
    try:
        msgspec.convert(whole, Recipe)
    except msgspec.ValidationError:
        return False
    return True


def _put(whole: dict[str, Any], path: str, value: object) -> None:
    place: Any = whole
    *parents, last = path.split(".")
    try:
        for step in parents:
            place = place[int(step)] if isinstance(place, list | tuple) else place[step]
        if isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise RecipeError(f"--set {path}: expected the path of a field, found none called {error}") from error
