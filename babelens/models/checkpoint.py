"""A model as a folder: declaration, weights, model card, and what rebuilds each part without the hub."""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from babelens.models.calibration import read_calibration, write_calibration
from babelens.models.spec import DeclarationError, Model, from_plain, to_plain
from babelens.models.tagger import Tagger, count_parameters
from babelens.modules.origin import Origin
from babelens.schema import InputError, TagSet

FORMAT = 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"


class CheckpointError(InputError):
    """A model folder that cannot be read or written: the message says which file, what was expected and found."""


def new_tagger(model: Model, tags: TagSet, words: Callable[[], Iterable[Sequence[str]]]) -> Tagger:
    """Build a model to be trained: pretrained parts by name, parts from scratch with vocabularies from `words`.

    Raises:
        InputError: a part cannot be had under its name, or its settings make none.
    """
    try:
        return Tagger(model, tags, lambda _: Origin(words=words))
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise DeclarationError(f"model.backbone: {error}") from error


def save_tagger(tagger: Tagger, folder: Path, facts: dict[str, Any] | None = None) -> None:
    """Write a model folder; it is written beside and renamed, so that a folder of that name is always whole.

    `facts` (training data, scores, recipe) go into the configuration and the model card. A calibrated model takes its
    calibration along.

    Raises:
        CheckpointError: something that is not a model folder stands in the way.
        OSError: the disk is full or does not allow writing; nothing is left half-written.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / CONFIG).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder}: expected a model folder or nothing there, found something else; not replaced")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write(tagger, beside, facts or {})
        sync(beside)
        replace_folder(beside, folder)
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, os.fspath(folder)) from error
        raise


def replace_folder(new: Path, place: Path) -> None:
    """Put a finished folder in its place; the one that stood there goes only after the new one is in."""
    os.chmod(new, 0o755)
    try:
        if place.exists():
            old = tempfile.mkdtemp(prefix=f"{_old(place)}-", dir=place.parent)
            os.replace(place, Path(old) / place.name)
        os.replace(new, place)
    except BaseException:
        put_back(place)
        raise
    sync_folder(place.parent)
    put_back(place)


def put_back(place: Path) -> None:
    """Finish what a killed `replace_folder` left: the folder moved away comes back, or goes if the new one is in."""
    for old in [path for path in place.parent.iterdir() if path.name.startswith(f"{_old(place)}-")]:
        if not place.exists() and (old / place.name).exists():
            os.replace(old / place.name, place)
        shutil.rmtree(old, ignore_errors=True)


def _old(place: Path) -> str:
    return f".{place.name}-old"


def sync(folder: Path) -> None:
    """Wait until a folder and all that is in it lie on the disk, and not in memory only."""
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            with open(path, "rb+") as file:
                os.fsync(file.fileno())
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder lie on the disk, where the system can say so of folders."""
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _write(tagger: Tagger, folder: Path, facts: dict[str, Any]) -> None:
    for name, part in tagger.backbone.parts().items():
        part.save(_made(folder / name))
    save_weights(tagger.state_dict(), folder / WEIGHTS)
    config = {
        "format": FORMAT,
        "model": to_plain(tagger.model),
        "types": list(tagger.tags.types),
        "versions": {name: version(name) for name in ("babelens", "torch", "transformers")},
        **facts,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / CARD).write_text(_card(tagger, facts), encoding="utf-8")
    if tagger.calibration is not None:
        write_calibration(folder, tagger.calibration)


def save_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors.

    Raises:
        OSError: the disk is full or does not allow writing; its `errno` says which.
    """
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, path)
    except SafetensorError as error:
        found = re.search(r"os error (\d+)", str(error))
        number = int(found[1]) if found else errno.EIO
        raise OSError(number, os.strerror(number), os.fspath(path)) from error


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _card(tagger: Tagger, facts: dict[str, Any]) -> str:
    views = " and ".join(tagger.model.views) or "none (text only)"
    coverage = getattr(tagger.backbone.text, "coverage", None)
    lines = [
        "---",
        "library_name: babelens",
        "pipeline_tag: token-classification",
        "---",
        "# A babelens model",
        "",
        f"- Text encoder: {type(tagger.model.backbone.text).__name__}; pictures: {views}; "
        f"head: {type(tagger.model.head).__name__}",
        *_objects(tagger.model),
        f"- Entity types: {', '.join(tagger.tags.types)}",
        f"- Parameters: {count_parameters([tagger]):,}",
        *([] if coverage is None else [f"- Word vectors: {coverage}"]),
        *(f"- {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in facts.items()),
        "",
        "```python",
        "import babelens",
        'model = babelens.load("this folder, or its hub id")',
        'model.predict("A sentence.", image="photo.jpg")',
        "```",
        "",
    ]
    return "\n".join(lines)


def _objects(model: Model) -> list[str]:
    """What a card says of the crops that a model reads."""
    if model.objects is None:
        return []
    what = {"grid": "crops of a grid over the picture, no detector", "boxes": "boxes that come with the pictures"}
    return [f"- Objects: {what[model.objects]}"]


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a model folder.

    Raises:
        CheckpointError: there is no such folder, it is no model folder, or its format is another.
    """
    path = Path(folder) / CONFIG
    if not Path(folder).is_dir():
        raise CheckpointError(
            f"{folder}: expected a model folder, found {'a file' if path.parent.exists() else 'nothing'}"
        )
    if not path.is_file():
        raise CheckpointError(f"{path}: expected the configuration of a babelens model, found no such file")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in ("format", "model", "types") if key not in config]
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: expected JSON, found something else ({error})") from error
    if missing:
        raise CheckpointError(f"{path}: expected the fields format, model and types, found none called {missing[0]}")
    if config["format"] != FORMAT:
        raise CheckpointError(
            f"{path}: expected format {FORMAT}, found {config['format']!r} (made by another version?)"
        )
    return config


def load_tagger(place: str | os.PathLike[str]) -> Tagger:
    """Load a model from its folder, or from the hub by its id; a folder never asks the network.

    Raises:
        CheckpointError: the folder is not whole, or the weights are not those of the declaration.
        CalibrationError: its calibration is damaged.
    """
    folder = _found(place)
    config = read_config(folder)
    try:
        model = from_plain(config["model"])
    except DeclarationError as error:
        raise CheckpointError(f"{folder / CONFIG}: {error}") from error
    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{path}: expected the weights of the model, found no such file")
    for part in model.backbone.folders:
        if not (folder / part).is_dir():
            raise CheckpointError(f"{folder / part}: expected the folder of the model's part, found none")
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: expected safetensors weights, found a damaged file ({error})") from error
    try:
        tagger = Tagger(model, TagSet(tuple(config["types"])), lambda part: Origin(folder=folder / part))
    except InputError:
        raise
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{folder}: expected a whole model, found a part that makes none: {reason}") from error
    try:
        tagger.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path}: expected the weights of the declared model, found others: {reason}") from error
    tagger.calibration = read_calibration(folder)
    return tagger.eval()


def _found(place: str | os.PathLike[str]) -> Path:
    folder = Path(place)
    name = os.fspath(place)
    looks_like_id = name.count("/") == 1 and not name.startswith((".", "/", "~"))
    if folder.exists() or not looks_like_id:
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{name}: expected a model folder (there is none of that name) or the id of a model on the hub; "
            f"the hub said: {reason}"
        ) from error


def push_folder(folder: Path, repository: str, *, private: bool = False) -> str:
    """Upload a model folder to the hub and return its address; the token is the one `hf auth login` stored.

    Raises:
        CheckpointError: the folder is no model folder.
    """
    read_config(folder)
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(repository, private=private, exist_ok=True)
    return str(api.upload_folder(repo_id=repository, folder_path=folder))
