import csv
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babelens.build.caption_fields import Layout
from babelens.build.caption_readers import read_captions
from babelens.build.captions import Rules, take_captions
from babelens.build.gate import BadRows
from babelens.build.rows import Bad, entities_fault
from babelens.data import DataError, read_corpus

RECORDS = [
    {"image_file": "a.jpg", "caption": 'a "big" house, in Lyon', "url": "https://x/a.jpg", "lang_id": "en"},
    {"image_file": "a.jpg", "caption": "une grande maison à Lyon", "url": "https://x/a.jpg", "lang_id": "fr_XX"},
    {"image_file": "b.jpg", "caption": "ein Haus\tin Köln", "url": "", "lang_id": "de_DE"},
]
PICTURE = {"url": "https://x/a.jpg", "image": "a.jpg", "group": "a.jpg"}
ROWS = [
    {"text": 'a "big" house, in Lyon', "language": "en", **PICTURE},
    {"text": "une grande maison à Lyon", "language": "fr_XX", **PICTURE},
    {"text": "ein Haus\tin Köln", "language": "de_DE", "image": "b.jpg", "group": "b.jpg"},
]


def write(path, records, delimiter="\t", **how):
    """As the makers of the multilingual Conceptual 12M have written theirs."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(records[0]), delimiter=delimiter, **how)
        writer.writeheader()
        writer.writerows(records)


def rows(*sources, **layout):
    return list(read_captions([str(source) for source in sources], Layout(**layout)).rows())


def written(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def bare(found):
    return [{name: value for name, value in row.items() if name not in ("id", "source")} for row in found]


@pytest.mark.parametrize(
    "name", ["train.tsv", "train.csv", "train.tsv.gz", "train.jsonl", "train.jsonl.gz", "train.parquet"]
)
def test_the_same_captions_in_every_kind_of_file(tmp_path, name):
    path = tmp_path / name
    if ".jsonl" in name:
        with (gzip.open if path.suffix == ".gz" else open)(path, "wt") as file:
            file.writelines(json.dumps(record) + "\n" for record in RECORDS)
    elif name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(RECORDS), path)
    else:
        write(path, RECORDS, "," if name.endswith(".csv") else "\t")
    found = rows(path)
    first = 1 if ".jsonl" in name or name.endswith(".parquet") else 2  # tables have a line of names
    assert [row["id"] for row in found] == [f"train:{number}" for number in range(first, first + 3)]
    assert {row["source"] for row in found} == {"train"}
    if ".jsonl" in name:  # where any field may stand, none is taken for another
        expected = [{key: value for key, value in row.items() if key != "group"} for row in ROWS]
        assert [{k: v for k, v in row.items() if k != "group"} for row in bare(found)] == expected
    else:
        assert bare(found) == ROWS


def test_columns_are_named_and_headers_given(tmp_path):
    path = tmp_path / "cc.tsv"
    path.write_text('https://x/1.jpg\t"Hello, said the man\nhttps://x/2.jpg\tAn old "bridge"\nhttps://x/1.jpg\tagain\n')
    columns = {"text": "ALT", "image": "WHERE"}
    found = rows(f"en={path}", columns=columns, header=("WHERE", "ALT"), quotes=False, source="cc")
    assert [row["text"] for row in found] == ['"Hello, said the man', 'An old "bridge"', "again"]
    assert [row["id"] for row in found] == ["cc:1", "cc:2", "cc:3"]
    assert found[0]["url"] == "https://x/1.jpg"
    assert found[0]["image"] == found[2]["image"] != found[1]["image"]
    assert {(row["language"], row["source"]) for row in found} == {("en", "cc")}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12), min_size=1, max_size=6
    )
)
def test_tables_of_any_text_come_back(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("any") / "any.csv"
    write(path, [{"caption": text, "lang": "en", "image": f"{i}.jpg"} for i, text in enumerate(texts)], ",")
    found = rows(path)
    assert [row["text"] for row in found] == texts
    starts = [2]
    for text in texts:
        starts.append(starts[-1] + 1 + text.count("\n"))
    assert [row["id"] for row in found] == [f"any:{line}" for line in starts[:-1]]


def test_faults_of_tables_are_told_by_their_lines(tmp_path):
    path = tmp_path / "bad.tsv"
    good = b"1.jpg\tgood text\ten\n"
    lines = [
        b"image\tcaption\tlang\n",
        good,
        b"only\n",
        good,
        b"x\tcaf\xe9 text\ten\n",
        b'"open\t"quote"x\ten\n',
        b"\n",
        good,
    ]
    path.write_bytes(b"".join(lines) + b"a\tb\tc\td\n")
    found = rows(path)
    assert [row["id"] for row in found if isinstance(row, dict)] == ["bad:2", "bad:4", "bad:8"]
    assert [str(row.problem) for row in found if isinstance(row, Bad)] == [
        f"{path}:3: expected 3 columns, found 1",
        f"{path}:5: expected UTF-8, found the byte 0xE9 at 5",
        f"{path}:6: expected a record of 3 columns, found '\t' expected after '\"'; "
        "--no-quotes reads quotation marks as they stand",
        f"{path}:9: expected 3 columns, found 4",
    ]
    with pytest.raises(BadRows, match=r"(?s)bad\.tsv:3.*bad\.tsv:5.*bad\.tsv:6.*bad\.tsv:9.*--skip-bad"):
        take_captions(read_captions([str(path)]), tmp_path / "out", Rules(min_words=1))
    summary = take_captions(read_captions([str(path)]), tmp_path / "out", Rules(min_words=1), skip_bad=True)
    assert summary.counts["did"] == {"dropped": {"repeat": 2}, "kept": {"": 1}, "unreadable": {"": 4}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.tsv", b"", "expected a line with the names of the columns, found an empty file"),
        ("text.tsv", b"a\tb\n1\t2\n", "expected a column caption or text or sentence, or --column text=NAME, found"),
        ("spoken.csv", b"caption\nx\n", "expected a column lang_id or language or lang, or --column language=NAME"),
        ("table.xlsx", b"PK", "expected a directory, or a file that ends in .tsv"),
        ("table.parquet", b"no", "expected a Parquet file"),
    ],
)  # fmt: skip
def test_sources_that_cannot_be_read(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        rows(tmp_path / name)


def test_a_source_that_is_not_there_or_named_twice(tmp_path):
    with pytest.raises(DataError, match="expected a file, a data directory or hub:NAME"):
        rows(tmp_path / "nothing.tsv")
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "train.tsv", RECORDS)
    with pytest.raises(DataError, match="sources of different names"):
        rows(tmp_path / "one/train.tsv", tmp_path / "two/train.tsv")
    with pytest.raises(DataError, match="--column: expected one of id, text"):
        rows(tmp_path / "one/train.tsv", columns={"caption": "x"})


def test_a_gzip_file_that_was_cut(tmp_path):
    path = tmp_path / "cut.tsv.gz"
    write(path, [{**record, "caption": f"{record['caption']} {i}"} for i in range(500) for record in RECORDS])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="expected a whole gzip file"):
        rows(path)


def test_jsonl_keeps_other_fields_and_checks_entities(tmp_path):
    path = tmp_path / "tweets.jsonl"
    entity = {"start": 3, "end": 7, "label": "LOC", "score": 0.9}
    lines = [
        {"id": 7, "text": "in Rome", "language": None, "event": {"a": [1]}, "entities": [entity]},
        {"id": "8", "text": "in Rome", "entities": [{"start": 3, "end": 9, "type": "LOC"}]},
        {"id": "7", "text": "in Rome"},
        {"text": 5},
        {"title": "x"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    first, *others = rows(path)
    assert first == {
        "id": "7",
        "text": "in Rome",
        "event": {"a": [1]},
        "entities": [{"start": 3, "end": 7, "type": "LOC", "text": "Rome", "score": 0.9}],
        "source": "tweets",
    }
    assert [(row.problem.expected, row.problem.found) for row in others] == [
        ("an entity within 0..7", "3..9"),
        ("an id that no other row has", "'7'"),
        ("a text as text", "5"),
        ("a caption or a text", "title"),
    ]


def test_labelled_corpora_keep_their_entities(tmp_path):
    (tmp_path / "set").mkdir()
    block = "IMGID:17_1\nAnna\tB-PER\nvisits\tO\nNew\tB-OTHER\nYork\tI-OTHER\n\u00a0\tO\n\n"
    (tmp_path / "set/train.txt").write_text(block + "IMGID:17_2\nno\tO\nname\tO\nhere\tO\n\n")
    (tmp_path / "set/test.txt").write_text("alone\tO\n\n")
    summary = take_captions(read_captions([f"en={tmp_path / 'set'}"]), tmp_path / "out", Rules(types={"OTHER": "MISC"}))
    found = written(tmp_path / "out/rows.jsonl")
    assert summary.counts["did"] == {"changed": {"blanks, types": 1}, "dropped": {"too few words": 1}, "kept": {"": 1}}
    assert (found[0]["text"], found[0]["image"], found[0]["language"]) == ("Anna visits New York", "17_1", "en")
    assert found[0]["entities"] == [
        {"start": 0, "end": 4, "text": "Anna", "type": "PER"},
        {"start": 12, "end": 20, "text": "New York", "type": "MISC"},
    ]
    assert found[1]["entities"] == []


@pytest.mark.shared
@pytest.mark.parametrize("name", ["twitter2015", "twitter2017"])
def test_tweets_as_they_are_published(shared, tmp_path, name):
    rules = Rules(types={"OTHER": "MISC"}, min_words=1)
    path = shared / name / "valid.txt"
    summary = take_captions(read_captions([f"en={path}"]), tmp_path / "out", rules)
    corpus = read_corpus(path, types={"OTHER": "MISC"})
    words = {f"valid:en/{example.id}": example for example in corpus}
    count = 0
    for row in written(tmp_path / "out/rows.jsonl"):
        example = words[row["id"]]
        assert entities_fault(row["entities"], row["text"]) is None
        # Words of blanks alone are gone from the text; names have none, once their blanks are made one.
        expected = [" ".join(" ".join(example.words[one.start : one.end]).split()) for one in example.entities]
        assert [entity["text"] for entity in row["entities"]] == expected
        count += 1
    assert count == summary.counts["rows"] > 0.9 * len(corpus)
    assert "entities" not in summary.counts["did"].get("dropped", {})


@pytest.mark.shared
def test_event_tweets_keep_their_pictures(shared, tmp_path):
    path = shared / "event-tweets/tweets.jsonl"
    given = {record["id"]: record for record in written(path)}
    summary = take_captions(read_captions([str(path)]), tmp_path / "out", Rules(languages=("en", "es", "fr", "de")))
    found = written(tmp_path / "out/rows.jsonl")
    assert summary.counts["read"] == len(given) == 906
    assert summary.counts["did"]["dropped"]["language"] == sum(not record["language"] for record in given.values())
    for row in found:
        assert (row["image"], row["event"]) == (given[row["id"]]["image"], given[row["id"]]["event"])


def test_a_data_set_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "local-set"
    folder.mkdir()
    for part in ("test", "train"):
        (folder / f"{part}.jsonl").write_text(
            "".join(
                json.dumps({**record, "caption": f"{record['caption']} {part}", "more": 1}) + "\n" for record in RECORDS
            )
        )
    found = rows(f"hub:{folder}")
    assert [row["id"] for row in found[2:4]] == ["local-set:train:3", "local-set:test:1"]
    assert [row["text"] for row in found[:2]] == [f"{record['caption']} train" for record in RECORDS[:2]]
    assert found[0] == {**ROWS[0], "text": found[0]["text"], "id": "local-set:train:1", "source": "local-set"}
    with pytest.raises(DataError, match="expected a Hugging Face data set within reach"):
        rows("hub:" + str(tmp_path / "nothing"))
    with pytest.raises(DataError, match="expected hub:NAME or hub:NAME:CONFIGURATION, found no name"):
        rows("hub:")
