import base64
import io
import re
from html import unescape

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from babelens.evaluation.cards import HEAT, LONGEST_SIDE, Card, Found, Look, draw_card
from babelens.schema import Entity

COLOURS = {"PER": "t0", "LOC": "t1"}
PARIS = Entity(2, 3, "LOC")


def sentences(html: str) -> list[str]:
    """The sentences of a card as a reader sees them, without the labels of the entities."""
    found = re.findall(r'<span class="sentence"[^>]*>(.*?)</span></div>', html, re.DOTALL)
    return [unescape(re.sub(r"<b>.*?</b>|<[^>]*>", "", sentence)) for sentence in found]


def draw(**parts: object) -> str:
    return draw_card(3, Card(**({"title": "row", "words": ("Hilton", "in", "Paris"), "found": ()} | parts)), COLOURS)  # pyright: ignore


def looking(look: Look, picture: Image.Image) -> str:
    return draw(found=(Found(PARIS, 0.5, (look,)),), picture=picture)


def test_right_wrong_and_missed_are_told_in_words_and_signs() -> None:
    html = draw(
        found=(Found(Entity(0, 1, "LOC"), 0.614), Found(PARIS)), gold=(Entity(0, 1, "PER"), PARIS), language="fr"
    )
    assert '<span class="entity t0 missed">Hilton<b>PER</b></span> in <span class="entity t1">Paris' in html
    assert re.search(r'class="entity t1 wrong">Hilton<b>LOC 61 % <span class="verdict"[^>]*"wrong">✗', html)
    assert re.search(r'class="entity t1 right">Paris<b>LOC <span class="verdict"[^>]*"right">✓', html)
    assert html.count('lang="fr" dir="auto"') == 2
    assert "<a " not in html and "<svg" not in html


def test_without_gold_there_is_no_verdict() -> None:
    html = draw(found=(Found(PARIS, 0.5),))
    assert sentences(html) == ["Hilton in Paris"]
    assert "✓" not in html and "✗" not in html and ">gold<" not in html


def test_raw_text_is_shown_as_it_was() -> None:
    html = draw(text="Hilton,\n in  Paris!", offsets=((0, 6), (9, 11), (13, 18)), found=(Found(PARIS),), gold=())
    assert sentences(html) == ["Hilton,\n in  Paris!"] * 2
    assert re.search(r'wrong">Paris<b>LOC', html)


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1), min_size=3, max_size=5)
)
def test_any_sentence_survives_its_marks(words: list[str]) -> None:
    card = Card("row", tuple(words), (Found(Entity(0, 2, "PER")), Found(PARIS)), gold=(Entity(1, 3, "LOC"),))
    assert sentences(draw_card(0, card, COLOURS)) == [" ".join(words)] * 2


@pytest.mark.parametrize(
    "found", [(Entity(0, 2, "PER"), Entity(1, 3, "LOC")), (Entity(2, 4, "LOC"),), (Entity(1, 1, "LOC"),)]
)
def test_entities_must_fit(found: tuple[Entity, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected (an entity|entities) .*, found Entity\(.* in 'row'"):
        draw(found=tuple(map(Found, found)))


def test_attention_is_laid_over_its_box_in_the_scale_of_the_embedded_picture() -> None:
    weights = np.array([[0.1, 0.0, 0.0], [0.0, 0.05, 0.4]], np.float32)
    html = looking(Look("CLIP", weights, (160.0, 0.0, 1120.0, 960.0)), Image.new("RGB", (1280, 960)))
    assert LONGEST_SIDE == 480
    assert 'viewBox="0 0 480 360"' in html
    [heat] = re.findall(
        r'<image x="60.0" y="0.0" width="360.0" height="360.0" preserveAspectRatio="none" '
        r'href="data:image/png;base64,([^"]*)"',
        html,
    )
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(heat))))
    assert pixels.shape == (2, 3, 4)
    assert (pixels[..., :3] == HEAT).all()
    np.testing.assert_allclose(pixels[..., 3] / pixels[1, 2, 3], weights / 0.4, atol=0.003)
    assert html.count('x="300.0" y="180.0" width="120.0" height="180.0"') == 2
    assert "M60.0 0.0H420.0V360.0H60.0z" in html
    assert "CLIP: strongest cell 40 %, 45 % not on a place" in html
    assert "most attention at row 2 of 2, column 3 of 3" in html
    [picture] = re.findall(r"data:image/jpeg;base64,([^\"]*)", html)
    assert Image.open(io.BytesIO(base64.b64decode(picture))).size == (480, 360)


def test_attention_over_the_whole_picture_needs_no_box() -> None:
    html = looking(Look("ResNet", np.full((1, 2), 0.5)), Image.new("L", (10, 20)))
    assert '<image x="0.0" y="0.0" width="10.0" height="20.0"' in html
    assert "strongest cell 50 %<" in html


@pytest.mark.parametrize("weights", [np.zeros((2, 2)), np.full((2, 2), np.nan), np.full((2, 2), -1.0)])
def test_no_attention_is_drawn_as_none(weights: np.ndarray) -> None:
    html = looking(Look("CLIP", weights), Image.new("RGB", (4, 4)))
    [heat] = re.findall(r"data:image/png;base64,([^\"]*)", html)
    assert not np.asarray(Image.open(io.BytesIO(base64.b64decode(heat))))[..., 3].any()
    assert "strongest cell 0 %, 100 % not on a place" in html


def test_a_picture_with_transparency_can_be_embedded() -> None:
    assert "data:image/jpeg" in draw(picture=Image.new("RGBA", (4, 4), (1, 2, 3, 0)))
