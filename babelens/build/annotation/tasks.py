"""Rows as tasks of Label Studio, with what is known of them as predictions.

Label Studio counts places in text by Unicode code points, as we do: its editor turns the browser's UTF-16 places into
code points (`fixCodePointsInRange` in its `selection-tools.js`), so nothing is converted here.
"""

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote as escape

from babelens.build.annotation.assign import Assignment
from babelens.build.annotation.interface import LABELS, TEXT
from babelens.build.annotation.spans import Span
from babelens.data.images import ImageStore, UnreadableError, decode
from babelens.schema import InputError

# What a picture of a row is shown as: an address that the browser of the annotator can open. None: no picture.
Shown = Callable[[Mapping[str, Any]], str | None]

NO_PICTURE = "data:image/svg+xml," + escape(
    '<svg xmlns="http://www.w3.org/2000/svg" width="320" height="80"><rect width="320" height="80" fill="#eee"/>'
    '<text x="160" y="46" text-anchor="middle" font-family="sans-serif" font-size="18" fill="#333">no picture</text>'
    "</svg>"
)
PRE_LABEL = "pre-label"


def make_task(
    row: Mapping[str, Any], picture: str | None, predictions: Mapping[str, Sequence[Span]], **more: Any
) -> dict[str, Any]:
    """A task for a row. `predictions` are sets of spans by the name they are shown under, `more` further fields."""
    data: dict[str, Any] = {"row": row["id"], "text": row["text"], "image": picture or NO_PICTURE}
    for field in ("language", "source"):
        if row.get(field) is not None:
            data[field] = row[field]
    return {
        "data": data | more,
        "predictions": [
            {"model_version": name, "result": [region(span, f"{name}-{number}") for number, span in enumerate(spans)]}
            for name, spans in predictions.items()
        ],
    }


def region(span: Span, id_: str) -> dict[str, Any]:
    """A span as Label Studio writes it in a result."""
    value = {"start": span.start, "end": span.end, "text": span.text, "labels": [span.type]}
    return {"id": id_, "from_name": LABELS, "to_name": TEXT, "type": "labels", "value": value}


def annotator_tasks(
    rows: Iterable[Mapping[str, Any]],
    assignments: Iterable[Assignment],
    spans: Callable[[Mapping[str, Any]], Sequence[Span]],
    shown: Shown,
    *,
    round: int | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """The tasks of each annotator, in the order of work.

    Label Studio's community edition shows every task of a project to everyone in it, and every annotation too. So each
    annotator gets a project, and two annotators of a row cannot see what the other marked.

    Args:
        rows: the rows; those that are not assigned are passed over.
        assignments: who reads them.
        spans: the entities of a row that it comes with (pre-labels); none are fine.
        shown: what its picture is shown as.
        round: only this batch.
    """
    by_id = {row["id"]: row for row in rows}
    tasks: dict[str, list[dict[str, Any]]] = {}
    for assignment in sorted(assignments, key=lambda assignment: assignment.order):
        row = by_id.get(assignment.id)
        if row is None or (round is not None and assignment.round != round):
            continue
        predictions = {PRE_LABEL: spans(row)} if row.get("entities") else {}
        batch = {} if assignment.round is None else {"round": assignment.round}
        task = make_task(row, shown(row), predictions, order=assignment.order, **batch)
        for name in assignment.annotators:
            tasks.setdefault(name, []).append(task)
    return tasks


def embedded(folder: Path, *, longest: int = 1024) -> Shown:
    """Pictures inside the tasks: nothing has to be served, and files of tasks can be moved to another machine.

    A picture is opened as a corpus opens it, made at most `longest` pixels long and written as JPEG (some 100 kB). One
    that is missing or cannot be read is shown as none.
    """
    store = ImageStore([folder])

    def show(row: Mapping[str, Any]) -> str | None:
        path = _find(store, row)
        if path is None:
            return None
        try:
            image = decode(path)
        except UnreadableError:
            return None
        image.thumbnail((longest, longest))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=85)
        return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()

    return show


def served(folder: Path, root: Path) -> Shown:
    """Pictures that Label Studio serves from its own disk: `folder` lies in its LOCAL_FILES_DOCUMENT_ROOT `root`.

    The project must have a local storage with that folder, which `server.make_project` adds.

    Raises:
        InputError: the folder does not lie in the root.
    """
    top = root.resolve()
    if top not in folder.resolve().parents:
        raise InputError(f"{folder}: expected a folder in {top}, which Label Studio serves, found one elsewhere")
    store = ImageStore([folder])

    def show(row: Mapping[str, Any]) -> str | None:
        path = _find(store, row)
        return None if path is None else "/data/local-files/?d=" + escape(path.relative_to(top).as_posix())

    return show


def unseen(row: Mapping[str, Any]) -> str | None:
    """No picture for any row."""
    return None


def _find(store: ImageStore, row: Mapping[str, Any]) -> Path | None:
    name = row.get("image")
    return store.find(name) if isinstance(name, str) and name else None
