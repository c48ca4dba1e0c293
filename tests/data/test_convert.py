import os

import pytest
from PIL import Image

from babelens.data import DataError, read_corpus
from babelens.data.convert import write_corpus, write_pictures
from babelens.schema import InputError

TEXT = "IMGID:p\nAnna\tB-PER\nLind\tI-PER\n\nIMGID:x/q\nRome\tB-LOC\n\nIMGID:gone\nc\tO\n\nIMGID:../secret\nd\tO\n\n"


@pytest.fixture
def corpus(tmp_path):
    images = tmp_path / "in" / "images"
    (images / "x").mkdir(parents=True)
    Image.new("RGB", (2, 2)).save(images / "p.jpg")
    Image.new("RGB", (3, 3)).save(images / "x" / "q.png")
    Image.new("RGB", (3, 3)).save(tmp_path / "in" / "secret.png")
    (tmp_path / "in" / "a.txt").write_text(TEXT)
    return read_corpus(tmp_path / "in" / "a.txt")


@pytest.mark.parametrize("ending", [".txt", ".jsonl", ".parquet"])
def test_every_kind_is_read_back(corpus, tmp_path, ending):
    path = tmp_path / "deep" / f"out{ending}"
    assert write_corpus(corpus, path) == 4
    back = read_corpus(path)
    assert [(e.words, e.entities, e.images) for e in back] == [(e.words, e.entities, e.images) for e in corpus]
    assert os.listdir(tmp_path / "deep") == [path.name]
    if ending == ".txt":
        assert path.read_text() == TEXT


def test_schemes_are_written(corpus, tmp_path):
    write_corpus(corpus, tmp_path / "a.txt", scheme="bilou")
    assert "Anna\tB-PER\nLind\tL-PER\n" in (tmp_path / "a.txt").read_text()
    assert "Rome\tU-LOC" in (tmp_path / "a.txt").read_text()
    assert read_corpus(tmp_path / "a.txt")[0].entities == corpus[0].entities


def test_a_file_that_cannot_be_written_whole_is_not_written(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"tokens": ["a"]}\n{"text": ""}\n')
    (tmp_path / "out.txt").write_text("before")
    with pytest.raises(InputError, match="expected a first word"):
        write_corpus(read_corpus(tmp_path / "rows.jsonl"), tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == "before"
    assert sorted(os.listdir(tmp_path)) == ["out.txt", "rows.jsonl"]


def test_an_unknown_ending_is_refused(corpus, tmp_path):
    with pytest.raises(DataError, match=r"expected a file that ends in one of \.txt, \.jsonl, \.parquet, found \.xls"):
        write_corpus(corpus, tmp_path / "a.xls")


def test_pictures_are_copied_under_their_ids(corpus, tmp_path):
    out = tmp_path / "out"
    assert write_pictures(corpus, out / "images") == 2
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    assert found == ["images/p.jpg", "images/x/q.png"]
    write_corpus(corpus, out / "a.txt")
    again = read_corpus(out / "a.txt")
    statuses = [again.picture(again.picture_keys(number)[0]).status for number in range(4)]
    assert statuses == ["used", "used", "missing", "missing"]
    (out / "images" / "p.jpg").write_bytes(b"changed")
    assert corpus.picture(corpus.picture_keys(0)[0]).status == "used"


def test_two_pictures_of_one_id_are_refused(corpus, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "p.jpg").write_bytes(b"another")
    with pytest.raises(DataError, match="expected one picture of this id, found two that differ"):
        write_pictures(corpus, tmp_path / "out")


def test_embedded_pictures_become_files(corpus, tmp_path):
    write_corpus(corpus, tmp_path / "a.parquet")
    embedded = read_corpus(tmp_path / "a.parquet")
    assert write_pictures(embedded, tmp_path / "out") == 2
    assert (tmp_path / "out" / "p.jpg").read_bytes() == (tmp_path / "in" / "images" / "p.jpg").read_bytes()
    assert (tmp_path / "out" / "x" / "q.png").exists()
