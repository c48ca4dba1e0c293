"""Rows translated, with their entities carried over (2M-NER, section 3: the English part, translated).

A row gives one row for each target language: id `<id>-<language>`, `group` that of the source or its id, so that
translations stay on one side of a split, entities with `score`, the confidence of their place, `translated_from`, and
`doubt`, by which annotators see the most doubtful rows first (`doubtful_first`). The picture and all other fields are
kept, but for those that tell of the words of the old text. The text is what the translator gave, unchanged; without a
translation free of markers it is what is left when the markers are taken out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from babelens.build.projection import Clues, Placed, doubt, project
from babelens.build.projection_markers import Marked, Style, find
from babelens.build.projection_vectors import Links, WordVectors, link_words
from babelens.build.results import Result
from babelens.build.rows import Row
from babelens.build.translate_texts import METHODS, Carrying, SourceText, read_source
from babelens.build.translators import Translator
from babelens.data.words import split_words
from babelens.schema import InputError

BLOCK = 256
"""How many rows are translated together."""

_OLD = ("id", "text", "language", "group", "entities", "tokens", "words", "offsets", "ner_tags", "tags")
_DIGITS = 4


def translation_step(
    translator: Translator,
    targets: Sequence[str],
    *,
    carrying: Carrying = METHODS["both"],
    language: str | None = None,
    vectors: WordVectors | None = None,
    keep: bool = True,
    block: int = BLOCK,
) -> Callable[[Iterator[Row]], Iterator[Result]]:
    """What `run_step` puts rows through (with the same `block`): each row, if it is to be kept, and its translations.

    A row that is kept beside its translations gets their group. The other options are those of `translate_rows`.
    """

    def take(rows: Iterator[Row]) -> Iterator[Result]:
        while part := list(islice(rows, block)):
            made = translate_rows(part, translator, targets, carrying=carrying, language=language, vectors=vectors)
            for row, result in zip(part, made, strict=True):
                if not keep:
                    yield result
                elif not result.rows:
                    yield Result((row,), {**result.said, "did": "kept"})
                else:
                    yield Result(({**row, "group": result.rows[0]["group"]}, *result.rows), result.said)

    return take


def translate_rows(
    rows: Sequence[Row],
    translator: Translator,
    targets: Sequence[str],
    *,
    carrying: Carrying = METHODS["both"],
    language: str | None = None,
    vectors: WordVectors | None = None,
) -> list[Result]:
    """Translate rows of a step to each target language but their own, and carry their entities over.

    `language` is that of rows that name none, `vectors` give meanings of words (`encoder_vectors`). What a row becomes
    hangs on no other row; only the last bits of a model's numbers may, so a run that is to be repeated to the byte has
    to put the same rows together.

    What is said of a row: `did` ("translated", or "dropped" with `why`, where it has no translation), `left` (for each
    target that it was not translated to, why), and `to`, for each translation: its `id` and `doubt`; the `style` whose
    markers were read, with their `faults` by the number of the entity from 0; for each of the `entities` of the source,
    in order, [start, end, by what it was found, how surely] or null where it has no place; the names `lost`; and
    `unchanged`, where the translation is the source.

    Raises:
        InputError: a row has no language, or the translator gives another number of texts than it was given.
    """
    texts = [read_source(row, language) for row in rows]
    made: list[list[Row]] = [[] for _ in rows]
    told: list[list[dict[str, Any]]] = [[] for _ in rows]
    left: list[dict[str, str]] = [{} for _ in rows]
    for target in dict.fromkeys(targets):
        for number, carried in _carry_all(texts, translator, target, carrying, vectors):
            if isinstance(carried, str):
                left[number][target] = carried
            else:
                made[number].append(_row(rows[number], texts[number], target, carried))
                told[number].append(_account(texts[number], target, carried))
    results: list[Result] = []
    for new, to, refused in zip(made, told, left, strict=True):
        said: dict[str, Any] = {"did": "translated" if new else "dropped"}
        if not new:
            said["why"] = "; ".join(dict.fromkeys(refused.values())) or "no target was asked for"
        said |= {name: value for name, value in (("left", refused), ("to", to)) if value}
        results.append(Result(new, said))
    return results


def doubtful_first(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows in the order in which annotators should see them: by falling `doubt`, else as they came; without is 0."""
    return sorted(rows, key=lambda row: -float(row.get("doubt") or 0.0))


@dataclass(frozen=True)
class _Carried:
    """A translation, a place (or none) for each entity of the source, and the markers that were read."""

    text: str
    placed: Sequence[Placed | None]
    style: str | None
    marked: Marked | None


def _carry_all(
    texts: Sequence[SourceText], translator: Translator, target: str, carrying: Carrying, vectors: WordVectors | None
) -> Iterator[tuple[int, _Carried | str]]:
    """Each text by its number, carried to a target, or why it is not."""
    sources: dict[str, list[int]] = {}
    for number, text in enumerate(texts):
        refusal = text.refusal(target)
        if refusal is None:
            sources.setdefault(text.language, []).append(number)
        else:
            yield number, refusal
    for numbers in sources.values():
        own = [texts[number] for number in numbers]
        yield from zip(numbers, _carry(own, translator, target, carrying, vectors), strict=True)


def _carry(
    texts: Sequence[SourceText], translator: Translator, target: str, carrying: Carrying, vectors: WordVectors | None
) -> list[_Carried | str]:
    """The same for texts of one language."""
    source = texts[0].language
    asked = [text.wanted(carrying, all_styles=False) for text in texts]
    known = _ask(translator, (text for parts in asked for text in parts.values()), source, target)
    read = _read_markers(texts, carrying, known, translator, target)
    said: list[str] = []
    for text, parts, (_, marked) in zip(texts, asked, read, strict=True):
        plain = known[text.text] if "plain" in parts else ""
        said.append(marked.text if marked is not None and not plain.strip() else plain)
    links = _links([text.text for text in texts], said, vectors)
    carried: list[_Carried | str] = []
    for number, text in enumerate(texts):
        if not said[number].strip():
            carried.append("the translation is empty")
            continue
        forms = {place: [known[name]] for place, name in enumerate(text.names) if carrying.alone and name in known}
        style, marked = read[number]
        placed = project(text.text, text.mentions, said[number], Clues(forms, marked, links[number]))
        carried.append(_Carried(said[number], placed, style, marked))
    return carried


def _ask(translator: Translator, texts: Iterable[str], source: str, target: str) -> dict[str, str]:
    """Each distinct text with its translation."""
    distinct = list(dict.fromkeys(texts))
    given = translator.translate(distinct, source, target) if distinct else []
    if len(given) != len(distinct):
        raise InputError(f"translator: expected {len(distinct)} translations, found {len(given)}")
    return dict(zip(distinct, given, strict=True))


def _read_markers(
    texts: Sequence[SourceText], carrying: Carrying, known: Mapping[str, str], translator: Translator, target: str
) -> list[tuple[str | None, Marked | None]]:
    """The markers of each text in the style that came back best; the next style is asked for only where one broke."""
    styles = [text.styles(carrying) for text in texts]
    best: list[tuple[str | None, Marked | None]] = [(None, None)] * len(texts)
    for attempt in range(max(map(len, styles))):
        tried: dict[int, tuple[Style, str]] = {}
        for number, (_, marked) in enumerate(best):
            if attempt < len(styles[number]) and (marked is None or marked.faults):
                style = styles[number][attempt]
                tried[number] = style, texts[number].wrapped(style)
        if attempt:
            known = _ask(translator, (text for _, text in tried.values()), texts[0].language, target)
        for number, (style, text) in tried.items():
            marked = find(known[text], style, len(texts[number].mentions))
            before = best[number][1]
            if marked.text.strip() and (before is None or len(marked.faults) < len(before.faults)):
                best[number] = style.name, marked
    return best


def _links(sources: Sequence[str], texts: Sequence[str], vectors: WordVectors | None) -> list[Links | None]:
    """Which words of each pair of texts mean the same."""
    if vectors is None:
        return [None] * len(sources)
    split = [[text[start:end] for start, end in split_words(text)] for text in (*sources, *texts)]
    filled = [number for number, words in enumerate(split) if words]
    read = dict(zip(filled, vectors([split[number] for number in filled]), strict=True))
    links: list[Links | None] = []
    for number in range(len(sources)):
        own, other = read.get(number), read.get(number + len(sources))
        links.append(None if own is None or other is None else link_words(own, other))
    return links


def _row(row: Row, text: SourceText, target: str, carried: _Carried) -> Row:
    """The translated row."""
    entities = [
        {
            "start": place.start,
            "end": place.end,
            "text": carried.text[place.start : place.end],
            "type": mention.type,
            "score": round(place.confidence, _DIGITS),
        }
        for mention, place in zip(text.mentions, carried.placed, strict=True)
        if place is not None
    ]
    return {
        "id": f"{text.id}-{target}",
        "text": carried.text,
        "language": target,
        "group": text.id if row.get("group") is None else row["group"],
        "entities": sorted(entities, key=lambda entity: entity["start"]),
        **{name: value for name, value in row.items() if name not in _OLD},
        "translated_from": text.id,
        "doubt": round(doubt(carried.placed), _DIGITS),
    }


def _account(text: SourceText, target: str, carried: _Carried) -> dict[str, Any]:
    """What the provenance tells of a translation."""
    told: dict[str, Any] = {"id": f"{text.id}-{target}", "doubt": round(doubt(carried.placed), _DIGITS)}
    if carried.marked is not None:
        told["style"] = carried.style
        if carried.marked.faults:
            told["faults"] = {str(number): fault for number, fault in carried.marked.faults.items()}
    told["entities"] = [
        None if place is None else [place.start, place.end, place.by, round(place.confidence, _DIGITS)]
        for place in carried.placed
    ]
    lost = [name for name, place in zip(text.names, carried.placed, strict=True) if place is None]
    if lost:
        told["lost"] = lost
    if carried.text == text.text:
        told["unchanged"] = True
    return told
