"""A real Label Studio: two people annotate through its API and with the mouse, and what is read back is what they did.

`make test-annotation` installs it into an environment of its own and runs this. With ANNOTATION_SHOTS=FOLDER the
screenshots are kept.
"""

import os
import shutil
from pathlib import Path

import pytest

from babelens.build.annotation.accounts import Session
from babelens.build.annotation.assign import Person, assign
from babelens.build.annotation.gold import settle
from babelens.build.annotation.interface import make_interface
from babelens.build.annotation.labelstudio import read_annotations
from babelens.build.annotation.merge import inspector_tasks, merge
from babelens.build.annotation.server import account_names, connect, fetch, make_project, send_tasks
from babelens.build.annotation.spans import cut
from babelens.build.annotation.tasks import annotator_tasks, embedded, region, served
from babelens.schema import InputError

pytestmark = [
    pytest.mark.annotation,
    # Of the SDK and what it is made of.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.skipif(os.environ.get("RUN_ANNOTATION") != "1", reason="starts Label Studio: make test-annotation"),
]
TYPES = ["PER", "LOC", "ORG", "MISC"]
TEXTS = {
    "emoji": "👩🏽‍🚒 in 𝐏𝐚𝐫𝐢𝐬: Anna's café in Paris 🇫🇷 and L'Italie — Zoë O'Neill, e\u0301te\u0301 #Paris",
    "lines": "two  blanks\tand\ttab\nRome in <b>Bold</b> &amp; Rome\r\n$text {{x}} ",
    "right": "أحمد زار باريس 🇫🇷 أمس مع Anna في لندن.",
    "dense": "東京タワーは東京にある。張偉在北京大學學習🎓",
    "plain": "Siemens builds trains in Kraków",
}
# What is marked with the mouse on top of the pre-labels: key of the label, words, which of them, and what comes of it.
CLICKS = {
    "emoji": [("2", "𝐏𝐚𝐫𝐢𝐬", 0, "𝐏𝐚𝐫𝐢𝐬"), ("1", "Anna", 0, "Anna"), ("2", "Paris", 1, "Paris"),
              ("4", "👩🏽‍🚒", 0, "👩🏽‍🚒"), ("2", "Ital", 0, "Italie"), ("4", "e\u0301te\u0301", 0, "e\u0301te\u0301")],
    "lines": [("2", "Rome", 1, "Rome"), ("3", "and\ttab", 0, "and\ttab")],
    "right": [("1", "Anna", 0, "Anna"), ("2", "باريس", 0, "باريس")],
    "dense": [("2", "東京", 1, "東京"), ("3", "北京大學", 0, "北京大學"), ("1", "張偉", 0, "張偉")],
    "plain": [("3", "iemen", 0, "Siemens")],
}  # fmt: skip
# The places on the page of the n-th occurrence of a text, from the middle of its start to the middle of its end.
PLACE = """([text, nth]) => {
  const walker = document.createTreeWalker(document.querySelector('.lsf-richtext__container'), NodeFilter.SHOW_TEXT);
  const nodes = []; let all = '';
  while (walker.nextNode()) { nodes.push([walker.currentNode, all.length]); all += walker.currentNode.data; }
  let at = -1;
  for (let n = 0; n <= nth; n++) at = all.indexOf(text, at + 1);
  const find = (place, end) => {
    for (const [node, start] of nodes)
      if (end ? place > start && place <= start + node.length : place >= start && place < start + node.length)
        return [node, place - start];
  };
  const range = document.createRange();
  range.setStart(...find(at, false));
  range.setEnd(...find(at + text.length, true));
  const boxes = [...range.getClientRects()], first = boxes[0], last = boxes[boxes.length - 1];
  const right = getComputedStyle(document.documentElement).direction === 'rtl' || /[\\u0590-\\u08ff]/.test(text);
  const from = right ? first.right - 0.5 : first.left + 0.5, to = right ? last.left + 0.5 : last.right - 0.5;
  return [from, first.top + first.height / 2, to, last.top + last.height / 2];
}"""


def mark(row, word, type_, nth=0):
    start = -1
    for _ in range(nth + 1):
        start = row["text"].index(word, start + 1)
    return cut(row["text"], start, start + len(word), type_)


@pytest.fixture(scope="module")
def rows():
    images = {"emoji": "sea", "lines": "wood", "right": "sea", "dense": "wood"}
    rows = [{"id": id_, "text": text, "language": "en", "image": images.get(id_)} for id_, text in TEXTS.items()]
    rows[0]["entities"] = [{"start": 57, "end": 68, "text": "Zoë O'Neill", "type": "PER"}]
    rows[0]["entities"][0]["start"] = rows[0]["text"].index("Zoë")
    rows[0]["entities"][0]["end"] = rows[0]["entities"][0]["start"] + len("Zoë O'Neill")
    return rows


def label(row):
    return [cut(row["text"], entity["start"], entity["end"], entity["type"]) for entity in row.get("entities", ())]


@pytest.fixture(scope="module")
def team(rows):
    people = [
        Person(name="anna", inspects=False),
        Person(name="bo", inspects=False),
        Person(name="cleo", annotates=False),
    ]
    return assign(rows, people)


def test_strangers_stay_out(server, accounts, password):
    with pytest.raises(InputError, match="expected an address and password that the server takes"):
        Session(server, "anna@example.org", "wrong")
    with pytest.raises(InputError, match="status 403"):
        Session(server, "mallory@example.org", password, link="/user/signup/")
    with pytest.raises(InputError, match="expected a valid access token, found status 401"):
        connect(server, "0" * 40).__enter__()
    with pytest.raises(InputError, match="expected a running Label Studio"):
        connect("http://127.0.0.1:9", accounts["lead"]).__enter__()


def test_two_people_and_an_inspector_through_the_api(clients, rows, team, pictures):
    lead = clients["lead"]
    interface = make_interface(TYPES)
    tasks = annotator_tasks(rows, team, label, embedded(pictures))
    projects = {name: make_project(lead, f"api: {name}", interface) for name in ("anna", "bo")}
    assert all(send_tasks(lead, projects[name], tasks[name]) == len(rows) for name in projects)
    # Again: nothing is made or sent twice.
    assert {name: make_project(lead, f"api: {name}", interface) for name in projects} == projects
    assert send_tasks(lead, projects["bo"], tasks["bo"]) == 0
    with pytest.raises(InputError, match="expected the labelling configuration as now, found another"):
        make_project(lead, "api: bo", make_interface(TYPES[:2]))

    by_id = {row["id"]: row for row in rows}
    emoji, lines, right, dense, plain = (by_id[id_] for id_ in TEXTS)
    marked = {
        "anna": {
            "emoji": [mark(emoji, "𝐏𝐚𝐫𝐢𝐬", "LOC"), mark(emoji, "Paris", "LOC", 1), mark(emoji, "👩🏽‍🚒", "MISC")],
            "lines": [mark(lines, "Rome", "LOC", 1)],
            "right": [mark(right, "باريس", "LOC")],
            "dense": [mark(dense, "東京", "LOC", 1), mark(dense, "北京大學", "ORG")],
            "plain": [mark(plain, "Siemens", "ORG")],
        },
    }
    marked["bo"] = marked["anna"] | {"plain": [mark(plain, "Siemens", "PER"), mark(plain, "Kraków", "LOC")]}
    exports = []
    for name, project in projects.items():
        client = clients[name]
        for task in fetch(client, project).tasks:
            result = [region(span, f"m{place}") for place, span in enumerate(marked[name][task["data"]["row"]])]
            client.annotations.create(task["id"], result=result, lead_time=4.5)
        exports.append(fetch(lead, project, name))
    people = account_names(lead, {name: f"{name}@example.org" for name in ("anna", "bo", "cleo")})
    read = read_annotations(exports, rows, TYPES, people=people)
    assert len(read.annotations) == 2 * len(rows) and not read.changes and not read.left_out
    for annotation in read.annotations:
        assert list(annotation.entities) == sorted(marked[annotation.annotator][annotation.id])
        assert annotation.seconds == 4.5

    merged = merge(rows, team, read.annotations)
    assert [case.id for case in merged.queue] == ["plain"]
    queue = inspector_tasks(rows, merged.cases, embedded(pictures))["cleo"]
    inspection = make_project(lead, "api: inspection", make_interface(TYPES, note=True))
    send_tasks(lead, inspection, queue)
    cleo = clients["cleo"]
    (task,) = fetch(cleo, inspection).tasks
    decided = [mark(plain, "Siemens", "ORG"), mark(plain, "Kraków", "LOC")]
    cleo.annotations.create(task["id"], result=[region(span, f"g{place}") for place, span in enumerate(decided)])
    inspections = read_annotations([fetch(lead, inspection, "cleo")], rows, TYPES, people=people).annotations
    gold = settle(rows, merged, inspections)
    expected = marked["anna"] | {"plain": decided}
    assert {row["id"]: [(e["start"], e["end"], e["type"]) for e in row["entities"]] for row in gold.rows} == {
        id_: sorted((span.start, span.end, span.type) for span in spans) for id_, spans in expected.items()
    }
    for row in gold.rows:
        assert all(row["text"][entity["start"] : entity["end"]] == entity["text"] for entity in row["entities"])
    assert gold.counts.disagreements == {"missed": 1, "boundary": 0, "type": 1, "both": 0}


def test_what_is_clicked_is_what_is_read(server, clients, password, rows, team, pictures, tmp_path):
    """Pictures from the server's disk, and marks made with the mouse in a real browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs chromium")
    shots = Path(os.environ.get("ANNOTATION_SHOTS", tmp_path))
    lead = clients["lead"]
    project = make_project(lead, "mouse: anna", make_interface(TYPES), pictures=pictures)
    send_tasks(lead, project, annotator_tasks(rows, team, label, served(pictures, pictures.parent))["anna"])
    numbers = {task["data"]["row"]: task["id"] for task in fetch(lead, project).tasks}
    elsewhere: set[str] = set()
    with playwright.sync_playwright() as start:
        browser = start.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        own = (server, "data:", "blob:")
        page.on("request", lambda request: None if request.url.startswith(own) else elsewhere.add(request.url))
        page.goto(f"{server}/user/login/")
        page.fill("input[name=email]", "anna@example.org")
        page.fill("input[name=password]", password)
        page.click("[type=submit]")
        page.wait_for_load_state("networkidle")
        for id_, clicks in CLICKS.items():
            page.goto(f"{server}/projects/{project}/data?task={numbers[id_]}")
            page.wait_for_selector(".lsf-richtext__line", timeout=90_000)
            page.wait_for_timeout(3000)
            # Every row shows a picture, or the sign for none.
            loaded = "[...document.images].some(image => image.naturalWidth >= 320)"
            assert page.evaluate(loaded) and not page.get_by_text("issue loading URL").count()
            for key, word, nth, _ in clicks:
                page.keyboard.press("Escape")
                page.keyboard.press(key)
                left, top, right, bottom = page.evaluate(PLACE, [word, nth])
                page.mouse.move(left, top)
                page.mouse.down()
                page.mouse.move((left + right) / 2, top)
                page.mouse.move(right, bottom, steps=5)
                page.mouse.up()
                page.wait_for_timeout(400)
            page.screenshot(path=shots / f"{id_}.png")
            page.get_by_role("button", name="Submit").click()
            page.wait_for_timeout(2000)
        browser.close()
    assert not elsewhere

    read = read_annotations([fetch(lead, project, "anna")], rows, TYPES)
    found = {annotation.id: set(annotation.entities) for annotation in read.annotations}
    for row in rows:
        keys = dict(zip("1234", TYPES, strict=True))
        # Which of several equal words was meant is counted in the words as they come out.
        clicked = {mark(row, came, keys[key], nth) for key, _, nth, came in CLICKS[row["id"]]}
        assert found[row["id"]] == clicked | set(label(row))
    assert {(change.before.text, change.after and change.after.text) for change in read.changes} == {
        ("Ital", "Italie"),
        ("iemen", "Siemens"),
    }
