import re

import pytest

from babelens.experiments.paper import disagreements, implied_f1, match, paper_figures, paper_tables
from babelens.models.naming import named
from babelens.models.zoo import ZOO
from babelens.schema import InputError

COLUMNS = (
    "types.PER.f1",
    "types.LOC.f1",
    "types.ORG.f1",
    "types.MISC.f1",
    "micro.precision",
    "micro.recall",
    "micro.f1",
)
CUT_OFF = {"English": 62.68, "French": 60.99, "Spanish": 65.30, "German": 55.31}


def all_rows():
    return [row for table in paper_tables() if table != "table3" for row in paper_figures(table)]


def test_as_many_rows_as_the_paper_has():
    counts = {table: len(paper_figures(table)) for table in paper_tables()}
    assert counts == {"table3": 7, "table5": 45, "table6": 16, "table7": 25, "table8": 6, "table9": 3}


@pytest.mark.shared
def test_every_figure_is_that_of_the_text(shared):
    """The rows of figures of the text, in its order, against ours: no name is compared, all numbers are."""
    text = (shared.parent / "design" / "paper-2m-ner.md").read_text(encoding="utf-8")
    theirs = []
    for line in text[text.index("**Table 5**") :].splitlines():
        cells = [re.sub(r"</?b>", "", cell).strip() for cell in line.split("\t")]
        numbers = [float(cell) for cell in cells if re.fullmatch(r"\d+\.\d\d", cell)]
        if len(numbers) >= 6:
            theirs.append(numbers)
    ours = [[row.figures[path] for path in COLUMNS if path not in row.computed] for row in all_rows()]
    assert len(theirs) == 95
    assert sorted(ours) == sorted(theirs)


def test_f1_is_what_precision_and_recall_make():
    """The paper prints two digits: P and R may be off by 0.005 each, and so F1 by that, and by its own 0.005."""
    assert disagreements() == []
    assert disagreements(0.01) == []
    assert len(disagreements(0.0)) == 95


@pytest.mark.parametrize(("language", "f1"), CUT_OFF.items())
def test_what_is_cut_off_is_marked_and_computed(language, f1):
    row = match("table5", {"data": language, "system": "bilstm-crf"})
    assert row is not None
    assert row.computed == ("micro.f1",)
    assert row.figures["micro.f1"] == f1 == round(implied_f1(row), 2)


def test_nothing_else_is_computed():
    assert sum(bool(row.computed) for row in all_rows()) == len(CUT_OFF)


def test_rows_of_several_tables_are_the_same_in_all():
    whole = match("table5", {"data": "All", "system": "2m-ner"})
    assert whole is not None
    for table, labels in (("table8", {"training": "ALL"}), ("table9", {"system": "2m-ner"})):
        again = match(table, labels)
        assert again is not None and again.figures == whole.figures
    for language in CUT_OFF:
        alone = match("table6", {"training": language, "test": language})
        beside = match("table5", {"data": language, "system": "2m-ner"})
        assert alone is not None and beside is not None and alone.figures == beside.figures


def test_differences_that_the_text_names():
    """Sections 5.4.2 and 5.4.3 give them in words."""

    def f1(table, **labels):
        row = match(table, labels)
        assert row is not None
        return row.figures["micro.f1"]

    gains = {"English": 0.78, "French": 1.6, "Spanish": 1.01, "German": 1.64}
    for language, gain in gains.items():
        seen, blind = (f1(f"table{n}", data=language, system=s) for n, s in ((5, "2m-ner"), (7, "2m-ner-text")))
        assert seen - blind == pytest.approx(gain, abs=1e-9)
    pairs = {("German & English", "German"): 1.34, ("French & Spanish", "French"): 1.76}
    for (training, test), gain in pairs.items():
        own = f1("table6", training=test, test=test)
        assert f1("table6", training=training, test=test) - own == pytest.approx(gain, abs=1e-9)


def test_sizes_of_data_sets_add_up():
    for row in paper_figures("table3"):
        figures = row.figures
        assert figures["train"] + figures["valid"] + figures["test"] == figures["total"]
    parts = {row.labels["data"]: row.sentences for row in paper_figures("table5")}
    assert parts.pop("All") == sum(parts.values()) == 4291


def test_every_system_is_one_of_the_zoo():
    for system in {row.labels["system"] for row in all_rows() if "system" in row.labels}:
        assert system in ZOO or named(system, "pretrained")


def test_labels_match_whatever_their_order_and_case():
    row = match("table6", {"training": "english & GERMAN", "test": "German"})
    assert row is not None and row.figures["micro.f1"] == 65.14 and row.sentences == 604


@pytest.mark.parametrize("training", ["part 2 alone", "all but part 2"])
def test_a_fold_is_one_part_or_all_but_one(training):
    row = match("table8", {"training": training})
    assert row is not None and row.labels == {"training": "fold 2"}


def test_other_axes_are_passed_over():
    assert match("table9", {"system": "2m-ner", "shade": "green"}) is not None


@pytest.mark.parametrize(
    ("table", "labels"),
    [
        ("table5", {"data": "All"}),
        ("table5", {"data": "Dutch", "system": "2m-ner"}),
        ("table5", {"data": "All", "system": "2m-ner", "test": "test, blank"}),
        ("table6", {"training": "English & German", "test": "French"}),
        ("table6", {"training": "English"}),
    ],
)
def test_what_the_paper_does_not_have_matches_nothing(table, labels):
    assert match(table, labels) is None


def test_an_unknown_table_is_told():
    with pytest.raises(InputError, match=r"expected a table of the paper \(table3, table5.*found 'table4'"):
        paper_figures("table4")
    with pytest.raises(InputError, match="found 'table4'"):
        match("table4", {})
