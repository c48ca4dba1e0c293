"""Markers around entities: put into a text before it is translated, found again in the translation and taken out.

That markers go through a translation system mostly unhurt, and that square brackets and tags are the ones that do best,
is the finding of Chen et al., "Frustratingly Easy Label Projection for Cross-lingual Transfer" (2023). Theirs carry no
number; ours mostly do, for a translation may change the order of its names.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

Span = tuple[int, int]

_NUMBER = r"(?P<number>\d{1,4})"
_TAG = rf"[<＜]\s*(?P<slash>[/／])?\s*[eE]\s*{_NUMBER}(?:\s*[>＞])?|(?P<cut>[/／])?\b[eE](?P<last>\d{{1,4}})\s*[>＞]"
_BRACKET = rf"[\[［【]\s*(?:{_NUMBER}\s*[:：]\s?)?|[\]］】]"
_QUOTES = '"“”„‟«»＂'


@dataclass(frozen=True)
class Style:
    """A way to mark an entity: what stands before it and behind it (`{}` is its number), and what finds that again.

    `pattern` also finds markers that came back with blanks, other case, wide signs or half of their brackets. A match
    is an opening marker or a closing one: by a slash in it, by being one of `closings`, or, where `alternating`, by
    turns, for quotation marks look the same on both sides in some languages and are swapped in others.
    """

    name: str
    opening: str
    closing: str
    pattern: re.Pattern[str]
    closings: str = ""
    alternating: bool = False

    @property
    def numbered(self) -> bool:
        """Whether an entity is known by a number; else only by what stands between its markers."""
        return "{}" in self.opening

    def fits(self, text: str) -> bool:
        """Whether nothing in a text could be taken for a marker of this style."""
        return self.pattern.search(text) is None


STYLES = {
    style.name: style
    for style in (
        Style("tags", "<e{}>", "</e{}>", re.compile(_TAG)),
        Style("brackets", "[{}: ", "]", re.compile(_BRACKET), closings="]］】"),
        Style("square", "[", "]", re.compile(r"[\[［【]|[\]］】]"), closings="]］】"),
        Style("quotes", '"', '"', re.compile(rf"[{_QUOTES}]|''|``"), alternating=True),
    )
}
"""The styles by name, in the order in which they are best tried."""


@dataclass(frozen=True)
class Marked:
    """A translation whose markers were taken out.

    - `text`: what is left; nothing else was changed but blanks on the inner side of a marker that has one outside too.
    - `spans`: where the entities with a sound pair of markers stand in it, by their number from 0. Without numbers in
      the markers, `pairs` in the order of the text, and `spans` is empty.
    - `faults`: what is wrong with the markers of the others: "lost" (none), "half" (an opening or a closing one),
      "doubled", "crossed" (other markers inside), "empty" (nothing inside). All are "lost" where pairs carry no number
      and are not as many as the entities.
    - `stray`: markers that no entity has.
    - `reordered`: whether the translation names the entities in another order. That is no fault.
    """

    text: str
    spans: dict[int, Span]
    faults: dict[int, str]
    pairs: tuple[Span, ...] = ()
    stray: int = 0
    reordered: bool = False


@dataclass(frozen=True)
class _Marker:
    """A marker found: the number of its entity (None: it says none), whether it opens, and where it stood."""

    number: int | None
    opens: bool
    place: int


def wrap(text: str, spans: Sequence[Span], style: Style) -> str:
    """Put markers around spans of a text, which are in order and do not overlap; the first one is number 1."""
    parts: list[str] = []
    before = 0
    for number, (start, end) in enumerate(spans, 1):
        parts += [text[before:start], style.opening.format(number), text[start:end], style.closing.format(number)]
        before = end
    return "".join([*parts, text[before:]])


def find(text: str, style: Style, count: int) -> Marked:
    """Find the markers of `count` entities in a translation, and take all markers out, sound or not."""
    plain, markers = _take_out(text, style)
    if not style.numbered:
        pairs, stray = _pairs(plain, markers)
        faults = {} if len(pairs) == count else dict.fromkeys(range(count), "lost")
        return Marked(plain, {}, faults, tuple(pairs), stray)
    spans: dict[int, Span] = {}
    faults: dict[int, str] = {}
    for number in range(count):
        own = [at for at, marker in enumerate(markers) if marker.number == number]
        if not own:
            faults[number] = "lost"
        elif len(own) > 2:
            faults[number] = "doubled"
        elif len(own) < 2 or not markers[own[0]].opens or markers[own[1]].opens:
            faults[number] = "half"
        elif own[1] - own[0] > 1:
            faults[number] = "crossed"
        else:
            span = _trim(plain, markers[own[0]].place, markers[own[1]].place)
            if span[0] == span[1]:
                faults[number] = "empty"
            else:
                spans[number] = span
    stray = sum(marker.number is None or not 0 <= marker.number < count for marker in markers)
    order = sorted(spans, key=lambda number: spans[number])
    return Marked(plain, spans, faults, stray=stray, reordered=order != sorted(order))


def _take_out(text: str, style: Style) -> tuple[str, list[_Marker]]:
    """The text without markers, and the markers at their places in it."""
    plain = ""
    markers: list[_Marker] = []
    open_number: int | None = None
    before = 0
    for match in style.pattern.finditer(text):
        plain += text[before : match.start()]
        before = match.end()
        outside = not plain or plain[-1].isspace()
        while outside and before < len(text) and text[before].isspace():
            before += 1
        if style.alternating:
            opens = len(markers) % 2 == 0
        elif style.closings:
            opens = match[0][0] not in style.closings
        else:
            opens = not (match["slash"] or match["cut"])
        number: int | None = None
        if style.numbered:
            said = match["number"] or (match["last"] if not style.closings else None)
            number = int(said) - 1 if said else None
            if style.closings:
                # The closing bracket says no number: it is that of the bracket that was opened last.
                open_number, number = (number, number) if opens else (None, open_number)
        markers.append(_Marker(number, opens, len(plain)))
    plain += text[before:]
    ends = len(plain.rstrip()) if markers and markers[-1].place == len(plain) else len(plain)
    return plain[:ends], [_Marker(marker.number, marker.opens, min(marker.place, ends)) for marker in markers]


def _pairs(plain: str, markers: Sequence[_Marker]) -> tuple[list[Span], int]:
    """What stands between an opening marker and a closing one right after it, and how many markers are left over."""
    pairs: list[Span] = []
    stray = 0
    opened: int | None = None
    for marker in markers:
        if marker.opens:
            stray += opened is not None
            opened = marker.place
        elif opened is None:
            stray += 1
        else:
            start, end = _trim(plain, opened, marker.place)
            if start < end:
                pairs.append((start, end))
            else:
                stray += 2
            opened = None
    return pairs, stray + (opened is not None)


def _trim(text: str, start: int, end: int) -> Span:
    """A span without the blanks at its ends; empty where it is nothing else."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
