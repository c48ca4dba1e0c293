"""Tables in Markdown, for cards and reports."""

from collections.abc import Sequence

_SIGNS = "\\`*_{}[]<>|#"


def grid(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int, ready: bool = False) -> str:
    """A table, the first `left` columns aligned to the left; cells, but not the head, are escaped unless `ready`."""
    rule = ["---" if place < left else "---:" for place in range(len(head))]
    shown = rows if ready else [[escape(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *shown))


def escape(text: str) -> str:
    """A text that stays within its cell, and is no markup."""
    plain = " ".join(text.split())
    for sign in _SIGNS:
        plain = plain.replace(sign, f"\\{sign}")
    return plain
