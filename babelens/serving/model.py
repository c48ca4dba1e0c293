"""The model's process as the service sees it: started, asked, and started again where it died."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from babelens.schema import InputError
from babelens.serving.child import Child, ChildGone
from babelens.serving.engine import Facts, ModelRow, Reply
from babelens.serving.refusal import Refusal
from babelens.serving.settings import Settings

T = TypeVar("T")

_FACTS = msgspec.msgpack.Decoder(Facts | str)
_REPLIES = msgspec.msgpack.Decoder(list[Reply])
_AGAIN_SECONDS = 5
_PATIENCE = 3.0


class ModelError(InputError):
    """There is no model to serve; the message says why."""


def model_command(settings: Settings) -> list[str]:
    """The command line of the process that runs the model."""
    return [sys.executable, "-m", "babelens.serving.engine", settings.model, settings.device or "-"]


class ModelProcess:
    """The process that runs the model.

    One that dies, as when the system is out of memory, is started again; rows that it was asked get 503. So is one that
    does not answer for three times the longest deadline.
    """

    def __init__(self, settings: Settings, command: Sequence[str] | None = None) -> None:
        self.facts: Facts | None = None
        self.restarts = 0
        self._command = model_command(settings) if command is None else list(command)
        self._environment = {} if settings.threads is None else {"OMP_NUM_THREADS": str(settings.threads)}
        self._seconds = _PATIENCE * settings.limits.longest_deadline
        self._thread = ThreadPoolExecutor(1, "model")
        self._child: Child | None = None
        self._restart: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def ready(self) -> bool:
        """Whether it can be asked."""
        return self.facts is not None

    async def start(self) -> None:
        """Start the process and wait until it is warm.

        Raises:
            ModelError: there is no such model, or the process ended before it was ready.
        """
        self.facts = await self._run(self._start)

    async def answer(self, rows: Sequence[ModelRow]) -> Sequence[Reply]:
        """The replies to rows.

        Raises:
            Refusal: the process is not there, or died over them (503).
        """
        try:
            return await self._run(lambda: self._ask(rows))
        except ChildGone:
            if self.facts is not None:
                self.facts = None
                self.restarts += 1
                self._restart = asyncio.create_task(self._start_again())
            raise Refusal(503, "the model's process has ended over this batch", _AGAIN_SECONDS) from None

    def close(self) -> None:
        """End the process."""
        self._closed = True
        if self._child is not None:
            self._child.close()
        self._thread.shutdown(cancel_futures=True)

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        self._closed = True
        if self._child is not None:
            self._child.kill()

    async def _start_again(self) -> None:
        while not self.ready and not self._closed:
            try:
                await self.start()
            except ModelError as error:
                print(f"error: {error}; trying again in {_AGAIN_SECONDS} seconds", file=sys.stderr, flush=True)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _start(self) -> Facts:
        if self._child is not None:
            self._child.kill()
            self._child.close()
        self._child = Child(self._command, environment=self._environment)
        try:
            facts = _FACTS.decode(self._child.receive())
        except ChildGone as error:
            raise ModelError(f"the model's process ended before it was ready: {error}") from error
        if isinstance(facts, str):
            raise ModelError(facts)
        return facts

    def _ask(self, rows: Sequence[ModelRow]) -> list[Reply]:
        if self._child is None:
            raise ChildGone("it was never started")
        return _REPLIES.decode(self._child.ask(msgspec.msgpack.encode(rows), seconds=self._seconds))
