import io
import json
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from PIL import Image

import babelens
from babelens.models.batch import Batch
from babelens.models.checkpoint import CheckpointError, load_tagger
from babelens.prediction.predictor import Predictor, choose_device
from babelens.prediction.rows import Unread
from babelens.prediction.stream import Pace, length_groups
from babelens.schema import InputError

TEXTS = [
    "Anna Lindqvist a visité Paris.",
    "",
    "¿Quién ganó? El Real Madrid 👩🏽‍🚀🇩🇪 #copa @realmadrid",
    " \t\n",
    "Die Sängerin aus Ko\u0308ln (Cologne) singt morgen's «Lied»… don't l'Italie!",
    "กรุงเทพ 東京 🏳️‍🌈x",
    "a" * 500,
    "\u200b \ufffd \x92 \ud800 x",
]


@pytest.fixture(scope="module")
def predictor(tiny_tagger):
    return Predictor(tiny_tagger)


def red(size=(40, 30)):
    return Image.new("RGB", size, (220, 20, 30))


def striped():
    image = Image.new("RGB", (64, 64), (0, 0, 255))
    image.paste((255, 255, 0), (0, 0, 32, 64))
    return image


def encoded(image, kind="PNG"):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def same(one, two):
    assert [(m.start, m.end, m.type) for m in one.entities] == [(m.start, m.end, m.type) for m in two.entities]
    assert [m.score for m in one.entities] == pytest.approx([m.score for m in two.entities], abs=1e-5)
    assert (one.text, one.image_status) == (two.text, two.image_status)


@pytest.mark.parametrize("text", TEXTS)
def test_a_mention_is_what_stands_at_its_place(predictor, text):
    answer = predictor.predict(text)
    assert answer.text == text
    assert all(text[m.start : m.end] == m.text and m.text and 0 <= m.score <= 1 for m in answer.entities)
    assert all(one.end <= two.start for one, two in zip(answer.entities, answer.entities[1:], strict=False))
    assert all(m.type in predictor.types for m in answer.entities)


MIXED = st.text(
    st.one_of(st.sampled_from("aZé ß\u0308 \u200d\u00ad😀👩🏽🇩🇪#@'’-./\n\t東กα"), st.characters()), max_size=120
)


@settings(deadline=None, max_examples=60)
@given(text=MIXED)
def test_a_mention_of_any_text_is_what_stands_at_its_place(predictor, text):
    answer = predictor.predict(text)
    assert answer.text == text
    end = 0
    for mention in answer.entities:
        assert end <= mention.start < mention.end <= len(text)
        assert text[mention.start : mention.end] == mention.text == mention.text.strip()
        end = mention.end


@pytest.mark.parametrize("text", ["", " \t\n"])
def test_a_text_without_words_is_answered_without_entities(predictor, text):
    answer = predictor.predict(text, red())
    assert (answer.entities, answer.image_status, answer.text) == ((), "none", text)


def test_entities_and_scores_are_those_of_the_tagger(predictor, tiny_tagger):
    words = ["Anna", "went", "to", "Lyon", "with", "Siemens", "."]
    answer = predictor.predict(words, red())
    batch = _batch(tiny_tagger, words, red())
    assert answer.text == " ".join(words)
    spans = []
    for mention in answer.entities:
        start = len(answer.text[: mention.start].split())
        spans.append((start, start + len(mention.text.split()), mention.type))
    (entities,) = tiny_tagger.decode(batch)
    assert spans == [(entity.start, entity.end, entity.type) for entity in entities] and spans
    head, emissions = tiny_tagger.head, tiny_tagger.emissions(batch)
    expected = head.span_marginals(emissions, torch.ones(1, len(words), dtype=torch.bool), [list(entities)])
    assert [m.score for m in answer.entities] == pytest.approx(expected[0], abs=1e-6)


def _batch(tagger, words, image) -> Batch:
    from babelens.data import Picture
    from babelens.models.batch import Row
    from babelens.schema import Example

    row = Row(Example("x", tuple(words)), ("k",), lambda key: Picture(key, image, "used"))
    return tagger.collator()([row], labelled=False)


def test_a_picture_changes_the_scores_and_its_form_does_not_matter(predictor, tmp_path):
    path = tmp_path / "photo.jpg"
    striped().save(path, "PNG")  # named .jpg all the same
    text = TEXTS[0]
    alone, seen = predictor.predict(text), predictor.predict(text, striped())
    assert [m.score for m in alone.entities] != pytest.approx([m.score for m in seen.entities], abs=1e-4)
    assert (alone.image_status, seen.image_status) == ("none", "used")
    for image in (path, str(path), encoded(striped()), [striped()], striped().convert("RGBA"), striped().convert("P")):
        same(predictor.predict(text, image), seen)
    two = predictor.predict(text, [path, encoded(red())])
    assert two.image_status == "used"
    assert [m.score for m in two.entities] != pytest.approx([m.score for m in seen.entities], abs=1e-4)


@pytest.mark.parametrize(
    ("image", "status"),
    [
        ("nowhere/at/all.jpg", "missing"),
        ("https://example.org/photo.jpg", "missing"),
        ("null\0byte.jpg", "missing"),
        (b"", "unreadable"),
        (b"no picture at all", "unreadable"),
        (encoded(striped(), "JPEG")[:200], "unreadable"),
        ([], "none"),
        (["nowhere.jpg", encoded(red())], "used"),
    ],
)
def test_a_bad_picture_is_told_and_changes_nothing(predictor, image, status):
    answer = predictor.predict(TEXTS[0], image)
    assert answer.image_status == status
    if status != "used":
        same(predictor.predict(TEXTS[0]), _with(answer, "none"))


def _with(answer, status):
    from dataclasses import replace

    return replace(answer, image_status=status)


def test_a_zero_byte_file_and_a_folder_are_unreadable(predictor, tmp_path):
    (tmp_path / "empty.jpg").touch()
    assert predictor.predict("a", tmp_path / "empty.jpg").image_status == "unreadable"
    assert predictor.predict("a", tmp_path).image_status == "unreadable"


def test_a_model_of_text_alone_says_that_no_picture_took_part(tiny_tagger, tmp_path):
    from babelens.models.checkpoint import new_tagger, save_tagger

    text_only = new_tagger(tiny_tagger.model.text_only(), tiny_tagger.tags, lambda: [["a", "b"]])
    save_tagger(text_only, tmp_path / "text")
    answer = babelens.load(tmp_path / "text", "cpu").predict("a b c", red())
    assert answer.image_status == "none"


def test_one_at_a_time_is_the_same_as_many_at_once(predictor):
    pictures = [None, red(), striped(), "nowhere.jpg", red(), None, encoded(striped()), [red(), striped()]]
    rows = [
        {"text": text, "image": image, "id": f"r{n}"}
        for n, (text, image) in enumerate(zip(TEXTS, pictures, strict=True))
    ]
    rows += [{"tokens": ["Paris", "x" * n], "id": f"t{n}"} for n in range(5)]
    answers = list(predictor.predict_batch(rows, batch=4))
    assert [answer.id for answer in answers] == [row["id"] for row in rows]
    for row, answer in zip(rows, answers, strict=True):
        same(answer, predictor.predict(row.get("text") or row.get("tokens", ""), row.get("image")))


def test_rows_keep_their_order_and_are_read_only_so_far_ahead(predictor):
    taken = []

    def rows():
        for n in range(1000):
            taken.append(n)
            yield ["w"] * (1 + n * 7 % 5) + [str(n)]

    answers = predictor.predict_batch(rows(), batch=2)
    first = [next(answers) for _ in range(40)]
    assert [answer.text.split()[-1] for answer in first] == [str(n) for n in range(40)]
    assert [answer.id for answer in first] == [str(n) for n in range(40)]
    assert len(taken) <= 3 * Pace(2).block


def test_unread_rows_keep_their_place(predictor):
    rows = ["a b", {"text": 3}, Unread("x", "file:3: broken"), {"tokens": ["a", None]}, 7 * ["a"], {"id": "n"}]
    answers = list(predictor.predict_batch(rows))
    assert [answer.error is None for answer in answers] == [True, False, False, False, True, False]
    assert answers[2].to_dict() == {"id": "x", "error": "file:3: broken"}
    assert answers[1].error == "row 1: expected a text, found 3"
    assert "None" in answers[3].error and "expected text or tokens, found id" in answers[5].error


def test_a_very_long_text_is_answered_whole(predictor):
    sentence = "Anna Lindqvist visited Paris with Siemens . "
    text = sentence * 60
    answer = predictor.predict(text)
    assert len(answer.text) == len(text)
    third = len(text) // 3
    for part in range(3):
        inside = [m for m in answer.entities if part * third <= m.start < (part + 1) * third]
        assert len(inside) > 20
    assert all(text[m.start : m.end] == m.text for m in answer.entities)
    assert answer.entities[-1].end > len(text) - len(sentence)


@pytest.mark.parametrize("wrong", [3, None, [1, 2], ["a", b"b"], b"bytes", {"text": 4}])
def test_what_is_no_text_is_refused(predictor, wrong):
    # Under the tests the signature is checked as well, and may be the first to refuse.
    with pytest.raises((InputError, TypeCheckError)):
        predictor.predict(wrong)


def test_a_batch_has_at_least_one_row(predictor):
    with pytest.raises(ValueError, match="at least 1 row, found 0"):
        next(predictor.predict_batch(["a"], batch=0))


def test_a_picture_that_changes_between_calls_is_read_anew(predictor, tmp_path):
    path = tmp_path / "a.png"
    striped().save(path)
    before = predictor.predict(TEXTS[0], path)
    red().save(path)
    same(predictor.predict(TEXTS[0], path), predictor.predict(TEXTS[0], red()))
    assert [m.score for m in before.entities] != pytest.approx(
        [m.score for m in predictor.predict(TEXTS[0], path).entities], abs=1e-5
    )


def test_groups_are_full_but_never_too_wide():
    lengths = {0: 3, 1: 0, 2: 9000, 3: 9, 4: 3, 5: 12_000, 6: 4}
    groups = length_groups(lengths, 3, 16_384)
    assert groups == [[5], [2], [3, 6, 0], [4]]
    assert length_groups({}, 3, 16_384) == []


def test_load_gives_the_same_model(tiny_folder, predictor):
    loaded = babelens.load(tiny_folder, device="cpu")
    same(loaded.predict(TEXTS[0], red()), predictor.predict(TEXTS[0], red()))
    assert (loaded.types, str(loaded.device)) == (("LOC", "MISC", "ORG", "PER"), "cpu")
    assert isinstance(load_tagger(tiny_folder), torch.nn.Module)


def test_a_wrong_model_or_device_is_said_clearly(tiny_folder, tmp_path):
    with pytest.raises(CheckpointError, match="expected a model folder, found nothing"):
        babelens.load(tmp_path / "none", device="cpu")
    with pytest.raises(InputError, match=r"expected a device of this machine .*found 'quantum'"):
        babelens.load(tiny_folder, device="quantum")
    assert choose_device("cpu").type == "cpu"


def test_importing_the_package_imports_no_torch():
    code = "import sys, json; from babelens import Entity, Example, load; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "numpy", "pyarrow", "PIL", "datasets"} & set(json.loads(done.stdout))
    assert heavy == set()
