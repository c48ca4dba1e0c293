"""A layer of BERT whose states may also read other states than themselves (Devlin et al., 2019; Yu et al., 2020)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

_DEVIATION = 0.02
_EPSILON = 1e-12


class BertLayer(nn.Module):
    """Attention, then a perceptron (GELU), each with dropout, a residual connection and a layer norm over the sum.

    x' = LN(x + dropout(W [heads of dropout(softmax(QK / sqrt(d/m))) V])), y = LN(x' + dropout(MLP(x'))), with queries
    from x and keys and values from what x reads: x itself in a layer of a transformer, another sequence in a
    cross-modal one. Weights start as in BERT.

    Where there is nothing to read, zero stands in place of what attention adds: x passes through norms and perceptron
    alone, and attention learns nothing of it.
    """

    def __init__(self, dim: int, heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)
        self.attention_norm = nn.LayerNorm(dim, eps=_EPSILON)
        self.perceptron = nn.Sequential(nn.Linear(dim, expansion * dim), nn.GELU(), nn.Linear(expansion * dim, dim))
        self.perceptron_norm = nn.LayerNorm(dim, eps=_EPSILON)
        self.dropout = nn.Dropout(dropout)
        start_as_bert(self)

    def forward(
        self,
        states: Float[Tensor, "batch place dim"],
        read: Float[Tensor, "batch source dim"],
        mask: Bool[Tensor, "batch source"],
    ) -> Float[Tensor, "batch place dim"]:
        """States that have read what `mask` shows of `read`; the rest must be finite and changes nothing."""
        query, key, value = (self._split(part) for part in (self.query(states), self.key(read), self.value(read)))
        visible, any_visible = _visible(mask)
        dropout = self.dropout.p if self.training else 0.0
        attended = functional.scaled_dot_product_attention(query, key, value, visible, dropout)
        context = self.dropout(self.output(attended.transpose(1, 2).flatten(2)))
        aware = self.attention_norm(states + torch.where(any_visible[:, 0], context, 0.0))
        return self.perceptron_norm(aware + self.dropout(self.perceptron(aware)))

    def weights(
        self,
        states: Float[Tensor, "batch place dim"],
        read: Float[Tensor, "batch source dim"],
        mask: Bool[Tensor, "batch source"],
    ) -> Float[Tensor, "batch head place source"]:
        """How much each state looks at each place of what it reads: sums to 1, or all 0 where there is nothing."""
        query, key = self._split(self.query(states)), self._split(self.key(read))
        visible, any_visible = _visible(mask)
        scores = (query @ key.transpose(2, 3)).float() / query.shape[-1] ** 0.5
        return torch.where(any_visible, scores.masked_fill(~visible, -torch.inf).softmax(-1), 0.0)

    def _split(self, states: Float[Tensor, "batch place dim"]) -> Float[Tensor, "batch head place part"]:
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def start_as_bert(module: nn.Module) -> None:
    """Draw the weights of all linear layers in a module from N(0, 0.02), with biases of 0, as BERT does."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=_DEVIATION)
            nn.init.zeros_(layer.bias)


def _visible(
    mask: Bool[Tensor, "batch source"],
) -> tuple[Bool[Tensor, "batch 1 1 source"], Bool[Tensor, "batch 1 1 1"]]:
    """Where attention may go, and whether a row has anything to read.

    A row without may look at all there is: a softmax over nothing would be NaN, and NaN survives in the gradient even
    where its result is not used.
    """
    any_visible = mask.any(1, keepdim=True)
    return (mask | ~any_visible)[:, None, None, :], any_visible[:, None, None, :]
