import json

import pytest

from babelens.build.translate import translate_rows
from babelens.build.translate_handoff import Request, read_translations, requests, write_requests
from babelens.build.translate_texts import METHODS, Carrying
from babelens.data.problems import DataError
from babelens.schema import InputError

ROWS = [
    {
        "id": "a",
        "text": "Anna in Rome",
        "language": "en",
        "entities": [{"start": 8, "end": 12, "text": "Rome", "type": "LOC"}],
    },
    {
        "id": "b",
        "text": "Rome!",
        "language": "en",
        "entities": [{"start": 0, "end": 4, "text": "Rome", "type": "LOC"}],
    },
    {"id": "c", "text": "Roma", "language": "es", "entities": []},
]
KNOWN = {
    "Anna in Rome": "Anna à Rome",
    "Anna in <e1>Rome</e1>": "Anna à <e1>Rome",
    "Anna in [1: Rome]": "Anna à [1: Rome]",
    "Rome": "Rome",
    "Rome!": "Rome !",
    "<e1>Rome</e1>!": "<e1>Rome</e1> !",
    "[1: Rome]!": "[1: Rome] !",
    "Roma": "Rome",
}


def fill(path, filled, change=lambda lines: lines):
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for line in lines:
        line["translation"] = KNOWN[line["text"]]
    filled.write_text("\n".join(map(json.dumps, change(lines))), encoding="utf-8")


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "requests.jsonl"
    assert write_requests(path, requests(ROWS, ["fr", "es"])) == 15
    return path


def test_what_is_handed_out(written):
    lines = [json.loads(line) for line in written.read_text("utf-8").splitlines()]
    assert lines[:4] == [
        {"key": "a-fr/plain", "text": "Anna in Rome", "source": "en", "target": "fr"},
        {"key": "a-fr/tags", "text": "Anna in <e1>Rome</e1>", "source": "en", "target": "fr"},
        {"key": "a-fr/brackets", "text": "Anna in [1: Rome]", "source": "en", "target": "fr"},
        {"key": "a-fr/name-1", "text": "Rome", "source": "en", "target": "fr"},
    ]
    # "Rome" is asked for once for each target, "Roma" is Spanish already.
    assert [line["key"] for line in lines if line["text"] in ("Rome", "Roma")] == [
        "a-fr/name-1",
        "a-es/name-1",
        "c-fr/plain",
    ]
    assert [path.name for path in written.parent.iterdir()] == ["requests.jsonl"]


def test_what_comes_back_is_what_a_translator_would_give(written, tmp_path):
    class Book:
        def translate(self, texts, source, target):
            return [KNOWN[text] for text in texts]

    filled = tmp_path / "filled.jsonl"
    fill(written, filled, lambda lines: list(reversed(lines)))
    handed = read_translations(filled, requests(ROWS, ["fr", "es"]))
    assert translate_rows(ROWS, handed, ["fr", "es"]) == translate_rows(ROWS, Book(), ["fr", "es"])
    with pytest.raises(
        InputError, match=r"of the same rows, markers and targets .* none from en to fr of 'Anna in .Rome.'"
    ):
        translate_rows(ROWS, handed, ["fr"], carrying=Carrying(("quotes",)))


def test_all_that_is_wrong_is_told_together(written, tmp_path):
    def spoil(lines):
        del lines[3]["translation"]
        lines[4]["translation"] = ["Rome !"]
        lines[5]["text"] = "Rome?"
        lines[6]["key"] = "zz"
        return [*lines[:10], lines[0], 7]

    filled = tmp_path / "filled.jsonl"
    fill(written, filled, spoil)
    with filled.open("ab") as file:
        file.write(b"\n{broken\n")
    with pytest.raises(DataError) as caught:
        read_translations(filled, requests(ROWS, ["fr", "es"]))
    told = str(caught.value)
    for part in (
        ":4: expected a translation for 'a-fr/name-1', found none",
        ":5: expected a translation as a string, found ['Rome !']",
        ":6: expected the text as it was written out, ",
        ":7: expected a key that was written out, found 'zz'",
        ":11: expected each key once ('a-fr/plain' stands in line 1 already), found it again",
        ":12: expected a JSON object, found 7",
        ":13: expected a JSON object, found '{broken'",
        "filled.jsonl: expected a translation for 'c-fr/plain', found none",
    ):
        assert part in told
    assert caught.value.total == 15


def test_missing_translations_may_be_left_out(written, tmp_path):
    filled = tmp_path / "filled.jsonl"
    fill(written, filled, lambda lines: [line for line in lines if line["key"] != "c-fr/plain"])
    with pytest.raises(DataError, match="expected a translation for 'c-fr/plain', found none"):
        read_translations(filled, requests(ROWS, ["fr", "es"]))
    handed = read_translations(filled, requests(ROWS, ["fr", "es"]), partial=True)
    results = translate_rows(ROWS, handed, ["fr", "es"])
    assert [len(result.rows) for result in results] == [2, 2, 0]
    assert results[2].said["left"]["fr"] == "the translation is empty"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="expected a file of translations, found no such file"):
        read_translations(tmp_path / "none.jsonl", [])


def test_many_missing_keys_are_counted(tmp_path):
    path = tmp_path / "empty.jsonl"
    path.write_text("", encoding="utf-8")
    asked = [Request(f"r{number}-fr/plain", str(number), "en", "fr") for number in range(1000)]
    with pytest.raises(DataError, match="expected a translation for every key, found 980 more without"):
        read_translations(path, asked)


def test_only_the_markers_are_handed_out_where_only_they_are_read():
    asked = list(requests(ROWS[:1], ["fr"], carrying=METHODS["markers"]))
    assert [request.key for request in asked] == ["a-fr/tags", "a-fr/brackets"]
