"""Where a tagger looks in the picture of a row, for each entity that one asks about."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from PIL import Image

from babelens.evaluation.cards import Look
from babelens.models.batch import Row
from babelens.models.tagger import Tagger
from babelens.prediction.gazes import Grid, grids
from babelens.schema import Entity


def looks(
    tagger: Tagger, rows: Sequence[Row], entities: Sequence[Collection[Entity]], *, batch: int = 16
) -> list[dict[Entity, tuple[Look, ...]]]:
    """The looks of the entities of each row, found or not: the mean attention of their words over all heads, by view.

    A row whose picture cannot be shown has none; so have views whose regions lie in no grid. Of several pictures the
    first is looked at. `batch` rows are computed at a time.
    """
    known = grids(tagger)
    seen: list[dict[Entity, tuple[Look, ...]]] = []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        attention = tagger.attention(tagger.collator()(part, labelled=False).to(tagger.device))
        weights = {view: own.float().mean(1).cpu().numpy() for view, own in attention.items() if view in known}
        for number, row in enumerate(part):
            picture = row.open(row.keys[0]).image if row.open is not None and row.keys else None
            own = {view: values[number] for view, values in weights.items()}
            seen.append({entity: _looks(known, own, entity, picture) for entity in entities[start + number]})
    return seen


def _looks(
    known: Mapping[str, Grid], weights: Mapping[str, np.ndarray], entity: Entity, picture: Image.Image | None
) -> tuple[Look, ...]:
    """The weights of one entity over the regions of each view, laid on the part of the picture that the view sees."""
    if picture is None:
        return ()
    return tuple(
        Look(view, known[view].lay(words[entity.start : entity.end].mean(axis=0)), known[view].covered(picture))
        for view, words in weights.items()
    )
