"""What a model gets wrong, entity by entity, and what the picture has to do with it (2M-NER, section 5.6)."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, get_args

from babelens.schema import Entity, InputError
from babelens.scoring.errors import KINDS, Kind, find_errors
from babelens.scoring.outcomes import Outcome, founds, golds

Effect = Literal["both right", "helped", "hurt", "both wrong", "only with", "only without", "with and without"]
EFFECTS: tuple[Effect, ...] = get_args(Effect)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model made of an entity: `kind` is its mistake, None where it is right; `found` with its probability."""

    kind: Kind | None
    found: Entity | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A gold entity, or (`gold` is None) one that is spurious, and what the model and its text-only twin made of it.

    `frequency` says how often the words of a gold entity are an entity in the training part, None where not known.
    """

    row: int
    outcome: Outcome
    gold: Entity | None
    model: Verdict
    twin: Verdict | None = None
    frequency: int | None = None

    @property
    def kind(self) -> Kind | None:
        """The mistake: the model's, or where that is right its twin's; None where both are right."""
        return self.model.kind or (self.twin.kind if self.twin else None)

    @property
    def wrong(self) -> Entity | None:
        """What was found wrongly, by the one whose mistake `kind` is."""
        verdict = self.model if self.model.kind or self.twin is None else self.twin
        return verdict.found if verdict.kind else None

    @property
    def entity(self) -> Entity:
        """The gold entity, or the spurious one: where the case stands, and the type that it counts for."""
        entity = self.gold or self.wrong
        assert entity is not None
        return entity

    @property
    def effect(self) -> Effect | None:
        """What the picture changed against the text-only twin; None without a twin.

        A gold entity is helped where only the model is right, and hurt where only the twin is. A spurious entity was
        found only with the picture, only without it, or with and without.
        """
        if self.twin is None:
            return None
        model, twin = self.model.kind is None, self.twin.kind is None
        if self.gold is None:
            return "only without" if model else "only with" if twin else "with and without"
        return "both right" if model and twin else "helped" if model else "hurt" if twin else "both wrong"


def judge(outcomes: Sequence[Outcome], twin: Sequence[Outcome] | None = None) -> list[Case]:
    """All gold and all spurious entities of a part, right ones too, in the order of rows and words.

    Kinds of mistakes are those of `find_errors`. A wrong entity that `find_errors` pairs with a gold one belongs to the
    case of that one. A spurious entity is found "with and without" where both found the same words with the same type.

    Raises:
        InputError: the outcomes of the twin are of other rows.
    """
    if twin is not None:
        _check_twin(outcomes, twin)
    ours, theirs = _verdicts(outcomes), None if twin is None else _verdicts(twin)
    cases: list[Case] = []
    for row, outcome in enumerate(outcomes):
        frequencies = dict(zip(outcome.gold, outcome.frequencies, strict=False))
        model, text = ours[row], None if theirs is None else theirs[row]
        made = [
            Case(row, outcome, gold, model.of[gold], None if text is None else text.of[gold], frequencies.get(gold))
            for gold in set(outcome.gold)
        ]
        made += [
            Case(row, outcome, None, model.here(entity), None if text is None else text.here(entity))
            for entity in model.spurious | (set() if text is None else text.spurious - model.scores.keys())
        ]
        cases += sorted(made, key=lambda case: (case.entity, case.gold is None))
    return cases


@dataclass(frozen=True, slots=True)
class _Row:
    """What one model made of one row: of each gold entity, and beside them."""

    of: dict[Entity, Verdict]
    spurious: set[Entity]
    scores: dict[Entity, float]

    def here(self, entity: Entity) -> Verdict:
        """The verdict over an entity that is not gold."""
        return Verdict("spurious", entity, self.scores[entity]) if entity in self.scores else Verdict(None)


def _verdicts(outcomes: Sequence[Outcome]) -> list[_Row]:
    rows = []
    for outcome in outcomes:
        scores = dict(zip(outcome.found, outcome.scores, strict=True))
        rows.append(_Row({gold: Verdict(None, gold, scores.get(gold)) for gold in outcome.gold}, set(), scores))
    for error in find_errors(golds(outcomes), founds(outcomes)):
        row = rows[error.row]
        if error.gold is None:
            assert error.predicted is not None
            row.spurious.add(error.predicted)
        else:
            score = None if error.predicted is None else row.scores[error.predicted]
            row.of[error.gold] = Verdict(error.kind, error.predicted, score)
    return rows


def _check_twin(outcomes: Sequence[Outcome], twin: Sequence[Outcome]) -> None:
    if len(outcomes) != len(twin):
        raise InputError(
            f"expected outcomes of the text-only twin for the same {len(outcomes)} rows, found {len(twin)}"
        )
    for number, (one, other) in enumerate(zip(outcomes, twin, strict=True), 1):
        if one.id != other.id:
            raise InputError(f"row {number}: expected the text-only twin's outcome of {one.id!r}, found {other.id!r}")
        if one.words != other.words or set(one.gold) != set(other.gold):
            raise InputError(
                f"row {number}: expected the same words and gold entities in the text-only twin's outcome of "
                f"{one.id!r}, found others"
            )


@dataclass(frozen=True, slots=True)
class Tally:
    """Gold entities, those that the model got right, and its mistakes by kind."""

    gold: int
    right: int
    kinds: dict[Kind, int]

    @property
    def mistakes(self) -> int:
        """All mistakes."""
        return sum(self.kinds.values())

    @property
    def recall(self) -> float | None:
        """Per cent of the gold entities that are right; None where there are none."""
        return 100 * self.right / self.gold if self.gold else None


def count_kinds(cases: Iterable[Case]) -> Tally:
    """Count what the model made of the cases; spurious entities of the twin alone count for nothing here."""
    gold = 0
    kinds: Counter[Kind | None] = Counter()
    for case in cases:
        gold += case.gold is not None
        kinds[case.model.kind] += case.gold is not None or case.model.kind is not None
    return Tally(gold, kinds[None], {kind: kinds[kind] for kind in KINDS})


@dataclass(frozen=True, slots=True)
class EffectTally:
    """How often the picture had which effect.

    A unit (rows that are not independent of each other) counts as helped where more of its gold entities were helped
    than hurt, as hurt where fewer were.
    """

    counts: dict[Effect, int]
    units_helped: int
    units_hurt: int

    @property
    def net(self) -> int:
        """Gold entities helped less those hurt."""
        return self.counts["helped"] - self.counts["hurt"]

    @property
    def p(self) -> float:
        """The two-sided p of an exact sign test over units: as many units helped as hurt, but for chance."""
        return sign_test(self.units_helped, self.units_hurt)


def count_effects(cases: Iterable[Case]) -> EffectTally:
    """Count the effects of the picture in cases that have a twin."""
    counts: Counter[Effect | None] = Counter()
    balance: Counter[int] = Counter()
    for case in cases:
        counts[case.effect] += 1
        balance[case.outcome.unit] += (case.effect == "helped") - (case.effect == "hurt")
    helped, hurt = (sum(sign * value > 0 for value in balance.values()) for sign in (1, -1))
    return EffectTally({effect: counts[effect] for effect in EFFECTS}, helped, hurt)


def sign_test(won: int, lost: int) -> float:
    """The exact two-sided p of at least so uneven a split if winning and losing are equally likely; ties are left out.

    On discordant pairs this is the exact test of McNemar.
    """
    trials = won + lost
    tail = ways = 1
    for few in range(min(won, lost)):
        ways = ways * (trials - few) // (few + 1)
        tail += ways
    return min(1.0, 2 * tail / 2**trials)


def group_cases(cases: Iterable[Case], label: Callable[[Case], str | None]) -> dict[str, list[Case]]:
    """Cases by their label, in alphabetical order; those whose label is None are left out."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        name = label(case)
        if name is not None:
            groups.setdefault(name, []).append(case)
    return dict(sorted(groups.items()))


def sample_cases(cases: Iterable[Case], each: int, seed: int = 0) -> list[Case]:
    """Draw up to `each` mistakes of every group of one kind and one effect, at most one of a row, whatever their score.

    The draw hangs on nothing but the seed, the id of the row and the entity: other rows do not change who comes first.
    The order is that of effects, kinds and the draw.
    """
    groups: dict[tuple[Kind, Effect | None], list[Case]] = {}
    for case in cases:
        if case.kind is not None:
            groups.setdefault((case.kind, case.effect), []).append(case)
    drawn: list[Case] = []
    for kind, effect in sorted(groups, key=_group_order):
        rows: dict[int, Case] = {}
        for case in sorted(groups[kind, effect], key=lambda case: _draw(case, seed)):
            rows.setdefault(case.row, case)
        drawn += list(rows.values())[:each]
    return drawn


def _group_order(group: tuple[Kind, Effect | None]) -> tuple[int, int]:
    kind, effect = group
    return (EFFECTS.index(effect) if effect else 0, KINDS.index(kind))


def _draw(case: Case, seed: int) -> bytes:
    entity = case.entity
    return sha256(
        f"{seed}\0{case.outcome.id}\0{entity.start}\0{entity.end}\0{entity.type}".encode(errors="surrogatepass")
    ).digest()
