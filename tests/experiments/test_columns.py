import pytest

from babelens.experiments.columns import check, heading, of_run, printed, ranked, read, summary
from babelens.experiments.results import Cell, Leaks, Reading, Run
from babelens.schema import InputError

PUBLISHED = {
    "micro": {"precision": 50.0, "recall": 60.0, "f1": 54.5, "support": 20},
    "types": {"PER": {"f1": 70.0}, "a.b": {"f1": 1.0}},
    "languages": {"en": {"f1": 40.0}, "fr": {"f1": 70.0}},
}
CLEANED = {"micro": {"f1": 51.0}, "languages": {"en": {"f1": 40.0}}}
READING = Reading(rows=10, digest="d", published=PUBLISHED, cleaned=CLEANED, leaks=Leaks(1), seqeval=54.5)


def run(**others):
    facts = {"seed": 1, "validation_f1": 61.0, "epoch": 3, "epochs": 8, "seconds": 12.5, "parameters": 2_500_000}
    return Run(**{**facts, "readings": {"test": READING}, **others})


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("micro.f1", 54.5),
        ("types.PER.f1", 70.0),
        ("types.ORG.f1", None),
        ("languages.fr.f1", 70.0),
        ("languages macro", 55.0),
        ("seqeval", 54.5),
        ("validation", 61.0),
        ("epoch", 3.0),
        ("seconds", 12.5),
        ("parameters", 2.5),
        ("best on test", 57.0),
        ("measures.retrieval.clip", 31.0),
        ("measures.pointing", None),
    ],
)
def test_figures_of_a_run(column, value):
    one = run(best_on_test={"test": 57.0}, measures={"retrieval": {"clip": 31.0}})
    assert read(one, "test", column) == value


def test_figures_of_cleaned_rows():
    assert read(run(), "test", "micro.f1", cleaned=True) == 51.0
    assert read(run(), "test", "languages macro", cleaned=True) is None  # one language is left
    assert read(run(), "test", "validation", cleaned=True) is None


def test_a_part_that_was_not_read():
    assert read(run(), "test, blank", "micro.f1") is None
    assert read(run(), "test, blank", "validation") == 61.0


def test_mean_and_spread_over_seeds():
    found = summary(Cell({}, [run(validation_f1=f1) for f1 in (60.0, 61.0, 65.0)]), "test", "validation")
    assert found is not None and found.count == 3
    assert found.mean == pytest.approx(62.0) and found.deviation == pytest.approx(7**0.5)


@pytest.mark.parametrize(
    "column", ["micro.f2", "micro", "types.f1", "types.PER", "f1", "", "languages", "best", "measures"]
)
def test_columns_that_are_none(column):
    with pytest.raises(InputError, match=r"columns: expected a path .* found '"):
        check(column)


def test_heads_are_short():
    heads = {
        "types.PER.f1": "PER",
        "types.PER.recall": "PER R",
        "types.a.b.f1": "a.b",
        "micro.precision": "P",
        "micro.f1": "F1",
        "macro.f1": "macro F1",
        "boundaries.f1": "spans F1",
        "micro.support": "entities",
        "measures.retrieval.clip.mrr": "retrieval clip mrr",
        "validation": "validation F1",
    }
    for column, head in heads.items():
        check(column)
        assert heading(column) == head


def test_figures_are_printed_by_what_they_are():
    assert printed("micro.f1", 70.456) == "70.46"
    assert printed("seconds", 12_345.6) == "12,346"
    assert printed("epoch", 3.25) == "3.2"
    assert [column for column in ("micro.f1", "micro.support", "seconds", "validation") if ranked(column)] == [
        "micro.f1",
        "validation",
    ]
    assert of_run("validation") and of_run("measures.pointing.clip") and not of_run("best on test")
