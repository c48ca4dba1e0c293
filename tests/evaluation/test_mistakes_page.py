import base64
import hashlib
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from babelens.evaluation.cards import Look
from babelens.evaluation.mistakes_cards import MOST_BYTES, WINDOW, thumbnail, window
from babelens.evaluation.mistakes_page import write_mistakes_page
from babelens.evaluation.page_style import DARK, LIGHT
from babelens.schema import Entity, InputError
from babelens.scoring.outcomes import Outcome

HOSTILE = """</script><script>alert(1)</script>"'><img src=x onerror=alert(1)>&amp;"""
WORDS = ("Ada", "Lovelace", "met", "Siemens", "in", "Paris", "today")
PER, ORG, LOC = Entity(0, 2, "PER"), Entity(3, 4, "ORG"), Entity(5, 6, "LOC")


class Page(HTMLParser):
    """The tags of a page, its tables by caption (rows of texts), and the text of each card."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.cards: list[tuple[dict[str, str | None], str]] = []
        self.path: list[str] = []
        self.caption = ""
        self.feed(page)
        assert self.path == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "input"):
            self.path.append(tag)
        if tag == "article":
            self.cards.append((dict(attrs), ""))
        if tag == "caption":
            self.caption = ""
        if tag == "tr":
            self.tables.setdefault(self.caption, []).append([])
        if tag in ("td", "th"):
            self.tables[self.caption][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if "caption" in self.path:
            self.caption += data
        if self.path and self.path[-1] in ("td", "th"):
            self.tables[self.caption][-1][-1] += data
        if "article" in self.path:
            attributes, text = self.cards[-1]
            self.cards[-1] = (attributes, text + data)

    def handle_endtag(self, tag: str) -> None:
        assert self.path.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def row(id_: str, found: tuple[Entity, ...], **parts: object) -> Outcome:
    facts = {"words": WORDS, "gold": (PER, ORG, LOC), "unit": 0, "language": "en", "source": "news", "status": "used"}
    facts["scores"] = (0.5,) * len(found)
    return Outcome(id=id_, found=found, **(facts | {"frequencies": (0, 3, 1)} | parts))  # pyright: ignore


def model_and_twin() -> tuple[list[Outcome], list[Outcome]]:
    """Four mistakes of the model: one missed, one type, one boundary, one spurious; what the twin did stands beside."""
    wrong, cut, spurious = Entity(3, 4, "LOC"), Entity(0, 1, "PER"), Entity(6, 7, "MISC")
    french = {"language": "fr", "source": None, "unit": 1, "status": "none"}
    model = [row("a", (PER, wrong)), row("b", (cut, ORG, LOC, spurious), **french)]
    twin = [row("a", (PER, ORG)), row("b", (cut, LOC), **french)]
    return model, twin


def write(path: Path, *outcomes: list[Outcome], **parts: object) -> str:
    write_mistakes_page(path / "mistakes.html", *outcomes, **parts)  # pyright: ignore
    return (path / "mistakes.html").read_text(encoding="utf-8")


def picture(_: Outcome) -> Image.Image:
    return Image.new("RGB", (640, 480), "teal")


def look(outcomes: list[Outcome]) -> list[dict[Entity, tuple[Look, ...]]]:
    looks = (Look("CLIP", np.full((2, 2), 0.25, np.float32)),)
    return [dict.fromkeys((*outcome.gold, *outcome.found), looks) for outcome in outcomes]


def test_tables_count_the_mistakes_by_hand(tmp_path: Path) -> None:
    tables = Page(write(tmp_path, *model_and_twin())).tables
    counts = {line[0]: line[1:] for line in tables["Kinds by type"]}
    assert [name.replace("\u00a0", " ") for name in counts["type"]] == [
        *("gold", "right", "right %", "missed", "boundary", "type", "both", "spurious", "mistakes")
    ]
    assert list(counts) == ["type", "all", "PER", "LOC", "ORG", "MISC"]
    assert counts["all"] == ["6", "3", "50.0", "1", "1", "1", "0", "1", "4"]
    assert counts["PER"] == ["2", "1", "50.0", "0", "1", "0", "0", "0", "1"]
    assert counts["LOC"] == ["2", "1", "50.0", "1", "0", "0", "0", "0", "1"]
    assert counts["ORG"] == ["2", "1", "50.0", "0", "0", "1", "0", "0", "1"]
    assert counts["MISC"] == ["0", "0", "–", "0", "0", "0", "0", "1", "1"]
    assert {line[0]: line[-1] for line in tables["Kinds by language"][1:]} == {"en": "2", "fr": "2"}
    assert {line[0]: line[-1] for line in tables["Kinds by source"][1:]} == {"news": "2", "unknown": "2"}
    known = {line[0]: line[1:] for line in tables["Kinds by name, length, picture"]}
    assert known["name not in training"] == ["2", "1", "50.0", "0", "1", "0", "0", "–", "1"]
    assert known["name seen in training"] == ["4", "2", "50.0", "1", "0", "1", "0", "–", "2"]
    assert known["2 words"][0] == "2" and known["no picture"][-1] == "2"


def test_tables_count_the_effects_by_hand(tmp_path: Path) -> None:
    tables = Page(write(tmp_path, *model_and_twin())).tables
    # a: PER right by both, ORG hurt, LOC wrong by both. b: PER wrong by both, ORG helped, LOC right by both.
    effects = {line[0]: line[1:] for line in tables["Effect by type"]}
    assert effects["all"] == ["6", "2", "1", "1", "2", "0", "1 / 1", "1.000", "1", "0", "0"]
    assert effects["ORG"] == ["2", "0", "1", "1", "0", "0", "1 / 1", "1.000", "0", "0", "0"]
    languages = {line[0]: line[1:] for line in tables["Effect by language"]}
    assert languages["en"] == ["3", "1", "0", "1", "1", "−1", "0 / 1", "1.000", "0", "0", "0"]
    assert languages["fr"] == ["3", "1", "1", "0", "1", "+1", "1 / 0", "1.000", "1", "0", "0"]
    shown = {line[0]: line[1:] for line in tables["Mistakes shown below"]}
    assert shown["kind"] == ["helped", "hurt", "wrong by both", "spurious, only with"]
    assert shown["missed"] == ["1 of 1", "–", "1 of 1", "–"]


def test_cards_carry_what_they_are_filtered_by(tmp_path: Path) -> None:
    page = Page(write(tmp_path, *model_and_twin()))
    traits = [json.loads(attributes["data-traits"] or "") for attributes, _ in page.cards]
    assert [(one["kind"], one["effect"], one["type"]) for one in traits] == [
        (["missed"], ["helped"], ["ORG"]),
        (["type"], ["hurt"], ["ORG", "LOC"]),
        (["missed"], ["wrong by both"], ["LOC"]),
        (["boundary"], ["wrong by both"], ["PER"]),
        (["spurious"], ["spurious, only with"], ["MISC"]),
    ]
    assert [one["language"] for one in traits] == [["fr"], ["en"], ["en"], ["fr"], ["fr"]]
    assert [one["picture"][0] for one in traits] == [
        "no picture",
        "picture used",
        "picture used",
        "no picture",
        "no picture",
    ]
    assert traits[4]["name"] == [] and traits[3]["name"] == ["name not in training"]
    assert {attributes["data-text"] for attributes, _ in page.cards} == {" ".join(WORDS)}
    boxes = Counter((one["name"], one["value"]) for one in page.all("input") if one["type"] == "checkbox")
    assert set(boxes.values()) == {1}
    values = {(head, name) for one in traits for head, names in one.items() for name in names}
    assert set(boxes) == values  # every head tells some of these cards apart
    # Without the script there is no form, and nothing is hidden.
    [form] = page.all("form")
    assert "hidden" in form and not any("hidden" in attributes for attributes, _ in page.cards)
    assert [one["aria-live"] for one in page.all("p") if one.get("id") == "count"] == ["polite"]


def test_cards_say_what_model_and_twin_made_of_it(tmp_path: Path) -> None:
    texts = [text for _, text in Page(write(tmp_path, *model_and_twin())).cards]
    assert "Siemens ORG" in texts[0] and "missed (by the twin)" in texts[0]
    assert re.search(r"model✓ right, 50 %text-only twin✗ not found", texts[0])
    assert re.search(r"model✗ found LOC, 50 %text-only twin✓ right, 50 %", texts[1])
    assert re.search(r"model✗ found Ada, 50 %", texts[3])
    assert re.search(r"model✗ found MISC, 50 %text-only twin✓ found nothing here", texts[4])
    assert "name not in training" in texts[3] and "row b" in texts[3]


def test_a_filter_that_tells_nothing_apart_is_left_out(tmp_path: Path) -> None:
    page = Page(write(tmp_path, [row("a", (PER, LOC)), row("b", (PER, ORG))]))
    assert {one["name"] for one in page.all("input")} == {"q", "type"}
    assert not any("Effect" in caption for caption in page.tables)


def test_the_page_asks_the_network_for_nothing_and_allows_only_its_own_script(tmp_path: Path) -> None:
    html = write(tmp_path, *model_and_twin(), picture=picture, look=look)
    page = Page(html)
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
        assert "style" not in attributes and not [name for name in attributes if name.startswith("on")]
    assert "url(" not in html and "@import" not in html
    policy = next(one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'")
    for tag in ("style", "script"):
        [content] = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"] for tag, attributes in page.tags if tag in ("a", "use")}
    assert targets <= {f"#{id_}" for id_ in ids}


def named(text: str) -> tuple[list[Outcome], list[Outcome]]:
    """Outcomes all of whose texts are this one."""
    words, gold = (text, "in", text), (Entity(0, 1, text),)
    parts = {"words": words, "gold": gold, "frequencies": (1,), "leaks": (text,), "source": text, "language": text}
    found = (Entity(0, 1, "PER"), Entity(2, 3, text))
    model = [row(text, found, **parts), row("other", found, **(parts | {"source": "s", "language": "l"}))]
    return model, [row(text, (), **parts), row("other", (), **(parts | {"source": "s", "language": "l"}))]


def test_hostile_text_stays_text_everywhere(tmp_path: Path) -> None:
    text = "plain but as long"
    plain = Page(write(tmp_path, *named(text), title=text, summary=text, picture=picture, look=look))
    html = write(tmp_path, *named(HOSTILE), title=HOSTILE, summary=HOSTILE, picture=picture, look=look)
    hostile = Page(html)
    assert Counter(tag for tag, _ in hostile.tags) == Counter(tag for tag, _ in plain.tags)
    assert Counter(name for _, one in hostile.tags for name in one) == Counter(
        name for _, one in plain.tags for name in one
    )
    traits = json.loads(hostile.cards[0][0]["data-traits"] or "")
    assert HOSTILE in traits["type"] and hostile.cards[0][0]["data-text"] == f"{HOSTILE} in {HOSTILE}"
    assert html.count("<script>") == 1


def test_pictures_are_small_and_wait_until_they_are_seen(tmp_path: Path) -> None:
    opened: list[str] = []

    def open_one(outcome: Outcome) -> Image.Image | None:
        opened.append(outcome.id)
        return picture(outcome) if outcome.id == "a" else None

    page = Page(write(tmp_path, *model_and_twin(), picture=open_one))
    assert sorted(opened) == ["a", "b"]  # once each, however many cards a row has
    images = page.all("img")
    assert len(images) == 2
    for image in images:
        assert (image["loading"], image["decoding"], image["width"], image["height"]) == ("lazy", "async", "320", "240")
        data = (image["src"] or "").removeprefix("data:image/jpeg;base64,")
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (320, 240)


def test_a_picture_hard_to_compress_is_kept_small() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3)).astype(np.uint8)
    rough = Image.fromarray(noise).resize((60, 45)).resize((1200, 900))
    for image in (Image.fromarray(noise), rough):
        small = thumbnail(image)
        assert small.size == (320, 240) and small.scale == pytest.approx(320 / 1200)
        assert len(small.data) * 3 / 4 <= 1.5 * MOST_BYTES
    assert thumbnail(Image.new("L", (10, 20))).size == (10, 20)


def test_attention_is_asked_once_for_the_rows_that_are_shown_with_a_picture(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def ask(outcomes: list[Outcome]) -> list[dict[Entity, tuple[Look, ...]]]:
        asked.append([outcome.id for outcome in outcomes])
        return look(outcomes)

    page = Page(write(tmp_path, *model_and_twin(), look=ask, picture=lambda o: picture(o) if o.id == "a" else None))
    assert asked == [["a"]]
    texts = [text for _, text in page.cards]
    assert ["Where the model looked for" in text for text in texts] == [False, True, True, False, False]
    assert "CLIP: strongest cell 25 %" in texts[1]


def test_long_texts_are_cut_around_the_mistake_and_can_be_unfolded(tmp_path: Path) -> None:
    words = tuple(f"w{number}" for number in range(200))
    gold = (Entity(2, 4, "PER"), Entity(60, 72, "ORG"), Entity(100, 101, "LOC"))
    outcome = row("long", gold[:2], words=words, gold=gold, frequencies=())
    html = write(tmp_path, [outcome])
    [(_, text)] = Page(html).cards
    [line] = re.findall(r"<span>gold</span>.*?>(… .*? …)</span></div>", html)
    assert re.sub(r"<b>.*?</b>|<[^>]*>", "", line) == f"… {' '.join(words[60:131])} …"
    assert "All 200 words" in text and text.count("w199") == 1


def test_the_window_cuts_no_entity() -> None:
    assert window(2 * WINDOW, Entity(0, 1, "PER"), []) == (0, 2 * WINDOW)
    assert window(200, Entity(100, 102, "PER"), []) == (70, 132)
    assert window(200, Entity(1, 2, "PER"), []) == (0, 32)
    crossing = [Entity(66, 71, "PER"), Entity(64, 67, "LOC"), Entity(131, 140, "LOC"), Entity(132, 150, "ORG")]
    assert window(200, Entity(100, 102, "PER"), crossing) == (64, 150)


def test_text_from_right_to_left_says_so_itself(tmp_path: Path) -> None:
    words = tuple(["زار", "محمد", "صلاح", "القاهرة"])
    outcome = row("ar", (), words=words, gold=(Entity(1, 3, "PER"),), language="ar", frequencies=())
    html = write(tmp_path, [outcome])
    assert html.count('class="sentence" lang="ar" dir="auto"') == 2
    assert '<bdi lang="ar">محمد صلاح</bdi>' in html


def test_a_perfect_model_has_an_empty_page(tmp_path: Path) -> None:
    html = write(tmp_path, [row("a", (PER, ORG, LOC))])
    assert "There are no mistakes." in html and "<form" not in html


def test_other_rows_of_the_twin_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the text-only twin's outcome of 'a', found 'b'"):
        write(tmp_path, [row("a", ())], [row("b", ())])
    assert list(tmp_path.iterdir()) == []


def test_the_rule_of_the_sample_stands_on_the_page(tmp_path: Path) -> None:
    rows = [row(f"r{number}", (PER, LOC)) for number in range(30)]
    html = write(tmp_path, rows, each=7, seed=42)
    assert "Up to 7 mistakes of every kind and effect, at most one of a row, drawn at random (seed 42)" in html
    assert len(Page(html).cards) == 7
    assert html == write(tmp_path, rows, each=7, seed=42)


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_what_the_page_writes_on_panels_has_contrast(colours: dict[str, str]) -> None:
    for front, back in [("good", "panel"), ("bad", "panel"), ("soft", "panel"), ("ink", "page"), ("soft", "page")]:
        light, dark = sorted((luminance(colours[front]), luminance(colours[back])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (front, back)
