"""Pictures to pixels, in processes that may die."""

import asyncio
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256

import msgspec

from babelens.serving.child import Child, ChildGone
from babelens.serving.decoder import OPENED, SIZE, TOO_MUCH
from babelens.serving.picture_header import Header, read_header
from babelens.serving.refusal import Refusal
from babelens.serving.settings import Limits

_SPARE_SECONDS = 5.0


class Pixels(msgspec.Struct, frozen=True, array_like=True):
    """An opened picture: `key` is a digest of its file, `rgb` its pixels row by row, 3 bytes each."""

    key: str
    width: int
    height: int
    rgb: memoryview


def check_picture(content: bytes | memoryview, limits: Limits) -> Header:
    """The header of a picture that may be decoded.

    Raises:
        Refusal: it has too many bytes or pixels (413), is of another format (415) or has no whole header (422).
    """
    if len(content) > limits.picture_bytes:
        raise Refusal(413, f"expected a picture of at most {limits.picture_bytes:,} bytes, found {len(content):,}")
    header = read_header(content)
    if header.pixels > limits.picture_pixels:
        raise Refusal(
            413,
            f"expected a picture of at most {limits.picture_pixels / 1e6:g} megapixels, "
            f"found {header.width} x {header.height} pixels",
        )
    return header


class Decoders:
    """Processes that open pictures, each one at a time; one that dies is replaced.

    `restarts` counts those that died.
    """

    def __init__(self, count: int, limits: Limits) -> None:
        self.restarts = 0
        self._limits = limits
        memory, seconds = str(limits.decode_memory), str(limits.decode_seconds)
        self._command = [sys.executable, "-m", "babelens.serving.decoder", memory, seconds]
        self._threads = ThreadPoolExecutor(count, "decoding")
        self._idle: deque[Child] = deque()
        self._count = count

    def start(self) -> None:
        """Start the processes."""
        self._idle.extend(self._child() for _ in range(self._count))

    async def decode(self, content: bytes | memoryview, header: Header) -> Pixels:
        """Open a picture that was checked, and has that header.

        Raises:
            Refusal: it cannot be read, or is larger than its header says (422); it takes more memory or time than is
                allowed (413).
        """
        pixels = await asyncio.get_running_loop().run_in_executor(self._threads, self._decode, content)
        if pixels.width * pixels.height > header.pixels:  # the frames of a GIF have sizes of their own
            raise Refusal(
                422,
                f"expected a picture of {header.width} x {header.height} pixels, as its header says, "
                f"found {pixels.width} x {pixels.height}",
            )
        return pixels

    def close(self) -> None:
        """End the processes."""
        self._threads.shutdown(cancel_futures=True)
        while self._idle:
            self._idle.pop().close()

    def _child(self) -> Child:
        return Child(self._command, quiet=True, environment={"OPENBLAS_NUM_THREADS": "1"})

    def _decode(self, content: bytes | memoryview) -> Pixels:
        child = self._idle.popleft()  # there are as many as threads
        try:
            answer = child.ask(content, seconds=self._limits.decode_seconds + _SPARE_SECONDS)
        except ChildGone:
            self.restarts += 1
            child.kill()
            child.close()
            child = self._child()
            raise Refusal(413, "expected a picture that can be decoded in the memory and time allowed") from None
        finally:
            self._idle.append(child)
        kind, rest = bytes(answer[:1]), memoryview(answer)[1:]
        if kind == OPENED:
            width, height = SIZE.unpack_from(rest)
            return Pixels(sha256(content).hexdigest(), width, height, rest[SIZE.size :])
        if kind == TOO_MUCH:
            raise Refusal(413, "expected a picture that can be decoded in the memory allowed")
        raise Refusal(422, f"expected a whole picture, found one that cannot be read: {bytes(rest).decode()}")


class PixelBudget:
    """Bytes that opened pictures of all requests may take together; who asks first is let in first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int) -> None:
        """Wait until so many bytes are free, and take them.

        Raises:
            Refusal: there are never so many (413).
        """
        if size > self.limit:
            raise Refusal(413, f"expected pictures of at most {self.limit // 3:,} pixels together, found {size // 3:,}")
        if not self._waiting and self.held + size <= self.limit:
            self.held += size
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.give(size)
            else:
                with suppress(ValueError):
                    self._waiting.remove((size, place))
            self._let_in()
            raise

    def give(self, size: int) -> None:
        """Give bytes back."""
        self.held -= size
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self.held + self._waiting[0][0] <= self.limit:
            size, place = self._waiting.popleft()
            if not place.done():
                self.held += size
                place.set_result(None)
