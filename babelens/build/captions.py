"""The first step: captions and tweets are read, cleaned by a few rules, and what is not fit for labelling left out.

The rules, in their order; the first that drops a row names itself as the reason:

- `language`: only the wanted languages; codes such as en_XX, eng_Latn or en-GB are en.
- `person`: Conceptual 12M has `<PERSON>` where a name was taken out of a caption, and translation models have made
  `<PERSONNE>` and the like of it. Such rows are dropped by default: what stands there is no name, an annotator could
  only guess, and a tagger would learn a sign that no real text has. Of the captions of MMNERD (English) none has one.
  "keep" leaves them as they are, "mask" makes the plain word PERSON of each.
- `unicode`, `blanks`: text is brought to NFC, and every run of blanks of any kind to one blank; such rows are changed.
- `empty`, `control characters`: nothing is left; or a character that has no place in text (control characters, halves
  of surrogate pairs, U+FFFD), for the text came through a wrong decoding.
- `too few words`, `too many words`, counted by the splitter of the package.
- `repeat`: the same text in the same language stood in an earlier row that remained.
- `entities`: gold entities that the changes have cut through.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import regex

from babelens.build.language_codes import language_of
from babelens.build.results import Result, changed, dropped, kept
from babelens.build.rows import Input, Row
from babelens.build.seen import Seen
from babelens.build.step import SECONDS, Step, Summary, run_step
from babelens.data.words import split_words

Person = Literal["drop", "keep", "mask"]

PERSON = re.compile(r"<\s*person[a-zé]*\s*>", re.IGNORECASE)
MASK = "PERSON"
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffd-\uffff]")
# Letters and digits that never begin a word of their own but after a blank or one of all other signs.
_PLAIN = re.compile("[0-9A-Za-zÀ-ÖØ-öø-ɏЀ-ҁ ]+")
NO_TYPE = "O"


@dataclass(frozen=True)
class Rules:
    """What is kept of the captions. `languages` None are all; `types` renames entity types ("O" leaves one out)."""

    languages: tuple[str, ...] | None = None
    person: Person = "drop"
    min_words: int = 3
    max_words: int = 128
    types: Mapping[str, str] = field(default_factory=dict)

    def options(self) -> dict[str, Any]:
        """The rules in terms of JSON."""
        return {
            "languages": None if self.languages is None else sorted(self.languages),
            "person": self.person,
            "words": [self.min_words, self.max_words],
            "types": dict(sorted(self.types.items())),
        }


def take_captions(
    source: Input,
    out: Path,
    rules: Rules,
    *,
    skip_bad: bool = False,
    tell: Callable[[int], object] = lambda done: None,
    seconds: float = SECONDS,
) -> Summary:
    """Run the step: the captions of an input (see `caption_readers`) that the rules let through, in `out`.

    Raises:
        BadRows, JournalError, Interrupted, DiskFull: as `run_step` says.
    """
    cleaner = Cleaner(rules)
    step = Step("captions", rules.options(), {"unicode": unicodedata.unidata_version, "regex": regex.__version__})
    return run_step(
        step, source, out, cleaner.take, restore=cleaner.restore, skip_bad=skip_bad, tell=tell, seconds=seconds
    )


class Cleaner:
    """Puts captions through the rules; knows the texts that remained, by 8 bytes each (see `Seen`)."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._seen = Seen()

    def restore(self, rows: Iterator[Row]) -> None:
        """Know rows that remained in an earlier run."""
        for row in rows:
            self._seen.add(row.get("language"), row["text"])

    def take(self, rows: Iterator[Row]) -> Iterator[Result]:
        """What becomes of each row; the rows themselves are changed."""
        return map(self.clean, rows)

    def clean(self, row: Row) -> Result:
        """What becomes of a row; the row itself is changed."""
        rules, given = self.rules, row.get("language")
        language = language_of(given) if given else None
        if rules.languages is not None and language not in rules.languages:
            return dropped("language", **({"language": given} if given else {}))
        if language is not None:
            row["language"] = language
        else:
            row.pop("language", None)
        before: str = row["text"]
        persons = len(PERSON.findall(before)) if "<" in before else 0
        if persons and rules.person == "drop":
            return dropped("person")
        why: list[str] = []
        text = self._rewrite(before, why)
        if (reason := self._unfit(text)) is not None:
            return dropped(reason)
        if not self._seen.add(language, text):
            return dropped("repeat")
        row["text"] = text
        if row.get("entities") and not self._move(row, before, why):
            return dropped("entities")
        if not why:
            return kept(row)
        return changed(row, ", ".join(why), **({"persons": persons} if "person" in why else {}))

    def _rewrite(self, text: str, why: list[str] | None = None) -> str:
        """A text after all that changes it; what did is added to `why`."""
        why = [] if why is None else why
        if self.rules.person == "mask" and "<" in text:
            text, number = PERSON.subn(MASK, text)
            if number:
                why.append("person")
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
            why.append("unicode")
        joined = " ".join(text.split())
        if joined != text:
            why.append("blanks")
        return joined

    def _unfit(self, text: str) -> str | None:
        if not text:
            return "empty"
        # Python takes U+FFFD for printable.
        if (not text.isprintable() or "\ufffd" in text) and _NO_TEXT.search(text):
            return "control characters"
        return words_out_of(text, self.rules.min_words, self.rules.max_words)

    def _move(self, row: Row, before: str, why: list[str]) -> bool:
        """Put the entities of a row to their places in its new text; whether they all have one."""
        types, text = self.rules.types, row["text"]
        entities: list[dict[str, Any]] = []
        renamed = False
        for entity in row["entities"]:
            start, end = entity["start"], entity["end"]
            said = before[start:end]
            if text != before:
                # What stands before an entity takes the same room as in the new text; the x keeps a blank at its end.
                said = self._rewrite(said)
                start, end = len(self._rewrite(before[:start] + "x")) - 1, len(self._rewrite(before[:end]))
                if not said or text[start:end] != said:
                    return False
            type_ = types.get(entity["type"], entity["type"])
            renamed = renamed or type_ != entity["type"]
            if type_ != NO_TYPE:
                entities.append({**entity, "start": start, "end": end, "text": said, "type": type_})
        row["entities"] = entities
        if renamed:
            why.append("types")
        return True


def words_out_of(text: str, fewest: int, most: int) -> str | None:
    """Why a text of single blanks is too short or too long, or None; words are those of `split_words`.

    Most texts are judged without splitting them: each piece between blanks is at least one word, and a sign that is no
    plain letter or digit adds at most two (itself, and what follows it).
    """
    pieces = text.count(" ") + 1
    if pieces > most:
        return "too many words"
    if pieces >= fewest and pieces + 2 * len(_PLAIN.sub("", text)) <= most:
        return None
    words = len(split_words(text))
    if words < fewest:
        return "too few words"
    return "too many words" if words > most else None
