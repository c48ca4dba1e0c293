"""An audit as tables for people."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from babelens.data.audit import Against, Audit, LabelledTwice, PartCounts, SourceCounts

_LONGEST = 100
# Table 2 has the types in this order; others follow, the most frequent first.
_ORDER = ("PER", "LOC", "ORG", "MISC")


def as_tables(audit: Audit) -> Iterator[Table | str]:
    """The tables of an audit, and sentences between them, in the order in which they are read."""
    yield _counts(audit.parts, audit.publication)
    if len({counts.source for counts in audit.sources}) > 1:
        yield from _sources(audit)
    yield _repeats(audit)
    yield _conflicts(audit)
    yield from _odd(audit)
    for other in audit.against:
        yield from _against(other)


def _table(title: str, *columns: str, left: int = 1) -> Table:
    """A table whose first columns hold words and whose others hold numbers."""
    table = Table(*columns, title=title, title_justify="left", title_style="bold", header_style="bold", box=None)
    for column in table.columns[left:]:
        column.justify = "right"
    return table


def _number(value: int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _types(counts: Sequence[PartCounts | SourceCounts]) -> list[str]:
    total: Counter[str] = Counter()
    for own in counts:
        total.update(own.entities)
    known = [type_ for type_ in _ORDER if type_ in total]
    return known + [type_ for type_, _ in total.most_common() if type_ not in known]


def _counts(parts: Sequence[PartCounts], publication: str | None) -> Table:
    title = f"Counts, beside those of {publication}" if publication else "Counts"
    columns = [name for part in parts for name in ([part.part, "published", "more"] if publication else [part.part])]
    table = _table(title, "", *columns)

    def add(name: str, values: Sequence[tuple[int, int | None]]) -> None:
        cells: list[str] = []
        for found, said in values:
            cells.append(_number(found))
            if publication:
                cells += ["", ""] if said is None else [_number(said), f"{found - said:+,}" if found != said else "0"]
        table.add_row(name, *cells)

    add("sentences", [(part.sentences, part.published and part.published.sentences) for part in parts])
    add("words", [(part.words, None) for part in parts])
    sums = [sum(part.published.entities.values()) if part.published else None for part in parts]
    add("entities", [(sum(part.entities.values()), said) for part, said in zip(parts, sums, strict=True)])
    for type_ in _types(parts):
        said = [part.published.entities.get(type_) if part.published else None for part in parts]
        add(f"  {type_}", [(part.entities.get(type_, 0), own) for part, own in zip(parts, said, strict=True)])
    return table


def _sources(audit: Audit) -> Iterator[Table | str]:
    types = _types(audit.sources)
    table = _table("By source", "source", "part", "sentences", *types, left=2)
    for own in audit.sources:
        numbers = [own.sentences, *(own.entities.get(type_, 0) for type_ in types)]
        table.add_row(escape(own.source), own.part, *map(_number, numbers))
    yield table
    if audit.only:
        yield "\n".join(f"every {type_} stands in a {escape(source)}" for type_, source in audit.only.items())


def _repeats(audit: Audit) -> Table:
    kinds = list(dict.fromkeys(repeats.kind for repeats in audit.repeats))
    table = _table("Rows whose text stands in the corpus already", "rows of", "that stand in", *kinds, left=2)
    for one, other in dict.fromkeys((repeats.earlier, repeats.part) for repeats in audit.repeats):
        numbers = {own.kind: own.rows for own in audit.repeats if (own.earlier, own.part) == (one, other)}
        table.add_row(other, "itself" if one == other else one, *(_number(numbers[kind]) for kind in kinds))
    return table


def _conflicts(audit: Audit) -> str:
    found = audit.conflicts
    told = (
        f"[bold]Labels of repeated texts[/bold]\n{found.repeated:,} texts occur again with the same words; "
        f"{found.texts:,} of them ({found.rows:,} rows) not always with the same entities"
    )
    return "\n".join([told, *map(_twice, found.examples)])


def _twice(found: LabelledTwice, here: str = "", there: str = "") -> str:
    shown = [f"  {escape(_short(found.text))}"]
    for corpus, row in zip((here, there), found.rows, strict=True):
        place = f"{corpus} {row.id}".lstrip()
        shown.append(f"    {escape(place)}: {escape(', '.join(row.entities) or 'no entities')}")
    return "\n".join(shown)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _odd(audit: Audit) -> Iterator[Table | str]:
    yield (
        f"[bold]Names of several types[/bold]\n{audit.odd.names:,} names; {audit.odd.mentions:,} mentions are not of "
        "the usual type of their name"
    )
    if audit.odd.top:
        table = _table(f"The first {len(audit.odd.top)}", "name", "types", left=2)
        for name, types in audit.odd.top:
            shown = ", ".join(f"{type_} {count:,}" for type_, count in types.items())
            table.add_row(escape(_short(name)), shown)
        yield table


def _against(against: Against) -> Iterator[Table | str]:
    name = escape(against.name)
    kinds = [kind for kind in against.shared[0].kinds if any(own.kinds[kind] for own in against.shared)]
    table = _table(f"Shared with {name}", f"rows of {name}", "that share with", "rows", *kinds, "any", left=2)
    for own in against.shared:
        numbers = [own.rows, *(own.kinds[kind] for kind in kinds), own.any]
        table.add_row(own.other, own.part, *map(_number, numbers))
    yield table
    labels = against.labels
    differing = labels.same - labels.equal
    resplit = f" ({labels.resplit:,} more have the same text split into other words)" if labels.resplit else ""
    yield (
        f"[bold]Labels beside those of {name}[/bold]\n{labels.same:,} rows of {name} have the words of a row here"
        f"{resplit}; {labels.equal:,} have the same entities, {differing:,} do not"
    )
    if differing:
        table = _table("Entities that differ", "", "entities")
        meanings = {"added": "labelled here and not there", "missing": "labelled there and not here"}
        for kind, count in labels.kinds.items():
            table.add_row(meanings.get(kind, kind), _number(count))
        for there, here, count in labels.types:
            table.add_row(f"  {there} there, {here} here", _number(count))
        yield table
        yield "\n".join(_twice(example, "here", f"in {against.name}") for example in labels.examples)
