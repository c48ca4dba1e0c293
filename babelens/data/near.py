"""Texts that are nearly the same: their sets of character shingles overlap by more than a threshold.

Candidates are found by MinHash (Broder, "On the resemblance and containment of documents", 1997) and locality-sensitive
hashing in bands (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", section 3.4); each is then checked
exactly.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np

from babelens.data.split import normalise

SHINGLE = 5  # characters
THRESHOLD = 0.8
_HASHES = 144
_RECALL = 0.999
_CHUNK = 1024
_PAIRS = 1 << 15
_SEED = 20_240_229
_ODD = np.uint64(0x9E37_79B9_7F4A_7C15)
_HALF = np.uint64(32)

# Tokenised links have blanks in them: "http : / /t . co/F3Bk2".
_LINK = re.compile(
    r"(?:https?\s*:\s*/\s*/\s*|\bwww\.|\bt\.co/|\bpic\.twitter\.com/)\S*(?:\s\.\s\S*/\S*)*", re.IGNORECASE
)
_USER = re.compile(r"@\s?\w+")


def plain(text: str) -> str:
    """A text as it is compared: without links and user names, and normalised (see `split.normalise`).

    Where less than a shingle is left, it is the normalised text with all that is in it.
    """
    left = normalise([_USER.sub(" ", _LINK.sub(" ", text))])
    return left if len(left) >= SHINGLE else normalise([text])


def near_duplicates(texts: Sequence[str], threshold: float = THRESHOLD) -> np.ndarray:
    """The pairs of texts (pair, 2) that are nearly the same, as numbers of texts, the smaller one first, sorted.

    Two texts are so if the Jaccard similarity of their sets of 5-character shingles (of the `plain` texts) is at least
    the threshold. Texts too short for a shingle are so only if they are equal; empty texts never are. So that the pairs
    of a text that is there a thousand times are not a million, each of equal plain texts is paired with the first of
    them, and only the first with others.

    Every pair returned is right; a pair may be missed. Bands are chosen so that one at the threshold itself is found
    with a probability of at least 0.999 (0.9993 at 0.8), a more similar one with a higher one (0.99999 at 0.9). Beside
    a comparison of all pairs, 25 of some 74,000 with a similarity from 0.8 to 0.85 were missed (invented texts with
    random edits and texts made from templates), and none of the 3,439 from 0.8 on in 200,000 real captions, tweets and
    sentences of Wikipedia. Pairs of texts that have much in common are not missed independently: where one of a
    template is missed, another may be as well, so that a small corpus can lack more than one in a thousand.

    The answer is the same every time. Besides the texts, memory holds about a hundred bytes a text, and the pairs
    found. 45,000 captions and tweets take about a second of one core; texts made from one template are all compared
    with each other (3,000 of them in some 13 seconds).

    Raises:
        ValueError: the threshold is not above 0 and up to 1.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"expected a threshold above 0 and up to 1, found {threshold}")
    firsts: dict[str, int] = {}
    found = [
        (first, number)
        for number, form in enumerate(map(plain, texts))
        if form and (first := firsts.setdefault(form, number)) != number
    ]
    forms = [form for form in firsts if len(form) >= SHINGLE]
    numbers = np.array([firsts[form] for form in forms], np.int64)
    pairs = [np.array(found, np.int64).reshape(-1, 2)]
    for candidates in _candidates(_band_keys(forms, threshold)):
        for start in range(0, len(candidates), _PAIRS):
            pairs.append(numbers[_similar(forms, candidates[start : start + _PAIRS], threshold)])
    every = np.sort(np.concatenate(pairs), axis=1)
    return every[np.lexsort((every[:, 1], every[:, 0]))]


def _rows_of_band(threshold: float) -> int:
    """The most hashes that a band may have, so that a pair at the threshold is still found often enough."""
    fitting = [rows for rows in range(1, 17) if (1 - threshold**rows) ** (_HASHES // rows) <= 1 - _RECALL]
    return max(fitting, default=1)


def _band_keys(forms: Sequence[str], threshold: float) -> np.ndarray:
    """A key of 32 bits for each text and band (text, band): equal keys make a candidate."""
    rows = _rows_of_band(threshold)
    bands = _HASHES // rows
    generator = np.random.Generator(np.random.PCG64(_SEED))
    factors = generator.integers(0, 1 << 64, bands * rows, np.uint64) | np.uint64(1)
    shifts = generator.integers(0, 1 << 64, bands * rows, np.uint64)
    keys = np.empty((len(forms), bands), np.uint32)
    for start in range(0, len(forms), _CHUNK):
        chunk = forms[start : start + _CHUNK]
        shingles, starts = _shingles(chunk)
        for band in range(bands):
            key = np.zeros(len(chunk), np.uint64)
            for number in range(band * rows, (band + 1) * rows):
                least = np.minimum.reduceat((shingles * factors[number] + shifts[number]) >> _HALF, starts)
                key = _mix(key * _ODD + least)
            keys[start : start + len(chunk), band] = key >> _HALF
    return keys


def _shingles(forms: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The 64-bit hashes of all shingles of texts that have some, one text after the other, and where each begins."""
    codes = np.frombuffer("".join(forms).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    hashes = np.zeros(len(codes) - SHINGLE + 1, np.uint64)
    for at in range(SHINGLE):
        hashes = hashes * _ODD + codes[at : at + len(hashes)]
    counts = np.array([len(form) - SHINGLE + 1 for form in forms])
    starts = np.cumsum(counts) - counts
    # Between two texts stand the shingles that begin in the one and end in the other.
    owners = np.repeat(np.arange(len(forms)), counts)
    return _mix(hashes[np.arange(len(owners)) + (SHINGLE - 1) * owners]), starts


def _mix(values: np.ndarray) -> np.ndarray:
    """Spread what tells values apart over all their bits (the finaliser of MurmurHash3)."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51_AFD7_ED55_8CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CE_B9FE_1A85_EC53)
    return values ^ (values >> np.uint64(33))


def _candidates(keys: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs of texts (pair, 2) with an equal key in a band, each once, no more at a time than there are texts."""
    for band in range(keys.shape[1]):
        order = np.argsort(keys[:, band], kind="stable")
        sorted_ = keys[order, band]
        at = np.arange(len(order))
        for step in range(1, len(order)):
            at = at[at + step < len(order)]
            at = at[sorted_[at] == sorted_[at + step]]
            if not len(at):
                break
            one, other = order[at], order[at + step]
            # Those that an earlier band has found are known.
            new = ~(keys[one, :band] == keys[other, :band]).any(1)
            yield np.stack([one[new], other[new]], axis=1)


def _similar(forms: Sequence[str], pairs: np.ndarray, threshold: float) -> np.ndarray:
    """Those of the pairs (pair, 2) whose sets of shingles are similar enough."""
    sets = {number: shingles_of(forms[number]) for number in map(int, np.unique(pairs))}
    kept = []
    for one, other in pairs.tolist():
        a, b = sets[one], sets[other]
        if min(len(a), len(b)) >= threshold * max(len(a), len(b)):
            common = len(a & b)
            kept.append(common >= threshold * (len(a) + len(b) - common))
        else:
            kept.append(False)
    return pairs[np.array(kept, bool)]


def shingles_of(form: str) -> set[str]:
    """The set of shingles of a plain text."""
    return {form[at : at + SHINGLE] for at in range(len(form) - SHINGLE + 1)}
