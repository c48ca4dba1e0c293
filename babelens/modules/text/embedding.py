"""Tables of embeddings that start at random."""

from math import sqrt

import torch
from torch import Tensor, nn

from babelens.modules.text.vocabulary import PADDING


def new_table(rows: int, dim: int) -> nn.Embedding:
    """A table (rows, dim) whose row 0 is padding, zero and never trained."""
    table = nn.Embedding(rows, dim, padding_idx=PADDING)
    spread(table.weight)
    with torch.no_grad():
        table.weight[PADDING].zero_()
    return table


def spread(weight: Tensor) -> None:
    """Uniform within the square root of 3 / width (Ma and Hovy, 2016): vectors of length 1 on average."""
    bound = sqrt(3 / weight.shape[-1])
    nn.init.uniform_(weight, -bound, bound)
