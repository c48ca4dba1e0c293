"""Where the regions of a grid are, as a start for position embeddings that are learnt from nothing."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


def grid_positions(side: int, dim: int) -> Float[Tensor, "region width"]:
    """Sines and cosines of the row and the column of each region of a square grid (after Carion et al., 2020).

    A start for learned positions from which near and far, left and right can be told at once.
    """
    count = -(-dim // 4)
    waves = 2 * math.pi * torch.arange(1, count + 1) / count
    places = (torch.arange(side) + 0.5) / side
    rows, columns = torch.meshgrid(places, places, indexing="ij")
    angles = [place.flatten()[:, None] * waves for place in (rows, columns)]
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1)[:, :dim]


@torch.no_grad()
def place_patches(encoder: Any, prefix: int, side: int) -> None:
    """Let the positions that a new vision transformer learns start as sines and cosines (Chen et al., 2021, MoCo v3).

    The published start, a thirtieth of what the patches weigh, is meant for millions of pictures. Encoders that have no
    such table, `prefix` rows and then one for each of side x side patches, stay as they are.
    """
    for name in ("position_embedding", "position_embeddings"):
        table = getattr(getattr(encoder, "embeddings", None), name, None)
        weight = table.weight if isinstance(table, nn.Embedding) else table
        if isinstance(weight, nn.Parameter) and weight.requires_grad and weight.shape[-2] == prefix + side * side:
            rows = weight.view(weight.shape[-2:])
            rows[:prefix] = 0.0
            rows[prefix:] = grid_positions(side, rows.shape[1])
