"""What two declarations differ in, and a declaration in one line."""

from typing import NamedTuple

import msgspec


class Difference(NamedTuple):
    """A field, by the path that `--set` takes, and what stands there on either side, in one line each."""

    path: str
    first: str
    second: str


def brief(value: object) -> str:
    """A declaration in one line, as one would write it: fields that have their default are left out."""
    if isinstance(value, tuple):
        return f"({', '.join(map(brief, value))}{',' if len(value) == 1 else ''})"
    if not isinstance(value, msgspec.Struct):
        return repr(value)
    fields = [
        f"{field.name}={brief(own)}"
        for field in msgspec.structs.fields(value)
        if (own := getattr(value, field.name)) != field.default
    ]
    return f"{type(value).__name__}({', '.join(fields)})"


def differences(first: object, second: object, path: str = "model") -> list[Difference]:
    """Only what differs: parts of one kind are compared field by field, others as a whole."""
    if first == second:
        return []
    if isinstance(first, tuple) and isinstance(second, tuple) and any(map(_declared, (*first, *second))):
        found = []
        for number in range(max(len(first), len(second))):
            place = f"{path}.{number}"
            if number >= min(len(first), len(second)):
                sides = (brief(own[number]) if number < len(own) else "nothing" for own in (first, second))
                found.append(Difference(place, *sides))
            else:
                found += differences(first[number], second[number], place)
        return found
    if isinstance(first, msgspec.Struct) and type(first) is type(second):
        return [
            difference
            for field in msgspec.structs.fields(first)
            for difference in differences(
                getattr(first, field.name), getattr(second, field.name), f"{path}.{field.name}"
            )
        ]
    return [Difference(path, brief(first), brief(second))]


def _declared(value: object) -> bool:
    return isinstance(value, msgspec.Struct)
