"""The late backbone: text and pictures are encoded apart, then words read the regions (2M-NER, section 4)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import msgspec
import torch
from torch import Tensor, nn

from babelens.modules.alignment import Contrastive, ContrastiveAlignment, Pairs
from babelens.modules.backbone import Part, Seen, State, Streams, Transform
from babelens.modules.declaration import DeclarationError
from babelens.modules.fusion.co_attention import CoAttention
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.modules.fusion.graph import Graph
from babelens.modules.fusion.interaction import Interaction
from babelens.modules.origin import Origin
from babelens.modules.text.encoded import EncodedText
from babelens.modules.text.recurrent import Recurrent
from babelens.modules.text.transformer import Transformer
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.crops import Crops
from babelens.modules.vision.feature_map import FeatureMap
from babelens.modules.vision.objects import Objects
from babelens.modules.vision.resnet import Resnet
from babelens.modules.vision.vgg import Vgg
from babelens.modules.vision.vit import Vit

Text = Transformer | Recurrent
RegionEncoder = Clip | Resnet | Crops | Vgg | Vit | FeatureMap
Fusion = CrossAttention | CoAttention | Interaction | Graph


class View(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way of seeing the pictures: a region encoder, how words read the regions, and how both are aligned.

    Without `fusion` the head reads nothing of the view, which then teaches the encoders by its alignment alone. Without
    `regions` only the text path of the fusion is left (see `fusion.unit`).
    """

    regions: RegionEncoder | None
    fusion: Fusion | None = CrossAttention()
    alignment: Contrastive | None = None

    @property
    def name(self) -> str:
        """The name of the view in checkpoints, losses and `without`: that of its encoder."""
        return "text" if self.regions is None else self.regions.part


class Late(msgspec.Struct, frozen=True, tag="late", forbid_unknown_fields=True):
    """Text and pictures are encoded apart; words read the regions of each view; the readings are concatenated.

    `joint` is the width of a linear layer over the readings, which the published code of 2M-NER has and the paper has
    not. `shared_text` lets all alignments project the text by the same layers (published code again).
    """

    text: Text = Transformer()
    views: tuple[View, ...] = ()
    joint: int | None = None
    shared_text: bool = False

    def __post_init__(self) -> None:
        names = [view.name for view in self.views]
        if len(set(names)) < len(names):
            raise DeclarationError(f"model.backbone.views: expected different encoders, found {', '.join(names)}")
        if self.joint is not None and self.joint < 1:
            raise DeclarationError(f"model.backbone.joint: expected a width of at least 1, found {self.joint}")

    def build(self, origin: Callable[[str], Origin]) -> "LateBackbone":
        """The module; `origin` says where the part of each name comes from.

        Raises:
            OSError, ValueError: a part cannot be had under its name, or its settings make none.
        """
        return LateBackbone(self, origin)

    @property
    def seen(self) -> tuple[str, ...]:
        """The names of the views that see pictures."""
        return tuple(view.name for view in self.views if view.regions is not None)

    @property
    def folders(self) -> tuple[str, ...]:
        """The names of the parts that have folders of their own in a checkpoint."""
        return ("text", *self.seen)

    @property
    def objects(self) -> tuple[Objects, ...]:
        """Which crops of pictures are read, in the views that read crops."""
        return tuple(view.regions.objects for view in self.views if isinstance(view.regions, Crops))

    @property
    def aligned(self) -> bool:
        """Whether any view is aligned with the text."""
        return any(view.alignment is not None for view in self.views)

    def text_only(self) -> "Late":
        """The same without pictures: what a fusion does to the text alone is kept, all else of the views goes."""
        kept = (view.fusion for view in self.views if view.fusion is not None and view.fusion.reads_text)
        return self._with_views(View(None, fusion) for fusion in kept)

    def without(self, part: str) -> "Late":
        """The same without a view, without "alignment" or without "collaboration" (fusion).

        Raises:
            DeclarationError: there is no such part.
        """
        if part == "alignment" and self.aligned:
            read = (view for view in self.views if view.fusion is not None)
            return self._with_views(msgspec.structs.replace(view, alignment=None) for view in read)
        if part == "collaboration" and self.aligned:
            return self._with_views(msgspec.structs.replace(view, fusion=None) for view in self.views if view.alignment)
        if part in self.seen:
            left = self._with_views(view for view in self.views if view.name != part)
            return left if left.views else self.text_only()
        known = [*self.seen, *(["alignment", "collaboration"] if self.aligned else [])]
        raise DeclarationError(f"expected a part of the model ({', '.join(known) or 'none'}), found {part!r}")

    def _with_views(self, views: Iterable[View]) -> "Late":
        left = tuple(views)
        if left and any(view.regions is not None for view in left):
            return msgspec.structs.replace(self, views=left)
        return msgspec.structs.replace(self, views=left, joint=None, shared_text=False)


class ViewModules(nn.Module):
    """The modules of one view."""

    def __init__(self, view: View, origin: Callable[[str], Origin], text: int, shared_text: bool) -> None:
        super().__init__()
        wanted = text if view.fusion is None or view.fusion.projected else None
        self.regions = None if view.regions is None else view.regions.build(origin(view.name), wanted)
        width = None if self.regions is None else self.regions.dim
        self.fusion = None if view.fusion is None else view.fusion.build(text, width)
        self.unit = "word" if view.fusion is None else view.fusion.unit
        self.alignment: ContrastiveAlignment | None = None
        if view.alignment is not None and self.regions is not None:
            self.alignment = view.alignment.build(
                text, view.alignment.image_dim(self.regions), own_text=not shared_text
            )

    def forward(self, pixels: Tensor, pictures: Tensor) -> Seen:
        """The regions of each row's pictures, one picture after the other, and which of them are real.

        Pixels that are floats are what the encoder made of them already (see `models.batch.Batch`).
        """
        batch, slots = pictures.shape
        if self.regions is None or len(pixels) == 0:
            width = 1 if self.regions is None else self.regions.dim
            vector = None
            if self.alignment is not None:
                vector = torch.zeros((batch, self.alignment.image_dim), device=pictures.device)
            nothing = torch.zeros((batch, 1, width), device=pictures.device)
            return Seen(nothing, torch.zeros_like(pictures[:, :1], dtype=torch.bool), vector)
        if pixels.is_floating_point():
            features = pixels.to(next(self.regions.parameters()).dtype)
        else:
            features = self.regions.features(pixels)
        regions = self.regions.project(features)
        present = pictures >= 0
        chosen = pictures.clamp(min=0)
        mask = present[:, :, None].expand(batch, slots, regions.shape[1])
        vector = None
        if self.alignment is not None:
            vectors = self.alignment.read(features, regions)[chosen] * present[:, :, None]
            vector = vectors.sum(1) / present.sum(1, keepdim=True).clamp(min=1)
        return Seen(regions[chosen].flatten(1, 2), mask.flatten(1, 2), vector)

    def fuse(self, text: EncodedText, seen: Seen) -> Streams | None:
        """The streams of words that have read the regions; None in a view that is not read."""
        if self.fusion is None:
            return None
        pieces = text.pieces
        if self.unit == "word" or pieces is None:
            return self.fusion(text.words, text.mask, seen.regions.to(text.words.dtype), seen.mask)
        regions = seen.regions[pieces.rows].to(text.words.dtype)
        fused = self.fusion(pieces.states, pieces.mask, regions, seen.mask[pieces.rows])
        auxiliary = None if fused.auxiliary is None else pieces.words(fused.auxiliary, text.mask)
        return Streams(pieces.words(fused.words, text.mask), auxiliary)

    def look(self, text: EncodedText, seen: Seen) -> Tensor | None:
        """How much each word looks at each region (batch, head, word, region), where the fusion can tell."""
        if self.fusion is None or self.regions is None:
            return None
        pieces = text.pieces
        if self.unit == "word" or pieces is None:
            return self.fusion.weights(text.words, text.mask, seen.regions.to(text.words.dtype), seen.mask)
        regions = seen.regions[pieces.rows].to(text.words.dtype)
        weights = self.fusion.weights(pieces.states, pieces.mask, regions, seen.mask[pieces.rows])
        if weights is None:
            return None
        heads, count = weights.shape[1], weights.shape[3]
        flat = pieces.words(weights.transpose(1, 2).flatten(2), text.mask)
        return flat.unflatten(2, (heads, count)).transpose(1, 2)


class LateBackbone(nn.Module):
    """A text encoder and views of the pictures; the readings of the views are concatenated for the head."""

    def __init__(self, declaration: Late, origin: Callable[[str], Origin]) -> None:
        super().__init__()
        self.text = declaration.text.build(origin("text"))
        width = self.text.dim
        self.views = nn.ModuleDict(
            {view.name: ViewModules(view, origin, width, declaration.shared_text) for view in declaration.views}
        )
        aligned = [view.alignment for view in declaration.views if view.alignment is not None]
        if not aligned:
            self.text.drop_pooler()
        self.shared_text = aligned[0].projection(width, width) if declaration.shared_text and aligned else None
        fusions = [view.fusion for view in self.seeing().values() if view.fusion is not None]
        readings = sum(fusion.dim for fusion in fusions) or width
        self.joint = None if declaration.joint is None else nn.Linear(readings, declaration.joint)
        self.dim: int = declaration.joint or readings
        extra = [fusion.auxiliary_dim for fusion in fusions if fusion.auxiliary_dim is not None]
        if len(extra) > 1:
            raise DeclarationError(
                f"model.backbone.views: expected at most one fusion with an auxiliary stream, found {len(extra)}"
            )
        self.auxiliary_dim: int | None = extra[0] if extra else None

    def seeing(self) -> dict[str, ViewModules]:
        """The modules of each view by the view's name, in the order of the declaration."""
        return {name: cast(ViewModules, module) for name, module in self.views.items()}

    @property
    def transforms(self) -> dict[str, Transform]:
        """The picture transform of each view."""
        return {name: view.regions.transform for name, view in self.seeing().items() if view.regions is not None}

    def parts(self) -> dict[str, Part]:
        """What has a folder of its own in a checkpoint, by the folder's name."""
        regions = {name: view.regions for name, view in self.seeing().items() if view.regions is not None}
        return {"text": self.text, **regions}

    def forward(self, text: object, pixels: Sequence[Tensor], pictures: Tensor) -> State:
        """Encode and fuse a batch."""
        encoded = self.text(text)
        seen: dict[str, Seen] = {}
        words, auxiliary = [], None
        made = iter(pixels)
        for name, view in self.seeing().items():
            own = pixels_of_none(pictures) if view.regions is None else next(made)
            seen[name] = view(own, pictures)
            streams = view.fuse(encoded, seen[name])
            if streams is not None:
                words.append(streams.words)
                auxiliary = auxiliary if streams.auxiliary is None else streams.auxiliary
        joined = torch.cat(words, dim=-1) if words else encoded.words
        if self.joint is not None:
            joined = self.joint(joined)
        return State(Streams(joined, auxiliary), encoded, seen)

    def pairs(self, state: State) -> dict[str, Pairs]:
        """What each aligned view compares, by its name: a text and a picture a row."""
        found: dict[str, Pairs] = {}
        for name, view in self.seeing().items():
            image = state.views[name].image
            if view.alignment is not None and image is not None:
                found[name] = view.alignment(state.text.pooled, image, self.shared_text)
        return found

    def alignments(
        self, pairs: Mapping[str, Pairs], groups: Tensor, present: Tensor, rows: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The alignment loss of each aligned view by its name (see `alignment.nt_xent`)."""
        aligned = {name: view.alignment for name, view in self.seeing().items() if view.alignment is not None}
        return {name: aligned[name].compare(own, groups, present, rows) for name, own in pairs.items()}

    def attention(self, state: State) -> dict[str, Tensor]:
        """Where each word looks, (batch, head, word, region), for each view that can tell."""
        looks = {name: view.look(state.text, state.views[name]) for name, view in self.seeing().items()}
        return {name: look for name, look in looks.items() if look is not None}


def pixels_of_none(pictures: Tensor) -> Tensor:
    """The pixels of a view without pictures."""
    return torch.zeros((0, 3, 1, 1), dtype=torch.uint8, device=pictures.device)
