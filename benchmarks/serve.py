"""The service under load: how many requests a second it answers, how long they take, and what happens beyond that.

The model is a compact 2M-NER with random weights. Beside the service stands what one would write first: a handler of
FastAPI that asks the model for one request at a time, under the same web server. Clients keep their connections, ask
again as soon as they are answered, and run in one process of their own on the same machine: what they take is measured
too (`client_share`: of one core). Beyond capacity, requests are sent at ten times the rate that the service answered,
whether it answers or not; each of them is a post of several texts, so that it is the model that has too much to do and
not the client. "At capacity" is as many posts at a time as the service takes before it refuses any.
"""

import argparse
import asyncio
import base64
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from material import Words, lengths, sentences, write_picture
from measure import apart, print_line

PACKAGES = ("babelens", "torch", "transformers", "fastapi", "uvicorn")
TYPES = ("LOC", "MISC", "ORG", "PER")
ROWS = 256
WARM_SECONDS = 1.0
PLAIN = """
import sys
import babelens, uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

class Question(BaseModel):
    text: str

model = babelens.load(sys.argv[1], "cpu")
app = FastAPI()

@app.post("/v1/predict")
async def predict(question: Question):
    return model.predict(question.text).to_dict()

model.predict("Warm.")
print("listening", flush=True)
uvicorn.run(app, port=int(sys.argv[2]), access_log=False, log_level="warning")
"""
SERVE = "import sys, typer; from babelens.cli.serve import serve; sys.argv[0] = 'serve'; typer.run(serve)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each load lasts [%(default)s]")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 128], help="at a time [%(default)s]")
    parser.add_argument("--compared", type=int, default=32, help="clients of the comparison [%(default)s]")
    parser.add_argument("--requests", type=int, default=128, help="requests that the service takes [%(default)s]")
    parser.add_argument("--post", type=int, default=16, help="texts of a post, beyond capacity [%(default)s]")
    parser.add_argument("--times", type=float, default=10.0, help="how far beyond capacity [%(default)s]")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch [%(default)s]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        apart(make_model, folder)
        texts = questions()
        with plain_server(folder, options.threads) as port:
            plain = load(port, texts, options.compared, options.seconds)
        with service(folder, options) as port:
            report(options, "throughput", "plain handler", plain, None, options.compared)
            batched = load(port, texts, options.compared, options.seconds)
            report(options, "throughput", "dynamic batching", batched, plain, options.compared)
            for clients in options.clients:
                report(options, "latency: a text", f"{clients} clients", load(port, texts, clients, options.seconds))
            pictured = questions_with_pictures(Path(place))
            for clients in options.clients:
                found = load(port, pictured, clients, options.seconds)
                report(options, "latency: a text and a picture", f"{clients} clients", found)
            posts = together(texts, options.post)
            capacity = load(port, posts, options.requests, options.seconds)
            report(options, "overload", "at capacity", capacity, None, options.requests)
            offered = options.times * capacity.rate
            beyond = flood(port, posts, offered, options.seconds)
            report(options, "overload", f"{options.times:g} times capacity", beyond, None, offered=round(offered, 1))


@dataclass
class Load:
    """What a load gave: seconds of each request that was answered 200, statuses, and how long all of it took."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    client_share: float = 0.0

    @property
    def rate(self) -> float:
        """Requests answered in a second."""
        return len(self.latencies) / self.seconds


def make_model(folder: Path) -> None:
    """Leave a model folder."""
    import torch

    from babelens.models.checkpoint import new_tagger, save_tagger
    from babelens.models.naming import named
    from babelens.schema import TagSet

    torch.manual_seed(0)
    save_tagger(new_tagger(named("2m-ner", "compact"), TagSet(TYPES), sentences), folder)


def questions() -> list[dict[str, Any]]:
    """What is asked: texts."""
    words = Words(seed=4)
    return [{"text": " ".join(words.sentence(length))} for length in lengths(ROWS)]


def questions_with_pictures(place: Path) -> list[dict[str, Any]]:
    """What is asked: texts with a picture each."""
    made = []
    for number, row in enumerate(questions()[:64]):
        path = place / f"{number}.jpg"
        write_picture(path, number)
        made.append({**row, "image": base64.b64encode(path.read_bytes()).decode()})
    return made


def together(texts: list[dict[str, Any]], count: int) -> list[Any]:
    """Posts of several texts each."""
    return [texts[at : at + count] for at in range(0, len(texts) - count + 1, count)]


@contextmanager
def plain_server(folder: Path, threads: int) -> Iterator[int]:
    """The handler that one would write first."""
    port = free_port()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", PLAIN, str(folder), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "listening\n":
            raise RuntimeError("the plain server did not start")
        wait_until_answered(port)
        yield port
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def service(folder: Path, options: argparse.Namespace) -> Iterator[int]:
    """The service, as `babelens serve` starts it."""
    port = free_port()
    arguments = ["--port", str(port), "--device", "cpu", "--no-log", "--requests", str(options.requests)]
    arguments += ["--threads", str(options.threads), "--words", "1000000"]
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(folder), *arguments], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        said = ""
        while not said.startswith("ready"):
            said = process.stderr.readline()
            if not said:
                raise RuntimeError("the service did not start")
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        process.stderr.close()
    if code:
        raise RuntimeError(f"expected the service to end with 0, found {code}")


def free_port() -> int:
    """A port that nobody listens on."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_answered(port: int) -> None:
    """Wait until the plain server listens."""
    import socket

    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the plain server does not listen")


def requests_of(rows: list[Any]) -> list[bytes]:
    """Requests as they go over the line, made before anything is measured."""
    made = []
    for row in rows:
        body = json.dumps(row).encode()
        head = "POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        made.append(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return made


class Line(asyncio.Protocol):
    """A connection that reads no more of an answer than its status and its length."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[str] | None = None
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        head = self._held.find(b"\r\n\r\n")
        if head < 0:
            return
        mark = self._held.lower().index(b"content-length: ") + 16
        length = int(self._held[mark : self._held.index(b"\r", mark)])
        if len(self._held) >= head + 4 + length:
            status, self._held = self._held[9:12].decode(), b""
            self._end(status)

    def connection_lost(self, error: Exception | None) -> None:
        self._end("lost")

    def _end(self, status: str) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(status)

    async def ask(self, request: bytes) -> str:
        """The status of the answer to a request."""
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answer


def run(function: Callable[..., Coroutine[Any, Any, Load]], *arguments: object) -> tuple[Any, ...]:
    """What a load gave, as it goes from process to process."""
    found = asyncio.run(function(*arguments))
    return found.latencies, found.statuses, found.seconds, found.client_share


def load(port: int, rows: list[Any], clients: int, seconds: float) -> Load:
    """So many clients, each of which asks again once it is answered."""
    return Load(*apart(run, _load, port, requests_of(rows), clients, seconds))


async def _load(port: int, requests: list[bytes], clients: int, seconds: float) -> Load:
    loop = asyncio.get_running_loop()
    begin = loop.time() + WARM_SECONDS
    end = begin + seconds
    found = Load(seconds=seconds)

    async def client(number: int) -> None:
        _, line = await loop.create_connection(Line, "127.0.0.1", port)
        while (started := loop.time()) < end:
            status = await line.ask(requests[number % len(requests)])
            number += clients
            now = loop.time()
            if begin <= now < end:
                note(found, status, now - started)
        line.transport.close()

    used = time.process_time()
    started = loop.time()
    await asyncio.gather(*map(client, range(clients)))
    found.client_share = (time.process_time() - used) / (loop.time() - started)
    return found


def flood(port: int, rows: list[Any], rate: float, seconds: float) -> Load:
    """So many requests a second, whether they are answered or not."""
    return Load(*apart(run, _flood, port, requests_of(rows), rate, seconds))


async def _flood(port: int, requests: list[bytes], rate: float, seconds: float) -> Load:
    loop = asyncio.get_running_loop()
    idle: list[Line] = []
    tasks: set[asyncio.Task[None]] = set()
    found = Load(seconds=seconds)

    async def ask(number: int, due: float, begin: float) -> None:
        line = idle.pop() if idle else (await loop.create_connection(Line, "127.0.0.1", port))[1]
        status = await line.ask(requests[number % len(requests)])
        if due >= begin:
            note(found, status, loop.time() - due)  # from when it was due, not from when we came to send it
        if status != "lost":
            idle.append(line)

    used, started = time.process_time(), loop.time()
    begin = started + WARM_SECONDS
    number = 0
    while (now := loop.time()) < begin + seconds:
        while (due := started + number / rate) <= now:
            task = asyncio.create_task(ask(number, due, begin))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
        await asyncio.sleep(max(due - loop.time(), 0))
    await asyncio.gather(*tasks)
    found.client_share = (time.process_time() - used) / (loop.time() - started)
    return found


def note(found: Load, status: str, seconds: float) -> None:
    """Count an answer."""
    found.statuses[status] += 1
    if status == "200":
        found.latencies.append(seconds)


def report(
    options: argparse.Namespace,
    case: str,
    subject: str,
    found: Load,
    peer: Load | None = None,
    clients: int | None = None,
    **facts: Any,
) -> None:
    """Print a line; `ratio` is the rate over that of the peer."""
    if not found.latencies:
        raise RuntimeError(f"{case}, {subject}: no request was answered within {options.seconds:g} seconds")
    cuts = statistics.quantiles([*found.latencies, max(found.latencies)], n=100, method="inclusive")
    told = {
        "requests_per_s": round(found.rate, 1),
        "p50_ms": round(1000 * cuts[49], 2),
        "p99_ms": round(1000 * cuts[98], 2),
        "answered": found.statuses["200"],
        "refused": found.statuses["429"],
        "failed": sum(count for status, count in found.statuses.items() if status not in ("200", "429")),
        "client_share": round(found.client_share, 2),
        "threads": options.threads,
        **({} if clients is None else {"clients": clients}),
        **facts,
    }
    middle = statistics.median(found.latencies)
    beside = None if peer is None else middle * found.rate / peer.rate
    print_line("serve", case, subject, found.latencies, beside, PACKAGES, **told)


if __name__ == "__main__":
    main()
