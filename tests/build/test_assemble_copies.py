import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from babelens.build.assemble_copies import NEAR, SAME, find_copies, preference
from babelens.data.reading import read_corpus

TEXT = "the old bridge over river Rhône in Lyon was built by Anna Lindqvist near a market"
WORDS = TEXT.split()


def corpus_of(folder, rows):
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"id": f"r{i}", **row}) + "\n" for i, row in enumerate(rows)))
    return read_corpus(path)


def similarity(one, other):
    """Jaccard similarity of the 5-character shingles, case and blanks aside."""
    sets = []
    for text in (one, other):
        form = "".join(text.casefold().split())
        sets.append({form[at : at + 5] for at in range(len(form) - 4)} or {form})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


# One at the threshold may be missed (see `near`), and a search for such a one would find it.
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 13), max_size=3), st.sampled_from(["en", "fr"])), min_size=1, max_size=12
    )
)
def test_what_remains_has_no_copies_and_what_goes_is_one(tmp_path_factory, drawn):
    texts = []
    for left_out, _ in drawn:
        texts.append(" ".join(word for at, word in enumerate(WORDS) if at not in left_out))
    rows = [{"text": text, "language": language} for text, (_, language) in zip(texts, drawn, strict=True)]
    corpus = corpus_of(tmp_path_factory.mktemp("copies"), rows)
    copies = find_copies(corpus, range(len(rows)))
    kept = [row for row in range(len(rows)) if row not in copies]
    for one in kept:
        for other in kept:
            if one < other and drawn[one][1] == drawn[other][1]:
                assert similarity(texts[one], texts[other]) < 0.85
    for row, copy in copies.items():
        assert copy.of in kept
        assert drawn[row][1] == drawn[copy.of][1]
        assert similarity(texts[row], texts[copy.of]) >= 0.8
        assert copy.why == (SAME if texts[row].casefold() == texts[copy.of].casefold() else NEAR)


def test_links_users_and_case(tmp_path):
    text = "Anna Lindqvist sings tonight in Lyon with the orchestra"
    rows = [
        {"text": text, "language": "en"},
        {"text": f"@someone {text} https://t.co/abc", "language": "en"},
        {"text": text.upper(), "language": "en"},
        {"text": text, "language": "fr"},
    ]
    corpus = corpus_of(tmp_path, rows)
    assert {row: (copy.of, copy.why) for row, copy in find_copies(corpus, range(4)).items()} == {
        1: (0, NEAR),
        2: (0, SAME),
    }
    assert set(find_copies(corpus, range(4), None)) == {2}


def test_labels_that_differ_are_told(tmp_path):
    lyon = {"start": 0, "end": 4, "text": "Lyon", "type": "LOC"}
    rows = [
        {"text": "Lyon wins again", "language": "en", "entities": [{**lyon, "type": "ORG"}]},
        {"text": "Lyon wins again", "language": "en", "entities": [lyon]},
        {"text": "Lyon wins again", "language": "en", "entities": [{**lyon, "type": "ORG"}]},
        {"text": "lyon wins again", "language": "en", "entities": []},
    ]
    copies = find_copies(corpus_of(tmp_path, rows), range(4))
    assert [copies[row].disagrees for row in (1, 2, 3)] == [True, False, None]


def test_the_order_decides_which_remains(tmp_path):
    rows = [{"text": "Lyon wins again", "language": "en"}] * 3
    corpus = corpus_of(tmp_path, rows)
    copies = find_copies(corpus, [2, 0, 1])
    assert {row: copy.of for row, copy in copies.items()} == {0: 2, 1: 2}


def test_earlier_inputs_then_pictures_come_first():
    order = preference(np.array([0, 0, 1, 1, 1]), np.array([False, True, False, True, True]))
    assert order.tolist() == [1, 0, 3, 4, 2]
