"""Entities as spans of characters: read from rows, and moved to the boundaries of words."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from babelens.build.annotation.faults import Faults
from babelens.data.problems import quote


class Span(msgspec.Struct, frozen=True, order=True):
    """A piece of a text with its type. `start` and `end` count Unicode code points; `text` is what stands there."""

    start: int
    end: int
    text: str
    type: str


def cut(text: str, start: int, end: int, type_: str) -> Span:
    """The span of a text from `start` up to, but without, `end`."""
    return Span(start, end, text[start:end], type_)


def read_spans(row: Mapping[str, Any], faults: Faults, where: str) -> tuple[Span, ...]:
    """The entities of a row as spans in the order of the text; what is wrong with them is noted in `faults`.

    A score or any other field of an entity is left aside.
    """
    text = row["text"]
    spans: list[Span] = []
    for entity in row.get("entities") or ():
        start, end, type_ = entity.get("start"), entity.get("end"), entity.get("type")
        if type(start) is not int or type(end) is not int or not isinstance(type_, str) or not type_:
            faults.add(where, "an entity with start, end and type", quote(entity))
        elif not 0 <= start < end <= len(text):
            faults.add(where, f"an entity within 0..{len(text)}", f"{start}..{end}")
        elif entity.get("text", text[start:end]) != text[start:end]:
            expected = f"{quote(entity['text'])} at {start}..{end} (Unicode code points)"
            faults.add(where, expected, quote(text[start:end]))
        else:
            spans.append(cut(text, start, end, type_))
    return check_apart(spans, faults, where)


def check_apart(spans: Iterable[Span], faults: Faults, where: str) -> tuple[Span, ...]:
    """The spans in the order of the text; a character in two of them is noted in `faults`."""
    ordered = tuple(sorted(spans))
    for one, other in pairwise(ordered):
        if other.start < one.end:
            found = f"{name(one)} and {name(other)}"
            faults.add(where, "entities that do not overlap", found)
    return ordered


def name(span: Span) -> str:
    """A span as it is shown in a message."""
    return f"{quote(span.text)} {span.start}..{span.end} {span.type}"


def snap(text: str, span: Span, words: Sequence[tuple[int, int]]) -> Span | None:
    """Widen a span to whole words, leaving blanks at its ends out; None where it holds no word.

    This is what a corpus does with an entity that starts or ends inside a word when it is read
    (`babelens.data.records`), so that what is annotated is what is trained on. `words` are those of `split_words`.
    """
    first = bisect_right(words, span.start, key=lambda word: word[1])
    last = bisect_left(words, span.end, key=lambda word: word[0])
    if first >= last:
        return None
    return cut(text, words[first][0], words[last - 1][1], span.type)
