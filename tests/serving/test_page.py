"""The page in a real browser: Debian's chromium, driven by Playwright.

With BABELENS_SCREENSHOTS naming a folder, what the page looks like is kept there.
"""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from babelens import serving
from babelens.prediction.rendering import colour_of

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: it is in the extra dev")
expect = sync_api.expect

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SHOTS = os.environ.get("BABELENS_SCREENSHOTS")
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
PREDICT = "**/v1/predict"
EXAMPLES = Path(serving.__file__).with_name("page") / "examples" / "examples.json"

GIVE = """([kind, name, content, more]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(content), new Uint8Array(more)], name, { type: "image/png" }));
    const event = kind === "paste"
        ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
        : new DragEvent("drop", { dataTransfer: data, bubbles: true });
    document.getElementById("text").dispatchEvent(event);
}"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: scripts/browser installs it")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page that is open: what it asked for, and what it complained about."""

    def __init__(self, browser, address: str, **context) -> None:
        options = {"viewport": DESK, "reduced_motion": "reduce", **context}
        self.address = address
        self.context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], **options)
        self.context.set_default_timeout(10_000)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self._hear(message))
        self.page.goto(address)
        expect(self.page.locator("#examples button").first).to_be_visible()

    def _hear(self, message) -> None:
        # Chromium notes refused requests by itself, and that tests read the canvas.
        usual = ("Failed to load resource", "willReadFrequently")
        if message.type in ("error", "warning") and not any(word in message.text for word in usual):
            self.complaints.append(message.text)

    def answer_with(self, answer: dict, status: int = 200, headers: dict | None = None, times: int | None = None):
        """Let the service answer this, instead of what it would."""
        body = json.dumps(answer)
        self.page.route(
            PREDICT,
            lambda route: route.fulfill(status=status, body=body, content_type="application/json", headers=headers),
            times=times,
        )

    def ask(self, text: str, picture: bytes | None = None, name: str = "photo.png") -> None:
        """Type a text, choose a picture and send them; waits for what comes back."""
        self.page.fill("#text", text)
        if picture is not None:
            self.choose(picture, name)
            expect(self.page.locator("#preview")).to_be_visible()
        with self.page.expect_response(PREDICT):
            self.page.click("#send")
        expect(self.page.locator("#send")).to_have_attribute("aria-disabled", "false")

    def choose(self, content: bytes, name: str) -> None:
        self.page.set_input_files("#file", {"name": name, "mimeType": "", "buffer": content})

    def give(self, kind: str, name: str, content: bytes, more: int = 0) -> None:
        """Drop or paste a picture over the text; `more` bytes stand behind its content."""
        self.page.evaluate(GIVE, [kind, name, list(content), more])

    def shoot(self, name: str) -> None:
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)

    def close(self) -> None:
        """Leave, having asked nobody but the service, and with nothing to complain about."""
        self.context.close()
        assert [url for url in self.requests if not url.startswith((self.address, "blob:" + self.address))] == []
        assert self.complaints == []


@pytest.fixture
def visit(browser, server):
    visits: list[Visit] = []

    def open_page(address: str | None = None, **context) -> Visit:
        visits.append(Visit(browser, address or f"http://127.0.0.1:{server.port}/", **context))
        return visits[-1]

    yield open_page
    for opened in visits:
        opened.close()


def picture(size: tuple[int, int] = (60, 40), mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, 1).save(file, "PNG")
    return file.getvalue()


def gaze(rows: int = 2, columns: int = 2, peak: tuple[int, int] = (0, 0)) -> dict:
    weights = [[0.9 if (row, column) == peak else 0.0 for column in range(columns)] for row in range(rows)]
    return {"weights": weights, "elsewhere": 0.1}


def mention(text: str, part: str, type_: str, score: float, effect: tuple | None = None, **more) -> dict:
    """A mention of the first occurrence of a part, with offsets as Python counts them: in code points."""
    start = text.index(part)
    made = {"start": start, "end": start + len(part), "text": part, "type": type_, "score": score, **more}
    if effect is not None:
        made["image_effect"] = dict(zip(("change", "type", "score"), effect, strict=True))
    return made


SEEN = "On stage 🎭 Osetir meets Pupos, Vero and the Ravi Band."


def seen_answer() -> dict:
    """An answer in which each kind of change that a picture can make occurs once."""
    doubt = {"alternatives": [{"type": "MISC", "score": 0.2}], "no_entity": 0.06, "other_borders": 0.04}
    with_it = [
        mention(SEEN, "Osetir", "PER", 0.7, ("type", "MISC", 0.11), **doubt),
        mention(SEEN, "Pupos", "LOC", 0.95, ("same", "LOC", 0.6)),
        mention(SEEN, "Vero", "ORG", 0.4, ("only_here", None, 0.02)),
        mention(SEEN, "Ravi Band", "ORG", 0.9, ("borders", None, 0.1)),
    ]
    for number, found in enumerate(with_it):
        found["regions"] = [gaze(peak=(number // 2, number % 2)), gaze(1, 4, (0, number))]
    without = [
        mention(SEEN, "On stage", "MISC", 0.5, ("only_here", None, 0.01)),
        mention(SEEN, "Osetir", "MISC", 0.8, ("type", "PER", 0.2)),
        mention(SEEN, "Pupos", "LOC", 0.6, ("same", "LOC", 0.95)),
        mention(SEEN, "Ravi", "PER", 0.5, ("borders", None, 0.1)),
    ]
    size = [60, 40]
    regions = [
        {"view": "clip", "image": 0, "size": size, "box": [10, 0, 50, 40], **gaze()},
        {"view": "resnet", "image": 0, "size": size, "box": [60, 0, 0, 40], **gaze(1, 4)},
    ]
    return {
        "text": SEEN,
        "entities": with_it,
        "image_status": "used",
        "without_image": without,
        "regions": regions,
        "model": "0" * 32,
    }


def test_a_text_and_its_picture_are_read(visit):
    here = visit()
    page = here.page
    text = "Anna Lindqvist visited Paris with the team of Siemens in 2019."
    page.fill("#text", text)
    here.choose(picture(), "photo.png")
    with page.expect_response(PREDICT) as response:
        page.click("#send")
    answer = response.value.json()
    assert answer["image_status"] == "used" and answer["entities"] and "without_image" in answer
    marks = page.locator(".mark")
    expect(marks).to_have_count(len(answer["entities"]))
    for number, found in enumerate(answer["entities"]):
        expect(marks.nth(number).locator(".words")).to_have_text(found["text"])
        expect(marks.nth(number).locator("b")).to_have_text(found["type"])
    assert page.locator("#status").text_content().startswith(page.locator("#count").text_content())
    marks.first.hover()
    expect(page.locator("#facts .name")).to_have_text(answer["entities"][0]["text"])
    expect(page.locator("#facts .gaze")).to_contain_text("CLIP looked hardest")
    page.locator("#views label").nth(1).click()
    expect(page.locator("#facts .gaze")).to_contain_text("ResNet looked hardest")
    here.shoot("real")


def test_what_is_copied_asks_the_same(visit, tmp_path):
    here = visit()
    page = here.page
    text = "It's \"Paris\" & 'Lyon' $HOME \\ 🎭\nin two lines"
    answers = {}
    for name, content in (("text", None), ("picture", picture())):
        here.ask(text, content, name="it's a photo.png")
        page.click("#copy-json")
        expect(page.locator("#copy-json")).to_have_text("Copied")
        answers[name] = json.loads(page.evaluate("navigator.clipboard.readText()"))
        page.click("#curl-box summary")
        expect(page.locator("#curl")).to_contain_text("curl")
        command = page.locator("#curl").text_content()
        assert shlex.split(command)[0] == "curl"
        if shutil.which("curl"):
            (tmp_path / "it's a photo.png").write_bytes(picture())
            again = subprocess.run(["sh", "-c", f"{command} --silent"], cwd=tmp_path, capture_output=True, check=True)
            assert json.loads(again.stdout) == answers[name]
    assert answers["text"]["text"] == answers["picture"]["text"] == text


def test_examples_are_read(visit):
    here = visit(viewport=PHONE)
    page = here.page
    buttons = page.locator("#examples button")
    listed = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    expect(buttons).to_have_count(len(listed))
    for number, example in enumerate(listed):
        with page.expect_response(PREDICT) as response:
            buttons.nth(number).click()
        answer = response.value.json()
        assert answer["text"] == example["text"]
        assert answer["image_status"] == ("used" if "image" in example else "none")
        expect(buttons.nth(number)).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#send")).to_have_attribute("aria-disabled", "false")
        expect(page.locator("#view")).to_be_visible(visible="image" in example)
        expect(page.locator("#switch-label")).to_be_visible(visible="image" in example)
        assert fits(page)


def fits(page) -> bool:
    """Whether nothing reaches beyond the right edge, so that the page scrolls only downwards."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def told(page) -> list[str]:
    return [re.sub(r"\s+", " ", text) for text in page.locator(".mark").all_text_contents()]


def test_the_picture_is_taken_away(visit):
    here = visit()
    page = here.page
    here.answer_with(seen_answer())
    here.ask(SEEN, picture())
    assert told(page) == ["Osetir PER 70 %", "Pupos LOC 95 %", "Vero ORG 40 %", "Ravi Band ORG 90 %"]
    expect(page.locator("#said")).to_have_text(
        "Without the picture Osetir would be MISC, Vero would be missed, Ravi Band would have other borders "
        "and 1 more would be found."
    )
    page.locator("#switch-label").click()
    assert told(page) == [
        "On stage MISC 50 % new",
        "Osetir PER MISC 80 % changed",
        "Pupos LOC 95 % 60 %",
        "Vero ORG not found",
        "Ravi PER 50 % other borders",
    ]
    assert page.locator(".mark s").all_text_contents() == ["PER", "95\u00a0%", "ORG"]
    expect(page.locator("#status")).to_have_text("4 names")
    page.locator(".mark").nth(1).hover()
    expect(page.locator("#facts .turned")).to_have_text("With the picture it would be PER, with MISC at 20\u00a0%.")
    assert veil(page, 30, 20) == 0
    here.shoot("desk-light-without")
    page.locator("#switch-label").click()
    page.locator("#least").fill("70")
    assert told(page) == ["Osetir PER 70 %", "Pupos LOC 95 %", "Ravi Band ORG 90 %"]
    expect(page.locator("#count")).to_have_text("3 of 4 names")
    expect(page.locator("#marked")).to_contain_text(", Vero and")


def veil(page, x: float, y: float) -> int:
    """How thick the veil is over a point of the picture of 60 x 40 pixels: 0 to 255."""
    return page.evaluate(
        """([x, y]) => {
            const veil = document.getElementById("veil");
            const place = [Math.round(x * veil.width / 60), Math.round(y * veil.height / 40)];
            return veil.getContext("2d").getImageData(...place, 1, 1).data[3];
        }""",
        [x, y],
    )


def test_doubts_and_where_the_model_looked(visit):
    here = visit()
    page = here.page
    here.answer_with(seen_answer())
    here.ask(SEEN, picture())
    page.locator(".mark").first.hover()
    bars = [re.sub(r"\s+", " ", text) for text in page.locator(".bars li").all_text_contents()]
    assert bars == ["PER70 %", "MISC20 %", "other borders4 %", "no name6 %"]
    thick = veil(page, 2, 20)
    assert thick > 120, "what the view did not see is dark"
    page.locator(".mark").nth(1).hover()
    # Two by two cells between x = 10 and x = 50: the second name looked at the upper right one.
    assert [veil(page, *place) for place in ((20, 10), (40, 10), (20, 30), (40, 30))] == [thick, 0, thick, thick]
    page.locator(".mark").nth(2).focus()
    assert [veil(page, *place) for place in ((20, 10), (40, 10), (20, 30), (40, 30))] == [thick, thick, 0, thick]
    expect(page.locator("#facts .gaze")).to_have_text(
        "CLIP looked hardest at the bottom left. 10\u00a0% went to the picture as a whole."
    )
    page.locator("#views label").nth(1).click()
    # Four cells from right to left, for the box is mirrored: the third of them from the right.
    assert [veil(page, x, 20) for x in (52, 37, 22, 7)] == [thick, thick, 0, thick]
    shown, canvas = page.locator("#picture").bounding_box(), page.locator("#veil").bounding_box()
    assert shown == canvas and shown["width"] / shown["height"] == pytest.approx(1.5, abs=0.01)


def test_places_and_colours_are_those_of_the_package(visit):
    here = visit()
    for text, parts in (
        ("👩‍👩‍👧 Zoë 🇪🇺 Ἀθῆναι 𝔅𝔢𝔯𝔩𝔦𝔫", ["👩‍👩‍👧", "Zoë", "Ἀθῆναι", "𝔅𝔢𝔯𝔩𝔦𝔫"]),
        ("e\u0301mile and Zu\u0308rich", ["e\u0301mile", "Zu\u0308rich"]),
        ("א Tel Aviv תל אביב", ["Tel Aviv", "תל אביב"]),
        ("line\nbreak\r\n\tParis\u202e evil\u202c", ["break", "Paris"]),
    ):
        found = [mention(text, part, "LOC", 0.5) for part in parts]
        here.answer_with({"text": text, "entities": found, "image_status": "none"}, times=1)
        here.ask("anything")
        words = here.page.eval_on_selector_all(".mark .words", "all => all.map((one) => one.textContent)")
        assert words == parts
        shown = here.page.eval_on_selector(
            "#marked", "all => [...all.childNodes].map((n) => (n.firstElementChild ?? n).textContent).join('')"
        )
        assert shown == text
    types = ["PER", "LOC", "ORG", "MISC", "EVENT", "product", "Ereignis-Ä", "作品", "🎭", "DATE", "x"]
    text = " ".join(types)
    found = [mention(text, one, one, 0.5) for one in types]
    here.answer_with({"text": text, "entities": found, "image_status": "none"}, times=1)
    here.ask(text)
    kinds = here.page.eval_on_selector_all(".mark", "all => all.map((one) => one.className)")
    assert kinds == [f"mark c{colour_of(one)}" for one in types], "colours are those of the package"


def test_text_from_right_to_left(visit):
    here = visit(viewport=PHONE)
    page = here.page
    text = "زارت آنا باريس مع فريق سيمنز في مايو."
    found = [mention(text, part, type_, 0.9) for part, type_ in (("آنا", "PER"), ("باريس", "LOC"), ("سيمنز", "ORG"))]
    here.answer_with({"text": text, "entities": found, "image_status": "none"})
    here.ask(text)
    first, second = (page.locator(".mark").nth(number).bounding_box() for number in (0, 1))
    assert first["y"] < second["y"] or first["x"] > second["x"], "the first name stands right of the second"
    assert page.eval_on_selector("#marked", "one => getComputedStyle(one).direction") == "rtl"
    page.locator(".mark").first.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".mark").nth(1)).to_be_focused()
    assert fits(page)
    here.shoot("phone-arabic")


def test_markup_in_a_text_is_text(visit):
    here = visit()
    page = here.page
    text = '<script>window.hit = 1</script> Anna <img src=x onerror="window.hit = 2"> Paris &amp; Köln'
    before = page.locator("script").count()
    here.ask(text, picture(), name="<img src=x onerror=hit()>.png")
    parts = page.eval_on_selector_all("#marked .tag", "all => all.map((one) => one.remove())")
    assert parts and page.locator("#marked").text_content().replace("\u00a0", "") == text
    page.click("#json-box summary")
    page.click("#curl-box summary")
    assert page.locator("script").count() == before and page.locator("#result img").count() == 1
    assert page.evaluate("window.hit") is None


def test_a_busy_service_is_asked_again(visit):
    here = visit()
    page = here.page
    here.answer_with({"text": "Paris", "entities": [], "image_status": "none"})
    here.answer_with({"error": "too many requests wait already"}, 429, {"retry-after": "1"}, times=1)
    page.fill("#text", "Paris")
    page.click("#send")
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("Many are asking right now")
    expect(problem).to_contain_text("by itself in 1 s")
    here.shoot("desk-light-busy")
    expect(page.locator("#count")).to_have_text("No names found")
    expect(problem).to_be_hidden()


def test_troubles_are_told_kindly(visit):
    here = visit()
    page = here.page
    problem = page.get_by_role("alert")
    for status, said, title in (
        (503, {"error": "the service is about to end"}, "The model is not ready"),
        (504, {"error": "the deadline of this request is over"}, "That took too long"),
        (415, {"error": "expected a JPEG"}, "This picture cannot be read here"),
        (422, {"error": "the picture is damaged"}, "The service says: the picture is damaged."),
        (500, {}, "The service failed over this"),
        (None, {}, "The service cannot be reached"),
    ):
        if status is None:
            page.route(PREDICT, lambda route: route.abort())
        else:
            here.answer_with(said, status)
        page.fill("#text", f"Paris {status}")
        page.click("#send")
        expect(problem).to_contain_text(title)
        page.unroute(PREDICT)
        problem.get_by_role("button", name="Try again").click()
        expect(problem).to_be_hidden()
        expect(page.locator("#stale")).to_be_hidden()
        expect(page.locator("#send")).to_have_attribute("aria-disabled", "false")
        assert page.input_value("#text") == f"Paris {status}"


def test_what_is_too_large_or_no_picture(visit):
    here = visit()
    page = here.page
    problem = page.get_by_role("alert")
    page.click("#send")
    expect(problem).to_contain_text("There is no text yet")
    here.choose(b"%PDF-1.7 and so on", "photo.png")
    expect(problem).to_contain_text("photo.png is something else")
    here.give("drop", "holiday.png", picture(), 10_000_000)
    expect(problem).to_contain_text("holiday.png has 10.0 MB")
    here.choose(picture()[:60], "broken.png")
    expect(problem).to_contain_text("This picture cannot be opened")
    expect(page.locator("#chosen")).to_be_hidden()
    here.choose(picture((6000, 4200), "1"), "wide.png")
    expect(problem).to_be_hidden()
    here.ask("Paris")
    expect(problem).to_contain_text("That is too much at once")
    page.click("#remove")
    expect(page.locator("#choose")).to_be_visible()
    here.ask("a " * 50_000 + "b")
    expect(problem).to_contain_text("found 100,001")
    assert fits(page)


def test_a_service_with_a_token(visit, start):
    server = start(token="open-sesame")
    here = visit(f"http://127.0.0.1:{server.port}/")
    page = here.page
    here.ask("Anna in Paris")
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("This service wants a token")
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    expect(problem).to_contain_text("not the right token")
    page.fill("#token", "open-sesame")
    page.keyboard.press("Enter")
    expect(page.locator("#result")).to_be_visible()
    page.click("#curl-box summary")
    expect(page.locator("#curl")).to_contain_text("$BABELENS_TOKEN")
    assert "sesame" not in page.content()


def test_the_card_of_the_model(visit, server):
    here = visit()
    page = here.page
    facts = json.loads(server.ask("GET", "/v1/model")[2])
    page.click("#model-open")
    card = page.get_by_role("dialog", name="The model")
    for words in (facts["digest"], "clip and resnet", *facts["types"], f"{facts['parameters']:,}"):
        expect(card).to_contain_text(words)
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    expect(page.locator("#model-open")).to_be_focused()


def test_with_the_keyboard_alone(visit):
    here = visit()
    page = here.page
    here.answer_with(seen_answer())

    def step(times: int = 1) -> str:
        for _ in range(times):
            page.keyboard.press("Tab")
        return page.evaluate("document.activeElement.id || document.activeElement.className")

    assert [step() for _ in range(6)] == ["skip", "model-open", "theme", "text", "file", "send"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("Osetir")
    here.choose(picture(), "photo.png")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".mark")).to_have_count(4)
    page.locator("#examples button").last.focus()
    assert [step() for _ in range(4)] == ["without", "least", "skip inner", "mark c0 current"]
    expect(page.locator("#facts .name")).to_have_text("Osetir")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    pressed = page.locator('.mark[aria-pressed="true"]')
    expect(pressed).to_contain_text("Pupos")
    ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert ring == "solid", "what has the focus is seen"
    page.locator(".mark").first.hover()
    expect(page.locator("#facts .name")).to_have_text("Pupos")
    page.keyboard.press("Escape")
    expect(pressed).to_have_count(0)
    page.keyboard.press("End")
    expect(page.locator(".mark").last).to_be_focused()
    page.locator("#without").focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("switch", name="Without the picture")).to_be_checked()
    step()
    page.keyboard.press("End")
    expect(page.locator("#count")).to_have_text("0 of 4 names")


def test_nothing_scrolls_sideways_on_a_phone(visit):
    here = visit(viewport={"width": 320, "height": 640}, has_touch=True)
    page = here.page
    assert fits(page)
    here.answer_with(seen_answer())
    here.ask(SEEN, picture((400, 1000)))
    for mark in page.locator(".mark").all():
        mark.tap()
        below, lens = mark.bounding_box(), page.locator("#lens").bounding_box()
        assert below["y"] >= 0 and below["y"] + below["height"] <= lens["y"], "what is looked at is not covered"
    page.keyboard.press("Home")
    expect(page.locator(".mark").first).to_be_focused()
    page.locator("#switch-label").tap()
    assert fits(page)
    for box in ("json-box", "curl-box"):
        page.locator(f"#{box} summary").tap()
    assert fits(page)
    page.unroute(PREDICT)
    long = "Donau" * 60 + " 🎭"
    here.answer_with({"text": long, "entities": [mention(long, long[:300], "L" * 40, 0.5)], "image_status": "none"})
    here.ask(long)
    page.locator(".mark").first.tap()
    assert fits(page)
    small = page.eval_on_selector_all(
        "button, .switch, .slider, summary",
        "all => all.filter((one) => one.offsetHeight && one.offsetHeight < 24).map((one) => one.outerHTML)",
    )
    assert small == [], "what is tapped has 24 pixels at least (WCAG 2.5.8)"


# The contrast of all text on what lies behind it (WCAG 1.4.3); texts that are below what they need.
CONTRAST = """() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const over = ([r, g, b, a = 1], below) => [r, g, b].map((part, n) => part * a + below[n] * (1 - a));
    const ground = (element) => {
        const layers = [];
        for (let one = element; one; one = one.parentElement) {
            layers.push(numbers(getComputedStyle(one).backgroundColor));
        }
        return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
    };
    const light = (colour) => {
        const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        const [r, g, b] = colour.map((part) => linear(part / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const poor = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let seen = 0;
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        const style = getComputedStyle(element);
        const hidden = !element.checkVisibility() || element.closest(".hidden, .skip, noscript");
        if (!walker.currentNode.data.trim() || hidden) continue;
        const below = ground(element);
        const [one, other] = [light(over(numbers(style.color), below)), light(below)].sort((a, b) => b - a);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        seen += 1;
        if ((one + 0.05) / (other + 0.05) < (large ? 3 : 4.5)) poor.push(walker.currentNode.data);
    }
    return [seen, poor];
}"""


@pytest.mark.parametrize(("scheme", "size"), [("light", "phone"), ("dark", "desk")])
def test_contrast_in_light_and_dark(visit, scheme, size):
    here = visit(color_scheme=scheme, viewport=DESK if size == "desk" else PHONE)
    page = here.page
    name = f"{size}-{scheme}"

    def look(least: int) -> None:
        seen, poor = page.evaluate(CONTRAST)
        assert poor == [] and seen >= least

    here.shoot(f"{name}-start")
    look(20)
    here.answer_with(seen_answer())
    here.ask(SEEN, picture())
    page.locator(".mark").first.hover()
    here.shoot(f"{name}-names")
    look(40)
    page.locator("#switch-label").click()
    page.locator(".mark").nth(1).hover()
    here.choose(b"GIF?", "photo.gif")
    expect(page.get_by_role("alert")).to_be_visible()
    page.click("#json-box summary")
    here.shoot(f"{name}-without")
    look(40)
    page.click("#model-open")
    expect(page.get_by_role("dialog")).to_contain_text("Digest")
    look(50)
    here.shoot(f"{name}-model")
    page.keyboard.press("Escape")
    page.unroute(PREDICT)
    types = [f"T{number}" for number in range(40)]
    text = " ".join(f"{one}." for one in types)
    here.answer_with(
        {"text": text, "entities": [mention(text, f"{one}.", one, 0.5) for one in types], "image_status": "none"}
    )
    here.ask(text)
    look(80)


def test_the_theme_is_chosen_and_kept(visit):
    here = visit(color_scheme="light")
    page = here.page

    def ground() -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = ground()
    page.get_by_role("button", name="Dark colours").click()
    dark = ground()
    assert dark != light
    page.reload()
    expect(page.locator("#theme")).to_have_attribute("aria-pressed", "true")
    assert ground() == dark


def test_motion_is_reduced_where_that_is_wished(visit):
    page = visit().page
    for wish, animation in (("reduce", "none"), ("no-preference", "turn")):
        page.emulate_media(reduced_motion=wish)
        assert page.eval_on_selector(".spinner", "one => getComputedStyle(one).animationName") == animation


def test_of_an_animation_the_first_picture_is_shown(visit):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=20, loop=0)
    here = visit()
    here.page.set_input_files("#file", {"name": "a.gif", "mimeType": "image/gif", "buffer": file.getvalue()})
    expect(here.page.locator("#preview")).to_be_visible()
    here.page.wait_for_timeout(100)
    colour = here.page.evaluate(
        """async () => {
            const image = document.getElementById("preview");
            await image.decode();
            const canvas = document.createElement("canvas");
            const paint = canvas.getContext("2d");
            paint.drawImage(image, 0, 0);
            return [...paint.getImageData(2, 2, 1, 1).data];
        }"""
    )
    assert colour == [255, 0, 0, 255]


def test_dropped_and_pasted_pictures(visit):
    here = visit()
    page = here.page
    for kind in ("drop", "paste"):
        here.give(kind, f"{kind}.png", picture())
        expect(page.locator("#preview")).to_have_attribute("alt", f"The picture: {kind}.png")
        page.click("#remove")
        expect(page.locator("#preview")).to_be_hidden()
