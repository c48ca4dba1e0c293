"""send and fetch against a real Label Studio: thirty real tweets with their pictures, two annotators, an inspector."""

import json
import os
import re
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from babelens.build.annotation.server import fetch, find_project
from babelens.build.annotation.spans import cut
from babelens.build.annotation.tasks import region
from babelens.cli.main import answer

pytestmark = [
    pytest.mark.annotation,
    pytest.mark.shared,
    # Of the SDK and what it is made of.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.skipif(os.environ.get("RUN_ANNOTATION") != "1", reason="starts Label Studio: make test-annotation"),
]
TYPES = ("PER", "LOC", "ORG", "MISC")
PEOPLE = [
    {"name": "anna", "email": "anna@example.org", "inspects": False},
    {"name": "bo", "email": "bo@example.org", "inspects": False},
    {"name": "cleo", "email": "cleo@example.org", "annotates": False},
]


@pytest.fixture
def rows(shared):
    """Thirty tweets from all over the file, in whatever language, with hashtags as pre-labels."""
    lines = (shared / "event-tweets" / "tweets.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines[:: len(lines) // 30]][:30]
    for row in rows:
        tags = [cut(row["text"], *found.span(1), "MISC") for found in re.finditer(r"#([A-Za-z]+)(?!\S)", row["text"])]
        row["entities"] = [{"start": tag.start, "end": tag.end, "text": tag.text, "type": tag.type} for tag in tags]
    return rows


@pytest.fixture
def work(rows, shared, tmp_path, monkeypatch, server, accounts, capsys):
    """Runs a verb of `babelens build annotate`; what it prints to both streams, and its exit code."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "people.jsonl").write_text("".join(json.dumps(person) + "\n" for person in PEOPLE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", accounts["lead"])
    remote = {"send": ["--url", server], "fetch": ["rows.jsonl", "--url", server]}

    def run(verb, *arguments):
        given = [verb, *remote.get(verb, ["rows.jsonl"]), "--work", "work", *map(str, arguments)]
        code = answer(["build", "annotate", *given])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    pictures = ("--images", shared / "event-tweets" / "images")
    assert run("assign", "--people", "people.jsonl")[0] == 0
    assert run("export", *pictures)[0] == 0
    run.pictures = pictures
    return run


def words(row, shift=0):
    """The first words of a tweet that are capitalised and stand alone, as entities of one type after another."""
    found = list(re.finditer(r"(?<!\S)[A-Z][a-z]+(?!\S)", row["text"]))[:4]
    return [cut(row["text"], *word.span(), TYPES[(place + shift) % 4]) for place, word in enumerate(found)]


def annotate(client, title, folder, marks):
    """Submit what `marks` says of each row; None skips it."""
    project = find_project(client, title, (folder / "interface.xml").read_text("utf-8"))
    for task in fetch(client, project).tasks:
        spans = marks(task["data"]["row"])
        result = [region(span, f"m{place}") for place, span in enumerate(spans or ())]
        client.annotations.create(task["id"], result=result, was_cancelled=spans is None)
    return project


def test_thirty_tweets_there_and_back(work, rows, clients, tmp_path):
    by_id = {row["id"]: row for row in rows}
    skipped = rows[7]["id"]
    disputed = [row["id"] for row in rows[::4] if words(row)]
    code, out, _ = work("send", "--title", "tweets")
    assert code == 0 and out.count("30 tasks to ") == 2
    assert work("send", "--title", "tweets")[1].count("0 tasks to ") == 2

    tasks = tmp_path / "work" / "tasks"
    project = annotate(clients["anna"], "tweets: anna", tasks, lambda id_: words(by_id[id_]))
    assert all(task["data"]["image"].startswith("data:image/jpeg") for task in fetch(clients["anna"], project).tasks)
    second = {row["id"]: words(row, shift=row["id"] in disputed) for row in rows}
    annotate(clients["bo"], "tweets: bo", tasks, lambda id_: None if id_ == skipped else second[id_])
    code, out, _ = work("fetch", "--title", "tweets", "--people", "people.jsonl")
    assert (code, out) == (
        0,
        "59 annotations: anna 30, bo 29\n  0 spans moved to word boundaries, 0 marked twice\n  1 skipped\n",
    )
    code, out, _ = work("merge", "--rate", 0)
    assert f"29 rows done by both, 1 wait for an annotator\n  {29 - len(disputed)} agree" in out

    assert work("inspect", *work.pictures)[0] == 0
    assert f"{len(disputed)} tasks to " in work("send", "--title", "queue", "--part", "inspections")[1]
    decided = {id_: words(by_id[id_], shift=2) for id_ in disputed}
    annotate(clients["cleo"], "queue: cleo", tmp_path / "work" / "inspection", decided.get)
    assert work("fetch", "--title", "queue", "--part", "inspections", "--people", "people.jsonl")[0] == 0
    code, out, _ = work("gold", "--out", "gold")
    assert f"{29 - len(disputed)} agreed, {len(disputed)} inspected, 1 wait" in out

    gold = [json.loads(line) for line in (tmp_path / "gold" / "rows.jsonl").read_text("utf-8").splitlines()]
    expected = {row["id"]: decided.get(row["id"], words(row)) for row in rows if row["id"] != skipped}
    assert [row["id"] for row in gold] == list(expected)
    for row in gold:
        found = [cut(row["text"], e["start"], e["end"], e["type"]) for e in row["entities"]]
        assert found == expected[row["id"]] and row["text"] == by_id[row["id"]]["text"]
        assert [span.text for span in found] == [entity["text"] for entity in row["entities"]]


def test_what_cannot_be_read_is_told(work, rows, clients, server, tmp_path):
    assert work("send", "--title", "faults")[0] == 0
    assert work("fetch", "--title", "faults")[:2] == (
        0,
        "0 annotations\n  0 spans moved to word boundaries, 0 marked twice\n",
    )
    text = rows[0]["text"]
    folder = tmp_path / "work" / "tasks"
    crossed = [cut(text, 0, 12, "PER"), cut(text, 4, 20, "LOC")]
    project = annotate(clients["anna"], "faults: anna", folder, lambda id_: crossed if id_ == rows[0]["id"] else [])
    code, _, err = work("fetch", "--title", "faults")
    assert code == 1 and "'faults: anna': task" in err and "expected entities that do not overlap" in err
    assert (tmp_path / "work" / "annotations.jsonl").read_text() == ""

    clients["lead"].projects.delete(project)
    code, _, err = work("fetch", "--title", "faults")
    assert (code, err) == (
        1,
        "error: project 'faults: anna': expected one of this title that the account can see, found none\n",
    )
    assert not [found for found in clients["lead"].projects.list() if found.title == "faults: anna"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--url", "http://127.0.0.1:9"), "http://127.0.0.1:9: expected a running Label Studio, found "),
        (("--url", "127.0.0.1:9"), "127.0.0.1:9: expected a running Label Studio, found "),
        (("--url", "http://127.0.0.1:door"), "http://127.0.0.1:door: expected a running Label Studio, found "),
        (("--token", "0" * 40), "expected a valid access token, found status 401"),
        (("--token", "no token"), "expected a valid access token, found status 401"),
        (("--work", "elsewhere"), "elsewhere/tasks: expected tasks, as `babelens build annotate export` writes them"),
        (("--part", "inspections"), "work/inspection: expected tasks, as `babelens build annotate inspect` writes"),
    ],
)
@pytest.mark.parametrize("verb", ["send", "fetch"])
def test_mistakes_are_answered_in_words(work, verb, arguments, message):
    code, out, err = work(verb, "--title", "mistakes", *arguments)
    assert (code, out) == (1, "")
    assert err.startswith("error: ") and message in err


class Elsewhere(BaseHTTPRequestHandler):
    """A server of web pages, to which Label Studio's paths mean nothing."""

    def do_GET(self):
        """Answer with a page that tells so."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_error(404)

    do_POST = do_GET

    def log_message(self, *_):
        """Say nothing."""


def test_another_server_is_no_label_studio(work):
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{other.server_port}"
        for token in ("0" * 40, os.environ["LABEL_STUDIO_API_KEY"]):
            code, _, err = work("send", "--title", "elsewhere", "--url", url, "--token", token)
            assert code == 1 and err.startswith(f"error: {url}: expected ")
            assert err.endswith(("found status 404\n", "found another server\n"))
        other.shutdown()
