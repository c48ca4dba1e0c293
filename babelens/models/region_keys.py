"""What kept regions hang on: digests of region encoders, and of what they read of the pictures of corpora."""

import json
from array import array
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import torch

from babelens.data import Corpus
from babelens.models.region_store import KEY_BYTES, Kind, digest_name
from babelens.modules.vision.crops import CropsEncoder
from babelens.modules.vision.grid_encoder import GridEncoder
from babelens.modules.vision.transform import PictureTransform

# How regions are laid out; a new number makes what is kept worthless, as another version of what follows does.
FORMAT = 1
_CODE = ("data/images.py", "models/draw.py", "modules/vision/*.py")
_LIBRARIES = ("torch", "transformers", "pillow")
# Of a configuration, what says where it was found and not what it makes.
_NOWHERE = ("_name_or_path", "transformers_version", "architectures", "dtype")

RegionEncoder = GridEncoder | CropsEncoder


def kind_of(encoder: RegionEncoder, dtype: torch.dtype, autocast: torch.dtype | None) -> Kind:
    """What is kept of an encoder's regions."""
    return Kind(view_digest(encoder, dtype, autocast), (encoder.regions, encoder.native_dim), dtype)


def view_digest(encoder: RegionEncoder, dtype: torch.dtype, autocast: torch.dtype | None) -> str:
    """A digest of all that the regions of a picture hang on, the picture aside.

    These are the encoder's weights, statistics and configuration, how pictures are cut, types and precision, and the
    code: ours, and the versions of the libraries. Projection and positions, which come after, have no part in it, nor
    has the place where the encoder was found.
    """
    grid = encoder.encoder if isinstance(encoder, CropsEncoder) else encoder
    objects = encoder.transform.objects if isinstance(encoder, CropsEncoder) else None
    transform: PictureTransform = grid.transform
    config = grid.encoder.config.to_dict() if hasattr(grid.encoder, "config") else {}
    processor = transform.processor
    told = {
        "format": FORMAT,
        "code": _code(),
        "stored": str(dtype),
        "computed": str(autocast),
        "encoder": type(grid).__name__,
        "regions": [encoder.regions, encoder.native_dim],
        "modules": repr(grid.encoder),
        "config": {name: value for name, value in config.items() if name not in _NOWHERE},
        "scale": grid.normalisation.scale,
        "processor": [type(processor).__name__, processor.to_dict()],
        "fit": transform.fit,
        "objects": msgspec.to_builtins(objects),
        "adapters": {
            name: module.scaling for name, module in grid.encoder.named_modules() if hasattr(module, "scaling")
        },
    }
    digest = blake2b(json.dumps(told, sort_keys=True, default=repr).encode(), digest_size=KEY_BYTES)
    for part in (grid.encoder, grid.normalisation):
        for name, tensor in sorted([*part.named_parameters(), *part.named_buffers()]):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


@cache
def _code() -> str:
    home = Path(__file__).parent.parent
    files = [file for pattern in _CODE for file in sorted(home.glob(pattern))]
    told = [version(name) for name in _LIBRARIES]
    return blake2b(repr(told).encode() + b"".join(file.read_bytes() for file in files), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Pictures:
    """The distinct pictures of corpora that can be read, sorted by `names`, the digests of their keys.

    `keys` (picture, view, 16) are digests of all that a view reads of a picture: its bytes, and its boxes where the
    view reads boxes. `places` (picture, 3) are a corpus, a row of it and a picture of that, where it is.
    """

    names: np.ndarray
    keys: np.ndarray
    places: np.ndarray

    def of_view(self, number: int) -> np.ndarray:
        """The keys of one view, each as one element."""
        return np.ascontiguousarray(self.keys[:, number]).view(f"S{KEY_BYTES}")[:, 0]

    def distinct(self) -> np.ndarray:
        """The numbers of pictures that differ in what views read of them, in the order of that."""
        whole = self.keys.reshape(len(self.keys), self.keys.shape[1] * KEY_BYTES)
        return np.unique(whole.view(f"S{whole.shape[1]}")[:, 0], return_index=True)[1]


def find_pictures(corpora: Sequence[Corpus], views: dict[int, RegionEncoder]) -> Pictures:
    """The pictures of corpora for these views; every file is read."""
    marks, where = bytearray(), array("i")
    for number, corpus in enumerate(corpora):
        for row in range(len(corpus)):
            for slot, key in enumerate(corpus.picture_keys(row)):
                marks += digest_name(key).tobytes()
                where.extend((number, row, slot))
    names = np.frombuffer(bytes(marks), f"S{KEY_BYTES}")
    places = np.array(where, np.int32).reshape(-1, 3)
    order = np.lexsort((places[:, 0], names))
    names, places = names[order], places[order]
    again = (names[1:] == names[:-1]) & (places[1:, 0] == places[:-1, 0])
    first = np.concatenate([np.ones(min(1, len(names)), bool), ~again])
    names, places = names[first], places[first]

    def keys_at(place: np.ndarray) -> bytes:
        corpus, key = locate(corpora, place)
        content = corpus.content_digest(key)
        return bytes(KEY_BYTES * len(views)) if content is None else keys_of(content, views, corpus, key)

    with ThreadPoolExecutor() as pool:
        keys = np.frombuffer(b"".join(pool.map(keys_at, places)), np.uint8).reshape(len(names), len(views), KEY_BYTES)
    # A picture that is not the same in all corpora cannot be told by its key alone.
    groups = np.concatenate([np.zeros(min(1, len(names)), int), np.cumsum(names[1:] != names[:-1])])
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(names)), bool), names[1:] != names[:-1]]))
    same = (keys == keys[starts][groups]).all((1, 2)) & keys.any((1, 2))
    kept = starts[np.bincount(groups, ~same, minlength=len(starts)) == 0]
    return Pictures(names[kept], keys[kept], places[kept])


def locate(corpora: Sequence[Corpus], place: np.ndarray) -> tuple[Corpus, str]:
    """The corpus of a picture and its key there, of its place (see `Pictures`)."""
    number, row, slot = place.tolist()
    return corpora[number], corpora[number].picture_keys(row)[slot]


def keys_of(content: bytes, views: dict[int, RegionEncoder], corpus: Corpus, key: str) -> bytes:
    """The keys of a picture of this content, one view's after the other."""
    return b"".join(_key_of_view(content, encoder, corpus, key) for encoder in views.values())


def _key_of_view(content: bytes, encoder: RegionEncoder, corpus: Corpus, key: str) -> bytes:
    if not isinstance(encoder, CropsEncoder) or encoder.transform.objects.source != "boxes":
        return content
    boxes = [box for box in corpus.boxes(key) if encoder.transform.objects.reads(box)]
    return blake2b(content + repr(boxes).encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()
