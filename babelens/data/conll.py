"""CoNLL files: one token a line with its tag, a blank line between sentences, and `IMGID:<id>` lines for pictures.

Two layouts are read. With tabs (MMNERD, Twitter-2015, Twitter-2017) fields are split on the tab alone and lines on the
line feed alone, so that a lone no-break space or a control character is a token like any other. Without tabs
(CoNLL-2002, CoNLL-2003) fields are split on runs of blanks and `-DOCSTART-` lines are left out. In both the token is
the first column and the tag the last. A carriage return at the end of a line is dropped.
"""

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import TextIOBase, TextIOWrapper
from pathlib import Path

from babelens.data.problems import Problems, quote
from babelens.data.rows import Row
from babelens.schema import SCHEMES, Example, InputError, Scheme, TagError, read_tags, write_tags

IMAGE = "IMGID:"
DOCUMENT = "-DOCSTART-"
_SNIFFED = 1 << 20
_MARK = "\ufeff"
_ENOUGH = 20
# Stands for a faulty line, so that the lines after it are still counted right.
_PLACEHOLDER = ("?", "O")
_SCHEME_HINT = "pass the scheme if this file uses another"


@dataclass(frozen=True)
class Layout:
    """How the lines of a file are made: separated by tabs or by blanks, how many columns, and which tag scheme."""

    tabs: bool
    columns: int
    scheme: Scheme


def sniff(path: Path, scheme: Scheme | None = None) -> Layout:
    """Find out the layout of a file from its first million characters; a scheme that is given is taken as it is.

    BIOES and BILOU are known by their ends, IOB1 by at least 20 entities that start with I- and no B- but between two
    entities of one type. All else is IOB2. The entities of IOB1 and IOB2 files are the same either way; only what
    counts as a violation differs.
    """
    with _open(path) as file:
        lines = file.read(_SNIFFED).split("\n")
    lines = [line for line in (line.rstrip("\r") for line in lines) if line and not line.startswith(IMAGE)]
    tabs = any("\t" in line for line in lines)
    fields = [_split(line, tabs) for line in lines]
    widths = Counter(len(field) for field in fields if len(field) > 1)
    columns = widths.most_common(1)[0][0] if widths else 2
    if scheme is None:
        scheme = guess_scheme([field[-1] for field in fields if len(field) == columns])
    return Layout(tabs, columns, scheme)


def guess_scheme(tags: Sequence[str]) -> Scheme:
    """The scheme that tags (of one or more sentences, in order) are most likely written in; see `sniff`."""
    prefixes = Counter(tag[0] for tag in tags if tag[1:2] == "-")
    begins = prefixes["B"]
    if prefixes["E"] + prefixes["S"] > begins / 2 and prefixes["E"] >= begins / 2:
        return "bioes"
    if prefixes["L"] + prefixes["U"] > begins / 2 and prefixes["L"] >= begins / 2:
        return "bilou"
    before = ["O", *tags[:-1]]
    joined = [a != "O" and a[2:] == b[2:] for a, b in zip(before, tags, strict=True)] if tags else []
    illegal_begins = sum(tag[:1] == "B" and not join for tag, join in zip(tags, joined, strict=True))
    starting_insides = sum(tag[:1] == "I" and not join for tag, join in zip(tags, joined, strict=True))
    return "iob1" if starting_insides >= _ENOUGH and not illegal_begins else "iob2"


def _split(line: str, tabs: bool) -> list[str]:
    return line.split("\t") if tabs else [field for field in line.split(" ") if field]


def _open(path: Path) -> TextIOWrapper:
    return open(path, encoding="utf-8-sig", errors="surrogateescape", newline="\n")


def read_conll(path: Path, problems: Problems, scheme: Scheme | None = None) -> Iterator[Row]:
    """Read the sentences of a CoNLL file one by one; faults are noted in `problems` and reading goes on.

    An I- that continues nothing starts an entity, as in conlleval, and is a violation of the row, not a fault.
    """
    with open(path, "rb") as binary:
        start = binary.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        problems.add(1, "UTF-8", "UTF-16 (by its byte order mark)")
        return
    layout = sniff(path, scheme)
    block = _Block(layout, problems)
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\r\n")
            fields = _split(line, layout.tabs)
            if len(fields) == layout.columns and not (line.startswith(IMAGE) and not layout.tabs):
                block.add(number, fields[0], fields[-1])
            elif not line.strip(" \t"):
                yield from block.end()
            elif line.startswith(IMAGE) and "\t" not in line:
                block.picture(number, line[len(IMAGE) :])
            else:
                separator = "tabs" if layout.tabs else "blanks"
                problems.add(
                    number,
                    f"{layout.columns} columns separated by {separator} (token first, tag last)",
                    f"{len(fields)} in {quote(line)}",
                )
                block.add(number, *_PLACEHOLDER)
    yield from block.end()


class _Block:
    """The sentence that is being read."""

    def __init__(self, layout: Layout, problems: Problems) -> None:
        self._layout = layout
        self._problems = problems
        self._clear()

    def _clear(self) -> None:
        self._line = 0
        self._words: list[str] = []
        self._tags: list[str] = []
        self._images: list[str] = []
        self._image_line = 0

    def add(self, line: int, word: str, tag: str) -> None:
        if not self._words:
            self._line = line
        self._words.append(word)
        self._tags.append(tag)

    def picture(self, line: int, image: str) -> None:
        if self._words:
            self._problems.add(line, f"a blank line before {IMAGE}", f"{quote(IMAGE + image)} inside a sentence")
            self.add(line, *_PLACEHOLDER)
            return
        if not image:
            self._problems.add(line, f"a picture id after {IMAGE}", "nothing")
        elif not _clean(image):
            self._problems.add(line, "UTF-8", _bytes(image))
        self._images.append(image)
        self._image_line = line

    def end(self) -> Iterator[Row]:
        words, tags, line, images, image_line = self._words, self._tags, self._line, self._images, self._image_line
        self._clear()
        if words and words[0] == DOCUMENT:
            words, tags, line = words[1:], tags[1:], line + 1
        if not words:
            if images:
                self._problems.add(image_line, f"a sentence after {IMAGE}", "a blank line")
            return
        faults = self._problems.total
        if "" in words:
            for at, word in enumerate(words):
                if not word:
                    self._problems.add(line + at, "a token in the first column", "nothing")
        if not _clean("".join(words)):
            for at, word in enumerate(words):
                if not _clean(word):
                    self._problems.add(line + at, "UTF-8", _bytes(word))
        try:
            reading = read_tags(tags, self._layout.scheme)
        except TagError:
            self._note_tags(tags, line)
            return
        if faults == self._problems.total:
            yield Row(words, reading.entities, images, line, reading.violations)

    def _note_tags(self, tags: list[str], line: int) -> None:
        for at, tag in enumerate(tags):
            try:
                read_tags([tag], self._layout.scheme)
            except TagError as error:
                expected, _, found = str(error).removeprefix("expected ").rpartition(", found ")
                hint = "" if tag[:2] not in ("E-", "S-", "L-", "U-") else f"; {_SCHEME_HINT}"
                self._problems.add(line + at, expected + hint, found)


def _clean(text: str) -> bool:
    """Whether a text holds no byte that was not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bytes(text: str) -> str:
    bad = next(character for character in text if "\ud800" <= character <= "\udfff")
    shown = text.encode("utf-8", "surrogateescape")
    return f"the byte 0x{ord(bad) - 0xDC00:02X} in {quote(shown)}"


def write_conll(examples: Iterable[Example], file: TextIOBase, scheme: Scheme = "iob2") -> int:
    """Write sentences as tab-separated CoNLL with `IMGID:` lines; give their number.

    Raises:
        InputError: a sentence without words, or a word or id that the format cannot hold.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"expected one of {', '.join(SCHEMES)}, found {scheme!r}")
    total = 0
    for example in examples:
        lines = [f"{IMAGE}{_field(image, example.id)}" for image in example.images]
        tags = write_tags(example.entities, len(example.words), scheme)
        lines += [
            f"{_field(word, example.id)}\t{_field(tag, example.id)}"
            for word, tag in zip(example.words, tags, strict=True)
        ]
        if not example.words or example.words[0] == DOCUMENT:
            found = "none" if not example.words else DOCUMENT
            raise InputError(f"expected a first word that is not {DOCUMENT} in row {example.id}, found {found}")
        if not total and lines[0].startswith(_MARK):
            # A reader takes the first one off: it is the mark of the file.
            file.write(_MARK)
        file.write("\n".join(lines) + "\n\n")
        total += 1
    return total


def _field(value: str, row: str) -> str:
    if not value or "\t" in value or "\n" in value or value.endswith("\r"):
        raise InputError(f"expected words, types and picture ids of one line in row {row}, found {quote(value)}")
    return value
