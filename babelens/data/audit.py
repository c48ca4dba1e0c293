"""What is to be known of a corpus before its scores are believed: repeats, labels that disagree, and overlap."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

import numpy as np

from babelens.data.corpus import Corpus
from babelens.data.mmnerd import TABLE_2_SOURCE, Published, is_mmnerd, mmnerd_source, published
from babelens.data.overlap import KINDS, NEAR, SIMILAR, TEXT, find_marks, rows_sharing
from babelens.data.picture_marks import Marks
from babelens.data.places import SPLITS
from babelens.schema import Entity, Example

TEXTS = (TEXT, SIMILAR, NEAR)
ADDED, MISSING, OTHER_TYPE, OTHER_SPAN = "added", "missing", "other type", "other span"
_EXAMPLES = 5
_ODD = 20


@dataclass(frozen=True)
class PartCounts:
    """One part: sentences, words, entities by type, and what was published of it."""

    part: str
    sentences: int
    words: int
    entities: dict[str, int]
    published: Published | None


@dataclass(frozen=True)
class SourceCounts:
    """What one part has of one source: sentences, and entities by type."""

    source: str
    part: str
    sentences: int
    entities: dict[str, int]


@dataclass(frozen=True)
class Labelled:
    """A row with its labels, for people: "Etihad Stadium [LOC]"."""

    id: str
    entities: tuple[str, ...]


@dataclass(frozen=True)
class LabelledTwice:
    """The same words with other labels in two rows."""

    text: str
    rows: tuple[Labelled, Labelled]


@dataclass(frozen=True)
class Repeats:
    """The rows of `part` with a text, by kind, that stands in `earlier` too (of the same part: in a row before).

    `examples` are the ids of such a row and of the first one that it repeats.
    """

    kind: str
    earlier: str
    part: str
    rows: int
    examples: list[tuple[str, str]]


@dataclass(frozen=True)
class Conflicts:
    """Texts (the same words) that occur several times and not always with the same entities; `repeated` are all."""

    repeated: int
    texts: int
    rows: int
    examples: list[LabelledTwice]


@dataclass(frozen=True)
class OddLabels:
    """Names (the same words) that have several types; `top` those with most mentions of another than their usual type.

    `mentions` counts all mentions of a type that is not the usual one of its name.
    """

    names: int
    mentions: int
    top: list[tuple[str, dict[str, int]]]


@dataclass(frozen=True)
class Shared:
    """The rows of `other`, a part of another corpus, that share something with `part`: by kind, and of any kind."""

    part: str
    other: str
    rows: int
    kinds: dict[str, int]
    any: int


@dataclass(frozen=True)
class Disagreement:
    """How rows of another corpus are labelled that have the words of a row of this one.

    `same` rows of the other corpus have the same words; `equal` ones the same entities. The entities of the others
    differ in `kinds`: "added" is labelled here and not there, "missing" there and not here. `types` counts the changes
    of type, there and here. `resplit` rows have the same text and other words, and are not compared.
    """

    same: int
    equal: int
    resplit: int
    kinds: dict[str, int]
    types: list[tuple[str, str, int]]
    examples: list[LabelledTwice]


@dataclass(frozen=True)
class Against:
    """What a corpus shares with another one."""

    name: str
    shared: list[Shared]
    labels: Disagreement


@dataclass(frozen=True)
class Audit:
    """All findings. `only` names the types that stand in one source alone; `publication` is where figures come from."""

    publication: str | None
    parts: list[PartCounts]
    sources: list[SourceCounts]
    only: dict[str, str]
    repeats: list[Repeats]
    conflicts: Conflicts
    odd: OddLabels
    against: list[Against] = field(default_factory=list)


def audit(
    parts: Mapping[str, Corpus], against: Mapping[str, Mapping[str, Corpus]] | None = None, near: bool = True
) -> Audit:
    """Audit a corpus, given by its parts, alone and beside others; `near` also looks for texts nearly the same.

    Rows of MMNERD are told by the ids of their pictures (see `mmnerd.mmnerd_source`), and counted beside the paper's
    Table 2; where no language is known they are taken for English, the one language that was published. The sources of
    all other rows are those that the corpus names.
    """
    others = against or {}
    groups = [list(parts.items()), *(list(other.items()) for other in others.values())]
    ranges: list[list[_Range]] = []
    total = 0
    for group in groups:
        ranges.append([])
        for name, corpus in group:
            ranges[-1].append(_Range(name, total, total + len(corpus)))
            total += len(corpus)
    corpus = Corpus.concatenate([corpus for group in groups for _, corpus in group])
    marks = find_marks(corpus, near)
    own = ranges[0]
    known = is_mmnerd(row for part in parts.values() for row in part)
    counts, sources, types = _count(parts, known)
    return Audit(
        publication=TABLE_2_SOURCE if any(part.published for part in counts) else None,
        parts=counts,
        sources=sources,
        only=_only(sources),
        repeats=list(_repeats(corpus, marks, own)),
        conflicts=_conflicts(corpus, marks[TEXT], own[-1].stop if own else 0),
        odd=_odd(types),
        against=[
            Against(
                name,
                [_shared(marks, part, other) for other in there for part in own],
                _disagreement(corpus, marks, own, there),
            )
            for name, there in zip(others, ranges[1:], strict=True)
        ],
    )


@dataclass(frozen=True)
class _Range:
    """A part among the rows of all."""

    name: str
    start: int
    stop: int

    def holds(self, rows: np.ndarray) -> np.ndarray:
        return (rows >= self.start) & (rows < self.stop)


def _count(
    parts: Mapping[str, Corpus], known: bool
) -> tuple[list[PartCounts], list[SourceCounts], dict[str, Counter[str]]]:
    """The counts of each part and of each source in it, and the types of each name."""
    counts: list[PartCounts] = []
    sources: list[SourceCounts] = []
    names: dict[str, Counter[str]] = {}
    for part, corpus in parts.items():
        types: Counter[str] = Counter()
        languages: set[str | None] = set()
        rows: Counter[str] = Counter()
        by_source: dict[str, Counter[str]] = {}
        for example in corpus:
            source = (mmnerd_source(example) if known else example.source) or "not known"
            own = Counter(entity.type for entity in example.entities)
            types += own
            rows[source] += 1
            by_source.setdefault(source, Counter()).update(own)
            languages.add(example.language)
            for entity in example.entities:
                names.setdefault(" ".join(example.words[entity.start : entity.end]), Counter())[entity.type] += 1
        said = _published(part, languages) if known else None
        counts.append(PartCounts(part, len(corpus), int(corpus.lengths.sum()), dict(types.most_common()), said))
        sources += [
            SourceCounts(source, part, number, dict(by_source[source].most_common()))
            for source, number in rows.most_common()
        ]
    return counts, sources, names


def _published(part: str, languages: set[str | None]) -> Published | None:
    split = next((split for split, names in SPLITS.items() if part.rpartition("/")[2] in names), "")
    return published(languages.pop() or "en", split) if len(languages) == 1 else None


def _only(sources: Sequence[SourceCounts]) -> dict[str, str]:
    """The types that only one of several sources has."""
    having: dict[str, set[str]] = {}
    for counts in sources:
        for type_ in counts.entities:
            having.setdefault(type_, set()).add(counts.source)
    several = len({counts.source for counts in sources}) > 1
    return {type_: next(iter(own)) for type_, own in sorted(having.items()) if several and len(own) == 1}


def _odd(names: Mapping[str, Counter[str]]) -> OddLabels:
    several = {name: types for name, types in names.items() if len(types) > 1}
    unusual = {name: types.total() - max(types.values()) for name, types in several.items()}
    top = sorted(several, key=lambda name: (-unusual[name], -several[name].total(), name))[:_ODD]
    return OddLabels(len(several), sum(unusual.values()), [(name, dict(several[name].most_common())) for name in top])


def _repeats(corpus: Corpus, marks: Mapping[str, Marks], parts: Sequence[_Range]) -> Iterator[Repeats]:
    for kind in (kind for kind in TEXTS if kind in marks):
        rows, own = marks[kind]
        for one, other in combinations_with_replacement(parts, 2):
            before, after = one.holds(rows), other.holds(rows)
            if one is other:
                firsts = _firsts(Marks(rows[before], own[before]))
                after[after] = rows[after] != firsts[1][np.searchsorted(firsts[0], own[after])]
            found = rows_sharing(own, rows, before, after)
            examples = []
            for row in found[:_EXAMPLES].tolist():
                # What a row repeats stands before it.
                like = np.isin(own, own[rows == row]) & before & (rows < row)
                examples.append((corpus[row].id, corpus[int(rows[like].min())].id))
            yield Repeats(kind, one.name, other.name, len(found), examples)


def _firsts(marks: Marks) -> tuple[np.ndarray, np.ndarray]:
    """The distinct marks, sorted, and the first row of each."""
    order = np.lexsort(marks)
    distinct, at = np.unique(marks.marks[order], return_index=True)
    return distinct, marks.rows[order][at]


def _conflicts(corpus: Corpus, marks: Marks, stop: int) -> Conflicts:
    texts = [group for group in _groups(marks) if group[0] < stop and (group < stop).sum() > 1]
    differing: list[list[Example]] = []
    for group in texts:
        examples = [corpus[int(row)] for row in group[group < stop]]
        if any(set(example.entities) != set(examples[0].entities) for example in examples[1:]):
            differing.append(examples)
    shown = [
        _twice(rows[0], next(row for row in rows if set(row.entities) != set(rows[0].entities)))
        for rows in differing[:_EXAMPLES]
    ]
    return Conflicts(len(texts), len(differing), sum(map(len, differing)), shown)


def _groups(marks: Marks) -> Iterator[np.ndarray]:
    """The rows of each mark that several have, sorted; marks in the order of their first rows."""
    order = np.lexsort(marks)
    cuts = np.flatnonzero(np.diff(marks.marks[order])) + 1
    groups = [group for group in np.split(marks.rows[order], cuts) if len(group) > 1]
    yield from sorted(groups, key=lambda group: int(group[0]))


def _shared(marks: Mapping[str, Marks], part: _Range, other: _Range) -> Shared:
    found = {
        kind: rows_sharing(own, rows, part.holds(rows), other.holds(rows))
        for kind, (rows, own) in ((kind, marks[kind]) for kind in KINDS if kind in marks)
    }
    any_ = np.unique(np.concatenate(list(found.values())))
    kinds = {kind: len(rows) for kind, rows in found.items()}
    return Shared(part.name, other.name, other.stop - other.start, kinds, len(any_))


def _disagreement(
    corpus: Corpus, marks: Mapping[str, Marks], own: Sequence[_Range], there: Sequence[_Range]
) -> Disagreement:
    stop = own[-1].stop if own else 0
    first, last = (there[0].start, there[-1].stop) if there else (0, 0)
    kinds: Counter[str] = Counter()
    types: Counter[tuple[str, str]] = Counter()
    examples: list[LabelledTwice] = []
    same = equal = 0
    for group in _groups(marks[TEXT]):
        others = group[(group >= first) & (group < last)]
        if group[0] >= stop or not len(others):
            continue
        here = corpus[int(group[0])]
        for row in others.tolist():
            other = corpus[row]
            found = differences(here.entities, other.entities)
            same += 1
            equal += not found
            for kind, mine, theirs in found:
                kinds[kind] += 1
                if kind == OTHER_TYPE and mine and theirs:
                    types[theirs.type, mine.type] += 1
            if found and len(examples) < _EXAMPLES:
                examples.append(_twice(here, other))
    rows, like = marks[SIMILAR]
    similar = rows_sharing(like, rows, rows < stop, (rows >= first) & (rows < last))
    ordered = {kind: kinds[kind] for kind in (ADDED, MISSING, OTHER_TYPE, OTHER_SPAN)}
    changes = [(before, after, count) for (before, after), count in types.most_common()]
    return Disagreement(same, equal, len(similar) - same, ordered, changes, examples)


def differences(here: Sequence[Entity], there: Sequence[Entity]) -> list[tuple[str, Entity | None, Entity | None]]:
    """How the entities of two rows with the same words differ: (kind, the entity here, the one there).

    Entities of the same words have an "other type"; of the rest, those that overlap, each with one other, an
    "other span"; what is left is "added" (None there) or "missing" (None here).
    """
    mine, theirs = sorted(set(here) - set(there)), sorted(set(there) - set(here))
    found: list[tuple[str, Entity | None, Entity | None]] = []
    for kind, alike in ((OTHER_TYPE, _same_span), (OTHER_SPAN, _overlap)):
        for entity in list(mine):
            other = next((other for other in theirs if alike(entity, other)), None)
            if other is not None:
                found.append((kind, entity, other))
                mine.remove(entity)
                theirs.remove(other)
    return [*found, *((ADDED, entity, None) for entity in mine), *((MISSING, None, entity) for entity in theirs)]


def _same_span(one: Entity, other: Entity) -> bool:
    return (one.start, one.end) == (other.start, other.end)


def _overlap(one: Entity, other: Entity) -> bool:
    return one.start < other.end and other.start < one.end


def _twice(one: Example, other: Example) -> LabelledTwice:
    return LabelledTwice(" ".join(one.words), (_labelled(one), _labelled(other)))


def _labelled(example: Example) -> Labelled:
    names = (f"{' '.join(example.words[entity.start : entity.end])} [{entity.type}]" for entity in example.entities)
    return Labelled(example.id, tuple(names))
