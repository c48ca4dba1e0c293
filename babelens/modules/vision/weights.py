"""Encoders of transformers: new from a configuration, pretrained by name, or empty for a checkpoint to fill."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights
from transformers.utils import logging

from babelens.modules.vision.kinds import tag_of

Config = TypeVar("Config", bound=PreTrainedConfig)
Encoder = TypeVar("Encoder", bound=PreTrainedModel)


def configure(kind: type[Config], fields: Mapping[str, Any]) -> Config:
    """A configuration with some fields set and the others as published.

    Raises:
        ValueError: a field that the configuration does not have, or a value that it refuses.
    """
    known = kind().to_dict().keys()
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise ValueError(f"expected fields of {kind.__name__}, found {', '.join(map(repr, unknown))}")
    try:
        return kind(**fields)
    except (TypeError, ValueError, AttributeError, StrictDataclassError) as error:
        raise ValueError(f"expected values for {kind.__name__}, found {dict(fields)}: {error}") from error


def read_config(name: str) -> PreTrainedConfig:
    """The configuration of a model, from a repository of the hub or a folder.

    Raises:
        OSError: there is none under that name.
        ValueError: it is that of no model that transformers knows.
    """
    try:
        return AutoConfig.from_pretrained(name)
    except OSError as error:
        reason = str(error).partition("\n")[0]
        raise OSError(
            f"{name}: expected a folder with a model or a model of the hub, found neither ({reason})"
        ) from error
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{name}: expected a model that transformers knows, found another ({reason})") from error


def load(
    kind: type[Encoder], name: str, models: Collection[str] = (), *, spare: Collection[str] = frozenset()
) -> Encoder:
    """A pretrained encoder, from a repository of the hub or a folder, with 32-bit weights.

    `models` are the model types whose checkpoints hold such an encoder; () leaves them unchecked. transformers itself
    fills what a checkpoint lacks with random numbers; here that is an error, but for the `spare` weights.

    Raises:
        OSError: nothing can be read under that name.
        ValueError: it is another kind of model, or its weights are lacking or of other sizes.
    """
    if models:
        config = read_config(name)
        if config.model_type not in models:
            tag = tag_of(config)
            hint = f'; declare regions.type = "{tag}"' if tag else ""
            raise ValueError(f"{name}: expected a model of type {' or '.join(models)}, found {config.model_type}{hint}")
    with _quietly():
        try:
            loaded: Any = kind.from_pretrained(name, dtype=torch.float32, output_loading_info=True)
        except RuntimeError as error:
            raise ValueError(f"{name}: expected weights of the sizes in its configuration, found others") from error
    encoder, report = loaded
    lacking = sorted(set(report["missing_keys"]).difference(spare))
    if lacking:
        raise ValueError(f"{name}: expected all weights of {kind.__name__}, found none for {', '.join(lacking[:3])}")
    return encoder


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the table of transformers that lists the other half of a CLIP model as unexpected."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def hollow(kind: type[Encoder], folder: Path) -> Encoder:
    """An encoder of the configuration in a folder whose weights are yet to be filled in.

    Raises:
        OSError: the folder holds no readable `config.json`.
    """
    config = AutoConfig.from_pretrained(str(folder))
    with no_init_weights():
        return kind(config)
