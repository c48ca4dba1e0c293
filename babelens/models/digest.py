"""A short name for a model that changes with whatever changes its answers."""

from hashlib import sha256

import msgspec
import torch

from babelens.models.spec import to_plain
from babelens.models.tagger import Tagger

_DIGITS = 32


def model_digest(tagger: Tagger) -> str:
    """The first 32 hexadecimal digits of the SHA-256 of the declaration, the types, the temperature and the weights.

    It does not hang on the device, nor on where the model lies. A gigabyte of weights takes about a second.
    """
    made = sha256()
    plain = {"model": to_plain(tagger.model), "types": tagger.tags.types, "temperature": tagger.temperature}
    made.update(msgspec.json.encode(plain, order="deterministic"))
    for name, tensor in sorted(tagger.state_dict().items()):
        made.update(f"\0{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        made.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return made.hexdigest()[:_DIGITS]
