import pytest
from PIL import Image

from babelens.data import DataError, read_corpus, read_share, read_split
from babelens.data.places import find_all, parse_spec
from babelens.data.split import leaks


def write(path, *words, tag="O"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{word}\t{tag}\n\n" for word in words))


@pytest.fixture
def languages(tmp_path):
    for code in ("en", "fr"):
        for split in ("train", "dev", "test"):
            write(tmp_path / "set" / code / f"{split}.txt", f"{code}-{split}")
    write(tmp_path / "set" / "notes" / "train.txt", "no language")
    return tmp_path / "set"


def told(corpus):
    return [(example.words[0], example.language, example.source, example.id) for example in corpus]


def test_a_directory_per_language(languages):
    assert told(read_split(languages, "train")) == [
        ("en-train", "en", "set", "en/train:1"),
        ("fr-train", "fr", "set", "fr/train:1"),
    ]
    assert [row[0] for row in told(read_split([languages], "dev"))] == ["en-dev", "fr-dev"]
    assert told(read_split(languages / "fr", "valid")) == [("fr-dev", "fr", "set", "fr/dev:1")]
    assert len(read_corpus(languages)) == 6


def test_a_named_language(tmp_path):
    write(tmp_path / "one" / "train.txt", "a")
    write(tmp_path / "two" / "train.txt", "b")
    corpus = read_split([f"pt-BR={tmp_path / 'one'}", str(tmp_path / "two")], "train")
    assert told(corpus) == [("a", "pt-BR", "one", "pt-BR/train:1"), ("b", None, "two", "train:1")]


def test_only_language_codes_name_languages(tmp_path):
    assert parse_spec("en=a/b") == ("en", parse_spec("a/b")[1])
    assert parse_spec("english=a")[0] is None
    (tmp_path / "en=x").mkdir()
    assert parse_spec(tmp_path / "en=x")[0] is None


def test_parts_in_other_formats(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"text": "a b"}\n')
    write(tmp_path / "validation.conll", "v")
    assert [len(read_split(tmp_path, split)) for split in ("train", "valid")] == [1, 1]


def test_files_by_name_where_there_are_no_parts(tmp_path):
    write(tmp_path / "de.txt", "x")
    write(tmp_path / "b.conll", "y")
    (tmp_path / "ids.tsv").write_text("1\t2\n")
    (tmp_path / "README.md").write_text("text")
    assert [place.name for place in find_all(tmp_path)] == ["b", "de"]
    assert told(read_corpus(tmp_path))[1] == ("x", "de", tmp_path.name, "de/de:1")


def test_the_kind_is_told_by_the_content_where_there_is_no_ending(tmp_path):
    (tmp_path / "rows").write_text('{"tokens": ["a"]}\n')
    write(tmp_path / "lines", "b")
    assert [read_corpus(tmp_path / name)[0].words for name in ("rows", "lines")] == [("a",), ("b",)]


def test_pictures_of_languages_may_be_shared(languages):
    for code in ("en", "fr"):
        (languages / code / "train.txt").write_text("IMGID:1\na\tO\n")
    (languages / "images").mkdir()
    Image.new("RGB", (1, 1)).save(languages / "images" / "1.png")
    corpus = read_split(languages, "train")
    assert corpus.picture_keys(0) == corpus.picture_keys(1)
    assert corpus.picture(corpus.picture_keys(0)[0]).status == "used"
    (languages / "fr" / "images").mkdir()
    Image.new("RGB", (1, 1)).save(languages / "fr" / "images" / "1.png")
    corpus = read_split(languages, "train")
    assert corpus.picture_keys(0) != corpus.picture_keys(1)
    corpus = read_split(languages, "train", images=languages / "images")
    assert corpus.picture_keys(0) == corpus.picture_keys(1)


def test_mistakes_are_named(tmp_path):
    write(tmp_path / "set" / "train.txt", "a")
    cases = {
        (tmp_path / "none", "train"): "none: expected a data directory, found no such directory",
        (tmp_path / "set" / "train.txt", "train"): "train.txt: expected a data directory, found a file",
        (tmp_path / "set", "test"): "set: expected test.txt (or .jsonl, .parquet), or folders per language with one, "
        "found train.txt",
    }
    for (folder, split), message in cases.items():
        with pytest.raises(DataError) as caught:
            read_split(folder, split)
        assert str(caught.value).endswith(message)
    (tmp_path / "set" / "train.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"one file for train, found train\.txt, train\.jsonl"):
        read_split(tmp_path / "set", "train")
    with pytest.raises(DataError, match="expected a folder of pictures, found no such folder"):
        read_corpus(tmp_path / "set" / "train.txt", images=tmp_path / "pictures")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"expected train, valid or test .* found nothing"):
        read_corpus(tmp_path / "empty")
    with pytest.raises(DataError, match="no such file or directory"):
        read_corpus(tmp_path / "none.txt")


@pytest.mark.parametrize("spec", ["hub:", "hub::en", "hub: "])
def test_a_data_set_of_the_hub_needs_a_name(spec):
    for read in (read_corpus, lambda given: read_split(given, "train")):
        with pytest.raises(DataError, match=r"expected hub:NAME or hub:NAME:CONFIGURATION, found no name"):
            read(spec)


@pytest.mark.parametrize(
    ("error", "found"), [(OSError(), "OSError"), (ValueError("no such set\nat all"), "no such set")]
)
def test_a_data_set_out_of_reach_is_named_whatever_the_reason(monkeypatch, error, found):
    def load(name, configuration):
        raise error

    monkeypatch.setattr("datasets.load_dataset", load)
    with pytest.raises(DataError) as caught:
        read_corpus("hub:someone/thing:en")
    assert str(caught.value) == f"hub:someone/thing:en: expected a Hugging Face data set within reach, found {found}"


def test_shares_of_a_file_have_nothing_in_common(tmp_path):
    path = tmp_path / "all.txt"
    write(path, *(f"w{number % 90}" for number in range(100)))
    train = read_share(f"{path}:0.8", part="train", seed=1)
    valid = read_share(f"en={path}:0.2", part="valid", seed=1)
    assert (len(train) + len(valid), abs(len(train) - 80) <= 1) == (100, True)
    assert leaks({"train": train, "valid": valid}) == []
    assert valid[0].language == "en"
    assert list(train) == list(read_share(f"{path}:0.8", seed=1)) != list(read_share(f"{path}:0.8", seed=2))
    assert len(read_share(path)) == len(read_share(f"{path}:1")) == 100


def test_shares_that_are_none(tmp_path):
    path = tmp_path / "all.txt"
    write(path, "a", "b")
    for share in ("0", "1.5", "-1", "nan"):
        with pytest.raises(DataError, match="expected a share above 0 and up to 1"):
            read_share(f"{path}:{share}")
    with pytest.raises(DataError, match="no such file"):
        read_share(f"{path}:x")
    with pytest.raises(DataError, match="expected rows in the share"):
        read_share(f"{path}:0.1", part="valid")
