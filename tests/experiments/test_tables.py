import csv
import io
import re

import msgspec
import pytest
from rich.console import Console

from babelens.experiments.plan import known_experiments, read_experiment
from babelens.experiments.results import Cell, Comparison, Leaks, Reading, Results, Run
from babelens.experiments.table_csv import long_csv
from babelens.experiments.table_grid import grid
from babelens.experiments.table_latex import latex
from babelens.experiments.table_markdown import escape, markdown
from babelens.experiments.tables import Layout, make_table, rich_table, write_tables
from babelens.schema import InputError

FAMILY = "2m-ner against others"
HOSTILE = r"50 % of a_b & {c} \x $y$ ~#^ <script> [z] *k* | `t`"


def reading(f1, *, cleaned=None, rows=4291, languages=None, **types):
    published = {
        "micro": {"precision": f1 + 2, "recall": f1 - 2, "f1": f1, "support": 100},
        "types": {name: {"f1": value} for name, value in types.items()},
        "languages": {name: {"f1": value} for name, value in (languages or {}).items()},
    }
    clean = None if cleaned is None else {"micro": {"f1": cleaned}}
    return Reading(rows, "d", published, clean, Leaks(round(rows * 0.1)), f1)


def run(seed, readings, **others):
    facts = {"validation_f1": 60.0 + seed, "epoch": 2, "epochs": 4, "seconds": 5.0, "parameters": 10}
    return Run(seed=seed, readings=readings, **{**facts, **others})


def cell(*f1s, reason=None, test="test", **labels):
    """A cell whose seeds have these F1s on one part."""
    runs = [run(seed, {test: reading(f1, cleaned=f1)}) for seed, f1 in enumerate(f1s, 1)]
    return Cell(labels, runs, reason)


def results(*cells, seeds=3, **others):
    return Results("trial", "A trial", "babelens experiment trial", {}, list(range(seeds)), list(cells), **others)


def comparison(baseline, adjusted, *, cleaned=False, system="2m-ner", family=FAMILY):
    names = {"system": system}, {"system": baseline}
    return Comparison(*names, "test", 1.0, 0.5, 1.5, adjusted / 2, adjusted, family, 90, cleaned)


SYSTEMS = results(
    cell(69.0, 70.0, 71.0, system="bert-crf"),
    cell(71.0, 71.5, 72.5, system="2m-ner"),
    cell(60.0, 61.0, system="umt", reason="seed 3: out of  memory."),
    cell(system="umgf", reason="out of\nmemory"),
    comparisons=[comparison("bert-crf", 0.2), comparison("umt", 0.004), comparison("umt", 0.01, cleaned=True)],
)


def rows_of(text):
    """The cells of the rows of a Markdown table, heads first, by splitting at pipes that are not escaped."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    made = [[part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [made[0], *made[2:]]


def notes_of(table):
    return {note.mark or note.text.split(":")[0]: note.text for note in grid(table).notes}


def test_mean_spread_and_count():
    table = make_table(SYSTEMS, Layout(("system",)))
    figures = {row.labels[0]: row.figures["micro.f1"].value for row in table.rows}
    assert [name for name in figures] == ["bert-crf", "2m-ner", "umt", "umgf"]
    assert figures["bert-crf"].mean == pytest.approx(70) and figures["bert-crf"].deviation == pytest.approx(1)
    assert figures["umt"].count == 2 and figures["umgf"] is None


def test_markdown_says_all_of_it():
    head, *rows = rows_of(markdown(make_table(SYSTEMS, Layout(("system",), title="Systems"))))
    assert head == ["system", "P", "R", "F1"]
    assert rows == [
        ["bert-crf", "72.00 ±1.00", "68.00 ±1.00", "70.00 ±1.00"],
        ["2m-ner", "**73.67** ±0.76", "**69.67** ±0.76", "**71.67** ±0.76"],
        ["umt", "62.50 ±0.71", "58.50 ±0.71", "60.50 ±0.71†¹"],
        ["umgf", "–", "–", "not run²"],
    ]


def test_notes_tell_seeds_reasons_and_the_family():
    notes = notes_of(make_table(SYSTEMS, Layout(("system",))))
    assert notes["1"] == "2 of 3 seeds: seed 3: out of memory."
    assert notes["2"] == "not run: out of memory."
    assert notes["†"].startswith("differs from 2m-ner (adjusted p < 0.05")
    assert f'Holm over all that the family "{FAMILY}" declares' in notes["†"]
    assert any(note.startswith("Mean and standard deviation (n - 1) over 3 seeds where") for note in notes.values())


def test_no_significant_difference_is_said_so():
    weak = msgspec.structs.replace(SYSTEMS, comparisons=[comparison("bert-crf", 0.05)])
    text = markdown(make_table(weak, Layout(("system",))))
    assert f'No difference (of the one run) of the family "{FAMILY}" is significant' in text
    assert "†" not in text
    weak = msgspec.structs.replace(SYSTEMS, comparisons=[comparison("bert-crf", 0.05), comparison("umt", 0.2)])
    assert "None of the 2 differences run of the family" in markdown(make_table(weak, Layout(("system",))))


def test_each_family_has_a_sign_of_its_own():
    both = [comparison("umt", 0.01), comparison("umt", 0.01, system="bert-crf", family="another")]
    table = make_table(msgspec.structs.replace(SYSTEMS, comparisons=both), Layout(("system",)))
    assert rows_of(markdown(table))[3][3] == "60.50 ±0.71†‡¹"


def test_comparisons_on_another_part_leave_no_sign():
    other = msgspec.structs.replace(comparison("umt", 0.001), test="test, blank")
    text = markdown(make_table(msgspec.structs.replace(SYSTEMS, comparisons=[other]), Layout(("system",))))
    assert "†" not in text and FAMILY not in text


def test_one_seed_has_no_spread():
    text = markdown(make_table(results(cell(70.0, system="a"), seeds=1), Layout(("system",))))
    assert "±" not in text and "One seed: no spread is known" in text


def test_what_was_not_run_yet_is_said_once():
    table = make_table(results(cell(70.0, system="a"), Cell({"system": "b"}), seeds=1), Layout(("system",)))
    assert notes_of(table)["1"] == "not run yet."


def test_the_best_of_each_block_is_bold_and_ties_are_as_well_unless_all_are_alike():
    cells = [
        cell(70.0, data="A", system="x"),
        cell(70.001, data="A", system="y"),
        cell(60.0, data="A", system="z"),
        cell(50.0, data="B", system="x"),
        cell(49.0, data="B", system="y"),
        cell(90.0, data="C", system="x"),
        cell(80.0, data="D", system="x"),
        cell(80.001, data="D", system="y"),
    ]
    table = make_table(results(*cells, seeds=1), Layout(("data", "system")))
    assert [row.figures["micro.f1"].best for row in table.rows] == [True, True, False, True, *[False] * 4]
    assert [len(block) for block in table.blocks] == [3, 2, 1, 2]


def test_seconds_have_no_best():
    table = make_table(SYSTEMS, Layout(("system",), columns=("seconds", "validation")))
    assert [row.figures["seconds"].best for row in table.rows] == [False] * 4
    assert table.headline == "validation" and "†" not in markdown(table)


def test_the_cleaned_figure_stands_beside_where_it_differs():
    one = Cell({"system": "a"}, [run(1, {"test": reading(70.0, cleaned=66.0)})])
    same = Cell({"system": "b"}, [run(1, {"test": reading(60.0, cleaned=60.0)})])
    shown = make_table(results(one, same, seeds=1), Layout(("system",)))
    assert rows_of(markdown(shown))[0] == ["system", "P", "R", "F1", "cleaned"]
    assert rows_of(markdown(shown))[1][-1] == "66.00"
    assert "10.0 % of the part" in markdown(shown)
    alike = make_table(results(same, seeds=1), Layout(("system",)))
    assert "cleaned" not in markdown(alike)


def test_the_mean_of_languages_stands_beside_where_there_are_several():
    many = Cell({"data": "All"}, [run(1, {"test": reading(60.0, languages={"en": 50.0, "fr": 90.0})})])
    one = Cell({"data": "English"}, [run(1, {"test": reading(60.0, languages={"en": 60.0})})])
    head, first, second = rows_of(markdown(make_table(results(many, one, seeds=1), Layout(("data",)))))
    assert head[-1] == "lang. mean" and first[-1] == "70.00"
    assert second[-1] == "–"
    asked = Layout(("data",), columns=("micro.f1", "languages macro"))
    assert rows_of(markdown(make_table(results(one, seeds=1), asked)))[0] == ["data", "F1"]


def test_the_published_protocol_is_a_column_that_says_what_it_is():
    runs = [run(seed, {"test": reading(70.0)}, best_on_test={"test": 71.0 + seed}) for seed in (1, 2)]
    table = make_table(results(Cell({"system": "a"}, runs), seeds=2), Layout(("system",)))
    head, row = rows_of(markdown(table))
    assert head[-1] == "best epoch on test (chosen by test)" and row[-1] == "72.50 ±0.71"
    assert table.headline == "micro.f1"


def test_the_papers_figure_and_the_difference():
    cells = [
        cell(71.0, data="All", system="2m-ner"),
        Cell({"data": "English", "system": "bilstm-crf"}, [run(1, {"test": reading(62.0, rows=2533)})]),
        Cell({"data": "French", "system": "bert"}, [run(1, {"test": reading(62.0, rows=700)})]),
        cell(data="All", system="umt", reason="later"),
        cell(50.0, data="All", system="mine"),
    ]
    table = make_table(results(*cells, seeds=1), Layout(("data", "system"), paper="table5"))
    found = {row.labels: row.figures["micro.f1"] for row in table.rows}
    assert found["All", "2m-ner"].paper == 70.49
    assert found["All", "2m-ner"].difference == pytest.approx(0.51)
    assert found["English", "bilstm-crf"].computed and found["English", "bilstm-crf"].difference == pytest.approx(-0.68)
    assert found["French", "bert"].paper == 62.83 and found["French", "bert"].difference is None  # other rows
    assert found["All", "umt"].paper == 70.15 and found["All", "umt"].value is None
    assert found["All", "mine"].paper is None
    by_name = {tuple(row[:2]): row for row in rows_of(markdown(table))}
    assert by_name["English", "bilstm-crf"][-2:] == [r"62.68\*", "−0.68"]
    assert by_name["data", "system"][-2:] == ["paper", "diff."]


def test_no_difference_on_other_data():
    one = Cell({"data": "All", "system": "bert"}, [run(1, {"test": reading(62.0, rows=99)})])
    text = markdown(make_table(results(one, seeds=1), Layout(("data", "system"), paper="table5")))
    assert "diff." not in text and "68.22" in text and "read on other rows than ours." in text


def test_several_tables_of_the_paper():
    cells = [cell(data="All", system=system) for system in ("umt", "umt-text")]
    table = make_table(results(*cells), Layout(("data", "system"), paper=("table7", "table5")))
    assert [row.figures["micro.f1"].paper for row in table.rows] == [70.15, 69.77]
    assert "Table 5 and Table 7" in markdown(table)


def test_a_block_for_each_part_that_was_read():
    both = Cell({"training": "English & German"}, [run(1, {"English": reading(70.0), "German": reading(60.0)})])
    alone = Cell({"training": "German"}, [run(1, {"German": reading(65.0, rows=604)})])
    waiting = Cell({"training": "German & French"})
    unknown = Cell({"training": "half of German"}, reason="later")
    layout = Layout(("training",), paper="table6")
    table = make_table(results(both, alone, waiting, unknown, seeds=1), layout)
    assert table.axes == ("test", "training")
    assert [row.labels for row in table.rows] == [
        ("English", "English & German"),
        ("German", "English & German"),
        ("German", "German"),
        ("German", "German & French"),
        ("French", "German & French"),
    ]
    papers = [row.figures["micro.f1"].paper for row in table.rows]
    assert papers == [70.78, 65.14, 63.80, 63.93, 64.91]
    assert table.left_out == (unknown,)
    assert "half of German: not run: later." in markdown(table)


def test_what_was_not_run_stands_at_the_test_part():
    seen = Cell({"system": "a"}, [run(1, {"test": reading(70.0), "test, blank": reading(60.0)})])
    blind = Cell({"system": "b"}, [run(1, {"test": reading(65.0)})])
    table = make_table(results(seen, blind, Cell({"system": "c"}), seeds=1), Layout(("system",)))
    assert [row.labels for row in table.rows] == [("test", "a"), ("test", "b"), ("test", "c"), ("test, blank", "a")]
    alone = make_table(results(seen, blind, Cell({"system": "c"}), seeds=1), Layout(("system",), test="test, blank"))
    assert [row.labels for row in alone.rows] == [("a",), ("c",)]
    assert "Read on test, blank." in markdown(alone)


def test_nothing_run_yet_shows_what_is_asked_and_what_the_paper_has():
    waiting = results(cell(data="All", system="umt"), cell(data="All", system="mine"))
    rows = rows_of(markdown(make_table(waiting, Layout(("data", "system"), paper="table5"))))
    assert rows[1:] == [
        ["All", "umt", "–", "–", "not run¹", "70.15"],
        ["", "mine", "–", "–", "not run¹", "–"],
    ]


def test_facts_of_runs_need_no_part():
    cells = [Cell({"alpha": "0.1"}, [run(1, {})]), Cell({"alpha": "0.2"}), Cell({"beta": "1"}, [run(2, {})])]
    table = make_table(results(*cells, seeds=1), Layout(("alpha",), columns=("validation",)))
    assert rows_of(markdown(table)) == [["alpha", "validation F1"], ["0.1", "61.00"], ["0.2", "not run¹"]]


def test_where_takes_some_cells():
    cells = [cell(70.0, data="A", system="x"), cell(60.0, data="B", system="x")]
    table = make_table(results(*cells), Layout(("system",), where={"data": "B"}))
    assert [row.figures["micro.f1"].value.mean for row in table.rows] == [60.0]


def test_cells_that_make_one_row_are_told():
    cells = [cell(70.0, data="A", system="x"), cell(60.0, data="B", system="x")]
    with pytest.raises(InputError, match=r"two cells at x \(system\) that differ in data"):
        make_table(results(*cells), Layout(("system",)))


def test_no_cells_no_rows():
    table = make_table(results(cell(70.0, data="A")), Layout(("system",)))
    assert table.rows == [] and "No cell of trial" in markdown(table)
    assert "tabular" not in latex(table)
    assert len(long_csv(table).splitlines()) == 1


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"rows": ()}, "at least one axis"),
        ({"rows": ("a",), "columns": ()}, "at least one axis in rows and one figure"),
        ({"rows": ("a",), "columns": ("micro.f9",)}, "found 'micro.f9'"),
        ({"rows": ("a",), "paper": "table1"}, "found 'table1'"),
    ],
)
def test_layouts_that_cannot_be(fields, expected):
    with pytest.raises(InputError, match=expected):
        Layout(**fields)


def test_a_layout_is_read_from_plain_data():
    layout = msgspec.convert({"rows": ["a"], "paper": ["table5", "table7"]}, Layout)
    assert layout.papers == ("table5", "table7") and layout.headline == "micro.f1"
    with pytest.raises(msgspec.ValidationError, match="found 'f1'"):
        msgspec.convert({"rows": ["a"], "columns": ["f1"]}, Layout)


def test_csv_has_a_line_for_each_row_and_figure():
    table = make_table(SYSTEMS, Layout(("system",), columns=("micro.precision", "micro.f1")))
    lines = list(csv.DictReader(io.StringIO(long_csv(table))))
    assert len(lines) == 4 * 2
    one = next(line for line in lines if line["system"] == "umt" and line["figure"] == "micro.f1")
    assert one == {
        "system": "umt",
        "test": "test",
        "figure": "micro.f1",
        "mean": "60.5000",
        "deviation": "0.7071",
        "seeds": "2",
        "cleaned": "60.5000",
        "cleaned deviation": "0.7071",
        "paper": "",
        "paper computed": "",
        "difference": "",
        "best": "no",
        "significant": "†",
        "reason": "seed 3: out of memory.",
    }
    idle = [line for line in lines if line["system"] == "umgf"]
    assert {(line["mean"], line["seeds"], line["reason"]) for line in idle} == {("", "0", "out of memory")}


def latex_body(text):
    """The rows of the tabular, each split at its ampersands."""
    inside = re.search(r"\\begin\{tabular\}\{@\{\}(\w+)@\{\}\}(.*)\\end\{tabular\}", text, re.DOTALL)
    assert inside is not None
    lines = [line.strip() for line in inside[2].splitlines() if line.strip()]
    rows = [line for line in lines if line not in (r"\toprule", r"\midrule", r"\bottomrule")]
    assert all(row.endswith(r" \\") for row in rows)
    return inside[1], [re.split(r"(?<!\\)&", row[:-3]) for row in rows]


def check_latex(text):
    """What must hold for LaTeX to read it: braces and environments in pairs, as many cells in a row as columns."""
    code = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    bare = re.sub(r"\\[\\{}%&$#_]", "", code)
    assert "%" not in bare and "$" not in bare and "#" not in bare and "_" not in bare and "^" not in bare
    depth = 0
    for character in bare:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    stack = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+\*?)\}", code):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert stack == []
    spec, rows = latex_body(code)
    assert {len(row) for row in rows} == {len(spec)}
    commands = set(re.findall(r"\\([A-Za-z]+)", bare))
    known = "begin end centering caption label small setlength tabcolsep toprule midrule bottomrule textbf scriptsize"
    known += " textpm rlap textsuperscript dag ddag S P textbardbl par smallskip linewidth footnotesize textminus"
    known += " textasteriskcentered shortstack textquotedbl textless textgreater textbackslash textasciitilde"
    assert commands <= {*known.split(), "textasciicircum", "textbar"}


def test_latex_is_sound():
    text = latex(make_table(SYSTEMS, Layout(("system",), title="Systems")))
    check_latex(text)
    _, rows = latex_body(text)
    assert rows[2][-1].strip() == r"\textbf{71.67}{\scriptsize\,\textpm\,0.76}"
    assert rows[3][-1].strip() == r"60.50{\scriptsize\,\textpm\,0.71}\rlap{\textsuperscript{\dag{}1}}"
    assert rows[4][-1].strip() == r"not run\rlap{\textsuperscript{2}}"
    assert r"\label{tab:trial}" in text and r"\caption{Systems}" in text


def test_latex_takes_any_text():
    hostile = results(
        cell(70.0, 71.0, data=HOSTILE, system="[x]"),
        cell(data=HOSTILE, system="_y_", reason=HOSTILE),
        seeds=2,
        notes=[HOSTILE + "\nsecond line"],
    )
    check_latex(latex(make_table(hostile, Layout(("data", "system"), title=HOSTILE))))


def test_markdown_takes_any_text():
    hostile = results(cell(70.0, data=HOSTILE, system="x"), notes=[HOSTILE])
    text = markdown(make_table(hostile, Layout(("data", "system"), title=HOSTILE)))
    assert [len(row) for row in rows_of(text)] == [5, 5]
    assert "<script" not in text
    assert escape("p < 0.05 and a|b") == r"p < 0.05 and a\|b"


def test_raw_markdown_is_aligned():
    lines = [line for line in markdown(make_table(SYSTEMS, Layout(("system",)))).splitlines() if line[:1] == "|"]
    assert len({len(line) for line in lines}) == 1


def drawn(table, width=100):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(rich_table(table, width))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_terminal_shows_it_with_points_below_points():
    lines = drawn(make_table(SYSTEMS, Layout(("system",), title="Systems")))
    assert lines[0] == "Systems"
    figures = [line for line in lines if re.match(r" (bert-crf|2m-ner|umt)", line)]
    assert len({line.rindex("±") for line in figures}) == 1
    assert figures[2].endswith("60.50 ±0.71†¹")
    assert "² not run: out of memory." in lines


def wide_results():
    types = dict.fromkeys(("PER", "LOC", "ORG", "MISC"), 50.0)
    languages = {"en": 50.0, "fr": 60.0}
    cells = []
    for system in ("bilstm-crf", "hbilstm-crf", "2m-ner"):
        runs = [run(n, {"test": reading(60.0 + n, cleaned=55.0 + n, languages=languages, **types)}) for n in (1, 2)]
        cells.append(Cell({"data": "All", "system": system}, runs))
    return results(*cells, seeds=2)


def test_a_wide_table_fits_a_terminal():
    experiment, _ = read_experiment("table5")
    table = make_table(wide_results(), experiment.tables[0])
    lines = drawn(table)
    assert max(map(len, lines)) <= 100
    row = next(line for line in lines if "2m-ner" in line)
    assert "61.50 ±0.71" in row and "70.49" in row  # spread of the headline stays
    assert "±" not in next(line for line in drawn(table, 60) if "2m-ner" in line)


@pytest.mark.parametrize("name", sorted(known_experiments()))
def test_every_layout_makes_a_table_of_what_was_not_run(name):
    from babelens.experiments.plan import points

    experiment, _ = read_experiment(name)
    waiting = results(*(Cell(point.labels) for point in points(experiment)))
    for layout in experiment.tables:
        table = make_table(waiting, layout)
        assert table.rows or table.left_out
        assert markdown(table) and long_csv(table)
        if table.rows:
            check_latex(latex(table))


def test_files_are_written_and_nothing_else(tmp_path):
    tables = [make_table(SYSTEMS, Layout(("system",))) for _ in range(2)]
    written = write_tables(tmp_path / "tables", tables)
    names = [f"trial-{number}.{ending}" for number in (1, 2) for ending in ("md", "csv", "tex")]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == sorted(names)
    assert written[0].read_text(encoding="utf-8") == markdown(tables[0])
    assert [path.name for path in write_tables(tmp_path / "one", tables[:1])] == ["trial.md", "trial.csv", "trial.tex"]
