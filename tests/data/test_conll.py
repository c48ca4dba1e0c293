import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from babelens.data import DataError, read_corpus
from babelens.data.conll import guess_scheme, read_conll, sniff, write_conll
from babelens.data.problems import Problems
from babelens.schema import SCHEMES, Entity, Example, InputError

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\t\n")
words = st.text(characters, min_size=1, max_size=6).filter(lambda word: not word.endswith("\r"))
types = st.sampled_from(["PER", "LOC", "x-1"])


@st.composite
def rows(draw):
    tokens = draw(st.lists(words, min_size=1, max_size=6).filter(lambda tokens: tokens[0] != "-DOCSTART-"))
    cut = draw(st.integers(0, len(tokens)))
    entities = [] if cut == 0 else [Entity(0, cut, draw(types))]
    if cut < len(tokens) and draw(st.booleans()):
        entities.append(Entity(cut, len(tokens), draw(types)))
    return tuple(tokens), tuple(entities), tuple(draw(st.lists(words, max_size=2)))


def read(path, **options):
    problems = Problems(path)
    rows = list(read_conll(path, problems, **options))
    return rows, problems


def write(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@given(rows=st.lists(rows(), min_size=1, max_size=4), scheme=st.sampled_from(SCHEMES))
def test_what_is_written_is_read_back(tmp_path_factory, rows, scheme):
    file = io.StringIO()
    assert write_conll([Example("x", *row) for row in rows], file, scheme) == len(rows)
    path = write(tmp_path_factory.mktemp("conll") / "a.txt", file.getvalue())
    back, problems = read(path, scheme=scheme)
    assert problems.kept == []
    assert [(tuple(row.words), row.entities, tuple(row.images)) for row in back] == rows
    assert not any(row.violations for row in back)


def test_blocks_with_pictures_and_lines(tmp_path):
    text = "IMGID:a\nAnna\tB-PER\nSmith\tI-PER\n\n\nIMGID:b.jpg\nIMGID:c\nin\tO\nRome\tI-LOC"
    rows, problems = read(write(tmp_path / "a.txt", text))
    assert problems.total == 0
    assert [(row.words, row.images, row.line, row.violations) for row in rows] == [
        (["Anna", "Smith"], ["a"], 2, ()),
        (["in", "Rome"], ["b.jpg", "c"], 8, (1,)),
    ]
    assert rows[1].entities == (Entity(1, 2, "LOC"),)


def test_lines_and_fields_are_split_on_nothing_else(tmp_path):
    odd = ["\xa0", "\x85", "\u2028", "\x0b", "\x1c", "a b", "\u200b", "\ufffd", "\x00", "#"]
    rows, problems = read(write(tmp_path / "a.txt", "".join(f"{word}\tO\n" for word in odd)))
    assert problems.total == 0
    assert rows[0].words == odd


def test_plain_conll_2003(tmp_path):
    start = "-DOCSTART- -X- -X- O\n\n"
    text = f"{start}U.N. NNP I-NP I-ORG\nofficial  NN I-NP O\n\xa0 NN I-NP O\n\n{start}Yes UH O O\n"
    rows, problems = read(write(tmp_path / "a.txt", text), scheme="iob1")
    assert problems.total == 0
    assert [(row.words, row.line) for row in rows] == [(["U.N.", "official", "\xa0"], 3), (["Yes"], 9)]
    assert rows[0].entities == (Entity(0, 1, "ORG"),)
    assert rows[0].violations == ()


def test_carriage_returns_and_byte_order_mark_are_taken_off(tmp_path):
    rows, problems = read(write(tmp_path / "a.txt", "\ufeffIMGID:7\r\na\tO\r\nb\tB-PER\r\n\r\nc\tO\r\n"))
    assert problems.total == 0
    assert [(row.words, row.images) for row in rows] == [(["a", "b"], ["7"]), (["c"], [])]


def test_all_faults_of_a_file_in_one_go(tmp_path):
    path = write(
        tmp_path / "bad.txt",
        b"fine\tO\nnothing\nx\tO\tO\n\nIMGID:\n\ny\tPER\nz\tB-\n\tO\n\xff\xfe\tO\nIMGID:late\nw\tS-PER\n\n",
    )
    with pytest.raises(DataError) as caught:
        read_corpus(path)
    found = [(problem.line, problem.expected, problem.found) for problem in caught.value.problems]
    columns = "2 columns separated by tabs (token first, tag last)"
    tag = "O or one of I-TYPE, B-TYPE (iob2)"
    assert found == [
        (2, columns, "1 in 'nothing'"),
        (3, columns, "3 in 'x\\tO\\tO'"),
        (5, "a picture id after IMGID:", "nothing"),
        (5, "a sentence after IMGID:", "a blank line"),
        (7, tag, "'PER'"),
        (8, tag, "'B-'"),
        (9, "a token in the first column", "nothing"),
        (10, "UTF-8", "the byte 0xFF in b'\\xff\\xfe'"),
        (11, "a blank line before IMGID:", "'IMGID:late' inside a sentence"),
        (12, tag + "; pass the scheme if this file uses another", "'S-PER'"),
    ]
    assert str(caught.value).splitlines()[0] == f"{path}:2: expected {columns}, found 1 in 'nothing'"


@pytest.mark.parametrize(
    ("content", "expected", "found"),
    [
        (b"", "at least one sentence", "an empty file"),
        (b"\n\n \n", "at least one sentence", "none in 'a.txt'"),
        ("a\tO\n".encode("utf-16"), "UTF-8", "UTF-16 (by its byte order mark)"),
        (b"one\ntwo\n", "2 columns separated by blanks (token first, tag last)", "1 in 'one'"),
    ],
)
def test_files_that_hold_no_sentence(tmp_path, content, expected, found):
    with pytest.raises(DataError) as caught:
        read_corpus(write(tmp_path / "a.txt", content))
    first = caught.value.problems[0]
    assert (first.line, first.expected, first.found) == (1, expected, found)


def test_a_file_of_another_kind_is_refused_without_filling_the_memory(tmp_path):
    path = write(tmp_path / "a.txt", b"\x89PNG\r\n" + bytes(range(1, 256)) * 2000)
    with pytest.raises(DataError) as caught:
        read_corpus(path)
    assert caught.value.total > 1000
    assert len(caught.value.problems) == 1000
    assert len(str(caught.value).splitlines()) == 51
    assert str(caught.value).isprintable() or "\n" in str(caught.value)


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ("B-X I-X O B-X", "iob2"),
        ("B-X E-X O S-X", "bioes"),
        ("S-X O S-X", "bioes"),
        ("B-X L-X U-X", "bilou"),
        ("U-X O", "bilou"),
        (" ".join(["I-X O"] * 20), "iob1"),
        (" ".join(["I-X B-X O"] * 20), "iob1"),
        (" ".join(["I-X O"] * 19), "iob2"),
        (" ".join(["I-X O"] * 20 + ["B-X"]), "iob2"),
        ("B-X I-X O B-X O B-X S-X", "iob2"),
        ("", "iob2"),
    ],
)
def test_the_scheme_is_guessed(tags, scheme):
    assert guess_scheme(tags.split()) == scheme


def test_the_layout_is_that_of_most_lines(tmp_path):
    layout = sniff(write(tmp_path / "a.txt", "oops\na DT O\nb NN B-PER\n"))
    assert (layout.tabs, layout.columns, layout.scheme) == (False, 3, "iob2")


@pytest.mark.parametrize(
    "example",
    [
        Example("r", ()),
        Example("r", ("-DOCSTART-",)),
        Example("r", ("a\tb",)),
        Example("r", ("a\nb",)),
        Example("r", ("",)),
        Example("r", ("a",), images=("b\nc",)),
        Example("r", ("a",), (Entity(0, 1, "P\tQ"),)),
    ],
)
def test_rows_that_the_format_cannot_hold_are_refused(example):
    with pytest.raises(InputError, match="row r"):
        write_conll([example], io.StringIO())
