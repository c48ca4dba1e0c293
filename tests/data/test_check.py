import pytest
from PIL import Image

from babelens.data.check import check, lost_words
from babelens.data.places import find_all
from babelens.data.reading import Reading
from babelens.schema import Example


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (2, 2)).save(images / "one.jpg")
    (images / "copy.jpg").write_bytes((images / "one.jpg").read_bytes())
    (images / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    train = "IMGID:one\nAnna\tB-PER\n\u200b\tO\nsaid\tI-LOC\n\nIMGID:gone\nx\tO\n\nIMGID:one\nx\tO\n\n"
    (tmp_path / "train.txt").write_text(train, encoding="utf-8")
    (tmp_path / "valid.txt").write_text("IMGID:copy\nX\tB-NEW\n\nIMGID:broken\ny\tO\n\n")
    (tmp_path / "test.txt").write_text("bad\nx\tPER\n")
    return tmp_path


def test_all_that_is_wrong_or_odd(folder):
    told = []
    report = check(find_all(folder), Reading(), progress=lambda *step: told.append(step))
    train, valid, test = report.parts
    assert (train.rows, train.words, train.entities, train.scheme) == (3, 5, {"PER": 1, "LOC": 1}, "iob2")
    assert train.violation_examples == [f"{folder}/train.txt:4: 'said'"]
    assert (train.lost_words, train.lost_characters) == (1, {"U+200B ZERO WIDTH SPACE": 1})
    assert train.lost_examples == [f"{folder}/train.txt:3: '\\u200b'"]
    assert (train.repeated_texts, train.repeated_ids) == (1, 0)
    assert train.pictures == {"used": 2, "missing": 1}
    assert train.picture_examples == [f"{folder}/images/gone: missing (no such picture)"]
    assert valid.pictures == {"used": 1, "unreadable": 1}
    assert test.fault_total == 2
    assert test.faults[0].startswith(f"{folder}/test.txt:1: expected 2 columns")
    assert report.unknown_types == {"valid": ["NEW"]}
    assert report.shared == [
        "train and valid share 1 x similar text (first: rows train:2 and valid:1)",
        "train and valid share 1 x picture of the same bytes (first: one.jpg, copy.jpg)",
    ]
    assert (report.faulty, report.violations, report.bad_pictures) == (True, 1, 2)
    assert told[-1] == ("files", 3, 3)


def test_a_clean_corpus(tmp_path):
    (tmp_path / "train.txt").write_text("a\tB-X\n")
    report = check(find_all(tmp_path), Reading())
    assert (report.faulty, report.violations, report.bad_pictures, report.shared) == (False, 0, 0, [])


def test_types_are_known_where_they_are_renamed(folder):
    report = check(find_all(folder), Reading(types={"NEW": "PER"}), pictures=False)
    assert report.unknown_types == {}
    assert report.parts[0].pictures == {}


@pytest.mark.parametrize(
    "word", ["\u200b", "\xad", "\ufffd", "\xa0", "\x00", "\x92", "\uf0d8", "\u200b\ufeff", "\u2028"]
)
def test_words_that_tokenizers_lose(word):
    from tokenizers.normalizers import BertNormalizer

    assert BertNormalizer(lowercase=False).normalize_str(word).strip() == ""
    assert list(lost_words(Example("", ("a", word)))) == [(1, word)]


@pytest.mark.parametrize("word", ["a", "a\u200b", "٣", "#", "👍", "।", "中", "́"])
def test_words_that_tokenizers_keep(word):
    from tokenizers.normalizers import BertNormalizer

    assert BertNormalizer(lowercase=False).normalize_str(word).strip() != ""
    assert list(lost_words(Example("", (word,)))) == []


def test_boxes_are_counted_and_those_of_unknown_pictures_named(folder):
    (folder / "test.txt").unlink()
    lines = ['{"image": "one", "boxes": [[0, 0, 1, 1]]}', '{"image": "gone.jpg", "boxes": []}']
    lines += [f'{{"image": "{name}", "boxes": [[0, 0, 1, 1]]}}' for name in ("gone", "new", "copy.jpg", "x")]
    (folder / "boxes.jsonl").write_text("\n".join(lines))
    report = check(find_all(folder), Reading(), pictures=False)
    assert [part.boxed for part in report.parts] == [2, 1]
    assert report.unknown_boxed == 3
    assert report.unknown_boxed_examples == [f"{folder}/boxes.jsonl: {name}" for name in ("gone.jpg", "new", "x")]
    (folder / "boxes.jsonl").write_text("[]")
    report = check(find_all(folder), Reading(), pictures=False)
    assert "expected an object with image and boxes" in report.parts[0].faults[0] and report.unknown_boxed == 0
