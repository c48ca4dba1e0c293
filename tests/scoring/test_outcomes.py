import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babelens.schema import Entity, InputError
from babelens.scoring.outcomes import Outcome, clean, founds, golds, read_outcomes, write_outcomes

FULL = Outcome(
    id="42",
    words=("Łódź", "और", "\u2028", "😀", "x\ny"),
    gold=(Entity(0, 1, "LOC"),),
    found=(Entity(0, 1, "LOC"), Entity(1, 3, "PER")),
    scores=(0.25, 1.0),
    unit=3,
    leaks=("picture", "similar text"),
    frequencies=(7,),
    language="pl",
    source="twitter",
    status="used",
    images=("a.jpg", "b.jpg"),
)
PLAIN = Outcome("1", ("a",), (), (), (), 0)

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=5)
ENTITY = st.builds(Entity, st.integers(0, 99), st.integers(0, 99), ANY_TEXT)


@st.composite
def facts(draw: st.DrawFn) -> dict[str, Any]:
    gold, found = draw(st.lists(ENTITY, max_size=3)), draw(st.lists(ENTITY, max_size=3))
    return dict(
        id=draw(ANY_TEXT),
        words=tuple(draw(st.lists(ANY_TEXT, max_size=4))),
        gold=tuple(gold),
        found=tuple(found),
        scores=tuple(draw(st.integers(0, 10**6)) / 10**6 for _ in found),
        unit=draw(st.integers(0, 10**6)),
        leaks=tuple(draw(st.lists(ANY_TEXT, max_size=2))),
        frequencies=tuple(draw(st.integers(0, 99)) for _ in gold),
        language=draw(st.none() | ANY_TEXT),
        source=draw(st.none() | ANY_TEXT),
        status=draw(ANY_TEXT),
        images=tuple(draw(st.lists(ANY_TEXT, max_size=2))),
    )


@given(st.lists(facts(), max_size=3))
@settings(max_examples=60, deadline=None)
def test_any_outcomes_are_read_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, drawn: list[dict]) -> None:
    rows = [Outcome(**row) for row in drawn]
    path = tmp_path_factory.mktemp("outcomes") / "rows.jsonl.gz"
    write_outcomes(path, rows)
    assert read_outcomes(path) == rows


@pytest.mark.parametrize("word", ["\ud800", "a\udcffb", "\ud83d\ude00"])
def test_lone_surrogates_survive(tmp_path: Path, word: str) -> None:
    row = replace(FULL, words=(word,), id=word, images=(word,))
    write_outcomes(tmp_path / "rows.gz", [row, FULL])
    assert read_outcomes(tmp_path / "rows.gz") == [row, FULL]


def test_the_file_is_a_line_of_json_for_each_row(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.jsonl.gz"
    write_outcomes(path, iter([FULL, PLAIN]))
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    assert lines[-1] == ""
    assert [json.loads(line)["id"] for line in lines[:-1]] == ["42", "1"]
    assert json.loads(lines[0])["found"] == [[0, 1, "LOC", 0.25], [1, 3, "PER", 1.0]]
    assert [file.name for file in path.parent.iterdir()] == ["rows.jsonl.gz"]


def test_the_same_outcomes_are_the_same_bytes(tmp_path: Path) -> None:
    write_outcomes(tmp_path / "one.gz", [FULL, PLAIN])
    write_outcomes(tmp_path / "another.gz", [FULL, PLAIN])
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "another.gz").read_bytes()


def test_scores_keep_six_digits(tmp_path: Path) -> None:
    write_outcomes(tmp_path / "rows.gz", [replace(FULL, scores=(0.12345678, 0.99999999))])
    assert read_outcomes(tmp_path / "rows.gz")[0].scores == (0.123457, 1.0)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "rows.gz"
    write_outcomes(path, [PLAIN])
    with pytest.raises(ValueError, match="shorter"):
        write_outcomes(path, [FULL, replace(FULL, scores=(0.5,))])
    assert read_outcomes(path) == [PLAIN]
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_or_missing_file_is_the_inputs_fault(tmp_path: Path) -> None:
    path = tmp_path / "rows.gz"
    with pytest.raises(InputError, match=r"rows\.gz: expected the outcomes of a model"):
        read_outcomes(path)
    write_outcomes(path, [FULL] * 50)
    whole = path.read_bytes()
    # Cut, or with one byte turned over: wherever it stands, what is read is either refused or unharmed.
    for place in range(len(whole)):
        path.write_bytes(whole[:place])
        with pytest.raises(InputError, match="expected the outcomes of a model"):
            read_outcomes(path)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            assert read_outcomes(path) == [FULL] * 50
        except InputError as error:
            assert str(error).startswith(str(path))
    write_outcomes(path, [])
    assert read_outcomes(path) == []


@pytest.mark.parametrize(
    "line", ["", "[1]", "{}", "1", '"a"', "null", '{"id": "1"}', "{", '{"found": [[0, 1, "PER"]]}']
)
def test_lines_of_another_shape_are_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.gz"
    plain = {"id": "1", "words": [], "gold": [], "unit": 0, "leaks": [], "frequencies": [], "language": None}
    if line.startswith('{"found'):
        line = json.dumps(plain | json.loads(line))
    path.write_bytes(gzip.compress(f"{line}\n".encode()))
    with pytest.raises(InputError, match="expected the outcomes of a model"):
        read_outcomes(path)


def test_columns_and_the_rows_that_leak() -> None:
    assert golds([FULL, PLAIN]) == [FULL.gold, ()]
    assert founds([FULL, PLAIN]) == [FULL.found, ()]
    assert list(clean([FULL, PLAIN])) == [PLAIN]
