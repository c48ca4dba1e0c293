"""What region encoders make of pictures, kept on disk in files that are written once and mapped into memory.

The regions of a view lie in a folder named by all that they hang on (`region_keys.view_digest`), in shards: safetensors
files with `keys` (row, 16), what the row's picture shows; `checks` (row,), a CRC-32 of key and regions; and `regions`
(row, region, width). A shard is written beside its place and renamed, and never changed afterwards. Whatever is read is
checked: rows that are damaged count as not there.
"""

import os
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from babelens.data.cache import cache_folder, writable

SHARD_BYTES = 128 << 20
KEY_BYTES = 16
_ENDING = ".safetensors"
_DTYPES = {torch.bfloat16: "BF16", torch.float16: "F16"}
_ABANDONED = 3600.0  # seconds; a shard is written in a few
_OPEN = 256  # shards that a process keeps open


class Kind(NamedTuple):
    """The regions of one view: the digest of what they hang on, (regions, width) of a picture, and their type."""

    digest: str
    shape: tuple[int, int]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """The size of the regions of a picture."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize


def digest_name(name: str) -> np.ndarray:
    """What a name is looked up by: one element of 16 bytes."""
    return np.frombuffer(
        blake2b(name.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest(), f"S{KEY_BYTES}"
    )


class DamagedError(ValueError):
    """A file that is no shard of its view."""


class Shard:
    """A file of regions, mapped into memory.

    Raises:
        DamagedError: the file is truncated, or no shard of this kind.
        OSError: it is not there, or cannot be read.
    """

    def __init__(self, path: Path, kind: Kind) -> None:
        try:
            file = safe_open(path, "pt")
            self._regions = file.get_slice("regions")
            self.keys: np.ndarray = file.get_tensor("keys").clone().numpy()
            self._checks: list[int] = file.get_tensor("checks").tolist()
            found = (self._regions.get_dtype(), tuple(self._regions.get_shape()), (file.metadata() or {}).get("kind"))
        except SafetensorError as error:
            raise DamagedError(f"{path}: {error}") from error
        rows = len(self._checks)
        if found != (_DTYPES[kind.dtype], (rows, *kind.shape), kind.digest) or self.keys.shape != (rows, KEY_BYTES):
            raise DamagedError(f"{path}: expected {rows} x {kind}, found {found}")

    def read(self, row: int) -> Tensor | None:
        """The regions of a row, not to be written to; None where they are damaged."""
        regions: Tensor = self._regions[row]
        return regions if _check(self.keys[row], regions) == self._checks[row] else None


def _check(key: np.ndarray, regions: Tensor) -> int:
    return crc32(regions.view(torch.uint8).numpy().data, crc32(key.tobytes()))


class Places(NamedTuple):
    """Where the regions of pictures lie: `keys`, sorted, and of each the number of its shard in `paths` and its row."""

    keys: np.ndarray
    rows: np.ndarray
    paths: tuple[Path, ...]

    def find(self, keys: np.ndarray) -> np.ndarray:
        """(shard, row) of each key, (-1, -1) of those that are not there."""
        found = np.full((len(keys), 2), -1, np.int32)
        if len(self.keys):
            at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
            there = self.keys[at] == keys
            found[there] = self.rows[at[there]]
        return found


class RegionStore:
    """The regions of one view on disk, shared by all runs; any number of processes may write at once.

    Where the cache folder cannot be written, what is new goes to a folder for temporary files.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.home = cache_folder() / "regions" / kind.digest
        self.folder = writable(self.home)
        self._keys: list[np.ndarray] = []
        self._regions: list[Tensor] = []
        self._size = 0

    def places(self, keys: np.ndarray) -> Places:
        """Where the regions of these keys lie, as far as they are there and whole; all of them are read.

        Files that are no shards are removed, and what dead processes left half-written.
        """
        folders = {self.home, self.folder}
        for path in (path for folder in folders for path in folder.glob(f".*{_ENDING}")):
            _remove(path, older=_ABANDONED)
        paths = sorted(path for folder in folders for path in folder.glob(f"[!.]*{_ENDING}"))
        wanted = np.unique(keys)

        def look(path: Path) -> tuple[np.ndarray, np.ndarray]:
            try:
                shard = Shard(path, self.kind)
            except DamagedError:
                _remove(path)
                return wanted[:0], np.zeros(0, np.int32)
            except OSError:
                return wanted[:0], np.zeros(0, np.int32)
            own = shard.keys.view(f"S{KEY_BYTES}")[:, 0]
            rows = [row for row in np.flatnonzero(np.isin(own, wanted)).tolist() if shard.read(row) is not None]
            return own[rows], np.array(rows, np.int32)

        with ThreadPoolExecutor() as pool:
            looks = list(pool.map(look, paths))
        found = np.concatenate([own for own, _ in looks]) if looks else wanted[:0]
        shards = np.repeat(np.arange(len(looks), dtype=np.int32), [len(own) for own, _ in looks])
        rows = np.concatenate([own for _, own in looks]) if looks else np.zeros(0, np.int32)
        distinct, first = np.unique(found, return_index=True)
        return Places(distinct, np.stack([shards[first], rows[first]], axis=1), tuple(paths))

    def add(self, keys: np.ndarray, regions: Tensor) -> None:
        """Keep the regions (row, region, width) of these keys, of this store's type; see `flush`."""
        self._keys.append(keys)
        self._regions.append(regions)
        self._size += len(keys) * self.kind.bytes
        if self._size >= SHARD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what has been added since the last shard.

        Raises:
            OSError: the disk is full or does not allow writing; nothing is left half-written.
        """
        if not self._keys:
            return
        keys = np.concatenate(self._keys).view(np.uint8).reshape(-1, KEY_BYTES)
        regions = torch.cat(self._regions)
        checks = [_check(key, own) for key, own in zip(keys, regions, strict=True)]
        tensors = {"keys": torch.from_numpy(keys), "checks": torch.tensor(checks), "regions": regions}
        name = f"{uuid.uuid4().hex}{_ENDING}"
        beside = self.folder / f".{name}"
        try:
            beside.write_bytes(save(tensors, {"kind": self.kind.digest}))
            os.replace(beside, self.folder / name)
        except OSError as error:
            error.filename = error.filename or os.fspath(self.folder)
            raise
        finally:
            beside.unlink(missing_ok=True)
        self._keys, self._regions, self._size = [], [], 0


def _remove(path: Path, older: float = 0.0) -> None:
    try:
        if older == 0.0 or time.time() - path.stat().st_mtime > older:
            path.unlink()
    except OSError:
        pass  # another process was faster, or the folder is not ours


class Sizes(NamedTuple):
    """How many distinct pictures were computed and how many were there already, and the bytes of their regions."""

    computed: int
    reused: int
    computed_bytes: int
    reused_bytes: int


class Kept(NamedTuple):
    """The regions of one view: their kind, and of each picture (shard, row) in `paths`, (-1, -1) where it has none."""

    kind: Kind
    rows: np.ndarray
    paths: tuple[Path, ...]


class RegionCache:
    """The kept regions of the pictures of some corpora, by the pictures' keys.

    It can be pickled, and holds 16 bytes a picture and 8 for each view. `names` are the digests of the keys, sorted;
    `views` stand in the order of a tagger's transforms, None where nothing is kept. Regions are those of the weights
    that the tagger had when they were computed.
    """

    def __init__(self, names: np.ndarray, views: Sequence[Kept | None], sizes: Sizes) -> None:
        self._names = names
        self._views = tuple(views)
        self._sizes = sizes
        self._shards: dict[Path, Shard | None] = {}

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_shards": {}}

    def sizes(self) -> Sizes:
        """What it took to make it."""
        return self._sizes

    def read(self, key: str) -> list[Tensor | None]:
        """The regions (region, native width) of a picture for each view, not to be written to.

        None where there are none, or where they are damaged by now.
        """
        name = digest_name(key)
        at = int(np.searchsorted(self._names, name)[0])
        if at == len(self._names) or not (self._names[at : at + 1] == name).all():
            return [None] * len(self._views)
        return [None if view is None else self._read(view, at) for view in self._views]

    def _read(self, view: Kept, at: int) -> Tensor | None:
        number, row = view.rows[at].tolist()
        if number < 0:
            return None
        path = view.paths[number]
        if path not in self._shards:
            if len(self._shards) >= _OPEN:
                self._shards.clear()
            try:
                self._shards[path] = Shard(path, view.kind)
            except (DamagedError, OSError):
                self._shards[path] = None
        shard = self._shards.get(path)
        return None if shard is None else shard.read(row)
