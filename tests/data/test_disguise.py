import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from babelens.data import Corpus, DataError, read_corpus
from babelens.data.convert import write_corpus, write_pictures
from babelens.data.disguise import disguise
from babelens.data.postcards.controls import corrupt
from babelens.models.batch import CorpusRows
from babelens.models.decode import decode_corpus
from babelens.models.loading import BatchLoader, Source, Work
from babelens.models.regions import prepare
from babelens.schema import InputError

KINDS = ("none", "blank", "shuffled", "misleading:0.5", "noise:3", "blur:2")
# Row by row: two rows of one picture, one of two, one of none, one whose picture is missing.
IMAGES = [["0"], ["1"], [], ["2"], ["2"], ["3", "4"], ["lost"], ["5"], ["6"], ["7"], ["8"], ["9"]]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(10):
        pixels = rng.integers(0, 256, (20 + number, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    boxes = [{"image": str(number), "boxes": [[0, 0, number + 1, 9]]} for number in range(10)]
    (tmp_path / "boxes.jsonl").write_text("\n".join(map(json.dumps, boxes)), encoding="utf-8")
    rows = [
        {"tokens": ["Anna", f"w{number}"], "ner_tags": ["B-PER", "O"], "images": images}
        for number, images in enumerate(IMAGES)
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path


@pytest.fixture
def corpus(folder):
    return read_corpus(folder / "train.jsonl")


def keys(corpus):
    return [corpus.picture_keys(row) for row in range(len(corpus))]


def pixels(corpus, key):
    picture = corpus.picture(key)
    return None if picture.image is None else np.asarray(picture.image)


def texts(corpus):
    return [(example.words, example.entities) for example in corpus]


def test_true_pictures_and_none(corpus):
    assert disguise(corpus, "true") is corpus
    none = disguise(corpus, "none")
    assert keys(none) == [()] * 12 and not none.picture_numbers.any()
    assert texts(none) == texts(corpus) and all(example.images == () for example in none)
    assert [none[row] for row in range(12)] == list(none)
    assert none.picture_folders(0) == () and corpus.picture_folders(0) != ()


@pytest.mark.parametrize("seed", range(8))
def test_shuffled_rows_never_show_a_picture_of_their_own(corpus, seed):
    shuffled = disguise(corpus, "shuffled", seed)
    assert texts(shuffled) == texts(corpus)
    for row, (own, shown) in enumerate(zip(keys(corpus), keys(shuffled), strict=True)):
        assert bool(own) == bool(shown) and not set(own) & set(shown)
        assert shuffled[row].images == tuple(key.rpartition("/")[2].removesuffix(".png") for key in shown)
    assert sorted(keys(shuffled)) == sorted(keys(corpus))
    assert list(shuffled) == [shuffled[row] for row in range(12)]
    assert keys(disguise(corpus, "shuffled", seed)) == keys(shuffled)


def test_seeds_shuffle_otherwise(corpus):
    assert len({str(keys(disguise(corpus, "shuffled", seed))) for seed in range(8)}) > 5


def test_no_more_rows_keep_their_picture_than_must(corpus):
    # Six rows of one picture and two of others: four of the six cannot have another.
    crowded = corpus.select([0] * 6 + [1, 3])
    for seed in range(5):
        shown = keys(disguise(crowded, "shuffled", seed))
        assert sum(own == new for own, new in zip(keys(crowded), shown, strict=True)) == 4
    alone = corpus.select([0])
    assert keys(disguise(alone, "shuffled")) == keys(alone)
    assert len(disguise(corpus.select([]), "shuffled")) == 0
    assert keys(disguise(corpus.select([2, 2]), "shuffled")) == [(), ()]


def test_misleading_shares_are_nested(corpus):
    changed = {}
    shuffled = keys(disguise(corpus, "shuffled", 3))
    for share in (0.0, 0.2, 0.4, 0.6, 1.0):
        shown = keys(disguise(corpus, f"misleading:{share}", 3))
        changed[share] = {row for row, (own, new) in enumerate(zip(keys(corpus), shown, strict=True)) if own != new}
        assert all(shown[row] == shuffled[row] for row in changed[share])
        assert len(changed[share]) == round(share * 11)
    assert changed[0.2] < changed[0.4] < changed[0.6] < changed[1.0]
    assert disguise(corpus, "misleading:0") is corpus
    assert keys(disguise(corpus, "misleading:1", 3)) == shuffled


def test_blank_pictures_are_grey_and_of_their_own_size(corpus):
    blank = disguise(corpus, "blank")
    for own, shown in zip(keys(corpus), keys(blank), strict=True):
        for true, key in zip(own, shown, strict=True):
            before, after = pixels(corpus, true), pixels(blank, key)
            assert (before is None) == (after is None)
            if before is not None and after is not None:
                assert after.shape == before.shape and (after == 128).all()


def test_the_same_picture_always_gets_the_same_noise(corpus, folder, tmp_path):
    noisy = disguise(corpus, "noise:3")
    (true,), (key,) = corpus.picture_keys(3), noisy.picture_keys(3)
    shown = pixels(noisy, key)
    again = disguise(pickle.loads(pickle.dumps(corpus)), "noise:3", seed=7)
    assert np.array_equal(pixels(again, again.picture_keys(4)[0]), shown)
    # Wherever it lies.
    (tmp_path / "elsewhere").mkdir()
    (folder / "images" / "2.png").rename(tmp_path / "elsewhere" / "2.png")
    moved = disguise(read_corpus(folder / "train.jsonl", images=tmp_path / "elsewhere"), "noise:3")
    assert np.array_equal(pixels(moved, moved.picture_keys(3)[0]), shown)
    assert key != true and not np.array_equal(shown, pixels(disguise(corpus, "noise:4"), key))


def test_noise_and_blur_are_those_of_the_severity(corpus):
    true = Image.fromarray(pixels(corpus, corpus.picture_keys(0)[0]))
    blurred = disguise(corpus, "blur:2")
    assert np.array_equal(pixels(blurred, blurred.picture_keys(0)[0]), np.asarray(corrupt(true, "blur", 2)))
    spread = []
    for severity in range(1, 6):
        noisy = disguise(corpus, f"noise:{severity}")
        shown = pixels(noisy, noisy.picture_keys(0)[0]).astype(float)
        spread.append(np.abs(shown - np.asarray(true, float)).mean())
    assert spread == sorted(spread) and spread[0] > 5


def test_boxes_are_those_of_what_is_shown(corpus):
    for control in ("shuffled", "noise:3"):
        disguised = disguise(corpus, control)
        for example, shown in zip(disguised, keys(disguised), strict=True):
            for image, key in zip(example.images, shown, strict=True):
                expected = [] if image == "lost" else [int(image) + 1]
                assert [box.right for box in disguised.boxes(key)] == expected
                assert disguised.picture(key).boxes == (disguised.boxes(key) if expected else ())
                assert disguised.box_names(key)[-1] == image


def test_digests_tell_disguises_apart(corpus):
    made = [corpus, *(disguise(corpus, kind) for kind in KINDS), disguise(corpus, "shuffled", 1)]
    made += [disguise(corpus, "noise:4"), disguise(disguise(corpus, "noise:3"), "blur:2")]
    assert len({one.digest for one in made}) == len({one.pictures_digest() for one in made}) == len(made)
    assert disguise(corpus, "shuffled").digest == disguise(corpus, "shuffled").digest
    assert disguise(corpus, "noise:3").pictures_digest() == disguise(corpus, "noise:3", 5).pictures_digest()


def test_content_digests_are_those_of_the_content(corpus):
    """Regions are kept by them: what is spoilt is never taken for what is not."""
    found = set()
    for control in ("true", "blank", "noise:3", "noise:4", "blur:2"):
        disguised = disguise(corpus, control)
        (key,) = disguised.picture_keys(0)
        content = disguised.picture_content(key)
        assert content is not None and disguised.picture_size(key) == len(content)
        found.add(disguised.content_digest(key))
        lost = disguised.picture_keys(6)[0]
        assert disguised.content_digest(lost) is disguised.picture_content(lost) is None
        assert disguised.picture_size(lost) is None
    assert len(found) == 5


@pytest.mark.parametrize("control", KINDS)
def test_a_disguise_stays_on(corpus, control):
    disguised = disguise(corpus, control, 2)
    rows = [11, 3, 0, 3, 2, 5]
    selected = disguised.select(rows)
    assert list(selected) == [disguised[row] for row in rows]
    assert keys(selected) == [keys(disguised)[row] for row in rows]
    both = Corpus.concatenate([corpus, disguised, corpus])
    assert keys(both) == keys(corpus) + keys(disguised) + keys(corpus)
    assert list(both) == [*corpus, *disguised, *corpus]
    assert both.picture_numbers.tolist() == [len(own) for own in keys(both)]
    copy = pickle.loads(pickle.dumps(both))
    assert (keys(copy), list(copy), copy.digest) == (keys(both), list(both), both.digest)
    for own in keys(copy):
        for key in own:
            assert copy.picture(key).status == ("missing" if key.endswith("lost") else "used")
            before, after = pixels(both, key), pixels(copy, key)
            assert np.array_equal(before, after) if before is not None else after is None


@pytest.mark.parametrize("control", KINDS)
def test_rows_of_several_pictures_become_pairs(corpus, control):
    disguised = disguise(corpus, control, 2)
    pairs = disguised.pairs()
    assert [own[0] if own else None for own in keys(pairs)] == [
        key for own in keys(disguised) for key in (own or (None,))
    ]
    assert [example.images for example in pairs] == [
        (image,) if image else () for example in disguised for image in (example.images or (None,))
    ]
    several = [example for example in disguised if len(example.images) > 1]
    assert (
        [e.id for e in pairs if e.words == several[0].words] == [f"{several[0].id}/{n}" for n in (1, 2)]
        if several
        else True
    )
    assert list(pairs) == [pairs[row] for row in range(len(pairs))]
    shuffled = disguise(corpus.pairs(), control)
    assert [len(own) for own in keys(shuffled)] == [
        0 if control == "none" else len(own) for own in keys(corpus.pairs())
    ]


def test_disguises_are_put_over_one_another(corpus):
    twice = disguise(disguise(corpus, "shuffled", 1), "noise:3")
    shuffled = disguise(corpus, "shuffled", 1)
    (true,), (key,) = shuffled.picture_keys(0), twice.picture_keys(0)
    noisy = disguise(corpus, "noise:3")
    (same,) = [k for own in keys(noisy) for k in own if k.endswith(true)][:1]
    assert np.array_equal(pixels(twice, key), pixels(noisy, same))
    assert keys(disguise(shuffled, "none")) == [()] * 12


def test_pictures_are_counted_and_may_be_asked_for_strictly(folder):
    corpus = disguise(read_corpus(folder / "train.jsonl"), "noise:1")
    for own in keys(corpus):
        for key in own:
            corpus.picture(key)
    assert corpus.picture_counts == {"used": 11, "missing": 1}
    strict = disguise(read_corpus(folder / "train.jsonl", strict_images=True), "blur:1")
    assert strict.picture(strict.picture_keys(0)[0]).status == "used"
    with pytest.raises(DataError, match="expected a readable picture"):
        strict.picture(strict.picture_keys(6)[0])


def test_an_unreadable_picture_stays_so(folder):
    (folder / "images" / "0.png").write_bytes(b"not a picture")
    corpus = disguise(read_corpus(folder / "train.jsonl"), "noise:1")
    (key,) = corpus.picture_keys(0)
    assert corpus.picture(key).status == "unreadable"
    assert corpus.picture_content(key) == b"not a picture"


@pytest.mark.parametrize("control", ["shuffled", "noise:3"])
def test_a_disguised_corpus_is_written_as_it_looks(corpus, control, tmp_path):
    disguised = disguise(corpus, control)
    write_corpus(disguised, tmp_path / "out" / "train.jsonl")
    write_pictures(disguised, tmp_path / "out" / "images")
    write_corpus(disguised, tmp_path / "out.parquet")
    for path in (tmp_path / "out" / "train.jsonl", tmp_path / "out.parquet"):
        read = read_corpus(path)
        for row, own in enumerate(keys(disguised)):
            for key, copy in zip(own, read.picture_keys(row), strict=True):
                before, after = pixels(disguised, key), pixels(read, copy)
                assert np.array_equal(before, after) if before is not None else after is None
    assert [len(row["images"]) for row in disguised.to_dataset()] == disguised.picture_numbers.tolist()


def test_pictures_that_a_table_holds_itself(corpus, tmp_path):
    write_corpus(corpus, tmp_path / "all.parquet")
    held = read_corpus(tmp_path / "all.parquet")
    shuffled, noisy = disguise(held, "shuffled"), disguise(held, "noise:2")
    assert sorted(keys(shuffled)) == sorted(keys(held)) and shuffled.picture(keys(shuffled)[0][0]).status == "used"
    (key,) = noisy.picture_keys(0)
    assert not np.array_equal(pixels(noisy, key), pixels(held, held.picture_keys(0)[0]))
    assert noisy.content_digest(key) != held.content_digest(held.picture_keys(0)[0])


def test_what_a_model_sees(corpus, tiny_tagger):
    """Batches made by this process and by workers, of true and disguised rows with one collator."""
    collator = tiny_tagger.collator(1 << 24)
    made = {}
    for control in ("true", *KINDS):
        rows = CorpusRows(disguise(corpus, control))
        with BatchLoader(Source(rows, collator)) as loader:
            (made[control],) = loader.batches([Work(range(12))])
    assert len({str(one.pixels[0].sum()) + str(one.pictures.tolist()) for one in made.values()}) == 7
    assert made["none"].status == ("none",) * 12 and not made["none"].present.any()
    assert (made["true"].pictures == made["noise:3"].pictures).all()
    rows = CorpusRows(disguise(corpus, "noise:3"))
    with BatchLoader(Source(rows, tiny_tagger.collator()), workers=1) as loader:
        (batch,) = loader.batches([Work(range(12))])
    assert all(torch.equal(own, other) for own, other in zip(batch.pixels, made["noise:3"].pixels, strict=True))
    assert rows.corpus.picture_counts == {"used": 10, "missing": 1}


def test_kept_regions_are_those_of_what_is_shown(corpus, tiny_tagger, monkeypatch, tmp_path):
    monkeypatch.setenv("BABELENS_CACHE", str(tmp_path / "cache"))
    made = {control: disguise(corpus, control) for control in ("true", *KINDS)}
    direct = {control: decode_corpus(tiny_tagger, one) for control, one in made.items()}
    kept, note = prepare(tiny_tagger, list(made.values()), "auto", use="evaluation")
    # Ten true pictures, and as many blank, noisy and blurred ones; shuffled ones are true.
    assert kept is not None and "40 pictures computed" in note
    for control, one in made.items():
        collator = tiny_tagger.collator(0, kept)
        batch = collator([CorpusRows(one)[row] for row in range(12)], labelled=False)
        assert all(view.is_floating_point() for view in batch.pixels) or control == "none"
        plain = tiny_tagger.collator()([CorpusRows(one)[row] for row in range(12)], labelled=False)
        with torch.no_grad():
            torch.testing.assert_close(tiny_tagger.emissions(batch), tiny_tagger.emissions(plain), atol=0.1, rtol=0.05)
        assert batch.status == plain.status == tuple(direct[control][1])
    _, again = prepare(tiny_tagger, [made["noise:3"]], "auto", use="evaluation")
    assert "0 pictures computed" in again and "10 reused" in again


@pytest.mark.parametrize(
    "control",
    [
        "grey",
        "noise",
        "noise:0",
        "noise:6",
        "blur:1.5",
        "blank:2",
        "misleading:1.1",
        "misleading:nan",
        "misleading",
        "",
    ],
)
def test_unknown_controls(corpus, control):
    with pytest.raises(InputError, match=r"expected one of true, none, blank, shuffled, misleading:SHARE.* found '"):
        disguise(corpus, control)
