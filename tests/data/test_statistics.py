from babelens.data import read_corpus
from babelens.data.statistics import Lengths, Statistics, as_data, as_table, statistics

ROWS = """{"tokens": ["Anna", "Lind", "in", "Rome"], "ner_tags": ["B-PER", "I-PER", "O", "I-LOC"], "image": "1"}
{"tokens": ["x"], "ner_tags": ["O"], "images": ["1", "2"], "language": "en"}
{"text": "so it goes", "language": "en"}
"""


def test_counts_by_hand(tmp_path):
    (tmp_path / "a.jsonl").write_text(ROWS)
    counts = statistics(read_corpus(tmp_path / "a.jsonl"))
    assert counts == Statistics(
        sentences=3,
        words=8,
        entities={"PER": 1, "LOC": 1},
        without_entities=2,
        violations=1,
        lengths=Lengths(8 / 3, 3.0, 4),
        entity_lengths={1: 1, 2: 1},
        languages={"en": 2, "": 1},
        with_pictures=2,
        pictures=2,
    )
    assert as_data({"a": counts})["a"]["entity_lengths"] == {"1": 1, "2": 1}
    table = as_table({"a": counts, "b": counts})
    assert [column.header for column in table.columns] == ["", "a", "b"]
    cells = dict(zip(table.columns[0].cells, table.columns[1].cells, strict=True))
    assert (cells["words"], cells["  PER"], cells["words a sentence: mean"]) == ("8", "1", "2.7")
    assert cells["language not known"] == "1"
