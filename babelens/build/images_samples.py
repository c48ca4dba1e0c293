"""The samples of one tar shard: what the tar file holds, put together with what was written beside it."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from babelens.build.images_failures import RESIZE, SUCCESS, Status, failure_status
from babelens.data.problems import fault

_ENDINGS = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"})
_FIELDS = ("key", "url", "status", "error_message", "sha256")
_LARGEST_NOTE = 1 << 20
_HINT = "run the same img2dataset command again: it finishes what is not done"


@dataclass(frozen=True)
class Sample:
    """A sample: its KEY, and the place of its picture in the tar file, in bytes; no place where a download has failed.

    `name` is that of the picture's file. `status` and `fault` say what has failed. `sha256` is that of the bytes
    as they were downloaded.
    """

    key: str
    name: str
    start: int | None = None
    size: int | None = None
    url: str | None = None
    status: Status | None = None
    fault: str | None = None
    sha256: str | None = None


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples of a shard: those of its tar file in their order, then those that failed, by their KEY.

    Memory holds the names of one shard.

    Raises:
        DataError: the tar file or the Parquet file beside it is damaged or cut, or a picture is missing in it.
    """
    beside = path.with_suffix(".parquet")
    notes = _read_parquet(beside) if beside.is_file() else None
    members, found = _read_tar(path, read_notes=notes is None)
    notes = found if notes is None else notes
    for key, sample in members.items():
        yield _described(sample, notes.get(key, {}))
    for key in sorted(notes.keys() - members.keys()):
        note = notes[key]
        status = note.get("status")
        if status == SUCCESS:
            raise fault(path, f"the picture {key}, which {beside.name} has as a success", f"none; {_HINT}")
        if isinstance(status, str):
            yield _described(Sample(key, key), note)


def _described(sample: Sample, note: dict[str, Any]) -> Sample:
    url, sha256, status = (
        value if isinstance(value, str) else None for value in map(note.get, ("url", "sha256", "status"))
    )
    if status is None or status == SUCCESS:
        return replace(sample, url=url, sha256=sha256)
    message = str(note.get("error_message") or ("" if status == RESIZE else "no reason given"))
    shown = " ".join(message.split()) or status
    return replace(sample, start=None, size=None, url=url, status=failure_status(status, message), fault=shown)


def _read_parquet(path: Path) -> dict[str, dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = [name for name in _FIELDS if name in file.schema_arrow.names]
            if "key" not in columns:
                raise fault(path, "a column key", ", ".join(file.schema_arrow.names))
            records = [record for batch in file.iter_batches(columns=columns) for record in batch.to_pylist()]
    except (pa.ArrowInvalid, OSError) as error:
        raise fault(path, "a whole Parquet file", f"{str(error).splitlines()[0]}; {_HINT}") from error
    return {str(record["key"]): record for record in records}


def _read_tar(path: Path, read_notes: bool) -> tuple[dict[str, Sample], dict[str, dict[str, Any]]]:
    """The pictures of a tar file by their KEY, and, where they are asked for, what its JSON files say."""
    samples: dict[str, Sample] = {}
    notes: dict[str, dict[str, Any]] = {}
    decode = msgspec.json.Decoder().decode
    try:
        with tarfile.open(path, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # pyright: ignore[reportAttributeAccessIssue]  (it would keep them all)
                key, ending = _split(member.name)
                if not member.isreg() or member.issparse():
                    continue
                if ending in _ENDINGS and key not in samples:
                    samples[key] = Sample(key, member.name, member.offset_data, member.size)
                elif ending == "json" and read_notes and member.size <= _LARGEST_NOTE:
                    notes[key] = _note(tar, member, decode)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise fault(path, "a whole tar file", f"{error}; {_HINT}") from error
    return samples, notes


def _note(tar: tarfile.TarFile, member: tarfile.TarInfo, decode: Any) -> dict[str, Any]:
    file = tar.extractfile(member)
    try:
        note = decode(file.read() if file is not None else b"")
    except (ValueError, RecursionError):
        return {}  # other people's shards may have what they like there
    return note if isinstance(note, dict) else {}


def _split(name: str) -> tuple[str, str]:
    """The KEY of a file and its ending, as webdataset has it: the name is parted at its first dot."""
    folder, slash, file = name.removeprefix("./").rpartition("/")
    stem, _, ending = file.partition(".")
    return f"{folder}{slash}{stem}", ending.lower()
