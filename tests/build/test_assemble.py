import io
import json
import os
import shutil
from collections import Counter
from functools import cache
from hashlib import sha256
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from babelens.build.assemble import Wish, assemble
from babelens.build.assemble_inputs import Source, parse_source
from babelens.build.card import Card
from babelens.data.check import check
from babelens.data.journal import JournalError
from babelens.data.places import find_all
from babelens.data.problems import DataError
from babelens.data.reading import make_reading, read_corpus, read_split
from babelens.schema import Entity, InputError

FIRST = ["Anna", "Marie", "Jean", "Olga", "Carlos", "Fatima", "Li", "Sven", "Aoife", "Kofi", "Ines", "Tom"]
CITIES = ["Lyon", "Köln", "Bogotá", "Oslo", "Kyoto", "Accra", "Gdańsk", "Porto", "Quito", "Hanoi", "Riga", "Turin"]
DOINGS = ["sings at the opera of", "opened a small bakery in", "scored twice against", "flies tomorrow morning to"]


def scene(seed, size=(96, 72), kind="JPEG"):
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(file, kind)
    return file.getvalue()


def sentence(number):
    """A sentence that is like no other, with its entities."""
    first, city = FIRST[number % 12], CITIES[(number // 12 + number) % 12]
    own = sha256(b"%d" % number).hexdigest()[:24]
    text = f"{first} {number}{number * 7919 % 1000:03} 👩‍🎤 {DOINGS[number % 4]} {city} {own}"
    at = text.index(city)
    return text, [
        {"start": 0, "end": len(first), "text": first, "type": "PER", "score": number / 1000},
        {"start": at, "end": at + len(city), "text": city, "type": "LOC"},
    ]


def row_of(number, **fields):
    text, entities = sentence(number)
    return {"id": f"r{number}", "text": text, "language": "en", "entities": entities, **fields}


def write(folder, rows, pictures=None, step=True):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    if step:
        counts = {"read": len(rows) + 1, "rows": len(rows), "did": {"kept": {"": len(rows)}, "dropped": {"words": 1}}}
        (folder / "step.json").write_text(json.dumps({"step": "gold", "options": {"seed": 3}, "counts": counts}))
    if pictures:
        (folder / "images").mkdir()
        for name, content in pictures.items():
            (folder / "images" / name).write_bytes(content)
    return Source(str(folder))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows_of(out):
    return {row["id"]: (part, row) for part in ("train", "valid", "test") for row in lines(out / f"{part}.jsonl")}


def told(out):
    return {line["id"]: line for line in lines(out / "provenance.jsonl")}


@pytest.fixture
def gold(tmp_path):
    """60 rows in two languages with pictures, two of which show the same, and one of which is gone."""
    pictures = {f"p{number}.jpg": scene(number) for number in range(0, 60, 3)}
    rows = []
    for number in range(60):
        more = {"image": f"p{number}"} if f"p{number}.jpg" in pictures else {}
        rows.append(row_of(number, language="fr" if number % 4 == 1 else "en", event=f"e{number % 5}", **more))
    rows[1]["image"] = "gone.jpg"
    rows[2] |= {"image": "p3", "group": "g1"}
    rows[40]["group"] = "g1"
    rows[5]["entities"] = []
    return write(tmp_path / "gold", rows, pictures)


@pytest.fixture
def tweets(tmp_path):
    """20 rows of CoNLL; the first two repeat rows of `gold`, one of them with other labels."""
    folder = tmp_path / "tweets"
    (folder / "images").mkdir(parents=True)
    blocks = []
    for number in [0, 4, *range(100, 118)]:
        text, entities = sentence(number)
        words = text.split()
        types = {entity["text"]: entity["type"] for entity in entities}
        if number == 4:
            types = {}
        tags = [f"B-{types[word]}" if word in types else "O" for word in words]
        image = f"IMGID:t{number}\n" if number % 2 else ""
        blocks.append(image + "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)))
        if number % 2:
            (folder / "images" / f"t{number}.png").write_bytes(scene(number, kind="PNG"))
    (folder / "train.txt").write_text("\n".join(blocks))
    return parse_source(f"en={folder}")


def test_all_files_say_the_same(gold, tweets, tmp_path):
    out = tmp_path / "out"
    summary = assemble([gold, tweets], out)
    rows = rows_of(out)
    assert summary.counts["read"] == 80
    assert summary.counts["rows"] == len(rows) == 78
    parts = summary.counts["parts"]
    assert sum(parts.values()) == 78
    assert all(abs(parts[name] - share * 78) < 2 for name, share in (("train", 0.8), ("valid", 0.1), ("test", 0.1)))
    for part in ("train", "valid", "test"):
        own = read_split(out, part)
        words = read_corpus(out / "conll" / f"{part}.txt", images=out / "images")
        table = read_corpus(out / "parquet" / f"{part}.parquet")
        assert len(own) == len(words) == len(table) == summary.counts["parts"][part]
        for number, (row, plain, kept) in enumerate(zip(own, words, table, strict=True)):
            assert row == kept
            assert (row.words, row.entities, row.images) == (plain.words, plain.entities, plain.images)
            keys = [corpus.picture_keys(number) for corpus in (own, words, table)]
            contents = [
                [corpus.picture_content(key) for key in found]
                for corpus, found in zip((own, words, table), keys, strict=True)
            ]
            assert contents[0] == contents[1] == contents[2]
            assert None not in contents[0]
            for entity in rows[row.id][1]["entities"]:
                assert row.text[entity["start"] : entity["end"]] == entity["text"]


def test_rows_keep_all_that_they_had(gold, tweets, tmp_path):
    assemble([gold, tweets], tmp_path / "out")
    made = rows_of(tmp_path / "out")
    for row in lines(tmp_path / "gold" / "rows.jsonl"):
        _, new = made[row["id"]]
        for name, value in row.items():
            if name != "image":
                assert new[name] == value, name
        if row.get("image") and row["image"] != "gone.jpg":
            assert new["image"] == f"{row['image']}.jpg"
    assert "image" not in made["r1"][1]
    assert made["r1"][1]["missing_images"] == ["gone.jpg"]
    _, tweet = made["en/train:3"]
    assert tweet["text"] == sentence(100)[0]
    assert (tweet["language"], tweet["source"]) == ("en", "tweets")


def test_provenance_tells_of_each_row_read(gold, tweets, tmp_path):
    out = tmp_path / "out"
    assemble([gold, tweets], out)
    found = told(out)
    assert len(found) == 80
    made = rows_of(out)
    assert {id for id, line in found.items() if line["did"] != "dropped"} == set(made)
    assert all(found[id]["part"] == part for id, (part, _) in made.items())
    copy = {"input": "tweets", "did": "dropped", "why": "same text"}
    assert found["en/train:1"] == {"id": "en/train:1", **copy, "of": "r0", "labels": "the same"}
    assert found["en/train:2"] == {"id": "en/train:2", **copy, "of": "r4", "labels": "others"}
    assert found["r1"]["picture_missing"] == ["gone.jpg"]
    step = json.loads((out / "step.json").read_text())
    assert step["counts"]["did"] == {
        "changed": {"picture missing": 1},
        "dropped": {"same text": 2},
        "kept": {"": 77},
    }
    assert step["counts"]["labels_of_copies_that_differ"] == 1


def test_the_earlier_input_wins(gold, tweets, tmp_path):
    assemble([tweets, gold], tmp_path / "out")
    found = told(tmp_path / "out")
    assert (found["r0"]["did"], found["r0"]["of"]) == ("dropped", "en/train:1")


def test_check_finds_nothing(gold, tweets, tmp_path):
    out = tmp_path / "out"
    assemble([gold, tweets], out)
    report = check(find_all(out), make_reading(None, None, None, None, True, None))
    assert not report.faulty
    assert report.shared == []
    assert (report.bad_pictures, report.violations) == (0, 0)
    assert not any(part.widened or part.repeated_ids or part.repeated_texts for part in report.parts)
    assert sum(sum(part.pictures.values()) for part in report.parts) == 30


def test_the_same_bytes_whatever_the_folder(gold, tweets, tmp_path):
    for name in ("one", "two"):
        assemble([gold, tweets], tmp_path / name)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 44
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes(), path


def test_done_is_done_and_other_options_are_refused(gold, tmp_path):
    out = tmp_path / "out"
    assert not assemble([gold], out).before
    assert assemble([gold], out).before
    with pytest.raises(JournalError, match="other options or another input"):
        assemble([gold], out, Wish(seed=1))


def test_sums_are_those_of_the_files(gold, tmp_path):
    out = tmp_path / "out"
    assemble([gold], out)
    sums = dict(reversed(line.split("  ")) for line in (out / "SHA256SUMS").read_text().splitlines())
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files - set(sums) == {"SHA256SUMS", "step.json"}
    for name, digest in sums.items():
        assert sha256((out / name).read_bytes()).hexdigest() == digest


def test_a_leak_leaves_nothing(gold, tmp_path, monkeypatch):
    def torn(unit, language, types, shares, seed):
        return np.arange(len(unit)) % 3

    monkeypatch.setattr("babelens.build.assemble.divide", torn)
    with pytest.raises(InputError, match=r"expected parts that share nothing, found .* picture"):
        assemble([gold], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / ".out.new").exists()


def test_rows_that_cannot_be_used_are_left_out(tmp_path):
    rows = [row_of(number) for number in range(30)]
    del rows[3]["entities"]
    rows[4] |= {"text": " ", "entities": []}
    assemble([write(tmp_path / "in", rows)], tmp_path / "out")
    found = told(tmp_path / "out")
    assert {id: line["why"] for id, line in found.items() if line["did"] == "dropped"} == {
        "r3": "no labels",
        "r4": "words",
    }


def test_ids_that_repeat(tmp_path):
    one = write(tmp_path / "one", [row_of(number) for number in range(15)])
    other = write(tmp_path / "other", [row_of(number + 50) | {"id": f"r{number}"} for number in range(10)])
    assemble([one, other], tmp_path / "out")
    found = told(tmp_path / "out")
    assert set(found) == {f"{name}/r{n}" for name in ("one", "other") for n in range(10)} | {
        f"r{n}" for n in range(10, 15)
    }
    assert found["other/r3"]["was"] == "r3"


def test_pictures_of_one_name_stay_two(tmp_path):
    sources = []
    for number in range(2):
        rows = [row_of(100 * number + n, id=f"{number}-{n}") for n in range(15)]
        rows[0]["image"] = "27"
        sources.append(write(tmp_path / str(number), rows, {"27.jpg": scene(number)}))
    assemble(sources, tmp_path / "out")
    made = rows_of(tmp_path / "out")
    for number in range(2):
        image = made[f"{number}-0"][1]["image"]
        assert image.startswith("27-")
        assert (tmp_path / "out" / "images" / image).read_bytes() == scene(number)


def near_rows(tmp_path):
    rows = [row_of(number) for number in range(30)]
    rows[0]["image"], rows[1]["image"], rows[2]["image"] = "small", "large", "large"
    return write(tmp_path / "in", rows, {"small.jpg": scene(1), "large.jpg": scene(1, (192, 144))})


def test_near_pictures_are_in_one_part(tmp_path):
    source = near_rows(tmp_path)
    for seed in range(4):
        out = tmp_path / str(seed)
        assemble([source], out, Wish(seed=seed))
        made = rows_of(out)
        assert len({made[id][0] for id in ("r0", "r1", "r2")}) == 1
        assert made["r0"][1]["image"] == "small.jpg"


def test_one_picture_for_near_ones(tmp_path):
    out = tmp_path / "out"
    assemble([near_rows(tmp_path)], out, Wish(one_picture=True))
    assert [path.name for path in (out / "images").iterdir()] == ["large.jpg"]
    assert rows_of(out)["r0"][1]["image"] == "large.jpg"
    assert told(out)["r0"]["picture_of_another"] == ["small"]


def test_linked_pictures_and_paths_in_tables(gold, tmp_path):
    import pyarrow.parquet as pq

    out = tmp_path / "out"
    assemble([gold], out, Wish(link=True, embed=False))
    assert (out / "images" / "p0.jpg").samefile(tmp_path / "gold" / "images" / "p0.jpg")
    images = pq.read_table(out / "parquet" / "train.parquet")["image"].to_pylist()
    assert all(image is None or image["bytes"] is None for image in images)
    paths = [image["path"] for image in images if image]
    assert paths
    assert all((out / path).is_file() and path.startswith("images/") for path in paths)


def test_tables_are_read_by_datasets(gold, tmp_path):
    from datasets import load_dataset

    out = tmp_path / "out"
    assemble([gold], out)
    found = load_dataset(
        "parquet", data_files={"test": str(out / "parquet" / "test.parquet")}, cache_dir=str(tmp_path / "cache")
    )["test"]
    assert found.features["ner_tags"].feature.names == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert found["id"][:] == [row["id"] for row in lines(out / "test.jsonl")]


def test_shares_of_two_parts(gold, tmp_path):
    out = tmp_path / "out"
    summary = assemble([gold], out, Wish(shares=(3, 1, 0)))
    assert summary.counts["parts"] == {"train": 45, "valid": 15}
    assert not (out / "test.jsonl").exists()


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(shares=(0, 1, 1)), "shares of train, valid and test"),
        (Wish(near_text=0.0), "similarity of texts"),
        (Wish(near_picture=200), "0 to 128 bits"),
    ],
)
def test_wishes_that_cannot_be(gold, tmp_path, wish, words):
    with pytest.raises(InputError, match=words):
        assemble([gold], tmp_path / "out", wish)


def test_inputs_that_cannot_be_read(tmp_path):
    unfinished = write(tmp_path / "in", [row_of(1)], step=False)
    with pytest.raises(DataError, match="the folder of a step that is done"):
        assemble([unfinished], tmp_path / "out")
    with pytest.raises(DataError, match="no such file"):
        assemble([Source(str(tmp_path / "nowhere"))], tmp_path / "out")
    with pytest.raises(InputError, match="at least one input"):
        assemble([], tmp_path / "out")


def test_types_are_renamed(gold, tmp_path):
    out = tmp_path / "out"
    assemble([gold], out, Wish(types={"PER": "O", "LOC": "PLACE"}))
    entities = [entity for _, row in rows_of(out).values() for entity in row["entities"]]
    assert {entity["type"] for entity in entities} == {"PLACE"}


def test_an_assembled_set_is_an_input(gold, tweets, tmp_path):
    assemble([gold, tweets], tmp_path / "one")
    summary = assemble([Source(str(tmp_path / "one"))], tmp_path / "two")
    assert summary.counts["did"] == {"kept": {"": 78}}
    old, new = rows_of(tmp_path / "one"), rows_of(tmp_path / "two")
    assert {id: row for id, (_, row) in old.items()} == {id: row for id, (_, row) in new.items()}


choice = st.none() | st.integers(0, 9)


@cache
def scenes():
    return {f"s{number}.jpg": scene(number // 2, (96 + 48 * (number % 2), 72)) for number in range(10)}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(choice, choice, choice, st.integers(0, 3)), min_size=30, max_size=50), st.integers(0, 9))
def test_no_component_is_torn(tmp_path_factory, drawn, seed):
    """Rows share groups, pictures (2k and 2k + 1 are nearly the same), names of missing ones, and texts."""
    folder = tmp_path_factory.mktemp("graph")
    pictures = scenes()
    rows, shared = [], []
    languages = iter(f"{a}{b}" for a in "abcdefghij" for b in "abcdefghij")
    for number, (group, image, text, kind) in enumerate(drawn):
        group = None if group is None or kind else group
        image = None if image is None or kind > 1 else image
        missing = image is not None and kind == 1
        text = None if text is None or kind != 2 else text
        row = row_of(number if text is None else 500 + text, id=f"r{number}", language=next(languages))
        if group is not None:
            row["group"] = f"g{group}"
        if image is not None:
            row["image"] = f"missing-{image}" if missing else f"s{image}"
        rows.append(row)
        name = None if image is None else f"missing{image}" if missing else image // 2
        shared.append((group, name, text))
    source = write(folder / "in", rows, pictures)
    out = folder / "out"
    try:
        summary = assemble([source], out, Wish(seed=seed))
    except InputError as error:
        assert "units that share" in str(error)
        return
    assert summary.counts["rows"] == len(rows)
    assert summary.counts["leaks"] == 0
    made = rows_of(out)
    for one, other in combinations(range(len(rows)), 2):
        if any(a is not None and a == b for a, b in zip(shared[one], shared[other], strict=True)):
            assert made[f"r{one}"][0] == made[f"r{other}"][0]
    shutil.rmtree(folder)


@pytest.mark.shared
def test_real_corpora(shared, tmp_path):
    """120 captions and tweets without pictures, and 40 entries of directories with theirs."""
    sources = []
    for name, language, number in (("mmnerd-en", "en", 120), ("directories-fr", "fr", 40)):
        folder = tmp_path / name
        folder.mkdir()
        text = (shared / name / "train.txt").read_text(encoding="utf-8")
        (folder / "train.txt").write_text("\n\n".join(text.split("\n\n")[:number]) + "\n\n", encoding="utf-8")
        if (shared / name / "images").is_dir():
            os.symlink(shared / name / "images", folder / "images")
        sources.append(parse_source(f"{language}={folder}"))
    out = tmp_path / "out"
    summary = assemble(sources, out, card=Card(licences={"mmnerd-en": "none stated"}))
    assert (summary.counts["rows"], summary.counts["pictures"], summary.counts["leaks"]) == (160, 40, 0)
    report = check(find_all(out), make_reading(None, None, None, None, False, None))
    assert not report.faulty
    assert report.shared == []
    assert report.bad_pictures == 0
    before = Counter((row.words, row.entities) for source in sources for row in read_corpus(Path(source.place)))
    after = Counter((row.words, row.entities) for row in read_corpus(out))
    assert before == after
    assert all(isinstance(entity, Entity) for _, entities in after for entity in entities)
