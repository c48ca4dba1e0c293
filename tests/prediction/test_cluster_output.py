import json

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from babelens.prediction.ask import Ask
from babelens.prediction.cluster_disk import ClusterError, Disk
from babelens.prediction.cluster_output import Done, Manifest, encode_answers
from babelens.prediction.output import line
from babelens.prediction.predictor import Predictor
from babelens.prediction.rows import Unread

FULL = Ask(alternatives=2, image_effect=True, regions=True, model=True)
OPTIONS = {"format": "jsonl", "limit": None}


@pytest.fixture(scope="module")
def answers(tiny_tagger):
    from PIL import Image

    rows = [
        {"id": "a", "text": "Anna Lindqvist visited Paris .", "image": Image.new("RGB", (40, 30))},
        {"id": "b", "text": "Köln \ud800 Paris 😀", "language": "de"},
        Unread("c", "broken"),
        {"id": "d", "text": ""},
    ]
    return list(Predictor(tiny_tagger).predict_batch(rows, ask=FULL))


def without_empty(value):
    if isinstance(value, dict):
        return {name: without_empty(one) for name, one in value.items() if one not in (None, [])}
    return [without_empty(one) for one in value] if isinstance(value, list) else value


def test_jsonl_is_what_the_local_engine_writes(answers):
    assert encode_answers(answers, "jsonl", FULL) == b"".join(map(line, answers))


def test_parquet_holds_the_same(answers):
    read = pq.read_table(pa.BufferReader(encode_answers(answers, "parquet", FULL))).to_pylist()
    expected = [answer.to_dict() for answer in answers]
    assert any(entity["regions"] for entity in expected[0]["entities"]) and expected[1]["entities"]
    plain = json.loads(json.dumps(expected).replace("\\ud800", "\ufffd"))
    assert without_empty(read)[:2] == without_empty(plain)[:2]
    assert without_empty(read)[2] == {"id": "c", "error": "broken"}
    assert (
        read[1]["text"][read[1]["entities"][0]["start"] : read[1]["entities"][0]["end"]]
        == (read[1]["entities"][0]["text"])
    )


@pytest.mark.parametrize("ask", [Ask(), Ask(alternatives=1), Ask(image_effect=True), Ask(regions=True), FULL])
def test_all_shards_have_the_same_columns(answers, ask):
    bare = encode_answers(answers[2:], "parquet", ask)
    full = encode_answers(answers, "parquet", ask)
    assert pq.read_schema(pa.BufferReader(bare)) == pq.read_schema(pa.BufferReader(full))


@pytest.fixture(params=["here", "memory"])
def folder(request, tmp_path):
    if request.param == "here":
        return Disk(str(tmp_path / "out"))
    disk = fsspec.filesystem("memory")
    if disk.exists("/answers"):
        disk.rm("/answers", recursive=True)
    return Disk("memory://answers")


def test_what_is_told_of_and_there_is_done(folder):
    manifest = Manifest(folder, OPTIONS, 3)
    for number in (2, 0):
        (folder / manifest.name(number)).write(b"{}\n")
        manifest.add(Done(number, 5, 7, 1, {"none": 4}))
    (folder / manifest.name(1)).write(b"{}\n")  # written, but not told of
    manifest.save()
    again = Manifest(folder, OPTIONS, 3)
    assert again.done == {0, 2}
    tally = again.tally
    assert (tally.rows, tally.entities, tally.errors, tally.pictures) == (10, 14, 2, {"none": 8})
    (folder / again.name(2)).remove()
    assert Manifest(folder, OPTIONS, 3).done == {0}


def test_other_options_are_refused_and_can_be_forgotten(folder):
    manifest = Manifest(folder, OPTIONS, 1)
    (folder / manifest.name(0)).write(b"{}\n")
    manifest.add(Done(0, 1, 0, 0, {}))
    (folder / f".{manifest.name(0)}.{'0' * 32}").write(b"half")
    manifest.finish()
    assert folder.names() == ["_manifest", "part-000000.jsonl"]
    with pytest.raises(ClusterError, match=r"found other options or another input .limit: 5, was None.; repeat"):
        Manifest(folder, {**OPTIONS, "limit": 5}, 1)
    assert Manifest(folder, {**OPTIONS, "limit": 5}, 1, anew=True).done == set()
    assert folder.names() == ["_manifest"]


def test_what_is_not_ours_stays(folder):
    (folder / "diary.txt").write(b"own")
    for anew in (False, True):
        with pytest.raises(ClusterError, match=r"found diary\.txt"):
            Manifest(folder, OPTIONS, 1, anew=anew)
    assert folder.names() == ["diary.txt"]
    with pytest.raises(ClusterError, match="expected the name of a folder to write, found a file"):
        Manifest(folder / "diary.txt", OPTIONS, 1)


def test_a_kill_at_the_very_start_is_gone_on_with(folder):
    (folder / f"._manifest.{'0' * 32}").write(b"{")
    manifest = Manifest(folder, OPTIONS, 1)
    assert manifest.done == set()
    manifest.finish()
    assert folder.names() == ["_manifest"]


def test_a_broken_manifest_is_told_of(folder):
    (folder / "_manifest").write(b"{")
    with pytest.raises(ClusterError, match=r"expected a manifest, found .*; --anew starts anew"):
        Manifest(folder, OPTIONS, 1)
