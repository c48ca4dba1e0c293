"""Raw text to words: where each word of a text starts and ends."""

from functools import cache

import regex

# What may follow a letter, a digit or a symbol without being a word of its own: combining marks, format characters
# (joiners, soft hyphens, direction marks, variation selectors, emoji tags) and control characters that are no blanks.
_BLANK = r"\s\x1c-\x1f"
_STICKS = rf"[[\p{{M}}\p{{Cf}}\p{{Cc}}]--[{_BLANK}]]"
# Scripts written without blanks: their letters stand alone.
_ALONE = r"[[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー]&&[\p{L}\p{Nl}]]"
_LETTER = rf"[\p{{L}}--{_ALONE}]"
_CORE = rf"[[\p{{L}}\p{{N}}\p{{Pc}}]--{_ALONE}]"
_WORD = rf"[{_CORE}{_STICKS}]"
_APOSTROPHE = "['’＇]"

# English 's, 'm, 're, ... are words of their own: they end here and no further part of the word follows.
_CLITIC = rf"(?i:s|m|d|t|re|ve|ll)(?!{_WORD}|[-‐‑'’＇]{_CORE})"
# French, Italian and Catalan words that lose their last vowel before another word. O'Neill and aujourd'hui are none.
_ELIDED = (
    r"(?i:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu|un|gl|all|dall|dell|nell|sull|coll|quell|quest|bell|sant|tutt|cent)"
)
# Few, for a full stop that ends a sentence as well may end an entity: "Jr.", "Inc." and "Co." are left out for that.
_TITLE = "Mr|Mrs|Ms|Dr|Drs|Prof|St|Ste|Mme|Mlle|Rev|Gen|Col|Capt|Lt|Sgt|Maj|Gov|Sen|Rep|Mt|Ft|Bros|Vol|Chr|Hl"
_TOP = "com|org|net|edu|gov|info|biz|io|co|tv|ly|me|uk|de|fr|es|it|eu|us|ch|at|be|nl|ca|gl"

_URL_MARK = r"\s()<>\"“”«»\\`{}|^"
_URL_CHARACTER = rf"[^{_URL_MARK}{_ALONE}]"
_URL_LAST = rf"[^{_URL_MARK}{_ALONE}.,;:!?'’\]\[…]"
_URL_BRACKETS = r"\([^\s()<>]*\)"
_URL_REST = rf"(?:{_URL_CHARACTER}|{_URL_BRACKETS})*(?:{_URL_BRACKETS}|{_URL_LAST})"

_EMOJI_REST = rf"[{_STICKS}\p{{Emoji_Modifier}}]*+"
_EMOJI = (
    rf"(?:\p{{RI}}\p{{RI}}|[0-9#*]\uFE0F?\u20E3|"
    rf"\p{{Extended_Pictographic}}{_EMOJI_REST}(?:(?<=\u200D)\p{{Extended_Pictographic}}{_EMOJI_REST})*+)"
)

_PATTERN = rf"""(?V1)
  {_LETTER}++(?=[{_BLANK}])                                           # most words: letters up to a blank
| (?i:https?://|ftp://|www\.){_URL_REST}
| (?i:(?:[a-z0-9-]{{1,63}}\.){{1,4}}(?:{_TOP}))(?![{_WORD}@]|[-.]{_CORE})(?:/{_URL_REST})?
| [\w.+-]{{1,64}}@[\w-]{{1,63}}(?:\.[\w-]{{1,63}})+                   # e-mail
| &(?:amp|lt|gt|quot|apos|nbsp|\#\d{{1,6}});                          # tweets carry HTML's escapes
| {_STICKS}*+{_EMOJI}{_STICKS}*+
| {_ELIDED}{_APOSTROPHE}(?={_LETTER})(?!{_CLITIC})
| (?<={_WORD}){_APOSTROPHE}{_CLITIC}
| Ph\.D\.?+
| \p{{L}}(?:\.-?\p{{L}}(?!{_WORD}))++\.?+                             # U.S., e.g., J.-C.
| \p{{Lu}}{{1,2}}&\p{{Lu}}{{1,2}}(?!{_WORD})                          # R&B
| (?:{_TITLE})\.(?=[{_BLANK}]++\p{{L}})
| (?:etc|vs)\.(?!{_CORE}|\.)
| No\.(?=[{_BLANK}]?\d)
| \p{{Lu}}\.(?=[{_BLANK}]++\p{{Lu}})                                  # an initial
| {_STICKS}*+{_CORE}{_WORD}*+
  (?:(?:[-‐‑·׳״]|{_APOSTROPHE}(?!{_CLITIC})|(?<=\p{{Nd}})[.,:٫٬](?=\p{{Nd}})){_CORE}{_WORD}*+)*+
| {_STICKS}*+{_ALONE}{_STICKS}*+
| \.{{2,}}+|-{{2,}}+|={{2,}}+|\*{{2,}}+|''|``                          # an ellipsis, a rule, quotes typed as two
| {_STICKS}*+[^{_BLANK}{_STICKS}]{_STICKS}*+                          # any other sign
| {_STICKS}++
"""


@cache
def _pattern() -> regex.Pattern[str]:
    return regex.compile(_PATTERN, regex.VERBOSE)


def split_words(text: str) -> list[tuple[int, int]]:
    """Split a text into words: (start, end) places in Unicode code points, in order.

    Every code point that is no blank (`str.isspace`) lies in exactly one word. The rules are one set for all languages:

    - hyphenated words, numbers with separators, URLs, e-mail addresses and common abbreviations are one word;
    - an English clitic is a word (Anna|'s, don|'t), and so is an elided article (l'|eau, dell'|arte);
    - `#` and `@` are words of their own, as in MMNERD and Twitter-2017: an entity may then leave them out;
    - an emoji is one word with its skin tone, joiners and selectors; so is a flag or a keycap;
    - combining marks, format characters and control characters stay with the character that they follow; where they
      have none, they are a word, as they are in MMNERD;
    - any other sign is one word; so are runs of full stops and of hyphens;
    - scripts without blanks (Chinese, Japanese, Thai, Lao, Khmer, Burmese) are split into characters, marks kept.

    Checked against the tokens of real corpora joined to text again: of the word boundaries in MMNERD (English) it finds
    99.6 % and adds 0.1 %, in WikiNEuRal (en, fr, de, es) 99.98 % and 0.1 %; fewer than 0.1 % of the entities of either
    start or end inside a word.
    """
    return [match.span() for match in _pattern().finditer(text)]
