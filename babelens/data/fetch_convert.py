"""Published files to files that babelens reads: kept byte for byte where it reads them, else turned into CoNLL."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from babelens.data.conll import write_conll
from babelens.data.fetch_recipe import Layout
from babelens.data.problems import DataError, Problems, quote
from babelens.schema import Example, read_tags

_COLUMNS = ("token number", "token", "tag")


def convert(published: Path, target: Path, layout: Layout) -> int:
    """Write what a published file becomes; give the number of its sentences.

    Raises:
        DataError: what is published cannot be read; all faults in one go.
    """
    if layout == "conllu":
        with open(target, "w", encoding="utf-8", newline="\n") as file:
            return write_conll(read_conllu(published), file)
    from babelens.data.reading import read_corpus

    shutil.copyfile(published, target)
    try:
        return len(read_corpus(target, boxes=()))
    except DataError as error:
        raise DataError([replace(problem, path=published) for problem in error.problems], error.total) from error


def read_conllu(path: Path) -> Iterator[Example]:
    """Read sentences whose lines are the number of a token (from 0), the token and its IOB2 tag, separated by tabs.

    So WikiNEuRal is published. An I- that continues nothing starts an entity, as in conlleval. Lines that start with #
    and have no tab are remarks.

    Raises:
        DataError: at the end, with all faults of the file.
    """
    problems = Problems(path)
    block: list[bytes] = []
    total = number = 0
    with open(path, "rb") as file:
        for number, line in enumerate(chain(file, [b""]), 1):
            if line.strip(b" \r\n"):
                block.append(line)
                continue
            example = _read_sentence(block, number - len(block), problems)
            block = []
            if example is not None:
                total += 1
                yield replace(example, id=str(total))
    if not total and not problems.total:
        problems.add(number, "at least one sentence", "none")
    problems.raise_if_any()


def _read_sentence(lines: list[bytes], first: int, problems: Problems) -> Example | None:
    """The sentence of some lines, the first of which is line `first`; None where it is faulty or has no words."""
    before = problems.total
    words: list[str] = []
    tags: list[str] = []
    for number, line in enumerate(lines, first):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            problems.add(number, "UTF-8", quote(line))
            continue
        if text.startswith("#") and "\t" not in text:
            continue
        fields = text.split("\t")
        if len(fields) != len(_COLUMNS) or not all(fields):
            problems.add(number, f"{len(_COLUMNS)} columns separated by tabs ({', '.join(_COLUMNS)})", quote(text))
            continue
        if fields[0] != str(len(words)):
            problems.add(number, f"token number {len(words)}", quote(fields[0]))
        words.append(fields[1])
        tags.append(fields[2])
        if fields[2] != "O" and fields[2][:2] not in ("B-", "I-"):
            problems.add(number, "O, B-TYPE or I-TYPE", quote(fields[2]))
    if not words or problems.total > before:
        return None
    return Example("", tuple(words), read_tags(tags).entities)
