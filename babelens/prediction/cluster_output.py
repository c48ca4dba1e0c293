"""Shards of answers in a folder on any disk, and the manifest that says which of them are there."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from babelens.data.journal import differences
from babelens.prediction.answer import Answer
from babelens.prediction.ask import Ask
from babelens.prediction.cluster_disk import ClusterError, Disk
from babelens.prediction.output import Tally, line

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "_manifest"  # names with such a beginning are no data for Arrow and Spark
Format = Literal["jsonl", "parquet"]
_SURROGATE = re.compile("[\ud800-\udfff]")
_OURS = re.compile(r"\.?(part-\d{6}\.(jsonl|parquet)|_manifest)(\.[0-9a-f]{32})?")


class Done(msgspec.Struct):
    """What a worker tells of a shard that is written: its number, and a `Tally` of its rows."""

    shard: int
    rows: int
    entities: int
    errors: int
    pictures: dict[str, int]


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    """What a manifest says."""

    identity: dict[str, Any]
    shards: int
    done: list[Done] = []


class Manifest:
    """A folder of answers that is being filled: what is being made there, and the shards that are done.

    `identity` says what is made of what, in terms of JSON; only the same is gone on with. A shard
    that is written but not told of in the manifest is written again, with the same bytes: so nothing is lost or doubled
    by a kill, nor by a second run of the same command beside the first. `tally` is what the shards that are there hold.

    Raises:
        ClusterError: something else was being made there, or stands there.
    """

    def __init__(self, folder: Disk, identity: Mapping[str, Any], shards: int, *, anew: bool = False) -> None:
        if folder.is_file():
            raise ClusterError(f"{folder.place}: expected the name of a folder to write, found a file")
        self._folder = folder
        names = folder.names()
        if anew:
            for name in names:
                if _OURS.fullmatch(name):
                    (folder / name).remove()
            names = [name for name in names if not _OURS.fullmatch(name)]
        self._record = _Record(msgspec.to_builtins(identity), shards)
        before = self._read() if MANIFEST in names else None
        if before is not None:
            if changes := differences(before.identity, self._record.identity):
                raise ClusterError(
                    f"{(folder / MANIFEST).place}: expected what was being made there, found other options or another "
                    f"input ({'; '.join(changes[:4])}); repeat that command to finish it, choose another output, or "
                    "use --anew"
                )
            there = set(names)
            before.done = [done for done in before.done if self.name(done.shard) in there]
            self._record = before
        elif strange := [name for name in names if not (name.startswith(".") and _OURS.fullmatch(name))]:
            raise ClusterError(f"{folder.place}: expected a new or an empty folder, found {', '.join(strange[:5])}")
        else:
            self.save()
        self.tally = Tally()
        for done in self._record.done:
            self._count(done)

    @property
    def done(self) -> set[int]:
        """The numbers of the shards that are there."""
        return {done.shard for done in self._record.done}

    def name(self, shard: int) -> str:
        """The file of a shard."""
        return shard_name(shard, self._record.identity["format"])

    def add(self, done: Done) -> None:
        """Note a shard; `save` makes sure of it."""
        self._record.done.append(done)
        self._count(done)

    def save(self) -> None:
        """Write the manifest."""
        self._record.done.sort(key=lambda done: done.shard)
        (self._folder / MANIFEST).write(msgspec.json.encode(self._record) + b"\n")

    def finish(self) -> None:
        """Write the manifest a last time, and remove what killed workers have left."""
        self.save()
        for name in self._folder.names():
            if name.startswith(".") and _OURS.fullmatch(name):
                (self._folder / name).remove()

    def _count(self, done: Done) -> None:
        self.tally.rows += done.rows
        self.tally.entities += done.entities
        self.tally.errors += done.errors
        self.tally.pictures.update(done.pictures)

    def _read(self) -> _Record:
        place = self._folder / MANIFEST
        try:
            return msgspec.json.decode(place.read(), type=_Record)
        except msgspec.MsgspecError as error:
            raise ClusterError(f"{place.place}: expected a manifest, found {error}; --anew starts anew") from error


def shard_name(number: int, format: str) -> str:
    """The name of the file of a shard."""
    return f"part-{number:06}.{format}"


def encode_answers(answers: Sequence[Answer], format: Format, ask: Ask) -> bytes:
    """Answers as the content of a file: JSONL as the local engine writes it, or Parquet of the same fields.

    In Parquet `image` is always a list, and half surrogate pairs, which it cannot hold, are U+FFFD.
    """
    if format == "jsonl":
        return b"".join(map(line, answers))
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [_cleaned({**answer.to_dict(), "image": list(answer.images)}) for answer in answers]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, _schema(ask)), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def count_answers(shard: int, answers: Sequence[Answer]) -> Done:
    """What is told of a shard."""
    tally = Tally(pictures=Counter())
    for answer in answers:
        tally.add(answer)
    return Done(shard, tally.rows, tally.entities, tally.errors, dict(tally.pictures))


def _schema(ask: Ask) -> "pa.Schema":
    """The columns of answers; they hang on what was asked for alone, so that all shards have the same."""
    import pyarrow as pa

    text, share, place = pa.string(), pa.float64(), pa.int64()
    gaze = [("weights", pa.list_(pa.list_(share))), ("elsewhere", share)]
    plain = [("start", place), ("end", place), ("text", text), ("type", text), ("score", share)]
    mention = list(plain)
    if ask.alternatives:
        other = pa.struct([("type", text), ("score", share)])
        mention += [("alternatives", pa.list_(other)), ("no_entity", share), ("other_borders", share)]
    if ask.image_effect:
        mention.append(("image_effect", pa.struct([("change", text), ("type", text), ("score", share)])))
    if ask.regions:
        mention.append(("regions", pa.list_(pa.struct(gaze))))
    columns = [("id", text), ("text", text), ("entities", pa.list_(pa.struct(mention))), ("image_status", text)]
    columns += [("image", pa.list_(text)), ("language", text)]
    if ask.image_effect:
        columns.append(("without_image", pa.list_(pa.struct(mention))))
    if ask.regions:
        seen = [("view", text), ("image", place), ("size", pa.list_(place)), ("box", pa.list_(share)), *gaze]
        columns.append(("regions", pa.list_(pa.struct(seen))))
    return pa.schema([*columns, ("model", text), ("error", text)])


def _cleaned(value: Any) -> Any:
    """A value without halves of surrogate pairs, one sign for each, so that offsets hold."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {name: _cleaned(one) for name, one in value.items()}
    return [_cleaned(one) for one in value] if isinstance(value, list) else value
