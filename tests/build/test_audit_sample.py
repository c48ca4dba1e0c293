import base64
import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from babelens.build.audit_page import render_sheet
from babelens.build.audit_rows import AuditedEntity, AuditedRow, Marking, Sample
from babelens.build.audit_sample import (
    AuditResult,
    draw_sample,
    judge_sample,
    read_sample,
    told,
    write_result,
    write_sample,
)
from babelens.build.audit_sheet import COLUMNS, read_sheet, write_sheet
from babelens.data.problems import DataError
from babelens.schema import InputError

TEXT = 'The "Louvre", in Paris;=1+1'


def row(number: int, language: str = "en", **more: Any) -> dict[str, Any]:
    text = f"{number} Anna in Paris"
    start = len(str(number)) + 1
    entities = [
        {"start": start, "end": start + 4, "text": "Anna", "type": "PER"},
        {"start": start + 8, "end": start + 13, "text": "Paris", "type": "LOC"},
    ]
    return {"id": f"row-{number}", "text": text, "language": language, "entities": entities[: number % 3], **more}


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in rows), encoding="utf-8")
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write(tmp_path / "rows.jsonl", [row(number, "en" if number % 4 else "de") for number in range(100)])


def entity(text: str, name: str, type_: str = "LOC") -> AuditedEntity:
    return AuditedEntity(text.index(name), text.index(name) + len(name), name, type_)


def sample_of(*rows: tuple[str, list[AuditedEntity]], **more: Any) -> Sample:
    made = [
        AuditedRow(number, f"id-{number}", text, "en", (), tuple(entities))
        for number, (text, entities) in enumerate(rows, 1)
    ]
    return Sample("audit-0123abcd", {}, 50, 0, False, tuple(made), **more)


SMALL = sample_of((TEXT, [entity(TEXT, "Louvre", "ORG"), entity(TEXT, "Paris")]), ("=1+1 none", []))


def fill(content: bytes, verdicts: dict[str, str], missed: dict[str, str]) -> list[dict[str, str]]:
    lines = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    for line in lines:
        line["verdict"] = verdicts.get(line["key"], "")
        line["missed"] = missed.get(line["key"], "")
    return lines


def save(path: Path, lines: list[dict[str, str]], *, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with open(path, "w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(lines)
    return path


FILLED = fill(write_sheet(SMALL), {"s1-e1": "right", "s1-e2": "wrong"}, {"s1": "2", "s2": "0"})


def test_a_draw_is_that_of_its_seed_and_without_replacement(corpus: Path) -> None:
    drawn = draw_sample(corpus, 30, seed=3)
    assert drawn == draw_sample(corpus, 30, seed=3)
    assert drawn.name != draw_sample(corpus, 30, seed=4).name
    assert drawn.population == 100 and len({one.id for one in drawn.rows}) == 30
    assert [one.number for one in drawn.rows] == list(range(1, 31))
    places = [int(one.id[4:]) for one in drawn.rows]
    assert places != sorted(places)
    known = {f"row-{number}": row(number) for number in range(100)}
    for one in drawn.rows:
        assert one.text == known[one.id]["text"]
        assert [msgspec.to_builtins(own) for own in one.entities] == known[one.id]["entities"]
    assert {one.id for one in draw_sample(corpus, 100).rows} == set(known)


def test_every_row_has_the_same_chance(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [row(number, "de" if number < 3 else "en") for number in range(10)])
    for by_language in (False, True):
        draws = [draw_sample(path, 5, seed=seed, by_language=by_language) for seed in range(300)]
        counts = Counter(one.id for drawn in draws for one in drawn.rows)
        # German has 1.5 of 5 places: one of the remainders is rounded up, the same one each time.
        if not by_language:
            assert stats.chisquare(list(counts.values())).pvalue > 1e-4
        assert all(counts[f"row-{number}"] > 0 for number in range(10))


def test_languages_have_their_shares(corpus: Path) -> None:
    for number in (4, 20, 40):
        drawn = draw_sample(corpus, number, seed=1, by_language=True)
        assert Counter(one.language for one in drawn.rows) == {"de": number // 4, "en": number - number // 4}
    assert Counter(one.language for one in draw_sample(corpus, 3, by_language=True).rows) == {"de": 1, "en": 2}


def test_samples_that_cannot_be_drawn(tmp_path: Path, corpus: Path) -> None:
    for number in (0, 101):
        with pytest.raises(DataError, match=f"expected a sample of 1 to 100 rows, found {number}"):
            draw_sample(corpus, number)
    with pytest.raises(DataError, match="expected a string as text"):
        draw_sample(write(tmp_path / "bad.jsonl", [{"id": "1"}, row(1)]), 1)
    overlapping = row(2)
    overlapping["entities"].append({**overlapping["entities"][0], "end": 7, "text": "Anna "})
    with pytest.raises(DataError, match="expected entities that do not overlap in row row-2, found 'Anna' and 'Anna '"):
        draw_sample(write(tmp_path / "over.jsonl", [overlapping]), 1)


def test_the_sheet_has_a_line_for_each_entity_and_each_sentence() -> None:
    content = write_sheet(SMALL)
    assert not content.startswith(b"\xef\xbb\xbf") and content.count(b"\r\n") == 5
    lines = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert tuple(lines[0]) == COLUMNS
    assert [line["key"] for line in lines] == ["s1-e1", "s1-e2", "s1", "s2"]
    assert [line["entity"] for line in lines] == ["Louvre", "Paris", "", ""]
    assert lines[0]["text"] == 'The ">>Louvre<<", in Paris;\'=1+1'
    assert lines[3]["text"] == "'=1+1 none"
    assert {line["verdict"] + line["missed"] for line in lines} == {""}


@given(st.lists(st.text(st.characters(), max_size=12), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_no_cell_is_a_formula_in_any_spreadsheet(parts: list[str]) -> None:
    text = ";".join(parts) or "x"
    sample = sample_of((text, [AuditedEntity(0, len(text), text, text)]))
    content = write_sheet(sample).decode()
    for delimiter in ",;\t":
        for cells in csv.reader(io.StringIO(content, newline=""), delimiter=delimiter):
            for cell in cells:
                assert not cell.strip(" \"\t\r\n'").startswith(tuple("=+-@＝＋－＠")) or cell.lstrip(' "').startswith(
                    "'"
                )
    assert [len(line) for line in csv.reader(io.StringIO(content, newline=""))] == [len(COLUMNS)] * 3


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "\r\n=1", '"=1', "＝1", "a;=1"])
def test_formulas_are_made_text(text: str) -> None:
    [_, line, *_] = csv.reader(io.StringIO(write_sheet(sample_of((text, [entity(text, text)]))).decode(), newline=""))
    cell = line[COLUMNS.index("entity")]
    assert cell == f"'{' '.join(text.splitlines(True)).replace(chr(9), ' ')}" or cell in ("a;'=1", "'  =1", "'\"=1")
    assert re.search(r"(^|;)[\s\"]*[=+\-@＝]", cell) is None


def test_a_filled_sheet_is_read_back(tmp_path: Path) -> None:
    expected = [Marking((True, False), ("", ""), 2), Marking((), (), 0)]
    assert read_sheet(save(tmp_path / "sheet.csv", FILLED), SMALL) == expected
    # What spreadsheets make of it: another order, mark, delimiter, cells lost at the end, spaces and capitals.
    for delimiter, encoding in ((";", "utf-8-sig"), ("\t", "utf-8")):
        path = save(tmp_path / "other.csv", FILLED[::-1], delimiter=delimiter, encoding=encoding)
        assert read_sheet(path, SMALL) == expected
    lines = [{**line, "verdict": line["verdict"].upper().center(9), "missed": f" {line['missed']}"} for line in FILLED]
    lines[1]["remark"] = "the Louvre is meant; see 'in'"
    content = save(tmp_path / "loose.csv", lines).read_text()
    (tmp_path / "loose.csv").write_text(content.replace(",0,\n", ",0\n") + ",,,,,,,,,\n\n")
    marked = read_sheet(tmp_path / "loose.csv", SMALL)
    assert marked[0].remarks == ("", "the Louvre is meant; see 'in'") and marked[0].right == (True, False)
    few = [{name: line[name] for name in ("sample", "key", "verdict", "missed")} for line in FILLED]
    assert read_sheet(save(tmp_path / "few.csv", few), SMALL) == expected


def test_missed_entities_need_not_be_counted(tmp_path: Path) -> None:
    lines = [{**line, "missed": ""} for line in FILLED]
    assert [marking.missed for marking in read_sheet(save(tmp_path / "sheet.csv", lines), SMALL)] == [None, None]


@pytest.mark.parametrize(
    ("place", "change", "expected"),
    [
        (0, {"verdict": ""}, "sheet.csv:2: expected right or wrong as verdict of s1-e1, found nothing"),
        (0, {"verdict": "yes"}, "sheet.csv:2: expected right or wrong as verdict of s1-e1, found 'yes'"),
        (0, {"missed": "1"}, "sheet.csv:2: expected missed entities on the line of the sentence, not of s1-e1, "
         "found '1'"),
        (2, {"missed": "-1"}, "sheet.csv:4: expected the number of entities missed in s1 (or in no sentence at all), "
         "found '-1'"),
        (3, {"missed": ""}, "sheet.csv:5: expected the number of entities missed in s2 (or in no sentence at all), "
         "found nothing"),
        (2, {"verdict": "right"}, "sheet.csv:4: expected a verdict on the lines of entities, none of the sentence s1, "
         "found 'right'"),
        (1, {"sample": "audit-x"}, "sheet.csv:3: expected a line of the sample audit-0123abcd, found 'audit-x'"),
        (1, {"key": "s1-e9"}, "sheet.csv:3: expected the key of an entity or a sentence of the sample, found 's1-e9'"),
        (1, {"key": "s1-e1"}, "sheet.csv:3: expected each key once, found s1-e1 again (first on line 2)"),
        (1, {"key": "s1-e1"}, "sheet.csv: expected lines for all 4 keys, found none for s1-e2"),
    ],
)  # fmt: skip
def test_sheets_that_cannot_be_read(tmp_path: Path, place: int, change: dict[str, str], expected: str) -> None:
    lines = [{**line, **(change if number == place else {})} for number, line in enumerate(FILLED)]
    with pytest.raises(DataError) as error:
        read_sheet(save(tmp_path / "sheet.csv", lines), SMALL)
    assert expected in str(error.value).replace(f"{tmp_path}/", "")


def test_files_that_are_no_sheet(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    with pytest.raises(DataError, match=r"expected the sheet of an audit \(CSV\), found no such file"):
        read_sheet(path, SMALL)
    for content, expected in (
        (
            b"",
            "expected the columns sample, key, verdict, missed, each once, found not so: sample, key, verdict, missed",
        ),
        (b"sample,key,key,verdict\n", "found not so: key, missed"),
        (
            "sample,key,verdict,missed\né".encode("latin-1"),
            "expected UTF-8 (save the sheet as CSV UTF-8), found the byte",
        ),
        (b'sample,key,verdict,missed\n"a"b,,,\n', "expected CSV as a spreadsheet saves it"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=re.escape(expected)):
            read_sheet(path, SMALL)


def test_all_that_is_not_filled_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_bytes(write_sheet(SMALL))
    with pytest.raises(DataError, match="right or wrong in the column verdict, found none of 2 entities judged yet"):
        read_sheet(path, SMALL)
    save(path, fill(write_sheet(SMALL), {"s1-e1": "yes"}, {}))
    with pytest.raises(DataError) as error:
        read_sheet(path, SMALL)
    assert [problem.line for problem in error.value.problems] == [2, 3]


def markings_of(counts: list[tuple[int, int, int | None]]) -> tuple[Sample, list[Marking]]:
    """A sample with so many right and wrong entities, and missed ones, in each sentence."""
    rows, markings = [], []
    for right, wrong, missed in counts:
        text = "x " * (right + wrong)
        rows.append((text, [AuditedEntity(2 * at, 2 * at + 1, "x", "PER") for at in range(right + wrong)]))
        markings.append(Marking((True,) * right + (False,) * wrong, ("",) * (right + wrong), missed))
    return sample_of(*rows), markings


def test_the_result_of_the_paper() -> None:
    """626 of 631 entities right, in 200 sentences."""
    counts = [(3, 0, 0)] * 150 + [(4, 0, 0)] * 44 + [(0, 1, 0)] * 5 + [(0, 0, 0)]
    result = judge_sample(*markings_of(counts))
    assert (result.right.part, result.right.total, result.sentences, result.right.clusters) == (626, 631, 200, 199)
    exact = stats.binomtest(626, 631).proportion_ci(0.95, "exact")
    assert (result.right.low, result.right.high) == pytest.approx((100 * exact.low, 100 * exact.high), abs=1e-7)
    assert result.right.cluster_low is not None and result.right.low is not None
    assert 97 < result.right.cluster_low <= result.right.low
    assert told(result)[1] == (
        "Right among the entities of the data (precision): 626 of 631, 99.2 % (95 %: 98.2 to 99.7 as single entities, "
        f"{result.right.cluster_low:.1f} to {result.right.cluster_high:.1f} in 199 sentences)."
    )


def test_precision_and_recall() -> None:
    sample, markings = markings_of([(2, 1, 0), (1, 0, 3), (0, 0, 1)])
    result = judge_sample(sample, markings)
    assert (result.right.part, result.right.total) == (3, 4)
    assert result.recall is not None and result.missed == 4
    assert (result.recall.part, result.recall.total, result.recall.clusters) == (3, 7, 3)
    assert [(wrong.key, wrong.row, wrong.text, wrong.type) for wrong in result.wrong] == [("s1-e3", "id-1", "x", "PER")]
    assert judge_sample(*markings_of([(2, 1, None), (1, 0, None)])).recall is None
    empty = judge_sample(*markings_of([(0, 0, None)]))
    assert empty.right.share is None and "no entities" in told(empty)[1]


def test_shares_by_type_and_language(tmp_path: Path) -> None:
    anna, paris, bo = AuditedEntity(0, 4, "Anna", "PER"), AuditedEntity(8, 13, "Paris", "LOC"), (0, 2, "Bo", "PER")
    rows = (
        AuditedRow(1, "1", "Anna in Paris", "en", (), (anna, paris)),
        AuditedRow(2, "2", "Bo", None, (), (AuditedEntity(*bo),)),
    )
    sample = Sample("audit-1", {}, 9, 0, False, rows)
    result = judge_sample(sample, [Marking((True, False), ("", "a moon"), None), Marking((False,), ("",), None)])
    assert {name: (own.part, own.total) for name, own in result.types.items()} == {"LOC": (0, 1), "PER": (1, 2)}
    assert {name: (own.part, own.total) for name, own in result.languages.items()} == {"en": (1, 2), "unknown": (0, 1)}
    paths = write_result(result, tmp_path)
    assert msgspec.json.decode(paths[0].read_bytes(), type=AuditResult) == result
    assert "- PER: 1 of 2, 50.0 %" in paths[1].read_text() and "a moon" in paths[0].read_text()


def test_a_folder_is_written_once_and_a_sheet_never_over(tmp_path: Path, corpus: Path) -> None:
    out = tmp_path / "audit"
    drawn = draw_sample(corpus, 10)
    assert write_sample(drawn, out)
    assert sorted(path.name for path in out.iterdir()) == ["sample.json", "sheet.csv", "sheet.html"]
    assert read_sample(out) == drawn
    (out / "sheet.csv").write_text("half filled")
    assert not write_sample(drawn, out)
    (out / "sheet.html").unlink()
    assert write_sample(drawn, out)
    assert (out / "sheet.csv").read_text() == "half filled"
    with pytest.raises(InputError, match="or with this sample, found another sample"):
        write_sample(draw_sample(corpus, 11), out)
    (out / "sample.json").unlink()
    with pytest.raises(InputError, match="found another sample"):
        write_sample(drawn, out)
    with pytest.raises(DataError, match=r"with sample.json, found none"):
        read_sample(out)
    (out / "sample.json").write_text("{}")
    with pytest.raises(DataError, match="expected a sample that was drawn for an audit"):
        read_sample(out)


class _Page(HTMLParser):
    """What stands in a page: its tags with their attributes, and the text in sentences."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.sentences: list[str] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.tags.append((tag, known))
        if tag == "p":
            self._inside = known.get("class") == "text"
            self.sentences += [""] * self._inside

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "p"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.sentences[-1] += data


def test_the_page_shows_every_entity_with_its_boxes() -> None:
    page = _Page(render_sheet(SMALL))
    assert page.sentences == ['The "LouvreORG", in ParisLOC;=1+1', "=1+1 none"]
    boxes = [(own["name"], own["value"]) for tag, own in page.tags if tag == "input" and own["type"] == "radio"]
    assert boxes == [(key, verdict) for key in ("s1-e1", "s1-e2") for verdict in ("right", "wrong")]
    assert [own["data-key"] for tag, own in page.tags if tag == "input" and own["type"] == "number"] == ["s1", "s2"]


def test_the_page_asks_the_network_for_nothing_and_runs_nothing_of_the_text() -> None:
    text = "<script>alert(1)</script> & \x00\u202eعربي"
    page = render_sheet(sample_of((text, [entity(text, "<script>", '"><img src=x>')])))
    parsed = _Page(page)
    assert [tag for tag, _ in parsed.tags].count("script") == 1 and "img" not in {tag for tag, _ in parsed.tags}
    assert "\x00" not in page and "عربي" in parsed.sentences[0]
    assert not re.search(r"(?:src|href)=\"(?!data:)", page) and "http" not in page.replace("http-equiv", "")
    [policy] = [own["content"] or "" for tag, own in parsed.tags if own.get("http-equiv") == "Content-Security-Policy"]
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert content is not None
        digest = base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_pictures_stand_in_the_page_made_small(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (1600, 800), "red").save(tmp_path / "images" / "one.jpg")
    (tmp_path / "images" / "broken.png").write_bytes(b"no picture")
    rows = [row(number, image=name) for number, name in enumerate(("one", "broken", "absent"))]
    drawn = draw_sample(write(tmp_path / "rows.jsonl", [*rows, row(3, images=["one", "one.jpg"])]), 4)
    page = render_sheet(drawn, tmp_path / "images")
    pictures = [own for tag, own in _Page(page).tags if tag == "img"]
    assert [(own["width"], own["height"]) for own in pictures] == [("640", "320")] * 3
    assert "Picture broken: unreadable" in page and "Picture absent: missing" in page
    assert render_sheet(drawn).count("Picture one") == 3


_HAND = """<script>
window.saved = [];
URL.createObjectURL = (blob) => { blob.text().then((text) => { document.body.dataset.saved = text; }); return "#"; };
const press = (key, verdict) => document.querySelector(`input[name="${key}"][value=${verdict}]`).click();
press("s1-e1", "wrong"); press("s1-e1", "right"); press("s1-e2", "wrong");
for (const [key, count] of [["s1", 2], ["s2", 0]]) document.querySelector(`input[data-key=${key}]`).value = count;
document.querySelector("#save").click();
</script>"""


def browse(page: Path, profile: Path) -> str:
    """A page after its scripts have run, in a real browser."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium on this machine")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    command += [f"--user-data-dir={profile}", page.as_uri()]
    return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout.decode()


def test_what_is_marked_on_the_page_is_saved_as_a_sheet(tmp_path: Path) -> None:
    page = tmp_path / "sheet.html"
    page.write_text(render_sheet(SMALL), encoding="utf-8")
    # Its own policy lets its script run.
    assert "0 of 2 entities marked" in browse(page, tmp_path / "profile")
    # A hand that presses the buttons is a script too, which the policy would not let in.
    open_page = re.sub(r"<meta http-equiv[^>]*>", "", render_sheet(SMALL)).replace("</body>", f"{_HAND}</body>")
    page.write_text(open_page, encoding="utf-8")
    shown = browse(page, tmp_path / "profile")
    assert "2 of 2 entities marked" in shown
    [saved] = [own["data-saved"] for tag, own in _Page(shown).tags if tag == "body"]
    (tmp_path / "saved.csv").write_bytes((saved or "").encode())
    expected = [Marking((True, False), ("", ""), 2), Marking((), (), 0)]
    assert read_sheet(tmp_path / "saved.csv", SMALL) == expected


@pytest.mark.shared
def test_an_audit_of_real_tweets(shared: Path, tmp_path: Path) -> None:
    """Real text goes through sheet and page and comes back: links, emoji, quotes, right-to-left letters."""
    lines = [json.loads(line) for line in (shared / "event-tweets" / "tweets.jsonl").read_text("utf-8").splitlines()]
    rows = []
    for number, line in enumerate(lines):
        text = line["text"]
        end = next((place for place, letter in enumerate(text) if letter == " "), len(text))
        marked = [{"start": 0, "end": end, "text": text[:end], "type": "MISC"}] if end else []
        rows.append({"id": str(number), "text": text, "language": line["language"], "entities": marked})
    path = write(tmp_path / "rows.jsonl", rows)
    drawn = draw_sample(path, 300, by_language=True)
    assert write_sample(drawn, tmp_path / "audit")
    keys = {one.key(place) for one in drawn.rows for place in range(len(one.entities))}
    sheet = (tmp_path / "audit" / "sheet.csv").read_bytes()
    filled = fill(sheet, dict.fromkeys(keys, "right"), {one.name: "0" for one in drawn.rows})
    result = judge_sample(drawn, read_sheet(save(tmp_path / "filled.csv", filled), drawn))
    assert result.right.part == result.right.total == len(keys) > 290
    assert len(_Page((tmp_path / "audit" / "sheet.html").read_text("utf-8")).sentences) == 300
