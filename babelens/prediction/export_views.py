"""What sees pictures, in a form that a graph can hold: any number of pictures, and of them in a row.

As in `export_parts`, the numbers are those of the classes that are stood in for. What is asked for its `len`, or gone
through one by one, would have the number of that one time in the graph.
"""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from babelens.modules.backbone import Seen, State, Streams
from babelens.modules.fusion.graph import Gate, GraphLayer
from babelens.modules.interleaved import InterleavedBackbone
from babelens.modules.late import ViewModules
from babelens.modules.shapes import Regions, Words
from babelens.modules.text.tokens import TextInput
from babelens.modules.vision.crop_tokens import CropTokens
from babelens.modules.vision.crops import CropsEncoder
from babelens.modules.vision.grid_encoder import GridEncoder


class SeenView(ViewModules):
    """A view that is not aligned, for nothing asks for that; its regions are those of pixels."""

    def forward(self, pixels: Tensor, pictures: Tensor) -> Seen:
        """The regions of each row's pictures, one picture after the other, and which of them are real."""
        if self.regions is None or pixels.shape[0] == 0:
            width = 1 if self.regions is None else self.regions.dim
            nothing = torch.zeros((pictures.shape[0], 1, width))
            return Seen(nothing, torch.zeros_like(pictures[:, :1], dtype=torch.bool))
        regions = self.regions.project(self.regions.features(pixels))
        present = pictures >= 0
        mask = present[:, :, None].expand(*pictures.shape, regions.shape[1])
        return Seen(regions[pictures.clamp(min=0)].flatten(1, 2), mask.flatten(1, 2))


class SeenCrops(CropsEncoder):
    """Crops of any number of pictures."""

    def features(self, pixels: Tensor) -> Regions:
        """Regions of the encoder's own width."""
        crops = self.encoder.features(pixels.flatten(0, 1))
        return crops.reshape(pixels.shape[0], self.regions, self.native_dim)

    def project(self, features: Float[Tensor, "batch region native"]) -> Regions:
        """Regions of width `dim` of regions of the encoder's own."""
        crops = features.reshape(features.shape[0] * self.count, self.encoder.regions, self.native_dim)
        return self.encoder.project(crops).reshape(features.shape[0], self.regions, self.dim)


class SeenTokens(CropTokens):
    """Tokens of crops of any number of pictures."""

    def forward(
        self, pixels: tuple[UInt8[Tensor, "picture _ 3 _ _"], ...], plain: int
    ) -> Float[Tensor, "picture token dim"]:
        """The tokens of each picture, one tensor of pixels a group, after the first `plain` layers."""
        embeddings = self.clip.encoder.embeddings
        count = pixels[0].shape[0]
        tokens = [embeddings.class_embedding.expand(count, 1, -1)]
        for group, own in zip(self.groups, pixels, strict=True):
            patches = embeddings.patch_embedding(self.clip.normalisation(own.flatten(0, 1)))
            tokens.append(patches.flatten(2).transpose(1, 2).reshape(count, -1, self.dim) + self._positions(group))
        states = self.clip.encoder.pre_layrnorm(torch.cat(tokens, dim=1))
        for layer in self.layers[:plain]:
            states = layer(states, None)
        return states


class SeenInterleaved(InterleavedBackbone):
    """Both transformers, with pictures or without."""

    def forward(self, text: TextInput, pixels: Sequence[Tensor], pictures: Tensor) -> State:
        """Encode a batch."""
        sight = self._see(pixels, pictures) if pixels[0].shape[0] != 0 else None
        encoded = self.text(text, partial(self._layers, text, sight))
        return State(Streams(encoded.words), encoded, {})


class SeenLayer(GraphLayer):
    """A layer of the graph of words and objects whose gates are all there at once."""

    def forward(
        self, words: Words, mask: Tensor, objects: Tensor | None, object_mask: Tensor
    ) -> tuple[Words, Tensor | None]:
        """The nodes after the layer; None for objects that nothing reads any more."""
        words, objects = self.attend(words, mask, objects, object_mask)
        if objects is None or self.to_words is None:
            return self.word_update(words, torch.zeros_like(words)), None
        gathered = (_gates(self.to_words, words, objects) * objects[:, None]).sum(2)
        updated = self.word_update(words, gathered.masked_fill(~mask[:, :, None], 0.0))
        if self.to_objects is None or self.object_update is None:
            return updated, None
        real = words.masked_fill(~mask[:, :, None], 0.0)
        sums = (_gates(self.to_objects, words, objects) * real[:, :, None]).sum(1)
        return updated, self.object_update(objects, sums)


def _gates(gate: Gate, words: Words, objects: Tensor) -> Float[Tensor, "batch word region dim"]:
    of_word, of_object = gate.joint.weight.chunk(2, dim=1)
    own = functional.linear(words, of_word, gate.joint.bias)
    return (own[:, :, None] + functional.linear(objects, of_object)[:, None]).sigmoid()


_EXCHANGED: dict[type[nn.Module], type[nn.Module]] = {
    ViewModules: SeenView,
    CropsEncoder: SeenCrops,
    CropTokens: SeenTokens,
    InterleavedBackbone: SeenInterleaved,
    GraphLayer: SeenLayer,
}


def exchange_views(model: nn.Module) -> None:
    """Put the forms for a graph in place of what sees pictures, in place."""
    for module in model.modules():
        if type(module) in _EXCHANGED:
            module.__class__ = _EXCHANGED[type(module)]
        elif isinstance(module, GridEncoder):
            setattr(module, "features", partial(_features, module))  # noqa: B010, the declared name is a method


def _features(encoder: GridEncoder, pixels: Tensor) -> Regions:
    return encoder.read(encoder.normalisation(pixels))
