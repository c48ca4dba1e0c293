"""A model over a labelled corpus: exact-match scores over all, by type, language, source and picture (Eqs. 19-21)."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from babelens.data import Corpus
from babelens.models.batch import ImageStatus
from babelens.models.decode import decode_corpus
from babelens.models.region_store import RegionCache
from babelens.models.tagger import Tagger
from babelens.modules.vision.objects import Objects, Source
from babelens.schema import Entity, InputError
from babelens.scoring.scores import Scores, score, score_groups

BATCH = 64


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on a corpus, in per cent.

    `languages`, `sources` and `images` (what became of the rows' pictures) are the scores of the rows of each.
    `pictures` counts the rows by what became of their pictures. `predicted` are the entities that the model found, row
    by row in the order of the corpus. `objects` says whether the model read crops of a "grid" or of "boxes", None where
    it reads no crops; `boxed` counts the distinct pictures that had boxes for a model that reads them: where a picture
    has none, its declaration says what stands in.
    """

    scores: Scores
    languages: Mapping[str, Scores]
    sources: Mapping[str, Scores]
    images: Mapping[str, Scores]
    pictures: Mapping[str, int]
    predicted: list[tuple[Entity, ...]]
    status: list[ImageStatus]
    objects: Source | None = None
    boxed: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """What `babelens evaluate --json` prints."""
        groups = self.scores.to_dict(languages=self.languages, sources=self.sources, images=self.images)
        boxed = {} if self.boxed is None else {"pictures_with_boxes": self.boxed}
        whole = {"pictures": dict(self.pictures), "objects": self.objects, **boxed, "rows": len(self.predicted)}
        return {**groups, **whole}


def evaluate(
    tagger: Tagger,
    corpus: Corpus,
    *,
    batch: int = BATCH,
    workers: int = 0,
    regions: RegionCache | None = None,
    step: Callable[[int], None] | None = None,
) -> Evaluation:
    """Tag a labelled corpus and compare with its gold entities.

    `workers` processes make the batches (0: a thread), with the `regions` of pictures where they are kept. `step` is
    called with the number of rows done after each batch.

    Raises:
        InputError: the corpus is empty, or holds entity types that the model does not know.
        ImageError: a picture cannot be opened, and the corpus was read with strict pictures.
    """
    check_types(tagger, corpus)
    collator = tagger.collator(regions=regions)
    predicted, status = decode_corpus(tagger, corpus, batch=batch, collator=collator, workers=workers, step=step)
    gold: list[tuple[Entity, ...]] = []
    languages: list[str | None] = []
    sources: list[str | None] = []
    for example in corpus:
        gold.append(example.entities)
        languages.append(example.language)
        sources.append(example.source)
    return Evaluation(
        scores=score(gold, predicted),
        languages=score_groups(gold, predicted, languages),
        sources=score_groups(gold, predicted, sources),
        images=score_groups(gold, predicted, status),
        pictures=dict(sorted(Counter(status).items())),
        predicted=predicted,
        status=status,
        objects=tagger.model.objects,
        boxed=count_boxed(tagger.model.backbone.objects, corpus) if tagger.model.objects == "boxes" else None,
    )


def count_boxed(objects: Sequence[Objects], corpus: Corpus) -> int:
    """The number of distinct pictures of a corpus in which a box is known that a model reads; opens no picture."""
    keys = {key for number in range(len(corpus)) for key in corpus.picture_keys(number)}
    return sum(any(one.reads(box) for box in corpus.boxes(key) for one in objects) for key in keys)


def check_types(tagger: Tagger, corpus: Corpus) -> None:
    """See that a model can be judged by a corpus.

    Raises:
        InputError: the corpus is empty, or holds entity types that the model does not know.
    """
    if len(corpus) == 0:
        raise InputError("expected at least one row to evaluate on, found none")
    known = tagger.tags.types
    unknown = [type_ for type_ in corpus.types if type_ not in known]
    if unknown:
        raise InputError(
            f"expected the types that the model knows ({', '.join(known)}), found {', '.join(unknown)} in the data; "
            f"--types {unknown[0]}={known[0] if known else 'O'} renames a type, --types {unknown[0]}=O leaves it out"
        )
