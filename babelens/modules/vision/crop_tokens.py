"""Crops of a picture as one row of tokens for the layers of CLIP, as MKGFormer reads pictures."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from babelens.modules.declaration import DeclarationError
from babelens.modules.vision.clip import ClipEncoder
from babelens.modules.vision.objects import CropTransform, Objects
from babelens.modules.vision.positions import grid_positions
from babelens.modules.vision.transform import PictureTransform


class CropGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A group of crops of each picture, all resized to `size` pixels; `name` is what it is called."""

    name: str
    objects: Objects
    size: int


# Chen et al. (2022) read three crops of a visual grounding and three of an object detector: with the source "boxes".
PUBLISHED_CROPS = (
    CropGroup("grounding", Objects(3, group="grounding", missing="zero"), 128),
    CropGroup("detector", Objects(3, group="detector", missing="zero"), 64),
)


class CropTokens(nn.Module):
    """Pictures to tokens: the class token, then the patches of all crops, group after group, crop after crop.

    Patches come from CLIP's own convolution and get new learned positions, one for each place in each crop; the class
    token has none. `layers` are CLIP's layers, which the backbone runs. What of CLIP nothing reads is dropped: its
    positions (they are of whole pictures) and its last norm.

    Positions start at N(0, the deviation of CLIP's configuration); those of an encoder from scratch (`placed`) start as
    sines and cosines of the place in the crop, plus a random vector for each crop, so that places can be told apart
    from the first step.
    """

    def __init__(self, clip: ClipEncoder, groups: tuple[CropGroup, ...], *, placed: bool) -> None:
        super().__init__()
        self.clip = clip
        embeddings: Any = clip.encoder.embeddings
        embeddings.position_embedding = None
        self.dim = clip.native_dim
        self.groups = groups
        patch = embeddings.patch_size
        for group in groups:
            if group.size < patch or group.size % patch:
                raise DeclarationError(
                    f"crops of {group.name}: expected a size that is a multiple of the patches' {patch} pixels, "
                    f"found {group.size}"
                )
        deviation = clip.encoder.config.initializer_range
        self.positions = nn.ParameterDict(
            {
                group.name: nn.Parameter(_start(group.objects.count, group.size // patch, self.dim, deviation, placed))
                for group in groups
            }
        )

    @property
    def layers(self) -> Any:
        """CLIP's layers."""
        return self.clip.encoder.encoder.layers

    @property
    def transforms(self) -> dict[str, CropTransform]:
        """What cuts the crops of each group."""
        whole = self.clip.transform
        return {group.name: CropTransform(group.objects, _resized(whole, group.size)) for group in self.groups}

    def forward(
        self, pixels: tuple[UInt8[Tensor, "picture _ 3 _ _"], ...], plain: int
    ) -> Float[Tensor, "picture token dim"]:
        """The tokens of each picture, one tensor of pixels a group, after the first `plain` layers."""
        embeddings: Any = self.clip.encoder.embeddings
        tokens = [embeddings.class_embedding.expand(len(pixels[0]), 1, -1)]
        for group, own in zip(self.groups, pixels, strict=True):
            patches = embeddings.patch_embedding(self.clip.normalisation(own.flatten(0, 1)))
            tokens.append(patches.flatten(2).transpose(1, 2).reshape(len(own), -1, self.dim) + self._positions(group))
        states = self.clip.encoder.pre_layrnorm(torch.cat(tokens, dim=1))
        for layer in self.layers[:plain]:
            states = layer(states, None)
        return states

    def _positions(self, group: CropGroup) -> Tensor:
        return self.positions[group.name]

    def save(self, folder: Path) -> None:
        """Write CLIP's configuration and preprocessor, no weights."""
        self.clip.save(folder)


def _start(count: int, side: int, dim: int, deviation: float, placed: bool) -> Float[Tensor, "place dim"]:
    """Positions for `count` crops of `side` x `side` patches."""
    if not placed:
        return deviation * torch.randn(count * side * side, dim)
    crops = torch.randn(count, 1, dim) / math.sqrt(2)
    return (grid_positions(side, dim) + crops).flatten(0, 1)


def _resized(transform: PictureTransform, size: int) -> PictureTransform:
    """The same transform for squares of another size (the short side is resized to it; `fit` stays)."""
    processor = transform.processor
    fields = {**processor.to_dict(), "size": {"shortest_edge": size}, "crop_size": {"height": size, "width": size}}
    return replace(transform, processor=type(processor).from_dict(fields))
