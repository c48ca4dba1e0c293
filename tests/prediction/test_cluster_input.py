import json
import random

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from babelens.prediction.cluster_disk import ClusterError
from babelens.prediction.cluster_input import Pictures, ShardReader, cut_rows, find_files
from babelens.prediction.inputs import Rows
from babelens.prediction.rows import Unread

LINES = [
    '{"text": "Köln 😀"}',
    "",
    "{broken",
    '{"id": 7, "text": "Anna"}',
    "   ",
    '{"no": 1}',
    '{"text": "x", "image": 3}',
]


def content(rows):
    """What tells rows apart, but for how a picture is opened."""
    return [row if isinstance(row, Unread) else (row.example, row.keys) for row in rows]


def cut(place, size, limit=None, pictures=None):
    files = find_files(place)
    shards, _ = cut_rows(files, size, limit)
    reader = ShardReader(files, pictures or Pictures())
    return [content(reader.rows(shard)) for shard in shards]


@settings(max_examples=40, deadline=None)
@given(
    files=st.lists(st.lists(st.sampled_from(LINES), min_size=1, max_size=12), min_size=1, max_size=4),
    size=st.integers(1, 9),
    limit=st.none() | st.integers(1, 30),
    ended=st.booleans(),
)
def test_shards_one_after_the_other_are_the_rows_of_the_local_engine(tmp_path_factory, files, size, limit, ended):
    folder = tmp_path_factory.mktemp("rows")
    for number, lines in enumerate(files):
        (folder / f"{number}.jsonl").write_text("\n".join(lines) + ("\n" if ended or not lines[-1] else ""))
    rows = content(Rows(str(folder)))[:limit]
    parts = cut(str(folder), size, limit)
    assert [row for part in parts for row in part] == rows
    assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
@pytest.mark.parametrize("limit", [None, 1, 150])
def test_tables_are_cut_within_their_groups_of_rows(tmp_path, size, limit):
    rows = [{"id": None if number % 3 else f"r{number}", "text": f"Zoé {number}", "own": 1} for number in range(200)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=33)
    pq.write_table(pa.Table.from_pylist(rows[:50]), tmp_path / "b.parquet")
    (tmp_path / "c.jsonl").write_text('{"text": "last"}\n')
    parts = cut(str(tmp_path), size, limit)
    assert [row for part in parts for row in part] == content(Rows(str(tmp_path)))[:limit]
    assert {len(part) for part in parts[:-1]} <= {size}


def test_files_elsewhere_are_found_by_folder_and_by_pattern(tmp_path):
    disk = fsspec.filesystem("memory")
    draw = random.Random(1)
    for name in ("b.jsonl", "a.jsonl", "notes.md"):
        lines = [json.dumps({"id": f"{name}{number}", "text": "x " * draw.randint(0, 5)}) for number in range(10)]
        disk.pipe_file(f"/found/{name}", "\n".join(lines).encode())
        (tmp_path / name).write_text("\n".join(lines))
    (tmp_path / "notes.md").unlink()
    expected = [row[0].id for row in content(Rows(str(tmp_path)))]
    for place in ("memory://found", "memory://found/", "memory://found/*.jsonl"):
        assert [row[0].id for part in cut(place, 4) for row in part] == expected
    assert [row[0].id for part in cut("memory://found/b.jsonl", 4) for row in part] == expected[10:]
    assert len(cut(f"file://{tmp_path}", 4)) == 5


def test_pictures_elsewhere_are_those_of_a_folder_here(tmp_path):
    disk = fsspec.filesystem("memory")
    Image.new("RGB", (4, 3), (9, 99, 200)).save(tmp_path / "a.png")
    disk.pipe_file("/shown/images/a.png", (tmp_path / "a.png").read_bytes())
    disk.pipe_file("/shown/images/b.jpg", b"no picture")
    disk.pipe_file("/secret.png", (tmp_path / "a.png").read_bytes())
    names = ["a", "a.png", "b", "gone", "../../secret", "../secret.png", "/secret.png"]
    lines = [json.dumps({"text": "x", "image": name}) for name in names]
    disk.pipe_file("/shown/rows.jsonl", "\n".join(lines).encode())
    files = find_files("memory://shown/rows.jsonl")
    (shard,) = cut_rows(files, 100)[0]
    for pictures in (Pictures(), Pictures("memory://shown/images")):
        opened = [row.open(row.keys[0]) for row in ShardReader(files, pictures).rows(shard)]
        assert [one.status for one in opened] == ["used", "used", "unreadable", *["missing"] * 4]
        assert opened[0].image.size == (4, 3) and opened[0].image.getpixel((0, 0)) == (9, 99, 200)


def test_a_file_that_has_changed_since_is_told_of(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b"}\n')
    files = find_files(str(path))
    (shard,) = cut_rows(files, 10)[0]
    path.write_text('{"text": "a"}\n')
    with pytest.raises(ClusterError, match="expected 2 rows in a piece, found 1"):
        list(ShardReader(files, Pictures()).rows(shard))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gone.jsonl", None, "gone.jsonl: expected a file or a folder of JSONL or Parquet files, found none"),
        ("rows.conll", "Anna B-PER", "expected a name that ends in .jsonl, .ndjson, .json, .parquet for --engine ray"),
        ("empty.jsonl", "", "expected at least one row, found an empty file"),
        ("list.json", '[{"text": "a"}]', r"list.json:1: expected one JSON object a line \(JSONL\), found a JSON list"),
        ("rows.parquet", "no table", "expected a Parquet file, found:"),
    ],
)
def test_what_cannot_be_read_is_told_of_before_anything_is_begun(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ClusterError, match=message):
        cut(str(tmp_path / name), 10)


def test_places_that_no_worker_sees_are_refused(tmp_path):
    pq.write_table(pa.table({"own": [1]}), tmp_path / "own.parquet")
    with pytest.raises(ClusterError, match="expected a column text or tokens, found own"):
        cut(str(tmp_path), 10)
    for place in ("-", "hub:user/set"):
        with pytest.raises(ClusterError, match="expected JSONL or Parquet files for --engine ray"):
            find_files(place)
    with pytest.raises(
        ClusterError, match=r"nowhere://x: expected a disk that fsspec reaches, found: Protocol not known"
    ):
        find_files("nowhere://x")


class Closed(fsspec.AbstractFileSystem):
    """A disk whose library has its own kinds of errors."""

    protocol = "closed"

    def info(self, path, **_):
        raise RuntimeError("no credentials\nand much more")


def test_a_disk_out_of_reach_is_told_of_in_a_line():
    fsspec.register_implementation("closed", Closed, clobber=True)
    with pytest.raises(ClusterError, match=r"found: RuntimeError: no credentials$"):
        find_files("closed://bucket/rows")
