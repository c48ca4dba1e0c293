"""Puts an assembled data set on the Hugging Face hub. Not tried across the network; tested against a stand-in."""

from pathlib import Path
from typing import Any

import msgspec

from babelens.build.assemble import NAME
from babelens.build.assemble_files import SUMS, wrong_sums
from babelens.build.rows import STEP
from babelens.data.problems import fault, listing
from babelens.schema import InputError

_SHOWN = 5


def push_to_hub(folder: Path, repo_id: str, private: bool = True, api: Any = None) -> str:
    """Upload a data set folder that `assemble` has written, and give the address of the commit.

    The repository is made if there is none. The files are compared with their checksums before. `api` is what is
    asked, a `huggingface_hub.HfApi` with the token of the machine by default.

    Raises:
        DataError: the folder is none that `assemble` has written.
        InputError: files were changed since; or the repository is there already, and is public where a private one is
            asked for (or the other way round).
        huggingface_hub.errors.HfHubHTTPError: the hub refuses, or is not within reach.
    """
    _check(folder)
    if api is None:
        from huggingface_hub import HfApi

        api = HfApi()
    api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
    if bool(api.repo_info(repo_id, repo_type="dataset").private) != private:
        wanted, found = ("private", "public") if private else ("public", "private")
        raise InputError(f"{repo_id}: expected a {wanted} data set on the hub, found one that is {found} already")
    done = api.upload_folder(
        repo_id=repo_id, folder_path=folder, repo_type="dataset", commit_message=f"Data set {folder.resolve().name}"
    )
    return str(done.commit_url)


def _check(folder: Path) -> None:
    path = folder / STEP
    if not path.is_file() or not (folder / SUMS).is_file():
        raise fault(folder, f"a data set that assemble has written (with {STEP} and {SUMS})", "none")
    if (step := msgspec.json.decode(path.read_bytes()).get("step")) != NAME:
        raise fault(path, f"the step {NAME}", str(step))
    if wrong := wrong_sums(folder):
        raise InputError(
            f"{folder / SUMS}: expected files as they were written, found others: {listing(wrong[:_SHOWN])}"
        )
