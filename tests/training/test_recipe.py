from pathlib import Path

import pytest

from babelens.models.encoders import COMPACT_TEXT
from babelens.models.spec import to_plain
from babelens.models.zoo import ZOO
from babelens.modules.lora import Lora
from babelens.modules.vision.feature_map import FeatureMap
from babelens.modules.vision.vit import Vit
from babelens.training.recipe import RecipeError, Training, read_recipe, recipe_from_plain

RECIPES = sorted(Path(__file__).parents[2].glob("recipes/*.toml"))


@pytest.mark.parametrize("name", ZOO)
def test_a_model_by_name_is_trained_as_the_paper_says(name):
    recipe = read_recipe(name)
    assert recipe.model == ZOO[name]
    assert recipe.training == Training(epochs=8, batch=16, rate=5e-5, schedule="linear", warmup=0.0, optimizer="adam")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_project_is_read_and_survives_a_round_trip(path):
    recipe = read_recipe(str(path))
    assert recipe_from_plain(to_plain(recipe)) == recipe


def test_fields_are_set_by_path():
    recipe = read_recipe(
        "2m-ner",
        settings=[
            "training.rate=3e-5",
            "model.backbone.text.name=xlm-roberta-base",
            "model.backbone.views.1.regions.trained=false",
        ],
        seed=4,
    )
    assert recipe.training.rate == 3e-5
    assert recipe.training.seed == 4
    assert recipe.model.backbone.text.name == "xlm-roberta-base"
    assert [view.regions.trained for view in recipe.model.backbone.views] == [True, False]


def test_encoders_of_other_families_are_set_as_a_whole():
    recipe = read_recipe(
        "2m-ner",
        settings=[
            'model.backbone.views.0.regions={type="vit", name="google/siglip-base-patch16-224"}',
            'model.backbone.views.1.regions={type="feature-map", name="facebook/convnextv2-tiny-1k-224", norm="batch"}',
            "model.backbone.text.lora={rank=4, targets=['query', 'key']}",
            "model.backbone.views.0.regions.lora={}",
        ],
    )
    siglip, convnext = (view.regions for view in recipe.model.backbone.views)
    assert siglip == Vit(name="google/siglip-base-patch16-224", lora=Lora())
    assert convnext == FeatureMap(name="facebook/convnextv2-tiny-1k-224", norm="batch")
    assert recipe.model.backbone.text.lora == Lora(rank=4, targets=("query", "key"))
    assert recipe.model.views == ("vit", "feature-map")
    assert recipe.model.without("feature-map").views == ("vit",)
    assert recipe_from_plain(to_plain(recipe)) == recipe


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (['model.backbone.views.0.regions={type="vitt"}'], "Invalid value 'vitt'"),
        (['model.backbone.views.0.regions={type="vit", norm="batch"}'], "unknown field `norm`"),
        (["model.backbone.views.0.regions.lora={rank=0}"], "lora.rank: expected 1 or more, found 0"),
        (['model.backbone.views.1.regions={type="clip"}'], "expected different encoders, found clip, clip"),
        (["training.rates"], "expected path=value, found 'training.rates'"),
        (["training.speed=1"], "unknown field `speed`"),
        (["training.rate=fast"], "Expected `float`, got `str`"),
        (["training.epochs=0"], "training.epochs: expected 1 or more, found 0"),
        (["training.rates={head=0.0}"], "training.rates.head: expected more than 0, found 0"),
        (["training.clip=0"], "training.clip: expected more than 0, found 0"),
        (["training.decay=-1"], "training.decay: expected 0 or more, found -1"),
        (["training.workers=-1"], "training.workers: expected 0 or more, found -1"),
        (["training.save_minutes=-1"], "training.save_minutes: expected 0 or more, or none, found -1"),
        (["training.keep=0"], "training.keep: expected 1 or more, found 0"),
        (["training.seed=-1"], r"training.seed: expected 0 or more, below 2\^32, found -1"),
        (["training=3"], "Expected `object`, got `int`"),
        (["training.step_factor=0"], "training.step_factor: expected more than 0, at most 1, found 0"),
        (["model.backbone.joint=0"], "model.backbone.joint: expected a width of at least 1, found 0"),
        (["model.views.0=1"], "expected the path of a field"),
        (["model.alpha=2"], "model.alpha: expected a share from 0 to 1, found 2"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_path(settings, message):
    with pytest.raises(RecipeError, match=message):
        read_recipe("2m-ner", settings=settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('encoders = "compct"', "expected encoders of pretrained, compact, random, found 'compct'"),
        ("encoders = 3", "expected encoders of pretrained, compact, random, found 3"),
        ("training = 3", "expected a table training, found 3"),
    ],
)
def test_a_wrong_recipe_file_is_refused(tmp_path, text, message):
    path = tmp_path / "wrong.toml"
    path.write_text(f'model = "bert-crf"\n{text}\n', encoding="utf-8")
    with pytest.raises(RecipeError, match=message):
        read_recipe(str(path))


def test_an_unknown_model_is_answered_with_those_there_are():
    with pytest.raises(RecipeError, match=r"bert, bert-crf, .*2m-ner.*found '3m-ner'"):
        read_recipe("3m-ner")


def test_a_recipe_file_brings_compact_encoders_and_their_settings(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text('model = "2m-ner"\nencoders = "compact"\n[training]\nepochs = 3\n', encoding="utf-8")
    recipe = read_recipe(str(path))
    assert recipe.training.epochs == 3
    assert recipe.training.rate == 2e-3
    assert recipe.model.backbone.text == COMPACT_TEXT
    assert recipe.model.backbone.views[0].regions.scratch["image_size"] == 64


@pytest.mark.parametrize(
    ("content", "message"),
    [("model = ", "expected TOML"), ('modell = "bert"', "found modell"), ('model = "brt"', "found 'brt'")],
)
def test_a_broken_recipe_file_is_named(tmp_path, content, message):
    path = tmp_path / "broken.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RecipeError, match=message):
        read_recipe(str(path))


def test_none_is_nothing_or_the_word_as_the_field_has_it():
    settings = ["model.backbone.text.characters=none", "training.clip=none", "model.backbone.text.vectors=none"]
    recipe = read_recipe("cnn-bilstm-crf", settings=settings)
    assert (recipe.model.backbone.text.characters, recipe.model.backbone.text.vectors) == ("none", None)
    assert recipe.training.clip is None
    with pytest.raises(RecipeError, match=r"Expected `int`.*training\.batch"):
        read_recipe("2m-ner", settings=["training.batch=none"])
