"""The folder of good pictures, in which each row finds its own by the name in its `image`."""

import errno
import os
import shutil
from collections import OrderedDict
from hashlib import file_digest
from pathlib import Path, PurePosixPath

from babelens.build.images_found import Found
from babelens.data.images import ENDINGS
from babelens.data.journal import DiskFull

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
_LONGEST = 200
_KEPT = 4096


class Album:
    """Files of pictures below a folder.

    Of a name without its ending there is one picture only, since a row may call it with or without. What comes first
    has the name; another picture gets one with eight digits of its SHA-256. A file that was put there by a run that was
    stopped is recognised by its bytes, so that the same rows give the same files. `link` makes second names of files
    where the file system allows that.
    """

    def __init__(self, folder: Path, *, link: bool = False) -> None:
        self.folder = folder
        self._link = link
        self._beside = folder.parent / ".picture.new"
        self._digests: OrderedDict[str, str] = OrderedDict()

    def put(self, image: str, found: Found, sha256: str, ending: str) -> str:
        """Put a picture that a row calls `image` into the folder, and give what the row is to call it from now on.

        `ending` is that of the kind of picture, and is added to a name that has none.

        Raises:
            DiskFull: there is no room.
            DataError: the picture cannot be read any more.
        """
        for name in _names(image, sha256, ending):
            holder = self._holder(name)
            if holder is None:
                if not self._write(name, found):
                    continue
                self._note(name, sha256)
                holder = name
            elif self._digest(holder) != sha256:
                continue
            return image if any(holder == image + one for one in ENDINGS) else holder
        raise AssertionError(f"no name for {image}")

    def close(self) -> None:
        """Remove what a stopped run has left half written."""
        self._beside.unlink(missing_ok=True)

    def _holder(self, name: str) -> str | None:
        """The file that a name, or the same with another ending or none, stands for; None if it is free."""
        stem = _stem(name)
        for one in (name, *(stem + ending for ending in ENDINGS)):
            if os.path.isfile(self.folder / one):
                return one
        return None

    def _digest(self, name: str) -> str:
        if name not in self._digests:
            with open(self.folder / name, "rb") as file:
                self._note(name, file_digest(file, "sha256").hexdigest())
        return self._digests[name]

    def _note(self, name: str, sha256: str) -> None:
        self._digests[name] = sha256
        if len(self._digests) > _KEPT:
            self._digests.popitem(last=False)

    def _write(self, name: str, found: Found) -> bool:
        """Write a picture beside and rename it; say whether that was possible under this name."""
        target = self.folder / name
        self._beside.unlink(missing_ok=True)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if not self._linked(found):
                if found.start is None:
                    shutil.copyfile(found.path, self._beside)
                else:
                    self._beside.write_bytes(found.read())
            os.replace(self._beside, target)
        except OSError as error:
            self._beside.unlink(missing_ok=True)
            if error.errno in _FULL:
                raise DiskFull(
                    f"{target}: the disk is full; what was done is kept: make room, then run the same command to go on"
                ) from error
            if error.errno in _IN_THE_WAY:
                return False
            raise
        return True

    def _linked(self, found: Found) -> bool:
        if not self._link or found.start is not None:
            return False
        try:
            os.link(found.path, self._beside)
        except OSError:
            return False
        return True


def _names(image: str, sha256: str, ending: str) -> list[str]:
    """The names that a picture may get, the best first."""
    names = [f"{sha256}{ending}"]
    wanted = _file_name(image, ending)
    if wanted is not None:
        stem = _stem(PurePosixPath(wanted).name)
        names = [wanted, f"{stem[:100]}-{sha256[:8]}{ending}", *names]
    return names


def _file_name(image: str, ending: str) -> str | None:
    """The file for a picture, below the folder; None where its name leads elsewhere or does not fit everywhere."""
    path = PurePosixPath(image)
    if str(path) != image or path.is_absolute() or ".." in path.parts or not image.isprintable():
        return None
    if any(sign in image for sign in '\\:*?"<>|') or any(len(part.encode()) > _LONGEST for part in path.parts):
        return None
    known = (*ENDINGS[1:], ".bmp", ".tif", ".tiff")
    return image if path.suffix.lower() in known else f"{image}{ending}"


def _stem(name: str) -> str:
    return next((name.removesuffix(ending) for ending in ENDINGS[1:] if name.endswith(ending)), name)
