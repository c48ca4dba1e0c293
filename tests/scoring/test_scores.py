import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report

from babelens.schema import Entity, read_tags
from babelens.scoring.scores import Average, Counts, score, score_groups

TAGS = {
    "iob2": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG-X", "I-ORG-X"],
    "bioes": ["O", *(f"{prefix}-{type_}" for prefix in "BIES" for type_ in ("PER", "LOC"))],
}


def rows_of(tags: list[str]) -> st.SearchStrategy:
    """Pairs of gold and predicted tags of the same length, legal or not, row by row."""
    pair = st.tuples(st.sampled_from(tags), st.sampled_from(tags))
    near = st.one_of(pair, st.sampled_from(tags).map(lambda tag: (tag, tag)))
    return st.lists(st.lists(near, min_size=1, max_size=8), min_size=1, max_size=5)


def close(counts: Counts | Average, theirs: dict[str, float]) -> bool:
    ours = [counts.precision / 100, counts.recall / 100, counts.f1 / 100, counts.support]
    expected = [theirs["precision"], theirs["recall"], theirs["f1-score"], theirs["support"]]
    return all(math.isclose(one, other, abs_tol=1e-12) for one, other in zip(ours, expected, strict=True))


@pytest.mark.parametrize("scheme", ["iob2", "bioes"])
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_equals_seqeval_on_any_tags(scheme: str, data: st.DataObject) -> None:
    rows = data.draw(rows_of(TAGS[scheme]))
    gold = [[tag for tag, _ in row] for row in rows]
    predicted = [[tag for _, tag in row] for row in rows]
    ours = score(
        [read_tags(tags, scheme).entities for tags in gold], [read_tags(tags, scheme).entities for tags in predicted]
    )
    if not ours.types:
        assert ours.micro == ours.boundaries == Counts(0, 0, 0)
        assert ours.macro == Average(0.0, 0.0, 0.0, 0)
        return
    theirs = classification_report(gold, predicted, output_dict=True, zero_division=0)
    assert close(ours.micro, theirs.pop("micro avg"))
    assert close(ours.macro, theirs.pop("macro avg"))
    theirs.pop("weighted avg")
    assert ours.types.keys() == theirs.keys()
    assert all(close(ours.types[type_], theirs[type_]) for type_ in theirs)


def test_a_case_counted_by_hand() -> None:
    gold = [[Entity(0, 2, "PER"), Entity(3, 4, "LOC")], [Entity(0, 1, "ORG")], []]
    predicted = [[Entity(0, 2, "PER"), Entity(3, 4, "ORG")], [Entity(0, 2, "ORG")], [Entity(5, 6, "PER")]]
    scores = score(gold, predicted)
    assert scores.types == {"LOC": Counts(0, 0, 1), "ORG": Counts(0, 2, 1), "PER": Counts(1, 1, 0)}
    assert scores.micro == Counts(tp=1, fp=3, fn=2)
    assert scores.boundaries == Counts(tp=2, fp=2, fn=1)
    assert (scores.micro.precision, scores.micro.recall) == (25, pytest.approx(100 / 3))
    assert scores.micro.f1 == pytest.approx(2 * 25 * (100 / 3) / (25 + 100 / 3))
    assert (scores.micro.support, scores.micro.predicted) == (3, 4)
    assert (scores.macro.precision, scores.macro.recall, scores.macro.f1) == pytest.approx((50 / 3, 100 / 3, 200 / 9))
    assert scores.macro.support == 3


def test_an_entity_given_twice_counts_once() -> None:
    once, twice = [[Entity(0, 1, "PER")]], [[Entity(0, 1, "PER"), Entity(0, 1, "PER")]]
    assert score(once, twice).micro == score(twice, once).micro == Counts(1, 0, 0)
    both_types = [[Entity(0, 1, "PER"), Entity(0, 1, "LOC")]]
    assert score(once, both_types).micro == Counts(1, 1, 0)
    assert score(once, both_types).boundaries == Counts(1, 0, 0)


def test_groups_are_scored_apart_and_add_up() -> None:
    gold = [[Entity(0, 1, "PER")], [Entity(0, 1, "PER")], [Entity(0, 1, "LOC")], []]
    predicted = [[Entity(0, 1, "PER")], [], [Entity(0, 1, "PER")], []]
    groups = score_groups(gold, predicted, ["fr", "en", "fr", None])
    assert list(groups) == ["en", "fr", "unknown"]
    assert groups["fr"].micro == Counts(1, 1, 1)
    assert groups["en"].micro == Counts(0, 0, 1)
    assert groups["unknown"].micro == Counts(0, 0, 0)
    assert score_groups(gold, predicted, ["all"] * 4) == {"all": score(gold, predicted)}


def test_plain_data_has_the_shape_of_evaluate() -> None:
    gold, predicted = [[Entity(0, 1, "PER")], []], [[Entity(0, 1, "PER")], [Entity(0, 1, "LOC")]]
    data = score(gold, predicted).to_dict(
        languages=score_groups(gold, predicted, ["en", "de"]),
        sources={},
        images=score_groups(gold, predicted, ["used"] * 2),
    )
    assert json.loads(json.dumps(data)) == {
        "micro": {"precision": 50.0, "recall": 100.0, "f1": pytest.approx(200 / 3), "support": 1},
        "macro": {"precision": 50.0, "recall": 50.0, "f1": 50.0, "support": 1},
        "boundaries": {"precision": 50.0, "recall": 100.0, "f1": pytest.approx(200 / 3), "support": 1},
        "types": {
            "LOC": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0},
            "PER": {"precision": 100.0, "recall": 100.0, "f1": 100.0, "support": 1},
        },
        "languages": {
            "de": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0},
            "en": {"precision": 100.0, "recall": 100.0, "f1": 100.0, "support": 1},
        },
        "sources": {},
        "images": {"used": {"precision": 50.0, "recall": 100.0, "f1": pytest.approx(200 / 3), "support": 1}},
    }


def test_rows_must_pair_up() -> None:
    with pytest.raises(ValueError, match="expected predicted for the 2 rows of gold, found 1"):
        score([[], []], [[]])
    with pytest.raises(ValueError, match="expected labels for the 1 rows of gold, found 2"):
        score_groups([[]], [[]], ["en", "de"])
