import os
import re

import pytest

from babelens.experiments.leaderboard import is_current, render_leaderboard, write_leaderboard
from babelens.experiments.results import Cell, Leaks, Reading, Results, Run, write_results
from babelens.schema import InputError

DATA = {"name": "mmnerd", "training": {"rows": 900, "digest": "t"}, "types": ["LOC", "PER"]}


def run(seed, f1, *, test="test", digest="d", trained="t", best=None):
    published = {"micro": {"f1": f1}}
    reading = Reading(100, digest, published, {"micro": {"f1": f1 - 1}}, Leaks(7), f1)
    return Run(
        seed=seed,
        validation_f1=f1 + 2,
        epoch=1,
        epochs=2,
        seconds=3.0,
        parameters=1_234_567,
        readings={test: reading},
        best_on_test={} if best is None else {test: best},
        data={"training": {"rows": 900, "digest": trained}, "validation": {"rows": 50, "digest": "v"}},
        machine={"device": "cpu", "chip": "A chip", "threads": 2, "time": seed},
    )


def cell(*f1s, reason=None, labels=None, **others):
    return Cell(labels or {}, [run(seed, f1, **others) for seed, f1 in enumerate(f1s, 1)], reason)


def file(folder, name, *cells, data=DATA, notes=(), seeds=2):
    path = folder / "results" / f"{name}.json"
    made = Results(name, f"Title of {name}", f"babelens experiment {name}", data, list(range(seeds)), list(cells))
    write_results(path, Results(**{**{f: getattr(made, f) for f in made.__struct_fields__}, "notes": list(notes)}))
    return path


def tables(page):
    """The tables of a page: rows of cells, heads first."""
    found, inside = [], False
    for line in page.splitlines():
        if line.startswith("|"):
            if not inside:
                found.append([])
            found[-1].append([part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]])
        inside = line.startswith("|")
    return [[rows[0], *rows[2:]] for rows in found]


@pytest.fixture
def three(tmp_path):
    return file(
        tmp_path,
        "systems",
        cell(60.0, 62.0, labels={"system": "bert"}, best=99.0),
        cell(70.0, 71.0, labels={"system": "2m-ner"}),
        cell(65.0, labels={"system": "umt"}, reason="out of memory"),
        cell(labels={"system": "umgf"}, reason="out of memory"),
        notes=["Labels are silver: a model made them."],
    )


def test_systems_stand_in_the_order_of_their_means(three, tmp_path):
    page = render_leaderboard([three])
    ((head, *rows),) = tables(page)
    assert head[:4] == ["", "system", "test F1", "cleaned"]
    link = "`results/systems.json`"
    assert rows == [
        ["1", "2m-ner", "70.50 ±0.71", "69.50 ±0.71", "2", "72.50 ±0.71", "1.2", "A chip, 2 threads", link],
        ["2", "umt", "65.00", "64.00", "1 of 2", "67.00", "1.2", "A chip, 2 threads", link],
        ["3", "bert", "61.00 ±1.41", "60.00 ±1.41", "2", "63.00 ±1.41", "1.2", "A chip, 2 threads", link],
    ]
    assert "99" not in page  # the best epoch on test is no figure of this page


def test_the_page_says_where_figures_come_from_and_what_they_are(three, tmp_path):
    page = render_leaderboard([three])
    assert "`babelens experiment systems`" in page and "Title of systems" in page
    assert "Not run (out of memory): umgf." in page
    assert "Rows: 900 trained on, 50 chosen on, 100 tested, of which 7 share something with training." in page
    data, table = page.index("Labels are silver: a model made them."), page.index("| system")
    assert page.index("## mmnerd") < data < table
    assert page.count("Labels are silver: a model") == 1


def test_silver_labels_are_named_before_figures_even_if_one_file_says_so(tmp_path):
    files = [
        file(tmp_path, "a", cell(60.0, labels={"system": "x"}), notes=["Silver labels.", "Of a."]),
        file(tmp_path, "b", cell(61.0, labels={"system": "y"})),
    ]
    page = render_leaderboard(files)
    assert page.index("Silver labels.") < page.index("| system") < page.index("Of a.")


def test_files_on_the_same_rows_are_ranked_together(three, tmp_path):
    other = file(tmp_path, "another", cell(68.0, 68.0, labels={"system": "mine"}))
    ((_, *rows),) = tables(render_leaderboard([three, other]))
    assert [row[1] for row in rows] == ["2m-ner", "mine", "umt", "bert"]


@pytest.mark.parametrize(
    "others", [{"digest": "e"}, {"trained": "u"}, {"test": "test, blank"}], ids=["tested", "trained", "pictures"]
)
def test_other_protocols_are_never_ranked_together(three, tmp_path, others):
    other = file(tmp_path, "another", cell(99.0, 99.0, labels={"system": "mine"}, **others))
    ranked, alone = tables(render_leaderboard([three, other]))
    assert [row[1] for row in ranked[1:]] == ["2m-ner", "umt", "bert"]
    assert alone[0][:4] == ["system", "read on", "rows trained on", "tested"]
    assert [row[0] for row in alone[1:]] == ["mine"]


def test_other_data_have_their_own_part(three, tmp_path):
    other = file(tmp_path, "another", cell(99.0, labels={"system": "mine"}), data={"name": "a corpus"})
    page = render_leaderboard([three, other])
    assert page.index("## a corpus") < page.index("## mmnerd")
    assert len(tables(page)) == 2


def test_what_is_common_stands_above_and_what_differs_beside_the_system(tmp_path):
    cells = [cell(60.0 + n, labels={"data": "All", "system": "x", "share": str(n)}) for n in (1, 2)]
    page = render_leaderboard([file(tmp_path, "a", *cells)])
    assert "### data: All; read on test" in page
    ((_, *rows),) = tables(page)
    assert [row[1] for row in rows] == ["x (share: 2)", "x (share: 1)"]


def test_equal_means_share_a_place(tmp_path):
    cells = [cell(f1, labels={"system": name}) for name, f1 in (("a", 60.0), ("b", 60.001), ("c", 59.0))]
    ((_, *rows),) = tables(render_leaderboard([file(tmp_path, "a", *cells)]))
    assert [row[:2] for row in rows] == [["1", "b"], ["1", "a"], ["3", "c"]]


def test_results_of_validation_alone_have_no_table(tmp_path):
    chosen = Run(1, 70.0, 1, 2, 3.0, 4, {})
    page = render_leaderboard([file(tmp_path, "a", Cell({"alpha": "0.1"}, [chosen]))])
    assert tables(page) == [] and "Nothing of it was read on a test part." in page


def test_the_same_files_give_the_same_page_and_changes_are_noticed(three, tmp_path):
    other = file(tmp_path, "another", cell(68.0, 68.0, labels={"system": "mine"}))
    page = tmp_path / "docs" / "leaderboard.md"
    assert not is_current([three, other], page)
    write_leaderboard([three, other], page)
    first = page.read_bytes()
    assert is_current([other, three], page)
    write_leaderboard([other, three], page)
    assert page.read_bytes() == first
    assert os.listdir(page.parent) == ["leaderboard.md"]
    file(tmp_path, "another", cell(68.0, 68.5, labels={"system": "mine"}))
    assert not is_current([three, other], page)


def test_files_are_named_with_their_folder(three):
    assert f"`{three.parent.name}/{three.name}`" in render_leaderboard([three])


def test_a_damaged_file_is_told(tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"broken\.json: expected the results of an experiment"):
        render_leaderboard([broken])
