"""Invented names: one inventory of syllables for all types and languages, so that a name never tells its type."""

from collections.abc import Collection, Mapping
from random import Random

ONSETS = ("b", "br", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "tr", "v", "z")
VOWELS = ("a", "e", "i", "o", "u")
CODAS = ("", "", "", "l", "n", "r", "s")


def invent_names(seed: int, counts: Mapping[str, int], taken: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Invent words for names: for each part as many as `counts` says, no word in two parts.

    `taken` are lower-case words that no name may be (those of the sentences). The parts are dealt from one stream in
    the order of `counts`.
    """
    rng = Random(f"{seed}-names")
    seen = set(taken)
    names: dict[str, tuple[str, ...]] = {}
    for part, count in counts.items():
        dealt: list[str] = []
        while len(dealt) < count:
            name = _invent(rng)
            if name not in seen:
                seen.add(name)
                dealt.append(name.capitalize())
        names[part] = tuple(dealt)
    return names


def _invent(rng: Random) -> str:
    """Two or three syllables; a fifth of the names starts with its vowel, which French and Spanish grammar feels."""
    syllables = rng.choice((2, 3, 3))
    parts = [rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(syllables)]
    if rng.random() < 0.2:
        parts[0] = parts[0].lstrip("bdfgklmnprstvz")
    middle = rng.randrange(syllables)
    parts[middle] += rng.choice(CODAS)
    return "".join(parts)
