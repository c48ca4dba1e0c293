"""The region cache: what is kept equals what is computed, is computed once, and is never damaged or stale."""

import copy
import errno
import itertools
import json
import multiprocessing
import os
import pickle
import signal
import warnings
from io import BytesIO
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from babelens.data import read_corpus
from babelens.models import region_store, regions
from babelens.models.batch import CorpusRows
from babelens.models.checkpoint import load_tagger, new_tagger, save_tagger
from babelens.models.decode import decode_corpus
from babelens.models.draw import Epoch, cut
from babelens.models.region_keys import kind_of, view_digest
from babelens.models.regions import RegionError, keepable, prepare
from babelens.models.spec import Model
from babelens.modules.alignment import Contrastive
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.modules.interleaved import Interleaved
from babelens.modules.late import Late, View
from babelens.modules.text.transformer import Transformer
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.crop_tokens import CropGroup
from babelens.modules.vision.crops import Crops
from babelens.modules.vision.objects import Objects
from babelens.modules.vision.resnet import Resnet
from babelens.modules.vision.vgg import Vgg
from babelens.schema import TagSet

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = Transformer(scratch={"model_type": "bert", **SMALL, "max_position_embeddings": 30}, vocabulary=100)
CLIP = Clip(scratch={**SMALL, "image_size": 32, "patch_size": 16}, trained=False)
RESNET = Resnet(
    scratch={"embedding_size": 8, "hidden_sizes": [8, 24], "depths": [1, 1], "size": 32}, trained=False, positions=True
)
WORDS = [["Ada", "visited", "Paris"], ["London"], ["Bo", "and", "Cy"]]


def make(*encoders, seed=0):
    """A tagger that sees pictures by these encoders, with random weights."""
    torch.manual_seed(seed)
    views = tuple(View(encoder, CrossAttention(heads=2), Contrastive()) for encoder in encoders)
    tagger = new_tagger(Model(Late(TEXT, views), alpha=0.8, dropout=0.0), TagSet(("LOC", "PER")), lambda: WORDS)
    with torch.no_grad():
        tagger.head.scores.weight.mul_(8)
    return tagger.eval()


def picture(number, size=(40, 36)):
    values = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


def write(folder, images, name="train", numbers=None):
    """A corpus with one row for each list of pictures; a picture that is a number is drawn, others are left alone."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for own in images:
        for image in own:
            if isinstance(image, int):
                (folder / "images" / f"{image}.png").write_bytes(picture((numbers or {}).get(image, image)))
        words = WORDS[len(lines) % 3]
        tags = ["B-PER", *["O"] * (len(words) - 1)]
        lines.append(json.dumps({"tokens": words, "ner_tags": tags, "images": [str(image) for image in own]}))
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_corpus(path, images=folder / "images")


IMAGES = [[1], [2, 3], [], [1, 4], [5], [6], [7, 2]]


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A cache folder of the test's own."""
    monkeypatch.setenv("BABELENS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "regions"


@pytest.fixture
def corpus(tmp_path, store):
    return write(tmp_path / "data", IMAGES)


class Count:
    """How many pictures each encoder of a tagger has read."""

    def __init__(self, tagger):
        self.read = {}
        for name, view in tagger.backbone.seeing().items():
            grid = getattr(view.regions, "encoder", None)
            grid = grid if hasattr(grid, "normalisation") else view.regions
            grid.normalisation.register_forward_hook(self.hook(name))

    def hook(self, name):
        self.read[name] = 0

        def note(module, inputs, output):
            self.read[name] += len(output)

        return note

    def since(self):
        before, self.read = self.read, dict.fromkeys(self.read, 0)
        return before


def batch_of(tagger, corpus, cache=None, **options):
    rows = CorpusRows(corpus)
    return tagger.collator(regions=cache)([rows[n] for n in range(len(rows))], labelled=True, **options)


def contents(store):
    """All that is kept: the bits of each picture's regions by view and key."""
    found = {}
    for path in sorted(store.glob("*/[!.]*.safetensors")):
        shard = load_file(path)
        for key, own in zip(shard["keys"], shard["regions"], strict=True):
            bits = own.view(torch.uint8).numpy().tobytes()
            assert found.setdefault((path.parent.name, key.numpy().tobytes()), bits) == bits
    return found


def test_kept_regions_are_those_that_the_encoder_makes(corpus, store):
    tagger = make(CLIP, RESNET)
    done = []
    cache, note = prepare(tagger, [corpus], "auto", use="training", step=lambda *own: done.append(own))
    assert done == [(7, 7)] and "clip, resnet: 7 pictures computed" in note
    # The oracle: pictures cut and encoded here, in the order of their digests.
    keys = {corpus.content_digest(key): key for n in range(len(corpus)) for key in corpus.picture_keys(n)}
    for number, view in enumerate(tagger.backbone.seeing().values()):
        pictures = [corpus.picture(keys[content]) for content in sorted(keys)]
        pixels = [cut(own.image, (), [view.regions.transform], None)[0] for own in pictures]
        with torch.no_grad():
            expected = view.regions.features(torch.stack(pixels)).bfloat16()
        for own, regions_ in zip(pictures, expected, strict=True):
            assert cache.read(own.key)[number].equal(regions_)
    per_picture = 2 * ((1 + 2 * 2) * 16 + 4 * 4 * 24)
    assert cache.sizes() == (7, 0, 7 * per_picture, 0)
    assert cache.read("file:/elsewhere.png") == [None, None]


def test_losses_and_entities_are_those_of_features_rounded_alike(corpus, store):
    tagger = make(CLIP, RESNET)
    plain = batch_of(tagger, corpus)
    cache = prepare(tagger, [corpus], "auto", use="training").cache
    opened = corpus.picture_counts
    kept = batch_of(tagger, corpus, cache)
    assert corpus.picture_counts == opened, "no picture is opened"
    assert [view.dtype for view in kept.pixels] == [torch.bfloat16] * 2
    assert kept.pictures.equal(plain.pictures) and kept.status == plain.status
    near = {name: value.item() for name, value in tagger.loss(plain).parts.items()}
    with pytest.MonkeyPatch.context() as patch:
        for number, view in enumerate(tagger.backbone.seeing().values()):
            patch.setattr(view.regions, "features", lambda pixels, number=number: kept.pixels[number].float())
        expected = tagger.loss(plain)
        entities = tagger.decode(plain)
    found = tagger.loss(kept)
    assert found.total.equal(expected.total)
    assert all(found.parts[name].equal(value) for name, value in expected.parts.items())
    assert tagger.decode(kept) == entities and any(entities)
    for name, value in near.items():
        assert found.parts[name].item() == pytest.approx(value, rel=2e-2)
    # Gradients reach what learns, and it alone.
    tagger.train()
    tagger.loss(kept).total.backward()
    for name, weight in tagger.named_parameters():
        assert (weight.grad is not None) == weight.requires_grad, name
    assert decode_corpus(tagger, corpus, collator=tagger.collator(regions=cache))[0] == entities


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_kept_regions_take_the_type_of_the_weights(dtype, corpus, store):
    tagger = make(CLIP).to(dtype)
    cache = prepare(tagger, [corpus], "fp16", use="training").cache
    batch = batch_of(tagger, corpus, cache)
    assert batch.pixels[0].dtype == torch.float16
    assert tagger.emissions(batch).dtype == dtype


def test_every_picture_is_computed_once_for_all_runs(corpus, store, tmp_path):
    tagger = make(CLIP, RESNET)
    count = Count(tagger)
    for use, computed in (("training", 7), ("evaluation", 0), ("training", 0)):
        cache = prepare(tagger, [corpus], "auto", use=use).cache
        for epoch in (Epoch(1, 0), Epoch(1, 1), None):
            tagger.loss(batch_of(tagger, corpus, cache, epoch=epoch))
        assert count.since() == {"clip": computed, "resnet": computed}
        assert cache.sizes()[:2] == (computed, 7 - computed)
    # Another seed: all else differs, the frozen encoders do not.
    other = make(CLIP, RESNET, seed=5)
    encoders = {name: view.regions.encoder for name, view in tagger.backbone.seeing().items()}
    for name, view in other.backbone.seeing().items():
        view.regions.encoder.load_state_dict(encoders[name].state_dict())
    count = Count(other)
    assert prepare(other, [corpus], "auto", use="training").cache.sizes()[:2] == (0, 7)
    assert count.since() == {"clip": 0, "resnet": 0}
    # Another corpus, in another folder: what it has in common is there; its chunk is computed as a whole.
    more = write(tmp_path / "more", [[2], [8], [1, 9]])
    assert prepare(other, [more, corpus], "auto", use="training").cache.sizes()[:2] == (2, 7)
    assert count.since() == {"clip": 9, "resnet": 9}
    # One view alone, of what two were computed for.
    single = make(CLIP)
    single.backbone.seeing()["clip"].regions.encoder.load_state_dict(encoders["clip"].state_dict())
    assert prepare(single, [more], "auto", use="training").cache.sizes()[:2] == (0, 4)


def test_what_regions_hang_on_is_in_their_digest(corpus, store, tmp_path):
    tagger = make(CLIP, RESNET)
    clip, resnet = (view.regions for view in tagger.backbone.seeing().values())

    def digest(encoder, dtype=torch.bfloat16, autocast=None):
        return view_digest(encoder, dtype, autocast)

    first, second = digest(clip), digest(resnet)
    different = {first, second, digest(clip, torch.float16), digest(clip, autocast=torch.bfloat16)}
    for encoder, name in [
        (clip, "encoder.layers.0.mlp.fc1.bias"),
        (resnet, "embedder.embedder.normalization.running_var"),
    ]:
        copied = copy.deepcopy(encoder)
        with torch.no_grad():
            copied.encoder.state_dict()[name].view(-1)[0] += 1e-3
        different.add(digest(copied))
    copied = copy.deepcopy(clip)
    copied.normalisation.mean[0] += 0.1
    different.add(digest(copied))
    scratch = RESNET.scratch
    for changed in (
        msgspec.structs.replace(CLIP, fit="pad"),
        msgspec.structs.replace(CLIP, scratch={**CLIP.scratch, "num_attention_heads": 4}),
        msgspec.structs.replace(CLIP, scratch={**CLIP.scratch, "layer_norm_eps": 1e-3}),
        Crops(CLIP, Objects(2)),
        Crops(CLIP, Objects(3)),
        Crops(CLIP, Objects(2, source="boxes")),
        Crops(CLIP, Objects(2, source="boxes", missing="zero")),
    ):
        encoder = make(changed).backbone.seeing()["clip"].regions
        grid = getattr(encoder.encoder, "encoder", encoder.encoder) if isinstance(changed, Crops) else encoder.encoder
        grid.load_state_dict(clip.encoder.state_dict())
        different.add(digest(encoder))
    for changed in (
        msgspec.structs.replace(RESNET, positions=False, pool=True),
        msgspec.structs.replace(RESNET, scratch={**scratch, "size": 64}),
    ):
        encoder = make(changed).backbone.seeing()["resnet"].regions
        encoder.encoder.load_state_dict(resnet.encoder.state_dict())
        different.add(digest(encoder))
    assert len(different) == 4 + 3 + 7 + 2
    # The same: saved and read back elsewhere, in another mode, with another projection and other positions.
    save_tagger(tagger, tmp_path / "model")
    loaded = load_tagger(tmp_path / "model").train()
    with torch.no_grad():
        for view in loaded.backbone.seeing().values():
            view.regions.projection.weight.add_(1) if hasattr(view.regions.projection, "weight") else None
        loaded.backbone.seeing()["resnet"].regions.positions.add_(1)
    assert [digest(view.regions) for view in loaded.backbone.seeing().values()] == [first, second]
    vgg = make(Vgg(scratch={"widths": [[8], [8]], "size": 32}, trained=False)).backbone.seeing()["vgg"].regions
    assert digest(vgg) == digest(copy.deepcopy(vgg)) not in different


def flip(path, tensor):
    """Turn one bit in the middle of a tensor of a shard."""
    content = bytearray(path.read_bytes())
    length = int.from_bytes(content[:8], "little")
    start, stop = json.loads(content[8 : 8 + length])[tensor]["data_offsets"]
    content[8 + length + (start + stop) // 2] ^= 4
    path.write_bytes(content)


def reshape(path):
    tensors = load_file(path)
    tensors["regions"] = tensors["regions"].flatten(1, 2)[:, None]
    save_file(tensors, path, {"kind": path.parent.name})


def foreign(path):
    save_file(load_file(path), path, {"kind": "another view"})


DAMAGES = {
    "a bit of the regions": (lambda path: flip(path, "regions"), 1),
    "a bit of the keys": (lambda path: flip(path, "keys"), 1),
    "a bit of the checks": (lambda path: flip(path, "checks"), 1),
    "truncated": (lambda path: os.truncate(path, path.stat().st_size - 100), 7),
    "empty": (lambda path: os.truncate(path, 0), 7),
    "no header": (lambda path: path.write_bytes(b"\xff" * 4096), 7),
    "another shape": (reshape, 7),
    "of another view": (foreign, 7),
    "gone": (lambda path: path.unlink(), 7),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_computed_anew_and_never_used(damage, corpus, store):
    tagger = make(CLIP, RESNET)
    cache = prepare(tagger, [corpus], "auto", use="training").cache
    whole = contents(store)
    expected = [view.clone() for view in batch_of(tagger, corpus, cache).pixels]
    kind = kind_of(tagger.backbone.seeing()["clip"].regions, torch.bfloat16, None)
    harm, lost = DAMAGES[damage]
    harm(next((store / kind.digest).iterdir()))
    # A cache that was made before the damage, in a worker that opens its files anew: the view gets pixels.
    late = batch_of(tagger, corpus, pickle.loads(pickle.dumps(cache)))
    assert late.pixels[0].dtype == torch.uint8 and late.pixels[1].equal(expected[1])
    torch.testing.assert_close(
        tagger.loss(late).total, tagger.loss(batch_of(tagger, corpus)).total, rtol=1e-2, atol=1e-3
    )
    count = Count(tagger)
    again = prepare(tagger, [corpus], "auto", use="training").cache
    assert again.sizes()[:2] == (lost, 7 - lost)
    assert count.since() == {"clip": 7, "resnet": 0}
    for found, wanted in zip(batch_of(tagger, corpus, again).pixels, expected, strict=True):
        assert found.equal(wanted)
    if lost == 7:
        assert contents(store) == whole, "what was no shard is gone"
    assert prepare(tagger, [corpus], "auto", use="training").cache.sizes()[:2] == (0, 7)


def test_stale_regions_are_not_used(corpus, store, tmp_path):
    tagger = make(CLIP)
    encoder = tagger.backbone.seeing()["clip"].regions
    old = prepare(tagger, [corpus], "auto", use="training").cache
    key = corpus.picture_keys(0)[0]
    before = old.read(key)[0].clone()
    # Another picture under the same name.
    write(tmp_path / "data", IMAGES, numbers={1: 100})
    cache = prepare(tagger, [corpus], "auto", use="training").cache
    assert cache.sizes()[:2] == (1, 6)
    assert not cache.read(key)[0].equal(before)
    with torch.no_grad():
        pixels = encoder.transform(corpus.picture(key).image)
        torch.testing.assert_close(cache.read(key)[0], encoder.features(pixels[None])[0].bfloat16())
        # Another weight.
        encoder.encoder.pre_layrnorm.weight[0] += 1
        assert prepare(tagger, [corpus], "auto", use="training").cache.sizes()[:2] == (7, 0)


def test_a_picture_that_changes_while_regions_are_computed_is_not_kept(corpus, store, tmp_path, monkeypatch):
    tagger = make(CLIP)
    found = regions.find_pictures

    def late(corpora, views):
        pictures = found(corpora, views)
        write(tmp_path / "data", IMAGES, numbers={1: 100})
        return pictures

    with monkeypatch.context() as patch:
        patch.setattr(regions, "find_pictures", late)
        assert prepare(tagger, [corpus], "auto", use="training").cache.sizes()[:2] == (6, 0)
    assert prepare(tagger, [corpus], "auto", use="training").cache.sizes()[:2] == (1, 6)


def test_pictures_that_cannot_be_opened_keep_their_status(store, tmp_path):
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "images" / "torn.png").write_bytes(picture(1)[:200])
    corpus = write(tmp_path / "data", [[1], ["torn"], ["gone"], [1, "torn"], [2, "gone"], []])
    tagger = make(CLIP, RESNET)
    plain = batch_of(tagger, corpus)
    count = Count(tagger)
    for computed in (2, 0):
        cache = prepare(tagger, [corpus], "auto", use="training").cache
        assert cache.sizes().computed == computed
        assert count.since() == {"clip": computed, "resnet": computed}
        kept = batch_of(tagger, corpus, cache)
        assert kept.status == plain.status == ("used", "unreadable", "missing", "used", "used", "none")
        assert kept.pictures.equal(plain.pictures)
        assert all(view.is_floating_point() for view in kept.pixels)
    assert decode_corpus(tagger, corpus, collator=tagger.collator(regions=cache))[1] == list(plain.status)
    # A picture that comes later is opened, and then the batch is one of pixels.
    (tmp_path / "data" / "images" / "gone.png").write_bytes(picture(3))
    late = batch_of(tagger, corpus, cache)
    assert late.status[2] == "used"
    for view, own in zip(late.pixels, batch_of(tagger, corpus).pixels, strict=True):
        assert view.equal(own) and view.dtype == torch.uint8


def test_only_what_training_leaves_as_it_is_is_kept_for_training(corpus, store):
    augmented = msgspec.structs.replace(CLIP, augmented=True)
    trained = msgspec.structs.replace(CLIP, trained=True)
    cases = [
        (make(CLIP, RESNET), [0, 1]),
        (make(trained, RESNET), [1]),
        (make(augmented, RESNET), [1]),
        (make(CLIP, msgspec.structs.replace(RESNET, norm="drifting")), [0]),
        (make(CLIP, msgspec.structs.replace(RESNET, norm="batch")), [0, 1]),
        (make(msgspec.structs.replace(CLIP, fit="random"), RESNET), [1]),
        (make(Crops(CLIP, Objects(2)), Crops(msgspec.structs.replace(RESNET, positions=False, trained=True))), [0]),
        (make(), []),
    ]
    for tagger, kept in cases:
        tagger.train()
        assert list(keepable(tagger, "training")) == kept
        assert list(keepable(tagger, "evaluation")) == list(range(len(tagger.backbone.transforms)))
    assert prepare(make(trained), [corpus], "auto", use="training") == (None, "")
    assert prepare(make(CLIP), [corpus], "off", use="evaluation") == (None, "")
    deep = {"num_hidden_layers": 2}
    text = msgspec.structs.replace(TEXT, scratch={**TEXT.scratch, **deep})
    vision = msgspec.structs.replace(CLIP, scratch={**CLIP.scratch, **deep})
    layers = Interleaved(text, vision, crops=(CropGroup("whole", Objects(1), 32),), joint=1)
    interleaved = new_tagger(Model(layers), TagSet(("PER",)), lambda: WORDS)
    assert prepare(interleaved, [corpus], "auto", use="evaluation") == (None, "")
    # One view is kept and one is trained: pixels of that one alone are cut, and it learns.
    tagger = make(trained, RESNET).train()
    cache = prepare(tagger, [corpus], "auto", use="training").cache
    assert [module.training for module in (tagger, tagger.backbone.seeing()["resnet"].regions)] == [True, True]
    assert not tagger.backbone.seeing()["resnet"].regions.encoder.training
    batch = batch_of(tagger, corpus, cache, epoch=Epoch(0, 0))
    assert [view.dtype for view in batch.pixels] == [torch.uint8, torch.bfloat16]
    tagger.loss(batch).total.backward()
    assert all(own.grad is not None for own in tagger.backbone.seeing()["clip"].regions.parameters())
    # Regions for evaluation are none for training where pictures are cut anew.
    tagger = make(augmented, RESNET)
    cache = prepare(tagger, [corpus], "auto", use="evaluation").cache
    for epoch, floats in [(None, [True, True]), (Epoch(0, 0), [False, True])]:
        made = batch_of(tagger, corpus, cache, epoch=epoch)
        assert [view.is_floating_point() for view in made.pixels] == floats


def test_random_squares_of_evaluation_are_those_of_the_pictures(corpus, store):
    tagger = make(msgspec.structs.replace(CLIP, fit="random"))
    cache = prepare(tagger, [corpus], "auto", use="evaluation").cache
    with torch.no_grad():
        expected = tagger.backbone.seeing()["clip"].regions.features(batch_of(tagger, corpus).pixels[0])
    torch.testing.assert_close(batch_of(tagger, corpus, cache).pixels[0].float(), expected, rtol=1e-2, atol=1e-2)


def boxed(folder, boxes):
    """The corpus of a folder with boxes of its pictures."""
    lines = [json.dumps({"image": image, "boxes": own}) for image, own in boxes.items()]
    path = folder / f"boxes-{len(boxes)}-{hash(str(boxes)) & 0xFFFF}.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_corpus(folder / "train.jsonl", images=folder / "images", boxes=path)


def test_crops_hang_on_the_boxes_that_are_read(corpus, store, tmp_path):
    seen = Crops(msgspec.structs.replace(CLIP), Objects(2, source="boxes", group="a"))
    tagger = make(seen, RESNET)
    box = {"left": 2, "top": 3, "right": 30, "bottom": 20, "group": "a"}
    wider, aside = {**box, "right": 38}, {**box, "group": "b"}
    first = boxed(tmp_path / "data", {"1": [box], "2": [box]})
    assert prepare(tagger, [first], "auto", use="training").cache.sizes()[:2] == (7, 0)
    other = boxed(tmp_path / "data", {"1": [wider], "2": [box, aside]})
    cache = prepare(tagger, [other], "auto", use="training").cache
    assert cache.sizes()[:2] == (1, 6)
    with torch.no_grad():
        expected = tagger.backbone.seeing()["clip"].regions.features(batch_of(tagger, other).pixels[0])
    kept = batch_of(tagger, other, cache)
    torch.testing.assert_close(kept.pixels[0].float(), expected, rtol=1e-2, atol=1e-2)
    assert tagger.loss(kept).total.isfinite()
    # Where two corpora know different boxes of a file, its name alone does not say which: it is not kept.
    cache = prepare(tagger, [first, other], "auto", use="training").cache
    keys = {key.rpartition("/")[2]: key for n in range(len(first)) for key in first.picture_keys(n)}
    assert cache.read(keys["1.png"]) == [None, None] and cache.read(keys["2.png"])[0] is not None


def test_a_cache_is_small_when_it_goes_to_a_worker(corpus, store):
    tagger = make(CLIP, RESNET)
    cache = prepare(tagger, [corpus], "auto", use="training").cache
    first = batch_of(tagger, corpus, cache)
    sent = pickle.dumps(cache)
    assert len(sent) < 3000
    again = batch_of(tagger, corpus, pickle.loads(sent))
    assert all(view.equal(own) for view, own in zip(again.pixels, first.pixels, strict=True))


def test_a_disk_that_is_too_small_is_told(corpus, store, monkeypatch):
    tagger = make(CLIP)
    needed = 7 * 2 * 5 * 16
    monkeypatch.setattr(regions.shutil, "disk_usage", lambda path: SimpleNamespace(free=needed))
    cache, note = prepare(tagger, [corpus], "auto", use="training")
    assert cache is None and "region_cache=off goes without" in note and not contents(store)
    with pytest.raises(RegionError, match=r"regions: expected 0\.00 GiB|expected .* GiB .* found .* GiB free"):
        prepare(tagger, [corpus], "bf16", use="training")
    monkeypatch.setattr(regions.shutil, "disk_usage", lambda path: SimpleNamespace(free=2 * needed))
    assert prepare(tagger, [corpus], "bf16", use="training").cache is not None


def test_regions_too_large_for_fp16_are_refused(corpus, store):
    tagger = make(CLIP)
    with torch.no_grad():
        tagger.backbone.seeing()["clip"].regions.encoder.pre_layrnorm.weight.mul_(1e6)
    with pytest.raises(RegionError, match=r"clip below 65,504, as fp16 can hold them, found .*; bf16"):
        prepare(tagger, [corpus], "fp16", use="training")
    assert prepare(tagger, [corpus], "bf16", use="training").cache.sizes().computed == 7


def test_a_cache_folder_that_cannot_be_written_is_read_and_added_to(corpus, store, tmp_path, monkeypatch):
    tagger = make(CLIP)
    prepare(tagger, [corpus.select([0, 1])], "auto", use="training")
    kept = contents(store)
    aside = tmp_path / "aside"
    monkeypatch.setattr(region_store, "writable", lambda folder: aside.mkdir(exist_ok=True) or aside)
    cache = prepare(tagger, [corpus], "auto", use="training").cache
    assert cache.sizes()[:2] == (4, 3) and contents(store) == kept
    assert all(cache.read(key)[0] is not None for n in range(len(corpus)) for key in corpus.picture_keys(n))


def test_each_process_computes_its_share(corpus, store):
    tagger = make(CLIP)
    count, came = Count(tagger), []
    for rank in (0, 1):
        cache = prepare(
            tagger, [corpus], "auto", use="training", batch=2, share=(rank, 2), wait=lambda: came.append(count.since())
        ).cache
    assert came == [{"clip": 0}, {"clip": 4}, {"clip": 0}, {"clip": 3}]
    assert cache.sizes()[:2] == (3, 4)
    assert all(cache.read(key)[0] is not None for n in range(len(corpus)) for key in corpus.picture_keys(n))


def fill(tagger, corpus, dies=None):
    """Fill the cache in a process of its own, in small shards; `dies` is the shard at which it is killed."""
    torch.set_num_threads(1)
    region_store.SHARD_BYTES = 1
    shards, replace = itertools.count(), os.replace

    def write(source, target):
        if next(shards) == dies:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    region_store.os.replace = write
    prepare(tagger, [corpus], "auto", use="training", batch=2)


def start(*fillings):
    processes = [multiprocessing.get_context("fork").Process(target=fill, args=own) for own in fillings]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, of which none is at work
        for process in processes:
            process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def test_killed_fills_and_fills_at_once_leave_the_same_bits(corpus, store, tmp_path, monkeypatch):
    tagger = make(CLIP, RESNET)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    written = 0
    for dies in (0, 1, 3):
        assert start((tagger, corpus, dies)) == [-signal.SIGKILL]
        assert len(contents(store)) > written or dies == 0
        written = len(contents(store))
    left = [path for path in store.glob("*/*") if path.name.startswith(".")]
    assert len(left) == 3 and written < 14
    assert start((tagger, corpus), (tagger, corpus)) == [0, 0]
    found = contents(store)
    os.utime(left[0], (0, 0))
    assert prepare(tagger, [corpus], "auto", use="training", batch=2).cache.sizes()[:2] == (0, 7)
    assert [path.exists() for path in left] == [False, True, True]
    monkeypatch.setenv("BABELENS_CACHE", str(tmp_path / "undisturbed"))
    prepare(tagger, [corpus], "auto", use="training", batch=2)
    torch.set_num_threads(threads)
    assert contents(tmp_path / "undisturbed" / "regions") == found and len(found) == 14


def test_nothing_is_kept_where_there_are_no_pictures(store, tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "train.txt").write_text("Anna\tB-PER\n", encoding="utf-8")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "train.txt").write_text("IMGID:7\nAnna\tB-PER\n", encoding="utf-8")
    tagger = make(CLIP)
    for name in ("text", "gone"):
        assert prepare(tagger, [read_corpus(tmp_path / name / "train.txt")], "bf16", use="training") == (None, "")


def test_a_disk_that_fills_is_named_and_gone_without(corpus, store, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    tagger = make(CLIP)
    with monkeypatch.context() as patch:
        patch.setattr(region_store.Path, "write_bytes", full)
        kept = prepare(tagger, [corpus], "auto", use="training")
        assert kept.cache is None and "the disk is full" in kept.note and str(store) in kept.note
        with pytest.raises(OSError, match="No space left"):
            prepare(tagger, [corpus], "bf16", use="training")
    assert prepare(tagger, [corpus], "auto", use="training").cache is not None
