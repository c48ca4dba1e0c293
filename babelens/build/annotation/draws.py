"""Chances that hang on a seed and a name alone, so that rows added later change none of those before."""

from hashlib import sha256
from random import Random


def draw(seed: int, *names: str) -> float:
    """A number in 0..1 (without 1) for a seed and names: the same on every machine and in every order of rows."""
    return int.from_bytes(sha256(_key(seed, names)).digest()[:6], "big") / (1 << 48)


def source(seed: int, *names: str) -> Random:
    """A source of chances for a seed and names."""
    return Random(_key(seed, names))


def _key(seed: int, names: tuple[str, ...]) -> bytes:
    # Lengths keep ("a", "bc") and ("ab", "c") apart.
    return "/".join([str(seed), *(f"{len(name)}:{name}" for name in names)]).encode()
