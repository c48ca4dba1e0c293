"""Figures and tables of the page of mistakes."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from babelens.evaluation.mistakes import (
    EFFECTS,
    Case,
    Effect,
    EffectTally,
    count_effects,
    count_kinds,
    group_cases,
)
from babelens.evaluation.page_style import type_order
from babelens.evaluation.report import Cell, Fact, ReportTable, TableRow
from babelens.scoring.errors import KINDS
from babelens.scoring.outcomes import Outcome, founds, golds
from babelens.scoring.scores import UNNAMED, score

PICTURES = {
    "used": "picture used",
    "none": "no picture",
    "missing": "picture missing",
    "unreadable": "picture unreadable",
}
SEEN, NEW = "name seen in training", "name not in training"
LENGTHS = ("1 word", "2 words", "3 words", "4 words or more")
EFFECT_NAMES: dict[Effect, str] = {
    "both right": "right by both",
    "helped": "helped",
    "hurt": "hurt",
    "both wrong": "wrong by both",
    "only with": "spurious, only with",
    "only without": "spurious, only without",
    "with and without": "spurious by both",
}
KIND_COLUMNS = ("gold", "right", "right\u00a0%", "missed", "boundary", "type", "both", "spurious", "mistakes")
EFFECT_COLUMNS = (
    *("gold", "right by\u00a0both", "helped", "hurt", "wrong by\u00a0both", "net", "units +\u00a0/\u00a0−", "p"),
    *("spurious, only\u00a0with", "spurious, only\u00a0without", "spurious by\u00a0both"),
)
KIND_NOTE = (
    "Boundary: right type, other words. Type: right words, other type. Both: overlapping words, other type. Missed and "
    "spurious ones overlap nothing they could be confused with. Gold entities count for their type, spurious ones for "
    "the type found."
)
EFFECT_NOTE = (
    "Helped: right by the model, wrong by its text-only twin; hurt: the reverse; net: helped less hurt. Only with and "
    "only without: spurious entities that the model alone, or its twin alone, found. The p is that of an exact "
    "two-sided sign test over units: rows with a common picture, translations and nearly the same texts are not "
    "independent, so they are one unit, + where more of their entities were helped than hurt, − where fewer. It is "
    "not adjusted for the number of lines."
)


def type_of(case: Case) -> str:
    """The type that a case counts for."""
    return case.entity.type


def language_of(case: Case) -> str:
    """The language of the row."""
    return case.outcome.language or UNNAMED


def source_of(case: Case) -> str:
    """Where the row comes from."""
    return case.outcome.source or UNNAMED


def picture_of(case: Case) -> str:
    """What became of the picture of the row, in words."""
    return PICTURES.get(case.outcome.status, case.outcome.status)


def novelty_of(case: Case) -> str | None:
    """Whether the name is an entity in the training part; None where nobody knows."""
    return None if case.frequency is None else SEEN if case.frequency else NEW


def length_of(case: Case) -> str:
    """The number of words, in words."""
    return LENGTHS[min(case.entity.end - case.entity.start, len(LENGTHS)) - 1]


def facts_of(outcomes: Sequence[Outcome], cases: Sequence[Case]) -> list[Fact]:
    """The headline figures."""
    tally, scores = count_kinds(cases), score(golds(outcomes), founds(outcomes)).micro
    wrong = {case.row for case in cases if case.model.kind is not None}
    found = sum(len(outcome.found) for outcome in outcomes)
    facts = [
        Fact("F1", f"{scores.f1:.1f} %", f"{tally.gold:,} gold, {found:,} found entities"),
        Fact("Mistakes", f"{tally.mistakes:,}", f"in {len(wrong):,} of {len(outcomes):,} rows"),
    ]
    if any(case.effect for case in cases):
        effects = count_effects(cases)
        counts = effects.counts
        facts += [
            Fact("Helped by the picture", f"{counts['helped']:,}", "right by the model, wrong by its text-only twin"),
            Fact("Hurt by the picture", f"{counts['hurt']:,}", "wrong by the model, right by its text-only twin"),
            Fact(
                "Net effect",
                signed(effects.net),
                f"{effects.units_helped:,} units helped, {effects.units_hurt:,} hurt, p {_p(effects.p)}",
            ),
        ]
    return facts


class Group(NamedTuple):
    """A line of a table: some cases and their name. `spurious` says whether spurious entities can be among them."""

    name: str
    cases: Sequence[Case]
    spurious: bool = True


def kind_tables(cases: Sequence[Case]) -> list[ReportTable]:
    """Counts of mistakes by kind, over all and by what is known of entity and row."""
    return [
        _table("Kinds by type", "type", KIND_COLUMNS, _kind_cells, _types(cases), cases, KIND_NOTE),
        *(
            _table(f"Kinds by {name}", name, KIND_COLUMNS, _kind_cells, groups)
            for name, groups in _origins(cases).items()
        ),
        _table("Kinds by name, length, picture", "", KIND_COLUMNS, _kind_cells, _circumstances(cases)),
    ]


def effect_tables(cases: Sequence[Case]) -> list[ReportTable]:
    """Counts of the effects of the picture; none without a twin."""
    if not any(case.effect for case in cases):
        return []
    title = "Effect by"
    return [
        _table(f"{title} type", "type", EFFECT_COLUMNS, _effect_cells, _types(cases), cases, EFFECT_NOTE),
        *(
            _table(f"{title} {name}", name, EFFECT_COLUMNS, _effect_cells, groups)
            for name, groups in _origins(cases).items()
        ),
        _table(
            f"{title} name, length, picture",
            "",
            EFFECT_COLUMNS,
            _effect_cells,
            _circumstances(cases),
            note="Where a row has no picture, what differs is what two trainings differ by.",
        ),
    ]


def sample_table(cases: Sequence[Case], drawn: Sequence[Case]) -> ReportTable:
    """How many of the mistakes of each kind and effect are shown."""
    every, shown = (Counter((case.kind, case.effect) for case in some) for some in (cases, drawn))
    effects = {effect for _, effect in every}
    columns: list[Effect | None] = [effect for effect in EFFECTS if effect in effects and effect != "both right"]
    columns = columns or [None]
    rows = [
        TableRow(kind, tuple(f"{shown[kind, e]:,} of {every[kind, e]:,}" if every[kind, e] else None for e in columns))
        for kind in KINDS
    ]
    names = tuple("shown" if effect is None else EFFECT_NAMES[effect] for effect in columns)
    return ReportTable("Mistakes shown below", names, tuple(rows), "kind")


def signed(number: int) -> str:
    """A number with its sign."""
    return f"{number:+,}".replace("-", "−") if number else "0"


def _types(cases: Sequence[Case]) -> list[Group]:
    return [Group(*item) for item in sorted(group_cases(cases, type_of).items(), key=lambda item: type_order(item[0]))]


def _origins(cases: Sequence[Case]) -> dict[str, list[Group]]:
    """Cases by language and by source, where there are several."""
    groups = {"language": group_cases(cases, language_of), "source": group_cases(cases, source_of)}
    return {name: [Group(*item) for item in some.items()] for name, some in groups.items() if len(some) > 1}


def _circumstances(cases: Sequence[Case]) -> list[Group]:
    novelty, length, picture = (group_cases(cases, label) for label in (novelty_of, length_of, picture_of))
    return [
        *(Group(name, novelty[name], spurious=False) for name in (NEW, SEEN) if name in novelty),
        *(Group(name, length[name]) for name in LENGTHS if name in length),
        *(Group(name, some) for name, some in sorted(picture.items(), key=lambda item: _picture_order(item[0]))),
    ]


def _picture_order(name: str) -> tuple[bool, int, str]:
    names = list(PICTURES.values())
    return (name not in names, names.index(name) if name in names else 0, name)


def _table(
    title: str,
    corner: str,
    columns: tuple[str, ...],
    cells: Callable[[Group], tuple[Cell, ...]],
    groups: Sequence[Group],
    whole: Sequence[Case] | None = None,
    note: str = "",
) -> ReportTable:
    rows = [] if whole is None else [TableRow("all", cells(Group("all", whole)), "ours")]
    rows += [TableRow(group.name, cells(group)) for group in groups]
    return ReportTable(title, columns, tuple(rows), corner, note)


def _kind_cells(group: Group) -> tuple[Cell, ...]:
    tally = count_kinds(group.cases)
    spurious = tally.kinds["spurious"] if group.spurious else None
    confused = (tally.kinds[kind] for kind in ("missed", "boundary", "type", "both"))
    return (tally.gold, tally.right, tally.recall, *confused, spurious, tally.mistakes)


def _effect_cells(group: Group) -> tuple[Cell, ...]:
    tally = count_effects(group.cases)
    gold = [tally.counts[effect] for effect in EFFECTS[:4]]
    spurious = [tally.counts[effect] if group.spurious else None for effect in EFFECTS[4:]]
    return (sum(gold), *gold, signed(tally.net), _units(tally), _p(tally.p), *spurious)


def _units(tally: EffectTally) -> str:
    return f"{tally.units_helped:,} / {tally.units_hurt:,}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.0005 else f"{value:.3f}"
