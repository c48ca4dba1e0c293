"""Prediction on Ray Data: shards of rows are read, answered and written by actors that hold the model.

The driver counts the rows and keeps the manifest; rows and answers never pass through it. A shard has a whole number of
the blocks that `stream_answers` works in, so batches, and with them answers, are those of the local engine.
"""

import errno
import logging
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import torch

import babelens
from babelens.data.journal import Interrupted
from babelens.prediction.ask import PLAIN, Ask
from babelens.prediction.cluster_actors import Cluster, connected, load_ray
from babelens.prediction.cluster_disk import ClusterError, Disk
from babelens.prediction.cluster_input import File, Pictures, Shard, ShardReader, cut_rows, find_files
from babelens.prediction.cluster_output import (
    Done,
    Format,
    Manifest,
    count_answers,
    encode_answers,
    shard_name,
)
from babelens.prediction.output import Tally
from babelens.prediction.predictor import Predictor
from babelens.prediction.stream import Pace, stream_answers
from babelens.schema import InputError

BLOCKS = 2
"""Blocks of rows in a shard, unless something else is asked for."""
SECONDS = 2.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Job:
    """All that an actor has to know: the model and its digest, where rows and pictures are, and where answers go."""

    model: str
    digest: str
    device: str | None
    threads: int
    files: tuple[File, ...]
    pictures: Pictures
    out: str
    format: Format
    pace: Pace
    ask: Ask


def predict_on_ray(
    model: str,
    digest: str,
    source: str,
    out: str,
    *,
    cluster: Cluster | None = None,
    pictures: Pictures | None = None,
    pace: Pace | None = None,
    ask: Ask = PLAIN,
    limit: int | None = None,
    format: Format = "jsonl",
    blocks: int = BLOCKS,
    anew: bool = False,
    tell: Callable[[Tally], object] = lambda tally: None,
    seconds: float = SECONDS,
) -> Tally:
    """Answer the rows of `source`, or the first `limit` of them, into shards in the folder `out`, on a Ray cluster.

    `model` is a folder or the id of a hub that every node of the cluster sees, `digest` what `Predictor.digest` says of
    it. `source` and `out` are paths, or addresses that fsspec understands, which all nodes see too. The shards,
    `part-000000.jsonl` and so on, have `blocks` blocks of rows each (see `Pace`), and one after the other they are what
    the local engine writes. The same call after a kill goes on; `anew` forgets what was there. `tell` is called
    with what is done, at the start and then with each shard.

    Raises:
        DataError, ClusterError: what is asked for cannot be done, or a worker could not do it (a picture cannot be
            opened, and pictures are strict; its disk is full); shards that are done stay.
        Interrupted: Ctrl-C; the same call goes on.
    """
    cluster, pictures, pace = cluster or Cluster(), pictures or Pictures(), pace or Pace()
    folder = Disk(out)
    files = find_files(source)
    for place in (out, *(file.place for file in files)):
        if place.startswith("memory://"):
            raise ClusterError(f"{place}: expected a disk that all workers see, found the memory of one process")
    if pictures.folder is not None:
        pictures = msgspec.structs.replace(pictures, folder=_picture_folder(pictures.folder))
    shards, digests = cut_rows(files, blocks * pace.block, limit)
    if not shards:
        raise ClusterError(f"{source}: expected at least one row, found blank lines only")
    identity = {
        "verb": "predict",
        "version": babelens.__version__,
        "model": digest,
        "input": [{"file": file.place, "digest": own} for file, own in zip(files, digests, strict=False)],
        "pictures": msgspec.to_builtins(pictures),
        "ask": msgspec.to_builtins(ask),
        "batch": pace.rows,
        "words": pace.words,
        "limit": limit,
        "format": format,
        "rows_of_a_shard": blocks * pace.block,
    }
    manifest = Manifest(folder, identity, len(shards), anew=anew)
    tell(manifest.tally)
    done = manifest.done
    left = [shard for shard in shards if shard.number not in done]
    job = Job(
        str(Path(model).resolve()) if Path(model).is_dir() else model,
        digest,
        cluster.device,
        cluster.cpus,
        tuple(files),
        pictures,
        folder.place,
        format,
        replace(pace, makers=cluster.cpus) if cluster.gpus and pace.makers is None else pace,
        ask,
    )
    if not left:
        return manifest.tally
    try:
        _answer(job, left, cluster, manifest, tell, seconds)
    except BaseException as error:
        manifest.save()
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(f"{out}: stopped; what is done is kept: run the same command to go on") from None
        raise
    manifest.finish()
    return manifest.tally


def _picture_folder(folder: str) -> str:
    disk = Disk(folder)
    if not disk.is_folder():
        raise ClusterError(f"{folder}: expected a folder of pictures, found none")
    return disk.place


def _answer(
    job: Job,
    shards: Sequence[Shard],
    cluster: Cluster,
    manifest: Manifest,
    tell: Callable[[Tally], object],
    seconds: float,
) -> None:
    """Have the shards made, and note each in the manifest as it is done."""
    ray = load_ray()
    with connected(cluster):
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        work = [{"shard": msgspec.json.encode(shard).decode()} for shard in shards]
        made = ray.data.from_items(work, override_num_blocks=len(work)).map_batches(
            ShardAnswerer,
            fn_constructor_args=(msgspec.json.encode(job).decode(),),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(cluster.actors, len(shards))),
            num_cpus=cluster.cpus,
            num_gpus=cluster.gpus,
        )
        next_time = monotonic() + seconds
        for row in made.iter_rows():
            if row["fault"]:
                raise ClusterError(row["fault"], int(row["exit_code"]))
            manifest.add(msgspec.json.decode(row["done"], type=Done))
            tell(manifest.tally)
            if monotonic() >= next_time:
                manifest.save()
                next_time = monotonic() + seconds


class ShardAnswerer:
    """What runs in an actor: loads the model when the first shard comes, and answers one shard after the other."""

    def __init__(self, job: str) -> None:
        self._job = msgspec.json.decode(job, type=Job)
        self._reader = ShardReader(self._job.files, self._job.pictures)
        self._predictor: Predictor | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Answer and write shards: for each `done`, or the `fault` that stands in the way and its exit code.

        What is no fault of the input is raised, and ends the whole.
        """
        told: list[tuple[str, str, int]] = []
        for shard in batch["shard"]:
            try:
                done = self._answer(msgspec.json.decode(str(shard), type=Shard))
                told.append((msgspec.json.encode(done).decode(), "", 0))
            except InputError as error:
                told.append(("", str(error), error.exit_code))
        names = ("done", "fault", "exit_code")
        return {name: list(column) for name, column in zip(names, zip(*told, strict=True), strict=True)}

    def _answer(self, shard: Shard) -> Done:
        job = self._job
        predictor = self._loaded()
        answers = list(stream_answers(predictor, self._reader.rows(shard), job.pace, job.ask))
        place = Disk(job.out) / shard_name(shard.number, job.format)
        try:
            place.write(encode_answers(answers, job.format, job.ask))
        except OSError as error:
            full = error.errno in _FULL
            raise ClusterError(
                f"{place.place}: " + ("the disk is full" if full else f"expected to be able to write, found: {error}"),
                3 if full else 1,
            ) from error
        return count_answers(shard.number, answers)

    def _loaded(self) -> Predictor:
        if self._predictor is None:
            torch.set_num_threads(self._job.threads)
            predictor = babelens.load(self._job.model, self._job.device)
            if predictor.digest != self._job.digest:
                raise ClusterError(
                    f"{self._job.model}: expected the model {self._job.digest} on every machine, found "
                    f"{predictor.digest} on {platform.node()}"
                )
            self._predictor = predictor
        return self._predictor
