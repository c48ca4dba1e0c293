"""What kind of mistake each wrong or missing entity is."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from babelens.schema import Entity

Kind = Literal["missed", "spurious", "boundary", "type", "both"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class EntityError:
    """One mistake in a row: a gold entity missed, a predicted one that is spurious, or the two that were confused."""

    row: int
    kind: Kind
    gold: Entity | None
    predicted: Entity | None


def find_errors(gold: Sequence[Collection[Entity]], predicted: Sequence[Collection[Entity]]) -> list[EntityError]:
    """List the mistakes of a prediction, row by row, in the order of the words.

    A wrong entity is paired with at most one gold entity that it shares words with. Same words, other type is `type`;
    other words, same type is `boundary`; neither the same is `both`. Of several possible pairs the first of these kinds
    wins, then the larger overlap, then the one further left. What stays alone is `missed` or `spurious`.

    Raises:
        ValueError: gold and prediction have different numbers of rows.
    """
    if len(gold) != len(predicted):
        raise ValueError(f"expected predicted for the {len(gold)} rows of gold, found {len(predicted)}")
    return [
        error
        for row, (wanted, found) in enumerate(zip(gold, predicted, strict=True))
        for error in _row_errors(row, set(wanted), set(found))
    ]


def count_errors(errors: Iterable[EntityError]) -> dict[Kind, int]:
    """The number of mistakes of each kind, zeros included."""
    counts = Counter(error.kind for error in errors)
    return {kind: counts[kind] for kind in KINDS}


def _row_errors(row: int, gold: set[Entity], predicted: set[Entity]) -> list[EntityError]:
    missed, spurious = gold - predicted, predicted - gold
    pairs = sorted(_rank(wanted, found) for wanted in missed for found in spurious if _overlap(wanted, found))
    errors: list[EntityError] = []
    for _, _, wanted, found in pairs:
        if wanted in missed and found in spurious:
            missed.remove(wanted)
            spurious.remove(found)
            errors.append(EntityError(row, _kind(wanted, found), wanted, found))
    errors += [EntityError(row, "missed", wanted, None) for wanted in missed]
    errors += [EntityError(row, "spurious", None, found) for found in spurious]
    return sorted(errors, key=_place)


def _rank(wanted: Entity, found: Entity) -> tuple[int, int, Entity, Entity]:
    return ("type", "boundary", "both").index(_kind(wanted, found)), -_overlap(wanted, found), wanted, found


def _kind(wanted: Entity, found: Entity) -> Literal["type", "boundary", "both"]:
    if (wanted.start, wanted.end) == (found.start, found.end):
        return "type"
    return "boundary" if wanted.type == found.type else "both"


def _overlap(first: Entity, second: Entity) -> int:
    return max(0, min(first.end, second.end) - max(first.start, second.start))


def _place(error: EntityError) -> tuple[Entity, str]:
    entity = error.gold or error.predicted
    assert entity is not None
    return entity, error.kind
