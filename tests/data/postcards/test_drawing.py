from random import Random

import numpy as np
import pytest

from babelens.data.postcards.drawing import BODY, FIGURES, SHADE, SKIN, TINT, draw_figure


@pytest.mark.parametrize("type_", sorted(FIGURES))
@pytest.mark.parametrize("outline", [0, 2, 4])
def test_figures_fill_their_box_with_their_colour(type_: str, outline: int) -> None:
    for seed in range(60):
        figure = np.asarray(draw_figure(type_, 110, outline, Random(seed)))
        assert max(figure.shape) >= 0.55 * 110
        assert (
            (figure[0] > 0).any() and (figure[-1] > 0).any() and (figure[:, 0] > 0).any() and (figure[:, -1] > 0).any()
        )
        coloured = np.isin(figure, (BODY, SHADE, TINT)).sum() / (figure > 0).sum()
        assert coloured > 0.2, (type_, seed, coloured)
        assert (figure == SKIN).any() == (type_ == "PER")


def test_figures_vary() -> None:
    for type_ in FIGURES:
        drawn = {draw_figure(type_, 110, 2, Random(seed)).tobytes() for seed in range(40)}
        assert len(drawn) > 35


def test_nothing_writes_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import ImageDraw

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("letters in a picture")

    for name in ("text", "multiline_text"):
        monkeypatch.setattr(ImageDraw.ImageDraw, name, refuse)
    for type_ in FIGURES:
        for seed in range(30):
            draw_figure(type_, 110, 2, Random(seed))
