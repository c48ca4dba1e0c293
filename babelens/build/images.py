"""The step that ties rows to their pictures: each is looked for, looked at, told its status, and put into a folder."""

import os
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from babelens.build.caption_fields import add_picture
from babelens.build.gate import BadRows
from babelens.build.images_album import Album
from babelens.build.images_found import Found, Source
from babelens.build.images_shards import remove_index
from babelens.build.images_verdict import MOST_BYTES, Verdict, change, judge
from babelens.build.results import Result, dropped
from babelens.build.rows import Input, Row
from babelens.build.step import SECONDS, Step, Summary, run_step
from babelens.schema import InputError

MIN_SIZE = 64
"""Pixels of the short side. Encoders read pictures at 224 pixels, in 7 x 7 or 14 x 14 pieces: with 64, each of 7 x 7 is
made of 9 x 9 pixels. Icons and counting pixels have less, photos more (of 98 photos of tweets the least has 180)."""

IMAGES = "images"
_INDEX = ".pictures.index"
_AHEAD = 64
_KEPT = 4096
_THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class Rules:
    """What is asked of a picture, and what becomes of rows.

    `min_size` is in pixels of the short side. `copy` puts good pictures into the folder `images` of the step, `link` by
    a second name of the file where that is possible. `need_picture` drops rows without a good one.
    """

    min_size: int = MIN_SIZE
    copy: bool = True
    link: bool = False
    need_picture: bool = False


def tie_images(
    source: Input,
    out: Path,
    pictures: Source,
    rules: Rules | None = None,
    *,
    skip_bad: bool = False,
    tell: Callable[[int], object] = lambda done: None,
    seconds: float = SECONDS,
) -> Summary:
    """Run the step: all rows of the input, each with an `image` or a `url` told its `image_status`.

    Rows with a good picture also get its `sha256` and its `image_hash` (the difference hash of 256 bits, where it says
    something), so that a later run over them notices a picture that has changed. Memory does not grow with the rows or
    the pictures. What is said of a row: `did` is "kept" or "dropped", `why` its status, "no picture" (it names none) or
    "image field" (no picture's name in it), `found` where its picture lies, `fault` what is wrong with it, and `size`
    (width and height in pixels); `renamed` is what it called its picture before.

    Raises:
        InputError: the pictures lie where they are to be written, a row's digest is none, or several samples fit a row.
        DataError: a shard or a file cannot be read.
        BadRows, JournalError, Interrupted, DiskFull: as `run_step` says.
    """
    from PIL import __version__ as pillow

    rules = rules or Rules()
    _check_folders(out, pictures)
    options = {
        **pictures.facts(),
        "min_size": rules.min_size,
        "copy": rules.copy,
        "need_picture": rules.need_picture,
    }
    step = Step("images", options, {"pillow": pillow})
    tier = _Tier(out, pictures, rules)
    try:
        summary = run_step(step, source, out, tier.take, skip_bad=skip_bad, tell=tell, seconds=seconds)
    except BadRows:
        # Nothing of it can be gone on with.
        shutil.rmtree(out / IMAGES, ignore_errors=True)
        tier.clear()
        raise
    tier.clear()
    return summary


def _check_folders(out: Path, pictures: Source) -> None:
    """Refuse to write into the folders that are read.

    Raises:
        InputError: it was asked for.
    """
    target = out.resolve()
    for folder in pictures.folders:
        place = folder.resolve()
        if target.is_relative_to(place) or place.is_relative_to(target):
            raise InputError(f"{out}: expected a folder apart from the pictures, found them in {folder}")


class _Tier:
    """Ties rows to pictures. Verdicts are kept for a while, since rows that share a picture mostly lie together."""

    def __init__(self, out: Path, pictures: Source, rules: Rules) -> None:
        self._index = out / _INDEX
        self._pictures = pictures
        self._rules = rules
        self._album = Album(out / IMAGES, link=rules.link)
        self._verdicts: OrderedDict[str, Verdict] = OrderedDict()

    def clear(self) -> None:
        """Remove what only a run that goes on has a use for."""
        remove_index(self._index)
        self._album.close()

    def take(self, rows: Iterator[Row]) -> Iterator[Result]:
        """What becomes of each row; the rows themselves are changed."""
        with self._pictures.opened(self._index) as finder, ThreadPoolExecutor(_THREADS) as pool:
            while part := list(islice(rows, _AHEAD)):
                fields = [_picture_field(row) for row in part]
                found = [finder.find(row) if field is None else None for row, field in zip(part, fields, strict=True)]
                verdicts = self._judged(found, pool)
                for row, field, one in zip(part, fields, found, strict=True):
                    yield self._unasked(row, field) if field is not None else self._tied(row, one, verdicts)

    def _judged(self, found: list[Found | None], pool: ThreadPoolExecutor) -> Mapping[str, Verdict]:
        """The verdicts on pictures, by their names."""
        asked = {one.name: one for one in found if one is not None and one.status is None}
        verdicts = {name: self._verdicts[name] for name in asked if name in self._verdicts}
        unknown = [one for name, one in asked.items() if name not in verdicts]
        for one, verdict in zip(unknown, pool.map(self._judge, unknown), strict=True):
            verdicts[one.name] = self._verdicts[one.name] = verdict
        while len(self._verdicts) > _KEPT:
            self._verdicts.popitem(last=False)
        return verdicts

    def _judge(self, found: Found) -> Verdict:
        if found.size > MOST_BYTES:
            return Verdict("corrupt", f"{found.size:,} bytes, more than {MOST_BYTES:,}", "")
        return judge(found.read(), self._rules.min_size)

    def _unasked(self, row: Row, why: str) -> Result:
        return dropped(why) if self._rules.need_picture else Result((row,), {"did": "kept", "why": why})

    def _tied(self, row: Row, found: Found | None, verdicts: Mapping[str, Verdict]) -> Result:
        facts: dict[str, Any] = {}
        if found is None:
            status = "missing"
        elif found.status is not None:
            status, facts = found.status, {"found": found.name, "fault": found.fault}
        else:
            verdict = verdicts[found.name]
            status, fault = verdict.status, verdict.fault
            if status == "ok" and (fault := change(row, verdict, found.downloaded)) is not None:
                status = "changed"
            facts = {"found": found.name, "fault": fault, "size": verdict.size}
            if status == "ok":
                facts |= self._accept(row, found, verdict)
        row["image_status"] = status
        facts = {name: value for name, value in facts.items() if value is not None}
        if status != "ok" and self._rules.need_picture:
            return dropped(status, **facts)
        return Result((row,), {"did": "kept", "why": status, **facts})

    def _accept(self, row: Row, found: Found, verdict: Verdict) -> Mapping[str, Any]:
        row["sha256"] = verdict.sha256
        row.pop("image_hash", None)
        if verdict.hash is not None:
            row["image_hash"] = verdict.hash
        if not self._rules.copy:
            return {}
        before: str = row["image"]
        row["image"] = self._album.put(before, found, verdict.sha256, verdict.ending)
        return {"renamed": before} if row["image"] != before else {}


def _picture_field(row: Row) -> str | None:
    """Make sure that a row with a picture calls it by a name; if it has none, why."""
    image, url = row.get("image"), row.get("url")
    if "images" in row or not isinstance(image, str | None) or not isinstance(url, str | None):
        return "image field"
    add_picture(row, image, url)
    return None if row.get("image") else "no picture"
