"""What is asked of a translator for a row: its text, with markers and without, and its names by themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from babelens.build.projection import Mention
from babelens.build.projection_markers import STYLES, Span, Style, wrap
from babelens.data.problems import listing, quote
from babelens.schema import InputError


@dataclass(frozen=True)
class Carrying:
    """What is asked of the translator so that entities can be carried over.

    - `styles`: the markers to try, in order, on the whole text; the next one where those of an entity came back broken.
      A style that could be taken for something in the text is passed over.
    - `plain`: also the text without markers, which then is the text of the row.
    - `alone`: also each name by itself.
    """

    styles: tuple[str, ...] = ("tags", "brackets")
    plain: bool = True
    alone: bool = True

    def __post_init__(self) -> None:
        unknown = [name for name in self.styles if name not in STYLES]
        if unknown:
            raise InputError(f"markers: expected {listing(STYLES)}, found {unknown[0]!r}")
        if not (self.styles or self.plain):
            raise InputError("markers: expected a style where the text is not translated without markers, found none")


METHODS = {
    "both": Carrying(),
    "markers": Carrying(plain=False, alone=False),
    "likeness": Carrying(styles=()),
}
"""Markers and likeness (text, marked text and each name are translated), markers alone, likeness alone."""


@dataclass(frozen=True)
class SourceText:
    """A row as it is translated. `fault` says why that cannot be, for any target."""

    id: str
    text: str
    language: str
    mentions: tuple[Mention, ...]
    fault: str | None = None

    @property
    def spans(self) -> list[Span]:
        """Where the entities stand."""
        return [(mention.start, mention.end) for mention in self.mentions]

    @property
    def names(self) -> list[str]:
        """What the entities are called."""
        return [self.text[start:end] for start, end in self.spans]

    def refusal(self, target: str) -> str | None:
        """Why the row is not translated to a language."""
        return "the row is in this language" if self.language == target else self.fault

    def styles(self, carrying: Carrying) -> list[Style]:
        """The styles that can be told from the text itself; none where there is nothing to mark."""
        return [STYLES[name] for name in carrying.styles if STYLES[name].fits(self.text)] if self.mentions else []

    def wrapped(self, style: Style) -> str:
        """The text with markers around its entities."""
        return wrap(self.text, self.spans, style)

    def wanted(self, carrying: Carrying, *, all_styles: bool) -> dict[str, str]:
        """The texts to translate by what they are: "plain", the name of a style, "name-1" and so on.

        Only the first style that fits is wanted at first, or all that may be tried one after the other.
        """
        styles = self.styles(carrying)
        asked = {"plain": self.text} if carrying.plain or not styles else {}
        asked |= {style.name: self.wrapped(style) for style in (styles if all_styles else styles[:1])}
        if carrying.alone:
            asked |= {f"name-{number}": name for number, name in enumerate(self.names, 1) if name.strip()}
        return asked


def read_source(row: Mapping[str, Any], language: str | None = None) -> SourceText:
    """What is translated of a row of a step (`build.rows`); `language` is that of a row that names none.

    Raises:
        InputError: neither names the language.
    """
    own = row.get("language") or language
    if not isinstance(own, str):
        raise InputError(f"row {quote(row['id'])}: expected a language, in the row or for all, found {quote(own)}")
    given = [Mention(entity["start"], entity["end"], entity["type"]) for entity in row.get("entities") or ()]
    mentions = tuple(sorted(given, key=lambda mention: (mention.start, mention.end)))
    fault = None
    if not row["text"].strip():
        fault = "the text is empty"
    elif any(after.start < before.end for before, after in pairwise(mentions)):
        fault = "two entities overlap"
    return SourceText(row["id"], row["text"], own, mentions, fault)
