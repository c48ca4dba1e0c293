"""Text made safe to stand in a page."""

import unicodedata
from html import escape


def markup(text: str) -> str:
    """Escape a text; characters that no page may hold (controls, lone surrogates) become U+FFFD."""
    kept = (
        "\ufffd" if unicodedata.category(character) in ("Cc", "Cs") and not character.isspace() else character
        for character in text
    )
    return escape("".join(kept))
