"""The service without HTTP: who is let in, and how a request becomes answers."""

import asyncio
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from babelens.data.words import split_words
from babelens.serving.batching import Batcher
from babelens.serving.decoding import Decoders, PixelBudget, Pixels, check_picture
from babelens.serving.engine import ModelRow, Reply
from babelens.serving.fetching import Fetcher
from babelens.serving.forms import read_form
from babelens.serving.metrics import Metrics
from babelens.serving.model import ModelProcess
from babelens.serving.questions import Asked, read_questions
from babelens.serving.refusal import Refusal
from babelens.serving.settings import Settings

_LONGEST_RETRY = 60
_SHORT_BODY = 8_192
_FETCHERS = 4
_BYTES_A_PIXEL = 3

Read = tuple[list[Asked | Refusal], bool]


class Service:
    """Takes requests in, up to what it can hold, and answers every one that it took.

    A request has a place from its headers to its answer (`enter`, `leave`); it counts as accepted once its rows are
    read and lined up. The event loop does nothing that takes long: large bodies are read by a thread, pictures are
    opened by the decoders, and the model runs in a process of its own.
    """

    def __init__(self, settings: Settings, model: ModelProcess, fetcher: Fetcher | None = None) -> None:
        self.settings = settings
        self.model = model
        self.metrics = Metrics()
        self.draining = False  # /readyz says so, and answers close their connections
        self.closed = False  # no request is taken any more
        self.inside = 0
        self.accepted = 0
        self.answered = 0
        self._words = 0
        self._bodies = 0
        self._decoders = Decoders(settings.flow.decoders, settings.limits)
        self._budget = PixelBudget(settings.limits.pixel_memory)
        self._batcher = Batcher(model.answer, settings.flow, self.metrics.note_batch)
        self._batching: asyncio.Task[None] | None = None
        self._reader = ThreadPoolExecutor(1, "reading")
        self._fetcher = fetcher
        self._fetching = ThreadPoolExecutor(_FETCHERS, "fetching")
        self._watch()

    @property
    def ready(self) -> bool:
        """Whether new requests should be sent here."""
        return self.model.ready and not self.draining

    async def start(self) -> None:
        """Start the decoders and the model.

        Raises:
            ModelError: there is no such model.
        """
        self._decoders.start()
        warm = asyncio.get_running_loop().run_in_executor(self._reader, split_words, "")  # compiles its pattern
        await self.model.start()
        await warm
        self._batching = asyncio.create_task(self._batcher.run())

    def close(self) -> None:
        """End all processes and threads."""
        if self._batching is not None:
            self._batching.cancel()
        self.model.close()
        self._decoders.close()
        for threads in (self._reader, self._fetching):
            threads.shutdown(cancel_futures=True)

    def enter(self) -> None:
        """Take a place for a request that begins.

        Raises:
            Refusal: there is none (429), or the service is not ready or about to end (503).
        """
        if self.closed:
            raise Refusal(503, "this service is about to end; ask another one", 1)
        if not self.model.ready:
            raise Refusal(503, "the model is not ready yet", 5)
        if self.inside >= self.settings.flow.requests:
            raise self._overload()
        self.inside += 1

    def leave(self) -> None:
        """Give the place back."""
        self.inside -= 1

    def hold(self, size: int) -> None:
        """Count bytes of a body or a fetched picture; give them back with a negative size.

        Raises:
            Refusal: bodies take too much memory (429).
        """
        if size > 0 and self._bodies + size > self.settings.limits.body_memory:
            raise self._overload()
        self._bodies += size

    async def read(self, body: bytes, content_type: str) -> Read:
        """The rows of a body and whether it was a list.

        Raises:
            Refusal: it cannot be read (400, 415, 422) or is beyond a limit (413).
        """
        kind = content_type.partition(";")[0].strip().lower()
        if kind not in ("application/json", "multipart/form-data", ""):
            raise Refusal(415, "expected application/json or multipart/form-data, found another content type")
        if len(body) <= _SHORT_BODY:
            return self._read(body, content_type, kind)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, self._read, body, content_type, kind)

    async def answer(self, rows: Sequence[Asked | Refusal]) -> list[Reply]:
        """The replies to rows, in their order.

        Raises:
            Refusal: too much waits already (429).
        """
        words = sum(row.words for row in rows if isinstance(row, Asked))
        if self._words and self._words + words > self.settings.flow.words:
            raise self._overload()
        self._words += words
        self.accepted += 1
        try:
            if len(rows) == 1:
                return [await self._answer(rows[0])]
            return await asyncio.gather(*map(self._answer, rows))
        finally:
            self.answered += 1
            self._words -= words

    def _read(self, body: bytes, content_type: str, kind: str) -> Read:
        if kind == "multipart/form-data":
            return [read_form(body, content_type, self.settings.limits)], False
        return read_questions(body, self.settings.limits)

    async def _answer(self, row: Asked | Refusal) -> Reply:
        try:
            if isinstance(row, Refusal):
                raise row
            if row.urls or row.pictures:
                return await self._answer_with_pictures(row)
            return await self._ask(row, ())
        except Refusal as refusal:
            return Reply(msgspec.json.encode(str(refusal)), refusal.status)

    async def _answer_with_pictures(self, row: Asked) -> Reply:
        size = held = 0
        try:
            fetched = await asyncio.gather(*map(self._fetch, row.urls))
            self.hold(sum(map(len, fetched)))
            held = sum(map(len, fetched))
            content = [*row.pictures, *fetched]
            headers = [check_picture(picture, self.settings.limits) for picture in content]
            needed = _BYTES_A_PIXEL * sum(header.pixels for header in headers)
            await self._budget.take(needed)
            size = needed
            pictures = await asyncio.gather(*map(self._decoders.decode, content, headers))
            self.metrics.pictures.labels("opened").inc(len(pictures))
            return await self._ask(row, pictures)
        except Refusal:
            self.metrics.pictures.labels("refused").inc()
            raise
        finally:
            self._budget.give(size)
            self.hold(-held)

    async def _ask(self, row: Asked, pictures: Sequence[Pixels]) -> Reply:
        asked = ModelRow(row.text, row.tokens, row.id, row.language, tuple(pictures), row.ask)
        return await self._batcher.put(asked, row.words).reply

    async def _fetch(self, url: str) -> bytes:
        if self._fetcher is None:
            raise Refusal(422, "image_url: this service does not fetch pictures; send their bytes as image")
        seconds = self.settings.limits.deadline
        return await asyncio.get_running_loop().run_in_executor(self._fetching, self._fetcher.fetch, url, seconds)

    def _overload(self) -> Refusal:
        """What is said where there is too much to do: come again when what waits now should be done."""
        rate = self._batcher.rate
        seconds = 1 if not rate else math.ceil(self._words / rate)
        return Refusal(429, "too many requests wait already", min(max(seconds, 1), _LONGEST_RETRY))

    def _watch(self) -> None:
        figures = {
            "ready": ("Whether requests should be sent here.", lambda: self.ready),
            "requests_inside": ("Requests that have a place.", lambda: self.inside),
            "words_waiting": ("Words that wait for the model.", lambda: self._batcher.words),
            "pixel_bytes": ("Bytes of opened pictures.", lambda: self._budget.held),
            "rows_dropped": ("Rows dropped before work, past their deadline.", lambda: self._batcher.dropped),
            "decoder_restarts": ("Decoders that died and were replaced.", lambda: self._decoders.restarts),
            "model_restarts": ("Model processes that died and were replaced.", lambda: self.model.restarts),
        }
        for name, (says, value) in figures.items():
            self.metrics.watch(name, says, value)
