"""Words of two sentences linked by vectors, as SimAlign does it, and the places that the links give an entity.

Jalili Sabet et al., "SimAlign: High Quality Word Alignments Without Parallel Training Data Using Static and
Contextualized Embeddings" (2020): the method Argmax of section 3.2, without their distortion and without null words.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from babelens.build.projection_similarity import LEAST, Run

WordVectors = Callable[[Sequence[Sequence[str]]], list[np.ndarray]]
"""The vectors of the words (word, dim) of each sentence, given as words."""

Links = Float[np.ndarray, "source target"]
"""The cosine of two words that are linked, else 0."""


def link_words(source: Float[np.ndarray, "source dim"], target: Float[np.ndarray, "target dim"]) -> Links:
    """Link the words that are nearest to each other, each among all words of the other sentence."""
    cosines = np.zeros((len(source), len(target)))
    if cosines.size:
        cosines = _unit(source) @ _unit(target).T
    links = np.zeros_like(cosines)
    for word in range(len(source) if len(target) else 0):
        nearest = int(cosines[word].argmax())
        if cosines[word, nearest] > 0 and int(cosines[:, nearest].argmax()) == word:
            links[word, nearest] = min(1.0, cosines[word, nearest])
    return links


def linked_runs(links: Links, start: int, end: int, least: float = LEAST) -> list[Run]:
    """The runs of words that the words `start` up to `end` of the source are linked with.

    Their similarity is the mean cosine of the links, times the F1 of the shares of words with a link on both sides.
    """
    own = links[start:end]
    places = np.flatnonzero(own.any(axis=0)).tolist()
    found: list[Run] = []
    for number, first in enumerate(places):
        for last in places[number:]:
            inside = own[:, first : last + 1]
            cosines = inside[inside > 0]
            overlap = 2 * len(cosines) / (end - start + last + 1 - first)
            alike = float(cosines.mean() * overlap)
            if alike >= least:
                found.append(Run(first, last + 1, alike))
    return sorted(found, key=lambda run: (-run.similarity, run.start, run.end))


def encoder_vectors(name: str, layers: int | None = 8, device: str = "cpu", batch: int = 64) -> WordVectors:
    """Vectors from a multilingual encoder, by hub id or folder: the mean of each word's sub-tokens after some layers.

    The paper found the eighth layer of multilingual BERT to be the best one; None takes the last.

    Raises:
        InputError: there is no such encoder, or it has fewer layers.
    """
    import torch

    from babelens.modules.origin import Origin
    from babelens.modules.text.transformer import Transformer

    encoder = Transformer(name=name, layers=layers, pieces="mean", trained=False).build(Origin()).eval().to(device)

    @torch.inference_mode()
    def vectors(sentences: Sequence[Sequence[str]]) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        for start in range(0, len(sentences), batch):
            part = sentences[start : start + batch]
            states = encoder(encoder.tokens(part).to(device)).words.float().cpu().numpy()
            found += [row[: len(words)] for row, words in zip(states, part, strict=True)]
        return found

    return vectors


def _unit(vectors: Float[np.ndarray, "word dim"]) -> Float[np.ndarray, "word dim"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
