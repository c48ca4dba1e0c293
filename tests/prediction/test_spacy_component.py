import importlib

import pytest
from PIL import Image

from babelens.prediction.answer import Answer, Mention
from babelens.prediction.predictor import Predictor
from babelens.schema import InputError

spacy = pytest.importorskip("spacy", reason="the extra build is not installed")
# Not skipped where it cannot be imported: it is ours.
component = importlib.import_module("babelens.prediction.spacy_component")

TEXTS = ["Anna Lindqvist visited Paris with the team of Siemens in 2019 .", "", "Le maire de Lyon, hier.", "x y z"]


def red():
    return Image.new("RGB", (40, 30), (220, 20, 30))


@pytest.fixture
def nlp(tiny_folder):
    made = spacy.blank("en")
    made.add_pipe("babelens", config={"model": str(tiny_folder), "device": "cpu"})
    return made


def ents(doc):
    return [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents]


def test_entities_scores_and_answer_are_those_of_the_model(nlp, tiny_tagger):
    predictor = Predictor(tiny_tagger)
    doc = nlp(TEXTS[0])
    answer = predictor.predict(TEXTS[0])
    assert ents(doc) == [(mention.start, mention.end, mention.type) for mention in answer.entities] and doc.ents
    assert [ent._.babelens_score for ent in doc.ents] == pytest.approx([m.score for m in answer.entities], abs=1e-5)
    assert doc.user_data["babelens"]["image_status"] == "none"
    assert nlp.analyze_pipes()["summary"]["babelens"]["assigns"] == ["doc.ents", "span._.babelens_score"]


def test_the_picture_is_taken_from_the_document(nlp, tiny_tagger):
    docs = [nlp.make_doc(TEXTS[0]) for _ in range(2)]
    docs[1].user_data["image"] = red()
    alone, seen = nlp.pipe(docs)
    expected = Predictor(tiny_tagger).predict(TEXTS[0], red())
    assert [ent._.babelens_score for ent in seen.ents] == pytest.approx([m.score for m in expected.entities], abs=1e-5)
    assert seen.user_data["babelens"]["image_status"] == "used"
    assert [ent._.babelens_score for ent in alone.ents] != pytest.approx([m.score for m in expected.entities], abs=1e-4)


def test_a_stream_is_annotated_in_order_as_one_by_one_and_not_read_ahead(nlp):
    taken = []

    def texts():
        for number in range(40):
            taken.append(number)
            yield TEXTS[number % len(TEXTS)]

    stream = nlp.pipe(texts(), batch_size=4)
    first = next(stream)
    assert len(taken) <= 12
    docs = [first, *stream]
    assert [doc.text for doc in docs] == [TEXTS[number % len(TEXTS)] for number in range(40)]
    assert [ents(doc) for doc in docs] == [ents(nlp(doc.text)) for doc in docs]


def test_what_is_asked_for_stands_in_the_document_and_can_be_stored(tiny_folder):
    nlp = spacy.blank("en")
    wish = {"alternatives": 1, "image_effect": True, "min_score": 0.3}
    nlp.add_pipe("babelens", config={"model": str(tiny_folder), "device": "cpu", "ask": wish})
    doc = nlp(TEXTS[0])
    assert all(ent._.babelens_score >= 0.3 for ent in doc.ents)
    assert all("no_entity" in entity for entity in doc.user_data["babelens"]["entities"])
    again = spacy.tokens.Doc(nlp.vocab).from_bytes(doc.to_bytes())
    assert ents(again) == ents(doc) and again.user_data["babelens"] == doc.user_data["babelens"]
    assert [ent._.babelens_score for ent in again.ents] == [ent._.babelens_score for ent in doc.ents]


@pytest.mark.parametrize(
    ("alignment", "expected"),
    [("expand", [(0, 12, "LOC"), (13, 16, "PER")]), ("contract", [(13, 16, "PER")]), ("strict", [(13, 16, "PER")])],
)
def test_borders_are_aligned_and_the_better_of_two_stays(alignment, expected):
    doc = spacy.blank("en")("ParisLyonUlm Bob")
    one = component.BabelensComponent("babelens", "unused", alignment=alignment)
    mentions = (
        Mention(0, 5, "Paris", "PER", 0.4),
        Mention(5, 9, "Lyon", "LOC", 0.9),
        Mention(13, 16, "Bob", "PER", 0.5),
    )
    one._set(doc, Answer(doc.text, mentions))
    assert ents(doc) == expected


def test_a_pipeline_on_disk_needs_no_other_folder(nlp, tmp_path, tiny_folder):
    import shutil

    shutil.copytree(tiny_folder, tmp_path / "model")
    own = spacy.blank("en")
    own.add_pipe("babelens", config={"model": str(tmp_path / "model"), "device": "cpu"})
    expected = ents(own(TEXTS[0]))
    own.to_disk(tmp_path / "pipeline")
    shutil.rmtree(tmp_path / "model")
    again = spacy.load(tmp_path / "pipeline")
    assert ents(again(TEXTS[0])) == expected and expected


def test_mistakes_are_said_clearly(tiny_folder):
    with pytest.raises(InputError, match="expected strict, contract, expand, found 'near'"):
        component.BabelensComponent("babelens", None, alignment="near")
    with pytest.raises(InputError, match="min_score"):
        component.BabelensComponent("babelens", None, ask={"min_score": 3})
    with pytest.raises(InputError, match=r"ask: .*nonsense"):
        component.BabelensComponent("babelens", None, ask={"nonsense": 3})
    nlp = spacy.blank("en")
    nlp.add_pipe("babelens")
    with pytest.raises(InputError, match="component babelens: expected config"):
        nlp("a")
