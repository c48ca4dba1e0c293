"""Which column of a source becomes which field of a row, and what may stand in it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from babelens.build.rows import Row, entities_fault
from babelens.data.problems import fault, listing, quote

COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("id",),
    "text": ("caption", "text", "sentence"),
    "language": ("lang_id", "language", "lang"),
    "image": ("image_file", "image", "image_id", "file_name"),
    "url": ("url", "image_url"),
    "group": ("group",),
    "source": ("source",),
}
"""The fields of a row that are read, and the columns that are looked for, in this order."""

_NAMES = ("language", "group", "source")

Wrong = tuple[str, str]
"""What was expected and what was found."""


@dataclass(frozen=True)
class Layout:
    """How sources are read.

    `columns` names the column of a field where it is not one of `COLUMNS`; `header` the columns of tables that have no
    header of their own; `quotes` says whether quotation marks in tables are those of spreadsheets (RFC 4180) or plain
    characters; `source` is that of rows that name none, by default the name of the file or folder.

    Raises:
        DataError: a field that is none.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    header: tuple[str, ...] | None = None
    quotes: bool = True
    source: str | None = None

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in COLUMNS:
                raise fault("--column", f"one of {listing(COLUMNS)}", quote(name))

    def find(self, names: Iterable[str], path: str | Path, language: str | None = None) -> dict[str, str]:
        """The column of each field that the source has, by the names of its columns.

        Raises:
            DataError: there is no column with texts, or none with languages where `language` does not say it, or a
                column that was named is not there.
        """
        names = list(names)
        found: dict[str, str] = {}
        for name, known in COLUMNS.items():
            given = self.columns.get(name)
            column = next((one for one in ((given,) if given else known) if one in names), None)
            if column is not None:
                found[name] = column
            elif given or name == "text" or (name == "language" and language is None):
                hint = f", or --column {name}=NAME" + (f", or en={path}" if name == "language" else "")
                expected = f"a column {given}" if given else f"a column {' or '.join(known)}{hint}"
                raise fault(path, expected, listing(names))
        return found


def row_of(record: Mapping[str, Any], columns: Mapping[str, str], id: str) -> Row | Wrong:
    """The row of a record, called `id` where it has no name of its own; or what is wrong with it."""
    if columns["text"] not in record:
        return f"a field {columns['text']}", listing(record)
    text = record[columns["text"]]
    if text is not None and not isinstance(text, str):
        return f"a text as {columns['text']}", quote(text)
    given = record.get(columns.get("id", ""))
    if given is not None and (not isinstance(given, str | int) or given == ""):
        return f"a string as {columns['id']}", quote(given)
    row: Row = {"id": id if given is None else str(given), "text": text or ""}
    for name in _NAMES:
        value = record.get(columns.get(name, ""))
        if value is None or value == "":
            continue
        if not isinstance(value, str | int):
            return f"a string as {columns[name]}", quote(value)
        row[name] = str(value)
    image, url = (record.get(columns.get(name, "")) for name in ("image", "url"))
    if isinstance(image, Mapping):  # a picture of the hub, undecoded
        image = image.get("path")
        if image is None:
            return "the name or the URL of a picture", "the picture itself, without a name"
    if not isinstance(image, str | int | None) or not isinstance(url, str | None):
        return "the name or the URL of a picture", quote(url if isinstance(image, str | int | None) else image)
    add_picture(row, None if image is None else str(image), url)
    return row


def add_picture(row: Row, image: str | None, url: str | None) -> None:
    """Note the picture of a row by its name, its URL or both; one of a URL alone is called by the URL's digest.

    So rows with the picture of one URL have one picture.
    """
    if image and "://" in image:
        image, url = None, url or image
    if url:
        row["url"] = url
        image = image or blake2b(url.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    if image:
        row["image"] = image


def with_further_fields(row: Row, record: Mapping[str, Any], columns: Mapping[str, str]) -> Row | Wrong:
    """A row with what else stands in its record, as JSON of any kind; entities are checked."""
    used = set(columns.values())
    row |= {name: value for name, value in record.items() if name not in used and name not in row}
    entities = row.get("entities")
    if not entities:
        return row
    text = row["text"]
    if isinstance(entities, list):
        row["entities"] = entities = [_whole(entity, text) for entity in entities]
    wrong = entities_fault(entities, text)
    return row if wrong is None else wrong


def _whole(entity: Any, text: str) -> Any:
    """An entity with its type and its text, where it has a label or places only."""
    if not isinstance(entity, dict):
        return entity
    entity = dict(entity)
    if "type" not in entity and "label" in entity:
        entity["type"] = entity.pop("label")
    start, end = entity.get("start"), entity.get("end")
    if "text" not in entity and isinstance(start, int) and isinstance(end, int):
        entity["text"] = text[start:end]
    return entity
