"""torchvision's residual networks in the modules of transformers: the same arithmetic under other names.

Both put the stride of a bottleneck on its 3 x 3 convolution (version 1.5; He et al., 2016, had it on the first 1 x 1),
and both project the shortcut where widths or sizes differ.
"""

from transformers import ResNetConfig, ResNetModel
from transformers.initialization import no_init_weights

from babelens.modules.vision.timm_checkpoint import TimmCheckpoint, fill, width_of

# Residual blocks of each stage, and convolutions of each block (He et al., 2016, table 1).
_ARCHITECTURES = {
    "resnet18": ((2, 2, 2, 2), 2),
    "resnet34": ((3, 4, 6, 3), 2),
    "resnet50": ((3, 4, 6, 3), 3),
    "resnet101": ((3, 4, 23, 3), 3),
    "resnet152": ((3, 8, 36, 3), 3),
}


def read_resnet(checkpoint: TimmCheckpoint) -> ResNetModel:
    """The encoder of a published checkpoint, without its classifier, with 32-bit weights.

    Raises:
        OSError: the checkpoint has no weights.
        ValueError: it is another architecture, or its weights are lacking, superfluous or of other sizes.
    """
    if checkpoint.architecture not in _ARCHITECTURES:
        raise ValueError(
            f"{checkpoint.name}: expected one of {', '.join(_ARCHITECTURES)}, found {checkpoint.architecture}"
        )
    depths, convolutions = _ARCHITECTURES[checkpoint.architecture]
    weights = checkpoint.weights()
    stages = [f"layer{stage + 1}.0.conv{convolutions}.weight" for stage in range(len(depths))]
    config = ResNetConfig(
        embedding_size=width_of(weights, "conv1.weight", checkpoint.name),
        hidden_sizes=[width_of(weights, stage, checkpoint.name) for stage in stages],
        depths=list(depths),
        layer_type="bottleneck" if convolutions == 3 else "basic",
    )
    with no_init_weights():
        encoder = ResNetModel(config)
    fill(encoder, weights, checkpoint.name, source=torchvision_name, ignored=("fc.",))
    return encoder.eval()


def torchvision_name(name: str) -> str:
    """torchvision's name of a tensor of `ResNetModel`: encoder.stages.0.layers.2.layer.1... is layer1.2.conv2..."""
    *path, kind, field = name.split(".")
    convolves = kind == "convolution"
    if path[0] == "embedder":
        return f"{'conv' if convolves else 'bn'}1.{field}"
    _, _, stage, _, block, part, *place = path
    prefix = f"layer{int(stage) + 1}.{block}"
    if part == "shortcut":
        return f"{prefix}.downsample.{0 if convolves else 1}.{field}"
    return f"{prefix}.{'conv' if convolves else 'bn'}{int(place[0]) + 1}.{field}"
