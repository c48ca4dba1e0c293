import subprocess
import sys

import pytest

from babelens.data import Corpus, read_corpus
from babelens.data.picture_marks import find_mentions, is_telling, picture_name, same_content, same_name


def write(folder, rows, files=()):
    """A corpus with a row for each (picture, words), of which `files` are there."""
    (folder / "images").mkdir(parents=True)
    for name, content in dict(files).items():
        (folder / "images" / name).write_bytes(content)
    blocks = [f"IMGID:{image}\n" + "".join(f"{word}\tO\n" for word in words.split()) for image, words in rows]
    (folder / "train.txt").write_text("\n".join(blocks), encoding="utf-8")
    return read_corpus(folder / "train.txt")


def groups(marks):
    """The rows of each mark."""
    by_mark = {}
    for row, mark in zip(marks.rows.tolist(), marks.marks.tolist(), strict=True):
        by_mark.setdefault(mark, set()).add(row)
    return sorted(map(sorted, by_mark.values()))


def names(*corpora):
    return groups(same_name(find_mentions(Corpus.concatenate(corpora))))


@pytest.mark.parametrize(
    ("name", "telling"),
    [
        ("17_06_4705", True),
        ("16_05_01_6", True),
        ("2007_000027", True),
        ("02626611---nuance-overcome-tshirt", True),
        ("O_2845", False),
        ("27", False),
        ("00001", False),
        ("train-en-00001", False),
        ("000000123456", False),
        ("IMG_0123", False),
        ("page-1-2", False),
    ],
)
def test_telling_names(name, telling):
    assert is_telling(name) is telling


def test_names_are_without_folders_and_endings():
    assert [picture_name(image) for image in ("a/17_06_4705.jpg", "x.PNG", "v1.2", "p")] == [
        "17_06_4705",
        "x",
        "v1.2",
        "p",
    ]


def test_telling_names_of_pictures_that_are_not_there(tmp_path):
    one = write(tmp_path / "a", [("17_06_4705", "x"), ("7", "y"), ("16_05_01_6", "z")])
    other = write(tmp_path / "b", [("7", "u"), ("17_06_4705.jpg", "v")])
    assert names(one, other) == [[0, 4]]


def test_a_name_says_nothing_where_both_pictures_can_be_compared(tmp_path):
    rows, files = [("17_06_4705", "x")], {"17_06_4705.jpg": b"1"}
    one, other = write(tmp_path / "a", rows, files), write(tmp_path / "b", rows, {"17_06_4705.jpg": b"22"})
    assert names(one, other) == []
    assert names(one, write(tmp_path / "c", rows)) == [[0, 1]]


def test_short_names_count_between_folders_that_agree_about_them(tmp_path):
    one = write(tmp_path / "a", [("1", "first text"), ("2", "second text"), ("3", "third text")])
    agreeing = write(tmp_path / "b", [("1", "First  text"), ("2", "second text"), ("3", "troisième texte")])
    counting = write(tmp_path / "c", [("1", "something"), ("2", "second text"), ("3", "else")])
    assert names(one, agreeing) == [[0, 3], [1, 4], [2, 5]]
    assert names(one, counting) == []
    # Each two folders are judged by themselves.
    assert names(one, agreeing, counting) == [[0, 3], [1, 4], [2, 5]]


def test_names_in_a_common_folder(tmp_path):
    for language in ("en", "fr"):
        (tmp_path / language).mkdir()
        (tmp_path / language / "train.txt").write_text(f"IMGID:7\n{language}\tO\n", encoding="utf-8")
    assert names(read_corpus(tmp_path)) == [[0, 1]]


def test_files_of_the_same_bytes_are_found_and_others_not_opened(tmp_path, monkeypatch):
    one = write(tmp_path / "a", [("p", "x"), ("q", "y"), ("r", "z")], {"p.jpg": b"123", "q.jpg": b"4567", "r.jpg": b""})
    other = write(tmp_path / "b", [("s", "x"), ("t", "y"), ("u", "z")], {"s.png": b"123", "t.png": b"99", "u.jpg": b""})
    both = Corpus.concatenate([one, other])
    opened = []
    digest = Corpus.content_digest
    monkeypatch.setattr(Corpus, "content_digest", lambda self, key: opened.append(key) or digest(self, key))
    assert groups(same_content(both, find_mentions(both))) == [[0, 3]]
    assert sorted(key[-5:] for key in opened) == ["p.jpg", "s.png"]


@pytest.mark.shared
def test_mmnerd_and_twitter_2017_name_the_same_pictures(shared):
    """What the rule rests on: every name that both have stands beside the same text."""
    # In a process of its own, because type checks on every call of the tests make it several times slower.
    code = """
import sys
from babelens.data import read_corpus
from babelens.data.picture_marks import find_mentions
one, other, third = (
    {mention.name: mention.texts for mention in find_mentions(read_corpus(f"{sys.argv[1]}/{name}")).values()}
    for name in ("mmnerd-en", "twitter2017", "twitter2015")
)
common = set(one) & set(other)
print(len(common), sum(bool(one[name] & other[name]) for name in common), len(set(third) & (set(one) | set(other))))
"""
    command = [sys.executable, "-c", code, str(shared)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "2982 2982 0\n"
