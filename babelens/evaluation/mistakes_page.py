"""The page of mistakes: counts by kind and by what the picture changed, and a sample that one can read and filter."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from babelens.evaluation.cards import Look
from babelens.evaluation.markup import markup
from babelens.evaluation.mistakes import Case, judge, sample_cases
from babelens.evaluation.mistakes_cards import Thumbnail, draw_mistake, thumbnail
from babelens.evaluation.mistakes_filters import FILTER_SCRIPT, draw_filters
from babelens.evaluation.mistakes_style import MISTAKES_STYLE
from babelens.evaluation.mistakes_tables import effect_tables, facts_of, kind_tables, sample_table
from babelens.evaluation.page import render_page, write_page
from babelens.evaluation.page_style import STYLE, type_colours
from babelens.evaluation.report import draw_fact, draw_table
from babelens.schema import Entity
from babelens.scoring.outcomes import Outcome

if TYPE_CHECKING:
    from PIL.Image import Image

EACH = 12  # mistakes drawn of each kind and effect
Open = Callable[[Outcome], "Image | None"]
Ask = Callable[[Sequence[Outcome]], Sequence[Mapping[Entity, tuple[Look, ...]]]]


def write_mistakes_page(
    path: Path,
    outcomes: Sequence[Outcome],
    twin: Sequence[Outcome] | None = None,
    *,
    title: str = "Mistakes",
    summary: str = "",
    picture: Open | None = None,
    look: Ask | None = None,
    each: int = EACH,
    seed: int = 0,
) -> None:
    """Write the page of the mistakes of one model on one test part as a self-contained HTML file.

    `twin` are the outcomes of the text-only model on the same rows, in the same order. `picture` opens the picture of a
    row, None where there is none to show. `look` says for each of some rows where the model looked for its entities,
    gold and found (see `looks`); it is asked once, about the rows that are shown with a picture. `each` mistakes of
    every kind and effect are drawn, by `seed`. The page asks the network for nothing, and works without its script.

    Raises:
        InputError: the outcomes of the twin are of other rows.
        OSError: the file cannot be written.
        ValueError: entities of one row overlap or lie outside its words.
    """
    cases = judge(outcomes, twin)
    drawn = sample_cases(cases, each, seed)
    pictures = _pictures(drawn, picture)
    shown = {case.row: case.outcome for case in drawn if pictures.get(case.row)} if look else {}
    seen = dict(zip(shown, look(list(shown.values())), strict=True)) if look and shown else {}
    colours = type_colours(
        entity.type for one in (outcomes, twin or ()) for row in one for entity in row.gold + row.found
    )
    cards = [
        draw_mistake(
            number,
            case,
            colours,
            picture=pictures.get(case.row),
            looks=seen.get(case.row),
            twin=None if twin is None else twin[case.row],
        )
        for number, case in enumerate(drawn, 1)
    ]
    parts = [
        f"<h1>{markup(title)}</h1>",
        f"<p>{markup(summary)}</p>" if summary else "",
        f'<dl class="facts">{"".join(map(draw_fact, facts_of(outcomes, cases)))}</dl>',
        "<h2>Kinds of mistakes</h2>",
        *map(draw_table, kind_tables(cases)),
    ]
    if twin is not None:
        parts += ["<h2>What the picture changed</h2>", *map(draw_table, effect_tables(cases))]
    parts += ["<h2>Mistakes to read</h2>", f"<p>{_rule(each, seed)}</p>", draw_table(sample_table(cases, drawn))]
    parts += [_LEGEND, draw_filters(drawn), *cards] if drawn else ["<p>There are no mistakes.</p>"]
    body = "\n".join(part for part in parts if part)
    write_page(path, render_page(title, body, STYLE + MISTAKES_STYLE, FILTER_SCRIPT))


def _pictures(cases: Sequence[Case], picture: Open | None) -> dict[int, Thumbnail]:
    """The small picture of each row that has one; each is opened once, and only one large one is held at a time."""
    pictures: dict[int, Thumbnail] = {}
    rows = {case.row: case.outcome for case in cases} if picture is not None else {}
    for row, outcome in rows.items():
        image = picture(outcome) if picture is not None else None
        if image is not None:
            pictures[row] = thumbnail(image)
    return pictures


def _rule(each: int, seed: int) -> str:
    return (
        f"Up to {each:,} mistakes of every kind and effect, at most one of a row, drawn at random (seed {seed}) and "
        "not by how telling or how certain they are. Rare groups are shown whole and frequent ones in part, so the "
        "number of cards says nothing about how frequent a mistake is; the tables do."
    )


_LEGEND = (
    "<p>A frame marks the mistake that a card is about. In the line <i>gold</i>, "
    '<span class="entity missed"><u>a dotted underline</u></span> is what the model did not find; in the lines '
    '<i>found</i>, <span class="entity right"><u>a plain one</u><b>✓</b></span> is right and '
    '<span class="entity wrong"><u>a wavy one</u><b>✗</b></span> wrong. Per cent are the probability that the model '
    "gives. In attention: the more orange, the more; the frame marks the most; dark edges were cut off before the "
    "model saw the picture.</p>"
)
