"""Boxes of the objects in pictures: read from JSONL or from XML of the Pascal VOC kind, found by the picture's name.

A line of JSONL is `{"image": id, "boxes": [{"left", "top", "right", "bottom", "label"?, "score"?, "group"?}]}`; a box
may also be the list `[left, top, right, bottom]`, and a `group` beside `image` is that of the line's boxes without one.
Edges are pixels of the upright picture, counted from 0 at its left and upper edge. Several lines may speak of one
picture. XML has one file a picture, named by its id, as in the Twitter10000 data of GMNER (Yu et al., 2023).
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from xml.etree import ElementTree

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc as ipc

from babelens.data.cache import cached_stream, digest_file, digest_names
from babelens.data.places import BOXES
from babelens.data.problems import DataError, Problems, fault, quote
from babelens.schema import Box

FOLDER = "boxes"
_EDGES: tuple[str, ...] = ("left", "top", "right", "bottom")
_VOC_EDGES: tuple[str, ...] = ("xmin", "ymin", "xmax", "ymax")
_BLANKS = b" \t\r\n"
_MARK = b"\xef\xbb\xbf"
_TYPE = pa.struct(
    [
        *((edge, pa.float64()) for edge in _EDGES),
        ("label", pa.string()),
        ("score", pa.float64()),
        ("group", pa.string()),
    ]
)
_SCHEMA = pa.schema([("image", pa.string()), ("row", pa.int64()), ("boxes", pa.list_(_TYPE))])
_BATCH = 2048

Value = TypeVar("Value")


class Line(NamedTuple):
    """What a line of JSONL says: a picture, boxes in it, and the group that is named beside the picture."""

    image: str
    boxes: list[Box]
    group: str | None = None


class BoxFile:
    """The boxes of many pictures in an Arrow file that is mapped into memory. Memory holds eight bytes a picture.

    It is read by any number of processes; a pickled one carries its path, not its boxes. `source` is where they come
    from.
    """

    def __init__(self, path: Path, source: Path) -> None:
        self.path, self.source = path, source
        self._table = ipc.open_file(pa.memory_map(str(path))).read_all()
        keys = [("image", "ascending"), ("row", "ascending")]
        order = pc.sort_indices(self._table, sort_keys=keys)  # pyright: ignore[reportAttributeAccessIssue]
        self._order = np.asarray(order)

    def __reduce__(self) -> tuple[type["BoxFile"], tuple[Path, Path]]:
        return BoxFile, (self.path, self.source)

    def __contains__(self, image: str) -> bool:
        return any(True for _ in self._rows(image))

    @property
    def images(self) -> Iterator[str]:
        """The names of the pictures, each once."""
        yield from pc.unique(self._table.column("image")).to_pylist()  # pyright: ignore[reportAttributeAccessIssue]

    def boxes(self, image: str) -> tuple[Box, ...]:
        """The boxes of the picture of this name, in the order in which they were read."""
        column = self._table.column("boxes")
        return tuple(Box(**fields) for row in self._rows(image) for fields in column[row].as_py())

    def _rows(self, image: str) -> Iterator[int]:
        """The rows of a picture, one after the other."""
        for place in range(bisect_left(range(len(self._order)), image, key=self._name), len(self._order)):
            if self._name(place) != image:
                break
            yield int(self._order[place])

    def _name(self, place: int) -> str:
        return self._table.column("image")[int(self._order[place])].as_py()


def read_boxes(path: Path) -> BoxFile:
    """Read a JSONL file, or a folder of XML files, of boxes; what was read once is kept in the cache.

    Raises:
        DataError: there is no such file, no XML in the folder, or boxes that cannot be read, all in one go.
    """
    if path.is_dir():
        files = sorted(path.glob("*.xml"))
        if not files:
            raise fault(path, "XML files with boxes", "none")
        digest = digest_names("boxes", *((file.name, digest_file(file)) for file in files))
        return BoxFile(cached_stream(digest, partial(_write_voc, files), "boxes"), path)
    if not path.is_file():
        raise fault(path, "a JSONL file of boxes, or a folder of XML files", "no such file or folder")
    return BoxFile(cached_stream(digest_file(path, "boxes"), partial(_write_jsonl, path), "boxes"), path)


def find_boxes(folders: Iterable[Path]) -> Path | None:
    """`boxes.jsonl`, or a folder `boxes` with XML files, in the first of the folders that has one.

    Raises:
        DataError: a folder has both.
    """
    for folder in folders:
        file, xml = folder / BOXES, folder / FOLDER
        found = [place for place in (file, xml) if place.is_file() or (place == xml and any(place.glob("*.xml")))]
        if len(found) > 1:
            raise fault(folder, f"{BOXES} or a folder {FOLDER}; --boxes says which to read", "both")
        if found:
            return found[0]
    return None


def _write_jsonl(source: Path, path: Path) -> None:
    problems = Problems(source)
    write_arrow(((line.image, line.boxes) for line in read_jsonl(source, problems)), path)
    problems.raise_if_any()


def _write_voc(files: Sequence[Path], path: Path) -> None:
    found = [Problems(file) for file in files]
    write_arrow(((file.stem, read_voc(file, own)) for file, own in zip(files, found, strict=True)), path)
    total = sum(problems.total for problems in found)
    if total:
        raise DataError([problem for problems in found for problem in problems.kept], total)


def write_arrow(boxes: Iterable[tuple[str, Sequence[Box]]], path: Path) -> None:
    """Write pictures and their boxes as they come; at no time is more than one batch in memory."""
    row = 0
    with pa.OSFile(str(path), "wb") as sink, ipc.new_file(sink, _SCHEMA) as writer:
        for batch in batched(boxes, _BATCH):
            columns = [
                pa.array([image for image, _ in batch], pa.string()),
                pa.array(range(row, row + len(batch)), pa.int64()),
                pa.array([[fields_of(box) for box in own] for _, own in batch], pa.list_(_TYPE)),
            ]
            writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
            row += len(batch)


def batched(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """Values in lists of `size`; the last one may be shorter."""
    left = iter(values)
    while batch := list(islice(left, size)):
        yield batch


def fields_of(box: Box) -> dict[str, Any]:
    """A box as the fields of a JSONL line, those without a value left out."""
    values = {name: getattr(box, name) for name in _TYPE.names}
    return {name: value for name, value in values.items() if value is not None}


def read_jsonl(path: Path, problems: Problems) -> Iterator[Line]:
    """The lines of a file; faults are noted in `problems` and reading goes on."""
    decode = msgspec.json.Decoder().decode
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(_MARK)
            if not line.strip(_BLANKS):
                continue
            try:
                fields = decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                shown = quote(line.strip(_BLANKS).decode("utf-8", "replace"))
                problems.add(number, "a JSON object", f"{shown} ({error})")
                continue
            if not isinstance(fields, dict):
                problems.add(number, "an object with image and boxes", quote(fields))
                continue
            image = fields.get("image")
            if not isinstance(image, str | int) or isinstance(image, bool) or image == "":
                problems.add(number, "a picture id in the field image", quote(image))
                continue
            yield Line(str(image), *_read_line(fields, number, problems))


def _read_line(fields: Mapping[str, Any], line: int, problems: Problems) -> tuple[list[Box], str | None]:
    group, listed = fields.get("group"), fields.get("boxes")
    if group is not None and not isinstance(group, str):
        problems.add(line, "a string in the field group", quote(group))
        group = None
    if not isinstance(listed, list):
        problems.add(line, "a list in the field boxes", quote(listed))
        return [], group
    read = (_read_box(value, f"boxes[{number}]", line, group, problems) for number, value in enumerate(listed))
    return [box for boxes in read for box in boxes], group


def _read_box(value: object, place: str, line: int, group: str | None, problems: Problems) -> list[Box]:
    if isinstance(value, list) and len(value) == len(_EDGES):
        value = dict(zip(_EDGES, value, strict=True))
    if not isinstance(value, dict):
        problems.add(line, f"an object or 4 edges (left, top, right, bottom) in {place}", quote(value))
        return []
    before = problems.total
    edges = {name: _number(value.get(name), f"{place}.{name}", line, problems) for name in _EDGES}
    score = value.get("score")
    if score is not None:
        score = _number(score, f"{place}.score", line, problems)
    for name in ("label", "group"):
        if not isinstance(value.get(name), str | None):
            problems.add(line, f"a string in {place}.{name}", quote(value[name]))
    if problems.total > before:
        return []
    box = Box(**edges, label=value.get("label"), score=score, group=value.get("group") or group)
    return _ordered(box, place, line, problems)


def _number(value: object, place: str, line: int, problems: Problems) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
        return float(value)
    problems.add(line, f"a number in {place}", "none" if value is None else quote(value))
    return math.nan


def _ordered(box: Box, place: str, line: int | None, problems: Problems) -> list[Box]:
    """The box, or nothing and a fault where its edges are the wrong way round."""
    before = problems.total
    if box.right < box.left:
        problems.add(line, f"right at or after left in {place}", f"left {box.left:g}, right {box.right:g}")
    if box.bottom < box.top:
        problems.add(line, f"bottom at or after top in {place}", f"top {box.top:g}, bottom {box.bottom:g}")
    return [box] if problems.total == before else []


def read_voc(path: Path, problems: Problems) -> list[Box]:
    """The boxes of an XML file of the Pascal VOC kind: `annotation/object` with `name` and `bndbox`.

    There pixels count from 1 and both ends belong to the box: left is xmin - 1, right is xmax. The name is the label
    (in GMNER it is the entity's text, so boxes and labels are gold). Faults are noted in `problems`.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        problems.add(error.position[0], "XML", str(error))
        return []
    except (LookupError, ValueError) as error:  # an encoding that is not known, or another than the bytes are in
        problems.add(1, "XML in an encoding that is known", str(error))
        return []
    boxes: list[Box] = []
    for number, thing in enumerate(root.iter("object"), 1):
        place = f"object[{number}]"
        given = [_voc_edge(thing.findtext(f"bndbox/{name}"), f"{place}/bndbox/{name}", problems) for name in _VOC_EDGES]
        left, top, right, bottom = given
        if left is None or top is None or right is None or bottom is None:
            continue
        label = (thing.findtext("name") or "").strip() or None
        boxes += _ordered(Box(left - 1, top - 1, right, bottom, label), place, None, problems)
    return boxes


def _voc_edge(text: str | None, place: str, problems: Problems) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    problems.add(None, f"a number in {place}", "none" if text is None else quote(text))
    return None
