"""Multilingual, multimodal named entity recognition."""

import os
from typing import TYPE_CHECKING

from babelens.schema import Entity, Example

if TYPE_CHECKING:
    from babelens.prediction.predictor import Predictor

__all__ = ["Entity", "Example", "load"]
__version__ = "0.1.0"


def load(path_or_hub_id: str | os.PathLike[str], device: str | None = None) -> "Predictor":
    """Load a model from its folder, or from the hub by its id, ready to be asked: `load(...).predict("A text.")`.

    A folder is read without asking the network; one that `babelens export` wrote is run by onnxruntime. `device` is
    "cpu", "cuda", "cuda:1" and so on; without it the best that there is.

    Raises:
        InputError: there is no such model or device; the message says what was expected and what was found.
    """
    from babelens.models.checkpoint import load_tagger
    from babelens.prediction.onnx_folder import is_exported
    from babelens.prediction.predictor import Predictor, choose_device

    if is_exported(path_or_hub_id):
        from babelens.prediction.onnx_engine import load_exported

        return Predictor(load_exported(path_or_hub_id, device))
    place = choose_device(device)
    return Predictor(load_tagger(path_or_hub_id).to(place))
