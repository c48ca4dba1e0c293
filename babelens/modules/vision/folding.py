"""Residual networks that compute batch normalisation inside their convolutions wherever its statistics are fixed."""

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.resnet.modeling_resnet import (
    ResNetBasicLayer,
    ResNetBottleNeckLayer,
    ResNetConvLayer,
    ResNetShortCut,
)


def fold_norms(encoder: PreTrainedModel) -> None:
    """Let the convolutions of a ResNet of transformers take over the normalisation that follows them (see `folded`).

    Weights, their names and what is saved stay as they are; other networks are left alone. Rectifiers work in place:
    nothing else reads what they overwrite.
    """
    for module in encoder.modules():
        # Another class of the same weights: wrapped ones would have other names in a checkpoint.
        if type(module) is ResNetConvLayer:
            module.__class__ = FoldedConvLayer
        elif type(module) is ResNetShortCut:
            module.__class__ = FoldedShortCut
        if isinstance(module, ResNetConvLayer | ResNetBasicLayer | ResNetBottleNeckLayer):
            for part in module.children():
                if isinstance(part, nn.ReLU):
                    part.inplace = True


class FoldedConvLayer(ResNetConvLayer):
    """Convolution, normalisation and activation; the first two in one where statistics are fixed."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """The activations of a feature map."""
        if self.normalization.training:
            return super().forward(hidden_states)
        return self.activation(folded(self.convolution, self.normalization, hidden_states))


class FoldedShortCut(ResNetShortCut):
    """Convolution and normalisation of the residual; both in one where statistics are fixed."""

    def forward(self, input: Tensor) -> Tensor:
        """The residual in the width and size of its block."""
        if self.normalization.training:
            return super().forward(input)
        return folded(self.convolution, self.normalization, input)


def folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d, maps: Tensor) -> Tensor:
    """What normalisation by running statistics makes of a convolution, as one convolution.

    (W x - mean) / deviation * scale + shift is linear in x: each filter is multiplied by scale / deviation. The
    gradient reaches scale, shift and filters through that product, which is small, and no pass over the maps is left.
    """
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None, "batch normalisation of a ResNet keeps statistics"
    gain = norm.weight * (variance + norm.eps).rsqrt()
    filters = convolution.weight * gain[:, None, None, None]
    return convolution._conv_forward(maps, filters, norm.bias - mean * gain)
