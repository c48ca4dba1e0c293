"""Texts handed to a translation service or a person, and their translations read back.

A file of JSON lines: `key`, `text`, `source` and `target` are written, `translation` is filled in. Keys say what a text
is: `<row>-<language>/plain`, `/tags` and the like for texts with markers, `/name-1` for a name by itself. A text that
occurs again is asked for once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from filecmp import cmp
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from babelens.build.translate_texts import METHODS, Carrying, read_source
from babelens.data.journal import locked
from babelens.data.problems import Problems, fault, quote
from babelens.schema import InputError

_SHOWN = 20


@dataclass(frozen=True)
class Request:
    """A text to be translated, under a key that no other one has."""

    key: str
    text: str
    source: str
    target: str


class HandedTranslator:
    """Gives the translations that were read back, and "" for those that were left out (`read_translations`)."""

    def __init__(self, known: Mapping[tuple[str, str, str], str]) -> None:
        self._known = known

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Look texts up.

        Raises:
            InputError: a text was never handed out.
        """
        for text in texts:
            if (source, target, text) not in self._known:
                raise InputError(
                    f"translations: expected those of the same rows, markers and targets as were written, "
                    f"found none from {source} to {target} of {quote(text)}"
                )
        return [self._known[source, target, text] for text in texts]


def requests(
    rows: Iterable[Mapping[str, Any]],
    targets: Sequence[str],
    *,
    carrying: Carrying = METHODS["both"],
    language: str | None = None,
) -> Iterator[Request]:
    """All texts that `translate_rows` may ask for, each once. Memory holds the digests of those before.

    Raises:
        InputError: as `translate_rows`.
    """
    seen: set[tuple[str, str, bytes]] = set()
    for row in rows:
        source = read_source(row, language)
        for target in dict.fromkeys(targets):
            if source.refusal(target) is not None:
                continue
            for part, text in source.wanted(carrying, all_styles=True).items():
                mark = (source.language, target, _digest(text))
                if mark not in seen:
                    seen.add(mark)
                    yield Request(f"{source.id}-{target}/{part}", text, source.language, target)


def write_requests(path: Path, asked: Iterable[Request]) -> int:
    """Write requests as JSON lines, beside their place and renamed; give their number.

    Raises:
        InputError: there is a file with something else in it, which may be translations that have been filled in.
        JournalError: another process is writing it.
    """
    total = 0
    encode = msgspec.json.Encoder().encode
    beside = path.with_name(f".{path.name}.new")
    with locked(path):
        try:
            with open(beside, "wb") as file:
                for request in asked:
                    file.write(encode(asdict(request)) + b"\n")
                    total += 1
            if path.exists() and not cmp(beside, path, shallow=False):
                raise InputError(
                    f"{path}: expected a new file, or the same texts without translations, found a file with something "
                    "else in it; choose another --export, or remove it"
                )
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    return total


def read_translations(path: Path, asked: Iterable[Request], *, partial: bool = False) -> HandedTranslator:
    """Read translations back: lines in any order, with `key` and `translation`; other fields may be there or not.

    All translations are in memory. With `partial`, keys may be missing, and what they stand for is not translated.

    Raises:
        DataError: lines that cannot be read, keys that are missing, doubled or unknown, or a text that was changed; all
            together.
    """
    expected = {request.key: request for request in asked}
    problems = Problems(path)
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in _lines(path, problems):
        key, text, said = line.get("key"), line.get("text"), line.get("translation")
        if not isinstance(key, str) or key not in expected:
            problems.add(number, "a key that was written out", quote(key))
        elif key in lines:
            problems.add(number, f"each key once ({quote(key)} stands in line {lines[key]} already)", "it again")
        elif text is not None and text != expected[key].text:
            problems.add(number, f"the text as it was written out, {quote(expected[key].text)}", quote(text))
        elif said is not None and not isinstance(said, str):
            problems.add(number, "a translation as a string", quote(said))
        else:
            lines[key] = number
            if said is not None and said.strip():
                found[key] = said
    missing = [key for key in expected if key not in found]
    if missing and not partial:
        for key in missing[:_SHOWN]:
            problems.add(lines.get(key), f"a translation for {quote(key)}", "none")
        if len(missing) > _SHOWN:
            problems.add(None, "a translation for every key", f"{len(missing) - _SHOWN:,} more without")
    problems.raise_if_any()
    return HandedTranslator(
        {(request.source, request.target, request.text): found.get(key, "") for key, request in expected.items()}
    )


def _lines(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    if not path.is_file():
        raise fault(path, "a file of translations", "no such file")
    decode = msgspec.json.Decoder().decode
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                content = decode(line.removeprefix(b"\xef\xbb\xbf"))
            except (ValueError, RecursionError) as error:
                problems.add(number, "a JSON object", f"{quote(line.decode('utf-8', 'replace').strip())} ({error})")
                continue
            if isinstance(content, dict):
                yield number, content
            else:
                problems.add(number, "a JSON object", quote(content))


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
