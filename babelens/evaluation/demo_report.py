"""The demo's page: its table, its curves, and examples with where the model looked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelens.data.postcards import Card as Postcard
from babelens.evaluation.cards import Card, Found
from babelens.evaluation.charts import Chart, Curve
from babelens.evaluation.demo_table import headline, report_table
from babelens.evaluation.looks import looks
from babelens.evaluation.report import Report, write_report
from babelens.models.batch import Row
from babelens.models.tagger import Tagger
from babelens.schema import Entity

if TYPE_CHECKING:
    from babelens.evaluation.demo import Demo


def choose_examples(cards: Sequence[Postcard], rows: Mapping[str, Row]) -> list[tuple[str, Row]]:
    """Rows to look at, by rule and not by how well they went: for each language a pair with two mentions, then a
    sentence whose picture contradicts it.
    """
    chosen: list[tuple[str, Row]] = []
    for language in sorted({card.language for card in cards}):
        own = [card for card in cards if card.language == language]
        pair = next((card for card in own if card.pair is not None and len(card.ambiguous) > 1), None)
        if pair is not None and pair.pair is not None:
            chosen.append((f"{language}: only the picture can tell", rows[pair.id]))
            chosen.append((f"{language}: the same words, another picture", rows[pair.pair]))
    contradicting = next((card for card in cards if card.contradicting), None)
    if contradicting is not None:
        chosen.append((f"{contradicting.language}: the picture contradicts a clear sentence", rows[contradicting.id]))
    return chosen


def show_examples(tagger: Tagger, chosen: Sequence[tuple[str, Row]]) -> list[Card]:
    """The model's answers for rows, with the attention of each entity on the grid of each view."""
    if not chosen:
        return []
    rows = [row for _, row in chosen]
    answers = tagger.decode_scored(tagger.collator()(rows, labelled=False).to(tagger.device))
    seen = looks(tagger, rows, [[entity for entity, _ in answer] for answer in answers])
    cards = []
    for (title, row), answer, seen_by in zip(chosen, answers, seen, strict=True):
        picture = row.open(row.keys[0]).image if row.open is not None and row.keys else None
        cards.append(
            Card(
                title=title,
                words=row.example.words,
                found=tuple(Found(entity, float(score), seen_by[entity]) for entity, score in answer),
                gold=row.example.entities,
                picture=picture,
                language=row.example.language,
            )
        )
    return cards


def in_words(card: Card) -> str:
    """An example in one line: the sentence, its entities with their scores, and what the gold is where it differs."""
    text = " ".join(card.words)
    found = ", ".join(f"{_name(card, one.entity)} {one.score:.2f}" for one in card.found) or "nothing"
    gold = card.gold or ()
    right = {one.entity for one in card.found} == set(gold)
    note = "" if right else f"  (gold: {', '.join(_name(card, entity) for entity in gold)})"
    return f"{text} -> {found}{note}"


def _name(card: Card, entity: Entity) -> str:
    return f"{' '.join(card.words[entity.start : entity.end])} [{entity.type}]"


def write_demo_report(path: Path, demo: "Demo", examples: Sequence[Card]) -> None:
    """Write the page."""
    histories = {"2M-NER": demo.full.history, "text-only twin": demo.text.history}
    scores = tuple(Curve(name, _points(history, "validation_f1")) for name, history in histories.items())
    losses = tuple(
        Curve(part, tuple((entry["epoch"], entry["losses"][part]) for entry in demo.full.history))
        for part in demo.full.history[0]["losses"]
        if part != "total"
    )
    write_report(
        path,
        Report(
            title="babelens demo: names that only the picture can tell",
            summary=(
                "A compact 2M-NER and its text-only twin, trained from scratch on the built-in corpus. In half of its "
                "entities the sentence leaves two types open, and only the drawn picture tells which it is."
            ),
            facts=tuple(headline(demo.trials, demo.twin, demo.ceilings, demo.flipped)),
            tables=(report_table(demo.trials, demo.twin, demo.ceilings),),
            charts=(
                Chart("F1 on validation", "epoch", "F1 (%)", scores),
                Chart("Losses of 2M-NER in training", "epoch", "loss", losses),
            ),
            cards=tuple(examples),
            footer=(
                f"Chosen on validation: epoch {demo.full.epoch} of {len(demo.full.history)}. The test part was read "
                "once, after that. The examples are the first of their kind, not the best."
            ),
        ),
    )


def _points(history: Sequence[Mapping[str, Any]], field: str) -> tuple[tuple[float, float], ...]:
    return tuple((float(entry["epoch"]), float(entry[field])) for entry in history)
