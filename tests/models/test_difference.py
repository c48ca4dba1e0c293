from babelens.models.difference import brief, differences
from babelens.models.zoo import ZOO


def test_two_models_differ_in_nothing_but_what_differs():
    assert differences(ZOO["bert-crf"], ZOO["2m-ner"]) == [
        ("model.backbone.views.0", "nothing", "View(regions=Clip(), alignment=Contrastive())"),
        ("model.backbone.views.1", "nothing", "View(regions=Resnet(), alignment=Contrastive())"),
        ("model.alpha", "1.0", "0.8"),
    ]
    assert differences(ZOO["bert"], ZOO["bert-crf"]) == [("model.head", "Softmax()", "Crf()")]
    assert differences(ZOO["2m-ner"], ZOO["2m-ner"].text_only())[-1] == ("model.alpha", "0.8", "1.0")
    assert differences(ZOO["bert"], ZOO["bert"]) == []


def test_lists_of_plain_values_differ_as_a_whole():
    found = {one.path: one for one in differences(ZOO["2m-ner"], ZOO["2m-ner-official"])}
    assert found["model.backbone.text.added"].first == "()"
    assert found["model.backbone.views.1.regions.pool"][1:] == ("False", "True")


def test_a_declaration_in_one_line_is_what_one_would_write():
    from babelens.models.spec import Model  # noqa: F401, names that `eval` needs
    from babelens.modules.alignment import Contrastive  # noqa: F401
    from babelens.modules.late import Late, View  # noqa: F401
    from babelens.modules.vision.clip import Clip  # noqa: F401
    from babelens.modules.vision.resnet import Resnet  # noqa: F401

    assert eval(brief(ZOO["2m-ner"])) == ZOO["2m-ner"]
