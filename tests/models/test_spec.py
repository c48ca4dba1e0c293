import msgspec
import pytest

from babelens.models.encoders import ENCODERS, with_encoders
from babelens.models.naming import named
from babelens.models.spec import DeclarationError, Model, from_plain, to_plain
from babelens.models.zoo import ZOO
from babelens.modules.late import Late, View
from babelens.modules.vision.clip import Clip


@pytest.mark.parametrize("encoders", ENCODERS)
@pytest.mark.parametrize("name", ZOO)
def test_a_declaration_written_as_json_is_read_back_equal(name, encoders):
    model = with_encoders(ZOO[name], encoders)
    assert from_plain(msgspec.json.decode(msgspec.json.encode(to_plain(model)))) == model


def test_the_default_is_the_paper():
    model = ZOO["2m-ner"]
    assert model.alpha == 0.8
    assert model.dropout == 0.1
    text, (clip, resnet) = model.backbone.text, model.backbone.views
    assert (text.name, text.layers, text.pieces) == ("bert-base-multilingual-cased", None, "first")
    assert (clip.regions.name, clip.regions.trained) == ("openai/clip-vit-base-patch32", True)
    assert (resnet.regions.name, resnet.regions.trained, resnet.regions.norm) == (
        "microsoft/resnet-152",
        True,
        "frozen",
    )
    assert {(view.fusion.heads, view.fusion.dropout, view.alignment.temperature) for view in (clip, resnet)} == {
        (12, 0.1, 0.5)
    }


def test_the_text_only_twin_of_2m_ner_is_bert_crf():
    assert named("2m-ner-text") == ZOO["2m-ner"].text_only() == ZOO["bert-crf"]


def test_adacan_is_as_published():
    text, (vgg,) = ZOO["adacan"].backbone.text, ZOO["adacan"].backbone.views
    assert (text.word_dim, text.hidden, text.layers, text.characters, text.joined) == (200, 200, 2, "blocks", "between")
    assert (vgg.regions.trained, vgg.regions.fit, vgg.regions.normed, vgg.fusion.dim) == (False, "stretch", False, 200)
    compact = with_encoders(ZOO["adacan"], "compact").backbone.views[0].regions
    assert compact.trained and compact.normed
    assert named("adacan-text").backbone.views == ()


def test_without_a_view():
    model = ZOO["2m-ner"].without("resnet")
    assert [view.name for view in model.backbone.views] == ["clip"]
    assert model.alpha == 0.8
    with pytest.raises(DeclarationError, match=r"\(clip, alignment, collaboration\), found 'resnet'"):
        model.without("resnet")


@pytest.mark.parametrize("name", ["bert-text", "2m-ner-text-text", ""])
def test_a_name_that_is_no_model_is_refused(name):
    with pytest.raises(DeclarationError, match="expected a model"):
        named(name)


def test_an_unknown_field_is_named_with_its_path():
    plain = to_plain(ZOO["2m-ner"])
    plain["backbone"]["views"][0]["regions"]["patches"] = 3
    with pytest.raises(DeclarationError, match=r"unknown field `patches`.*backbone\.views\[0\]\.regions"):
        from_plain(plain)


def test_two_views_of_one_encoder_are_refused():
    with pytest.raises(DeclarationError, match="expected different encoders, found clip, clip"):
        Model(backbone=Late(views=(View(Clip()), View(Clip(fit="pad")))))
