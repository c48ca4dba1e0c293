"""The late backbone: what it joins, what it leaves out, and what sub-token fusions and several pictures make of it."""

from typing import ClassVar

import msgspec
import pytest
import torch
from torch import nn

from babelens.models.zoo import ZOO
from babelens.modules.alignment import Contrastive
from babelens.modules.backbone import Streams
from babelens.modules.declaration import DeclarationError
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.modules.late import Late, View
from babelens.modules.origin import Origin
from babelens.modules.text.encoded import EncodedText, Pieces
from babelens.modules.text.recurrent import Recurrent
from babelens.modules.text.transformer import Transformer
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.resnet import Resnet

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
CLIP = Clip(scratch={**SMALL, "image_size": 32, "patch_size": 16})
RESNET = Resnet(scratch={"embedding_size": 8, "hidden_sizes": [8, 24], "depths": [1, 1], "size": 32})
TEXT = Transformer(scratch={"model_type": "bert", **SMALL, "max_position_embeddings": 12}, vocabulary=60)
FUSION = CrossAttention(heads=2)
WORDS = [["Ada", "visited", "Paris"], ["London"], ["a", "b"] * 9]


class PlusMean(msgspec.Struct, frozen=True, tag="plus-mean"):
    """A fusion for these tests: each sub-token, the mean of its row's regions beside it, twice the sub-token aside."""

    unit: ClassVar[str] = "piece"
    projected: ClassVar[bool] = False
    reads_text: ClassVar[bool] = True

    def build(self, dim, region_dim):
        module = PlusMeanFusion()
        module.dim, module.auxiliary_dim = dim + (region_dim or 0), dim
        return module


class PlusMeanFusion(nn.Module):
    def forward(self, words, mask, regions, region_mask):
        if self.dim == words.shape[-1]:
            return Streams(words, 2 * words)
        weight = region_mask.unsqueeze(-1).float()
        mean = (regions * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)
        return Streams(torch.cat([words, mean.expand(*words.shape[:2], -1)], -1), 2 * words)

    def weights(self, words, mask, regions, region_mask):
        numbers = torch.arange(words.shape[1]).view(1, 1, -1, 1)
        return numbers.expand(len(words), 2, -1, regions.shape[1]).float()


def build(late, words=WORDS):
    torch.manual_seed(0)
    return late.build(lambda _: Origin(words=lambda: words)).eval()


def pixels(count, size=32):
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


PICTURES = torch.tensor([[0, 1], [1, -1], [-1, -1]])


def test_the_readings_of_the_views_are_concatenated_and_joined():
    views = (View(CLIP, FUSION), View(RESNET, FUSION))
    plain = build(Late(TEXT, views))
    joined = build(Late(TEXT, views, joint=7))
    text = plain.text.tokens(WORDS)
    own = [pixels(2), pixels(2)]
    state = plain(text, own, PICTURES)
    assert (plain.dim, joined.dim, plain.auxiliary_dim) == (32, 7, None)
    parts = [view.fuse(state.text, state.views[name]).words for name, view in plain.seeing().items()]
    assert state.streams.words.equal(torch.cat(parts, -1)) and state.streams.auxiliary is None
    joined.load_state_dict(plain.state_dict(), strict=False)
    expected = state.streams.words @ joined.joint.weight.T + joined.joint.bias
    torch.testing.assert_close(joined(text, own, PICTURES).streams.words, expected)


def test_rows_see_their_own_pictures_one_after_the_other():
    late = build(Late(TEXT, (View(CLIP, FUSION, Contrastive()),)))
    encoder = late.seeing()["clip"].regions
    both = encoder(pixels(2))
    seen = late(late.text.tokens(WORDS), [pixels(2)], PICTURES).views["clip"]
    assert seen.regions.shape == (3, 10, 16)
    torch.testing.assert_close(seen.regions[0], both.flatten(0, 1))
    torch.testing.assert_close(seen.regions[1, :5], both[1])
    assert seen.mask.tolist() == [[True] * 10, [True] * 5 + [False] * 5, [False] * 10]
    expected = torch.stack([both.mean((0, 1)), both[1].mean(0), torch.zeros(16)])
    torch.testing.assert_close(seen.image, expected)


@pytest.mark.parametrize(("image", "width"), [("regions", 16), ("native", 24), ("flat", 24 * 16)])
def test_what_stands_for_a_picture_in_the_alignment(image, width):
    late = build(Late(TEXT, (View(RESNET, FUSION, Contrastive(image=image)),)))
    encoder = late.seeing()["resnet"].regions
    features = encoder.features(pixels(2))
    seen = late(late.text.tokens(WORDS), [pixels(2)], PICTURES).views["resnet"]
    expected = {"regions": encoder.project(features).mean(1), "native": features.mean(1), "flat": features.flatten(1)}
    assert encoder.regions == 16 and seen.image.shape == (3, width)
    torch.testing.assert_close(seen.image[0], expected[image].mean(0))
    torch.testing.assert_close(seen.image[1], expected[image][1])


def test_alignments_share_the_layers_of_the_text_where_that_is_declared():
    views = (View(CLIP, FUSION, Contrastive()), View(RESNET, FUSION, Contrastive()))
    own, shared = build(Late(TEXT, views)), build(Late(TEXT, views, shared_text=True))
    assert {name for name, _ in shared.named_parameters() if ".text." in name and "alignment" in name} == set()
    text = shared.text.tokens(WORDS)
    groups = torch.arange(3)
    present = (PICTURES >= 0).any(1)
    losses = shared.alignments(shared.pairs(shared(text, [pixels(2), pixels(2)], PICTURES)), groups, present)
    assert list(losses) == ["clip", "resnet"]
    own.load_state_dict({**own.state_dict(), **shared.state_dict()}, strict=False)
    for name in losses:
        own.seeing()[name].alignment.text.load_state_dict(shared.shared_text.state_dict())
    expected = own.alignments(own.pairs(own(text, [pixels(2), pixels(2)], PICTURES)), groups, present)
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name])


def test_without_fusion_the_head_reads_the_text_and_pictures_only_align():
    late = build(Late(TEXT, (View(CLIP, None, Contrastive()),)))
    state = late(late.text.tokens(WORDS), [pixels(2)], PICTURES)
    assert state.streams.words.equal(state.text.words) and late.attention(state) == {}
    assert list(late.pairs(state)) == ["clip"]


def test_the_pooler_is_there_only_for_an_alignment():
    assert build(Late(TEXT, (View(CLIP, FUSION, Contrastive()),))).text.encoder.pooler is not None
    assert build(Late(TEXT, (View(CLIP, FUSION),))).text.encoder.pooler is None


def with_pieces(text):
    """A backbone whose fusion is the one of these tests, which no union knows."""
    late = build(Late(text, (View(CLIP, FUSION),)))
    view = late.seeing()["clip"]
    view.fusion, view.unit = PlusMean().build(16, 16), "piece"
    return late


def test_a_fusion_of_sub_tokens_runs_over_windows_and_gives_words_back():
    late = with_pieces(TEXT)
    text = late.text.tokens(WORDS)
    encoded = late.text(text)
    rows = encoded.pieces.rows.tolist()
    assert len(rows) > 3 and rows == sorted(rows) and [rows.index(row) for row in range(3)] == text.window.tolist()
    state = late(text, [pixels(2)], PICTURES)
    fused, auxiliary = state.streams
    torch.testing.assert_close(fused[..., :16], encoded.words)
    torch.testing.assert_close(auxiliary, 2 * encoded.words)
    seen = state.views["clip"]
    torch.testing.assert_close(fused[0, :3, 16:], seen.regions[0].mean(0).expand(3, -1))
    torch.testing.assert_close(fused[1, 0, 16:], seen.regions[1, :5].mean(0))
    assert not fused[2, :, 16:].any() and not fused[1, 1:].any()
    looks = late.attention(state)["clip"]
    place = (text.first % text.ids.shape[1]).float().masked_fill(~text.mask, 0.0)
    assert looks.shape == (3, 2, 18, 10) and looks[:, 1, :, 3].equal(place)


def test_words_are_fused_where_the_encoder_has_no_sub_tokens():
    late = with_pieces(Recurrent(word_dim=8, hidden=8))
    state = late(late.text.tokens(WORDS), [pixels(2)], PICTURES)
    torch.testing.assert_close(state.streams.words[..., :16], state.text.words)


def test_pieces_give_the_words_that_they_stand_for():
    states = torch.arange(24.0).reshape(2, 4, 3)
    pieces = Pieces(states, torch.ones(2, 4, dtype=torch.bool), torch.tensor([0, 0]), torch.tensor([[1, 6, 0]]))
    words = pieces.words(states, torch.tensor([[True, True, False]]))
    assert words.tolist() == [[[3, 4, 5], [18, 19, 20], [0, 0, 0]]]
    assert EncodedText(words, torch.tensor([[True]]), words[:, 0]).pieces is None


def test_ablations_are_edits_of_the_declaration():
    model = ZOO["2m-ner"]
    plain = model.without("alignment")
    assert plain.alpha == 1.0 and all(view.alignment is None and view.fusion for view in plain.backbone.views)
    apart = model.without("collaboration")
    assert apart.alpha == 0.8 and all(view.alignment and view.fusion is None for view in apart.backbone.views)
    assert apart.without("alignment") == model.text_only()
    assert model.without("clip").without("resnet") == model.text_only()
    for part in ("vgg", "text", ""):
        with pytest.raises(DeclarationError, match="clip, resnet, alignment, collaboration"):
            model.without(part)
