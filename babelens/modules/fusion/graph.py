"""Words and objects as the nodes of one graph (UMGF: Zhang et al., 2021, section 3.2)."""

from collections.abc import Iterator
from typing import ClassVar, cast

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from babelens.modules.backbone import Streams
from babelens.modules.fusion.unit import Unit
from babelens.modules.shapes import RegionMask, Regions, WordMask, Words

Objects = Float[Tensor, "batch region dim"]


class Graph(msgspec.Struct, frozen=True, tag="graph", forbid_unknown_fields=True):
    """UMGF's graph fusion: layers in which sub-tokens and objects attend within, and gate between, their kinds.

    `dim` is the width of the nodes, divided by `heads`; `inner` that of the perceptrons' inner layer. `dropout` falls
    on attention's weights, on all that is added to a node, and on the objects as they enter.

    Every sub-token has an edge to every other and to every object of its row, and so have the objects, those of
    several pictures too. That is the published code; the paper ties an object that was found for a noun phrase to that
    phrase alone. Published UMGF labels sub-tokens, with 13 labels that include padding and later sub-tokens; here the
    head labels words with the tags of the data, and reads a word's first sub-token.
    """

    unit: ClassVar[Unit] = "piece"
    projected: ClassVar[bool] = False
    reads_text: ClassVar[bool] = True

    dim: int = 512
    layers: int = 6
    heads: int = 8
    inner: int = 256
    dropout: float = 0.4

    def build(self, dim: int, region_dim: int | None = None) -> "GraphFusion":
        """The module for words of width `dim` and objects of width `region_dim`; None leaves the words' path alone.

        Raises:
            ValueError: a width is none, the heads do not divide that of the nodes, or there is no layer.
        """
        if min(self.dim, self.inner) < 1:
            raise ValueError(f"graph: expected widths of at least 1, found dim {self.dim} and inner {self.inner}")
        if self.heads < 1 or self.dim % self.heads:
            raise ValueError(f"graph: expected heads that divide the width {self.dim}, found {self.heads}")
        if self.layers < 1:
            raise ValueError(f"graph: expected 1 layer or more, found {self.layers}")
        return GraphFusion(self, dim, region_dim)


class GraphFusion(nn.Module):
    """Words beside what a stack of graph layers makes of them: [X0 ; x], of width `dim` + the nodes' width.

    A word X0 enters as x = W X0 + b. An object enters as o = F(F(W' r + b')), W' being as wide as the region (it stands
    for the layer that the published code puts in place of the ResNet's classifier) and F(v) = dropout(ReLU(W v + b)).

    A row without objects goes the same way with zero for the sum over its objects; no object's weights learn from it.
    `build(dim)` has the weights of that way only, and gives every row just that.

    Objects end in nothing: the head reads words. The published last layer still updates its objects, by weights that
    never get a gradient; here it has no such weights. Matrices start from Glorot and Bengio's (2010) uniform
    distribution, as published, but each layer from a draw of its own, where published layers all start alike.
    """

    def __init__(self, graph: Graph, dim: int, region_dim: int | None) -> None:
        super().__init__()
        self.dim, self.auxiliary_dim = dim + graph.dim, None
        self.word_input = nn.Linear(dim, graph.dim)
        self.object_input = None
        if region_dim is not None:
            self.object_input = nn.Sequential(
                nn.Linear(region_dim, region_dim),
                *(glorot(region_dim, graph.dim), nn.ReLU(), nn.Dropout(graph.dropout)),
                *(glorot(graph.dim, graph.dim), nn.ReLU(), nn.Dropout(graph.dropout)),
            )
        last = graph.layers - 1
        self.layers = nn.ModuleList(
            GraphLayer(graph, objects=region_dim is not None, last=number == last) for number in range(graph.layers)
        )

    def forward(self, words: Words, mask: WordMask, regions: Regions, region_mask: RegionMask) -> Streams:
        """Words that know of one another and of their row's objects; what is outside a mask changes nothing."""
        nodes, objects = self._enter(words, regions, region_mask)
        for layer in self.layers:
            nodes, objects = layer(nodes, mask, objects, region_mask)
        return Streams(torch.cat([words, nodes], dim=-1))

    def weights(
        self, words: Words, mask: WordMask, regions: Regions, region_mask: RegionMask
    ) -> Float[Tensor, "batch 1 word region"] | None:
        """How far the last layer's gate from each object to each word is open; None where no objects are read.

        It is the mean over the gate's units, from 0 to 1, and 0 outside the mask of objects. It is no distribution: a
        word may be open to all objects or to none.
        """
        nodes, objects = self._enter(words, regions, region_mask)
        *before, final = self.layers
        for layer in before:
            nodes, objects = layer(nodes, mask, objects, region_mask)
        last = cast(GraphLayer, final)
        nodes, objects = last.attend(nodes, mask, objects, region_mask)
        if objects is None or last.to_words is None:
            return None
        means = [gate.mean(-1) for gate in last.to_words.gates(nodes, objects)]
        return torch.stack(means, dim=2).masked_fill(~region_mask[:, None, :], 0.0)[:, None]

    def _enter(
        self, words: Words, regions: Regions, region_mask: RegionMask
    ) -> tuple[Float[Tensor, "batch word node"], Float[Tensor, "batch region node"] | None]:
        if self.object_input is None:
            return self.word_input(words), None
        return self.word_input(words), self.object_input(regions.masked_fill(~region_mask[:, :, None], 0.0))


class GraphLayer(nn.Module):
    """One layer: nodes attend to those of their own kind, then words and objects exchange through gates.

    1. x' = LN(x + dropout(MHA(x))), o' = LN(o + dropout(MHA'(o))), where MHA' has neither value nor output projection.
    2. x''_i = LN(x'_i + dropout(sum_j c_ij * o'_j)), c_ij = sigmoid(W_c [x'_i ; o'_j] + b_c), a gate for each unit.
    3. o''_j = LN(o'_j + dropout(sum_i e_ij * x'_i)), e_ij = sigmoid(W_e [x'_i ; o'_j] + b_e), over real words i.
    4. x = LN(x'' + dropout(FFN(x''))), and o likewise, FFN(v) = W2 ReLU(W1 v + b1) + b2.

    The `last` layer leaves 3 and 4 out for objects, which nothing reads any more.
    """

    def __init__(self, graph: Graph, *, objects: bool, last: bool) -> None:
        super().__init__()
        self.word_attention = SelfAttention(graph, projected=True)
        self.word_update = Update(graph)
        self.object_attention = SelfAttention(graph, projected=False) if objects else None
        self.object_update = Update(graph) if objects and not last else None
        self.to_words = Gate(graph.dim) if objects else None
        self.to_objects = Gate(graph.dim) if objects and not last else None

    def forward(
        self, words: Words, mask: WordMask, objects: Objects | None, object_mask: RegionMask
    ) -> tuple[Words, Objects | None]:
        """The nodes after the layer; None for objects that nothing reads any more."""
        words, objects = self.attend(words, mask, objects, object_mask)
        gathered = torch.zeros_like(words)
        if objects is None or self.to_words is None:
            return self.word_update(words, gathered), None
        # One object at a time: all gates at once would be as large as words times objects, several times over.
        for number, gate in enumerate(self.to_words.gates(words, objects)):
            gathered = gathered + gate * objects[:, number, None]
        updated = self.word_update(words, gathered.masked_fill(~mask[:, :, None], 0.0))
        if self.to_objects is None or self.object_update is None:
            return updated, None
        real = words.masked_fill(~mask[:, :, None], 0.0)
        sums = [(gate * real).sum(1) for gate in self.to_objects.gates(words, objects)]
        return updated, self.object_update(objects, torch.stack(sums, dim=1))

    def attend(
        self, words: Words, mask: WordMask, objects: Objects | None, object_mask: RegionMask
    ) -> tuple[Words, Objects | None]:
        """Step 1; objects outside the mask become zero, so that no sum feels them."""
        words = self.word_attention(words, mask)
        if objects is None or self.object_attention is None:
            return words, None
        return words, self.object_attention(objects, object_mask).masked_fill(~object_mask[:, :, None], 0.0)


class SelfAttention(nn.Module):
    """Multi-head attention among nodes of one kind, added to them: LN(v + dropout(MHA(v))).

    Attention's weights are softmax(QK / sqrt(part)), with dropout. If not `projected`, the values are the nodes
    themselves, a part of them for each head, and the heads' findings are put side by side as they are.
    """

    def __init__(self, graph: Graph, *, projected: bool) -> None:
        super().__init__()
        self.heads, self.share = graph.heads, graph.dropout
        self.query, self.key = glorot(graph.dim, graph.dim), glorot(graph.dim, graph.dim)
        self.value = glorot(graph.dim, graph.dim) if projected else nn.Identity()
        self.output = glorot(graph.dim, graph.dim) if projected else nn.Identity()
        self.dropout = nn.Dropout(graph.dropout)
        self.norm = nn.LayerNorm(graph.dim)

    def forward(self, nodes: Words, mask: WordMask) -> Words:
        """Nodes that know of the others; those outside the mask change nothing.

        In a row without any, all may attend to all: a softmax over nothing would be NaN, in the gradient too.
        """
        seen = mask | ~mask.any(1, keepdim=True)
        query, key, value = (
            part(nodes).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        attended = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=seen[:, None, None, :], dropout_p=self.share if self.training else 0.0
        )
        return self.norm(nodes + self.dropout(self.output(attended.transpose(1, 2).flatten(2))))


class Update(nn.Module):
    """What nodes gathered is added to them, then what a perceptron makes of that, each with dropout and a norm."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.gathered_norm = nn.LayerNorm(graph.dim)
        self.perceptron = nn.Sequential(glorot(graph.dim, graph.inner), nn.ReLU(), glorot(graph.inner, graph.dim))
        self.perceptron_norm = nn.LayerNorm(graph.dim)
        self.dropout = nn.Dropout(graph.dropout)

    def forward(self, nodes: Words, gathered: Words) -> Words:
        """The nodes after steps 2 or 3, and 4."""
        aware = self.gathered_norm(nodes + self.dropout(gathered))
        return self.perceptron_norm(aware + self.dropout(self.perceptron(aware)))


class Gate(nn.Module):
    """Between a word and an object, for each unit: sigmoid(W [x ; o] + b)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.joint = glorot(2 * dim, dim)

    def gates(self, words: Words, objects: Objects) -> Iterator[Words]:
        """The gates of all words to each object in turn.

        W [x ; o] is a map of x and one of o, each made once; a training step keeps every gate for its gradient.
        """
        of_word, of_object = self.joint.weight.chunk(2, dim=1)
        own = functional.linear(words, of_word, self.joint.bias)
        for other in functional.linear(objects, of_object).unbind(1):
            yield (own + other[:, None]).sigmoid()


def glorot(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that starts from Glorot and Bengio's uniform distribution, and from zero biases."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
