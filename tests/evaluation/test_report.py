import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from babelens.evaluation.cards import Card, Found, Look
from babelens.evaluation.charts import Chart, Curve
from babelens.evaluation.page_style import DARK, LIGHT, TYPE_COLOURS
from babelens.evaluation.report import Fact, Report, ReportTable, TableRow, render_report, write_report
from babelens.schema import Entity

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>&amp;"""


class Page(HTMLParser):
    """The tags of a page with their attributes, and the text of each table row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.rows: list[list[str]] = []
        self.content: dict[str, list[str]] = {}
        self.open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open = tag
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.content.setdefault(self.open, []).append(data)
        if self.open in ("td", "th"):
            self.rows[-1][-1] += data

    def handle_endtag(self, tag: str) -> None:
        self.open = ""


def full_report(text: str = "plain") -> Report:
    look = Look(text, np.full((2, 2), 0.25, np.float32))
    card = Card(
        text,
        (text, "in", text),
        (Found(Entity(0, 1, text), 0.5, (look,)), Found(Entity(2, 3, "LOC"))),
        gold=(Entity(0, 1, "PER"),),
        picture=Image.new("RGB", (8, 6)),
        language="en",
        note=text,
    )
    return Report(
        title=text,
        summary=text,
        facts=(Fact(text, text, text),),
        tables=(ReportTable(text, (text,), (TableRow(text, (text,)),), text, text),),
        charts=(Chart(text, text, text, (Curve(text, ((1.0, 2.0), (2.0, 3.0))),), ((text, 2.5),)),),
        cards=(card,),
        footer=text,
    )


def test_the_page_asks_the_network_for_nothing_and_allows_only_its_own_script() -> None:
    html = render_report(full_report())
    page = Page(html)
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
        assert "style" not in attributes and not [name for name in attributes if name.startswith("on")], (
            tag,
            attributes,
        )
    assert "url(" not in html and "@import" not in html
    policy = next(
        a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    for tag in ("style", "script"):
        [content] = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_links_lead_to_parts_of_the_page() -> None:
    page = Page(render_report(full_report()))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    targets = {attributes["href"][1:] for tag, attributes in page.tags if tag in ("a", "use")}
    assert len(ids) == len(set(ids))
    assert targets <= set(ids)
    assert "c0e0" in targets and "c0e1" not in targets


def test_hostile_text_stays_text_everywhere() -> None:
    plain, hostile = Page(render_report(full_report())), Page(render_report(full_report(HOSTILE)))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert [set(attributes) for _, attributes in hostile.tags] == [set(attributes) for _, attributes in plain.tags]
    assert hostile.content["title"][0] == HOSTILE
    assert hostile.content["h1"] == [HOSTILE]


def test_characters_that_a_page_may_not_hold_are_replaced(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", Report("a\x00b\ud800c\x9bd"))
    assert "<h1>a\ufffdb\ufffdc\ufffdd</h1>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_cells_are_written_for_readers() -> None:
    row = TableRow("all", (76.849, 12345, None, "n/a", float("nan")), "ours")
    page = Page(render_report(Report("t", tables=(ReportTable("F1", tuple("abcde"), (row,), "model"),))))
    assert page.rows == [["model", *"abcde"], ["all", "76.8", "12,345", "–", "n/a", "–"]]
    assert ("tr", {"class": "ours"}) in page.tags


def test_a_row_must_fit_its_table() -> None:
    table = ReportTable("F1", ("en", "fr"), (TableRow("all", (1.0,)),))
    with pytest.raises(ValueError, match="expected 2 cells in row 'all' of 'F1', found 1"):
        render_report(Report("t", tables=(table,)))


def test_writing_makes_the_folder_and_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "demo" / "report.html"
    write_report(path, Report("first"))
    write_report(path, Report("second"))
    assert "<h1>second</h1>" in path.read_text(encoding="utf-8")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_a_report_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OSError):
        write_report(tmp_path / "report.html", Report("t"))
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_can_be_told_apart(colours: dict[str, str]) -> None:
    types = [f"t{number}" for number in range(TYPE_COLOURS)]
    text = [("ink", back) for back in ("page", "panel", *types)]
    text += [(front, back) for front in ("soft", "link") for back in ("page", "panel")]
    text += [(front, back) for front in ("good", "bad") for back in types]
    found = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in text}
    assert {pair: ratio for pair, ratio in found.items() if ratio < 4.5} == {}
    lines = [f"s{number}" for number in range(5)]
    assert min(contrast(colours[line], colours["panel"]) for line in lines) >= 3
    assert len({colours[name] for name in types}) == TYPE_COLOURS


def test_contrast_is_that_of_the_guideline() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
