import pytest

from babelens.experiments.plot_arrangement import Arrangement, number, portions
from babelens.experiments.results import Cell, Leaks, Reading, Results, Run


def cell(labels: dict[str, str], *tests: str, f1: float = 70.0) -> Cell:
    reading = Reading(1, "", {"micro": {"f1": f1}}, None, Leaks(0), f1)
    return Cell(labels, [Run(1, f1 + 1, 1, 1, 1.0, 1, dict.fromkeys(tests, reading))])


def arranged(*cells: Cell) -> Arrangement:
    return Arrangement(Results("x", "X", "", {}, [1], list(cells)))


def test_the_last_axis_is_the_series_and_those_before_it_the_panels() -> None:
    found = arranged(*(cell({"data": d, "system": s}, "test") for d in ("All", "German") for s in ("bert", "2m-ner")))
    assert found.every_series == ["bert", "2m-ner"] and found.numeric == []
    assert [(panel, test, len(cells)) for panel, test, cells in found.places()] == [
        ("All", "test", 2),
        ("German", "test", 2),
    ]


def test_tests_are_panels_where_there_are_several() -> None:
    found = arranged(*(cell({"training": name}, "English", "French") for name in ("English", "All")))
    assert [panel for panel, *_ in found.places()] == ["English", "French"]
    both = arranged(*(cell({"system": s, "training": t}, "de", "fr") for s in ("a", "b") for t in ("de", "fr")))
    assert [panel for panel, *_ in both.places()][:2] == ["a, read on de", "b, read on de"]


def test_controls_belong_to_their_test() -> None:
    found = arranged(cell({"system": "a"}, "test", "test, blank", "test, noise:3", "Paris, France"))
    assert found.tests == ["test", "Paris, France"]
    assert found.controls["test"] == {"blank": "test, blank", "noise:3": "test, noise:3"}


def test_one_cell_is_named_by_its_labels() -> None:
    found = arranged(cell({"system": "mine"}, "test"))
    assert found.every_series == ["mine"] and [panel for panel, *_ in found.places()] == [""]


def test_numbers_are_found_beside_a_twin_that_has_none() -> None:
    found = arranged(
        *(cell({"dose": name}, "test", f1=f1) for name, f1 in (("0", 70.0), ("0.5", 69.0), ("twin", 65.0)))
    )
    assert found.numeric == ["dose"]
    series, levels = found.along("dose", found.results.cells, lambda run: run.validation_f1)
    assert series == {"dose": {0.0: [71.0], 0.5: [70.0]}} and levels == {"twin": [66.0]}


def test_cells_without_the_axis_are_levels_and_those_of_other_numbers_are_not() -> None:
    cells = [cell({"loss": name}, f1=f1) for name, f1 in (("none", 60.0), ("as declared", 61.0))]
    cells += [cell({"alpha": name}) for name in ("0.1", "0.2")] + [cell({"temperature": name}) for name in ("1", "2")]
    series, levels = arranged(*cells).along("alpha", cells, lambda run: run.validation_f1)
    assert series == {"alpha": {0.1: [71.0], 0.2: [71.0]}}
    assert levels == {"none": [61.0], "as declared": [62.0]}


def test_of_two_numeric_axes_the_other_is_the_series() -> None:
    cells = [cell({"alpha": a, "rate": r}) for a in ("0.1", "0.2") for r in ("1e-05", "5e-05")]
    series, _ = arranged(*cells).along("rate", cells, lambda run: run.validation_f1)
    assert list(series) == ["alpha 0.1", "alpha 0.2"] and list(series["alpha 0.1"]) == [1e-5, 5e-5]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.1", 0.1), ("1e-05", 1e-5), ("25 %", 25.0), ("5%", 5.0), ("noise:3", None), ("nan", None), ("", None)],
)
def test_labels_are_read_as_numbers(text: str, expected: float | None) -> None:
    assert number(text) == expected


def test_portions_hold_all_names_in_order() -> None:
    names = [str(place) for place in range(25)]
    found = list(portions(names, 12))
    assert [len(some) for _, some in found] == [8, 8, 9] and [name for _, some in found for name in some] == names
    assert [suffix for suffix, _ in found] == [" part 1", " part 2", " part 3"]
    assert list(portions(names[:3], 12)) == [("", names[:3])] and list(portions([], 12)) == []
