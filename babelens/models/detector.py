"""Boxes of what words name in pictures, from a zero-shot object detector of transformers."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from babelens.schema import Box, InputError


class DetectorError(InputError):
    """A detector that cannot be had: the message says what was expected and what was found."""


class Detector:
    """A detector that takes its classes as words: OWL-ViT, OWLv2, Grounding DINO, by its id on the hub or its folder.

    Each query is asked by itself, so that every query has boxes and scores of its own: asked together, detectors give a
    place in the picture to the one word that fits it best. OWLv2 asks for scipy and OmDet-Turbo for torchvision, which
    do not come with this package.

    Raises:
        DetectorError: there is no such detector, or a package is missing that it needs.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        try:
            self.processor: Any = AutoProcessor.from_pretrained(name, backend="pil")
            model: Any = AutoModelForZeroShotObjectDetection.from_pretrained(name, dtype=torch.float32)
        except (OSError, ValueError, ImportError) as error:
            reason = " ".join(str(error).split())[:300]
            raise DetectorError(f"{name}: expected a zero-shot object detector of transformers; {reason}") from error
        if not hasattr(self.processor, "post_process_grounded_object_detection"):
            kind = type(self.processor).__name__
            raise DetectorError(f"{name}: expected a processor that finds boxes by words, found {kind}")
        self.name, self.device = name, device
        self.model = model.to(device).eval()

    @torch.inference_mode()
    def find(
        self, pictures: Sequence[Image.Image], queries: Sequence[str], *, top: int = 1, threshold: float = 0.0
    ) -> list[list[Box]]:
        """The boxes of each RGB picture: for each query, in order, the `top` ones that score above `threshold`.

        Edges are pixels of the picture, rounded to hundredths and clipped to it; what is left of a box must have an
        extent. The label is the query.

        Raises:
            DetectorError: a package is missing that the detector needs.
        """
        found: list[list[Box]] = [[] for _ in pictures]
        for query in queries:
            for boxes, (scored, edges), picture in zip(
                found, self._ask(pictures, query, threshold), pictures, strict=True
            ):
                order = scored.argsort(descending=True, stable=True).tolist()
                placed = (_box(edges[place].tolist(), picture.size, query, float(scored[place])) for place in order)
                boxes.extend(islice((box for box in placed if box.left < box.right and box.top < box.bottom), top))
        return found

    def _ask(
        self, pictures: Sequence[Image.Image], query: str, threshold: float
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The scores (box,) and edges (box, 4) that a query has in each picture."""
        sizes = [(picture.height, picture.width) for picture in pictures]
        try:
            inputs = self.processor(images=list(pictures), text=[[query] for _ in pictures], return_tensors="pt")
            outputs = self.model(**inputs.to(self.device))
            answers = self.processor.post_process_grounded_object_detection(
                outputs, threshold=threshold, target_sizes=sizes
            )
        except ImportError as error:
            reason = " ".join(str(error).split())[:300]
            raise DetectorError(f"{self.name}: expected the packages that the detector needs; {reason}") from error
        return [(answer["scores"].float().cpu(), answer["boxes"].float().cpu()) for answer in answers]


def _box(edges: Sequence[float], size: tuple[int, int], label: str, score: float) -> Box:
    left, top, right, bottom = (
        round(min(max(edge, 0.0), float(limit)), 2) for edge, limit in zip(edges, (*size, *size), strict=True)
    )
    return Box(left, top, right, bottom, label, round(score, 6))
