"""Layers of BERT and of CLIP that exchange: text keys lead the vision, and words gather what correlates with them.

After Chen et al., 2022, "Hybrid Transformer with Multi-level Fusion for Multimodal Knowledge Graph Completion"
(MKGFormer): prefix-guided interaction in the vision layer, correlation-aware fusion in the text layer above it. The
layers themselves are those of transformers; here they are only run otherwise.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional


class Prefix(NamedTuple):
    """Keys and values of a text layer's attention by head, and which of them stand for a real sub-token."""

    keys: Float[Tensor, "window head piece part"]
    values: Float[Tensor, "window head piece part"]
    mask: Bool[Tensor, "window piece"]


class Sight(NamedTuple):
    """The visual tokens of each window's pictures, one picture after the other, and which of them are real."""

    states: Float[Tensor, "window token dim"]
    mask: Bool[Tensor, "window token"]


class CorrelationFusion(nn.Module):
    """Correlation-aware fusion: what a text layer's inner perceptron also reads, W Agg + b.

    Agg = softmax(C V^T) V for the contexts C of the text's attention, before its output projection, and the visual
    tokens V: one head, no scale, no projections, as published. The dot products are taken in 32 bits whatever the
    precision around them, for without a scale they are large. A window without pictures gets 0, not b: its layer is the
    plain one. Weights start at N(0, `deviation`), biases at 0, as in BERT.
    """

    def __init__(self, dim: int, inner: int, deviation: float) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, inner)
        nn.init.normal_(self.linear.weight, std=deviation)
        nn.init.zeros_(self.linear.bias)

    def forward(self, context: Float[Tensor, "window piece dim"], sight: Sight) -> Float[Tensor, "window piece inner"]:
        """What is added to the input of the text layer's activation."""
        with torch.autocast(context.device.type, enabled=False):
            context, states = context.float(), sight.states.float()
            shown = sight.mask.any(1)[:, None]
            scores = context @ states.transpose(1, 2)
            # Where nothing is shown all may be looked at: a softmax over nothing is NaN, in the gradient too.
            weights = scores.masked_fill(~(sight.mask | ~shown)[:, None], -torch.inf).softmax(-1)
            gathered = weights @ states
        return torch.where(shown[:, None], self.linear(gathered), 0.0)


def read_text(
    layer: Any,
    states: Float[Tensor, "window piece dim"],
    mask: Bool[Tensor, "window piece"],
    gathered: tuple[CorrelationFusion, Sight] | None = None,
) -> tuple[Float[Tensor, "window piece dim"], Prefix]:
    """A layer of BERT, and the keys and values of its attention; with `gathered`, words read what they see.

    FFN(x) = W2 GELU(W1 x + b1 + W3 Agg + b3) + b2, x being the output of attention (the activation is the encoder's).
    """
    attention = layer.attention.self
    heads = attention.num_attention_heads
    query, key, value = (_split(part(states), heads) for part in (attention.query, attention.key, attention.value))
    dropout = attention.dropout.p if attention.training else 0.0
    attended = functional.scaled_dot_product_attention(query, key, value, mask[:, None, None], dropout)
    context = _join(attended)
    aware = layer.attention.output(context, states)
    inner = layer.intermediate.dense(aware)
    if gathered is not None:
        fusion, sight = gathered
        inner = inner + fusion(context, sight)
    inner = layer.intermediate.intermediate_act_fn(inner)
    return layer.output(inner, aware), Prefix(key, value, mask)


def look(layer: Any, sight: Sight, prefix: Prefix) -> Sight:
    """Prefix-guided interaction: a layer of CLIP whose keys and values are [those of the text; its own].

    Published, padded text takes part and so moves the vision of its neighbours; here it is masked, as are the tokens
    of pictures that are not there.
    """
    attention = layer.self_attn
    heads = attention.num_heads
    normed = layer.layer_norm1(sight.states)
    query, key, value = (_split(part(normed), heads) for part in (attention.q_proj, attention.k_proj, attention.v_proj))
    keys, values = torch.cat([prefix.keys, key], dim=2), torch.cat([prefix.values, value], dim=2)
    mask = torch.cat([prefix.mask, sight.mask], dim=1)[:, None, None]
    dropout = attention.dropout if attention.training else 0.0
    attended = functional.scaled_dot_product_attention(query, keys, values, mask, dropout)
    states = sight.states + attention.out_proj(_join(attended))
    return Sight(states + layer.mlp(layer.layer_norm2(states)), sight.mask)


def _split(states: Float[Tensor, "window place dim"], heads: int) -> Float[Tensor, "window head place part"]:
    return states.unflatten(-1, (heads, -1)).transpose(1, 2)


def _join(states: Float[Tensor, "window head place part"]) -> Float[Tensor, "window place dim"]:
    return states.transpose(1, 2).flatten(2)
