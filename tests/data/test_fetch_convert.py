import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babelens.data import DataError, read_corpus
from babelens.data.fetch_convert import convert
from babelens.data.fetch_recipe import known_recipes


def converted(tmp_path, content, layout, ending=".txt"):
    (tmp_path / "published").write_bytes(content)
    rows = convert(tmp_path / "published", tmp_path / f"train{ending}", layout)
    return rows, (tmp_path / f"train{ending}").read_bytes()


def test_numbered_tokens_become_conll(tmp_path):
    # The fourth sentence is a hand-worked case of conlleval's rule: both I- tags start an entity.
    content = (
        "\ufeff# from somewhere\n0\tDie\tO\n1\tMladá\tB-LOC\n2\tBoleslav\tI-LOC\n\n0\t#\tO\n\n\n"
        "0\t\u00a0\tO\r\n1\ta b\tB-MISC\r\n\r\n0\tI\tI-PER\n1\tam\tI-LOC\n2\tin\tI-LOC\n"
    )
    assert converted(tmp_path, content.encode(), "conllu") == (
        4,
        (
            "Die\tO\nMladá\tB-LOC\nBoleslav\tI-LOC\n\n#\tO\n\n"
            "\u00a0\tO\na b\tB-MISC\n\nI\tB-PER\nam\tB-LOC\nin\tI-LOC\n\n"
        ).encode(),
    )


def test_faults_of_numbered_tokens_are_listed_together(tmp_path):
    content = b"0\ta\tO\n2\tb\tO\n2\tc\tPER\nx\tO\n3\t\tO\n3\t\xff\tO\n"
    with pytest.raises(DataError) as raised:
        converted(tmp_path, content, "conllu")
    lines = [line.partition("published:")[2] for line in str(raised.value).splitlines()]
    assert [line.partition(":")[0] for line in lines] == ["2", "3", "4", "5", "6"]
    assert lines[0] == "2: expected token number 1, found '2'"
    assert lines[1] == "3: expected O, B-TYPE or I-TYPE, found 'PER'"
    assert "3 columns separated by tabs (token number, token, tag), found 'x\\tO'" in lines[2]
    assert "expected UTF-8" in lines[4]
    with pytest.raises(DataError, match="at least one sentence"):
        converted(tmp_path, b"\n\n", "conllu")


@pytest.mark.parametrize(
    ("layout", "ending", "content", "rows"),
    [
        ("conll", ".txt", b"IMGID:1\nAnna\tI-PER\n\nx\tO\n", 2),
        ("conll", ".txt", b"-DOCSTART- -X- O O\n\nAnna NNP I-NP I-PER\n\n", 1),
        ("jsonl", ".jsonl", b'{"tokens": ["Anna"], "ner_tags": ["B-PER"]}\n', 1),
    ],
)
def test_what_can_be_read_is_kept_byte_for_byte(tmp_path, layout, ending, content, rows):
    assert converted(tmp_path, content, layout, ending) == (rows, content)


def test_parquet_is_kept_byte_for_byte(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"tokens": [["Anna"], ["x"]], "ner_tags": [["B-PER"], ["O"]]}), tmp_path / "made")
    content = (tmp_path / "made").read_bytes()
    assert converted(tmp_path, content, "parquet", ".parquet") == (2, content)


def test_faults_name_the_published_file(tmp_path):
    with pytest.raises(DataError, match=r"published:2: expected O or one of .*, found 'PER'"):
        converted(tmp_path, b"a\tO\nb\tPER\n", "conll")


word = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=6)
tag = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.tuples(word, tag), min_size=1, max_size=8), min_size=1, max_size=5))
def test_words_and_entities_survive(tmp_path_factory, sentences):
    from seqeval.metrics.sequence_labeling import get_entities

    folder = tmp_path_factory.mktemp("made")
    lines = [[f"{number}\t{word}\t{tag}" for number, (word, tag) in enumerate(sentence)] for sentence in sentences]
    content = "\n\n".join("\n".join(sentence) for sentence in lines) + "\n\n"
    rows, _ = converted(folder, content.encode(), "conllu")
    assert rows == len(sentences)
    for example, sentence in zip(read_corpus(folder / "train.txt"), sentences, strict=True):
        assert example.words == tuple(word for word, _ in sentence)
        expected = [(start, end + 1, type_) for type_, start, end in get_entities([tag for _, tag in sentence])]
        assert [(e.start, e.end, e.type) for e in example.entities] == expected


CONVERTED = {file.target: file for file in known_recipes()["wikineural"].files if file.result is not None}
# In English and French some published I- tags were made B-, which cannot be told any more.
EXACT = [
    pytest.param(f"{code}/{part}.txt", marks=pytest.mark.long) for code in ("de", "es") for part in ("valid", "test")
]


def published_wikineural(converted):
    """The published file, made again from what it becomes: each line gets the number of its token."""
    number, lines = 0, []
    for line in converted.split("\n")[:-1]:
        lines.append(f"{number}\t{line}" if line else "")
        number = number + 1 if line else 0
    return ("\n".join(lines) + "\n").encode()


@pytest.mark.parametrize("target", EXACT)
def test_wikineural_converts_to_the_known_checksum(shared, tmp_path, target):
    file = CONVERTED[target]
    content = published_wikineural((shared / "wikineural" / target).read_text(encoding="utf-8"))
    rows, result = converted(tmp_path, content, "conllu")
    assert (rows, len(content), hashlib.sha256(result).hexdigest()) == (file.rows, file.size, file.result)


@pytest.mark.parametrize("target", CONVERTED)
def test_the_beginning_of_wikineural_converts_exactly(shared, tmp_path, target):
    whole = (shared / "wikineural" / target).read_text(encoding="utf-8")
    expected = whole[: whole.index("\n\n", 20_000) + 2]
    assert converted(tmp_path, published_wikineural(expected), "conllu")[1] == expected.encode()
