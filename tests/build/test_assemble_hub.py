import json
from types import SimpleNamespace

import pytest

from babelens.build.assemble_files import write_sums
from babelens.build.assemble_hub import push_to_hub
from babelens.data.problems import DataError
from babelens.schema import InputError


class Hub:
    """What of the hub's interface is used; keeps what it was asked."""

    def __init__(self, private=True):
        self.private = private
        self.asked = []

    def create_repo(self, repo_id, **options):
        self.asked.append(("create", repo_id, options))

    def repo_info(self, repo_id, **options):
        return SimpleNamespace(private=self.private)

    def upload_folder(self, **options):
        self.asked.append(("upload", options))
        return SimpleNamespace(commit_url="here/commit/1")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"text": "Lyon"}\n')
    write_sums(folder)
    (folder / "step.json").write_text(json.dumps({"step": "assemble"}))
    return folder


def test_a_private_data_set_is_made_and_filled(folder):
    hub = Hub()
    assert push_to_hub(folder, "someone/set", api=hub) == "here/commit/1"
    (_, name, options), (_, upload) = hub.asked
    assert (name, options) == ("someone/set", {"repo_type": "dataset", "private": True, "exist_ok": True})
    assert (upload["repo_id"], upload["folder_path"], upload["repo_type"]) == ("someone/set", folder, "dataset")


@pytest.mark.parametrize(
    ("wanted", "words"), [(True, "private data set on the hub, found one that is public"), (False, "public")]
)
def test_nothing_goes_where_others_may_read_it(folder, wanted, words):
    hub = Hub(private=not wanted)
    with pytest.raises(InputError, match=words):
        push_to_hub(folder, "someone/set", wanted, hub)
    assert [name for name, *_ in hub.asked] == ["create"]


def test_changed_files_stay_here(folder):
    (folder / "train.jsonl").write_text("changed")
    hub = Hub()
    with pytest.raises(InputError, match=r"train\.jsonl"):
        push_to_hub(folder, "someone/set", api=hub)
    assert hub.asked == []


def test_other_folders_stay_here(folder, tmp_path):
    with pytest.raises(DataError, match="a data set that assemble has written"):
        push_to_hub(tmp_path, "someone/set", api=Hub())
    (folder / "step.json").write_text(json.dumps({"step": "choose"}))
    with pytest.raises(DataError, match="expected the step assemble, found choose"):
        push_to_hub(folder, "someone/set", api=Hub())


def test_the_calls_are_those_of_the_package():
    """The stand-in takes what the real interface takes."""
    from inspect import signature

    from huggingface_hub import HfApi

    signature(HfApi.create_repo).bind(None, "a/b", repo_type="dataset", private=True, exist_ok=True)
    signature(HfApi.repo_info).bind(None, "a/b", repo_type="dataset")
    signature(HfApi.upload_folder).bind(None, repo_id="a/b", folder_path=".", repo_type="dataset", commit_message="set")
