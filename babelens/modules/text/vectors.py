"""Word vectors from text files as GloVe (Pennington et al., 2014) and fastText (Bojanowski et al., 2017) have them."""

import gzip
import logging
import zlib
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import msgspec
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from babelens.modules.text.vocabulary import Vocabulary, forms, rank_characters, rank_words
from babelens.schema import InputError

FILE = "vectors.json"
_PACKED = (".zip", ".bin", ".tar", ".tgz", ".bz2", ".xz")
_log = logging.getLogger(__name__)


class Coverage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many words of the training text have a vector in a file, and how they were found there.

    `words` counts different words, of which `exact`, `lower` and `digits` were found as written, in lower case, and
    with each digit as 0; `running` counts all words, of which `running_found` have a vector. `added` words of the file
    are known besides.
    """

    file: str
    words: int
    exact: int
    lower: int
    digits: int
    running: int
    running_found: int
    added: int

    @property
    def found(self) -> int:
        """The number of different words with a vector."""
        return self.exact + self.lower + self.digits

    def __str__(self) -> str:
        share = 100 * self.running_found / max(1, self.running)
        return (
            f"{self.file} has {self.found:,} of {self.words:,} training words ({self.exact:,} as written, "
            f"{self.lower:,} in lower case, {self.digits:,} with digits as 0), {share:.1f} % of the running text; "
            f"{self.added:,} more words taken from it"
        )

    def save(self, folder: Path) -> None:
        """Write `vectors.json`."""
        (folder / FILE).write_bytes(msgspec.json.encode(self))

    @classmethod
    def load(cls, folder: Path) -> "Coverage | None":
        """Read `vectors.json`; None where there is none.

        Raises:
            InputError: it is not what `save` writes.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: expected the coverage of word vectors as JSON, found: {error}") from error


class Loaded(NamedTuple):
    """A vocabulary whose last words have vectors (word, dim), and how much of the text these cover."""

    vocabulary: Vocabulary
    table: Float[Tensor, "vectored dim"]
    coverage: Coverage


def learn_with_vectors(
    sentences: Iterable[Sequence[str]], limit: int, path: Path, dim: int, *, added: int, own: bool
) -> Loaded:
    """Learn a vocabulary in which every word has its vector of the file, where the file has one (`vocabulary.forms`).

    The first `added` words of the file are taken in besides, so that words that only later texts have are known; files
    list the most frequent first. Words without a vector, at most `limit`, are kept as `Vocabulary.learn` does. With
    `own`, each training word has a row of its own, so that "Apple" and "apple", which start from one vector, may come
    to differ.

    Raises:
        InputError: the file is not what is expected, or has no word of the text.
    """
    seen = Counter(word for sentence in sentences for word in sentence)
    found = read_vectors(path, dim, {form for word in seen for form in forms(word)}, added)
    rest: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    sources: dict[str, str] = {}
    exact, lower, digits = 0, 0, 0
    for word, count in seen.items():
        form = next((form for form in forms(word) if form in found), None)
        if form is None:
            rest[word] += count
            continue
        exact += form == word
        lower += form == word.lower() != word
        digits += form not in (word, word.lower())
        name = word if own else form
        counts[name] += count
        sources[name] = form
    if not sources:
        raise InputError(
            f"{path}: expected vectors of words of the training text, found none of its {len(seen):,} words"
        )
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    names = [*ranked, *(word for word in found if word not in counts)]
    plain = rank_words(rest, limit)
    vocabulary = Vocabulary(
        words=(*plain, *names),
        counts=(*plain.values(), *(counts[word] for word in names)),
        characters=rank_characters(seen),
        vectored=len(names),
    )
    table = torch.from_numpy(np.stack([found[sources.get(word, word)] for word in names]))
    coverage = Coverage(
        path.name, len(seen), exact, lower, digits, seen.total(), counts.total(), len(names) - len(ranked)
    )
    _log.info("word vectors: %s", coverage)
    return Loaded(vocabulary, table, coverage)


def read_vectors(path: Path, dim: int, wanted: Container[str], first: int) -> Mapping[str, NDArray[np.float32]]:
    """The vectors of the wanted words and of the first so many words of a text file, in its order.

    A line is a word and `dim` numbers, with single blanks between; the word may hold blanks, too. A first line of two
    whole numbers (words, width) is a header. The file is read as a stream, unpacked if it ends in .gz; only the vectors
    that are asked for are kept. Of a word that comes twice the first counts.

    Raises:
        InputError: the file cannot be read, is no text of vectors, or has others than `dim` numbers in a line.
    """
    found: dict[str, NDArray[np.float32]] = {}
    for place, entry in enumerate(_entries(path, dim)):
        if (place < first or entry.word in wanted) and entry.word not in found:
            found[entry.word] = _numbers(entry, path)
    return found


class _Entry(NamedTuple):
    """A line of a file: its number, its word, and its numbers as they are written."""

    line: int
    word: str
    numbers: list[bytes] | bytes


def _entries(path: Path, dim: int) -> Iterator[_Entry]:
    begun = False
    for line, text in _lines(path):
        if not text:
            continue
        if line == 1 and dim > 1 and _is_header(text):
            _check_width(path, line, int(text.split()[1]), dim)
            continue
        blanks = text.count(b" ")
        if not begun:
            _check_width(path, line, blanks, dim)
            begun = True
        if blanks == dim:
            word, _, numbers = text.partition(b" ")
        else:
            word, *numbers = text.rsplit(b" ", dim)
            # A word with blanks does not end in a number; a line with too many numbers looks as if its word did.
            if len(numbers) < dim or _is_number(word.rsplit(b" ", 1)[-1]):
                raise InputError(
                    f"{path}:{line}: expected a word and {dim} numbers, found {blanks} fields after the first"
                )
        yield _Entry(line, word.decode("utf-8", "replace"), numbers)
    if not begun:
        raise InputError(f"{path}: expected words with their vectors, found none")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The numbered lines of a file without what ends them."""
    if path.suffix in _PACKED:
        raise InputError(
            f"{path}: expected vectors as text (.txt, .vec or .gz), found {path.suffix}; unpack or convert it"
        )
    try:
        with cast(BinaryIO, gzip.open(path) if path.suffix == ".gz" else path.open("rb")) as file:
            for number, line in enumerate(file, 1):
                yield number, line.rstrip(b" \r\n")
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: expected a readable file of word vectors, found: {error}") from error


def _is_header(text: bytes) -> bool:
    fields = text.split()
    return len(fields) == 2 and all(field.isdigit() for field in fields)


def _check_width(path: Path, line: int, found: int, dim: int) -> None:
    if found != dim:
        raise InputError(
            f"{path}:{line}: expected vectors of word_dim = {dim} numbers, found {found}; set word_dim to its width"
        )


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _numbers(entry: _Entry, path: Path) -> NDArray[np.float32]:
    fields = entry.numbers.split(b" ") if isinstance(entry.numbers, bytes) else entry.numbers
    try:
        with np.errstate(over="ignore"):
            vector = np.array([float(field) for field in fields]).astype(np.float32)
    except ValueError as error:
        raise InputError(
            f"{path}:{entry.line}: expected numbers after the word {entry.word!r}, found: {error}"
        ) from error
    if not np.isfinite(vector).all():
        raise InputError(f"{path}:{entry.line}: expected finite numbers after the word {entry.word!r}, found others")
    return vector
