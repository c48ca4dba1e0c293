"""Real servers on loopback, forked from one process that has loaded a tiny model."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from babelens.serving.settings import Settings

HERE = Path(__file__).parent


class Running:
    """A server that runs; its log grows while it does."""

    def __init__(self, connection: socket.socket, log: Path) -> None:
        self._lines = connection.makefile("rb")
        self._connection = connection
        self.log_file = log
        self.process = json.loads(self._lines.readline())["process"]
        self.code: int | None = None

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def port(self) -> int:
        return int(self.wait_for("listening on http://127.0.0.1:").split("127.0.0.1:")[1].split()[0])

    def wait_for(self, word: str, seconds: float = 60) -> str:
        end = time.monotonic() + seconds
        while word not in self.log:
            assert time.monotonic() < end, f"no {word!r} in {self.log!r}"
            time.sleep(0.01)
        return self.log

    def terminate(self) -> None:
        os.kill(self.process, signal.SIGTERM)

    def wait(self) -> int:
        """The exit code, once it has ended."""
        if self.code is None:
            self.code = json.loads(self._lines.readline())["code"]
        return self.code

    def stop(self) -> int:
        if self.code is None:
            with suppress(ProcessLookupError):
                self.terminate()
        return self.wait()

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str):
        """A request over a connection of its own: status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def predict(self, rows: object, **headers: str):
        """Status and answer of a request to predict."""
        body = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
        status, _, answer = self.ask("POST", "/v1/predict", body, content_type="application/json", **headers)
        return status, json.loads(answer)


@pytest.fixture(scope="session")
def nursery(tiny_folder, tmp_path_factory):
    """The socket of the process that servers are forked from."""
    place = str(tmp_path_factory.mktemp("nursery") / "socket")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "nursery.py"), place, str(tiny_folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    yield place
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture(scope="session")
def start(nursery, tiny_folder, tmp_path_factory):
    """Starts a server with settings; `command` is another model's process, with `ready` it is waited for."""
    started: list[Running] = []

    def run(command: list[str] | None = None, ready: bool = True, **settings) -> Running:
        log = tmp_path_factory.mktemp("server") / "log"
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(nursery)
        given = msgspec.to_builtins(Settings(**{"model": str(tiny_folder), "port": 0, **settings}))
        message = json.dumps({"do": "serve", "settings": given, "command": command}).encode()
        with open(os.devnull) as nothing, open(log, "wb") as file:
            socket.send_fds(connection, [message], [nothing.fileno(), file.fileno(), file.fileno()])
        server = Running(connection, log)
        started.append(server)
        if ready:
            server.wait_for("ready after")
        return server

    yield run
    for server in started:
        server.stop()
        server._lines.close()
        server._connection.close()


@pytest.fixture(scope="session")
def server(start):
    """A server as it is by default."""
    return start()


@pytest.fixture(scope="session")
def slow_engine():
    """The command of a model's process that answers each batch after a time; a row "die" ends it."""

    def command(seconds: float = 0.0) -> list[str]:
        return [sys.executable, str(HERE / "slow_engine.py"), str(seconds)]

    return command
