import importlib.util
import sys
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest

from babelens.build.rows import read_input, row_fault
from babelens.build.step import Step, run_step
from babelens.build.translate import doubtful_first, translate_rows, translation_step
from babelens.build.translate_texts import METHODS, Carrying
from babelens.build.translators import Translator
from babelens.data.jsonl import read_jsonl
from babelens.data.problems import Problems
from babelens.schema import InputError


class Book:
    """A translator that knows what is written into it, and notes what it was asked."""

    def __init__(self, **known):
        self.known = known
        self.asked = []

    def translate(self, texts, source, target):
        self.asked.append((list(texts), source, target))
        return [self.known.get(target, {}).get(text, "") for text in texts]


def row_of(id_, text, *names, **more):
    entities = []
    for name, _, type_ in (name.partition("/") for name in names):
        start = text.index(name)
        entities.append({"start": start, "end": start + len(name), "text": name, "type": type_ or "LOC"})
    return {"id": id_, "text": text, "language": "en", "entities": entities, **more}


ROW = row_of("r1", "The EU met in London.", "London", "EU/ORG", image="7", source="news", tokens=["The"], odd=[1])
PLAIN, TAGS = "L'UE s'est réunie à Londres.", "L'<e1>UE</e1> s'est réunie à <e2>Londres</e2>."
FRENCH = {
    "The EU met in London.": PLAIN,
    "The <e1>EU</e1> met in <e2>London</e2>.": TAGS,
    "EU": "UE",
    "London": "Londres",
}


def test_what_a_translated_row_is():
    (result,) = translate_rows([ROW], Book(fr=FRENCH), ["fr"])
    (row,) = result.rows
    scores = [entity.pop("score") for entity in row["entities"]]
    doubt = row.pop("doubt")
    assert row == {
        "id": "r1-fr",
        "text": PLAIN,
        "language": "fr",
        "group": "r1",
        "entities": [
            {"start": 2, "end": 4, "text": "UE", "type": "ORG"},
            {"start": 20, "end": 27, "text": "Londres", "type": "LOC"},
        ],
        "image": "7",
        "source": "news",
        "odd": [1],
        "translated_from": "r1",
    }
    assert all(0.95 < score < 1 for score in scores)
    assert doubt == pytest.approx(1 - scores[0] * scores[1], abs=2e-4)
    assert row_fault(result.rows[0] | {"entities": [{**entity, "score": 1} for entity in row["entities"]]}) is None
    assert result.said == {
        "did": "translated",
        "to": [
            {
                "id": "r1-fr",
                "doubt": doubt,
                "style": "tags",
                "entities": [[2, 4, "both", scores[0]], [20, 27, "both", scores[1]]],
            }
        ],
    }


def test_a_translation_has_the_group_of_its_source():
    (result,) = translate_rows([{**ROW, "group": "g"}], Book(fr=FRENCH), ["fr"])
    assert result.rows[0]["group"] == "g"


def test_what_each_method_asks_for():
    texts = {name: [] for name in METHODS}
    for name, asked in texts.items():
        book = Book(fr=FRENCH)
        translate_rows([ROW], book, ["fr"], carrying=METHODS[name])
        asked += [text for texts, _, _ in book.asked for text in texts]
    marked = "The <e1>EU</e1> met in <e2>London</e2>."
    assert sorted(texts["both"]) == sorted([ROW["text"], marked, "EU", "London"])
    assert texts["markers"] == [marked]
    assert sorted(texts["likeness"]) == sorted([ROW["text"], "EU", "London"])


def test_without_a_plain_translation_the_text_is_that_of_the_markers():
    (result,) = translate_rows([ROW], Book(fr=FRENCH), ["fr"], carrying=METHODS["markers"])
    assert result.rows[0]["text"] == PLAIN
    assert [entity["text"] for entity in result.rows[0]["entities"]] == ["UE", "Londres"]


def test_broken_markers_are_tried_in_the_next_style():
    brackets = "The [1: EU] met in [2: London]."
    broken = FRENCH | {"The <e1>EU</e1> met in <e2>London</e2>.": "L'<e1>UE s'est réunie à Londres."}
    book = Book(fr=broken | {brackets: "L'[1: UE] s'est réunie à [2: Londres]."})
    (result,) = translate_rows([ROW, ROW | {"id": "r2", "entities": []}], book, ["fr"])[:1]
    assert book.asked[-1] == ([brackets], "en", "fr")
    assert result.said["to"][0]["style"] == "brackets"
    assert "faults" not in result.said["to"][0]
    # Where that one is no better, the first one stays, and its faults are told.
    (result,) = translate_rows([ROW], Book(fr=broken), ["fr"])
    assert result.said["to"][0]["faults"] == {"0": "half", "1": "lost"}
    assert [entity["text"] for entity in result.rows[0]["entities"]] == ["UE", "Londres"]


def test_a_text_that_looks_like_markers_is_marked_in_another_style_or_not_at_all():
    book = Book()
    translate_rows([row_of("r", "<e9> in Rome", "Rome")], book, ["fr"], carrying=METHODS["markers"])
    assert book.asked[0][0] == ["<e9> in [1: Rome]"]
    book = Book(fr={"<e9> [in] Rome": "<e9> [à] Rome"})
    (result,) = translate_rows([row_of("r", "<e9> [in] Rome", "Rome")], book, ["fr"], carrying=METHODS["markers"])
    assert result.rows[0]["text"] == "<e9> [à] Rome"
    assert result.rows[0]["entities"][0]["text"] == "Rome"


def test_what_is_not_translated_is_told():
    rows = [
        {"id": "own", "text": "Paris dort", "language": "fr"},
        {"id": "empty", "text": " \n", "language": "en"},
        row_of("twice", "New York", "New York", "York"),
        {"id": "unknown", "text": "It rains", "language": "en"},
        {"id": "ok", "text": "The EU met in London."},
    ]
    results = translate_rows(rows, Book(fr=FRENCH, de={"Paris dort": "Paris schläft"}), ["fr", "de"], language="en")
    assert [result.said.get("why") for result in results] == [
        None,
        "the text is empty",
        "two entities overlap",
        "the translation is empty",
        None,
    ]
    assert results[0].said["left"] == {"fr": "the row is in this language"}
    assert [row["id"] for row in results[0].rows] == ["own-de"]
    assert results[4].said["left"] == {"de": "the translation is empty"}
    assert [row["id"] for result in results for row in result.rows] == ["own-de", "ok-fr"]


def test_a_name_without_a_place_makes_the_row_doubtful():
    rows = [row_of("a", "in Vienna", "Vienna"), row_of("b", "in Oslo", "Oslo"), row_of("c", "it rains")]
    book = Book(fr={"in Vienna": "là-bas", "in Oslo": "à Oslo", "it rains": "il pleut"})
    results = translate_rows(rows, book, ["fr"])
    assert results[0].said["to"][0]["lost"] == ["Vienna"]
    assert results[0].rows[0]["doubt"] == 1
    assert results[0].rows[0]["entities"] == []
    translated = [row for result in reversed(results) for row in result.rows]
    assert [row["id"] for row in doubtful_first(translated)] == ["a-fr", "b-fr", "c-fr"]
    assert [row["id"] for row in doubtful_first([{"id": "x"}, {"id": "y", "doubt": 0.1}])] == ["y", "x"]


def test_a_translation_that_is_the_source_is_told():
    (result,) = translate_rows(
        [row_of("a", "@BBC in London", "London")], Book(fr={"@BBC in London": "@BBC in London"}), ["fr"]
    )
    assert result.said["to"][0]["unchanged"]
    assert result.rows[0]["entities"][0]["start"] == 8


def test_the_text_is_what_the_translator_gave():
    odd = "  À\u00a0Rome\u2009!\u200d\n"
    (result,) = translate_rows([row_of("a", "In Rome!", "Rome")], Book(fr={"In Rome!": odd}), ["fr"])
    assert result.rows[0]["text"] == odd
    assert result.rows[0]["entities"][0]["text"] == "Rome"


def test_rows_do_not_hang_on_one_another():
    rows = [ROW, row_of("r2", "The EU met in London.", "EU/ORG"), {"id": "r3", "text": "London", "language": "en"}]
    together = translate_rows(rows, Book(fr=FRENCH), ["fr"])
    assert together == [translate_rows([row], Book(fr=FRENCH), ["fr"])[0] for row in rows]


def test_vectors_place_what_nothing_else_does():
    rows = [row_of("r", "see Vienna and die", "Vienna"), {"id": "s", "text": "...", "language": "en"}]
    book = Book(de={"see Vienna and die": "Wien sehen und sterben", "...": "\u200b..."})
    meanings = {"see": 0, "sehen": 0, "Vienna": 1, "Wien": 1, "and": 2, "und": 2, "die": 3, "sterben": 3}

    def vectors(sentences):
        return [np.eye(5)[[meanings.get(word, 4) for word in sentence]] for sentence in sentences]

    results = translate_rows(rows, book, ["de"], vectors=vectors)
    assert results[0].said["to"][0]["entities"][0][2] == "vectors"
    assert results[0].rows[0]["entities"][0]["text"] == "Wien"
    assert results[1].rows[0]["text"] == "\u200b..."


def test_mistakes_of_users():
    with pytest.raises(InputError, match="row 'x': expected a language, in the row or for all, found None"):
        translate_rows([{"id": "x", "text": "a"}], Book(), ["fr"])
    with pytest.raises(InputError, match="markers: expected tags, brackets, square, quotes, found 'stars'"):
        Carrying(styles=("stars",))
    with pytest.raises(InputError, match="expected a style where the text is not translated without markers"):
        Carrying(styles=(), plain=False)

    class Short:
        def translate(self, texts, source, target):
            return ["x"]

    with pytest.raises(InputError, match="expected 4 translations, found 1"):
        translate_rows([ROW], Short(), ["fr"])


def test_a_step_writes_sources_and_translations_that_read_back(tmp_path):
    source = tmp_path / "in.jsonl"
    rows = [ROW | {"tokens": None}, row_of("r2", "London", "London"), {"id": "r3", "text": "no", "language": "en"}]
    source.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    for keep, ids in ((True, ["r1", "r1-fr", "r2", "r2-fr", "r3"]), (False, ["r1-fr", "r2-fr"])):
        book = Book(fr=FRENCH)
        take = translation_step(book, ["fr"], keep=keep, block=2)
        out = tmp_path / f"out-{keep}"
        summary = run_step(Step("translate", {"to": ["fr"]}), read_input(source), out, take, block=2)
        assert len(book.asked) == 3  # the first two rows, the markers of the second one once more, the third row
        assert summary.counts["read"] == 3
        problems = Problems(out / "rows.jsonl")
        examples = list(read_jsonl(out / "rows.jsonl", problems))
        problems.raise_if_any()
        assert [example.id for example in examples] == ids
        assert [example.group for example in examples] == [id_.split("-")[0] if id_ != "r3" else None for id_ in ids]
        told = [msgspec.json.decode(line) for line in (out / "provenance.jsonl").read_bytes().splitlines()]
        last = {"id": "r3", "did": "kept" if keep else "dropped", "why": "the translation is empty"}
        assert told[2] == last | {"left": {"fr": "the translation is empty"}}


# Constructed parallel data: the built-in corpus through a translator that hurts markers and names at set rates.


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "projection.py"
    spec = importlib.util.spec_from_file_location("projection_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def carried(benchmark):
    """All entities of some sentences, carried over at the rates of a set by a method."""

    @cache
    def judge(rates, method, scenes=40, seed=3):
        sentences = list(benchmark.pairs(seed, scenes, benchmark.RATES[rates]))
        translator = benchmark.SimulatedTranslator(sentences, benchmark.RATES[rates], seed)
        assert isinstance(translator, Translator)
        return benchmark.judge(sentences, translator, METHODS[method], "en")

    return judge


def test_constructed_sentences_have_their_gold_where_it_says(benchmark):
    rates = benchmark.RATES["clean"]
    for pair in benchmark.pairs(3, 40, rates):
        names = [pair.text[start:end] for start, end in pair.spans]
        assert [pair.source_text[start:end] for start, end in pair.source_spans] == names
        assert len(pair.types) == len(names) > 0
        assert pair.text[0].isupper()
        assert " ." not in pair.text


@pytest.mark.parametrize("method", sorted(METHODS))
def test_all_is_found_where_nothing_is_hurt(carried, method):
    judged = carried("clean", method, scenes=16)
    assert len(judged) > 50
    assert all(item.right for item in judged)


@pytest.mark.parametrize(
    ("rates", "method", "least"),
    [
        ("usual", "both", 0.97),
        ("usual", "markers", 0.95),
        ("usual", "likeness", 0.95),
        ("markers bad", "both", 0.95),
        ("names bad", "both", 0.94),
    ],
)
def test_most_is_found_and_confidence_is_to_be_believed(benchmark, carried, rates, method, least):
    judged = carried(rates, method)
    assert sum(item.right for item in judged) >= least * len(judged)
    known = benchmark.believed(judged)
    assert known.ece < 0.08
    assert known.brier < 0.06
    # The most doubtful tenth holds most of what is wrong.
    wrong = [item for item in judged if not item.right]
    doubtful = sorted(judged, key=lambda item: item.confidence)[: len(judged) // 10]
    assert sum(not item.right for item in doubtful) >= 0.6 * len(wrong)


def test_markers_and_likeness_together_beat_either_where_all_is_bad(carried):
    markers = {method: sum(item.right for item in carried("markers bad", method)) for method in ("both", "markers")}
    names = {method: sum(item.right for item in carried("names bad", method)) for method in ("both", "likeness")}
    assert markers["both"] > 1.03 * markers["markers"]
    assert names["both"] > 1.03 * names["likeness"]
