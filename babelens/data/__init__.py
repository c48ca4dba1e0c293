"""Files to examples and back: readers and writers, corpora, pictures, checks and statistics. No torch."""

from typing import TYPE_CHECKING

from babelens.data.problems import DataError, ImageError, Problem

if TYPE_CHECKING:
    from babelens.data.cache import cache_folder
    from babelens.data.corpus import Corpus
    from babelens.data.images import Picture
    from babelens.data.reading import read_corpus, read_share, read_split

__all__ = [
    "Corpus",
    "DataError",
    "ImageError",
    "Picture",
    "Problem",
    "cache_folder",
    "read_corpus",
    "read_share",
    "read_split",
]

_HOMES = {
    "Corpus": "babelens.data.corpus",
    "Picture": "babelens.data.images",
    "read_corpus": "babelens.data.reading",
    "read_share": "babelens.data.reading",
    "read_split": "babelens.data.reading",
    "cache_folder": "babelens.data.cache",
}


def __getattr__(name: str) -> object:
    # Late, because pyarrow takes a quarter of a second that `babelens --help` does not have.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
