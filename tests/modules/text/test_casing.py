import pytest

from babelens.modules.text.casing import Casing, casing_of


@pytest.mark.parametrize(
    ("word", "class_"),
    [
        ("museum", Casing.LOWER),
        ("Zürich", Casing.INITIAL),
        ("O'brien", Casing.INITIAL),
        ("I", Casing.SINGLE),
        ("NATO", Casing.UPPER),
        ("U.S.", Casing.UPPER),
        ("iPhone", Casing.MIXED),
        ("McDonald", Casing.MIXED),
        ("東京", Casing.CASELESS),
        ("مصر", Casing.CASELESS),
        ("1998", Casing.NUMBER),
        ("1,000.50", Casing.NUMBER),
        ("50%", Casing.NUMBER),
        ("GTX1080", Casing.DIGITS),
        ("...", Casing.SIGN),
        ("😀", Casing.SIGN),
        ("#London", Casing.HASHTAG),
        ("#", Casing.SIGN),
        ("@anna", Casing.MENTION),
        ("@", Casing.SIGN),
        ("https://t.co/x1", Casing.ADDRESS),
        ("www.bbc.com", Casing.ADDRESS),
        ("\u200b", Casing.OTHER),
        ("\x80", Casing.OTHER),
        ("", Casing.OTHER),
    ],
)
def test_class_of_a_word(word, class_):
    assert casing_of(word) is class_
