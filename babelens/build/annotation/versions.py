"""The versions of a task in Label Studio's JSON: what somebody submitted, passed over or left as a draft."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from babelens.build.annotation.faults import Faults
from babelens.data.problems import quote

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ARTICLE = {"annotation": "an annotation", "draft": "a draft"}


class _Fields(msgspec.Struct):
    """The fields that are read, as JSON holds them. Whatever else Label Studio writes is passed over."""

    id: int | str | None = None
    completed_by: int | str | dict[str, Any] | None = None
    user: int | str | dict[str, Any] | None = None
    was_cancelled: bool | None = None
    result: list[dict[str, Any]] | None = None
    lead_time: float | None = None
    created_at: str | None = None
    updated_at: str | None = None


class Version(msgspec.Struct, frozen=True):
    """What one person made of a task: its number, who did it, the marked regions, and when.

    `person` is as Label Studio names people: a number, an e-mail address, or an object with both. `seconds` is the time
    spent on it, where it is known. `why` tells why it does not count: skipped, or a draft.
    """

    number: int | str | None
    person: int | str | Mapping[str, Any] | None
    regions: tuple[Mapping[str, Any], ...]
    seconds: float | None
    created: datetime
    updated: datetime
    why: Literal["skipped", "draft"] | None = None


def read_versions(task: Mapping[str, Any], faults: Faults, where: str) -> Iterator[Version]:
    """The annotations of a task, then its drafts. Those that are none are added to `faults`, with task and number."""
    drafts = task.get("drafts") or []
    if not isinstance(drafts, list):
        faults.add(where, "a list of drafts", quote(drafts))
        drafts = []
    for kind, given in (("annotation", task["annotations"]), ("draft", drafts)):
        for place, one in enumerate(given, 1):
            # An export may name drafts by their number alone; whose they are is then unknown.
            if kind == "draft" and isinstance(one, int):
                continue
            number = one.get("id") if isinstance(one, Mapping) else None
            spot = f"{where}, {kind} {number if isinstance(number, int | str) else f'number {place}'}"
            try:
                yield _version(msgspec.convert(one, _Fields), draft=kind == "draft")
            except msgspec.ValidationError as error:
                faults.add(spot, f"{_ARTICLE[kind]} as Label Studio writes it", f"{quote(one)} ({error})")
            except ValueError as error:
                faults.add(spot, "times in ISO 8601", str(error))


def _version(fields: _Fields, *, draft: bool) -> Version:
    created = _time(fields.created_at)
    return Version(
        number=fields.id,
        person=fields.user if draft else fields.completed_by,
        regions=tuple(fields.result or ()),
        seconds=fields.lead_time,
        created=created,
        updated=_time(fields.updated_at) if fields.updated_at else created,
        why="draft" if draft else "skipped" if fields.was_cancelled else None,
    )


def _time(stamp: str | None) -> datetime:
    """A time as Label Studio writes it; where it says none, before all others."""
    if stamp is None:
        return _EPOCH
    try:
        time = datetime.fromisoformat(stamp)
    except ValueError:
        raise ValueError(quote(stamp)) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
