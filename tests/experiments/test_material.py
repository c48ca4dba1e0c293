import itertools
import json

import numpy as np
import pytest

from babelens.data import read_corpus
from babelens.experiments.material import Material, Sealed, Selection, read_ledger
from babelens.experiments.plan import PlanError, Slice, Test, Variant

LANGUAGES = ("en", "de", "fr")


@pytest.fixture
def corpus(tmp_path):
    def make(name, sizes):
        rows = [
            {"id": f"{name}-{language}-{number}", "tokens": [f"w{number}", "Anna", name, language],
             "ner_tags": ["O", "B-PER", "O", "O"], "language": language, "group": f"{name}-{number}"}
            for language, size in sizes.items()
            for number in range(size)
        ]  # fmt: skip
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return read_corpus(path)

    return make


@pytest.fixture
def material(corpus, tmp_path):
    training = corpus("train", {"en": 40, "de": 20, "fr": 30})
    test = Sealed(lambda: corpus("test", {"en": 5, "de": 6}), tmp_path / "reads.jsonl")
    return Material(training, corpus("valid", dict.fromkeys(LANGUAGES, 4)), test)


def languages(material, rows):
    return [material.training[int(row)].language for row in rows]


def test_without_a_word_all_rows_are_trained_on(material):
    assert material.train_rows(Variant(name="all")).tolist() == list(range(90))


def test_languages_choose_training_and_validation(material):
    training, validation = material.parts(Variant(name="de", languages=("de",)))
    assert {example.language for example in training} == {example.language for example in validation} == {"de"}
    assert (len(training), len(validation)) == (20, 4)


def test_validation_may_be_of_other_languages(material):
    variant = Variant(name="x", languages=("de",), validation=("en", "fr"))
    assert {example.language for example in material.validation_rows(variant)} == {"en", "fr"}


def test_slices_that_meet_have_nothing_in_common_and_lack_nothing(material):
    cuts = np.linspace(0, 1, 8)
    slices = [Slice(start=float(low), stop=float(high)) for low, high in itertools.pairwise(cuts)]
    rows = [material.train_rows(Variant(name="x", languages=("en",), slices=(part,))) for part in slices]
    assert sorted(np.concatenate(rows).tolist()) == list(range(40))


def test_shares_lie_within_one_another(material):
    small = material.train_rows(Variant(name="x", slices=(Slice(stop=0.1),)))
    large = material.train_rows(Variant(name="x", slices=(Slice(stop=0.5),)))
    assert len(small) == 9
    assert set(small) < set(large)


def test_tied_rows_lie_side_by_side(material):
    """Translations of one sentence are in the same slice of each language, as far as both languages have them."""
    chosen = {}
    for language in ("en", "fr"):
        rows = material.train_rows(Variant(name="x", slices=(Slice(languages=(language,), stop=1.0),)))
        ordered = material._cut(Slice(languages=(language,), stop=1.0), (language,))
        assert sorted(ordered) == rows.tolist()
        chosen[language] = [material.training[int(row)].group for row in ordered]
    assert [group for group in chosen["en"] if group in chosen["fr"]] == chosen["fr"]


def test_a_slice_is_cut_to_the_rows_of_another_language(material):
    pair = Variant(
        name="x",
        slices=(
            Slice(languages=("en",), stop=0.5),
            Slice(languages=("de",), start=0.5, as_many_as=("en",)),
        ),
    )
    control = Variant(
        name="x",
        slices=(
            Slice(languages=("en",), stop=0.5),
            Slice(languages=("en",), start=0.5, as_many_as=("de",)),
        ),
    )
    with_german, with_english = (languages(material, material.train_rows(one)) for one in (pair, control))
    assert (with_german.count("en"), with_german.count("de")) == (20, 10)
    assert with_english.count("en") == 30
    first = set(material.train_rows(Variant(name="x", slices=(Slice(languages=("en",), stop=0.5),))))
    assert first < set(material.train_rows(pair)) and first < set(material.train_rows(control))


@pytest.mark.parametrize("variant", [Variant(name="x", languages=("es",)), Variant(name="x", validation=("es",))])
def test_what_the_data_does_not_have_is_told_of(material, variant):
    with pytest.raises(PlanError, match="es"):
        material.parts(variant)


def test_pictures_of_a_training_part_are_disguised(material):
    training, _ = material.parts(Variant(name="x", pictures="shuffled"))
    assert len(training) == 90  # rows without pictures stay as they are


def test_a_test_part_is_opened_for_a_chosen_model_only(material, tmp_path):
    rows = material.test.rows(("en",))
    with pytest.raises(PlanError, match="chosen model"):
        material.test.open(Selection(tmp_path / "none", "run", 50.0, 1), "test", rows)
    assert not (tmp_path / "reads.jsonl").exists()
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    for _ in range(2):
        opened = material.test.open(Selection(model, "run", 50.0, 1), "test", rows)
        assert [example.language for example in opened] == ["en"] * 5
    first, second = read_ledger(tmp_path / "reads.jsonl")
    assert (first["run"], first["test"], first["rows"], first["why"]) == ("run", "test", 5, "after selection")
    assert "again" not in first and second["again"] == 1


def test_shared_texts_are_found_before_anything_is_opened(corpus, tmp_path):
    training, again = corpus("same", {"en": 3}), corpus("same", {"en": 3})
    test = Sealed(lambda: again, tmp_path / "reads.jsonl")
    assert all("text" in kinds for kinds in test.shared(training))
    assert not (tmp_path / "reads.jsonl").exists()


def test_a_corpus_that_was_not_given_is_told_of(material):
    with pytest.raises(PlanError, match="--also conll=DIR"):
        material.sealed(Test(data="conll"))


def test_a_slice_of_a_language_that_is_not_there_is_no_empty_slice(material):
    slices = (Slice(languages=("en",), stop=0.5), Slice(languages=("es",), start=0.5, as_many_as=("en",)))
    with pytest.raises(PlanError, match="no training rows of es"):
        material.train_rows(Variant(name="x", slices=slices))


def test_what_is_compared_once_is_not_compared_again(corpus, tmp_path, monkeypatch):
    training = corpus("same", {"en": 3})
    first = Sealed(lambda: corpus("same", {"en": 3}), tmp_path / "reads.jsonl")
    found, unit = first.shared(training), first.units.tolist()
    for name in ("overlap", "tied_units"):
        monkeypatch.setattr(f"babelens.experiments.material.{name}", lambda *_: pytest.fail("compared again"))
    again = Sealed(lambda: corpus("same", {"en": 3}), tmp_path / "reads.jsonl")
    assert (again.shared(training), again.units.tolist()) == (found, unit)
    other = Sealed(lambda: corpus("other", {"en": 3}), tmp_path / "reads.jsonl")
    with pytest.raises(pytest.fail.Exception):
        other.shared(training)
