"""The interleaved backbone: the last layers of a text and of a vision transformer exchange (Chen et al., 2022)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import msgspec
from jaxtyping import Float
from torch import Tensor, nn

from babelens.modules.alignment import Pairs
from babelens.modules.backbone import Part, State, Streams, Transform
from babelens.modules.declaration import DeclarationError
from babelens.modules.late import Late
from babelens.modules.origin import Origin
from babelens.modules.prefix_fusion import CorrelationFusion, Prefix, Sight, look, read_text
from babelens.modules.text.tokens import TextInput
from babelens.modules.text.transformer import Transformer, TransformerEncoder
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.crop_tokens import PUBLISHED_CROPS, CropGroup, CropTokens
from babelens.modules.vision.objects import Objects

# Those whose layers are BERT's, computed as BERT computes them. Others have the same names and do something else.
_BERT_LIKE = ("bert", "roberta", "xlm-roberta", "camembert")


class Interleaved(msgspec.Struct, frozen=True, tag="interleaved", forbid_unknown_fields=True):
    """Text and pictures go through their transformers side by side; in the last `joint` layers they read each other.

    Both need as many layers, as wide, of as many heads. `crops` are the groups of crops that are read of each picture;
    the whole picture is not read. By default they are grids, which need nothing; as published, boxes of a visual
    grounding and of a detector (`objects.source="boxes"`, of the groups of these names in the corpus): a crop without a
    box is then of the mean colour, which normalises to zero, and is read like any other.
    """

    text: Transformer = Transformer()
    vision: Clip = Clip()
    crops: tuple[CropGroup, ...] = PUBLISHED_CROPS
    joint: int = 4

    def __post_init__(self) -> None:
        names = [group.name for group in self.crops]
        if not names or len(set(names)) < len(names) or not all(name.isidentifier() for name in names):
            raise DeclarationError(
                f"model.backbone.crops: expected one group or more, each with a name of its own (letters, digits, _), "
                f"found {', '.join(map(repr, names)) or 'none'}"
            )

    def build(self, origin: Callable[[str], Origin]) -> "InterleavedBackbone":
        """The module; `origin` says where the parts "text" and "clip" come from.

        Raises:
            OSError, ValueError: a part cannot be had under its name, its settings make none, or the two do not fit.
        """
        return InterleavedBackbone(self, origin)

    @property
    def seen(self) -> tuple[str, ...]:
        """The names of what sees pictures: the groups of crops."""
        return tuple(group.name for group in self.crops)

    @property
    def folders(self) -> tuple[str, ...]:
        """The names of the parts that have folders of their own in a checkpoint."""
        return ("text", "clip")

    @property
    def objects(self) -> tuple[Objects, ...]:
        """Which crops of pictures are read."""
        return tuple(group.objects for group in self.crops)

    @property
    def aligned(self) -> bool:
        """Whether anything is aligned with the text: no."""
        return False

    def text_only(self) -> Late:
        """The same without pictures: the text encoder alone."""
        return Late(text=self.text)

    def without(self, part: str) -> "Interleaved | Late":
        """The same without a group of crops; without the last one the text encoder is left.

        Raises:
            DeclarationError: there is no such group.
        """
        if part not in self.seen:
            raise DeclarationError(f"expected a part of the model ({', '.join(self.seen)}), found {part!r}")
        left = tuple(group for group in self.crops if group.name != part)
        return msgspec.structs.replace(self, crops=left) if left else self.text_only()


class InterleavedBackbone(nn.Module):
    """BERT and CLIP's vision transformer in lockstep.

    Up to the joint layers each reads its own, every picture once. In a joint layer first the vision reads the keys and
    values of the text layer before it (`prefix_fusion.look`), then the text reads what the vision made of that
    (`prefix_fusion.CorrelationFusion`). Each window of a long text is read with all pictures of its row, whose tokens
    stand one picture after the other under a mask.

    A row without pictures passes through the plain text encoder: its words are those of `text_only`. `attention` gives
    nothing: the fusion has no heads, and its tokens are patches of crops that may overlap or be anywhere in a picture,
    not a grid that a report could draw.

    Published are `bert-base-uncased`, padding of each text to 128 places that take part in the prefix, and emissions on
    all sub-tokens. Here texts are padded to the longest of a batch, under a mask, and words are tagged.
    """

    def __init__(self, declaration: Interleaved, origin: Callable[[str], Origin]) -> None:
        super().__init__()
        self.text = declaration.text.build(origin("text"))
        self.text.drop_pooler()
        clip = declaration.vision.build(origin("clip"), None)
        _check(self.text, clip.encoder.config, declaration.joint)
        placed = declaration.vision.scratch is not None
        self.vision = CropTokens(clip, declaration.crops, placed=placed)
        config = self.text.encoder.config
        sizes = (config.hidden_size, config.intermediate_size, config.initializer_range)
        self.fusions = nn.ModuleList(CorrelationFusion(*sizes) for _ in range(declaration.joint))
        self.plain = len(self.vision.layers) - declaration.joint
        self.dim: int = self.text.dim
        self.auxiliary_dim: int | None = None

    @property
    def transforms(self) -> dict[str, Transform]:
        """What cuts the crops of each group."""
        return dict(self.vision.transforms)

    def parts(self) -> dict[str, Part]:
        """What has a folder of its own in a checkpoint, by the folder's name."""
        return {"text": self.text, "clip": self.vision}

    def forward(self, text: TextInput, pixels: Sequence[Tensor], pictures: Tensor) -> State:
        """Encode a batch."""
        sight = self._see(pixels, pictures) if len(pixels[0]) else None
        encoded = self.text(text, partial(self._layers, text, sight))
        return State(Streams(encoded.words), encoded, {})

    def _see(self, pixels: Sequence[Tensor], pictures: Tensor) -> Sight:
        """The visual tokens of each row before the joint layers; zero where there is no picture."""
        tokens = self.vision(tuple(pixels), self.plain)
        present = (pictures >= 0)[:, :, None].expand(-1, -1, tokens.shape[1])
        states = tokens[pictures.clamp(min=0)].masked_fill(~present[..., None], 0.0)
        return Sight(states.flatten(1, 2), present.flatten(1, 2))

    def _layers(
        self, text: TextInput, sight: Sight | None, states: Float[Tensor, "window piece dim"], part: slice
    ) -> Float[Tensor, "window piece dim"]:
        """All layers of the text, for some of its windows."""
        mask = text.attention[part]
        own = None
        if sight is not None:
            rows = text.rows[part]
            own = Sight(sight.states[rows], sight.mask[rows])
        prefix: Prefix | None = None
        for number, layer in enumerate(bert_layers(self.text)):
            if own is None or prefix is None or number < self.plain:
                states, prefix = read_text(layer, states, mask)
            else:
                own = look(self.vision.layers[number], own, prefix)
                fusion = cast(CorrelationFusion, self.fusions[number - self.plain])
                states, prefix = read_text(layer, states, mask, (fusion, own))
        return states

    def pairs(self, state: State) -> dict[str, Pairs]:
        """None: the model has no alignment."""
        return {}

    def alignments(
        self, pairs: Mapping[str, Pairs], groups: Tensor, present: Tensor, rows: Tensor | None = None
    ) -> dict[str, Tensor]:
        """None: the model has no alignment."""
        return {}

    def attention(self, state: State) -> dict[str, Tensor]:
        """None (see the class)."""
        return {}


def bert_layers(text: TransformerEncoder) -> Any:
    """The layers of an encoder that is built like BERT."""
    return text.encoder.get_submodule("encoder.layer")


def _check(text: TransformerEncoder, clip: Any, joint: int) -> None:
    """Refuse a text encoder that is not built like BERT, and two encoders that do not fit."""
    config = text.encoder.config
    if config.model_type not in _BERT_LIKE or getattr(config, "is_decoder", False):
        raise DeclarationError(
            f"model.backbone.text: expected an encoder with the layers of BERT ({', '.join(_BERT_LIKE)}), "
            f"found a {config.model_type} model"
        )
    for what, name in (("layers", "num_hidden_layers"), ("width", "hidden_size"), ("heads", "num_attention_heads")):
        own, other = getattr(config, name), getattr(clip, name)
        if own != other:
            raise DeclarationError(
                f"model.backbone: expected text and vision of the same {what}, found {own} and {other}"
            )
    if not 1 <= joint < config.num_hidden_layers:
        raise DeclarationError(
            f"model.backbone.joint: expected 1 to {config.num_hidden_layers - 1} of {config.num_hidden_layers} layers "
            f"(the first joint one reads a text layer before it), found {joint}"
        )
