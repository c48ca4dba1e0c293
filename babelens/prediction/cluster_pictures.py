"""Pictures in folders on any disk that fsspec reaches."""

import posixpath
from collections.abc import Sequence
from typing import TYPE_CHECKING

from babelens.data.images import ENDINGS, ImageStore, decode
from babelens.prediction.cluster_disk import Disk

if TYPE_CHECKING:
    from PIL.Image import Image

_REMOTE = "remote:"


class RemoteStore(ImageStore):
    """Opens pictures by their ids, with or without their ending, in folders that are no paths of this machine.

    A picture is fetched when it is opened, by each of its possible names until one is there. An id never leads out of
    its folder. Ids in a row that also has pictures by their bytes are not looked up.
    """

    def __init__(self, folders: Sequence[str], *, strict: bool = False) -> None:
        super().__init__([], strict=strict)
        self._places = tuple(folders)

    def key(self, image: str, digest: str | None = None) -> str:
        """The key of a picture: its id, as it stands in its folder."""
        return f"{_REMOTE}{posixpath.normpath(image)}" if image else _REMOTE

    def _image(self, key: str) -> "Image | None":
        name = key.removeprefix(_REMOTE)
        if not name or name.startswith(("/", "..")) or "\0" in name:
            return None
        for folder in self._places:
            for ending in ENDINGS:
                try:
                    content = (Disk(folder) / f"{name}{ending}").read()
                except (FileNotFoundError, IsADirectoryError):
                    continue
                return decode(content)
        return None
