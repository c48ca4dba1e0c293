"""Where the regions of a grid are, as a start for position embeddings that are learnt from nothing."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


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
