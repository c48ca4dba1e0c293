"""Parts of a tagger in a form that a graph can hold: the same numbers, without steps whose size hangs on values.

The graph of a model is made by following it once. What packs sequences, chooses by a mask or searches in a table would
be followed with the sizes of that one time, so a copy of the tagger gets these parts exchanged before (`exchange`).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.resnet.modeling_resnet import ResNetConvLayer, ResNetShortCut

from babelens.modules.shapes import Words
from babelens.modules.text.characters import BlockSpeller, LstmSpeller
from babelens.modules.text.encoded import EncodedText, Pieces
from babelens.modules.text.recurrent import RecurrentEncoder
from babelens.modules.text.spelling import SpelledInput
from babelens.modules.text.tokens import TextInput
from babelens.modules.text.transformer import Layers, TransformerEncoder
from babelens.modules.vision.folding import FoldedConvLayer, FoldedShortCut

_WEIGHTS = ("graph_inputs", "graph_recurrences", "graph_biases")


class GraphText(TextInput):
    """Sub-tokens whose rows are counted: a graph has no search in a sorted table."""

    @property
    def rows(self) -> Int[Tensor, " window"]:
        """The row of the batch that each window belongs to: the last one that starts at or before it."""
        windows = torch.arange(self.ids.shape[0], device=self.ids.device)
        return (self.window[None, :] <= windows[:, None]).sum(1) - 1


class GraphTransformer(TransformerEncoder):
    """A transformer that reads all windows at once."""

    def forward(self, text: TextInput, layers: Layers | None = None) -> EncodedText:
        """Encode sentences; words beyond the mask are zero."""
        states, pooled = self._run_windows(text, slice(None), layers)
        flat = states.flatten(0, 1)
        chosen = self._chosen(text)
        words = _mean(flat, text) if self.pieces == "mean" else flat[chosen]
        words = words.masked_fill(~text.mask.unsqueeze(-1), 0.0)
        return EncodedText(words, text.mask, pooled[text.window], Pieces(states, text.attention, text.rows, chosen))


def _mean(flat: Float[Tensor, "place dim"], text: TextInput) -> Float[Tensor, "batch word dim"]:
    """The mean of each word's sub-tokens: those of other windows are added as zero."""
    owner = text.owner.flatten()
    place = torch.arange(owner.shape[0], device=owner.device)
    first, last = text.first.flatten(), text.last.flatten()
    word = owner.clamp(min=0)
    chosen = (owner >= 0) & (place >= first[word]) & (place <= last[word])
    sums = flat.new_zeros(first.shape[0], flat.shape[1]).scatter_add(
        0, word[:, None].expand(-1, flat.shape[1]), flat * chosen[:, None]
    )
    return (sums / (last - first + 1).unsqueeze(-1)).view(*text.mask.shape, -1)


class GraphRecurrent(RecurrentEncoder):
    """An LSTM that is told the lengths of its rows, in place of packed ones."""

    def forward(self, text: SpelledInput) -> EncodedText:
        """Encode sentences; words beyond the mask are zero."""
        states = self._embed(text)
        for place, layer in enumerate(self.layers):
            if place > 0 and place == self.joined:
                states = torch.cat([states, *self._spell(text)], dim=-1)
            states, _ = read_both_ways(layer, states, text.lengths)
        if self.norm is not None:
            states = self.norm(states)
        words = states.masked_fill(~text.mask.unsqueeze(-1), 0.0)
        pooled = words.sum(1) / text.mask.sum(1, keepdim=True).clamp(min=1)
        return EncodedText(words, text.mask, pooled)

    def _embed(self, text: SpelledInput) -> Words:
        words = self._look_up(text.words)
        if self.subwords is not None:
            words = words + mean_of_bags(self.subwords.weight, text.grams, text.offsets)[text.spelling]
        spelled = self._spell(text) if self.joined == 0 else []
        casing = [] if self.casing is None else [self.casing(text.casing)]
        return torch.cat([words, *spelled, *casing], dim=-1)


class GraphLstmSpeller(LstmSpeller):
    """Reads a word's characters both ways without packing them."""

    def forward(
        self, characters: Int[Tensor, "distinct character"], spans: Int[Tensor, " distinct"]
    ) -> Float[Tensor, "distinct dim"]:
        """Spell words of so many characters each."""
        _, last = read_both_ways(self.lstm, self.characters(characters), spans)
        return last.transpose(0, 1).flatten(1)


class GraphBlockSpeller(BlockSpeller):
    """Norms all places by what training left, and clears those that are not real."""

    def _normed(
        self, places: Float[Tensor, "distinct place filter"], real: Tensor
    ) -> Float[Tensor, "distinct place filter"]:
        normed = self.norm(places.transpose(1, 2)).transpose(1, 2)
        return normed.masked_fill(~real.unsqueeze(2), 0.0)


def read_both_ways(
    layer: nn.Module, states: Float[Tensor, "batch place width"], lengths: Int[Tensor, " batch"]
) -> tuple[Float[Tensor, "batch place both"], Float[Tensor, "2 batch hidden"]]:
    """What a bidirectional LSTM makes of rows of these lengths (0 counts as 1), and its last state each way.

    It stands in the graph as ONNX's own operator, which knows lengths, with the weights that `_reorder` made for it.
    Only a graph can be made of it: called by itself it gives zeros of the right shape.
    """
    rows, places = states.shape[0], states.shape[1]
    weights = [layer.get_buffer(name) for name in _WEIGHTS]
    hidden = weights[1].shape[2]
    every, last, _ = torch.onnx.ops.symbolic_multi_out(
        "LSTM",
        [states.transpose(0, 1), *weights, lengths.clamp(min=1).int()],
        attrs={"hidden_size": hidden, "direction": "bidirectional"},
        dtypes=[torch.float32] * 3,
        shapes=[[places, 2, rows, hidden], [2, rows, hidden], [2, rows, hidden]],
    )
    return every.permute(2, 0, 1, 3).flatten(2), last


def _reorder(layer: nn.LSTM) -> None:
    """Let a bidirectional LSTM hold its weights as ONNX wants them, both ways stacked.

    Gates are in the order input, output, forget, cell, where torch has input, forget, cell, output.
    """
    ways = ("", "_reverse")
    inputs, recurrences = (
        torch.stack([_gates(layer.get_parameter(f"weight_{part}_l0{way}")) for way in ways]) for part in ("ih", "hh")
    )
    biases = [torch.cat([_gates(layer.get_parameter(f"bias_{part}_l0{way}")) for part in ("ih", "hh")]) for way in ways]
    for name, weights in zip(_WEIGHTS, (inputs, recurrences, torch.stack(biases)), strict=True):
        layer.register_buffer(name, weights)


def _gates(weight: Tensor) -> Tensor:
    into, forget, cell, out = weight.chunk(4)
    return torch.cat([into, out, forget, cell])


def mean_of_bags(
    table: Float[Tensor, "bucket dim"], members: Int[Tensor, " member"], offsets: Int[Tensor, " bag"]
) -> Float[Tensor, "bag dim"]:
    """The mean of the rows of each bag; bags stand one after another, each from its offset on. An empty bag is zero."""
    places = torch.arange(members.shape[0], device=members.device)
    owner = (offsets[None, :] <= places[:, None]).sum(1) - 1
    rows = functional.embedding(members, table)
    sums = table.new_zeros(offsets.shape[0], table.shape[1]).scatter_add(
        0, owner[:, None].expand(-1, table.shape[1]), rows
    )
    counts = table.new_zeros(offsets.shape[0]).scatter_add(0, owner, torch.ones_like(owner, dtype=table.dtype))
    return sums / counts.clamp(min=1).unsqueeze(1)


_EXCHANGED: dict[type[nn.Module], type[nn.Module]] = {
    TransformerEncoder: GraphTransformer,
    RecurrentEncoder: GraphRecurrent,
    LstmSpeller: GraphLstmSpeller,
    BlockSpeller: GraphBlockSpeller,
    FoldedConvLayer: ResNetConvLayer,
    FoldedShortCut: ResNetShortCut,
}


@torch.no_grad()
def exchange(model: nn.Module) -> None:
    """Put the forms for a graph in place of a model's parts, in place; adapters and norms go into their weights."""
    for module in list(model.modules()):
        if isinstance(module, FoldedConvLayer | FoldedShortCut):
            _fold(module)
        elif isinstance(module, nn.LSTM):
            _reorder(module)
        known = _EXCHANGED.get(type(module))
        if known is not None:
            setattr(module, "__class__", known)  # noqa: B010, a class may only be declared as its own
        elif hasattr(module, "lora_A"):
            module.merge()  # pyright: ignore[reportCallIssue]


def _fold(module: FoldedConvLayer | FoldedShortCut) -> None:
    """Make the convolution hold the norm that follows it, for good."""
    convolution, norm = module.convolution, module.normalization
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None, "batch normalisation of a ResNet keeps statistics"
    gain = norm.weight * (variance + norm.eps).rsqrt()
    convolution.weight = nn.Parameter(convolution.weight * gain[:, None, None, None])
    convolution.bias = nn.Parameter(norm.bias - mean * gain)
    setattr(module, "normalization", nn.Identity())  # noqa: B010, the declared type is a norm
