"""Who annotates which row, and who inspects it: balanced, seeded, and three different people for every row."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

import msgspec

from babelens.build.annotation.balance import share
from babelens.build.annotation.draws import draw, source
from babelens.build.annotation.faults import Faults
from babelens.data.problems import listing, quote
from babelens.schema import InputError


class Person(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Someone who annotates, inspects or does both. `languages` None means all; `email` is that in Label Studio."""

    name: str
    languages: tuple[str, ...] | None = None
    email: str | None = None
    annotates: bool = True
    inspects: bool = True


class Assignment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who reads a row. `order` is its place in everyone's queue, from 0; `round` the batch it belongs to, from 1."""

    id: str
    annotators: tuple[str, str]
    inspector: str
    order: int
    round: int | None = None


def assign(
    rows: Sequence[Mapping[str, Any]],
    people: Sequence[Person],
    *,
    seed: int = 0,
    batch: int | None = None,
    given: Iterable[Assignment] = (),
) -> list[Assignment]:
    """Give every row two annotators and an inspector, three different people who read its language.

    Rows with the most doubt (`doubt`, a number or true) come first, the others in an order drawn by the seed. The
    inspections, and then the annotations, are shared as evenly as languages allow: where everyone reads everything,
    loads differ by at most one in the end, and hardly more on the way. Within that, who meets whom is drawn, so that
    all pairs of annotators occur.

    Args:
        rows: `id`, and where they are known `language` and `doubt`.
        people: everyone who takes part.
        seed: of all that is drawn.
        batch: rows in a round; None for one round without a number.
        given: what was assigned before. It stays as it is, its rows are passed over, its loads count, and what is
            added comes after it in the order.

    Returns:
        `given`, then what was added, in the order of work.

    Raises:
        InputError: fewer than three people, two of the same name, or rows in a language that fewer than two annotators
            and another inspector read.
    """
    kept = list(given)
    _check_people(people)
    done = {assignment.id for assignment in kept}
    if len(done) < len(kept):
        twice = [id_ for id_, count in Counter(assignment.id for assignment in kept).items() if count > 1]
        raise InputError(f"assignment: expected each row once, found {listing(map(quote, twice[:5]))} again")
    if batch is not None and batch < 1:
        raise InputError(f"batch: expected at least 1 row, found {batch}")
    new = [row for row in rows if row["id"] not in done]
    _check_readers(new, people)
    new.sort(key=lambda row: (-_doubt(row), draw(seed, "order", row["id"])))

    annotating = {person.name: 0 for person in people if person.annotates}
    inspecting = {person.name: 0 for person in people if person.inspects}
    for assignment in kept:
        for load, names in ((annotating, assignment.annotators), (inspecting, (assignment.inspector,))):
            for name in names:
                if name in load:
                    load[name] += 1
    first = 1 + max((assignment.order for assignment in kept), default=-1)
    rounds = 1 + max((assignment.round or 0 for assignment in kept), default=0)
    chances = source(seed, "people", *(row["id"] for row in new))
    for place, (row, (pair, inspector)) in enumerate(
        zip(new, _staff(new, people, annotating, inspecting, chances), strict=True)
    ):
        kept.append(
            Assignment(
                id=row["id"],
                annotators=pair,
                inspector=inspector,
                order=first + place,
                round=None if batch is None else rounds + place // batch,
            )
        )
    return kept


def _staff(
    rows: Sequence[Mapping[str, Any]],
    people: Sequence[Person],
    annotating: Mapping[str, int],
    inspecting: Mapping[str, int],
    chances: Random,
) -> Iterator[tuple[tuple[str, str], str]]:
    """Annotators and inspector of each row.

    First the inspections of each language are shared out, then its annotations: a person has room for as many as there
    are rows that the same person does not inspect. Such shares can always be seated (see `_seat`).
    """
    left = Counter(row.get("language") for row in rows)
    inspections = share(left, {key: dict.fromkeys(_inspectors(people, key), left[key]) for key in left}, inspecting)
    room = {key: {name: left[key] - inspections[key].get(name, 0) for name in _annotators(people, key)} for key in left}
    annotations = share({key: 2 * count for key, count in left.items()}, room, annotating)
    for row in rows:
        key = row.get("language")
        inspector, *pair = _seat(annotations[key], inspections[key], left[key], chances)
        inspections[key][inspector] -= 1
        for name in pair:
            annotations[key][name] -= 1
        left[key] -= 1
        yield (pair[0], pair[1]), inspector


def _seat(annotations: Mapping[str, int], inspections: Mapping[str, int], left: int, chances: Random) -> list[str]:
    """The inspector and two annotators of a row, of what is left to everyone over `left` rows.

    Whoever has as much left as there are rows must be among them, or would be needed twice on a later one. That this
    always goes out even is König's theorem: people and the three roles of a row are a bipartite graph whose degrees are
    at most `left`, so its edges fall into `left` matchings, the rows. Those with most left come first; of equal ones
    chance decides.
    """
    must = {
        name
        for name in annotations.keys() | inspections.keys()
        if annotations.get(name, 0) + inspections.get(name, 0) == left
    }
    roles = [inspections, annotations, annotations]
    drawn = [sorted(role, key=lambda name: (-role[name], chances.random())) for role in (inspections, annotations)]
    candidates = [drawn[0], drawn[1], drawn[1]]

    def fill(chosen: list[str]) -> list[str] | None:
        if len(must.difference(chosen)) > 3 - len(chosen):
            return None
        if len(chosen) == 3:
            return chosen
        for name in candidates[len(chosen)]:
            if roles[len(chosen)][name] and name not in chosen:
                filled = fill([*chosen, name])
                if filled is not None:
                    return filled
        return None

    seated = fill([])
    assert seated is not None
    if chances.random() < 0.5:
        seated[1:] = seated[:0:-1]
    return seated


def _doubt(row: Mapping[str, Any]) -> float:
    doubt = row.get("doubt") or 0
    if not isinstance(doubt, int | float):
        raise InputError(f"row {quote(row['id'])}: expected a number or true as doubt, found {quote(doubt)}")
    return float(doubt)


def _reads(person: Person, language: str | None) -> bool:
    return person.languages is None or language in person.languages


def _annotators(people: Sequence[Person], language: str | None) -> list[str]:
    return [person.name for person in people if person.annotates and _reads(person, language)]


def _inspectors(people: Sequence[Person], language: str | None) -> list[str]:
    """Those who may inspect a language: two others who annotate it must be left."""
    annotators = set(_annotators(people, language))
    return [
        person.name
        for person in people
        if person.inspects and _reads(person, language) and len(annotators - {person.name}) >= 2
    ]


def _check_people(people: Sequence[Person]) -> None:
    faults = Faults()
    for name, count in Counter(person.name for person in people).items():
        if count > 1:
            faults.add("people", "a name of their own for everyone", f"{quote(name)} {count} times")
        # Files and projects are called by it.
        if not name.strip() or not name.isprintable() or "/" in name or "\\" in name or name.startswith("."):
            faults.add("people", "a name that a file can have", quote(name))
    if len(people) < 3:
        names = listing(person.name for person in people)
        faults.add("people", "at least three: two annotators and an inspector", f"{len(people)} ({names})")
    faults.raise_if_any()


def _check_readers(rows: Sequence[Mapping[str, Any]], people: Sequence[Person]) -> None:
    faults = Faults()
    counts: defaultdict[str | None, int] = defaultdict(int)
    for row in rows:
        counts[row.get("language")] += 1
    for language, count in counts.items():
        if not _inspectors(people, language):
            called = f"the language {language}" if language is not None else "no language"
            inspectors = [person.name for person in people if person.inspects and _reads(person, language)]
            faults.add(
                f"{count:,} rows in {called}",
                "two annotators and another person to inspect who read it",
                f"annotators {listing(_annotators(people, language))}; inspectors {listing(inspectors)}",
            )
    faults.raise_if_any()
