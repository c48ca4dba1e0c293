import io
import json
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from babelens.data import DataError, ImageError
from babelens.prediction.inputs import Rows
from babelens.prediction.rows import Unread


def picture(path, colour=(9, 90, 200)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), colour).save(path)
    return path


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def status(row):
    return [row.open(key).status for key in row.keys]


def test_jsonl_rows_with_their_pictures(tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    picture(tmp_path / "extra" / "b.png")
    (tmp_path / "images" / "broken.jpg").write_bytes(b"")
    rows = [
        {"id": "1", "text": "Anna", "image": "a"},
        {"id": "2", "tokens": ["Anna", "B"], "image": "a.jpg", "language": "en"},
        {"text": "x", "images": ["a", "extra/b.png", "nowhere"]},
        {"text": "x", "image": None},
        {"text": "x", "image": ""},
        {"text": "x", "image": "broken"},
        {"text": "x", "image": str(tmp_path / "images" / "a.jpg")},
        {"text": "x", "image": "../../etc/passwd"},
        {"text": "x", "image": "https://example.org/a.jpg"},
        {"text": "x", "image": "n\u0000\ud800" + "y" * 300},
        {"text": "x", "image": 12},
    ]
    file = write(tmp_path / "rows.jsonl", *map(json.dumps, rows))
    read = list(Rows(str(file)))
    assert [row.example.id for row in read] == ["1", "2", *map(str, range(3, 12))]
    assert [status(row) for row in read] == [
        ["used"], ["used"], ["used", "used", "missing"], [], [], ["unreadable"], ["used"], *[["missing"]] * 4
    ]  # fmt: skip
    assert read[0].keys == read[1].keys == read[6].keys
    assert read[2].example.images == ("a", "extra/b.png", "nowhere")
    assert (read[1].example.words, read[1].example.language) == (("Anna", "B"), "en")


def test_the_folder_of_pictures_can_be_named(tmp_path):
    picture(tmp_path / "elsewhere" / "a.jpg")
    file = write(tmp_path / "rows.jsonl", '{"text": "x", "image": "a"}')
    assert status(next(iter(Rows(str(file))))) == ["missing"]
    assert status(next(iter(Rows(str(file), images=tmp_path / "elsewhere")))) == ["used"]
    with pytest.raises(DataError, match="nowhere: expected a folder of pictures, found no such folder"):
        Rows(str(file), images=tmp_path / "nowhere")


def test_strict_pictures(tmp_path):
    file = write(tmp_path / "rows.jsonl", '{"text": "x", "image": "a"}')
    row = next(iter(Rows(str(file), strict_images=True)))
    with pytest.raises(ImageError, match=r"images/a: expected a readable picture, found no such picture"):
        row.open(row.keys[0])


def test_bad_rows_of_jsonl_keep_their_place_and_say_where(tmp_path):
    good = b'{"id": "g", "text": "fine"}'
    lines = [
        b"\xef\xbb\xbf" + good,
        b"",
        b'{"id": "h", "text": ',
        b"\xff\xfe",
        b"[1, 2]",
        b'{"id": "k", "text": 5}',
        b"[" * 100_000,
        b'{"id": "m"}',
        good,
        b'{"id": 5, "text": "x", "image": {"a": [1]}, "images": 3}',
        b'{"text": "x", "image": 1.5}',
    ]
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"\n".join(lines))
    read = list(Rows(str(file)))
    assert [row.id if isinstance(row, Unread) else row.example.id for row in read] == (
        ["g", "3", "4", "5", "k", "7", "m", "g", "5", "11"]
    )
    errors = {row.id: row.error for row in read if isinstance(row, Unread)}
    assert set(errors) == {"3", "4", "5", "k", "7", "m", "11"}
    assert errors["3"].startswith(f'{file}:3: expected a JSON object, found \'{{"id": "h"')
    assert errors["4"] == f"{file}:4: expected UTF-8, found the byte 0xFF"
    assert errors["5"] == f"{file}:5: expected an object with text or tokens, found [1, 2]"
    assert errors["k"] == f"{file}:6: expected a text, found 5"
    assert "too many levels" in errors["7"]
    assert errors["m"] == f"{file}:8: expected text or tokens, found id"
    assert errors["11"] == f"{file}:11: expected a picture id or a list of them, found 1.5"


def test_a_json_list_is_refused_at_once(tmp_path):
    file = write(tmp_path / "rows.json", "[", '{"text": "a"}', "]")
    with pytest.raises(DataError, match=r"rows.json:1: expected one JSON object a line \(JSONL\), found a JSON list"):
        list(Rows(str(file)))


def test_jsonl_is_read_as_it_comes(tmp_path, monkeypatch):
    def lines():
        yield b'{"text": "first"}\n'
        raise AssertionError("read ahead")

    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=lines()))
    rows = iter(Rows("-"))
    assert next(rows).example.text == "first"
    with pytest.raises(AssertionError, match="read ahead"):
        next(rows)


def test_conll_rows_have_joined_text_and_pictures(tmp_path):
    picture(tmp_path / "images" / "7.jpg")
    write(tmp_path / "test.txt", "IMGID:7", "New\tB-LOC", "York\tI-LOC", "!\tO", "", "IMGID:8", "a\tO", "")
    read = list(Rows(str(tmp_path / "test.txt")))
    assert [row.example.text for row in read] == ["New York !", "a"]
    assert [row.example.id for row in read] == ["test:1", "test:2"]
    assert [status(row) for row in read] == [["used"], ["missing"]]
    assert read[0].example.images == ("7",) and read[0].example.entities == ()


def test_a_conll_file_that_cannot_be_read_stops_with_its_lines(tmp_path):
    file = write(tmp_path / "test.txt", "New\tB-LOC", "York", "b\tX-LOC", "")
    with pytest.raises(DataError) as caught:
        list(Rows(str(file)))
    assert [problem.line for problem in caught.value.problems] == [2, 3]


def test_parquet_rows(tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (5, 5), (1, 200, 3)).save(file, "PNG")
    picture(tmp_path / "images" / "a.jpg")
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {
            "tokens": [["Anna", "B"], ["C"], ["D"], ["E"]],
            "ner_tags": [[0, 0], [0], [0], [0]],
            "image": pa.array(
                [
                    {"bytes": file.getvalue(), "path": None},
                    {"bytes": None, "path": "a.jpg"},
                    None,
                    {"bytes": b"junk", "path": "x"},
                ],
                image,
            ),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    read = list(Rows(str(tmp_path / "rows.parquet")))
    assert [row.example.words for row in read] == [("Anna", "B"), ("C",), ("D",), ("E",)]
    assert [status(row) for row in read] == [["used"], ["used"], [], ["unreadable"]]
    assert [row.example.id for row in read] == ["1", "2", "3", "4"]
    plain = pa.table({"text": ["Anna", None], "image": [file.getvalue(), b""], "id": [5, 6]})
    pq.write_table(plain, tmp_path / "plain.parquet")
    first, second = Rows(str(tmp_path / "plain.parquet"))
    assert (first.example.id, status(first)) == ("5", ["used"])
    assert second == Unread("6", f"{tmp_path / 'plain.parquet'}:2: expected text or tokens, found text, image, id")


def test_parquet_files_that_are_none(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match=r"a.parquet: expected a Parquet file"):
        list(Rows(str(tmp_path / "a.parquet")))
    pq.write_table(pa.table({"body": ["a"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b.parquet: expected a column text or tokens, found body"):
        list(Rows(str(tmp_path / "b.parquet")))


def test_a_data_directory_is_read_in_the_order_of_its_parts(tmp_path):
    for name in ("test", "train", "valid", "notes"):
        write(tmp_path / f"{name}.txt", f"{name}\tO", "")
    assert [row.example.text for row in Rows(str(tmp_path))] == ["train", "valid", "test"]


def test_a_directory_with_folders_per_language(tmp_path):
    picture(tmp_path / "images" / "1.jpg")
    for language in ("fr", "en"):
        write(tmp_path / language / "test.txt", "IMGID:1", f"{language}word\tO", "")
    write(tmp_path / "stuff" / "test.txt", "no\tO", "")
    read = list(Rows(str(tmp_path)))
    assert [(row.example.text, row.example.language) for row in read] == [("enword", "en"), ("frword", "fr")]
    assert [status(row) for row in read] == [["used"], ["used"]]


def test_a_directory_of_other_files_is_read_by_name_and_tables_of_ids_are_left_out(tmp_path):
    write(tmp_path / "b.txt", "b\tO", "")
    write(tmp_path / "a.jsonl", '{"text": "a"}')
    write(tmp_path / "ids.tsv", "1\tset\ttrain")
    assert [row.example.text for row in Rows(str(tmp_path))] == ["a", "b"]


def test_nothing_to_read_is_said_before_anything_is_read(tmp_path):
    with pytest.raises(DataError, match="nowhere: expected a file or a data directory, found no such file"):
        Rows(str(tmp_path / "nowhere"))
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(DataError, match=r"empty.jsonl: expected at least one row, found an empty file"):
        Rows(str(tmp_path / "empty.jsonl"))
    (tmp_path / "folder").mkdir()
    picture(tmp_path / "folder" / "only.jpg")
    with pytest.raises(DataError, match=r"folder: expected files that end in .txt, .*found only.jpg"):
        Rows(str(tmp_path / "folder"))


@pytest.mark.parametrize(
    ("content", "texts"),
    [(b'  {"text": "a"}\n', ["a"]), (b"a\tO\nb\tO\n\n", ["a b"])],
)
def test_a_file_without_an_ending_is_known_by_its_content(tmp_path, content, texts):
    (tmp_path / "rows").write_bytes(content)
    assert [row.example.text for row in Rows(str(tmp_path / "rows"))] == texts


def test_real_tweets_find_their_photos(shared):
    rows = list(Rows(str(shared / "event-tweets")))
    assert len(rows) == 906 and len({key for row in rows for key in row.keys}) == 68
    assert {len(row.keys) for row in rows} == {1}
    assert [status(row) for row in rows[::300]] == [["used"]] * 4
    pairs = list(Rows(str(shared / "twitter-photos")))
    assert [status(row) for row in pairs] == [["used"]] * 30


def test_a_broken_parquet_file_is_said_when_its_rows_are_counted(tmp_path):
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 and nothing more of it")
    with pytest.raises(DataError, match=r"rows\.parquet: expected a Parquet file, found "):
        Rows(str(tmp_path / "rows.parquet")).total()


def test_plain_text_and_tables_are_told_what_to_become(tmp_path):
    for name in ("texts.txt", "texts"):
        (tmp_path / name).write_text("Anna visited Paris.\nSo did we.\n", encoding="utf-8")
        with pytest.raises(DataError, match=f"{name}: expected words and tags .*JSONL") as raised:
            list(Rows(str(tmp_path / name)))
        assert raised.value.problems[1].line == 1
    (tmp_path / "rows.csv").write_text("id,text\n1,Paris\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"rows\.csv: expected JSONL .* found a table"):
        Rows(str(tmp_path / "rows.csv"))


def test_a_data_set_of_the_hub_is_streamed(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "train.jsonl", json.dumps({"text": "Anna in Paris", "language": "fr", "other": 3}))
    write(folder / "test.jsonl", *(json.dumps({"text": f"row {number}", "language": None}) for number in range(3)))
    rows = Rows(f"hub:{folder}")
    assert [row.example.text for row in rows] == ["Anna in Paris", "row 0", "row 1", "row 2"]
    assert [row.example.id for row in rows] == ["1", "2", "3", "4"]
    assert [row.example.text for row in rows.rows(2)] == ["row 1", "row 2"]
    assert rows.repeatable and rows.facts()["input"] == f"hub:{folder}" and rows.facts()["digest"]
    write(folder / "test.jsonl", json.dumps({"text": "another", "language": None}))
    assert Rows(f"hub:{folder}").facts()["digest"] != rows.facts()["digest"]


@pytest.mark.parametrize("spec", ["hub:", "hub:nowhere/at-all"])
def test_a_data_set_that_cannot_be_had(spec):
    with pytest.raises(DataError, match=r"expected hub:NAME or hub:NAME:CONFIG|within reach"):
        Rows(spec)


def test_rows_are_counted_and_found_from_any_on(tmp_path):
    lines = [json.dumps({"text": f"t{number}"}) for number in range(7)]
    write(tmp_path / "b.jsonl", *lines[:3], "", "{broken")
    pq.write_table(pa.table({"text": [f"p{number}" for number in range(600)]}), tmp_path / "c.parquet")
    (tmp_path / "d.jsonl").write_text(lines[0], encoding="utf-8")  # no line end
    rows = Rows(str(tmp_path))
    assert rows.total() == 5 + 600 + 1  # a blank line counts
    read = [row.example.text if not isinstance(row, Unread) else None for row in rows]
    assert read == ["t0", "t1", "t2", None, *(f"p{number}" for number in range(600)), "t0"]
    for start in (1, 3, 4, 5, 300, 604, 605, 700):
        again = [row.example.text if not isinstance(row, Unread) else None for row in rows.rows(start)]
        assert again == read[start:]


def test_facts_tell_rows_apart_by_their_content(tmp_path):
    file = write(tmp_path / "rows.jsonl", json.dumps({"text": "a"}))
    facts = Rows(str(file)).facts()
    assert facts == Rows(str(file)).facts()
    write(file, json.dumps({"text": "b"}))
    assert facts != Rows(str(file)).facts()
    assert facts["images"] is None and Rows(str(file), images=tmp_path).facts()["images"] == str(tmp_path)
