import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from msgspec.structs import replace

from babelens.experiments.plots import write_plots
from babelens.experiments.results import Cell, Leaks, Reading, Results, Run
from babelens.schema import Entity, InputError
from babelens.scoring.outcomes import Outcome

EDGES = [-1.0, 0.0, 1.0]


def reading(f1: float, cleaned: float | None = None) -> Reading:
    def figures(value: float) -> dict:
        rates = {"precision": value, "recall": value, "f1": value, "support": 3}
        parts = {"types": {"LOC": rates, "PER": rates}, "languages": {"de": rates, "en": rates}}
        return {"micro": rates, "macro": rates, "boundaries": rates, **parts}

    return Reading(3, "d", figures(f1), None if cleaned is None else figures(cleaned), Leaks(0), f1)


def run(seed: int, f1: float, tests: dict[str, float], views: bool = False) -> Run:
    ranks = {"recall@1": 10.0, "recall@5": 20.0, "recall@10": 30.0}
    way = {"queries": 9, "candidates": 9, **ranks, "median_rank": 3.0, "chance": ranks}
    spread = {"pairs": 3, "mean": 0.1, "deviation": 0.1, "histogram": [1, 2]}
    view = {"text_to_picture": way, "picture_to_text": way}
    view["cosines"] = {"matched": spread, "unmatched": spread, "auc": 0.9, "edges": EDGES}
    return Run(
        seed=seed,
        validation_f1=f1,
        epoch=2,
        epochs=2,
        seconds=1.0,
        parameters=1,
        readings={name: reading(value, value + 1) for name, value in tests.items()},
        measures={"retrieval": {"clip": view}} if views else {},
        history=[{"epoch": e, "step": e, "losses": {"crf": 2.0 / e}, "validation_f1": f1 - 2 + e} for e in (1, 2)],
    )


def seen(seed: int, f1: float) -> Run:
    """A run of which nothing is kept but one reading."""
    return replace(run(seed, f1, {"test": f1}), history=[])


def results(*cells: Cell) -> Results:
    return Results("table", "An experiment", "babelens experiment table", {}, [1, 2], list(cells))


def systems() -> Results:
    tests = {"test": 71.0, "test, blank": 69.5, "test, noise:1": 70.0, "test, noise:3": 69.0}
    return results(
        Cell({"data": "All", "system": "2m-ner"}, [run(1, 71.0, tests, True), run(2, 72.0, tests, True)]),
        Cell({"data": "All", "system": "2m-ner-text"}, [run(1, 70.0, {"test": 70.0}), run(2, 70.0, {"test": 70.5})]),
        Cell({"data": "German", "system": "2m-ner"}, [], "not run yet"),
        Cell({"data": "German", "system": "2m-ner-text"}, [run(1, 60.0, {"test": 60.0})]),
    )


def small() -> Results:
    return results(Cell({"system": "2m-ner"}, [run(1, 71.0, {"test": 71.0, "test, blank": 69.5}, True)]))


def outcomes(cell: Cell, test: str) -> list[list[Outcome]]:
    person, place = Entity(0, 1, "PER"), Entity(1, 3, "LOC")
    rows = [
        Outcome("a", ("w",) * 4, (person, place), (person,), (0.9,), 0, (), (0, 3)),
        Outcome("b", ("w",) * 12, (person,), (place,), (0.4,), 1, ("text",), (1,)),
    ]
    return [rows for own in cell.runs if test in own.readings]


def no_outcomes(cell: Cell, test: str) -> list[list[Outcome]]:
    return []


def words(path: Path) -> set[str]:
    return {text.text or "" for text in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")}


def test_an_experiment_has_all_plots_that_there_are_figures_for(tmp_path: Path) -> None:
    drawn = write_plots(tmp_path, systems(), outcomes)
    names = [one.name for one in drawn]
    findings = ["f1-by-length-of-entities", "f1-by-length-of-sentences", "recall-by-frequency", "recall-by-novelty"]
    findings += ["confusion", "reliability"]
    assert names == [
        *("f1-by-type-all", "f1-by-language-all", "f1-by-type-german", "f1-by-language-german", "f1"),
        *("gain-by-type-all", "gain-by-language-all", "gain", "f1-by-noise-at-test"),
        *("learning-curves-all", "learning-curves-german", "cosines-all", "retrieval-all"),
        *(f"{name}-all" for name in findings),
        *(f"{name}-german" for name in findings),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{name}.{kind}" for name in names for kind in ("png", "svg")
    )
    found = {one.name: words(one.svg) for one in drawn}
    assert {"An experiment: F1", "All", "German", "2m-ner", "2m-ner-text", "71.0 ± 0.0", "60.0"} <= found["f1"]
    assert {"over its text-only twin", "over blank pictures", "gain in F1 (points)"} <= found["gain"]
    assert "noise:1 pictures" not in found["gain"]
    assert {"severity of noise at test", "0", "1", "3"} <= found["f1-by-noise-at-test"]
    assert {"F1 on validation", "loss: crf", "epoch"} <= found["learning-curves-all"]
    assert {"clip: picture by text", "R@10", "chance"} <= found["retrieval-all"]
    assert {"PER (4)", "LOC (2)", "none"} <= found["confusion-all"]
    for one in drawn:
        assert one.png.read_bytes().startswith(b"\x89PNG") and one.title.startswith("An experiment: ") and one.caption


def test_the_same_results_are_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    drawn = write_plots(tmp_path / "here", small(), outcomes)
    code = (
        "import importlib.util, pathlib, sys\n"
        "spec = importlib.util.spec_from_file_location('own', sys.argv[1])\n"
        "own = importlib.util.module_from_spec(spec); spec.loader.exec_module(own)\n"
        "own.write_plots(pathlib.Path(sys.argv[2]), own.small(), own.outcomes)\n"
    )
    there = tmp_path / "there"
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code, __file__, str(there)],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
    )
    for one in drawn:
        for path in (one.png, one.svg):
            assert path.read_bytes() == (there / path.name).read_bytes(), path.name


def test_gains_are_differences_of_runs_of_one_seed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from babelens.experiments import plot_gallery

    asked = {}
    draw = plot_gallery.draw_gains

    def spy(panels: dict, *, title: str, **rest: object) -> object:
        asked[title] = panels
        return draw(panels, title=title, **rest)

    monkeypatch.setattr(plot_gallery, "draw_gains", spy)
    own = Cell({"system": "big"}, [seen(1, 80.0), seen(2, 82.0), seen(3, 9.0)])
    twin = Cell({"system": "small"}, [seen(2, 75.0), seen(1, 79.0)])
    write_plots(tmp_path, results(own, twin), no_outcomes, {"big": "small"})
    assert asked["An experiment: gain by the picture"] == {"": {"big": {"over its text-only twin": [1.0, 7.0]}}}
    assert asked["An experiment: gain by the picture, by type"]["PER"] == {
        "big": {"over its text-only twin": [1.0, 7.0]}
    }


def test_sweeps_are_on_validation_where_no_test_was_read(tmp_path: Path) -> None:
    cells = [
        Cell({"alpha": a, "rate": r}, [run(1, 70.0 + len(r), {})]) for a in ("0.1", "0.5") for r in ("1e-05", "0.0005")
    ]
    drawn = write_plots(tmp_path, results(*cells), no_outcomes)
    assert [one.name for one in drawn] == ["f1-by-alpha", "f1-by-rate", "learning-curves"]
    found = words(drawn[1].svg)
    assert {"learning rate", "alpha 0.1", "alpha 0.5", "validation F1 (%), from 70"} <= found


def test_rows_that_leak_can_be_left_out(tmp_path: Path) -> None:
    drawn = write_plots(tmp_path, small(), outcomes, cleaned=True)
    names = {one.name: one for one in drawn}
    assert "f1-cleaned" in names and not any("learning" in name or "retrieval" in name for name in names)
    assert "72.0" in words(names["f1-cleaned"].svg)
    assert "PER (1)" in words(names["confusion-cleaned"].svg)
    assert all("share something with training" in one.caption for one in drawn)


def test_names_that_would_collide_do_not(tmp_path: Path) -> None:
    names = ("名", "a b", "a-b", "../x")
    cells = [Cell({"data": name, "system": own}, [seen(1, 50.0)]) for name in names for own in ("a", "b")]
    drawn = write_plots(tmp_path, results(*cells), no_outcomes)
    stems = [one.png.name for one in drawn if one.name.startswith("f1-by-type")]
    assert stems == ["f1-by-type-名.png", "f1-by-type-a-b.png", "f1-by-type-a-b-2.png", "f1-by-type-..-x.png"]
    assert all(one.png.parent == tmp_path for one in drawn)


def test_an_experiment_of_which_nothing_was_run_has_no_plots(tmp_path: Path) -> None:
    assert write_plots(tmp_path, results(), no_outcomes) == []
    assert write_plots(tmp_path, results(Cell({"system": "a"}, [], "not run yet")), no_outcomes) == []


def test_without_matplotlib_it_is_said_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['matplotlib'] = None\n"
        "from babelens.experiments.plots import write_plots\n"
        "from babelens.experiments.results import Results\n"
        "from babelens.schema import InputError\n"
        "try:\n"
        "    write_plots(None, Results('', '', '', {}, [], []), None)\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'babelens[experiments]'" in told.stdout


def test_outcomes_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    def broken(cell: Cell, test: str) -> list[list[Outcome]]:
        raise InputError("no such file")

    with pytest.raises(InputError, match="no such file"):
        write_plots(tmp_path, results(Cell({"system": "a"}, [seen(1, 50.0)])), broken)
