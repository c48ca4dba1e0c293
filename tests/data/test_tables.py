import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Image, List, Value, disable_progress_bars
from PIL import Image as Pillow

from babelens.data import DataError, read_corpus
from babelens.data.reading import from_dataset
from babelens.data.tables import write_parquet
from babelens.schema import Entity

disable_progress_bars()
NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


@pytest.fixture
def picture(tmp_path):
    Pillow.new("RGB", (3, 2), (9, 9, 9)).save(tmp_path / "p.png")
    return (tmp_path / "p.png").read_bytes()


@pytest.fixture
def hub_like(picture):
    """Rows as data sets of the hub have them: numbers for tags, pictures as bytes or as a path."""
    features = Features(
        {
            "id": Value("string"),
            "tokens": List(Value("string")),
            "ner_tags": List(ClassLabel(names=NAMES)),
            "image": Image(decode=False),
            "other": Value("float32"),
        }
    )
    rows = {
        "id": ["a", "b", "c"],
        "tokens": [["Anna", "Lind"], ["Rome"], ["x", "y"]],
        "ner_tags": [[1, 2], [4], [0, 0]],
        "image": [{"bytes": picture, "path": "p.png"}, {"bytes": b"broken", "path": None}, None],
        "other": [0.0, 1.0, 2.0],
    }
    return Dataset.from_dict(rows, features=features)


def assert_hub_like(corpus):
    assert [example.words for example in corpus] == [("Anna", "Lind"), ("Rome",), ("x", "y")]
    assert [example.entities for example in corpus] == [(Entity(0, 2, "PER"),), (Entity(0, 1, "LOC"),), ()]
    assert [example.id for example in corpus] == ["a", "b", "c"]
    assert corpus.violations == 1
    assert [example.images for example in corpus] == [("p.png",), ("row-2-1",), ()]
    statuses = [corpus.picture(key).status for number in range(3) for key in corpus.picture_keys(number)]
    assert statuses == ["used", "unreadable"]


def test_a_hub_data_set_is_a_corpus(hub_like):
    assert_hub_like(from_dataset(hub_like))
    assert [example.id for example in from_dataset(hub_like.select([2, 0]))] == ["c", "a"]


def test_parquet_of_the_hub(hub_like, tmp_path):
    hub_like.to_parquet(tmp_path / "train-00000-of-00001.parquet")
    corpus = read_corpus(tmp_path)
    assert_hub_like(corpus)
    assert corpus[0].id == "a"


def test_parquet_with_names_for_tags(tmp_path):
    table = pa.table({"words": [["a"], ["b", "c"]], "tags": [["S-X"], ["B-Y", "E-Y"]]})
    pq.write_table(table, tmp_path / "a.parquet")
    corpus = read_corpus(tmp_path / "a.parquet")
    assert [example.entities for example in corpus] == [(Entity(0, 1, "X"),), (Entity(0, 2, "Y"),)]
    assert corpus.violations == 0


def test_faults_of_tables(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"tokens": [["a"], ["b"], None], "ner_tags": [[7], [0, 0], [0]]}), path)
    with pytest.raises(DataError) as caught:
        read_corpus(path)
    assert [problem.line for problem in caught.value.problems] == [1, 2, 3]
    pq.write_table(pa.table({"sentence": ["a"]}), path)
    with pytest.raises(DataError, match="expected a column text, tokens or words, found sentence"):
        read_corpus(path)
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DataError, match="expected a Parquet file"):
        read_corpus(path)


@pytest.fixture
def corpus(tmp_path, picture):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(picture)
    (tmp_path / "images" / "2.png").write_bytes(picture)
    text = "Zoë met Ana"
    rows = [
        {"id": "r", "text": text, "entities": [{"start": 0, "end": 3, "type": "PER"}], "image": "1", "language": "en"},
        {"tokens": ["a", "b"], "ner_tags": ["B-LOC", "B-LOC"], "image": "2", "group": "g", "source": "s"},
        {"tokens": ["c"], "image": "gone"},
        {"text": ""},
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return read_corpus(tmp_path / "rows.jsonl")


def test_a_corpus_through_parquet_is_the_same(corpus, tmp_path, picture):
    assert write_parquet(corpus, tmp_path / "out.parquet") == 4
    back = read_corpus(tmp_path / "out.parquet")
    assert list(back) == list(corpus)
    (one,), (two,), (gone,) = (back.picture_keys(number) for number in range(3))
    assert one == two
    assert back.picture_source(one) == picture
    assert back.picture(gone).status == "missing"
    assert len(pq.read_table(tmp_path / "out.parquet")) == 4


def test_a_corpus_as_a_data_set(corpus, tmp_path):
    dataset = corpus.to_dataset()
    assert dataset.features["ner_tags"].feature.names == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert dataset["ner_tags"][:] == [[3, 0, 0], [1, 1], [0], []]
    assert dataset[0]["image"] == {"bytes": None, "path": str(tmp_path.resolve() / "images" / "1.png")}
    assert dataset[2]["image"] == {"bytes": None, "path": "gone"}
    assert dataset.cache_files
    back = from_dataset(dataset, images=tmp_path / "images")
    assert [example.entities for example in back] == [example.entities for example in corpus]
    assert [example.offsets for example in back] == [example.offsets for example in corpus]
    assert back.picture(back.picture_keys(0)[0]).status == "used"
    assert "image" not in corpus.select([3]).to_dataset().column_names


def test_many_embedded_pictures_are_found_by_their_bytes(tmp_path):
    rng = np.random.default_rng(0)
    contents = [bytes(rng.integers(0, 256, 20, np.uint8)) for _ in range(300)]
    rows = {"tokens": [["a"]] * 600, "image": [{"bytes": contents[n % 300], "path": f"{n}"} for n in range(600)]}
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    corpus = read_corpus(tmp_path / "a.parquet")
    keys = [corpus.picture_keys(number)[0] for number in range(600)]
    assert keys[:300] == keys[300:]
    assert len(set(keys)) == 300
    assert [corpus.picture_source(key) for key in keys[:300]] == contents
