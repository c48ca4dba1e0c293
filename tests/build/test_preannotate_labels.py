import pytest

from babelens.build.preannotate_labels import Labels

# The labels of spaCy's English pipelines, each put into the table by hand.
ONTONOTES = {
    "PERSON": "PER",
    "GPE": "LOC",
    "LOC": "LOC",
    "FAC": "LOC",
    "ORG": "ORG",
    **dict.fromkeys(("NORP", "PRODUCT", "EVENT", "WORK_OF_ART", "LAW", "LANGUAGE"), "MISC"),
}
NUMBERS = ("CARDINAL", "DATE", "MONEY", "ORDINAL", "PERCENT", "QUANTITY", "TIME")


@pytest.mark.parametrize("labels", [Labels(), Labels(numbers=False)])
def test_labels_of_english_and_of_wikiner(labels):
    assert {label: labels.type_of(label) for label in ONTONOTES} == ONTONOTES
    assert [labels.type_of(label) for label in ("PER", "LOC", "ORG", "MISC")] == ["PER", "LOC", "ORG", "MISC"]


def test_numbers_are_misc_or_left_out():
    assert {Labels().type_of(label) for label in NUMBERS} == {"MISC"}
    assert {Labels(numbers=False).type_of(label) for label in NUMBERS} == {None}


def test_all_other_labels_are_misc():
    assert Labels().type_of("OTHER") == Labels(numbers=False).type_of("SKILL") == "MISC"


def test_own_names_go_before_all_else():
    labels = Labels({"PERSON": "CHARACTER", "DATE": "WHEN", "GPE": "O"}, numbers=False)
    found = [labels.type_of(label) for label in ("PERSON", "DATE", "GPE", "TIME", "LOC")]
    assert found == ["CHARACTER", "WHEN", None, None, "LOC"]
    assert labels.options() == {"types": {"DATE": "WHEN", "GPE": "O", "PERSON": "CHARACTER"}, "numbers": False}
