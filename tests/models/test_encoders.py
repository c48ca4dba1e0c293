import msgspec
import pytest

from babelens.models.checkpoint import new_tagger, save_tagger
from babelens.models.encoders import COMPACT_TEXT, with_encoders
from babelens.models.spec import Model
from babelens.models.zoo import ZOO
from babelens.modules.late import Late, View
from babelens.modules.lora import Lora
from babelens.modules.origin import Origin
from babelens.modules.text.recurrent import Recurrent
from babelens.modules.text.transformer import Transformer
from babelens.modules.vision.crops import Crops
from babelens.modules.vision.feature_map import FeatureMap
from babelens.modules.vision.vit import Vit
from babelens.schema import TagSet

TAGS = TagSet(("LOC", "PER"))


def test_a_compact_recurrent_encoder_keeps_what_makes_it_itself():
    declared = Recurrent(
        characters="blocks", joined="between", layers=2, casing_dim=7, locked=True, subwords=9, vectors="glove.txt"
    )
    compact = with_encoders(Model(backbone=Late(declared)), "compact").backbone.text
    kept = ("characters", "joined", "layers", "casing_dim", "locked", "subwords", "vocabulary")
    assert [getattr(compact, name) for name in kept] == [getattr(declared, name) for name in kept]
    assert (compact.word_dim, compact.hidden, compact.rare, compact.vectors) == (96, 48, 60.0, None)
    assert compact.normed


@pytest.mark.parametrize(("declared", "kept"), [(0.5, 0.1), (0.1, 0.1), (0.0, 0.0)])
def test_compact_models_drop_little(declared, kept):
    model = Model(backbone=Late(Recurrent()), dropout=declared)
    assert with_encoders(model, "compact").dropout == kept
    assert with_encoders(model, "random").dropout == declared


def test_random_leaves_recurrent_encoders_alone_and_compact_replaces_transformers():
    for name in ("bilstm-crf", "hbilstm-crf", "cnn-bilstm-crf"):
        assert with_encoders(ZOO[name], "random") == ZOO[name]
    assert with_encoders(ZOO["bert-crf"], "compact").backbone.text == COMPACT_TEXT


@pytest.mark.parametrize(("name", "read"), [("bilstm-crf", 300), ("hbilstm-crf", 350), ("cnn-bilstm-crf", 330)])
def test_recurrent_baselines_have_the_published_widths(name, read):
    tagger = new_tagger(ZOO[name], TAGS, lambda: [["Ada", "in", "Paris"]])
    (lstm,) = tagger.backbone.text.layers
    assert (lstm.input_size, lstm.hidden_size, lstm.bidirectional) == (read, 100, True)
    assert tagger.backbone.dim == 200
    assert tagger.dropout.p == tagger.backbone.text.dropout.p == 0.5


def test_the_card_says_how_many_words_have_vectors(tmp_path):
    (tmp_path / "vectors.txt").write_text("ada 1 2\nlovelace 3 4\n")
    text = Recurrent(word_dim=2, hidden=3, vectors=str(tmp_path / "vectors.txt"))
    model = msgspec.structs.replace(ZOO["bilstm-crf"], backbone=Late(text))
    save_tagger(new_tagger(model, TAGS, lambda: [["Ada", "in", "Paris"]]), tmp_path / "model")
    assert "- Word vectors: vectors.txt has 1 of 3 training words" in (tmp_path / "model" / "README.md").read_text()


def test_encoders_of_other_families_have_compact_and_random_forms():
    declared = (
        Vit(name="google/siglip-base-patch16-224", trained=False, lora=Lora(), augmented=True),
        FeatureMap(name="facebook/convnext-base-224", trained=False, fit="pad"),
        Crops(FeatureMap(pool=True)),
    )
    for regions in declared:
        model = Model(backbone=Late(Transformer(lora=Lora()), views=(View(regions),)))
        for encoders, scratch in (("compact", True), ("random", False)):
            made = with_encoders(model, encoders)
            own = made.backbone.views[0].regions
            own = own.encoder if isinstance(own, Crops) else own
            assert own.trained and bool(own.scratch) == scratch and getattr(own, "lora", None) is None
            assert made.views == model.views
        assert made.backbone.text.lora is None
    siglip, convnext = (
        with_encoders(Model(backbone=Late(views=(View(own),))), "compact").backbone.views[0].regions
        for own in declared[:2]
    )
    assert siglip.augmented and convnext.fit == "pad"
    for own in (siglip, convnext):
        encoder = own.build(Origin(), 96)
        assert encoder.grid == (8, 8) and encoder.transform.size == 64
