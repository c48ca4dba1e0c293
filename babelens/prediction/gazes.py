"""Where in the pictures of a row a model looked: attention weights on the grid of each view, laid on the picture."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from babelens.models.batch import Batch, Row
from babelens.models.draw import chancy, draw_of
from babelens.models.tagger import Tagger
from babelens.modules.late import LateBackbone
from babelens.modules.vision.objects import CropTransform
from babelens.modules.vision.transform import PictureTransform
from babelens.prediction.answer import Gaze, Regions
from babelens.schema import Entity

Places = Float[np.ndarray, "row column"]
Edges = tuple[float, float, float, float]


class Grid(NamedTuple):
    """How the regions of a view lie: `prefix` without a place, then rows x columns of what the transform shows."""

    prefix: int
    rows: int
    columns: int
    transform: PictureTransform | CropTransform

    @property
    def regions(self) -> int:
        """The number of regions of one picture."""
        return self.prefix + self.rows * self.columns

    def covered(self, picture: Image.Image) -> Edges:
        """Left, top, right and bottom of what the grid shows, in pixels of the upright picture."""
        if isinstance(self.transform, CropTransform):
            return self.transform.covered(picture.size)
        draw = draw_of(picture, None) if chancy(self.transform, False) else 0
        return self.transform.covered(picture.size, draw)

    def lay(self, weights: Float[np.ndarray, " region"]) -> Places:
        """Weights of the regions of one picture in the places of the grid; what stands after them is left out."""
        return weights[self.prefix : self.regions].reshape(self.rows, self.columns)


class Pane(NamedTuple):
    """One picture of a row through one view: the grid, the picture, and where each word looked, all heads alike."""

    view: str
    image: int
    grid: Grid
    size: tuple[int, int]
    box: Edges
    weights: Float[np.ndarray, "word region"]

    def gaze(self, start: int, end: int) -> Gaze:
        """Where the words from `start` up to, but without, `end` looked on average."""
        mean = self.weights[start:end].mean(0, dtype=np.float64)
        return Gaze(tuple(map(tuple, self.grid.lay(mean).tolist())), float(mean[: self.grid.prefix].sum()))


class Sight(NamedTuple):
    """All panes of a row."""

    panes: tuple[Pane, ...]

    def gazes(self, entity: Entity) -> tuple[Gaze, ...]:
        """Where the words of an entity looked, in each pane."""
        return tuple(pane.gaze(entity.start, entity.end) for pane in self.panes)

    def regions(self) -> tuple[Regions, ...]:
        """The panes as they stand in an answer, with the gaze of all words."""
        return tuple(
            Regions(pane.view, pane.image, pane.size, pane.box, pane.gaze(0, len(pane.weights))) for pane in self.panes
        )


def grids(tagger: Tagger) -> dict[str, Grid]:
    """The grid of each view that has one; regions of boxes, and of interleaved backbones, lie in none."""
    backbone = tagger.backbone
    views = backbone.seeing() if isinstance(backbone, LateBackbone) else {}
    found: dict[str, Grid] = {}
    for name, view in views.items():
        if view.regions is not None and view.regions.grid is not None:
            found[name] = Grid(view.regions.prefix, *view.regions.grid, view.regions.transform)
    return found


def see(tagger: Tagger, rows: Sequence[Row], made: Batch, attention: Mapping[str, Tensor]) -> list[Sight]:
    """What each row of a batch saw; `attention` is (batch, head, word, region) by view.

    Pictures are opened once more, for their size.
    """
    known = grids(tagger)
    weights = {view: own.float().mean(1).cpu().numpy() for view, own in attention.items() if view in known}
    sights: list[Sight] = []
    for number, row in enumerate(rows):
        pictures = _shown(row) if weights and made.status[number] == "used" else []
        words = len(row.example.words)
        panes: list[Pane] = []
        for view, own in weights.items():
            grid = known[view]
            for image, picture in enumerate(pictures):
                part = own[number, :words, image * grid.regions : (image + 1) * grid.regions]
                panes.append(Pane(view, image, grid, picture.size, grid.covered(picture), part))
        sights.append(Sight(tuple(panes)))
    return sights


def _shown(row: Row) -> list[Image.Image]:
    """The pictures of a row that can be opened, in order, as the batch has them."""
    if row.open is None:
        return []
    opened = (row.open(key).image for key in row.keys)
    return [image for image in opened if image is not None]
