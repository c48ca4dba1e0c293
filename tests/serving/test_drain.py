"""Too much to do, too little time, and the end: nothing that was accepted is lost."""

import json
import random
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from babelens.serving.settings import Flow, Limits

_ASK = b'[{"text": "Anna in Paris"}, {"text": "Siemens"}]'


def test_overload_is_answered_429_and_nothing_fails(start, slow_engine):
    server = start(slow_engine(0.05), flow=Flow(requests=8, batch_rows=4, decoders=1))
    with ThreadPoolExecutor(40) as threads:
        found = list(
            threads.map(
                lambda number: server.ask("POST", "/v1/predict", b'{"text": "a"}', content_type="application/json"),
                range(160),
            )
        )
    statuses = [status for status, _, _ in found]
    assert set(statuses) == {200, 429} and statuses.count(200) >= 8
    assert all(1 <= int(headers["retry-after"]) <= 60 for status, headers, _ in found if status == 429)
    assert server.predict({"text": "a"})[0] == 200
    figures = server.ask("GET", "/metrics")[2].decode()
    assert f'babelens_requests_total{{status="429"}} {statuses.count(429)}.0' in figures
    server.stop()


def test_words_are_bounded_too_but_a_long_text_alone_is_taken(start, slow_engine):
    server = start(slow_engine(0.3), flow=Flow(words=10, decoders=1))
    text = "a b c d e f g h i j k l"
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(server.predict, {"text": text})
        time.sleep(0.1)
        second = threads.submit(server.predict, {"text": "a"})
    assert first.result()[0] == 200 and second.result()[0] == 429
    server.stop()


def test_rows_that_wait_are_read_together(start, slow_engine):
    server = start(slow_engine(0.2), flow=Flow(decoders=1))
    with ThreadPoolExecutor(12) as threads:
        found = list(threads.map(lambda _: server.predict({"text": "a"})[1]["together"], range(12)))
    assert max(found) >= 6
    server.stop()


def test_past_its_deadline_a_request_is_answered_504_and_dropped_before_work(start, slow_engine):
    server = start(slow_engine(1.2), flow=Flow(decoders=1))
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(server.predict, {"text": "first"})
        time.sleep(0.4)
        hasty = threads.submit(server.predict, {"text": "hasty"}, babelens_timeout="0.2")
        patient = threads.submit(server.predict, {"text": "patient"})
    assert [asked.result()[0] for asked in (first, hasty, patient)] == [200, 504, 200]
    assert patient.result()[1]["together"] == 1
    assert "babelens_rows_dropped 1.0" in server.ask("GET", "/metrics")[2].decode()
    server.stop()


def test_a_body_that_does_not_come_is_given_up(start, slow_engine):
    server = start(slow_engine(), limits=Limits(deadline=0.2), flow=Flow(decoders=1))
    with socket.create_connection(("127.0.0.1", server.port)) as link:
        link.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        link.settimeout(10)
        assert link.recv(100).startswith(b"HTTP/1.1 408 ")
    server.stop()


def test_a_model_that_dies_is_started_again(start, slow_engine):
    server = start(slow_engine(), flow=Flow(decoders=1))
    assert server.predict({"text": "die"})[0] == 503
    end = time.monotonic() + 30
    while server.ask("GET", "/readyz")[0] != 200:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert server.predict({"text": "a"})[0] == 200
    assert "babelens_model_restarts 1.0" in server.ask("GET", "/metrics")[2].decode()
    assert server.stop() == 0


def test_a_model_that_is_none_ends_the_service_with_its_reason(start, tmp_path):
    import sys

    program = "import sys; sys.exit(3)"
    server = start([sys.executable, "-S", "-c", program], ready=False)
    assert server.wait() != 0 and "ended before it was ready" in server.log


def test_it_is_not_ready_until_the_model_is_and_ends_at_once_then(start, slow_engine):
    import sys

    server = start([sys.executable, "-S", "-c", "import time; time.sleep(600)"], ready=False)
    assert server.ask("GET", "/livez")[0] == 200 and server.ask("GET", "/readyz")[0] == 503
    assert server.predict({"text": "a"})[0] == 503
    server.terminate()
    assert server.wait() == 0


def test_draining_says_so_answers_what_was_taken_and_refuses_what_comes(start, slow_engine):
    server = start(slow_engine(0.6), flow=Flow(decoders=1), drain_wait=0.3)
    with ThreadPoolExecutor(3) as threads:
        taken = threads.submit(server.ask, "POST", "/v1/predict", _ASK)
        time.sleep(0.2)
        server.terminate()
        time.sleep(0.1)
        status, headers, _ = server.ask("GET", "/readyz")
        assert status == 503 and headers["connection"] == "close"
        while_waiting = threads.submit(server.ask, "POST", "/v1/predict", _ASK)
        time.sleep(0.3)
        refused = threads.submit(server.ask, "POST", "/v1/predict", _ASK)
    assert [one.result()[0] for one in (taken, while_waiting, refused)] == [200, 200, 503]
    assert server.wait() == 0 and "drained: 2 accepted, 2 answered, 0 left" in server.log


class Client(threading.Thread):
    """Asks again and again over connections that it keeps, and notes how each request ended."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.answered = self.refused = self.untouched = 0
        self.broken: list[str] = []

    def run(self) -> None:
        request = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        request += f"Content-Length: {len(_ASK)}\r\n\r\n".encode() + _ASK
        while True:
            try:
                link = socket.create_connection(("127.0.0.1", self.port), 30)
            except ConnectionError:
                return
            with link, link.makefile("rb") as lines:
                while self._ask(link, lines, request):
                    pass

    def _ask(self, link, lines, request) -> bool:
        """One request; whether the connection is of further use."""
        try:
            link.sendall(request)
            status = lines.readline()
        except ConnectionError:
            status = b""
        if not status:
            self.untouched += 1  # closed without a byte of an answer
            return False
        headers = {}
        while (line := lines.readline().strip().lower()) != b"":
            name, _, value = line.partition(b": ")
            headers[name] = value
        body = lines.read(int(headers[b"content-length"]))
        if status.startswith(b"HTTP/1.1 200") and len(json.loads(body)) == 2:
            self.answered += 1
        elif status.startswith(b"HTTP/1.1 503"):
            self.refused += 1
            time.sleep(0.05)
        else:
            self.broken.append(repr((status, body)))
        return headers.get(b"connection") != b"close"


def check_terminated_under_load(start, trial: int) -> None:
    server = start(log_requests=False, flow=Flow(decoders=1))
    clients = [Client(server.port) for _ in range(4)]
    for client in clients:
        client.start()
    time.sleep(0.05 + 0.3 * random.Random(trial).random())
    server.terminate()
    assert server.wait() == 0, server.log
    for client in clients:
        client.join()
    assert [line for client in clients for line in client.broken] == []
    accepted, answered = map(int, re.findall(r"drained: (\d+) accepted, (\d+) answered, 0 left", server.log)[0])
    assert accepted == answered == sum(client.answered for client in clients) > 0
    # A request on its way while its connection is closed is the only one without an answer; none was accepted.
    assert sum(client.untouched for client in clients) <= len(clients)


def test_no_accepted_request_is_lost_when_it_is_terminated_under_load(start):
    for trial in range(5):
        check_terminated_under_load(start, trial)


@pytest.mark.long
def test_no_accepted_request_is_lost_in_many_trials(start):
    for trial in range(100):
        check_terminated_under_load(start, 100 + trial)
