import json
import random
import re
import xml.etree.ElementTree as ElementTree
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from sklearn.metrics import cohen_kappa_score

from babelens.build.agreement import Report, measure_agreement, read_agreement, write_agreement
from babelens.build.agreement_plots import write_agreement_plots
from babelens.build.agreement_rows import read_annotations
from babelens.build.agreement_tables import FIGURES, as_markdown, as_tables, told
from babelens.data import read_corpus
from babelens.data.problems import DataError
from babelens.schema import Entity, InputError, write_tags
from babelens.scoring.agreement import MEASURES, Estimate
from babelens.scoring.scores import score

TEXT = "Anna Lindqvist met Siemens in São Paulo 🏙️ today."


def spans(text: str, *names: tuple[str, str]) -> list[dict[str, Any]]:
    found = []
    for name, type_ in names:
        start = text.index(name)
        found.append({"start": start, "end": start + len(name), "text": name, "type": type_})
    return found


def line(id_: str = "1", annotator: str = "a", **more: Any) -> dict[str, Any]:
    return {"id": id_, "annotator": annotator, "text": TEXT, "entities": [], **more}


def write(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in lines), encoding="utf-8")
    return path


def faults(tmp_path: Path, lines: list[Any], rows: list[Any] | None = None) -> str:
    known = None if rows is None else write(tmp_path / "rows.jsonl", rows)
    with pytest.raises(DataError) as error:
        read_annotations(write(tmp_path / "marked.jsonl", lines), known)
    return str(error.value).replace(f"{tmp_path}/", "")


def simulate(rows: int = 60, people: str = "ABC", seed: int = 0) -> list[dict[str, Any]]:
    """Two of the people on each row, who agree more as time goes on."""
    drawn = random.Random(seed)
    found = []
    for number in range(rows):
        text = f"row {number}: Anna of Siemens in Paris"
        for person in drawn.sample(people, 2):
            marked = [
                (name, type_ if drawn.random() < 0.7 + 0.3 * number / rows else "MISC")
                for name, type_ in (("Anna", "PER"), ("Siemens", "ORG"), ("Paris", "LOC"))
                if drawn.random() < 0.6 + 0.4 * number / rows
            ]
            found.append(
                {
                    "id": f"r{number}",
                    "annotator": person,
                    "text": text,
                    "language": ("en", "de", "fr")[number % 3],
                    "entities": spans(text, *marked),
                    "order": number,
                }
            )
    return found


def report_of(tmp_path: Path, lines: list[Any], draws: int = 20, number: int | None = None) -> Report:
    return measure_agreement(read_annotations(write(tmp_path / "marked.jsonl", lines)), draws=draws, number=number)


def test_places_in_text_become_words(tmp_path: Path) -> None:
    marked = spans(TEXT, ("Anna Lindqvist", "PER"), ("Siem", "ORG"), ("São Paulo", "LOC"))
    lines = [line(entities=marked, language="en", group="g")]
    [row] = read_annotations(write(tmp_path / "a.jsonl", lines)).rows
    assert row.marked["a"].entities == (Entity(0, 2, "PER"), Entity(3, 4, "ORG"), Entity(5, 7, "LOC"))
    assert row.marked["a"].widened == 1 and row.words == 10
    assert (row.get("language"), row.get("group"), row.get("round")) == ("en", "g", None)


def test_what_a_line_does_not_say_comes_from_the_row(tmp_path: Path) -> None:
    rows = [{"id": "1", "text": TEXT, "language": "pt", "group": "g"}, {"id": "2", "text": "Other."}]
    own = {"id": "1", "annotator": "a", "entities": spans(TEXT, ("Siemens", "ORG"))}
    found = read_annotations(write(tmp_path / "a.jsonl", [own]), write(tmp_path / "rows.jsonl", rows))
    assert found.known == 2
    [row] = found.rows
    assert (row.get("language"), row.get("group")) == ("pt", "g")
    assert measure_agreement(found, draws=1).unread == 1


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([[1]], "marked.jsonl:1: expected a JSON object, found [1]"),
        ([line(id_="")], "marked.jsonl:1: expected the id of a row, found ''"),
        ([line(annotator=True)], "marked.jsonl:1: expected the name of an annotator, found True"),
        ([line(entities=None)], "marked.jsonl:1: expected a list of entities, [] where there are none, found None"),
        ([line(text=None)], "marked.jsonl:1: expected text or tokens, found id, annotator, entities"),
        ([line(), line()], "marked.jsonl:2: expected one annotation of row 1 by each person, "
         "found a second one by a (the first is on line 1)"),
        ([line(), line(annotator="b", text="Else")], "marked.jsonl:2: expected the text that row 1 has on line 1, "
         f"{TEXT!r}, found 'Else'"),
        ([line(language="en"), line(annotator="b", language="de")],
         "marked.jsonl:2: expected the language that row 1 has on line 1, 'en', found 'de'"),
        ([line(order="yesterday")],
         "marked.jsonl:1: expected a whole number or an ISO time as order, found 'yesterday'"),
        ([line(order=True)], "marked.jsonl:1: expected a whole number or an ISO time as order, found True"),
        ([line(order=1), line(annotator="b")],
         "marked.jsonl:2: expected a whole number as order, as on line 1, found no order"),
        ([line(order=1), line(annotator="b", order="2024-05-01")],
         "marked.jsonl:2: expected a whole number as order, as on line 1, found an ISO time as order"),
        ([line(round=[1])], "marked.jsonl:1: expected a name or a number as round, found [1]"),
        ([line(entities=[{"start": 0, "end": 4, "text": "Anne", "type": "PER"}])],
         "marked.jsonl:1: expected 'Anne' at 0..4 (offsets count Unicode code points), found 'Anna'"),
        ([line(entities=[{"start": 0, "end": 99, "type": "PER"}])], "expected an entity within 0..49, found [0, 99]"),
        ([line(entities=spans(TEXT, ("Anna", "PER"), ("na Lind", "ORG")))], "expected entities that share no word"),
    ],
)  # fmt: skip
def test_lines_that_cannot_be_used(tmp_path: Path, lines: list[Any], expected: str) -> None:
    assert expected in faults(tmp_path, lines)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a JSONL file of annotations, found no such file"):
        read_annotations(tmp_path / "none.jsonl")


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "marked.jsonl").write_bytes(b'\xef\xbb\xbf{"id": 1\n\n{"id": "\xff"}\n' + json.dumps(line()).encode())
    with pytest.raises(DataError) as error:
        read_annotations(tmp_path / "marked.jsonl")
    assert [problem.line for problem in error.value.problems] == [1, 3]
    rows = [{"id": "1", "text": TEXT}, {"id": "2", "text": "Two.", "language": "en"}]
    told_ = faults(tmp_path, [line(id_="9"), line(text="else"), line(id_="2", text="Two.", language="de")], rows)
    assert "marked.jsonl:1: expected the id of one of the rows, found '9'" in told_
    assert f"marked.jsonl:2: expected the text of row 1, {TEXT!r}, found 'else'" in told_
    assert "marked.jsonl:3: expected the language of row 2, 'en', found 'de'" in told_
    assert "rows.jsonl:2: expected an id that no other row has" in faults(tmp_path, [line()], [rows[0], rows[0]])


def test_figures_are_those_of_tags_and_scores(tmp_path: Path) -> None:
    lines = simulate(40, "AB")
    report = report_of(tmp_path, lines)
    words = {"Anna": 3, "Siemens": 5, "Paris": 7}
    entities: dict[str, list[list[Entity]]] = {"A": [], "B": []}
    for person in "AB":
        for own in sorted((one for one in lines if one["annotator"] == person), key=lambda one: one["order"]):
            places = [(words[one["text"]], one["type"]) for one in own["entities"]]
            entities[person].append([Entity(at, at + 1, type_) for at, type_ in places])
    tags = {person: [tag for row in rows for tag in write_tags(row, 8)] for person, rows in entities.items()}
    assert report.overall["kappa_tags"].figure == pytest.approx(cohen_kappa_score(tags["A"], tags["B"]), abs=1e-9)
    scores = score(entities["A"], entities["B"])
    assert report.overall["f1"].figure == pytest.approx(scores.micro.f1, abs=1e-9)
    assert {name: own["f1"].figure for name, own in report.types.items()} == pytest.approx(
        {name: counts.f1 for name, counts in scores.types.items()}, abs=1e-9
    )
    assert [(pair.one, pair.other, pair.rows) for pair in report.pairs] == [("A", "B", 40)]
    assert report.pairs[0].figures == report.overall
    assert [(part.name, part.rows) for part in report.languages] == [("de", 13), ("en", 14), ("fr", 13)]
    english = [row % 3 == 0 for row in range(40)]
    chosen = [[own for own, kept in zip(entities[person], english, strict=True) if kept] for person in "AB"]
    assert report.languages[1].figures["f1"].figure == pytest.approx(score(*chosen).micro.f1, abs=1e-9)


def test_what_the_report_counts(tmp_path: Path) -> None:
    lines = [
        line("1", "a", entities=spans(TEXT, ("Siem", "ORG"))),
        line("1", "b", entities=spans(TEXT, ("Siemens", "ORG"), ("Anna", "PER"))),
        line("2", "a"),
        line("3", "a", group="x"),
        line("3", "b", group="x"),
        line("3", "c", group="x"),
        line("4", "b", group="x"),
        line("4", "c", group="x"),
        line("5", "d"),
    ]
    report = report_of(tmp_path, lines)
    assert (report.rows, report.annotations, report.shared, report.units) == (5, 9, 3, 2)
    assert report.readers == {1: 2, 2: 2, 3: 1}
    assert report.widened == 1 and report.entities == {"ORG": 2, "PER": 1}
    assert [(own.name, own.rows, own.shared, own.entities, own.widened) for own in report.people] == [
        ("a", 3, 2, 1, 1),
        ("b", 3, 3, 2, 0),
        ("c", 2, 2, 0, 0),
        ("d", 1, 0, 0, 0),
    ]
    assert [(pair.one, pair.other, pair.rows) for pair in report.pairs] == [("a", "b", 2), ("a", "c", 1), ("b", "c", 2)]
    # Nobody of a and c marks anything in the row that both have read.
    assert {estimate.figure for estimate in report.pairs[1].figures.values()} == {None}
    assert [part.name for part in report.languages] == ["unknown"]
    told_ = as_markdown(report)
    assert "2 rows were read by one annotator alone." in told_ and "1 of 3 entities began or ended inside" in told_


def test_batches_go_by_the_time_of_the_last_annotator(tmp_path: Path) -> None:
    times = {"1": ("09", "10"), "2": ("08", "23"), "3": ("07", "11"), "4": ("06", "12")}
    lines = [
        line(id_, person, order=f"2024-05-01T{hour}:00:00{zone}")
        for id_, hours in times.items()
        for person, hour, zone in zip("ab", hours, ("", "Z"), strict=True)
    ]
    report = report_of(tmp_path, lines, number=2)
    assert report.batched_by == "order"
    assert [(part.name, part.rows, part.first, part.last) for part in report.batches] == [
        ("1", 2, "2024-05-01T10:00:00Z", "2024-05-01T11:00:00Z"),
        ("2", 2, "2024-05-01T12:00:00Z", "2024-05-01T23:00:00Z"),
    ]


def test_rounds_of_training(tmp_path: Path) -> None:
    lines = simulate(30, "AB")
    for own in lines:
        if own["order"] < 20:
            own["round"] = "zero" if own["order"] < 10 else 1
    report = report_of(tmp_path, lines)
    assert report.batched_by == "round"
    assert [(part.name, part.rows, part.first, part.last) for part in report.batches] == [
        ("zero", 10, 0, 9),
        ("1", 10, 10, 19),
        ("no round", 10, 20, 29),
    ]
    assert "## By round" in as_markdown(report)
    figures = [part.figures["f1"].figure or 0 for part in report.batches]
    assert figures == sorted(figures)


def test_without_times_the_order_is_that_of_the_file(tmp_path: Path) -> None:
    lines = [{name: value for name, value in own.items() if name != "order"} for own in simulate(60, "AB")]
    report = report_of(tmp_path, lines)
    assert report.batched_by == "line"
    # Two batches of 30: no more than hold 25 rows each.
    assert [(part.name, part.rows, part.first) for part in report.batches] == [("1", 30, None), ("2", 30, None)]
    assert "no times are known" in as_markdown(report)


@pytest.mark.parametrize("lines", [[], [line("1", "a"), line("2", "b")], [line("1", "a"), line("1", "b")]])
def test_where_nothing_is_defined_a_report_still_stands(tmp_path: Path, lines: list[Any]) -> None:
    report = report_of(tmp_path, lines)
    assert {estimate.figure for estimate in report.overall.values()} == {None}
    json_path, markdown = write_agreement(report, tmp_path / "out")
    assert "NaN" not in json_path.read_text() and read_agreement(json_path) == report
    assert "| F1, spans and types |" in markdown.read_text()
    for path in write_agreement_plots(report, tmp_path / "out"):
        assert path.stat().st_size > 1000


def test_files_are_the_same_bytes_and_read_back(tmp_path: Path) -> None:
    lines = simulate()
    first = report_of(tmp_path, lines)
    written = [*write_agreement(first, tmp_path / "one"), *write_agreement_plots(first, tmp_path / "one")]
    again = report_of(tmp_path, lines)
    other = [*write_agreement(again, tmp_path / "two"), *write_agreement_plots(again, tmp_path / "two")]
    assert [path.name for path in written] == [
        "agreement.json",
        "agreement.md",
        *(f"agreement-{name}.{kind}" for name in ("time", "pairs", "types", "languages") for kind in ("png", "svg")),
    ]
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in other]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(path.name for path in written)
    assert read_agreement(written[0]) == first
    plain = msgspec.json.decode(written[0].read_bytes())
    assert set(plain["overall"]) == set(MEASURES) == set(FIGURES)


def test_tables_hold_no_markup_of_names(tmp_path: Path) -> None:
    names = {"A": "[red]|x", "B": "<b>&\nB", "C": "名前"}
    lines = [{**own, "annotator": names[own["annotator"]]} for own in simulate()]
    report = report_of(tmp_path, lines)
    markdown = as_markdown(report)
    assert "\\[red\\]\\|x" in markdown and "\\<b\\>& B" in markdown
    tables = [block for block in markdown.split("\n\n") if block.startswith("|")]
    assert len(tables) == 6
    for table in tables:
        assert len({len(re.split(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1
    shown = StringIO()
    console = Console(file=shown, width=200)
    for part in as_tables(report):
        console.print(part)
    assert "[red]|x" in shown.getvalue() and "kappa, spans" in shown.getvalue()
    assert "what it tells" in markdown and "what it tells" not in shown.getvalue()
    for path in write_agreement_plots(report, tmp_path):
        if path.suffix == ".svg":
            ElementTree.parse(path)


def test_people_who_are_none_are_named_so(tmp_path: Path) -> None:
    note = "Annotators are simulated"
    assert note not in as_markdown(report_of(tmp_path, simulate()))
    made_up = [{**own, "annotator": f"simulated-{own['annotator']}"} for own in simulate()]
    assert note in as_markdown(report_of(tmp_path, made_up))


def test_plots_say_what_they_show(tmp_path: Path) -> None:
    lines = simulate(60)
    # In one language two people agree less than by chance.
    for number, own in enumerate(own for own in lines if own["language"] == "fr"):
        own["entities"] = spans(own["text"], ("Anna" if number % 2 else "Paris", "PER"))
    report = report_of(tmp_path, lines)
    assert (report.languages[2].figures["kappa_tags_any"].figure or 0) < 0
    for path in write_agreement_plots(report, tmp_path):
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.width > 800 and np.asarray(image.convert("L")).std() > 10
            continue
        words = " ".join(text.text or "" for text in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text"))
        assert "Agreement" in words
        expected = {
            "agreement-time": ("F1, spans alone", "alpha, tags", "30 rows", "finished"),
            "agreement-pairs": ("A", "B", "C", "kappa, tags", "read."),
            "agreement-types": ("LOC", "MISC", "ORG", "PER", "95 %"),
            "agreement-languages": ("de (20)", "en (20)", "fr (20)"),
        }[path.stem]
        assert all(word in words for word in expected)


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = report_of(tmp_path, simulate(4), draws=1)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"expected matplotlib, found none; pip install 'babelens\[experiments\]'"):
        write_agreement_plots(report, tmp_path)


def test_how_figures_are_told() -> None:
    assert told("f1", Estimate(81.25, 79.04, 83.0, 10, 5)) == "81.2 (79.0 to 83.0)"
    assert told("kappa_tags", Estimate(0.81249, 0.7, 0.9, 10, 5)) == "0.812 (0.700 to 0.900)"
    assert told("kappa_tags", Estimate(0.5, None, None, 10, 1)) == "0.500"
    assert told("f1", Estimate(None, None, None, 0, 0)) == "–"


@pytest.mark.shared
def test_two_labellings_of_real_tweets(shared: Path, tmp_path: Path) -> None:
    """The tweets that MMNERD and Twitter-2017 share, whose labels differ in a few rows: scores of one by the other."""
    labelled = {
        name: {example.words: example for example in read_corpus(shared / place)}
        for name, place in (("mmnerd", "mmnerd-en/test.txt"), ("twitter", "twitter2017/train.txt"))
    }
    common = [words for words in labelled["twitter"] if words in labelled["mmnerd"]]
    assert len(common) > 200
    lines = []
    for number, words in enumerate(common):
        text = " ".join(words)
        starts = np.cumsum([0, *(len(word) + 1 for word in words)]).tolist()
        for name, examples in labelled.items():
            entities = [
                {"start": starts[own.start], "end": starts[own.end] - 1, "type": own.type}
                for own in examples[words].entities
            ]
            own = {"id": str(number), "annotator": name, "text": text, "tokens": list(words), "entities": entities}
            lines.append({**own, "language": "en"})
    report = report_of(tmp_path, lines, draws=5)
    one, other = ([labelled[name][words].entities for words in common] for name in ("mmnerd", "twitter"))
    assert report.widened == 0
    assert report.overall["f1"].figure == pytest.approx(score(one, other).micro.f1, abs=1e-9)
    tags = [
        [tag for words, entities in zip(common, side, strict=True) for tag in write_tags(entities, len(words))]
        for side in (one, other)
    ]
    assert report.overall["kappa_tags"].figure == pytest.approx(cohen_kappa_score(*tags), abs=1e-9)
