"""A Label Studio for the tests that need one, on a free port, with accounts; it ends with the tests."""

import os
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from PIL import Image

from babelens.build.annotation.accounts import Session
from babelens.build.annotation.server import connect

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "label-studio.sh"


@pytest.fixture(scope="session")
def password():
    """The password of all accounts."""
    return "only-for-this-test-7"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "photos"
    folder.mkdir()
    for name, colour in (("sea", "navy"), ("wood", "darkgreen")):
        Image.new("RGB", (640, 420), colour).save(folder / f"{name}.jpg")
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory, password, pictures):
    data = tmp_path_factory.mktemp("label-studio")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    account = {"LABEL_STUDIO_USERNAME": "lead@example.org", "LABEL_STUDIO_PASSWORD": password}
    with open(data / "log", "w") as log:
        process = subprocess.Popen(
            [SCRIPT, "start", str(port), str(data), str(pictures.parent)],
            env=os.environ | account,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process, data / "log")
        yield url
    finally:
        process.terminate()
        process.wait(60)


def _wait(url, process, log):
    end = time.monotonic() + 900
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            with urlopen(f"{url}/health", timeout=5):
                return
        except (URLError, TimeoutError):
            time.sleep(1)
    pytest.fail(f"no answer: {log.read_text()}")


@pytest.fixture(scope="session")
def accounts(server, password):
    """Tokens by name; everyone but the lead signs up with the link of the organisation."""
    lead = Session(server, "lead@example.org", password)
    sessions = {"lead": lead}
    for name in ("anna", "bo", "cleo"):
        sessions[name] = Session(server, f"{name}@example.org", password, link=lead.invitation())
    return {name: session.token() for name, session in sessions.items()}


@pytest.fixture(scope="session")
def clients(server, accounts):
    with ExitStack() as stack:
        yield {name: stack.enter_context(connect(server, token)) for name, token in accounts.items()}
