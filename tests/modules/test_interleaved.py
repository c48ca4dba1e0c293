"""The interleaved backbone: against its plain text path, and in what it promises for rows, windows and pictures."""

import msgspec
import pytest
import torch
from PIL import Image
from torch.nn import functional

from babelens.modules.declaration import DeclarationError
from babelens.modules.interleaved import Interleaved
from babelens.modules.late import Late
from babelens.modules.origin import Origin
from babelens.modules.prefix_fusion import Sight, look, read_text
from babelens.modules.text.transformer import Transformer
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.crop_tokens import PUBLISHED_CROPS, CropGroup
from babelens.modules.vision.objects import Objects
from babelens.schema import Box

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
TEXT = {"model_type": "bert", "max_position_embeddings": 14, "initializer_range": 0.2, **SIZES}
VISION = {"image_size": 16, "patch_size": 4, **SIZES}
CROPS = (CropGroup("large", Objects(2), 8), CropGroup("small", Objects(1, "boxes", group="found", missing="zero"), 4))
SENTENCES = [["Anna", "visited", "Paris"], ["Köln"], ["Le", "maire", "de", "Lyon", "a", "reçu", "les", "joueurs"]]
PICTURES = torch.tensor([[0, -1], [2, 1], [-1, -1]])


def declared(**changes):
    text = Transformer(scratch={**TEXT, **changes.pop("text", {})}, vocabulary=120)
    vision = Clip(scratch={**VISION, **changes.pop("vision", {})})
    return Interleaved(text, vision, **{"crops": CROPS, "joint": 2, **changes})


def build(declaration, folder=None):
    torch.manual_seed(1)
    return declaration.build(
        lambda part: Origin(folder=None if folder is None else folder / part, words=lambda: SENTENCES * 3)
    ).eval()


@pytest.fixture(scope="module")
def backbone():
    return build(declared())


@pytest.fixture(scope="module")
def pixels():
    made = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, 256, (3, group.objects.count, 3, *2 * [group.size]), generator=made).byte() for group in CROPS
    ]


def words(backbone, sentences, pixels, pictures):
    with torch.no_grad():
        return backbone(backbone.text.tokens(sentences), pixels, pictures).streams.words


def test_the_order_of_layers_and_tokens_is_the_published_one(backbone, pixels):
    text = backbone.text.tokens([SENTENCES[0]])
    bert, clip, vision = backbone.text.encoder, backbone.vision.clip.encoder, backbone.vision
    with torch.no_grad():
        tokens = [clip.embeddings.class_embedding[None]]
        for group, own in zip(CROPS, pixels, strict=True):
            kernel, place = clip.embeddings.patch_embedding.weight, 0
            for crop in own[1]:
                values = (crop / 255 - vision.clip.normalisation.mean) / vision.clip.normalisation.deviation
                for row in range(0, group.size, 4):
                    for column in range(0, group.size, 4):
                        patch = (kernel * values[:, row : row + 4, column : column + 4]).sum((1, 2, 3))
                        tokens.append((patch + vision.positions[group.name][place])[None])
                        place += 1
        states = torch.cat(tokens)[None]
        assert states.shape == (1, 1 + 2 * 4 + 1, 16)
        seen = clip.encoder.layers[0](clip.pre_layrnorm(states), None)
        sight = Sight(seen, torch.ones(1, 10, dtype=torch.bool))
        read, prefix = read_text(bert.encoder.layer[0], bert.embeddings(input_ids=text.ids), text.attention)
        for number in (1, 2):
            sight = look(clip.encoder.layers[number], sight, prefix)
            fusion = backbone.fusions[number - 1]
            read, prefix = read_text(bert.encoder.layer[number], read, text.attention, (fusion, sight))
        expected = read[0, text.first[0] % text.ids.shape[1]]
    found = words(backbone, [SENTENCES[0]], pixels, torch.tensor([[1]]))
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("alone", [True, False], ids=["no picture in the batch", "pictures in other rows"])
def test_a_row_without_pictures_is_the_text_encoder_alone(backbone, pixels, alone):
    pictures = torch.full((3, 1), -1) if alone else PICTURES
    given = [torch.zeros((0, 3, 1, 1), dtype=torch.uint8)] * 2 if alone else pixels
    with torch.no_grad():
        plain = backbone.text(backbone.text.tokens(SENTENCES)).words
    found = words(backbone, SENTENCES, given, pictures)
    rows = slice(None) if alone else slice(2, 3)
    torch.testing.assert_close(found[rows], plain[rows], atol=1e-5, rtol=0)
    if not alone:
        assert all((found[row] - plain[row]).abs().max() > 1e-3 for row in (0, 1))


def test_neighbours_padding_and_unused_pictures_change_nothing(backbone, pixels):
    together = words(backbone, SENTENCES, pixels, PICTURES)
    for row, sentence in enumerate(SENTENCES):
        own = [number for number in PICTURES[row].tolist() if number >= 0]
        kept = [view[own] for view in pixels]
        numbers = torch.tensor([[*range(len(own)), -1]])
        alone = words(backbone, [sentence], kept, numbers)[0]
        torch.testing.assert_close(together[row, : len(sentence)], alone, atol=1e-5, rtol=0)
    assert not together[1, 1:].any()


def test_both_groups_and_every_picture_of_a_row_are_read(backbone, pixels):
    before = words(backbone, SENTENCES[:1], pixels, torch.tensor([[0, 1]]))
    for group in range(2):
        for picture in range(2):
            other = [view.clone() for view in pixels]
            other[group][picture] = 255 - other[group][picture]
            assert (words(backbone, SENTENCES[:1], other, torch.tensor([[0, 1]])) - before).abs().max() > 1e-4


def test_the_order_of_pictures_does_not_matter(backbone, pixels):
    one, two = (words(backbone, SENTENCES[:1], pixels, torch.tensor([order])) for order in ([0, 2], [2, 0]))
    torch.testing.assert_close(one, two, atol=1e-5, rtol=0)


def test_each_window_of_a_long_text_is_read_with_the_pictures_of_its_row(backbone, pixels, monkeypatch):
    long = SENTENCES[2] * 3
    text = backbone.text.tokens([SENTENCES[0], long])
    assert text.rows.tolist() == [0] + [1] * (len(text.ids) - 1) and len(text.ids) > 3
    pictures = torch.tensor([[0], [1]])
    together = words(backbone, [SENTENCES[0], long], pixels, pictures)
    with torch.no_grad():
        prepared = backbone._see(pixels, pictures)
        for place in range(len(long)):
            window, piece = divmod(int(text.first[1, place]), text.ids.shape[1])
            own = backbone.text.encoder.embeddings(input_ids=text.ids[window : window + 1])
            states = backbone._layers(text, prepared, own, slice(window, window + 1))
            torch.testing.assert_close(together[1, place], states[0, piece], atol=1e-5, rtol=0)
    monkeypatch.setattr("babelens.modules.text.transformer._TOKENS_AT_ONCE", 2 * text.ids.shape[1])
    torch.testing.assert_close(words(backbone, [SENTENCES[0], long], pixels, pictures), together, atol=1e-5, rtol=0)


def test_the_gradient_reaches_every_parameter_and_none_is_nan(pixels):
    backbone = build(declared())
    state = backbone(backbone.text.tokens(SENTENCES), pixels, PICTURES)
    state.streams.words.pow(3).sum().backward()
    # Without a row of words there is no gradient in rows of the table; the table as a whole has one.
    without = [name for name, weight in backbone.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not without
    assert all(weight.grad.isfinite().all() for weight in backbone.parameters())
    plain = build(declared())
    plain(plain.text.tokens(SENTENCES), pixels, torch.full((3, 1), -1)).streams.words.pow(3).sum().backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in plain.parameters())


def test_what_nothing_reads_is_gone(backbone):
    names = [name for name, _ in backbone.named_parameters()]
    assert not [name for name in names if "pooler" in name or "post_layernorm" in name]
    assert not [name for name in names if "vision" in name and "position_embedding" in name]


def test_bf16_is_finite_and_near(backbone, pixels):
    full = words(backbone, SENTENCES, pixels, PICTURES)
    with torch.autocast("cpu", torch.bfloat16):
        half = words(backbone, SENTENCES, pixels, PICTURES)
    assert half.isfinite().all()
    assert functional.cosine_similarity(half.float().flatten(), full.flatten(), dim=0) > 0.98


def test_rebuilt_from_its_folders(backbone, pixels, tmp_path):
    assert set(backbone.parts()) == set(declared().folders)
    for name, part in backbone.parts().items():
        (tmp_path / name).mkdir()
        part.save(tmp_path / name)
    again = build(declared(), tmp_path)
    again.load_state_dict(backbone.state_dict(), strict=True)
    picture, boxes = Image.effect_noise((31, 20), 90).convert("RGB"), [Box(3.0, 2.0, 20.0, 9.0, group="found")]
    for name, transform in backbone.transforms.items():
        assert transform(picture, boxes).equal(again.transforms[name](picture, boxes))
    one, two = (words(made, SENTENCES, pixels, PICTURES) for made in (backbone, again))
    assert torch.equal(one, two)


def test_crops_of_each_group_have_its_count_and_size(backbone):
    picture = Image.new("RGB", (40, 30), "red")
    found = {name: tuple(cut(picture).shape) for name, cut in backbone.transforms.items()}
    assert found == {"large": (2, 3, 8, 8), "small": (1, 3, 4, 4)}
    small = backbone.transforms["small"](picture)[None]
    assert backbone.vision.clip.normalisation(small.flatten(0, 1)).abs().max() < 0.02


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta", "camembert"])
def test_encoders_built_like_bert_give_what_transformers_makes_of_them(family):
    backbone = build(declared(text={"model_type": family, "max_position_embeddings": 30}))
    text = backbone.text.tokens(SENTENCES)
    nothing = [torch.zeros((0, 3, 1, 1), dtype=torch.uint8)] * 2
    with torch.no_grad():
        expected = backbone.text.encoder(input_ids=text.ids, attention_mask=text.attention.long()).last_hidden_state
        state = backbone(text, nothing, torch.full((3, 1), -1))
    pieces = state.text.pieces
    torch.testing.assert_close(pieces.states[text.attention], expected[text.attention], atol=1e-5, rtol=0)
    assert torch.equal(state.text.words, state.streams.words)


def test_casing_and_untrained_encoders(pixels):
    declaration = declared()
    frozen = msgspec.structs.replace(declaration.text, casing=True, trained=False)
    vision = msgspec.structs.replace(declaration.vision, trained=False)
    backbone = build(msgspec.structs.replace(declaration, text=frozen, vision=vision)).train()
    text = backbone.text.tokens(SENTENCES)
    one, two = (backbone(text, pixels, PICTURES).streams.words for _ in range(2))
    torch.testing.assert_close(one, two)
    one.pow(3).sum().backward()
    learning = {name.split(".")[0] for name, weight in backbone.named_parameters() if weight.requires_grad}
    assert learning == {"text", "vision", "fusions"}
    assert {name for name, weight in backbone.text.named_parameters() if weight.grad is not None} == {"casing.weight"}
    assert {name for name, weight in backbone.vision.named_parameters() if weight.grad is not None} == {
        "positions.large",
        "positions.small",
    }


def test_the_published_sizes():
    with torch.device("meta"):
        backbone = Interleaved(Transformer(scratch={}), Clip(scratch={})).build(
            lambda _: Origin(words=lambda: SENTENCES)
        )
    assert backbone.dim == 768 and backbone.plain == 8 and len(backbone.fusions) == 4
    assert {name: tuple(place.shape) for name, place in backbone.vision.positions.items()} == {
        "grounding": (48, 768),
        "detector": (12, 768),
    }
    assert [(group.name, group.objects.count, group.size) for group in PUBLISHED_CROPS] == [
        ("grounding", 3, 128),
        ("detector", 3, 64),
    ]


def test_the_declaration_survives_json_and_knows_its_parts():
    declaration = declared()
    assert msgspec.json.decode(msgspec.json.encode(declaration), type=Interleaved) == declaration
    assert declaration.seen == ("large", "small")
    assert declaration.text_only() == Late(text=declaration.text)
    assert declaration.without("large").seen == ("small",)
    assert declaration.without("large").without("small") == declaration.text_only()
    with pytest.raises(DeclarationError, match=r"a part of the model \(large, small\), found 'resnet'"):
        declaration.without("resnet")


MISTAKES = {
    "same layers, found 3 and 2": {"vision": {"num_hidden_layers": 2}},
    "same width, found 16 and 8": {"vision": {"hidden_size": 8}},
    "same heads, found 2 and 4": {"vision": {"num_attention_heads": 4}},
    "joint: expected 1 to 2 of 3 layers .* found 3": {"joint": 3},
    "joint: expected 1 to 2 of 3 layers .* found 0": {"joint": 0},
    r"layers of BERT \(bert, .*\), found a electra model": {"text": {"model_type": "electra"}},
    "multiple of the patches' 4 pixels, found 6": {"crops": (CropGroup("odd", Objects(1), 6),)},
}


@pytest.mark.parametrize(("message", "changes"), MISTAKES.items())
def test_encoders_that_do_not_fit_are_refused(message, changes):
    with pytest.raises(DeclarationError, match=message):
        build(declared(**dict(changes)))


@pytest.mark.parametrize("names", [(), ("one", "one"), ("a.b",)])
def test_groups_need_names_of_their_own(names):
    with pytest.raises(DeclarationError, match="each with a name of its own"):
        declared(crops=tuple(CropGroup(name, Objects(1), 4) for name in names))
