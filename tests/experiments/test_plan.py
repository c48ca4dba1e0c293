import itertools

import msgspec
import pytest

from babelens.experiments.plan import (
    Axis,
    Experiment,
    Grid,
    PlanError,
    Slice,
    Variant,
    known_experiments,
    points,
    read_experiment,
    slug,
)

NAMES = sorted(known_experiments())


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_reads_and_every_model_of_it_builds(name):
    experiment, file = read_experiment(name)
    recipes = {}
    for point in points(experiment):
        if point.variant.model is None:
            point = msgspec.structs.replace(point, variant=msgspec.structs.replace(point.variant, model="bert-crf"))
        recipes[point.key] = point.recipe([], 1, "compact", file.parent)
    assert recipes and experiment.title


@pytest.mark.parametrize("name", NAMES)
def test_families_contrasts_and_twins_name_cells_that_exist(name):
    experiment, _ = read_experiment(name)
    cells = [point.labels for point in points(experiment)]
    values = {label for labels in cells for label in labels.values()}
    for family in experiment.families:
        named = [labels for labels in cells if family.where.items() <= labels.items() and family.axis in labels]
        assert family.subject in {labels[family.axis] for labels in named}
        assert set(family.against or ()) <= {labels[family.axis] for labels in named}
    for contrast in experiment.contrasts:
        for term, _ in contrast.weighted():
            assert sum(term.labels.items() <= labels.items() for labels in cells) == 1, term
    assert {*experiment.twins, *experiment.twins.values()} <= values


def test_the_experiments_of_the_paper_are_there():
    assert {"table5", "table6", "table7", "rq4", "table8", "table9"} <= set(NAMES)


def test_table5_has_nine_systems_on_five_choices_of_languages():
    experiment, _ = read_experiment("table5")
    cells = list(points(experiment))
    assert len(cells) == 45
    assert len({cell.key for cell in cells}) == 45
    assert {cell.variant.languages for cell in cells if cell.labels["data"] == "French"} == {("fr",)}


def test_table8_reads_the_paper_both_ways():
    experiment, _ = read_experiment("table8")
    shares = {cell.labels["training"]: cell.variant.slices for cell in points(experiment)}
    alone = [shares[f"part {number} alone"] for number in range(1, 6)]
    assert [round(slices[0].stop - slices[0].start, 9) for slices in alone] == [0.2] * 5
    for number in range(1, 6):
        rest = shares[f"all but part {number}"]
        assert sum(part.stop - part.start for part in rest) == pytest.approx(0.8)
    assert experiment.seeds == 2


def test_table6_has_a_control_of_the_same_size_for_every_pair():
    experiment, _ = read_experiment("table6")
    cells = {cell.labels["training"]: cell.variant for cell in points(experiment)}
    for one, other in itertools.permutations(("English", "French", "Spanish", "German"), 2):
        pair = cells[f"half of {one} + {other}"]
        control = cells[f"half of {one} + as much {one} as {other}"]
        assert pair.slices[0] == control.slices[0]
        # Both take the rows that the smaller of the two halves has.
        assert pair.slices[1].as_many_as == control.slices[1].languages
        assert control.slices[1].as_many_as == pair.slices[1].languages


def test_axes_are_multiplied_and_later_ones_win():
    experiment = Experiment(
        title="",
        base=Variant(name="base", model="bert-crf", settings={"training.rate": 1e-3}),
        grids=(
            Grid(
                axes=(
                    Axis(name="alpha", sets="model.alpha", values=(0.1, 0.5)),
                    Axis(
                        name="rate",
                        values=(Variant(name="slow", settings={"training.rate": 1e-5}), Variant(name="own")),
                    ),
                )
            ),
        ),
    )
    cells = list(points(experiment))
    assert [cell.labels for cell in cells] == [
        {"alpha": "0.1", "rate": "slow"},
        {"alpha": "0.1", "rate": "own"},
        {"alpha": "0.5", "rate": "slow"},
        {"alpha": "0.5", "rate": "own"},
    ]
    assert cells[0].variant.settings == {"training.rate": 1e-5, "model.alpha": 0.1}
    assert cells[3].variant.settings == {"training.rate": 1e-3, "model.alpha": 0.5}
    assert [cell.labels for cell in points(experiment, {"rate": ["own"]})] == [cells[1].labels, cells[3].labels]


def test_settings_reach_the_recipe_and_what_a_cell_is_about_cannot_be_set():
    experiment, file = read_experiment("grid")
    point = next(points(experiment))
    recipe = point.recipe(["training.epochs=3"], 7, "compact", file.parent, ["training.epochs=9", "training.rate=1.0"])
    assert (recipe.model.alpha, recipe.training.rate) == (0.1, 1e-5)
    assert (recipe.training.epochs, recipe.training.seed) == (3, 7)
    with pytest.raises(PlanError, match=r"--set training\.rate"):
        point.recipe(["training.rate=0.25"], 7, "compact", file.parent)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title = 3", "title"),
        ('title = "x"\nunknown = 1\ngrids = []', "unknown"),
        ('title = "x"\n[[grids]]\naxes = [{ name = "a", values = [1] }]', "sets"),
        (
            'title = "x"\n[[grids]]\naxes = [{ name = "a", values = [{ name = "v", slices = [{ start = 1.0 }] }] }]',
            "start",
        ),
        ("title = ", "Invalid"),
    ],
)
def test_a_file_that_is_no_experiment_is_told_of(tmp_path, text, told):
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(PlanError, match=told) as found:
        read_experiment(str(file))
    assert "mine.toml" in str(found.value) or "axis" in str(found.value)


SOUND = """
title = "x"
[[grids]]
[[grids.axes]]
name = "batch"
sets = "training.batch"
values = [16, 64]
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[tables]]\nrows = ["bach"]', r"tables: rows: expected an axis \(batch\), found 'bach'"),
        ('[[tables]]\nrows = ["batch"]\nwhere = { data = "All" }', "tables: where: expected an axis"),
        ('[[families]]\nname = "f"\naxis = "bach"\nsubject = "64"', "family f: expected an axis"),
        ('[[families]]\nname = "f"\naxis = "batch"\nsubject = "65"', r"a value of batch \(16, 64\), found '65'"),
        ('[[families]]\nname = "f"\naxis = "batch"\nsubject = "64"\nwhere = { batch = "1" }', "found none"),
        (
            '[[contrasts]]\nname = "c"\nplus = [{ labels = { batch = "16" } }]\nminus = [{ labels = { batch = "6" } }]',
            "contrast c: expected the labels of one cell, found batch = 6, on test",
        ),
        ('[twins]\n"16" = "none"', "twins: expected a value of an axis"),
    ],
)
def test_what_names_no_cell_is_told_of_before_anything_runs(tmp_path, text, told):
    file = tmp_path / "mine.toml"
    file.write_text(SOUND, encoding="utf-8")
    read_experiment(str(file))
    file.write_text(f"{SOUND}\n{text}\n", encoding="utf-8")
    with pytest.raises(PlanError, match=told) as found:
        read_experiment(str(file))
    assert str(found.value).startswith(str(file))


def test_an_experiment_without_cells_is_none(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(SOUND.replace("[16, 64]", "[]"), encoding="utf-8")
    with pytest.raises(PlanError, match="at least one cell"):
        read_experiment(str(file))


def test_what_is_not_there_is_told_of_with_what_is():
    with pytest.raises(PlanError, match="table5"):
        read_experiment("table55")
    with pytest.raises(PlanError, match=r"nowhere\.toml: expected the TOML file of an experiment, found no such file"):
        read_experiment("nowhere.toml")
    experiment, _ = read_experiment("table9")
    with pytest.raises(PlanError, match="2m-ner-without-clip"):
        list(points(experiment, {"system": ["bert"]}))
    with pytest.raises(PlanError, match=r"--only: expected an axis \(.*system.*\), found 'data'"):
        list(points(experiment, {"data": ["All"]}))


def test_slugs_differ_where_labels_do():
    labels = ["2m-ner", "English & French", "English + French", "noise:3", "..", "ünï", "0.1"]
    assert len({slug(label) for label in labels}) == len(labels)
    assert slug("2m-ner") == "2m-ner"
    assert all("/" not in slug(label) and not slug(label).startswith(".") for label in labels)


def test_slices_are_shares():
    with pytest.raises(PlanError, match="stop"):
        Slice(start=0.5, stop=0.5)
