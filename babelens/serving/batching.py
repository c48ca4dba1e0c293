"""Rows that wait for the model, and the batches that are made of them."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from babelens.serving.engine import ModelRow, Reply
from babelens.serving.settings import Flow

_SMOOTHING = 0.2


@dataclass(eq=False, slots=True)
class Waiting:
    """A row in the queue; its `reply` is cancelled where nobody waits for it any more."""

    row: ModelRow
    words: int
    reply: asyncio.Future[Reply]
    since: float


class Batcher:
    """Gives rows to the model, as many at a time as have come, and one batch at a time.

    Rows are taken in the order in which they came. A batch is given away when the model is free and it is full, or its
    first row has waited long enough. Rows that nobody waits for any more are dropped before they cost anything.

    `rate` is how many words a second the model has read lately, None before the first batch.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[ModelRow]], Awaitable[Sequence[Reply]]],
        flow: Flow,
        done: Callable[[int, int, float], None],
    ) -> None:
        self.rate: float | None = None
        self.dropped = 0
        self._answer = answer
        self._flow = flow
        self._done = done
        self._queue: deque[Waiting] = deque()
        self._words = 0
        self._changed = asyncio.Event()

    @property
    def words(self) -> int:
        """Words that wait."""
        return self._words

    def put(self, row: ModelRow, words: int) -> Waiting:
        """Line a row up; its `reply` will be answered, or fail with what the model's process fails with."""
        loop = asyncio.get_running_loop()
        waiting = Waiting(row, words, loop.create_future(), loop.time())
        self._queue.append(waiting)
        self._words += words
        self._changed.set()
        return waiting

    async def run(self) -> None:
        """Make batches for ever."""
        while True:
            while not self._queue:
                self._changed.clear()
                await self._changed.wait()
            await self._wait_for_company()
            batch = self._take()
            if batch:
                await self._give(batch)

    async def _wait_for_company(self) -> None:
        """Wait until the first row has waited long enough, or the batch is full."""
        end = self._queue[0].since + self._flow.wait
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            while not self._full() and loop.time() < end:
                self._changed.clear()
                async with asyncio.timeout_at(end):
                    await self._changed.wait()

    def _full(self) -> bool:
        return len(self._queue) >= self._flow.batch_rows or self._words >= self._flow.batch_words

    def _take(self) -> list[Waiting]:
        batch: list[Waiting] = []
        longest = 0
        while self._queue and len(batch) < self._flow.batch_rows:
            first = self._queue[0]
            longest = max(longest, first.words)
            if batch and longest * (len(batch) + 1) > self._flow.batch_words:
                break
            self._queue.popleft()
            self._words -= first.words
            if first.reply.done():
                self.dropped += 1
            else:
                batch.append(first)
        return batch

    async def _give(self, batch: Sequence[Waiting]) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            replies = await self._answer([waiting.row for waiting in batch])
        except Exception as error:
            for waiting in batch:
                if not waiting.reply.done():
                    waiting.reply.set_exception(error)
            return
        seconds = max(loop.time() - started, 1e-6)
        words = sum(waiting.words for waiting in batch)
        now = words / seconds
        self.rate = now if self.rate is None else (1 - _SMOOTHING) * self.rate + _SMOOTHING * now
        self._done(len(batch), words, seconds)
        for waiting, reply in zip(batch, replies, strict=True):
            if not waiting.reply.done():
                waiting.reply.set_result(reply)
