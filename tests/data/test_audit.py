import json
import subprocess
import sys

import msgspec
import pytest

from babelens.data import read_corpus
from babelens.data.audit import audit, differences
from babelens.data.audit_tables import as_tables
from babelens.schema import Entity

LONG = "The new factory of Jaguar in Halewood near Liverpool was opened by the mayor"


def write(path, rows):
    """A corpus of rows (picture, [(word, tag), ...]) as a CoNLL file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = [
        (f"IMGID:{image}\n" if image else "") + "".join(f"{word}\t{tag}\n" for word, tag in words)
        for image, words in rows
    ]
    path.write_text("\n".join(blocks), encoding="utf-8")
    return read_corpus(path)


def plain(text):
    return [(word, "O") for word in text.split()]


ROME = [("In", "O"), ("Rome", "B-LOC")]
AS_ROME = [("In", "O"), ("Rome", "B-ORG")]
CITY = [("Rome", "B-LOC"), ("wins", "O")]


@pytest.fixture
def parts(tmp_path):
    return {
        "train": write(
            tmp_path / "set" / "train.txt",
            [
                ("17_06_1", [("Anna", "B-PER"), ("in", "O"), ("Rome", "B-LOC")]),
                ("00000001---rome", ROME),
                ("00000002---rome", AS_ROME),
                ("00000003---jaguar", plain(LONG)),
                ("00000004---rome", ROME),
            ],
        ),
        "test": write(
            tmp_path / "set" / "test.txt",
            [("00000005---rome", CITY), ("00000006---jaguar", plain(f"{LONG} .")), ("O_2", [("in", "O"), *ROME[1:]])],
        ),
    }


def test_counts_stand_beside_the_published_ones(parts):
    found = audit(parts)
    train, test = found.parts
    assert (train.sentences, train.words, train.entities) == (5, 23, {"LOC": 3, "PER": 1, "ORG": 1})
    assert (test.sentences, test.entities) == (3, {"LOC": 2})
    assert train.published is not None and train.published.entities["MISC"] == 23_621
    assert test.published is not None and test.published.sentences == 2_533
    assert found.publication is not None and "Table 2" in found.publication


def test_labels_by_source(parts):
    found = audit(parts)
    by_source = {(own.source, own.part): (own.sentences, own.entities) for own in found.sources}
    assert by_source == {
        ("tweet", "train"): (1, {"PER": 1, "LOC": 1}),
        ("caption", "train"): (4, {"LOC": 2, "ORG": 1}),
        ("tweet", "test"): (1, {"LOC": 1}),
        ("caption", "test"): (2, {"LOC": 1}),
    }
    assert found.only == {"ORG": "caption", "PER": "tweet"}


def test_repeats_within_and_between_parts(parts):
    found = {(own.kind, own.earlier, own.part): (own.rows, own.examples) for own in audit(parts).repeats}
    within = (2, [("train:3", "train:2"), ("train:5", "train:2")])
    assert found == {
        ("text", "train", "train"): within,
        ("text", "train", "test"): (0, []),
        ("text", "test", "test"): (0, []),
        ("similar text", "train", "train"): within,
        ("similar text", "train", "test"): (1, [("test:3", "train:2")]),
        ("similar text", "test", "test"): (0, []),
        ("near text", "train", "train"): within,
        ("near text", "train", "test"): (2, [("test:2", "train:4"), ("test:3", "train:2")]),
        ("near text", "test", "test"): (0, []),
    }
    assert {own.kind for own in audit(parts, near=False).repeats} == {"text", "similar text"}


def test_conflicts_and_names_of_several_types(parts):
    found = audit(parts)
    assert (found.conflicts.repeated, found.conflicts.texts, found.conflicts.rows) == (1, 1, 3)
    (example,) = found.conflicts.examples
    assert example.text == "In Rome"
    assert [(row.id, row.entities) for row in example.rows] == [
        ("train:2", ("Rome [LOC]",)),
        ("train:3", ("Rome [ORG]",)),
    ]
    assert (found.odd.names, found.odd.mentions, found.odd.top) == (1, 1, [("Rome", {"LOC": 5, "ORG": 1})])


def test_beside_another_corpus(parts, tmp_path):
    other = {
        "train": write(
            tmp_path / "other" / "train.txt", [("17_06_1", [("Anna", "B-PER"), ("in", "O"), ("Rome", "O")])]
        ),
        "test": write(
            tmp_path / "other" / "test.txt", [("1", CITY), ("2", plain("wholly new")), ("3", [("IN", "O"), ROME[1]])]
        ),
    }
    (against,) = audit(parts, {"other": other}).against
    assert against.name == "other"
    shared = {(own.part, own.other): (own.rows, own.kinds, own.any) for own in against.shared}
    none = dict.fromkeys(("picture", "picture name", "group", "text", "similar text", "near text"), 0)
    same = {"text": 1, "similar text": 1, "near text": 1}
    assert shared == {
        ("train", "train"): (1, {**none, **same, "picture name": 1}, 1),
        ("test", "train"): (1, none, 0),
        ("train", "test"): (3, {**none, "similar text": 1, "near text": 1}, 1),
        ("test", "test"): (3, {**none, "text": 1, "similar text": 2, "near text": 2}, 2),
    }
    labels = against.labels
    assert (labels.same, labels.equal, labels.resplit) == (2, 1, 1)
    assert labels.kinds == {"added": 1, "missing": 0, "other type": 0, "other span": 0}
    (example,) = labels.examples
    assert [row.entities for row in example.rows] == [("Anna [PER]", "Rome [LOC]"), ("Anna [PER]",)]


def test_differences():
    a, b, c = Entity(0, 2, "PER"), Entity(3, 4, "LOC"), Entity(6, 9, "ORG")
    assert differences([a, b], [b, a]) == []
    assert differences([a, b], [b]) == [("added", a, None)]
    assert differences([b], [b, c]) == [("missing", None, c)]
    assert differences([a], [Entity(0, 2, "MISC")]) == [("other type", a, Entity(0, 2, "MISC"))]
    assert differences([a, c], [Entity(0, 1, "PER"), Entity(7, 8, "MISC")]) == [
        ("other span", a, Entity(0, 1, "PER")),
        ("other span", c, Entity(7, 8, "MISC")),
    ]
    # The type of the same words goes before a span that overlaps; every entity stands beside one other at most.
    assert differences([Entity(0, 3, "ORG")], [Entity(0, 1, "PER"), Entity(0, 3, "LOC")]) == [
        ("other type", Entity(0, 3, "ORG"), Entity(0, 3, "LOC")),
        ("missing", None, Entity(0, 1, "PER")),
    ]


def test_an_ordinary_corpus_has_no_published_figures_and_its_own_sources(tmp_path):
    corpus = write(tmp_path / "plain" / "train.txt", [("", [("[b]", "B-X"), ("b", "O")])])
    found = audit({"train": corpus})
    assert found.publication is None and found.parts[0].published is None and found.only == {}
    assert [(own.source, own.sentences) for own in found.sources] == [("plain", 1)]
    assert len(list(as_tables(found))) == 4
    assert json.loads(msgspec.json.encode(found))["conflicts"]["texts"] == 0


AUDIT = """
import sys
import msgspec
from babelens.data.audit import audit
from pathlib import Path
from babelens.data.places import find_all
from babelens.data.reading import Reading, read_places
parts = [read_places(find_all(Path(sys.argv[1]) / name), Reading()) for name in ("mmnerd-en", "twitter2017")]
print(msgspec.json.encode(audit(parts[0], {"twitter2017": parts[1]})).decode())
"""


@pytest.mark.shared
def test_mmnerd(shared):
    """What is known of it; by the README of the data sets, but for what only this count tells."""
    # In a process of its own, because type checks on every call of the tests make it several times slower.
    command = [sys.executable, "-c", AUDIT, str(shared)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    train, valid, test = found["parts"]
    assert [part["sentences"] - part["published"]["sentences"] for part in (train, valid, test)] == [2, 0, 0]
    assert train["entities"] == {"MISC": 25_322, "ORG": 7_764, "LOC": 4_742, "PER": 3_344}
    assert found["only"] == {"PER": "tweet"}
    assert {own["source"] for own in found["sources"]} == {"tweet", "caption"}
    between = {(own["kind"], own["earlier"], own["part"]): own["rows"] for own in found["repeats"]}
    parts = [("train", "valid"), ("train", "test"), ("valid", "test")]
    assert [between["text", *pair] for pair in parts] == [0, 0, 0]
    assert [between["similar text", *pair] for pair in parts] == [0, 2, 0]
    assert found["conflicts"]["texts"] == 0
    (against,) = found["against"]
    shares = {(own["part"], own["other"]): own["kinds"] for own in against["shared"]}
    assert shares["train", "test"]["similar text"] == 351
    assert (against["labels"]["same"], against["labels"]["equal"]) == (2936, 2925)
