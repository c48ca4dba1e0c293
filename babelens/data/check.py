"""Everything that is wrong or odd in a corpus, in one report: faults refuse a file, oddities are worth knowing."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import combinations, islice
from pathlib import Path

from babelens.data.conll import sniff
from babelens.data.corpus import Corpus
from babelens.data.images import Status
from babelens.data.places import Place, kind_of
from babelens.data.problems import DataError, Problem, listing
from babelens.data.reading import Reading, read_place
from babelens.data.split import leaks
from babelens.schema import Example

_EXAMPLES = 5
_PICTURE_EXAMPLES = 3
_THREADS = 4


@dataclass
class PartReport:
    """What was found in one file.

    `faults` are why it cannot be used (`fault_total` of them). The rest are oddities: tags that break their scheme
    (read as conlleval does), entities widened to whole words, words made only of characters that tokenizers drop, ids
    and texts that occur again, and pictures by status. `boxed` pictures have boxes of the objects in them.
    """

    name: str
    path: str
    scheme: str | None = None
    rows: int = 0
    words: int = 0
    entities: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    fault_total: int = 0
    violations: int = 0
    violation_examples: list[str] = field(default_factory=list)
    widened: int = 0
    empty_rows: int = 0
    lost_words: int = 0
    lost_characters: dict[str, int] = field(default_factory=dict)
    lost_examples: list[str] = field(default_factory=list)
    repeated_ids: int = 0
    repeated_texts: int = 0
    pictures: dict[str, int] = field(default_factory=dict)
    picture_examples: list[str] = field(default_factory=list)
    boxed: int = 0


@dataclass
class Report:
    """The parts of a corpus, what they share, and types of valid and test that do not occur in train.

    `unknown_boxed` pictures have boxes, and no row names them.
    """

    parts: list[PartReport]
    unknown_types: dict[str, list[str]] = field(default_factory=dict)
    shared: list[str] = field(default_factory=list)
    unknown_boxed: int = 0
    unknown_boxed_examples: list[str] = field(default_factory=list)

    @property
    def faulty(self) -> bool:
        """Whether anything would refuse the corpus."""
        return bool(self.unknown_types) or any(part.fault_total for part in self.parts)

    @property
    def violations(self) -> int:
        """How many tags break their scheme."""
        return sum(part.violations for part in self.parts)

    @property
    def bad_pictures(self) -> int:
        """How many pictures are missing or unreadable."""
        return sum(count for part in self.parts for status, count in part.pictures.items() if status != "used")


Progress = Callable[[str, int, int], object]


def check(places: list[Place], how: Reading, *, pictures: bool = True, progress: Progress = lambda *_: None) -> Report:
    """Check files of a corpus; with `pictures`, every picture is opened. `progress(what, done, of)` is told how far.

    Raises nothing for a faulty file: its faults stand in the report.
    """
    reports: list[PartReport] = []
    corpora: dict[str, Corpus] = {}
    contents: dict[str, dict[str, str]] = {}
    for number, place in enumerate(places):
        progress("files", number, len(places))
        report = PartReport(place.name, str(place.path))
        reports.append(report)
        try:
            corpus = read_place(place, how)
        except DataError as error:
            report.faults = [str(problem) for problem in error.problems]
            report.fault_total = error.total
            continue
        shards = [corpora[place.name]] if place.name in corpora else []
        corpora[place.name] = Corpus.concatenate([*shards, corpus])
        if kind_of(place.path) == "conll":
            report.scheme = sniff(place.path, how.scheme).scheme
        _check_rows(corpus, report)
        report.boxed = sum(bool(corpus.boxes(key)) for key in _keys(corpus)) if corpus.box_files else 0
        if pictures:
            contents.setdefault(place.name, {}).update(_check_pictures(corpus, report, progress))
    progress("files", len(places), len(places))
    shared = [*_shared(corpora), *_shared_content(contents)]
    # A part that cannot be read does not tell which pictures it names.
    unknown = [] if any(report.fault_total for report in reports) else _unknown_boxed(list(corpora.values()))
    return Report(reports, _unknown_types(places, corpora), shared, len(unknown), unknown[:_EXAMPLES])


def _keys(corpus: Corpus) -> Counter[str]:
    """The pictures of a corpus by key, and how often each occurs."""
    keys: Counter[str] = Counter()
    for number in range(len(corpus)):
        keys.update(corpus.picture_keys(number))
    return keys


def _unknown_boxed(corpora: list[Corpus]) -> list[str]:
    """The pictures in files of boxes that no row names, as source and name."""
    files = {file.source: file for corpus in corpora for file in corpus.box_files}
    if not files:
        return []
    known = {name for corpus in corpora for key in _keys(corpus) for name in corpus.box_names(key)}
    return [f"{source}: {image}" for source, file in files.items() for image in file.images if image not in known]


def _check_rows(corpus: Corpus, report: PartReport) -> None:
    types: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    ids: set[bytes] = set()
    texts: set[bytes] = set()
    for number, example in enumerate(corpus):
        types.update(entity.type for entity in example.entities)
        report.repeated_ids += _seen(ids, example.id)
        report.empty_rows += not example.words
        report.repeated_texts += bool(example.words) and _seen(texts, "\n".join(example.words))
        for at, word in lost_words(example):
            report.lost_words += 1
            characters.update(set(word))
            if len(report.lost_examples) < _EXAMPLES:
                path, line = corpus.line(number)
                # Only CoNLL, which has a scheme, has a line for every word.
                line = line + at if report.scheme else line
                report.lost_examples.append(f"{path}:{line}: {word!r}")
    report.rows = len(corpus)
    report.words = int(corpus.lengths.sum())
    report.entities = dict(types.most_common())
    report.violations = corpus.violations
    report.violation_examples = [_place(problem) for problem in islice(corpus.violation_places(), _EXAMPLES)]
    report.widened = corpus.widened
    report.lost_characters = {_name(character): count for character, count in characters.most_common()}


def _seen(known: set[bytes], value: str) -> bool:
    digest = blake2b(value.encode(), digest_size=8).digest()
    if digest in known:
        return True
    known.add(digest)
    return False


def _place(problem: Problem) -> str:
    return f"{problem.path}:{problem.line}: {problem.found}"


def _name(character: str) -> str:
    unnamed = {"Co": "private use", "Cn": "not assigned"}.get(unicodedata.category(character), "control character")
    return f"U+{ord(character):04X} {unicodedata.name(character, unnamed)}"


def lost_words(example: Example) -> Iterator[tuple[int, str]]:
    """Words, with their number, that hold nothing but characters that BERT tokenizers drop.

    Those are blanks, control and format characters, and U+FFFD. The word keeps its place among the words, but no
    sub-token of the text stands for it.
    """
    for at, word in enumerate(example.words):
        if not word.isalnum() and all(map(_is_dropped, word)):
            yield at, word


def _is_dropped(character: str) -> bool:
    return character == "\ufffd" or character.isspace() or unicodedata.category(character).startswith("C")


def _check_pictures(corpus: Corpus, report: PartReport, progress: Progress) -> dict[str, str]:
    """Open every picture once; give the digest of the bytes of each that can be used, by its key."""
    wanted = _keys(corpus)
    contents: dict[str, str] = {}
    statuses: Counter[Status] = Counter()

    def look(key: str) -> tuple[str, Status, str, bytes | None]:
        picture = corpus.picture(key)
        content = corpus.picture_content(key) if picture.status == "used" else None
        digest = None if content is None else blake2b(content, digest_size=16).digest()
        return key, picture.status, picture.reason, digest

    with ThreadPoolExecutor(_THREADS) as pool:
        for done, (key, status, reason, digest) in enumerate(pool.map(look, wanted), 1):
            progress(f"pictures of {report.name}", done, len(wanted))
            statuses[status] += wanted[key]
            if digest is not None:
                contents[key] = digest.hex()
            elif sum(f": {status} (" in example for example in report.picture_examples) < _PICTURE_EXAMPLES:
                report.picture_examples.append(f"{key.removeprefix('file:')}: {status} ({reason})")
    report.pictures = {str(status): count for status, count in statuses.most_common()}
    return contents


def _unknown_types(places: list[Place], corpora: Mapping[str, Corpus]) -> dict[str, list[str]]:
    known = {place.name for place in places if place.split == "train" and place.name in corpora}
    types = {type_ for name in known for type_ in corpora[name].types}
    if not known:
        return {}
    unknown = {name: sorted(set(corpus.types) - types) for name, corpus in corpora.items() if name not in known}
    return {name: found for name, found in unknown.items() if found}


def _shared(corpora: Mapping[str, Corpus]) -> Iterator[str]:
    found = leaks(corpora)
    same = {(leak.parts, leak.count) for leak in found if leak.kind == "text"}
    for leak in found:
        if leak.kind == "similar text" and (leak.parts, leak.count) in same:
            continue
        one, other = leak.examples[0]
        yield f"{' and '.join(leak.parts)} share {leak.count:,} x {leak.kind} (first: rows {one.id} and {other.id})"


def _shared_content(contents: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Pictures of equal bytes under different keys in two parts."""
    for one, other in combinations(contents, 2):
        keys = {digest: key for key, digest in contents[other].items()}
        pairs = [(key, keys[digest]) for key, digest in contents[one].items() if keys.get(digest, key) != key]
        if pairs:
            names = listing(Path(key).name for key in pairs[0])
            yield f"{one} and {other} share {len(pairs):,} x picture of the same bytes (first: {names})"
