"""Graphs of ONNX say what torch says; what they cannot say, or hold, is refused in words."""

import json
import random
import sys

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

import babelens
from babelens.data import Picture
from babelens.models.batch import Row
from babelens.models.checkpoint import new_tagger, save_tagger
from babelens.models.digest import model_digest
from babelens.models.naming import named
from babelens.models.spec import Model
from babelens.models.zoo import ZOO
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.modules.heads import Softmax
from babelens.modules.late import Late, View
from babelens.modules.lora import Lora
from babelens.modules.text.recurrent import Recurrent
from babelens.modules.text.transformer import Transformer
from babelens.modules.vision.feature_map import FeatureMap
from babelens.modules.vision.vit import Vit
from babelens.prediction.ask import Ask
from babelens.prediction.explain import without_pictures
from babelens.prediction.export import export_tagger
from babelens.prediction.export_check import TOLERANCE, compare
from babelens.prediction.onnx_engine import load_exported
from babelens.prediction.onnx_folder import EXPORT, WITH, WITHOUT, EngineError
from babelens.prediction.predictor import Predictor
from babelens.schema import Example, TagSet

pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

TAGS = TagSet(("LOC", "MISC", "ORG", "PER"))
SENTENCES = [
    "Anna Lindqvist visited Paris with the team of Siemens in 2019 .",
    "Le maire de Lyon a reçu les joueurs du Real Madrid .",
    "Köln",
    "東京 \u200b [SEP] x",
]
WORDS = " ".join(SENTENCES).split()
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = Transformer(scratch={"model_type": "bert", **SMALL, "max_position_embeddings": 30}, vocabulary=300)


def noise(key):
    pixels = np.random.default_rng(int(key)).integers(0, 256, (40 + int(key), 70, 3), dtype=np.uint8)
    return Picture(key, Image.fromarray(pixels), "used")


def row(words, keys=(), id="x"):
    text = " ".join(words)
    ends = np.cumsum([len(word) + 1 for word in words]).tolist()
    offsets = tuple((end - len(word) - 1, end - 1) for word, end in zip(words, ends, strict=True))
    return Row(Example(id, tuple(words), text=text, offsets=offsets), tuple(keys), noise)


def random_rows(count, seed=0):
    """Rows of 1 to 40 words, a few of them far beyond a window, with 0 to 3 of 9 pictures."""
    chance = random.Random(seed)
    lengths = [chance.choice([1, 2, 5, 12, 40, 150 if number % 50 == 0 else 7]) for number in range(count)]
    return [
        row(chance.choices(WORDS, k=length), chance.sample("123456789", chance.choice([0, 0, 1, 2, 3])), str(number))
        for number, length in enumerate(lengths)
    ]


def made(model):
    torch.manual_seed(3)
    tagger = new_tagger(model, TAGS, lambda: [sentence.split() for sentence in SENTENCES]).eval()
    with torch.no_grad():
        tagger.head.scores.weight.mul_(8)
    return tagger


def agree(tagger, exported, rows, batch=8):
    """Emissions and entities of the rows, a few at a time, are those of torch; how many entities there are."""
    found = 0
    ours, theirs = tagger.collator(), exported.collator()
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        one, two = tagger.read(ours(part, labelled=False)), exported.read(theirs(part, labelled=False))
        assert (one.emissions - two.emissions)[one.mask].abs().max() < TOLERANCE
        entities = tagger.entities(one)
        assert entities == exported.entities(two)
        found += sum(map(len, entities))
    return found


@pytest.fixture(scope="module")
def folder(tiny_tagger, tiny_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "model"
    export_tagger(tiny_tagger, out, source=tiny_folder)
    return out


@pytest.fixture(scope="module")
def exported(folder):
    return load_exported(folder)


@pytest.fixture(scope="module")
def speller_folder(tmp_path_factory):
    """A model folder of an LSTM that reads characters, n-grams and casing, and its tagger."""
    text = Recurrent(word_dim=12, characters="lstm", casing_dim=4, subwords=50, hidden=8, layers=2, joined="between")
    tagger = made(Model(Late(text), head=Softmax()))
    place = tmp_path_factory.mktemp("speller") / "model"
    save_tagger(tagger, place)
    return place, tagger


def test_rows_of_any_length_with_any_number_of_pictures_read_as_in_torch(tiny_tagger, exported):
    assert agree(tiny_tagger, exported, random_rows(200)) > 200


@pytest.mark.parametrize("keys", [[()], [("1",)], [("1", "2", "3")], [(), ("4",), ()], [(), ()]])
def test_pictures_of_some_rows_and_of_none(tiny_tagger, exported, keys):
    rows = [row(SENTENCES[number].split(), own) for number, own in enumerate(keys)]
    agree(tiny_tagger, exported, rows)


def test_batches_are_those_of_the_tagger(tiny_tagger, exported):
    rows = random_rows(6, seed=1)
    ours, theirs = (tagger.collator()(rows, labelled=False) for tagger in (tiny_tagger, exported))
    assert len(ours.pixels) == len(theirs.pixels) == 2 and len(ours.pixels[0]) > 1
    for one, two in zip(
        [*vars(ours.text).values(), *ours.pixels], [*vars(theirs.text).values(), *theirs.pixels], strict=True
    ):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(two))


def test_answers_are_those_of_the_model_folder(tiny_tagger, exported):
    ask = Ask(alternatives=2, image_effect=True, min_score=0.1)
    rows = random_rows(24, seed=2)
    ours, theirs = (list(Predictor(tagger).predict_batch(rows, batch=5, ask=ask)) for tagger in (tiny_tagger, exported))
    close(json.loads(json.dumps([own.to_dict() for own in ours])), [own.to_dict() for own in theirs])
    assert any(mention.image_effect for own in theirs for mention in own.entities)


def close(one, two):
    """Equal plain values; numbers to 1e-4, for they are told with six digits."""
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        one, two = list(one.values()), [two[key] for key in one]
    if isinstance(one, list | tuple):
        assert len(one) == len(two)
        for own, other in zip(one, two, strict=True):
            close(own, other)
    elif isinstance(one, float):
        assert one == pytest.approx(two, abs=1e-4)
    else:
        assert one == two


def test_the_folder_holds_no_weights_of_torch_and_no_pickle_and_says_what_it_was_made_of(folder, tiny_folder):
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {WITH, WITHOUT, EXPORT, "head.safetensors", "README.md"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl")) or name == "model.safetensors"]
    import hashlib

    told = json.loads((folder / EXPORT).read_text())
    weights = (tiny_folder / "model.safetensors").read_bytes()
    assert told["source"]["model.safetensors"] == {
        "bytes": len(weights),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    assert told["checked"]["float32"]["same"] == told["checked"]["float32"]["rows"] == 7


def test_what_only_torch_can_do_is_refused_in_words(exported, folder, tmp_path):
    predictor = Predictor(exported)
    with pytest.raises(EngineError, match=r"expected a model in torch.*regions"):
        predictor.predict("Anna in Paris", Image.new("RGB", (9, 9)), ask=Ask(regions=True))
    with pytest.raises(EngineError, match="saving need the model folder"):
        predictor.save(tmp_path / "saved")
    with pytest.raises(EngineError, match=r"expected the device cpu.*found 'cuda'"):
        load_exported(folder, "cuda")


@pytest.mark.long
def test_of_text_only_pictures_change_nothing(tiny_tagger, tmp_path):
    export_tagger(tiny_tagger, tmp_path / "out", text_only=True)
    assert not (tmp_path / "out" / WITH).exists()
    blind = load_exported(tmp_path / "out")
    rows = random_rows(12, seed=4)
    batch = blind.collator()(rows, labelled=False)
    want = tiny_tagger.emissions(without_pictures(tiny_tagger.collator()(rows, labelled=False)))
    assert batch.status == ("none",) * 12
    assert (want - blind.emissions(batch))[batch.text.mask].abs().max() < TOLERANCE
    assert model_digest(blind) != model_digest(tiny_tagger)


def test_8_bits_are_said_to_be_so(speller_folder, tmp_path):
    place, tagger = speller_folder
    rough = export_tagger(tagger, tmp_path / "out", source=place, int8=True).int8
    exported = load_exported(tmp_path / "out")
    assert exported.export.int8 and rough is not None and 1e-6 < rough.difference < 1
    assert compare(tagger, exported, None) == rough
    assert (tmp_path / "out" / WITHOUT).read_bytes().count(b"DynamicQuantizeLSTM") >= 1
    assert "weights in 8 bits" in (tmp_path / "out" / "README.md").read_text()


def test_a_folder_in_the_way_stays(speller_folder):
    place, tagger = speller_folder
    before = sorted(path.name for path in place.iterdir())
    with pytest.raises(EngineError, match="expected an exported model or nothing there"):
        export_tagger(tagger, place)
    assert sorted(path.name for path in place.iterdir()) == before


def test_a_damaged_folder_is_said_to_be_damaged(folder, tmp_path):
    import shutil

    with pytest.raises(EngineError, match="expected the folder of an exported model, found no such folder"):
        load_exported(tmp_path / "none")
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    whole = (broken / WITH).read_bytes()
    (broken / WITH).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EngineError, match=rf"{WITH}: expected [\d,]+ bytes, found [\d,]+"):
        load_exported(broken)
    (broken / WITH).write_bytes(bytes(len(whole)))
    with pytest.raises(EngineError, match="expected a graph of ONNX, found a damaged file"):
        load_exported(broken)
    (broken / WITH).unlink()
    with pytest.raises(EngineError, match=f"{WITH}: expected .* found no such file"):
        load_exported(broken)
    (broken / EXPORT).write_text("{}")
    with pytest.raises(EngineError, match="expected the description of an exported model"):
        load_exported(broken)


def test_a_missing_package_is_named(folder, tiny_tagger, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match=r"onnxruntime; install it: pip install 'babelens\[onnx\]'"):
        load_exported(folder)
    with pytest.raises(EngineError, match=r"found no onnxruntime; install them: pip install 'babelens\[onnx\]'"):
        export_tagger(tiny_tagger, tmp_path / "out")


def with_text(name, text):
    """A compact model of the zoo on another text encoder, its fusions with as many heads as that."""
    model = named(name, "compact")
    replace = msgspec.structs.replace
    views = tuple(replace(view, fusion=replace(view.fusion, heads=2)) for view in model.backbone.views)
    return replace(model, backbone=replace(model.backbone, text=text, views=views))


def on(regions):
    return Model(Late(TEXT, (View(regions, CrossAttention(heads=2)),)))


def tiny(**changes):
    return msgspec.structs.replace(TEXT, **changes)


SIGHT = {**SMALL, "image_size": 32, "patch_size": 16}
EVERY = {
    **{name: lambda name=name: named(name, "compact") for name in ZOO},
    "bert, first": lambda: with_text("bert", TEXT),
    "umt, sub-tokens": lambda: with_text("umt", TEXT),
    "2m-ner-official, previous": lambda: with_text("2m-ner-official", tiny(pieces="previous")),
    "mean and casing": lambda: with_text("bert-crf", tiny(pieces="mean", casing=True)),
    "last": lambda: with_text("bert-crf", tiny(pieces="last")),
    "lora": lambda: with_text("bert-crf", tiny(lora=Lora())),
    "modernbert": lambda: with_text(
        "bert-crf", tiny(scratch={"model_type": "modernbert", **SMALL, "max_position_embeddings": 30})
    ),
    "vit": lambda: on(Vit(scratch={"model_type": "vit", **SIGHT})),
    "siglip": lambda: on(Vit(scratch={"model_type": "siglip_vision_model", **SIGHT})),
    "convnext": lambda: on(
        FeatureMap(
            scratch={"model_type": "convnext", "num_stages": 2, "hidden_sizes": [8, 16], "depths": [1, 1], "size": 32}
        )
    ),
}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.*token_id must be")
@pytest.mark.parametrize("name", EVERY)
def test_every_model_of_the_zoo_reads_as_in_torch(name, tmp_path):
    tagger = made(EVERY[name]())
    export_tagger(tagger, tmp_path / "out")
    agree(tagger, load_exported(tmp_path / "out"), random_rows(60))


@pytest.mark.long
@pytest.mark.parametrize("name", ["bert-crf", "2m-ner"])
def test_2000_rows_have_the_tags_of_torch(name, tmp_path):
    tagger = made(named(name, "compact"))
    export_tagger(tagger, tmp_path / "out")
    assert agree(tagger, load_exported(tmp_path / "out"), random_rows(2000), batch=32) > 1000


@pytest.mark.long
def test_a_part_that_no_graph_holds_is_named(tmp_path):
    tagger = made(on(Vit(scratch={"model_type": "vit_mae", **SIGHT})))
    with pytest.raises(
        EngineError, match=r"found that the view vit \(VitEncoder\) cannot be put into one.*--text-only"
    ):
        export_tagger(tagger, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    export_tagger(tagger, tmp_path / "out", text_only=True)


@pytest.mark.long
@pytest.mark.parametrize("int8", [False, True])
def test_large_models_keep_their_weights_in_a_file_beside(speller_folder, tmp_path, monkeypatch, int8):
    _, tagger = speller_folder
    monkeypatch.setattr("babelens.prediction.export._LARGE", 0)
    done = export_tagger(tagger, tmp_path / "out", int8=int8)
    names = {path.name for path in (tmp_path / "out").iterdir() if ".onnx" in path.name}
    assert names == {WITHOUT, f"{WITHOUT}.data"}
    assert compare(tagger, load_exported(tmp_path / "out"), None) == (done.int8 if int8 else done.exact)


def test_load_tells_exported_folders_from_others(folder, exported):
    predictor = babelens.load(folder, "cpu")
    assert predictor.types == TAGS.types and predictor.digest == model_digest(exported)
