"""All that is wrong with what was handed in, told in one go."""

from babelens.schema import InputError

SHOWN = 20
"""How many faults a message lists."""


class Faults:
    """Collects faults: where each is, what was expected there and what was found."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, where: str, expected: str, found: str) -> None:
        """Note a fault."""
        self.lines.append(f"{where}: expected {expected}, found {found}")

    def raise_if_any(self) -> None:
        """Raise what was noted.

        Raises:
            InputError: at least one fault was noted; the first twenty are told, the others counted.
        """
        if self.lines:
            rest = len(self.lines) - SHOWN
            raise InputError("\n".join([*self.lines[:SHOWN], *([f"... and {rest:,} more"] if rest > 0 else [])]))
