"""Pictures in tar shards (the webdataset layout), such as img2dataset writes, with an index of them on the disk.

A shard is a tar file in which files of one name (to its first dot) are a sample: KEY.jpg, KEY.json, KEY.txt.
img2dataset puts a Parquet file beside it, with a line for each URL, also of those that failed. Nothing is unpacked: a
picture is read from its place in the tar file.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from babelens.build.images_found import Found, census
from babelens.build.images_samples import Sample, read_samples
from babelens.build.images_urls import address, url_digest
from babelens.build.rows import Row
from babelens.data.images import ENDINGS
from babelens.data.problems import fault
from babelens.schema import InputError

_TABLES = """
    CREATE TABLE samples (number INTEGER PRIMARY KEY, key TEXT, shard INTEGER, name TEXT, start INTEGER, size INTEGER,
                          status TEXT, fault TEXT, sha256 TEXT, url INTEGER);
    CREATE TABLE urls (digest BLOB PRIMARY KEY, sample INTEGER, good INTEGER) WITHOUT ROWID;
    CREATE TABLE whole (digest TEXT);
"""
_CACHE = "PRAGMA cache_size = -65536"  # KiB
# A success counts more than a failure, and else the first of several attempts.
_ADD_URL = """
    INSERT INTO urls VALUES (?, ?, ?) ON CONFLICT (digest)
    DO UPDATE SET sample = excluded.sample, good = excluded.good WHERE excluded.good > good
"""
_COLUMNS = "shard, name, start, size, status, fault, sha256"


class Shards:
    """Tar shards in folders.

    A row's picture is found by its `url` in the Parquet file beside a shard, or in KEY.json; otherwise by its `image`,
    which then is the KEY, with or without an ending. A row with a URL is given none that came from another one.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self._shards: list[tuple[Path, str]] = []
        for folder in folders:
            found = sorted(folder.rglob("*.tar")) if folder.is_dir() else []
            if not found:
                raise fault(folder, "a folder of tar shards", "no such folder" if not folder.is_dir() else "no *.tar")
            self._shards += [(path, path.relative_to(folder).as_posix()) for path in found]

    def facts(self) -> Mapping[str, Any]:
        """The number of shards and of the files beside them, and a digest of their names and sizes."""
        return {"from": "shards", **census(self.folders, (".tar", ".parquet"))}

    @contextmanager
    def opened(self, index: Path) -> Iterator["ShardFinder"]:
        """Write the index of all samples, or take the one that is there, if it is of the same shards.

        Raises:
            DataError: a shard is damaged or not done.
        """
        digest = self.facts()["digest"]
        if not _is_whole(index, digest):
            self._write_index(index, digest)
        with closing(sqlite3.connect(f"{index.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute(_CACHE)
            yield ShardFinder(connection, self._shards)

    def _write_index(self, index: Path, digest: str) -> None:
        index.unlink(missing_ok=True)
        with closing(sqlite3.connect(index)) as connection:
            connection.execute(_CACHE)
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            connection.executescript(_TABLES)
            number = 0
            for shard, (path, _) in enumerate(self._shards):
                for sample in read_samples(path):
                    number += 1
                    connection.execute(
                        "INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", _record(number, shard, sample)
                    )
                    if sample.url is not None:
                        good = int(sample.status is None)
                        connection.execute(_ADD_URL, (url_digest(sample.url), number, good))
                connection.commit()
            connection.execute("CREATE INDEX keys ON samples (key)")
            connection.execute("INSERT INTO whole VALUES (?)", (digest,))
            connection.commit()


def _record(number: int, shard: int, sample: Sample) -> tuple[object, ...]:
    place = (sample.name, sample.start, sample.size, sample.status, sample.fault, sample.sha256)
    return number, sample.key, shard, *place, int(sample.url is not None)


def _is_whole(index: Path, digest: str) -> bool:
    if not index.is_file():
        return False
    try:
        with closing(sqlite3.connect(index)) as connection:
            return connection.execute("SELECT digest FROM whole").fetchall() == [(digest,)]
    except sqlite3.Error:
        return False  # a run was stopped while it was written


class ShardFinder:
    """Finds pictures by the index."""

    def __init__(self, connection: sqlite3.Connection, shards: Sequence[tuple[Path, str]]) -> None:
        self._connection = connection
        self._shards = shards

    def find(self, row: Row) -> Found | None:
        """The sample of a row's URL, or else of its picture's name.

        Raises:
            InputError: several samples have that name, and no URL tells them apart.
        """
        url = row.get("url")
        if isinstance(url, str) and url:
            query = f"SELECT {_COLUMNS} FROM samples JOIN urls ON number = sample WHERE digest = ?"
            if (record := self._connection.execute(query, (url_digest(url),)).fetchone()) is not None:
                return self._found(record)
        else:
            url = None
        found = self._by_key(row, without_url=url is not None)
        if found is None and url is not None and address(url) is None:
            return Found(url, Path(), status="dead", fault="no address of http or https")
        return found

    def _by_key(self, row: Row, without_url: bool) -> Found | None:
        image: str = row["image"]
        shorter = [image.removesuffix(ending) for ending in ENDINGS[1:] if image.endswith(ending)]
        query = f"SELECT {_COLUMNS} FROM samples WHERE key = ?{' AND url = 0' if without_url else ''} LIMIT 2"
        for key in (image, *shorter):
            records = self._connection.execute(query, (key,)).fetchall()
            if len(records) > 1:
                places = " and ".join(self._shards[record[0]][1] for record in records)
                raise InputError(f"row {row['id']}: expected one sample {key}, found it in {places}")
            if records:
                return self._found(records[0])
        return None

    def _found(self, record: tuple[Any, ...]) -> Found:
        shard, name, start, size, status, fault, sha256 = record
        path, shown = self._shards[shard]
        return Found(f"{shown}/{name}", path, start, size or 0, status, fault, sha256)


def remove_index(index: Path) -> None:
    """Remove an index, and what a killed process may have left beside it."""
    for path in (index, index.with_name(f"{index.name}-journal")):
        if os.path.lexists(path):
            path.unlink()
