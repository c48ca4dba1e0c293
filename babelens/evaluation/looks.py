"""Where a tagger looks in the picture of a row, for each entity that one asks about."""

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image

from babelens.evaluation.cards import Look
from babelens.models.batch import Row
from babelens.models.tagger import Tagger
from babelens.modules.late import LateBackbone
from babelens.schema import Entity


def looks(
    tagger: Tagger, rows: Sequence[Row], entities: Sequence[Collection[Entity]], *, batch: int = 16
) -> list[dict[Entity, tuple[Look, ...]]]:
    """The looks of the entities of each row, found or not: the mean attention of their words over all heads, by view.

    A row whose picture cannot be shown has none; so have views whose regions lie in no grid. Of several pictures the
    first is looked at. `batch` rows are computed at a time.
    """
    seen: list[dict[Entity, tuple[Look, ...]]] = []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        attention = tagger.attention(tagger.collator()(part, labelled=False).to(tagger.device))
        weights = {view: values.float().mean(dim=1).cpu().numpy() for view, values in attention.items()}
        for number, row in enumerate(part):
            picture = row.open(row.keys[0]).image if row.open is not None and row.keys else None
            own = {view: values[number] for view, values in weights.items()}
            seen.append({entity: _looks(tagger, own, entity, picture) for entity in entities[start + number]})
    return seen


def _looks(
    tagger: Tagger, weights: dict[str, np.ndarray], entity: Entity, picture: Image.Image | None
) -> tuple[Look, ...]:
    if picture is None:
        return ()
    found = (
        _look(tagger, view, words[entity.start : entity.end].mean(axis=0), picture) for view, words in weights.items()
    )
    return tuple(look for look in found if look is not None)


def _look(tagger: Tagger, view: str, weights: Float[np.ndarray, " regions"], picture: Image.Image) -> Look | None:
    """The weights of one entity over the regions of a view, laid on the part of the picture that the view sees."""
    backbone = tagger.backbone
    regions = backbone.seeing()[view].regions if isinstance(backbone, LateBackbone) else None
    if regions is None or regions.grid is None:
        return None
    rows, columns = regions.grid
    places = weights[regions.prefix : regions.prefix + rows * columns].reshape(rows, columns)
    return Look(view, places, regions.transform.covered(picture.size))
