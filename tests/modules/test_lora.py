"""Adapters against the same model with the products of their matrices added to its weights by hand."""

import shutil
import sys

import msgspec
import pytest
import torch
import transformers as hf

from babelens.models.checkpoint import load_tagger, new_tagger, save_tagger
from babelens.models.spec import Model
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.modules.late import Late, View
from babelens.modules.lora import Lora
from babelens.modules.origin import Origin
from babelens.modules.text.transformer import Transformer
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.vit import Vit
from babelens.schema import InputError, TagSet

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
PICTURE = {**SIZES, "image_size": 24, "patch_size": 8}
WORDS = [["Ada", "visits", "Paris"], ["No", "one", "else"]]
LORA = Lora(rank=3, alpha=12)


@pytest.fixture
def folders(tmp_path):
    """Published encoders: BERT, CLIP's vision half, SigLIP's."""
    torch.manual_seed(0)
    text = Transformer(scratch=SIZES, vocabulary=80).build(Origin(words=lambda: WORDS * 3))
    text.encoder.save_pretrained(tmp_path / "bert")
    text.tokens.tokenizer.save_pretrained(tmp_path / "bert")
    hf.CLIPVisionModel(hf.CLIPVisionConfig(**PICTURE)).save_pretrained(tmp_path / "clip")
    hf.CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size=24).save_pretrained(tmp_path / "clip")
    hf.SiglipVisionModel(hf.SiglipVisionConfig(**PICTURE)).save_pretrained(tmp_path / "vit")
    hf.SiglipImageProcessorPil(size={"height": 24, "width": 24}).save_pretrained(tmp_path / "vit")
    return tmp_path


def build(kind, folders, lora):
    name = str(folders / kind)
    if kind == "bert":
        return Transformer(name=name, lora=lora, dropout=0.0).build(Origin())
    return {"clip": Clip, "vit": Vit}[kind](name=name, lora=lora).build(Origin(), 16)


def read(kind, encoder):
    if kind == "bert":
        return encoder(encoder.tokens(WORDS)).words
    pixels = torch.randint(0, 256, (2, 3, 24, 24), generator=torch.Generator().manual_seed(0)).byte()
    return encoder(pixels)


@pytest.mark.parametrize("kind", ["bert", "clip", "vit"])
def test_adapters_add_the_product_of_their_matrices(kind, folders):
    plain, adapted = build(kind, folders, None).eval(), build(kind, folders, LORA).eval()
    with torch.no_grad():
        torch.testing.assert_close(read(kind, adapted), read(kind, plain))
        added = 0
        weights = dict(adapted.named_parameters())
        for name, weight in weights.items():
            if "lora_B" in name:
                weight.normal_()
                first = weights[name.replace("lora_B", "lora_A")]
                assert first.shape[0] == weight.shape[1] == 3
                base = name.partition(".lora_B")[0]
                assert base.rpartition(".")[2] in ("query", "value", "q_proj", "v_proj")
                product = torch.zeros_like(plain.get_parameter(f"{base}.weight"))
                for row in range(product.shape[0]):
                    for column in range(product.shape[1]):
                        product[row, column] = sum(weight[row, rank] * first[rank, column] for rank in range(3))
                plain.get_parameter(f"{base}.weight").add_(12 / 3 * product)
                added += 1
        assert added == 4
        torch.testing.assert_close(read(kind, adapted), read(kind, plain), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["bert", "clip", "vit"])
def test_only_adapters_learn(kind, folders):
    encoder = build(kind, folders, Lora(rank=2, dropout=0.1, targets=("fc1",) if kind != "bert" else ("output.dense",)))
    encoder.train()
    if kind == "bert":
        encoder.drop_pooler()
    before = {name: weight.detach().clone() for name, weight in encoder.named_parameters()}
    optimizer = torch.optim.SGD([weight for weight in encoder.parameters() if weight.requires_grad], 1.0)
    for _ in range(2):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            states = read(kind, encoder).float()
            loss = (states * torch.randn_like(states)).sum()
        loss.backward()
        assert loss.isfinite()
        optimizer.step()
    changed = {name for name, weight in encoder.named_parameters() if not weight.equal(before[name])}
    assert changed and changed == {name for name in before if "lora_" in name}
    if kind == "bert":
        assert {name.rpartition(".output.dense.")[1] for name in changed} == {".output.dense."}


def test_a_model_with_adapters_is_saved_and_loaded_without_what_it_was_made_of(folders):
    views = tuple(
        View(kind(name=str(folders / name), lora=LORA), CrossAttention(heads=2))
        for kind, name in ((Clip, "clip"), (Vit, "vit"))
    )
    model = Model(Late(Transformer(name=str(folders / "bert"), lora=LORA), views))
    tagger = new_tagger(model, TagSet(("LOC", "PER")), lambda: WORDS).eval()
    with torch.no_grad():
        for name, weight in tagger.named_parameters():
            weight.add_(torch.randn_like(weight) * 0.1 if "lora_B" in name else 0)
    save_tagger(tagger, folders / "saved")
    for name in ("bert", "clip", "vit"):
        shutil.rmtree(folders / name)
    again = load_tagger(folders / "saved")
    assert again.model == model
    trained = {name for name, weight in again.named_parameters() if weight.requires_grad}
    assert trained == {name for name, weight in tagger.named_parameters() if weight.requires_grad}
    weights = tagger.state_dict()
    assert all(weight.equal(weights[name]) for name, weight in again.state_dict().items())
    for one, other in ((tagger, again),):
        for kind, part in (("bert", "text"), ("clip", "clip"), ("vit", "vit")):
            first, second = (own.backbone.parts()[part] for own in (one, other))
            assert read(kind, first).equal(read(kind, second))


def test_mistakes_are_named(folders, monkeypatch):
    with pytest.raises(InputError, match=r"lora.targets: expected names of linear layers \(.*query.*\), found 'quary'"):
        build("bert", folders, Lora(targets=("quary",)))
    with pytest.raises(InputError, match="lora: expected trained = true"):
        Vit(name=str(folders / "vit"), trained=False, lora=LORA).build(Origin(), 4)
    for field, value in (("rank", 0), ("alpha", 0), ("dropout", 1.0)):
        with pytest.raises(InputError, match=rf"lora.{field}: expected .*, found {value}"):
            Lora(**{field: value})
    with pytest.raises(msgspec.ValidationError, match="unknown field `r`"):
        msgspec.convert({"type": "clip", "lora": {"r": 8}}, Clip)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"expected the package peft; install it: pip install 'babelens\[lora\]'"):
        build("clip", folders, LORA)


def test_declaration_survives_json():
    declared = Clip(lora=Lora(rank=4, targets=("q_proj",)))
    assert msgspec.json.decode(msgspec.json.encode(declared), type=Clip) == declared
