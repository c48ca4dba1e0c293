"""A babelens model as pre-annotator: any language, with pictures where it sees, and with scores."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

from babelens.build.preannotate_reading import Block, Reading, Span, folder_digest
from babelens.build.rows import Row
from babelens.data.images import ImageStore, Picture
from babelens.data.problems import fault, quote

if TYPE_CHECKING:
    from babelens.models.batch import Row as ModelRow
    from babelens.prediction.rows import Unread

BATCH = 32
_BATCHES = 16
_DIGITS = 6

_Pictures = tuple[tuple[str, ...], tuple[str, ...], Callable[[str], Picture] | None]


class ModelAnnotator:
    """The model in a folder, asked `batch` rows at a time.

    `images` is the folder of pictures in which the ids in the field `image` of a row are looked up; a picture that is
    missing or unreadable is no error. Each row is told its `image_status`. What stands in that folder is not part of
    `by`, only whether there is one.

    Raises:
        InputError: there is no such model, device, or folder of pictures.
    """

    def __init__(
        self, folder: Path, *, images: Path | None = None, device: str | None = None, batch: int = BATCH
    ) -> None:
        import torch
        import transformers

        import babelens
        from babelens.models.checkpoint import read_config

        if images is not None and not images.is_dir():
            raise fault(images, "a folder of pictures", "a file" if images.exists() else "no such folder")
        read_config(folder)
        self._predictor = babelens.load(folder, device)
        self._store = None if images is None else ImageStore([images])
        self._batch = batch
        self.languages: frozenset[str] | None = None
        self.block = _BATCHES * batch
        self.by: Mapping[str, Any] = {
            "*": {"model": folder.resolve().name, "digest": folder_digest(folder), "images": images is not None}
        }
        self.versions: Mapping[str, str] = {"torch": str(torch.__version__), "transformers": transformers.__version__}

    def annotate(self, blocks: Iterable[Sequence[Row]]) -> Iterator[Block]:
        """The readings of each block, in order."""
        for rows in blocks:
            started = process_time()
            asked = [self._question(row) for row in rows]
            readings = [
                Reading(why="image field")
                if answer.error is not None
                else Reading(
                    [Span(one.start, one.end, one.type, round(one.score, _DIGITS)) for one in answer.entities],
                    facts={} if self._store is None else {"image_status": answer.image_status},
                )
                for answer in self._predictor.predict_batch(asked, batch=self._batch)
            ]
            yield Block(readings, process_time() - started)

    def _question(self, row: Row) -> "ModelRow | Unread":
        from babelens.prediction.rows import RowError, Unread, fields_row

        language = row.get("language")
        fields = {
            "text": row["text"],
            "language": language if isinstance(language, str) else None,
            "image": row.get("image"),
        }
        try:
            return fields_row(fields, row["id"], self._attach)
        except RowError as error:
            return Unread(row["id"], str(error))

    def _attach(self, field: Any) -> _Pictures:
        from babelens.prediction.rows import RowError

        if self._store is None or field is None or field == "":
            return (), (), None
        ids = field if isinstance(field, list) else [field]
        strange = [one for one in ids if not isinstance(one, str)]
        if strange:
            raise RowError(f"expected the id of a picture or a list of them, found {quote(strange[0])}")
        return tuple(ids), tuple(map(self._store.key, ids)), self._store.open
