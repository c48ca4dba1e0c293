from babelens.experiments.source_tables import source_tables
from babelens.experiments.sources import SourceComparison, SourceDifference, SourceFigure, SourceRows
from babelens.scoring.significance import Interval


def test_tables_of_text() -> None:
    comparison = SourceComparison(
        seeds=5,
        unnamed=0,
        types=("LOC", "ORG"),
        held_types=("LOC",),
        lengths=(1,),
        densities=(0,),
        strata=2,
        common=1,
        sources=(
            SourceRows("caption", 200, 150, 99.46, 120.4, 16.64, 2.018, 16.5, 2.04),
            SourceRows("tweet", 30, 30, 0.0, 0.0, 15.0, 1.5, None, None),
        ),
        figures=(
            SourceFigure("caption", "LOC", 40, 39, Interval(80.04, 70.0, 90.06, 150), Interval(81.0, 71.0, 91.0, 99)),
            SourceFigure("caption", "PER", 0, 0, None, None),
            SourceFigure("caption", None, 60, 39, Interval(75.0, 70.0, 80.0, 150), None),
        ),
        differences=(
            SourceDifference("caption", "tweet", "LOC", False, 1.25, -3.04, 5.56, 0.25, 0.5, 180),
            SourceDifference("caption", "tweet", None, True, -10.0, -12.0, -8.0, 0.0001, 0.0002, 170),
        ),
    )
    rows, figures, differences = source_tables(comparison).values()
    assert rows[1] == ["caption", "200", "16.6", "2.02", "99.5 %", "120", "16.5", "2.04"]
    assert rows[2] == ["tweet", "30", "15.0", "1.50", "0.0 %", "0", "", ""]
    assert figures[1:] == [
        ["caption", "LOC", "40", "80.0 [70.0, 90.1]", "39", "81.0 [71.0, 91.0]"],
        ["caption", "PER", "0", "", "0", ""],
        ["caption", "mean of LOC, ORG", "60", "75.0 [70.0, 80.0]", "39", ""],
    ]
    assert differences[1:] == [
        ["caption less tweet", "LOC", "raw", "+1.2 [-3.0, +5.6]", "0.2500", "0.5000"],
        ["caption less tweet", "mean of LOC", "held", "-10.0 [-12.0, -8.0]", "0.0001", "0.0002"],
    ]
    for table in (rows, figures, differences):
        assert {len(row) for row in table} == {len(table[0])}
