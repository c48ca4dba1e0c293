"""Rows of a data set of the Hugging Face hub, streamed: nothing of it is kept on the disk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from babelens.data.places import SPLITS
from babelens.data.problems import fault, listing
from babelens.data.reading import parse_hub, unreached

COLUMNS = ("id", "text", "tokens", "words", "image", "images", "language")
"""What is read of a row, if it is there."""

TEXT = {"text", "tokens", "words"}
"""One of these must be there."""


@dataclass(frozen=True)
class HubRows:
    """A streamed data set: what names its content, its rows as far as its makers tell, and their fields."""

    digest: str
    total: int | None
    fields: Callable[[], Iterator[dict[str, Any]]]


def open_hub(spec: str) -> HubRows:
    """Find `hub:NAME` or `hub:NAME:CONFIGURATION`: all its parts in the order train, valid, test, then others by name.

    Raises:
        DataError: it is not within reach, or has neither text nor tokens.
    """
    from datasets import load_dataset_builder
    from datasets.exceptions import DatasetsError

    name, configuration = parse_hub(spec)
    try:
        builder = load_dataset_builder(name, configuration)
        parts: Any = builder.as_streaming_dataset()
    except (DatasetsError, OSError, ValueError) as error:
        raise unreached(spec, error) from error
    known = [part for names in SPLITS.values() for part in names if part in parts]
    order = [*known, *sorted(str(part) for part in parts if part not in known)]
    columns = [column for column in parts[order[0]].column_names or () if column in COLUMNS]
    if not TEXT & set(columns):
        raise fault(spec, "a column text or tokens", listing(parts[order[0]].column_names or ()))

    def fields() -> Iterator[dict[str, Any]]:
        for part in order:
            yield from parts[part].select_columns(columns).decode(False)

    told = [split.num_examples for split in (builder.info.splits or {}).values()]
    return HubRows(str(builder.hash), sum(told) if told and all(told) else None, fields)
