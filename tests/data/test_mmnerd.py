import pytest

from babelens.data import read_split
from babelens.data.mmnerd import TABLE_2_ROWS, TABLE_2_TOTALS, is_mmnerd, mmnerd_source, published
from babelens.schema import Example

SPLITS = ("train", "valid", "test")


def test_the_figures_add_up_to_the_sums_that_are_printed():
    parts = {(language, split): published(language, split) for language in TABLE_2_TOTALS for split in SPLITS}
    for language, totals in TABLE_2_TOTALS.items():
        assert tuple(sum(parts[language, split].entities.values()) for split in SPLITS) == totals
    for type_ in ("PER", "LOC", "ORG", "MISC"):
        assert sum(part.entities[type_] for part in parts.values()) == TABLE_2_ROWS[type_]
    assert sum(part.sentences for part in parts.values()) == TABLE_2_ROWS["sentences"]
    assert sum(map(sum, TABLE_2_TOTALS.values())) == TABLE_2_ROWS["entities"]
    assert published("it", "train") is published("en", "pairs") is None


@pytest.mark.parametrize(
    ("image", "source"),
    [
        ("17_06_4705", "tweet"),
        ("16_05_01_6.jpg", "tweet"),
        ("O_2845", "tweet"),
        ("02626611---nuance-overcome-tshirt", "caption"),
        ("12252582---funny_owls_that_640_30", "caption"),
        ("08123456---", "caption"),
        ("1109405", None),
        ("train-en-00001", None),
    ],
)
def test_sources_are_told_by_picture_ids(image, source):
    assert mmnerd_source(Example("1", ("a",), images=(image,))) == source


def test_rows_of_other_corpora_are_not_taken_for_it():
    tweets = [Example("1", ("a",), images=("17_06_4705",))] * 30
    caption = Example("2", ("a",), images=("02626611---nuance",))
    assert not is_mmnerd([]) and not is_mmnerd(tweets) and is_mmnerd([*tweets, caption])
    assert not is_mmnerd([caption, *[Example("3", ("a",))] * 2])
    assert mmnerd_source(Example("3", ("a",))) is None


@pytest.mark.shared
def test_every_row_has_a_source(shared):
    tweets = {}
    for split in SPLITS:
        sources = [mmnerd_source(example) for example in read_split(shared / "mmnerd-en", split)]
        assert set(sources) == {"tweet", "caption"}
        tweets[split] = sources.count("tweet")
    # The paper: "2982 twitters have been translated".
    assert tweets == {"train": 2390, "valid": 293, "test": 299} and sum(tweets.values()) == 2982
