"""Answers in colour: a piece of HTML that needs nothing else, and text for a terminal.

Colours are told apart by the type that stands beside them, never by colour alone; text on each has a contrast of 4.5 to
1 at least, in light and in dark surroundings.
"""

import unicodedata
import zlib
from collections.abc import Iterable
from html import escape

from rich.text import Text

from babelens.prediction.answer import Answer, Mention

USUAL = ("PER", "LOC", "ORG", "MISC")

# (background, ink) by light and by dark; the first four are those of the usual types.
LIGHT = (
    ("#ffe0b8", "#16191d"),
    ("#c9ecd0", "#16191d"),
    ("#cfe2ff", "#16191d"),
    ("#ecd6fa", "#16191d"),
    ("#fbd3e0", "#16191d"),
    ("#d3eef0", "#16191d"),
    ("#ebe6b4", "#16191d"),
    ("#dfe3e8", "#16191d"),
)
DARK = (
    ("#6b3f07", "#ffffff"),
    ("#1b5130", "#ffffff"),
    ("#1d4380", "#ffffff"),
    ("#5a2f7a", "#ffffff"),
    ("#7a2244", "#ffffff"),
    ("#14545a", "#ffffff"),
    ("#4b4610", "#ffffff"),
    ("#3d4550", "#ffffff"),
)

_STYLE = (
    ".babelens{margin:.5em 0;font:1em/1.9 system-ui,sans-serif;white-space:pre-wrap;overflow-wrap:anywhere}"
    ".babelens mark{padding:.15em .35em;border-radius:.35em;-webkit-box-decoration-break:clone;"
    "box-decoration-break:clone}"
    ".babelens mark small{margin-inline-start:.45em;font-size:.72em;font-weight:600;white-space:nowrap}"
    ".babelens p{margin:0}.babelens .note{font-size:.8em}"
)


def colour_of(type_: str) -> int:
    """The number of a type's colour: the usual types have their own, others one that hangs on the name alone."""
    if type_ in USUAL:
        return USUAL.index(type_)
    return len(USUAL) + zlib.crc32(type_.encode("utf-8", "surrogatepass")) % (len(LIGHT) - len(USUAL))


def to_html(answers: Answer | Iterable[Answer], *, page: bool = False, title: str = "Entities") -> str:
    """Answers as HTML, a block each; with `page` as a whole document.

    The language of the text decides the direction of each block, and of each entity by itself. Nothing is loaded from
    elsewhere, and nothing of a text is taken for markup.
    """
    blocks = [_block(answer) for answer in ([answers] if isinstance(answers, Answer) else answers)]
    body = f"<style>{_style()}</style>{''.join(blocks)}"
    if not page:
        return body
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{safe(title)}</title></head><body>{body}</body></html>\n"
    )


def _style() -> str:
    def rules(tones: tuple[tuple[str, str], ...]) -> str:
        return "".join(
            f".babelens .e{number}{{background:{back};color:{ink}}}" for number, (back, ink) in enumerate(tones)
        )

    return f"{_STYLE}{rules(LIGHT)}@media (prefers-color-scheme:dark){{{rules(DARK)}}}"


def _block(answer: Answer) -> str:
    if answer.error is not None:
        return f'<div class="babelens"><p class="note">{safe(answer.error)}</p></div>'
    parts: list[str] = []
    end = 0
    for mention in answer.entities:
        parts += [safe(answer.text[end : mention.start]), _mark(mention)]
        end = mention.end
    parts.append(safe(answer.text[end:]))
    language = "" if answer.language is None else f' lang="{safe(answer.language)}"'
    return f'<div class="babelens"><p dir="auto"{language}>{"".join(parts)}</p></div>'


def _mark(mention: Mention) -> str:
    score = f"{100 * mention.score:.0f} %"
    return (
        f'<mark class="e{colour_of(mention.type)}"><bdi>{safe(mention.text)}</bdi>'
        f'<small><bdi dir="ltr">{safe(mention.type)} {score}</bdi></small></mark>'
    )


def safe(text: str) -> str:
    """A text as it may stand in HTML; characters that no page may hold (controls, lone surrogates) become U+FFFD."""
    return escape("".join("\ufffd" if _forbidden(character) else character for character in text))


def _forbidden(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r"


# Bidirectional overrides, embeddings and isolates: in a terminal they would reach beyond their text.
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def to_text(answer: Answer) -> Text:
    """An answer for a terminal: the text with its entities in colour, each with its type and score.

    Control characters of the text, and such as turn its direction, become U+FFFD: they reach no terminal.
    """
    if answer.error is not None:
        return Text(_plain(answer.error), style="red")
    made = Text()
    end = 0
    for mention in answer.entities:
        back, ink = DARK[colour_of(mention.type)]
        made.append(_plain(answer.text[end : mention.start]))
        made.append(f" {_plain(mention.text)} ", style=f"{ink} on {back}")
        made.append(f"{_plain(mention.type)} {100 * mention.score:.0f} % ", style=f"bold {ink} on {back}")
        end = mention.end
    return made.append(_plain(answer.text[end:]))


def _plain(text: str) -> str:
    return "".join("\ufffd" if _forbidden(character) or character in _BIDI else character for character in text)
