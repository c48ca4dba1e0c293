"""Which class of transformers reads pictures for a configuration, and which declaration takes what it gives."""

import importlib
from typing import Any, Literal

from transformers import MODEL_MAPPING, PreTrainedConfig, PreTrainedModel

Tag = Literal["vit", "feature-map"]

# What a network that halves its map from stage to stage says of its stages.
_STAGES = ("depths", "hidden_sizes", "depth_multiplier", "width_coefficient", "stage_out_channels", "block_sizes")


def picture_half(config: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration of the half that reads pictures, in a model of text and pictures; else the whole one."""
    return getattr(config, "vision_config", None) or config


def kind_of(config: PreTrainedConfig) -> type[PreTrainedModel] | None:
    """The class of the encoder that belongs to the configuration of a picture encoder; None if it is none.

    It is the one of `AutoModel` or, where that has none (MetaCLIP 2, BLIP, AltCLIP), the VisionModel beside its
    configuration.
    """
    try:
        kind = MODEL_MAPPING[type(config)]
    except KeyError:
        home = type(config).__module__.replace(".configuration_", ".modeling_")
        if not home.startswith("transformers.") or home == type(config).__module__:
            return None
        found = [
            own
            for own in vars(importlib.import_module(home)).values()
            if isinstance(own, type)
            and issubclass(own, PreTrainedModel)
            and own.__name__.endswith("VisionModel")
            and own.config_class is type(config)
        ]
        kind = found[0] if found else None
    kind = kind[0] if isinstance(kind, tuple) else kind
    return kind if kind is not None and kind.main_input_name == "pixel_values" else None


def tag_of(config: PreTrainedConfig) -> Tag | None:
    """The tag of the region encoder that takes such a model: "vit", "feature-map", or None where neither does."""
    half: Any = picture_half(config)
    kind = kind_of(half)
    # YOLOS ends its sequence with tokens for the objects to be found, which are regions of no place.
    if kind is None or hasattr(half, "num_detection_tokens"):
        return None
    if any(hasattr(half, name) for name in _STAGES):
        return "feature-map"
    return "vit" if hasattr(half, "patch_size") and hasattr(half, "hidden_size") else "feature-map"
