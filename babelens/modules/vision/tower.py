"""Picture encoders of any family of transformers: found by their configuration, stripped of what regions do not need.

What an encoder gives and which of its weights take part is not looked up by family: a copy that takes no memory (on
torch's meta device) reads one picture and sends a gradient back.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from babelens.modules.origin import Origin
from babelens.modules.vision.grid_encoder import Layout
from babelens.modules.vision.kinds import Tag, kind_of, picture_half, tag_of
from babelens.modules.vision.positions import place_patches
from babelens.modules.vision.transform import Fit, PictureTransform
from babelens.modules.vision.weights import configure, load, read_config

_PUBLISHED_SIZE = 224
_MASKED = "vit_mae"


@dataclass(frozen=True)
class Tower:
    """An encoder without the weights that its last hidden state does not need, its transform, and what it gives."""

    encoder: PreTrainedModel
    transform: PictureTransform
    layout: Layout


@runtime_checkable
class Wanted(Protocol):
    """What a declaration says of a picture encoder and of how pictures are cut for it."""

    @property
    def name(self) -> str:
        """A repository of the hub or a folder."""
        ...

    @property
    def scratch(self) -> dict[str, Any] | None:
        """Fields of the configuration of a new encoder; None for a pretrained one."""
        ...

    @property
    def fit(self) -> Fit:
        """What becomes of a picture that is no square."""
        ...

    @property
    def augmented(self) -> bool:
        """Whether pictures are cut at random in training."""
        ...


def build_tower(wanted: Wanted, origin: Origin, tag: Tag, default: str) -> Tower:
    """The picture encoder of a folder in a checkpoint, or one from scratch (`default`: its model type), or by its name.

    Raises:
        OSError: name or folder holds no model or no preprocessor that can be read.
        ValueError: it holds no model that `tag` takes, or `scratch` or the preprocessor does not fit.
    """
    if origin.folder is None and wanted.scratch is not None:
        place = "scratch"
        config, size = _configured(wanted.scratch, default)
        _check(place, config, tag)
        transform = PictureTransform.sized(size, wanted.fit, wanted.augmented)
    else:
        place = str(origin.folder or wanted.name)
        config = read_config(place)
        _check(place, config, tag)
        transform = PictureTransform.read(place, wanted.fit, wanted.augmented)
    half = _settled(picture_half(config))
    kind = kind_of(half)
    assert kind is not None, "a configuration with a tag has a class"
    shape, spare = _probe(kind, half, transform.size, place)
    if origin.folder is not None:
        with no_init_weights():
            encoder = kind(half)
    elif wanted.scratch is not None:
        encoder = kind(half)
    else:
        encoder = load(kind, place, spare=spare)
        _settled(encoder.config)
    _strip(encoder, spare)
    layout = _layout(shape, half, transform.size, place)
    if origin.folder is None and wanted.scratch is not None and tag == "vit":
        place_patches(encoder, layout.prefix, layout.rows)
    return Tower(encoder, transform, layout)


def read_pictures(encoder: Any, pixels: Tensor) -> Tensor:
    """The last hidden state of an encoder; one that would shuffle patches to mask some (ViT-MAE) is told not to."""
    if encoder.config.model_type != _MASKED:
        return encoder(pixels).last_hidden_state
    patches = encoder.embeddings.patch_embeddings.num_patches
    order = torch.arange(patches, device=pixels.device, dtype=torch.float32)
    return encoder(pixels, noise=order.expand(len(pixels), -1)).last_hidden_state


def _configured(scratch: Mapping[str, Any], default: str) -> tuple[PreTrainedConfig, int]:
    """The configuration that `scratch` asks for, and the side of its pictures."""
    fields = dict(scratch)
    type_ = fields.pop("model_type", default)
    if type_ not in CONFIG_MAPPING:
        raise ValueError(f"scratch: expected a model_type that transformers knows ({default}, ...), found {type_!r}")
    kind = CONFIG_MAPPING[type_]
    known = getattr(kind(), "image_size", None)
    size = fields.pop("size", fields.get("image_size", known or _PUBLISHED_SIZE))
    size = size[0] if isinstance(size, list | tuple) else size
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"scratch: expected a size in pixels of at least 1, found {size!r}")
    if known is not None:
        fields["image_size"] = [size, size] if isinstance(known, list | tuple) else size
    return configure(kind, fields), size


def _settled(config: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration of an encoder that masks no patches."""
    if config.model_type == _MASKED:
        setattr(config, "mask_ratio", 0.0)  # noqa: B010, not every configuration declares it
    return config


def _check(place: str, config: PreTrainedConfig, tag: Tag) -> None:
    found = tag_of(config)
    if found != tag:
        wanted = {"vit": "a vision transformer", "feature-map": "a vision model with a feature map"}[tag]
        hint = f'; declare regions.type = "{found}"' if found else ""
        raise ValueError(f"{place}: expected {wanted}, found {config.model_type}{hint}")


def _probe(
    kind: type[PreTrainedModel], config: PreTrainedConfig, size: int, place: str
) -> tuple[tuple[int, ...], frozenset[str]]:
    """The shape of the last hidden state of one picture, and the names of the weights that have no part in it."""
    try:
        with torch.device("meta"), no_init_weights():
            model = kind(config).eval().requires_grad_()
        # Not on the meta device by default: some encoders keep tables of places for all models to come (BEiT).
        with torch.device("cpu"), torch.inference_mode(False), torch.enable_grad():
            state = read_pictures(model, torch.zeros(1, 3, size, size, device="meta"))
            state.sum().backward()
    except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{place}: expected a {config.model_type} model that reads pictures of {size} x {size} pixels, as its "
            f"preprocessor cuts them, found one that does not: {reason}"
        ) from error
    return tuple(state.shape[1:]), frozenset(name for name, weight in model.named_parameters() if weight.grad is None)


def _strip(encoder: PreTrainedModel, spare: Collection[str]) -> None:
    """Take away the weights of these names: whole modules (pooling heads, norms of what is pooled), or single ones."""
    kept = [name for name, _ in encoder.named_parameters() if name not in spare]
    for whole in sorted({_beginning(name, kept) for name in spare}):
        parent, _, last = whole.rpartition(".")
        home = encoder.get_submodule(parent)
        setattr(home, last, nn.Identity() if isinstance(getattr(home, last), nn.Module) else None)


def _beginning(name: str, kept: Collection[str]) -> str:
    """The shortest beginning of a weight's name that is that of no weight to be kept."""
    parts = name.split(".")
    beginnings = (".".join(parts[:count]) for count in range(1, len(parts)))
    free = (own for own in beginnings if not any(other.startswith(f"{own}.") for other in kept))
    return next(free, name)


def _layout(shape: tuple[int, ...], config: Any, size: int, place: str) -> Layout:
    """What a last hidden state of this shape holds: (width, rows, columns) of a map, or (tokens, width)."""
    if len(shape) == 3:
        width, rows, columns = shape
        return Layout(0, rows, columns, width)
    if len(shape) == 2:
        tokens, width = shape
        patch = getattr(config, "patch_size", None)
        side = size // patch if isinstance(patch, int) and tag_of(config) == "vit" else isqrt(tokens)
        # A network of stages has at most one token that is no cell: the class (PVT) or the mean (ConvNeXt of DINOv3).
        if side and side * side <= tokens and (tag_of(config) == "vit" or tokens <= side * side + 1):
            return Layout(tokens - side * side, side, side, width)
    raise ValueError(
        f"{place}: expected a last hidden state of square grids of patches or cells, found one of shape "
        f"{' x '.join(map(str, shape))} for pictures of {size} pixels"
    )
