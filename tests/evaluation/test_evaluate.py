import json

import pytest
from PIL import Image

from babelens.data import read_corpus, read_split
from babelens.evaluation.evaluate import evaluate
from babelens.models.checkpoint import load_tagger, new_tagger, save_tagger
from babelens.models.decode import decode_corpus
from babelens.models.spec import Model
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.modules.interleaved import Interleaved
from babelens.modules.late import Late, View
from babelens.modules.text.recurrent import Recurrent
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.crop_tokens import CropGroup
from babelens.modules.vision.crops import Crops
from babelens.modules.vision.objects import Objects
from babelens.modules.vision.resnet import Resnet
from babelens.schema import InputError, TagSet, write_tags

SENTENCES = [
    ["Anna", "visited", "Paris"],
    ["Le", "maire", "de", "Lyon", "!"],
    ["Siemens"],
    ["El", "Real", "Madrid", "de", "Bogotá", "ganó", "ayer"],
    ["x", "y"],
    ["Köln", "am", "Rhein"],
]
PICTURES = ["one", "broken", "nowhere", None, "one", None]


@pytest.fixture(scope="module")
def folder(tiny_tagger, tmp_path_factory):
    """Two languages; the gold entities are the model's own but for known changes: 2 left out, 1 of another type."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "images").mkdir()
    Image.new("RGB", (9, 9), (200, 100, 0)).save(folder / "images" / "one.png")
    (folder / "images" / "broken.jpg").write_bytes(b"")
    _write(folder, [[]] * len(SENTENCES))
    found, _ = decode_corpus(tiny_tagger, read_split(folder, "test"))
    assert sum(map(len, found)) > 4 and len(found[3]) > 2
    gold = [list(entities) for entities in found]
    del gold[3][0], gold[3][0]
    first = gold[0][0]
    gold[0][0] = type(first)(first.start, first.end, "LOC" if first.type != "LOC" else "PER")
    _write(folder, gold)
    return folder


def _write(folder, gold):
    """The first three sentences are English, the others Spanish."""
    for language, rows in (("en", range(3)), ("es", range(3, 6))):
        lines = []
        for row in rows:
            lines += [f"IMGID:{PICTURES[row]}"] if PICTURES[row] else []
            tags = write_tags(gold[row], len(SENTENCES[row]))
            lines += [f"{word}\t{tag}" for word, tag in zip(SENTENCES[row], tags, strict=True)] + [""]
        (folder / language).mkdir(exist_ok=True)
        (folder / language / "test.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def found(tiny_tagger, folder):
    return evaluate(tiny_tagger, read_split(folder, "test"), batch=2)


def test_scores_are_those_of_the_known_mistakes(found):
    total = sum(map(len, found.predicted))
    micro = found.scores.micro
    assert (micro.tp, micro.fp, micro.fn) == (total - 3, 3, 1)
    assert micro.precision == pytest.approx(100 * (total - 3) / total)
    assert (found.scores.boundaries.fp, found.scores.boundaries.fn) == (2, 0)
    spanish = sum(map(len, found.predicted[3:]))
    assert (found.languages["es"].micro.tp, found.languages["es"].micro.fp) == (spanish - 2, 2)
    assert (found.languages["en"].micro.fp, found.languages["en"].micro.fn) == (1, 1)


def test_rows_are_counted_by_what_became_of_their_pictures(found):
    assert found.status == ["used", "unreadable", "missing", "none", "used", "none"]
    assert found.pictures == {"missing": 1, "none": 2, "unreadable": 1, "used": 2}
    assert set(found.images) == {"missing", "none", "unreadable", "used"}
    assert found.images["none"].micro.fp == 2 and found.images["used"].micro.fn == 1


def test_the_result_as_plain_data(found):
    plain = found.to_dict()
    assert set(plain) == (
        {"micro", "macro", "boundaries", "types", "languages", "sources", "images", "pictures", "objects", "rows"}
    )
    assert set(plain["micro"]) == {"precision", "recall", "f1", "support"}
    assert plain["micro"]["f1"] == found.scores.micro.f1 and plain["rows"] == 6
    assert set(plain["languages"]) == {"en", "es"} and len(plain["sources"]) == 1
    parts = plain["languages"].values()
    assert sum(part["support"] for part in parts) == plain["micro"]["support"]
    assert sum(part["support"] for part in plain["images"].values()) == plain["micro"]["support"]


def test_the_size_of_the_batch_changes_nothing_and_steps_count_rows(tiny_tagger, folder, found):
    steps = []
    again = evaluate(tiny_tagger, read_split(folder, "test"), batch=5, step=steps.append)
    assert again.to_dict() == found.to_dict() and again.predicted == found.predicted
    assert steps == [5, 1]


def test_types_that_the_model_does_not_know_are_refused_unless_renamed(tiny_tagger, tmp_path):
    file = tmp_path / "test.txt"
    file.write_text("a\tB-OTHER\nb\tB-TIME\nc\tB-PER\n\n")
    with pytest.raises(InputError, match=r"\(LOC, MISC, ORG, PER\), found OTHER, TIME in the data; --types OTHER="):
        evaluate(tiny_tagger, read_corpus(file))
    done = evaluate(tiny_tagger, read_corpus(file, types={"OTHER": "MISC", "TIME": "O"}))
    assert done.scores.micro.support == 2 and done.scores.types["MISC"].support == 1


def test_an_empty_corpus_is_refused(tiny_tagger, folder):
    with pytest.raises(InputError, match="expected at least one row"):
        evaluate(tiny_tagger, read_split(folder, "test").select([]))


@pytest.mark.parametrize("batch", [1, 3])
def test_a_row_without_words_has_no_entities(tiny_tagger, tmp_path, batch):
    rows = ['{"text": "", "entities": []}', '{"tokens": ["a", "b"], "ner_tags": ["O", "B-PER"]}']
    (tmp_path / "test.jsonl").write_text("\n".join([*rows, rows[0]]) + "\n")
    found = evaluate(tiny_tagger, read_split(tmp_path, "test"), batch=batch)
    assert found.predicted[0] == found.predicted[2] == ()


@pytest.mark.parametrize("source", ["grid", "boxes"])
def test_a_result_says_where_its_objects_came_from(source, tmp_path):
    text = Recurrent(word_dim=4, hidden=4)
    resnet = Resnet(scratch={"embedding_size": 4, "hidden_sizes": [8], "depths": [1], "size": 16}, pool=True)
    view = View(Crops(resnet, Objects(2, source, group="g")), CrossAttention(heads=2))
    tagger = new_tagger(Model(Late(text, (view,))), TagSet(("PER",)), lambda: [("Anna", "sings")]).eval()
    Image.new("RGB", (30, 20)).save(tmp_path / "one.png")
    rows = "".join(f"IMGID:{name}\nAnna\tB-PER\nsings\tO\n\n" for name in ("one", "one", "two"))
    (tmp_path / "test.txt").write_text(rows)
    boxes = [{"image": "one", "group": "g", "boxes": [[1, 2, 9, 9]]}, {"image": "two", "boxes": [[1, 2, 9, 9]]}]
    (tmp_path / "boxes.jsonl").write_text("\n".join(map(json.dumps, boxes)))
    plain = evaluate(tagger, read_split(tmp_path, "test", images=tmp_path)).to_dict()
    assert (plain["objects"], plain.get("pictures_with_boxes")) == (source, None if source == "grid" else 1)
    assert plain["pictures"] == {"missing": 1, "used": 2}
    save_tagger(tagger, tmp_path / "model")
    expected = {"grid": "Objects: crops of a grid over the picture", "boxes": "Objects: boxes that come with"}
    assert expected[source] in (tmp_path / "model" / "README.md").read_text()
    loaded = load_tagger(tmp_path / "model")
    assert loaded.model.objects == source and loaded.model.text_only().objects is None


def test_what_reads_a_grid_anywhere_counts_as_of_a_grid():
    crops = (CropGroup("large", Objects(2, "boxes"), 8), CropGroup("small", Objects(1, "boxes"), 4))
    assert Model(Interleaved(crops=crops)).objects == "boxes" and Model(Late()).objects is None
    views = (View(Crops()), View(Crops(Clip(), Objects(source="boxes"))))
    assert Model(Late(views=views)).objects == "grid"
