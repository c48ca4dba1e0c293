import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from babelens.data import Corpus, read_corpus
from babelens.schema import Entity

TEXT = """IMGID:p
Anna\tB-PER
met\tO

Rome\tI-LOC

IMGID:p
IMGID:q
a\tO
b\tB-OTHER
c\tI-OTHER

"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "images" / "p.jpg")
    (tmp_path / "train.txt").write_text(TEXT)
    (tmp_path / "test.txt").write_text("z\tB-MISC\n")
    return tmp_path


@pytest.fixture
def corpus(folder):
    return read_corpus(folder / "train.txt")


def test_rows(corpus):
    assert len(corpus) == 3
    assert [example.words for example in corpus] == [("Anna", "met"), ("Rome",), ("a", "b", "c")]
    assert list(corpus) == [corpus[i] for i in range(3)]
    assert corpus[-1].entities == (Entity(1, 3, "OTHER"),)
    assert corpus[2].images == ("p", "q")
    assert [example.id for example in corpus] == ["train:1", "train:2", "train:3"]
    assert corpus.lengths.tolist() == [2, 1, 3]
    assert corpus.types == ("LOC", "OTHER", "PER")
    assert corpus.violations == 1
    assert [(place.line, place.found) for place in corpus.violation_places()] == [(5, "'Rome'")]
    with pytest.raises(IndexError):
        corpus[3]


def test_pictures(corpus, folder):
    assert corpus.picture_keys(1) == ()
    (first,), (again, missing) = corpus.picture_keys(0), corpus.picture_keys(2)
    assert first == again == f"file:{folder.resolve()}/images/p.jpg"
    assert (corpus.picture(first).status, corpus.picture(missing).status) == ("used", "missing")
    assert corpus.picture_counts == {"used": 1, "missing": 1}
    assert corpus.picture_numbers.tolist() == [1, 0, 2]


def test_types_are_renamed_or_left_out(folder):
    renamed = read_corpus(folder / "train.txt", types={"OTHER": "MISC", "LOC": "O"})
    assert renamed.types == ("MISC", "PER")
    assert [len(example.entities) for example in renamed] == [1, 0, 1]
    assert renamed.digest != read_corpus(folder / "train.txt").digest


@given(st.data())
def test_select_and_concatenate_are_those_of_lists(tmp_path_factory, data):
    place = tmp_path_factory.getbasetemp() / "lists.txt"
    place.write_text(TEXT * 3)
    one = read_corpus(place)
    rows = list(one)
    chosen = data.draw(st.lists(st.integers(-len(rows), len(rows) - 1), max_size=12))
    selected = one.select(chosen)
    expected = [rows[i] for i in chosen]
    assert list(selected) == expected == [selected[i] for i in range(len(selected))]
    assert selected.lengths.tolist() == [len(example.words) for example in expected]
    assert selected.types == tuple(sorted({entity.type for example in expected for entity in example.entities}))
    both = Corpus.concatenate([selected, one])
    assert list(both) == expected + rows
    assert list(both.select(range(len(both) - 1, -1, -1))) == (expected + rows)[::-1]


def test_rows_of_several_pictures_become_pairs(tmp_path):
    rows = [
        {"id": "a", "tokens": ["x"], "ner_tags": ["B-PER"], "images": ["1", "2", "3"]},
        {"id": "b", "tokens": ["y"], "ner_tags": ["O"]},
        {"id": "c", "tokens": ["z", "z"], "ner_tags": ["O", "B-LOC"], "images": ["2"]},
        {"id": "d", "tokens": ["w"], "ner_tags": ["O"], "images": ["4", "1"]},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    corpus = read_corpus(path)
    pairs = corpus.pairs()
    found = [(example.id, example.words, example.images, len(example.entities)) for example in pairs]
    assert found == [
        ("a/1", ("x",), ("1",), 1),
        ("a/2", ("x",), ("2",), 1),
        ("a/3", ("x",), ("3",), 1),
        ("b", ("y",), (), 0),
        ("c", ("z", "z"), ("2",), 1),
        ("d/1", ("w",), ("4",), 0),
        ("d/2", ("w",), ("1",), 0),
    ]
    assert [pairs[number] for number in range(len(pairs))] == list(pairs)
    assert [len(pairs.picture_keys(number)) for number in range(len(pairs))] == pairs.picture_numbers.tolist()
    assert pairs.picture_keys(1) == corpus.picture_keys(0)[1:2]
    assert pairs.lengths.tolist() == [1, 1, 1, 1, 2, 1, 1]
    assert list(pairs.pairs()) == list(pairs) and pairs.digest != corpus.digest
    assert list(pairs.select([6, 0])) == [pairs[6], pairs[0]]


def test_empty_corpora():
    empty = Corpus.concatenate([])
    assert (len(empty), list(empty), empty.types, empty.violations) == (0, [], (), 0)
    assert empty.lengths.tolist() == []


def test_digests_tell_contents_apart(folder, corpus, tmp_path):
    assert corpus.digest == read_corpus(folder / "train.txt").digest
    assert corpus.digest != corpus.select([0, 1]).digest != corpus.select([1, 0]).digest
    (folder / "train.txt").write_text(TEXT.replace("Anna", "Anne"))
    changed = read_corpus(folder / "train.txt")
    assert changed.digest != corpus.digest
    assert changed[0].words[0] == "Anne"
    assert corpus[0].words[0] == "Anna"


def test_a_pickled_corpus_is_small_and_the_same(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT * 2000)
    corpus = read_corpus(tmp_path / "a.txt").select(np.arange(0, 6000, 7))
    data = pickle.dumps(corpus)
    assert len(data) < 16 * len(corpus) + 4000
    assert list(pickle.loads(data)) == list(corpus)


def test_rows_beyond_one_batch(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"w{number}\tO\n\n" for number in range(5000)))
    corpus = read_corpus(tmp_path / "a.txt")
    assert [example.words[0] for example in corpus] == [f"w{number}" for number in range(5000)]
    for number in (0, 2047, 2048, 4095, 4096, 4999):
        assert corpus[number].words == (f"w{number}",)
    assert [e.words[0] for e in corpus.select(np.arange(2000, 4200))] == [f"w{n}" for n in range(2000, 4200)]


def kept(folder):
    return sorted(path for path in (folder / "cache").rglob("*") if path.is_file())


def test_a_damaged_cache_is_made_anew(folder, monkeypatch):
    monkeypatch.setenv("BABELENS_CACHE", str(folder / "cache"))
    before = list(read_corpus(folder / "train.txt"))
    (file,) = kept(folder)
    file.write_bytes(file.read_bytes()[:100])
    assert list(read_corpus(folder / "train.txt")) == before
    assert kept(folder) == [file]


def test_a_damaged_data_set_in_the_cache_is_made_anew(folder, monkeypatch):
    monkeypatch.setenv("BABELENS_CACHE", str(folder / "cache"))
    corpus = read_corpus(folder / "train.txt")
    before = corpus.to_dataset().to_list()
    (file,) = [path for path in kept(folder) if "datasets" in path.parts]
    content = file.read_bytes()
    for damaged in (b"", content[:20], content[:-8], content[: len(content) // 2], content[:-40] + bytes(40)):
        file.unlink()
        file.write_bytes(damaged)
        assert corpus.to_dataset().to_list() == before
        assert file.read_bytes() == content


def test_damaged_boxes_in_the_cache_are_made_anew(folder, monkeypatch):
    monkeypatch.setenv("BABELENS_CACHE", str(folder / "cache"))
    (folder / "boxes.jsonl").write_text('{"image": "p", "boxes": [[0, 0, 9, 9]]}\n')
    before = [file.boxes("p") for file in read_corpus(folder / "train.txt").box_files]
    (file,) = [path for path in kept(folder) if "boxes" in path.parts]
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[: len(content) // 2])
    assert [file.boxes("p") for file in read_corpus(folder / "train.txt").box_files] == before != []


def test_a_digest_is_of_the_content_and_the_cache_of_the_code_as_well(folder, monkeypatch):
    monkeypatch.setenv("BABELENS_CACHE", str(folder / "cache"))
    (folder / "boxes.jsonl").write_text('{"image": "p", "boxes": [[0, 0, 9, 9]]}\n')
    before = read_corpus(folder / "train.txt").digest
    files = kept(folder)
    monkeypatch.setattr("babelens.data.cache._code", lambda: "another")
    assert read_corpus(folder / "train.txt").digest == before
    assert len(kept(folder)) == 2 * len(files)
    assert {path.name for path in kept(folder)} == {path.name for path in files}


def test_the_digest_of_pictures_tells_their_names_and_sizes(tmp_path):
    def digest(place, pictures):
        place.mkdir()
        (place / "images").mkdir()
        (place / "train.txt").write_text("IMGID:p\na\tO\n\nIMGID:q\nb\tO\n")
        for name, content in pictures.items():
            (place / "images" / name).write_bytes(content)
        return read_corpus(place / "train.txt").pictures_digest()

    pictures = {"p.jpg": b"123", "q.png": b"4567"}
    first = digest(tmp_path / "a", pictures)
    assert digest(tmp_path / "b", pictures) == first
    assert digest(tmp_path / "c", {**pictures, "not named": b"1"}) == first
    others = [
        {**pictures, "p.jpg": b"1234"},
        {"p.jpg": b"123"},
        {"p.png": b"123", "q.png": b"4567"},
        {**pictures, "q.png": b""},
    ]
    digests = [digest(tmp_path / str(number), other) for number, other in enumerate(others)]
    assert len({first, *digests}) == 5


def test_a_faulty_file_leaves_nothing_in_the_cache(folder, monkeypatch):
    monkeypatch.setenv("BABELENS_CACHE", str(folder / "cache"))
    (folder / "train.txt").write_text(TEXT + "broken\n")
    with pytest.raises(ValueError, match=r"train\.txt:13"):
        read_corpus(folder / "train.txt")
    assert kept(folder) == []


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(folder, monkeypatch):
    (folder / "cache").write_text("a file where a folder should be")
    monkeypatch.setenv("BABELENS_CACHE", str(folder / "cache"))
    assert len(read_corpus(folder / "train.txt")) == 3
