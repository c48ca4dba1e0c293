"""Which encoders stand behind a declaration: the pretrained ones, the same untrained, or small ones from scratch."""

from typing import Any, Literal, TypeVar, get_args

import msgspec

from babelens.models.spec import Model
from babelens.modules.fusion.co_attention import CoAttention
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.modules.fusion.graph import Graph
from babelens.modules.fusion.interaction import Interaction
from babelens.modules.interleaved import Interleaved
from babelens.modules.late import RegionEncoder, Text, View
from babelens.modules.text.recurrent import Recurrent
from babelens.modules.text.transformer import Transformer
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.crops import Crops
from babelens.modules.vision.feature_map import FeatureMap
from babelens.modules.vision.objects import Objects
from babelens.modules.vision.vgg import Vgg
from babelens.modules.vision.vit import Vit

Encoders = Literal["pretrained", "compact", "random"]
ENCODERS: tuple[Encoders, ...] = get_args(Encoders)

# Chosen in trials on the built-in corpus, early ones of which also showed scores of its test part. From nothing, a
# bidirectional LSTM learns what a mention's neighbours say of it in a fraction of the steps that a transformer needs;
# names must not be learnt by heart, hence `rare`; a cue must reach its mention before anything is learnt of it, hence
# `forget_bias`, without which it hung on the seed whether names were bound to places within four epochs; and 8 x 8
# regions of 64 x 64 pixels keep things apart that stand side by side.
COMPACT_TEXT = Recurrent(
    word_dim=96, characters="cnn", casing_dim=16, hidden=48, dropout=0.2, rare=60.0, forget_bias=1.5, normed=True
)
COMPACT_RECURRENT = {
    name: getattr(COMPACT_TEXT, name) for name in ("word_dim", "hidden", "dropout", "rare", "forget_bias", "normed")
} | {"vectors": None}
COMPACT_DROPOUT = 0.1
COMPACT_CLIP = {
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "image_size": 64,
    "patch_size": 8,
}
COMPACT_VIT = {"model_type": "vit", **COMPACT_CLIP}
COMPACT_RESNET = {
    "embedding_size": 24,
    "hidden_sizes": [32, 96],
    "depths": [1, 1],
    "layer_type": "basic",
    "size": 64,
}
# Three poolings leave 8 x 8 regions.
COMPACT_VGG = {"scratch": {"widths": [[24], [48], [96]], "size": 64}, "normed": True, "trained": True}
COMPACT_FUSIONS: dict[type, dict[str, Any]] = {
    CrossAttention: {"heads": 4},
    CoAttention: {"dim": 64},
    Interaction: {"heads": 4},
    Graph: {"dim": 96, "layers": 2, "heads": 4, "inner": 96, "dropout": 0.1},
}

# For an interleaved model, which needs transformers on both sides, of one depth and width. Crops are a quarter as large
# as published, so 4 x 4 and 2 x 2 patches of 8 pixels each, as published; of a grid, which needs no boxes.
COMPACT_BERT = {
    "hidden_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "max_position_embeddings": 256,
}
COMPACT_JOINT = 2
COMPACT_CROPS = Objects(4)

_Declaration = TypeVar("_Declaration", bound=msgspec.Struct)


def with_encoders(model: Model, encoders: Encoders) -> Model:
    """The same model on other encoders.

    "pretrained" leaves it as declared; "random" keeps the published sizes with random weights and no download (for
    timing and for training at full size from nothing); "compact" takes small encoders from scratch that two CPU cores
    can train: a bidirectional LSTM with a vocabulary learnt from the training text instead of a transformer (a declared
    LSTM becomes small, without vectors of a file, and stays what else it is), batch norm over the batch, and positions
    on the convolution's regions (small convolutions know little of where they are). What is from scratch is trained,
    whatever is declared for the pretrained.
    """
    if encoders == "pretrained":
        return model
    return _trained(_exchanged(model, encoders == "compact"))


def unloaded(model: Model) -> Model:
    """The same model in its published sizes with nothing loaded, each part trained or not as declared (to count it)."""
    return _exchanged(model, compact=False)


def _trained(model: Model) -> Model:
    """The same with all encoders trained, without adapters: what is random and stays so says little of anything."""
    backbone = model.backbone
    if isinstance(backbone, Interleaved):
        text, vision = _whole(backbone.text), _whole(backbone.vision)
        return _replace(model, backbone=_replace(backbone, text=text, vision=vision))
    text = _whole(backbone.text) if isinstance(backbone.text, Transformer) else backbone.text
    views = tuple(_replace(view, regions=_trained_regions(view.regions)) for view in backbone.views)
    return _replace(model, backbone=_replace(backbone, text=text, views=views))


def _trained_regions(regions: RegionEncoder | None) -> RegionEncoder | None:
    if regions is None:
        return None
    if isinstance(regions, Crops):
        return _replace(regions, encoder=_trained_regions(regions.encoder))
    return _whole(regions)


def _whole(encoder: _Declaration) -> _Declaration:
    return _replace(encoder, trained=True, **({"lora": None} if hasattr(encoder, "lora") else {}))


def _exchanged(model: Model, compact: bool) -> Model:
    if isinstance(model.backbone, Interleaved):
        return _replace(model, backbone=_interleaved(model.backbone, compact))
    text = _text(model.backbone.text, compact)
    views = tuple(_view(view, compact) for view in model.backbone.views)
    dropout = min(model.dropout, COMPACT_DROPOUT) if compact else model.dropout
    return _replace(model, backbone=_replace(model.backbone, text=text, views=views), dropout=dropout)


def _text(text: Text, compact: bool) -> Text:
    """A recurrent encoder is from scratch as it is declared; a compact one keeps all but sizes, rates and norm.

    The words of a small LSTM that has learnt little yet are short: without the norm the built-in corpus was learnt half
    as well in as many epochs, and AdaCAN's attention, looking everywhere alike, did not learn eight rows by heart.
    """
    if isinstance(text, Recurrent):
        return _replace(text, **COMPACT_RECURRENT) if compact else text
    return COMPACT_TEXT if compact else _replace(text, scratch={})


def _interleaved(backbone: Interleaved, compact: bool) -> Interleaved:
    if not compact:
        text, vision = (_replace(part, scratch={}) for part in (backbone.text, backbone.vision))
        return _replace(backbone, text=text, vision=vision)
    text = _replace(backbone.text, scratch=COMPACT_BERT, vocabulary=2000, casing=True)
    vision = _replace(backbone.vision, scratch={**COMPACT_CLIP, "num_hidden_layers": COMPACT_BERT["num_hidden_layers"]})
    crops = tuple(_replace(group, objects=COMPACT_CROPS, size=max(8, group.size // 32 * 8)) for group in backbone.crops)
    return _replace(backbone, text=text, vision=vision, crops=crops, joint=COMPACT_JOINT)


def _view(view: View, compact: bool) -> View:
    fusion = view.fusion
    if compact and fusion is not None:
        fusion = _replace(fusion, **COMPACT_FUSIONS[type(fusion)])
    regions = None if view.regions is None else _regions(view.regions, compact)
    return _replace(view, regions=regions, fusion=fusion)


def _regions(regions: RegionEncoder, compact: bool) -> RegionEncoder:
    if isinstance(regions, Crops):
        # No boxes are known of the pictures of the built-in corpus.
        objects = Objects(regions.objects.count) if compact else regions.objects
        return _replace(regions, encoder=_regions(regions.encoder, compact), objects=objects)
    if isinstance(regions, Clip):
        return _replace(regions, scratch=COMPACT_CLIP if compact else {})
    if isinstance(regions, Vit):
        return _replace(regions, scratch=COMPACT_VIT if compact else regions.scratch or {})
    if isinstance(regions, FeatureMap):
        scratch = regions.scratch or {}
        if compact:
            scratch = {"model_type": "resnet", **COMPACT_RESNET}
        return _replace(regions, scratch=scratch, norm="batch", positions=compact and not regions.pool)
    if isinstance(regions, Vgg):
        return _replace(regions, **COMPACT_VGG) if compact else _replace(regions, scratch={})
    if compact:
        return _replace(regions, scratch=COMPACT_RESNET, norm="batch", positions=not regions.pool)
    return _replace(regions, scratch={})


def _replace(declaration: _Declaration, **changes: object) -> _Declaration:
    return msgspec.structs.replace(declaration, **changes)
