"""The service as a program: it listens, and on SIGTERM it answers what it took and ends."""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn

from babelens.serving.app import build_app
from babelens.serving.fetching import Fetcher
from babelens.serving.model import ModelProcess
from babelens.serving.service import Service
from babelens.serving.settings import Settings

_BACKLOG = 2048
_QUIET = 0.2
_LINGER = 0.5
_TICK = 0.02
_LONGEST_HEAD = 32 << 10


class Server(uvicorn.Server):
    """The web server; signals are ours."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`."""
        yield


def serve(settings: Settings, command: Sequence[str] | None = None) -> int:
    """Serve a model until a signal ends it; returns the exit code: 0 where all that was taken was answered.

    `command` starts the model's process, where it is another than the usual one.

    Raises:
        ModelError: there is no such model.
        OSError: the port is taken.
    """
    return asyncio.run(_serve(settings, command))


async def _serve(settings: Settings, command: Sequence[str] | None) -> int:
    fetcher = Fetcher(settings.url_hosts, settings.limits.picture_bytes) if settings.url_hosts else None
    service = Service(settings, ModelProcess(settings, command), fetcher)
    with _listen(settings.host, settings.port) as listener:
        config = uvicorn.Config(
            build_app(service),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            h11_max_incomplete_event_size=_LONGEST_HEAD,
            timeout_graceful_shutdown=max(1, round(settings.drain_limit)),
        )
        server = Server(config)
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        running = asyncio.create_task(server.serve([listener]))
        _say(f"listening on http://{_shown(listener)}")
        starting = asyncio.create_task(_start(service))
        try:
            await _first(starting, stopped)
            await stopped.wait() if starting.done() else None
            return await _drain(service, server, settings)
        finally:
            server.should_exit = True
            starting.cancel()
            if not starting.done():
                service.model.kill()  # it may load for minutes; nobody waits for it any more
            await running
            service.close()


async def _first(starting: asyncio.Task[None], stopped: asyncio.Event) -> None:
    """Wait until the model is ready, or we are to stop; raises what kept the model from it."""
    stop = asyncio.create_task(stopped.wait())
    await asyncio.wait((starting, stop), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if starting.done():
        starting.result()


async def _start(service: Service) -> None:
    started = time.monotonic()
    await service.start()
    _say(f"ready after {time.monotonic() - started:.1f} seconds")


async def _drain(service: Service, server: Server, settings: Settings) -> int:
    """Answer what was taken.

    Requests that come meanwhile are told to go elsewhere, instead of meeting a closed door; for that the service stays
    until no more come, but not for long once it is done itself.
    """
    service.draining = True
    end = time.monotonic() + settings.drain_limit
    await asyncio.sleep(settings.drain_wait)
    service.closed = True
    done = heard = time.monotonic()
    seen = server.server_state.total_requests
    while (now := time.monotonic()) < end:
        if server.server_state.total_requests != seen:
            heard, seen = now, server.server_state.total_requests
        if service.inside:
            done = now
        elif now - max(done, heard) >= _QUIET or now - done >= _LINGER:
            break
        await asyncio.sleep(_TICK)
    left = service.inside
    _say(f"drained: {service.accepted} accepted, {service.answered} answered, {left} left")
    return 1 if left else 0


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
    )[0]
    # asyncio sends at once what is written (TCP_NODELAY) only on sockets that say that they speak TCP; on others the
    # body of an answer waits 40 ms, until the client has confirmed the head.
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, error.strerror, f"{host}:{port}") from error
    return listener


def _shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
